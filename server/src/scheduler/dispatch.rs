//! Giving READY attempts to ants with free slots.

use std::collections::BTreeSet;

use atta_core::definition::Method;
use atta_core::engine::{AttemptResult, Event, Failure, ResultName};
use atta_core::protocol::ant::{Assignment, Orders};
use atta_core::protocol::ants::AntMode;
use atta_core::protocol::{AntId, AttemptId};

use super::ants::{Ant, Lease, Told};
use super::queue::{QueueKey, method_needed, needed_method};
use super::said::GivenBack;
use super::state::State;

/// Attempts that need the same and are told anew what they wait for when ants come or go: each is a row that is written.
const MOST_TOLD: usize = 1_000;

impl State {
    /// Leases as many attempts as the ants that can be answered now have free slots.
    pub(super) fn dispatch(&mut self, reporting: &BTreeSet<AntId>) {
        // Also while nothing is given out: whose time has come would be due again at once.
        self.call_those_that_wait();
        if self.dispatch_is_paused().is_some() || self.is_read_only().is_some() {
            self.say_what_attempts_wait_for();
            return;
        }
        let mut set_aside = Vec::new();
        let ids: Vec<AntId> = self
            .ants
            .iter()
            .filter(|(id, ant)| ant.is_in_service() && (ant.can_be_told() || reporting.contains(*id)))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            let reports = reporting.contains(&id);
            let mut given = self.staged.orders.get(&id).map_or(0, |orders| orders.assignments.len());
            while let Some(ant) = self.ants.get(&id)
                && ant.free_slots() > 0
                && (reports || ant.poll.as_ref().is_some_and(|poll| poll.free_slots > given))
                && let Some(key) = self.ready.pop(&ant.tags)
            {
                let may = self.jobs.get(&key.job).is_some_and(|live| live.run.may_dispatch());
                if !may {
                    // Its job is paused; it is queued again when that is over.
                    if let Some(live) = self.jobs.get_mut(&key.job) {
                        live.queued.remove(&key.attempt);
                        live.parked.push(key.attempt);
                    }
                    continue;
                }
                if self.workspace_is_elsewhere(&key.job, &id) {
                    // Another ant has its workspace; it is queued again below, so that it keeps its place.
                    set_aside.push(key);
                    continue;
                }
                if !self.may_spend(&key) {
                    continue;
                }
                if let Some(assignment) = self.lease(&id, &key) {
                    self.staged.orders.entry(id.clone()).or_default().assignments.push(assignment);
                    given += 1;
                }
            }
        }
        for key in set_aside {
            self.enqueue(&key.job, key.attempt);
        }
        self.say_what_attempts_wait_for();
    }

    /// To attempts that became READY in this batch and that no ant took; to those that wait already, when other ants are there
    /// than before.
    fn say_what_attempts_wait_for(&mut self) {
        if std::mem::take(&mut self.service_changed) {
            self.unoffered.extend(self.ready.firsts(MOST_TOLD).cloned());
        }
        let waiting = std::mem::take(&mut self.unoffered);
        let now = self.clock.monotonic();
        let some_lost = self.ants.values().any(|ant| ant.is_lost(now));
        let mut known: Option<(Vec<String>, String)> = None;
        for key in waiting {
            let Some(live) = self.jobs.get(&key.job) else { continue };
            let Some((tags, _)) = live.queued.get(&key.attempt) else { continue };
            let lost = if some_lost { self.lost_with_the_workspace(&key.job) } else { None };
            let reason = match &known {
                _ if let Some(ant) = lost => {
                    format!("waits for the ant {ant}, of which nothing is heard: it has the workspace of the job")
                }
                Some((of, reason)) if of == tags => reason.clone(),
                _ => {
                    let reason = self.no_ant(tags);
                    known = Some((tags.clone(), reason.clone()));
                    reason
                }
            };
            if live.attempts.get(&key.attempt).is_none_or(|row| row.reason.as_ref() == Some(&reason)) {
                continue;
            }
            if let Some(row) = self.jobs.get_mut(&key.job).and_then(|live| live.attempt_row(key.attempt)) {
                row.reason = Some(reason);
                self.staged.touched.insert(key.job);
            }
        }
    }

    /// Why no ant takes an attempt that needs these tags.
    fn no_ant(&self, tags: &[String]) -> String {
        if let Some(reason) = self.is_read_only().or_else(|| self.dispatch_is_paused()) {
            return reason;
        }
        if !self.ants.values().any(Ant::is_in_service) {
            let out = self.ants.values().filter(|ant| ant.is_there() && ant.row.mode != AntMode::Open).count();
            if out > 0 {
                let (all, are) = if out == 1 { ("the only ant that is", "is") } else { ("all ants that are", "are") };
                return format!("waits for an ant: {all} connected {are} cordoned or drained (`atta ants uncordon`)");
            }
            return "waits for an ant: none is connected".to_owned();
        }
        let fit = self.ants.values().filter(|ant| ant.is_in_service() && tags.iter().all(|tag| ant.tags.contains(tag)));
        let (mut ants, mut slots, mut busy) = (0, 0, 0);
        for ant in fit {
            ants += 1;
            slots += ant.slots;
            busy += ant.held.len().min(ant.slots);
        }
        if ants == 0
            && let Some(method) = tags.iter().find_map(|tag| method_needed(tag))
            && !self.ants.values().any(|ant| ant.is_in_service() && ant.tags.contains(&needed_method(method)))
        {
            let what =
                if method == Method::TTY { "give a task a terminal".to_owned() } else { format!("do {method} tasks") };
            return format!("waits for an ant that can {what}: no connected ant can; older versions cannot");
        }
        let tags: Vec<&str> = tags.iter().map(String::as_str).filter(|tag| method_needed(tag).is_none()).collect();
        match (ants, &tags[..]) {
            (0, [tag]) => format!("waits for an ant with the tag {tag}: no connected ant has it"),
            (0, tags) => {
                format!("waits for an ant with the tags {}: no connected ant has all of them", tags.join(", "))
            }
            _ if busy < slots => "waits for an ant to ask for work".to_owned(),
            _ => format!("waits for an ant: {busy} of {slots} slots busy"),
        }
    }

    /// Leases an attempt to an ant. One whose assignment cannot be made is finished as INVALID.
    fn lease(&mut self, ant: &AntId, key: &QueueKey) -> Option<Assignment> {
        let token = self.next_token();
        let live = self.jobs.get_mut(&key.job)?;
        live.queued.remove(&key.attempt);
        let assignment = match live.assignment(key.attempt, token, self.lease, &self.renderer) {
            Ok(assignment) => assignment,
            Err(message) => {
                let event = Event::AttemptFinished {
                    attempt: key.attempt,
                    result: AttemptResult::Named(ResultName::Invalid),
                    failure: Some(Failure { code: ResultName::Invalid.as_str().to_owned(), message }),
                    retry_after: None,
                };
                if let Err(error) = self.feed(&key.job, event, None) {
                    self.damage(&key.job, &error);
                }
                return None;
            }
        };
        if let Err(error) = self.feed(&key.job, Event::AttemptLeased { attempt: key.attempt }, None) {
            self.damage(&key.job, &error);
            return None;
        }
        let now = self.clock.now();
        let row = self.jobs.get_mut(&key.job)?.attempt_row(key.attempt)?;
        metrics::histogram!("atta_dispatch_seconds").record(now.since(row.created_at).as_secs_f64());
        row.token = Some(token);
        row.ant = Some(ant.0.clone());
        let ant = self.ants.get_mut(ant)?;
        let lease = Lease { token, told: Told::NotYet, sequence: 0 };
        ant.held.insert(AttemptId::new(&key.job, key.attempt), lease);
        ant.workspaces.extend(assignment.workspace.as_ref().map(|workspace| workspace.id.clone()));
        self.secrets.held().hold(&assignment.attempt_id, &assignment.secrets.values);
        let kept = self.packer.row((&key.job, key.attempt), &assignment, self.secrets.held(), now);
        if let Some(row) = kept {
            self.staged.commands.insert((row.job.clone(), row.attempt), row);
        } else {
            tracing::warn!(attempt = %assignment.attempt_id, "what its ant is told cannot be kept");
        }
        self.settle_place(&key.job);
        Some(assignment)
    }

    /// Orders that nobody took: what was in no other answer provably never began.
    pub(super) fn take_back(&mut self, ant: &AntId, orders: Orders) {
        self.terminals.give_back(&orders);
        let Some(told) = self.ants.get_mut(ant) else { return };
        if orders.serial > 0 && told.said.give_back(orders.serial) == GivenBack::PerhapsSeen {
            return;
        }
        for assignment in &orders.assignments {
            let Some((job, number)) = assignment.attempt_id.parts() else { continue };
            let leased = self.jobs.get(&job).and_then(|live| live.attempts.get(&number));
            if leased.is_some_and(|row| row.token == Some(assignment.token)) {
                self.give_again(&assignment.attempt_id);
            }
        }
        if let Some(ant) = self.ants.get_mut(ant) {
            ant.note(Orders { assignments: Vec::new(), terminal: Vec::new(), ..orders });
        }
    }
}
