//! The end of a job attempt: its verdict, the `always_run` tasks that are left, and what follows.

use super::decide::{Done, Step};
use super::effect::Effect;
use super::error::EngineError;
use super::event::{TaskIndex, Timer};
use super::run::{Ending, NextAttempt, NextFrom, Phase, StopKind, Verdict};
use super::status::{Failure, JobState, TaskState};
use crate::definition::{FailOn, RetryFrom};
use crate::graph::ROOT;

impl Step<'_> {
    /// Goes on when a phase has nothing left to do. Says whether something followed.
    pub(super) fn conclude(&mut self) -> Result<bool, EngineError> {
        let over = match self.run.phase {
            Phase::Ordinary => self.run.loops[ROOT].unsettled == 0 && !self.run.pause.active,
            Phase::Stopping | Phase::Final => self.run.open_tasks == 0 && self.run.conditions == 0,
            Phase::Before | Phase::Between | Phase::Over => false,
        };
        if !over {
            return Ok(false);
        }
        if self.run.phase != Phase::Final {
            let (state, failure) = self.judge();
            let follow_up = self.follow_up(state);
            let failure = self.restart_limit(failure, follow_up.as_ref());
            let keeps = follow_up.as_ref().is_some_and(|next| next.from == NextFrom::Failed);
            self.run.verdict = Some(Verdict { state, failure: failure.clone(), follow_up });
            self.run.phase = Phase::Final;
            self.run.final_position = 0;
            // always_run tasks wait until no further attempt of this job keeps what was done.
            if keeps || (state == JobState::Cancelled && !self.run.any_started) {
                self.run.final_position = self.plan.final_order.len();
            } else if self.plan.final_order.iter().any(|task| self.task(*task).state == TaskState::Pending) {
                self.emit(Effect::FinalPhaseBegan { verdict: state, failure });
            }
        }
        self.next_final_task()?;
        Ok(true)
    }

    fn next_final_task(&mut self) -> Done {
        while let Some(task) = self.plan.final_order.get(self.run.final_position).copied() {
            self.run.final_position += 1;
            if self.task(task).state != TaskState::Pending {
                continue;
            }
            if self.run.forced {
                self.set_task_state(task, TaskState::Cancelled)?;
                continue;
            }
            self.task_mut(task).routed_from.clear();
            return self.begin_visit(task);
        }
        let Some(verdict) = self.run.verdict.clone() else { return Ok(()) };
        if let Some(next) = verdict.follow_up {
            return self.wait_for_next_attempt(next, verdict.failure.as_ref());
        }
        self.cancel_left_over()?;
        self.finish_job(verdict.state, verdict.failure)
    }

    /// A job that was cancelled before anything started has no final phase.
    fn cancel_left_over(&mut self) -> Done {
        for task in &self.plan.final_order {
            if self.task(*task).state == TaskState::Pending {
                self.set_task_state(*task, TaskState::Cancelled)?;
            }
        }
        Ok(())
    }

    /// The verdict of the job attempt and its cause.
    fn judge(&self) -> (JobState, Option<Failure>) {
        if let Some(stop) = &self.run.stop {
            let state = if stop.kind == StopKind::Cancel { JobState::Cancelled } else { JobState::Failed };
            return (state, Some(stop.failure.clone()));
        }
        let outcomes = || {
            self.plan
                .tasks()
                .filter(|task| !self.plan_task(*task).always_run)
                .filter_map(|task| self.task(task).outcome.as_ref().map(|outcome| (task, outcome)))
        };
        // An unrouted failure names the cause before one that a route made out of a handled result.
        let failed = outcomes()
            .filter(|(task, _)| self.makes_job_fail(*task))
            .min_by_key(|(_, outcome)| (outcome.ending != Ending::Unrouted, outcome.sequence));
        if let Some((task, outcome)) = failed {
            return (JobState::Failed, Some(self.cause(task, outcome.result)));
        }
        if outcomes().any(|(_, outcome)| outcome.end == Some(JobState::Blocked)) {
            return (JobState::Blocked, None);
        }
        (JobState::Completed, None)
    }

    /// Whether the task's latest visit makes the job fail.
    pub(super) fn makes_job_fail(&self, task: TaskIndex) -> bool {
        let Some(outcome) = &self.task(task).outcome else { return false };
        let plan = self.plan_task(task);
        let any = self.plan.job.fail_on == FailOn::AnyFailure;
        !plan.always_run
            && (outcome.ending == Ending::Unrouted
                || outcome.end == Some(JobState::Failed)
                || (any && outcome.state == TaskState::Failed && !plan.allow_failure))
    }

    /// The further job attempt that this verdict asks for.
    fn follow_up(&self, verdict: JobState) -> Option<NextAttempt> {
        let retry = &self.plan.job.retry;
        if verdict != JobState::Failed || self.run.retries_used >= retry.retries {
            return None;
        }
        let from = match self.run.stop.as_ref().map(|stop| stop.kind) {
            Some(StopKind::Fatal | StopKind::Cancel | StopKind::Budget) => return None,
            Some(StopKind::RestartJob) => NextFrom::Start,
            _ if self.plan.job.retry_from == RetryFrom::Start => NextFrom::Start,
            _ => NextFrom::Failed,
        };
        Some(NextAttempt { from, due: None, due_passed: false })
    }

    fn restart_limit(&self, failure: Option<Failure>, follow_up: Option<&NextAttempt>) -> Option<Failure> {
        let restarts = self.run.stop.as_ref().is_some_and(|stop| stop.kind == StopKind::RestartJob);
        if !restarts || follow_up.is_some() {
            return failure;
        }
        failure.map(|failure| Failure {
            code: "RESTART_LIMIT".to_owned(),
            message: format!("{}, but no retry of the job is left", failure.message),
        })
    }

    fn wait_for_next_attempt(&mut self, mut next: NextAttempt, failure: Option<&Failure>) -> Done {
        self.run.retries_used += 1;
        let delay = self.delay(&self.plan.job.retry, self.run.retries_used, u64::from(u32::MAX));
        self.run.phase = Phase::Between;
        if delay.is_zero() {
            self.run.next = Some(next);
            return self.begin_next_attempt();
        }
        let due = self.at.plus(delay);
        next.due = Some(due);
        self.run.next = Some(next);
        let job_attempt = self.run.job_attempt + 1;
        self.emit(Effect::SetTimer { timer: Timer::JobRetry { job_attempt }, due });
        if self.run.state == JobState::Running {
            let cause = failure.map_or(String::new(), |failure| format!("{}; ", failure.message));
            let reason = format!("{cause}job attempt {job_attempt} begins at {}", due.to_rfc3339());
            self.set_job_state(JobState::Waiting, Some(reason))?;
        }
        Ok(())
    }

    /// The job is over.
    pub(super) fn finish_job(&mut self, verdict: JobState, failure: Option<Failure>) -> Done {
        self.run.phase = Phase::Over;
        self.update_clock();
        self.set_job_state(verdict, failure.as_ref().map(|failure| failure.message.clone()))?;
        self.run.verdict = Some(Verdict { state: verdict, failure: failure.clone(), follow_up: None });
        self.emit(Effect::JobFinished { verdict, failure });
        Ok(())
    }
}
