//! FORK_JOB: a job inside a job.
//!
//! The forked job is made in the batch in which the attempt begins to wait, or ends when it does not wait. What the forked
//! job has at its end becomes what the task has: its outputs as declared, its artifacts under the names of its tasks.

use std::time::Duration;

use atta_core::definition::ForkOptions;
use atta_core::engine::{AttemptNumber, AttemptResult, Failure, JobState, ResultName};
use atta_core::protocol::JobId;
use atta_core::protocol::ant::ArtifactFile;
use atta_core::template::Renderer;
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use serde_json::Value;

use super::{Performed, bad_template, store_error};
use crate::scheduler::live::{Finish, LiveJob};
use crate::scheduler::state::State;
use crate::scheduler::submit::WantedJob;
use crate::scheduler::variables::{render_params, render_text};
use crate::store::{JobOrigin, JobRow, StoreError, StoreWriter, Which};

/// What a forked job has come to.
pub(super) enum Forked {
    /// It goes on, as far as one can see.
    Lives,
    /// It has ended.
    Ended(Box<Ended>),
}

/// A forked job at its end.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) result: AttemptResult,
    pub(super) failure: Option<Failure>,
    pub(super) outputs: IndexMap<String, Value>,
    /// Under the names of the forked job's tasks.
    pub(super) artifacts: Vec<ArtifactFile>,
    pub(super) warnings: Vec<String>,
}

impl State {
    /// Makes the job.
    pub(super) async fn fork(
        &mut self,
        database: &mut StoreWriter,
        job: &JobId,
        attempt: AttemptNumber,
        options: &ForkOptions,
    ) -> Result<Performed, StoreError> {
        let Some(live) = self.jobs.get(job) else { return Ok(Performed::invalid("the job is gone")) };
        let Some(row) = live.attempts.get(&attempt) else { return Ok(Performed::invalid("the attempt is gone")) };
        let scope = live.variables_of(row, &self.renderer, true);
        let source = &live.version.source;
        let rendered = render_text(source, "sub_workflow.job_type", &options.job_type, &self.renderer, &scope)
            .and_then(|job_type| {
                let params = render_params(source, "sub_workflow.params", &options.params, &self.renderer, &scope)?;
                Ok((job_type.trim().to_owned(), params))
            });
        let (job_type, params) = match rendered {
            Ok(rendered) => rendered,
            Err(message) => return Ok(bad_template(message)),
        };
        let until = self.deadline(job, attempt);
        let depth = match self.fork_depth(database, job, &job_type).await? {
            Ok(depth) => depth,
            Err(message) => return Ok(Performed::invalid(message)),
        };
        self.cancel_superseded(job, attempt);
        let wanted = WantedJob {
            job_type: job_type.clone(),
            version: options.version.clone(),
            params,
            user_key: None,
            priority: None,
            description: None,
            submitted_by: format!("job:{job}"),
            scheduled_at: None,
            origin: JobOrigin {
                parent: Some(job.clone()),
                attempt: Some(attempt),
                forked: true,
                depth,
                ..JobOrigin::default()
            },
        };
        let child = match self.accept(database, wanted).await {
            Ok(child) => child,
            Err(refusal) => {
                let refusal = store_error(refusal)?;
                return Ok(Performed::invalid(format!("{job_type} cannot be forked: {}", refusal.sentence())));
            }
        };
        if options.wait {
            return Ok(Performed::Waits { reason: format!("the forked job {child} ({job_type})"), until });
        }
        let outputs = IndexMap::from([("job_id".to_owned(), Value::from(child.0))]);
        Ok(Performed::Finished {
            result: AttemptResult::Exit(0),
            failure: None,
            finish: Finish { outputs, ..Finish::default() },
        })
    }

    /// The forked job has ended, or the time is over.
    pub(super) async fn fork_over(
        &mut self,
        database: &mut StoreWriter,
        job: &JobId,
        attempt: AttemptNumber,
        options: &ForkOptions,
    ) -> Result<Performed, StoreError> {
        let Some(child) = self.forked_job(database, job, attempt).await? else {
            return Ok(Performed::invalid("the forked job is not stored any more"));
        };
        match self.forked(database, &child, options).await? {
            Forked::Ended(ended) => {
                let Ended { result, failure, outputs, artifacts, warnings } = *ended;
                let finish = Finish { outputs, artifacts, warnings, ..Finish::default() };
                Ok(Performed::Finished { result, failure, finish })
            }
            Forked::Lives => {
                let until = self.deadline(job, attempt);
                if until.is_none_or(|until| until > self.time.now()) {
                    return Ok(Performed::Waits { reason: format!("the forked job {child}"), until });
                }
                self.cancel_child(&child, format!("the job {job}, which forked it, waited for it until its timeout"));
                let outputs = IndexMap::from([
                    ("job_id".to_owned(), Value::from(child.0.as_str())),
                    ("state".to_owned(), Value::Null),
                    ("error_code".to_owned(), Value::Null),
                ]);
                let message = format!("the forked job {child} did not end within the timeout and is cancelled");
                Ok(timed_out(message, outputs))
            }
        }
    }

    /// When an attempt's waiting ends at the latest.
    pub(super) fn deadline(&self, job: &JobId, attempt: AttemptNumber) -> Option<UnixMillis> {
        let live = self.jobs.get(job)?;
        let row = live.attempts.get(&attempt)?;
        let timeout: Duration = live.task(row.task).timeout.value().copied()?;
        Some(row.started_at.unwrap_or(row.created_at).plus(timeout))
    }

    /// What a forked job has come to, wherever it is now.
    pub(super) async fn forked(
        &mut self,
        database: &mut StoreWriter,
        child: &JobId,
        options: &ForkOptions,
    ) -> Result<Forked, StoreError> {
        if let Some(row) = self.staged.abandoned.get(child) {
            return Ok(Forked::Ended(Box::new(ended_by_row(row, options))));
        }
        if let Some(live) = self.jobs.get(child) {
            if !live.row.state.is_terminal() {
                return Ok(Forked::Lives);
            }
            return Ok(Forked::Ended(Box::new(ended(live, options, &self.renderer))));
        }
        if database.job_state(child).await?.is_some_and(|state| !state.is_terminal()) {
            return Ok(Forked::Lives);
        }
        let Some(stored) = database.load_jobs(Which::Job(child)).await?.pop() else {
            return Ok(Forked::Ended(Box::new(unreadable(child, "it is not stored any more"))));
        };
        let row = stored.row.clone();
        let replayed = match self.version(database, &row.job_type, &row.version).await {
            Ok(version) => self.replay(stored, version),
            Err(refusal) => Err(store_error(refusal)?.to_string()),
        };
        Ok(Forked::Ended(Box::new(match replayed {
            Ok(live) => ended(&live, options, &self.renderer),
            // What it is does not depend on what it left.
            Err(_) if row.state != JobState::Completed => ended_by_row(&row, options),
            Err(reason) => unreadable(child, &reason),
        })))
    }
}

pub(super) fn timed_out(message: String, outputs: IndexMap<String, Value>) -> Performed {
    Performed::Finished {
        result: AttemptResult::Named(ResultName::TimedOut),
        failure: Some(Failure { code: ResultName::TimedOut.as_str().to_owned(), message }),
        finish: Finish { outputs, ..Finish::default() },
    }
}

fn unreadable(child: &JobId, reason: &str) -> Ended {
    Ended {
        result: AttemptResult::Named(ResultName::Invalid),
        failure: Some(Failure {
            code: ResultName::Invalid.as_str().to_owned(),
            message: format!("the forked job {child} cannot be read: {reason}"),
        }),
        outputs: IndexMap::from([("job_id".to_owned(), Value::from(child.0.as_str()))]),
        artifacts: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The result of a task whose forked job has ended so.
fn ended(child: &LiveJob, options: &ForkOptions, renderer: &Renderer) -> Ended {
    let (id, state) = (&child.row.id, child.row.state);
    let failure = child.run.verdict().and_then(|(_, failure)| failure.cloned()).or_else(|| child.row.failure.clone());
    let Ended { mut result, mut failure, mut outputs, mut warnings, .. } = verdict(&child.row, failure);
    if !options.outputs.is_empty() {
        let scope = child.variables(child.builtins(None), renderer, true);
        for (name, template) in &options.outputs {
            match renderer.render_value(&template.source, &scope) {
                Ok(value) => {
                    outputs.insert(name.clone(), value);
                }
                Err(problem) => {
                    let message = format!("the output {name} of the forked job {id}: {problem}");
                    // A job that did not complete need not have everything.
                    if state == JobState::Completed && failure.is_none() {
                        result = AttemptResult::Named(ResultName::Invalid);
                        failure = Some(Failure { code: "TEMPLATE".to_owned(), message });
                    } else {
                        warnings.push(message);
                    }
                }
            }
        }
    }
    Ended { result, failure, outputs, artifacts: artifacts(child), warnings }
}

/// The same of a job of which nothing but its row can be read.
fn ended_by_row(row: &JobRow, options: &ForkOptions) -> Ended {
    let mut ended = verdict(row, row.failure.clone());
    ended.warnings.extend(
        options
            .outputs
            .keys()
            .map(|name| format!("the output {name} of the forked job {}: what the job left cannot be read", row.id)),
    );
    ended
}

/// What a forked job's state says, without what its tasks left.
fn verdict(row: &JobRow, failure: Option<Failure>) -> Ended {
    let (id, state) = (&row.id, row.state);
    let code = failure.as_ref().map(|failure| failure.code.clone()).filter(|_| state != JobState::Completed);
    let outputs = IndexMap::from([
        ("job_id".to_owned(), Value::from(id.0.as_str())),
        ("state".to_owned(), Value::from(state.as_str())),
        ("error_code".to_owned(), code.map_or(Value::Null, Value::from)),
    ]);
    let why = failure.map_or_else(String::new, |failure| format!(": {}: {}", failure.code, failure.message));
    let fails = |exit, code: &str| {
        let message = format!("the forked job {id} ({}) is {}{why}", row.job_type, state.as_str());
        (AttemptResult::Exit(exit), Some(Failure { code: code.to_owned(), message }))
    };
    let (result, failure) = match state {
        JobState::Failed => fails(1, "FORKED_JOB_FAILED"),
        JobState::Blocked => fails(2, "FORKED_JOB_BLOCKED"),
        JobState::Cancelled => fails(3, "FORKED_JOB_CANCELLED"),
        _ => (AttemptResult::Exit(0), None),
    };
    Ended { result, failure, outputs, artifacts: Vec::new(), warnings: Vec::new() }
}

/// What the tasks of a job keep now, each under its task's name.
fn artifacts(child: &LiveJob) -> Vec<ArtifactFile> {
    let mut files = Vec::new();
    for task in child.plan.tasks() {
        let Some(data) = child.results.get(&task).filter(|data| data.current) else { continue };
        let name = child.plan.task_name(task);
        files.extend(
            data.artifacts.iter().map(|file| ArtifactFile { path: format!("{name}/{}", file.path), ..file.clone() }),
        );
    }
    files
}
