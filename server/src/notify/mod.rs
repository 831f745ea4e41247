//! Sends what is written in the outbox: signed webhooks, Slack messages, e-mails.
//!
//! * `delivery`: what is due is tried, one at a time per destination, and what became of it is stored by the writer
//! * `message`: from the stored content to what a receiver gets
//! * `target`: where it goes, with params and secrets filled in; nothing of that is stored
//! * `web`, `mail`: the two ways out; `address`: which hosts may be called
//!
//! Every row is sent at least once. Its id goes along, so that a receiver can tell a repetition; a delivery that was
//! confirmed is not sent again unless the process ends before that is stored.

mod address;
mod delivery;
mod mail;
mod message;
mod target;
mod web;

use std::time::Duration;

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
}

impl Failed {
    fn once(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), for_good: false, after: None }
    }

    fn for_good(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), for_good: true, after: None }
    }
}
