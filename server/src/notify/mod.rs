//! Sends what is written in the outbox: signed webhooks, Slack messages, e-mails.
//!
//! * `delivery`: what is due is tried, one at a time per destination, and what became of it is stored by the writer
//! * `breakers`: which receivers are left alone
//! * `message`: from the stored content to what a receiver gets
//! * `target`: where it goes, with params and secrets filled in; nothing of that is stored
//! * `web`, `mail`: the two ways out; `address`: which hosts may be called
//!
//! Every row is sent at least once. Its id goes along, so that a receiver can tell a repetition; a delivery that was
//! confirmed is not sent again unless the process ends before that is stored.

mod address;
mod breakers;
mod delivery;
mod mail;
mod message;
mod target;
mod web;

use std::time::Duration;

use atta_core::resilience::{Backoff, BreakerPolicy};

pub use mail::{MailError, Mailer};

pub(crate) use delivery::{Notifier, NotifierParts};

/// How notifications are sent.
#[derive(Clone)]
pub struct NotifyConfig {
    /// Whether webhooks may lead to loopback and private addresses.
    pub allow_private: bool,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long one try may take.
    pub timeout: Duration,
    /// Tries before a delivery is given up.
    pub attempts: u32,
    /// The longest wait before the second try; it grows threefold with each further one.
    pub first_delay: Duration,
    /// The longest wait of all.
    pub longest_delay: Duration,
    /// Sends e-mails; without it they are given up at once.
    pub mailer: Option<Mailer>,
}

impl Default for NotifyConfig {
    /// Ten tries within about a day, to public addresses, without e-mail.
    fn default() -> Self {
        Self {
            allow_private: false,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
            attempts: 10,
            first_delay: Duration::from_mins(1),
            longest_delay: Duration::from_hours(6),
            mailer: None,
        }
    }
}

/// Why a try did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// A sentence without any secret.
    pub(crate) reason: String,
    /// Trying again is of no use.
    pub(crate) for_good: bool,
    /// How long the receiver wants to be left alone.
    pub(crate) after: Option<Duration>,
    /// What it says about the receiver.
    pub(crate) receiver: Receiver,
}

/// How the receiver is, as far as one try shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// It was not asked, or what it said is about this message only.
    Unknown,
    /// It answered.
    Works,
    /// It cannot be reached or does not work: others would fail there, too.
    Away,
}

impl NotifyConfig {
    /// The pauses between tries of one delivery.
    pub(crate) fn pauses(&self) -> Backoff {
        Backoff { first: self.first_delay, factor: 3, cap: self.longest_delay }
    }

    /// When a receiver is left alone by all deliveries.
    pub(crate) fn breaker(&self) -> BreakerPolicy {
        let cap = self.longest_delay.min(LONGEST_REST);
        BreakerPolicy { failures: 5, open: Backoff { first: self.first_delay.min(cap), factor: 2, cap } }
    }
}

/// The longest that a receiver is left alone by all deliveries.
const LONGEST_REST: Duration = Duration::from_mins(10);

impl Failed {
    /// Another try may succeed; this one says nothing about the receiver.
    fn once(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), for_good: false, after: None, receiver: Receiver::Unknown }
    }

    fn away(reason: impl Into<String>) -> Self {
        Self { receiver: Receiver::Away, ..Self::once(reason) }
    }

    /// It cannot be sent; the receiver was not asked.
    fn for_good(reason: impl Into<String>) -> Self {
        Self { for_good: true, ..Self::once(reason) }
    }

    /// The receiver does not want it.
    fn refused(reason: impl Into<String>) -> Self {
        Self { receiver: Receiver::Works, ..Self::for_good(reason) }
    }
}
