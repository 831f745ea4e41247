//! What ants say: polls and reports.

use std::collections::HashSet;

use atta_core::engine::{AttemptResult, AttemptState, EngineError, Event, Failure, ResultName};
use atta_core::protocol::ant::{
    ArtifactFile, AttemptReport, Heartbeat, Orders, PollRequest, Report, ReportBatch, ReportBody,
};
use atta_core::protocol::{AntId, AttemptId};
use indexmap::IndexMap;
use tokio::time::Instant;

use super::Refusal;
use super::ants::{Ant, Poll, Session, is_empty};
use super::command::Reply;
use super::live::{Finish, Told};
use super::state::State;
use crate::secrets::Said;
use crate::store::{StoreError, StoreWriter};

impl State {
    /// An ant asks for work: its poll waits for the end of the batch, or longer.
    pub(super) fn poll(&mut self, request: &PollRequest, deadline: Instant, reply: Reply<Orders>) {
        match self.ants.get(&request.ant).map(|ant| ant.session(request.session)) {
            None => {
                self.ants.insert(request.ant.clone(), Ant::new(request));
            }
            Some(Session::Current) => {}
            Some(Session::New) => self.new_session(request),
            Some(Session::Replaced) => {
                let message = format!("the ant {} was started again, this session is over", request.ant);
                let _ = reply.send(Err(Refusal::Conflict { code: "SESSION_REPLACED", message }));
                return;
            }
        }
        let Some(ant) = self.ants.get_mut(&request.ant) else { return };
        ant.slots = request.slots as usize;
        ant.workspaces = request.workspaces.iter().cloned().collect();
        ant.tags = request.tags.iter().cloned().collect();
        if let Some(old) = ant.poll.replace(Poll { deadline, free_slots: request.free_slots as usize, reply }) {
            // The newer poll of the same ant gets the orders.
            let _ = old.reply.send(Ok(Orders::default()));
        }
    }

    /// An ant lives.
    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat) -> Result<Orders, Refusal> {
        match self.ants.get_mut(&heartbeat.ant) {
            Some(ant) if ant.session(heartbeat.session) == Session::Current => Ok(std::mem::take(&mut ant.notices)),
            // Its next poll brings it back.
            _ => Ok(Orders::default()),
        }
    }

    /// The ant's process was started again: what its old one ran is gone.
    fn new_session(&mut self, request: &PollRequest) {
        let Some(ant) = self.ants.get_mut(&request.ant) else { return };
        if let Some(old) = ant.poll.take() {
            let _ = old.reply.send(Ok(Orders::default()));
        }
        ant.replace_session(request);
        let mut lost: Vec<AttemptId> = ant.held.drain().collect();
        lost.sort();
        for attempt in lost {
            self.interrupt(&attempt);
        }
    }

    /// The ant died with the attempt.
    pub(super) fn interrupt(&mut self, attempt: &AttemptId) {
        let Some((job, number)) = attempt.parts() else { return };
        if let Err(error) = self.feed(&job, Event::AttemptInterrupted { attempt: number }, None) {
            self.damage(&job, &error);
        }
    }

    /// Applies reports in order; says which of them are stale. One that the engine refuses concerns nobody but its job.
    pub(super) async fn report(
        &mut self,
        database: &mut StoreWriter,
        batch: ReportBatch,
    ) -> Result<Vec<AttemptId>, StoreError> {
        let replaced = self.ants.get(&batch.ant).is_some_and(|ant| ant.session(batch.session) != Session::Current);
        let mut stale = Vec::new();
        for report in batch.reports {
            let counts = !replaced && self.is_current(database, &batch.ant, &report).await?;
            if !counts {
                stale.push(report.attempt_id.clone());
                continue;
            }
            let attempt = report.attempt_id.clone();
            if let Err(error) = self.apply_report(report) {
                self.report_refused(&batch.ant, &attempt, &error);
            }
        }
        stale.dedup();
        Ok(stale)
    }

    /// What an ant says must fit. Its job is set aside; the ant has done its part and has its slot back.
    fn report_refused(&mut self, ant: &AntId, attempt: &AttemptId, error: &EngineError) {
        metrics::counter!("atta_engine_refusals_total").increment(1);
        if let Some(ant) = self.ants.get_mut(ant) {
            ant.held.remove(attempt);
        }
        self.secrets.held().release(attempt);
        if let Some((job, number)) = attempt.parts() {
            self.set_aside(&job, format!("the engine refused the report of attempt {}: {error}", number.0));
        }
    }

    /// Whether the report's token is that of the attempt's latest lease.
    async fn is_current(
        &mut self,
        database: &mut StoreWriter,
        ant: &AntId,
        report: &Report,
    ) -> Result<bool, StoreError> {
        let Some((job, number)) = report.attempt_id.parts() else { return Ok(false) };
        if let Some(row) = self.jobs.get(&job).and_then(|live| live.attempts.get(&number)) {
            return Ok(row.token == Some(report.token) && row.ant.as_deref() == Some(&ant.0));
        }
        // Finished in an earlier batch: a repeated report is welcome, one of an older lease is not.
        Ok(database.attempt_token(&job, number).await? == Some(report.token))
    }

    fn apply_report(&mut self, report: Report) -> Result<(), EngineError> {
        let Some((job, number)) = report.attempt_id.parts() else { return Ok(()) };
        // Each report is applied once: the attempt's own state says what has been applied.
        let state = self.jobs.get(&job).and_then(|live| live.attempts.get(&number)).map(|row| row.state);
        match (report.body, state) {
            (ReportBody::Started { isolation }, Some(AttemptState::Leased)) => {
                let told = Told { at: report.at, finish: None };
                self.feed(&job, Event::AttemptStarted { attempt: number }, Some(told))?;
                if let Some(row) = self.jobs.get_mut(&job).and_then(|live| live.attempt_row(number)) {
                    row.isolation = Some(isolation);
                }
                Ok(())
            }
            (ReportBody::Finished(end), Some(AttemptState::Leased | AttemptState::Running)) => {
                let AttemptReport {
                    result,
                    mut failure,
                    mut outputs,
                    mut artifacts,
                    mut warnings,
                    log_bytes,
                    retry_after,
                } = *end;
                if let Some(held) = self.secrets.held().of(&report.attempt_id) {
                    held.clean(Said {
                        failure: failure.as_mut(),
                        outputs: &mut outputs,
                        artifacts: &mut artifacts,
                        warnings: &mut warnings,
                    });
                }
                let fits = check_artifacts(&artifacts)
                    .and_then(|()| self.jobs.get(&job).map_or(Ok(()), |live| live.room_for_outputs(number, &outputs)));
                let (result, failure) = match fits {
                    Ok(()) => (result, failure),
                    Err(message) => {
                        outputs = IndexMap::new();
                        artifacts = Vec::new();
                        let code = ResultName::Invalid.as_str().to_owned();
                        (AttemptResult::Named(ResultName::Invalid), Some(Failure { code, message }))
                    }
                };
                let event = Event::AttemptFinished { attempt: number, result, failure, retry_after };
                let finish = Finish { outputs, artifacts, warnings, log_bytes };
                self.feed(&job, event, Some(Told { at: report.at, finish: Some(finish) }))
            }
            _ => Ok(()),
        }
    }

    /// What the batch wants to say to an ant, with what it has not been told before.
    pub(super) fn orders_for(&mut self, ant: &AntId, staged: &mut Orders) -> Orders {
        let mut orders = std::mem::take(staged);
        if let Some(ant) = self.ants.get_mut(ant) {
            super::ants::merge(&mut orders, std::mem::take(&mut ant.notices));
        }
        orders
    }

    /// Answers waiting polls that have something to say to, or whose time is over. Gives back what nobody took.
    pub(super) fn answer_polls(
        &mut self,
        staged: &mut std::collections::BTreeMap<AntId, Orders>,
    ) -> Vec<(AntId, Orders)> {
        let now = Instant::now();
        let mut undelivered = Vec::new();
        for (id, ant) in &mut self.ants {
            let mut orders = staged.remove(id).unwrap_or_default();
            super::ants::merge(&mut orders, std::mem::take(&mut ant.notices));
            let answer = ant
                .poll
                .as_ref()
                .is_some_and(|poll| !is_empty(&orders) || poll.deadline <= now || poll.reply.is_closed());
            if answer && let Some(poll) = ant.poll.take() {
                if let Err(Ok(orders)) = poll.reply.send(Ok(orders))
                    && !is_empty(&orders)
                {
                    undelivered.push((id.clone(), orders));
                }
            } else if !orders.assignments.is_empty() {
                undelivered.push((id.clone(), orders));
            } else {
                ant.notices = orders;
            }
        }
        undelivered
    }

    /// When the next waiting poll has waited long enough.
    pub(super) fn next_poll_deadline(&self) -> Option<Instant> {
        self.ants.values().filter_map(|ant| ant.poll.as_ref()).map(|poll| poll.deadline).min()
    }
}

/// Artifacts must be storable as they are named; an error is the sentence with which the attempt ends as INVALID.
fn check_artifacts(files: &[ArtifactFile]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for file in files {
        let well_formed = !file.path.is_empty()
            && !file.path.starts_with('/')
            && !file.path.contains('\0')
            && file.path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        let violation = if !well_formed {
            "is no relative path inside the task's directory"
        } else if !file.digest.is_well_formed() {
            "has a digest that is no BLAKE3 digest"
        } else if !seen.insert(file.path.as_str()) {
            "is listed twice"
        } else {
            continue;
        };
        return Err(format!("the ant's report cannot be stored: the artifact {:?} {violation}", file.path));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
