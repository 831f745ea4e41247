//! What an ant says it has, against what is leased to it.
//!
//! What is said to be there is believed at once. That something is *not* there is believed only when the ant can have
//! known of it: a poll may have been on its way for long. A process of an ant that has just begun knows all that those
//! before it had, if it is on the same data directory; later ones show by the orders that they have heard that they
//! speak after the lease.

use std::collections::HashMap;

use atta_core::engine::AttemptState;
use atta_core::protocol::ant::{Heard, Orders, PollRequest};
use atta_core::protocol::{AntId, AttemptId};

use super::ants::{self, Session, Told};
use super::said::covers;
use super::state::State;
use crate::store::StoreWriter;

impl State {
    /// Settles what became of everything that is leased to the ant, as far as its poll says so.
    pub(super) async fn reconcile(&mut self, database: &mut StoreWriter, request: &PollRequest, session: Session) {
        let roster = &request.roster;
        let held: HashMap<&AttemptId, u64> =
            roster.held.iter().map(|attempt| (&attempt.attempt_id, attempt.token)).collect();
        let reasons: HashMap<&AttemptId, &str> =
            roster.lost.iter().map(|attempt| (&attempt.attempt_id, attempt.reason.as_str())).collect();
        let Some(ant) = self.ants.get_mut(&request.ant) else { return };
        // On another directory it cannot know what those before it had begun.
        let moved = ant.comes_from_elsewhere(request.directory.as_deref());
        if ant.row.directory != request.directory {
            ant.row.directory.clone_from(&request.directory);
            self.staged.ants.insert(request.ant.clone());
        }
        let mut leased: Vec<(AttemptId, u64, Told)> =
            ant.held.iter().map(|(id, lease)| (id.clone(), lease.token, lease.told)).collect();
        leased.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut unsure, mut stops) = (false, Orders::default());
        for (attempt, token, told) in leased {
            if held.get(&attempt) == Some(&token) {
                if session != Session::Current
                    && let Some(reason) = self.wanted_stop(&attempt)
                {
                    ants::merge(&mut stops, ants::stop(attempt, token, reason));
                }
                continue;
            }
            if let Some(reason) = reasons.get(&attempt) {
                self.lose(&attempt, (*reason).to_owned());
                continue;
            }
            if session != Session::New && !self.knew(&request.heard, told) {
                unsure |= told == Told::Before;
                continue;
            }
            let Some((job, number)) = attempt.parts() else { continue };
            let state = self.jobs.get(&job).and_then(|live| live.attempts.get(&number)).map(|row| row.state);
            match state {
                Some(AttemptState::Leased) if moved => {
                    let ant = &request.ant;
                    let reason = format!(
                        "the ant {ant} was started on another data directory, so nobody knows whether it had begun"
                    );
                    self.lose(&attempt, reason);
                }
                Some(AttemptState::Leased) => self.give_again(&attempt),
                Some(_) => self.lose(&attempt, format!("the ant {} does not have it any more", request.ant)),
                None => {}
            }
        }
        let stale = self.stale_in(database, request).await;
        let now = self.clock.monotonic();
        let Some(ant) = self.ants.get_mut(&request.ant) else { return };
        ant.note(Orders { stale, ..stops });
        if unsure {
            ant.said.ask_to_hear(now);
        }
    }

    /// Whether the ant had heard of a lease when it spoke.
    fn knew(&self, heard: &Heard, told: Told) -> bool {
        heard.epoch == u64::from(self.epoch)
            && match told {
                Told::Before => true,
                Told::NotYet => false,
                Told::With(serial) => covers(heard, serial),
            }
    }

    /// Why an attempt is to be stopped, if it is.
    fn wanted_stop(&self, attempt: &AttemptId) -> Option<String> {
        let (job, number) = attempt.parts()?;
        self.jobs.get(&job)?.stops.get(&number).cloned()
    }

    /// What the ant has and should not.
    async fn stale_in(&self, database: &mut StoreWriter, request: &PollRequest) -> Vec<AttemptId> {
        let mut stale = Vec::new();
        for attempt in &request.roster.held {
            match self.is_of(database, &request.ant, &attempt.attempt_id, attempt.token).await {
                Ok(true) => {}
                Ok(false) => stale.push(attempt.attempt_id.clone()),
                // The next poll asks again.
                Err(error) => {
                    tracing::warn!(attempt = %attempt.attempt_id, %error, "cannot say whether an attempt is still wanted");
                }
            }
        }
        stale
    }

    /// Whether the token is that of the attempt's latest lease, and the lease the ant's. So it is still when the attempt
    /// has ended by the ant's own report.
    pub(super) async fn is_of(
        &self,
        database: &mut StoreWriter,
        ant: &AntId,
        attempt: &AttemptId,
        token: u64,
    ) -> Result<bool, crate::store::StoreError> {
        let Some((job, number)) = attempt.parts() else { return Ok(false) };
        #[cfg(feature = "simulation")]
        if crate::simulation::is_sabotaged(crate::simulation::Sabotage::Fencing) {
            return Ok(true);
        }
        if let Some(row) = self.jobs.get(&job).and_then(|live| live.attempts.get(&number)) {
            return Ok(row.token == Some(token) && row.ant.as_deref() == Some(&ant.0));
        }
        let stored = database.attempt_lease(&job, number).await?;
        Ok(stored.is_some_and(|(of, with)| with == token && of == *ant))
    }
}
