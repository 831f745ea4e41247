//! What ants say: polls and reports.

use std::collections::HashSet;

use atta_core::engine::{AttemptResult, AttemptState, EngineError, Event, Failure, ResultName};
use atta_core::protocol::ant::{
    ArtifactFile, Assignment, AttemptReport, Heard, Heartbeat, Orders, PollRequest, Report, ReportBatch, ReportBody,
};
use atta_core::protocol::{AntId, AttemptId};
use indexmap::IndexMap;
use tokio::time::Instant;

use super::Refusal;
use super::ants::{Ant, Poll, Session, is_empty, merge};
use super::command::Reply;
use super::live::{Finish, Told};
use super::queue::needed_method;
use super::state::State;
use crate::secrets::Said;
use crate::store::StoreWriter;

impl State {
    /// An ant asks for work: its poll waits for the end of the batch, or longer.
    pub(super) async fn poll(
        &mut self,
        database: &mut StoreWriter,
        request: PollRequest,
        deadline: Instant,
        reply: Reply<Orders>,
    ) {
        let (now, at, epoch) = (self.clock.monotonic(), self.clock.now(), u64::from(self.epoch));
        let ant = self.ants.entry(request.ant.clone()).or_insert_with(|| Ant::unknown(&request.ant, now, at));
        let session = ant.session(request.session);
        if session == Session::Replaced {
            let message = format!("the ant {} was started again, this session is over", request.ant);
            let _ = reply.send(Err(Refusal::Conflict { code: "SESSION_REPLACED", message }));
            return;
        }
        let was_there = ant.is_there();
        ant.renew(now);
        ant.said.heard(epoch, &request.heard);
        self.terminals.heard(&request.ant, epoch, &request.heard);
        self.terminals.typed(&request.ant, &request.typed, session == Session::New);
        if session == Session::New {
            ant.replace_session(request.session, at);
            self.staged.ants.insert(request.ant.clone());
        }
        ant.met = true;
        if let Some(condition) = &request.condition {
            ant.condition = Some(condition.clone());
        }
        ant.workspaces = request.workspaces.iter().cloned().collect();
        let methods = request.methods.iter().map(|method| needed_method(method));
        let (slots, tags) = (request.slots as usize, request.tags.iter().cloned().chain(methods).collect());
        if !was_there || ant.slots != slots || ant.tags != tags {
            self.service_changed = true;
            // Whoever shows ants is told.
            self.staged.ants.insert(request.ant.clone());
        }
        (ant.slots, ant.tags) = (slots, tags);
        if let Some(old) = ant.poll.take() {
            // The newer poll of the same ant gets the orders.
            let _ = old.reply.send(Ok(Orders { epoch, ..Orders::default() }));
        }
        self.reconcile(database, &request, session).await;
        if !request.workspaces.is_empty() {
            self.reconcile_workspaces(database, &request).await;
        }
        let again = self.say_again(&request);
        let lease = self.lease;
        let Some(ant) = self.ants.get_mut(&request.ant) else { return };
        if let Some(again) = again {
            let serial = again.serial;
            // It was stored before it was said the first time.
            if reply.send(Ok(again)).is_err() {
                ant.said.give_back(serial);
            }
            return;
        }
        // Each question is a sign of life, too: it may not stay open for too long.
        let deadline = deadline.min(Instant::now() + lease / 3);
        ant.poll = Some(Poll { deadline, free_slots: request.free_slots as usize, reply });
    }

    /// What seems to be lost on the way to the ant.
    fn say_again(&mut self, request: &PollRequest) -> Option<Orders> {
        let (now, epoch) = (self.clock.monotonic(), u64::from(self.epoch));
        let jobs = &self.jobs;
        let ant = self.ants.get_mut(&request.ant)?;
        let leased = |attempt: &AttemptId, token: u64| {
            let row = attempt.parts().and_then(|(job, number)| jobs.get(&job)?.attempts.get(&number));
            row.filter(|row| row.token == Some(token) && row.result.is_none()).map(|row| row.state)
        };
        let stops = ant.said.lost_stops(now, |stop| leased(&stop.attempt_id, stop.token).is_some());
        merge(&mut ant.notices, Orders { stops, ..Orders::default() });
        let has = |id: &AttemptId| request.roster.held.iter().any(|held| held.attempt_id == *id);
        let wanted = |assignment: &Assignment| {
            leased(&assignment.attempt_id, assignment.token) == Some(AttemptState::Leased)
                && !has(&assignment.attempt_id)
        };
        ant.said.lost_assignments(now, wanted).or_else(|| {
            let serial = ant.said.gap(epoch, &request.heard)?;
            // What was typed is said again a little later, with another serial.
            if self.terminals.is_under_way(&request.ant, serial) {
                return None;
            }
            Some(Orders { epoch, serial, ..Orders::default() })
        })
    }

    /// An ant lives. Whether it is told anything.
    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat) -> bool {
        if let (Some(ant), Some(condition)) = (self.ants.get_mut(&heartbeat.ant), &heartbeat.condition) {
            ant.condition = Some(condition.clone());
        }
        self.hear(&heartbeat.ant, heartbeat.session, &heartbeat.heard)
    }

    /// Something came from an ant. Whether it may be told something in return: before its first poll it may not.
    fn hear(&mut self, id: &AntId, session: u64, heard: &Heard) -> bool {
        let (now, epoch) = (self.clock.monotonic(), u64::from(self.epoch));
        let Some(ant) = self.ants.get_mut(id) else { return false };
        let session = ant.session(session);
        if matches!(session, Session::Current | Session::Returning) {
            ant.renew(now);
        }
        if session == Session::Current {
            ant.said.heard(epoch, heard);
            self.terminals.heard(id, epoch, heard);
        }
        session == Session::Current
    }

    /// Applies reports in order; says which of them are stale, and whether the ant may be given work in return. One that
    /// the engine refuses concerns nobody but its job.
    pub(super) async fn report(&mut self, database: &mut StoreWriter, batch: ReportBatch) -> Result<Reported, Refusal> {
        self.refuse_ends_of_damaged(&batch.reports)?;
        let current = self.hear(&batch.ant, batch.session, &batch.heard);
        let mut stale = Vec::new();
        for report in batch.reports {
            // Which of the ant's processes says it does not matter: a later one that has the attempt has its token.
            if !self.is_of(database, &batch.ant, &report.attempt_id, report.token).await? {
                stale.push(report.attempt_id.clone());
                continue;
            }
            if let Some(ant) = self.ants.get_mut(&batch.ant) {
                ant.said.spoke_of(&report.attempt_id);
                if let Some(lease) = ant.held.get_mut(&report.attempt_id) {
                    if report.sequence <= lease.sequence && !heard_twice_is_new() {
                        continue;
                    }
                    lease.sequence = report.sequence;
                }
            }
            let attempt = report.attempt_id.clone();
            if let Err(error) = self.apply_report(report) {
                self.report_refused(&batch.ant, &attempt, &error);
            }
        }
        stale.dedup();
        Ok(Reported { stale, current })
    }

    /// An end cannot be noted of a job that is set aside since the start: its ant keeps it until somebody has mended or
    /// cancelled that job.
    fn refuse_ends_of_damaged(&self, reports: &[Report]) -> Result<(), Refusal> {
        let ends = reports.iter().filter(|report| matches!(report.body, ReportBody::Finished(_)));
        for (job, _) in ends.filter_map(|report| report.attempt_id.parts()) {
            if let Some(reason) = self.damaged.get(&job).filter(|_| !self.jobs.contains_key(&job)) {
                return Err(Refusal::damaged(&job, reason));
            }
        }
        Ok(())
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
        self.fence.forget(attempt);
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
            (ReportBody::Finished(end), state)
                if matches!(state, Some(AttemptState::Leased | AttemptState::Running)) || heard_twice_is_new() =>
            {
                let AttemptReport {
                    result,
                    mut failure,
                    mut outputs,
                    mut artifacts,
                    mut warnings,
                    log_bytes,
                    retry_after,
                    mut agent,
                } = *end;
                if let Some(held) = self.secrets.held().of(&report.attempt_id) {
                    held.clean(Said {
                        failure: failure.as_mut(),
                        outputs: &mut outputs,
                        artifacts: &mut artifacts,
                        warnings: &mut warnings,
                        agent: &mut agent,
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
                let known = agent.as_deref();
                let event = if let Some(failure) = self.over_budget(&job, number, result, (known, report.at)) {
                    Event::AttemptOverBudget { attempt: number, result, failure }
                } else {
                    let retry_after = retry_after.filter(|_| !self.has_other_account(&job, number));
                    Event::AttemptFinished { attempt: number, result, failure, retry_after }
                };
                let finish = Finish { outputs, artifacts, warnings, log_bytes, agent };
                self.feed(&job, event, Some(Told { at: report.at, finish: Some(finish) }))
            }
            _ => Ok(()),
        }
    }

    /// What the batch wants to say to an ant, with what it has not been told before and `stale`.
    pub(super) fn orders_for(&mut self, ant: &AntId, mut orders: Orders, stale: Vec<AttemptId>) -> Orders {
        let (now, epoch) = (self.clock.monotonic(), u64::from(self.epoch));
        if let Some(ant) = self.ants.get_mut(ant) {
            merge(&mut orders, std::mem::take(&mut ant.notices));
            merge(&mut orders, Orders { stale, ..Orders::default() });
            ant.stamp(epoch, &mut orders, now);
        }
        orders
    }

    /// Answers waiting polls that have something to say to, or whose time is over. Gives back what nobody took.
    pub(super) fn answer_polls(
        &mut self,
        staged: &mut std::collections::BTreeMap<AntId, Orders>,
    ) -> Vec<(AntId, Orders)> {
        let (instant, now, epoch) = (Instant::now(), self.clock.monotonic(), u64::from(self.epoch));
        let mut undelivered = Vec::new();
        for (id, ant) in &mut self.ants {
            let mut orders = staged.remove(id).unwrap_or_default();
            merge(&mut orders, std::mem::take(&mut ant.notices));
            let something = !is_empty(&orders) || ant.said.asks || self.terminals.has_news_for(id);
            let answer =
                ant.poll.as_ref().is_some_and(|poll| something || poll.deadline <= instant || poll.reply.is_closed());
            if answer && let Some(poll) = ant.poll.take() {
                self.terminals.tell(id, &mut orders);
                ant.stamp(epoch, &mut orders, now);
                self.terminals.told(&orders, now);
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

/// Only when it is sabotaged.
fn heard_twice_is_new() -> bool {
    #[cfg(feature = "simulation")]
    return crate::simulation::is_sabotaged(crate::simulation::Sabotage::Sequences);
    #[cfg(not(feature = "simulation"))]
    false
}

/// What a batch of reports came to.
pub(super) struct Reported {
    /// What the ant should not have.
    pub(super) stale: Vec<AttemptId>,
    /// It comes from the ant's present process.
    pub(super) current: bool,
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
