//! AWAIT_FORKED_JOB: waits until the jobs that other tasks have forked are over.

use atta_core::definition::{AwaitOptions, ForkOptions, Method};
use atta_core::engine::{AttemptNumber, AttemptResult, Failure};
use atta_core::protocol::JobId;
use atta_core::protocol::ant::ArtifactFile;
use indexmap::IndexMap;
use serde_json::Value;

use super::Performed;
use super::fork::{Forked, timed_out};
use crate::scheduler::live::Finish;
use crate::scheduler::state::State;
use crate::store::{StoreError, StoreWriter};

/// A task whose forked jobs are awaited.
struct Awaited {
    task: String,
    options: ForkOptions,
    /// Of the latest visit: one, or one per instance.
    attempts: Vec<Option<AttemptNumber>>,
    fan_out: bool,
}

impl State {
    pub(super) async fn await_forked(
        &mut self,
        database: &mut StoreWriter,
        job: &JobId,
        attempt: AttemptNumber,
        options: &AwaitOptions,
    ) -> Result<Performed, StoreError> {
        let mut outputs = IndexMap::new();
        let mut artifacts = Vec::new();
        let mut warnings = Vec::new();
        let mut failed: Option<(AttemptResult, Option<Failure>)> = None;
        let mut alive: Vec<JobId> = Vec::new();
        for awaited in self.awaited(job, options) {
            let mut values = Vec::with_capacity(awaited.attempts.len());
            for (index, number) in awaited.attempts.iter().enumerate() {
                let child = match number {
                    Some(number) => self.forked_job(database, job, *number).await?,
                    None => None,
                };
                let Some(child) = child else {
                    // The task has not run, or could make no job: there is nothing to wait for.
                    values.push(Value::Null);
                    continue;
                };
                match self.forked(database, &child, &awaited.options).await? {
                    Forked::Lives => alive.push(child),
                    Forked::Ended(ended) => {
                        if failed.is_none() && !ended.result.is_success() {
                            let failure = ended.failure.map(|failure| Failure {
                                message: format!("{} (forked by {})", failure.message, awaited.task),
                                ..failure
                            });
                            failed = Some((ended.result, failure));
                        }
                        values.push(Value::Object(ended.outputs.into_iter().collect()));
                        warnings.extend(ended.warnings);
                        let under = if awaited.fan_out {
                            format!("{}/{}", awaited.task, self.item_key(job, *number).unwrap_or(index.to_string()))
                        } else {
                            awaited.task.clone()
                        };
                        artifacts.extend(
                            ended
                                .artifacts
                                .into_iter()
                                .map(|file| ArtifactFile { path: format!("{under}/{}", file.path), ..file }),
                        );
                    }
                }
            }
            let value = if awaited.fan_out { Value::Array(values) } else { values.pop().unwrap_or_default() };
            outputs.insert(awaited.task, value);
        }
        if !alive.is_empty() {
            let until = self.deadline(job, attempt);
            let names: Vec<&str> = alive.iter().take(5).map(|child| child.0.as_str()).collect();
            let more = if alive.len() > names.len() {
                format!(" and {} more", alive.len() - names.len())
            } else {
                String::new()
            };
            let jobs = if alive.len() == 1 { "job" } else { "jobs" };
            let reason = format!("the forked {jobs} {}{more}", names.join(", "));
            if until.is_some_and(|until| until <= self.time.now()) {
                return Ok(timed_out(format!("{reason} did not end within the timeout"), outputs));
            }
            return Ok(Performed::Waits { reason, until });
        }
        let (result, failure) = failed.unwrap_or((AttemptResult::Exit(0), None));
        Ok(Performed::Finished {
            result,
            failure,
            finish: Finish { outputs, artifacts, warnings, ..Finish::default() },
        })
    }

    /// The tasks and the attempts of their latest visits.
    fn awaited(&self, job: &JobId, options: &AwaitOptions) -> Vec<Awaited> {
        let Some(live) = self.jobs.get(job) else { return Vec::new() };
        let mut found = Vec::with_capacity(options.tasks.len());
        for task in &options.tasks {
            let Some(index) = live.plan.task_index(&task.name) else { continue };
            let Method::ForkJob(fork) = &live.task(index).method else { continue };
            let instances = live.fan_outs.get(&index);
            let attempts = match instances {
                Some(instances) => instances.rows.iter().map(|row| row.last_attempt).collect(),
                None => vec![live.run.latest_attempt(index)],
            };
            found.push(Awaited {
                task: task.name.clone(),
                options: fork.clone(),
                attempts,
                fan_out: live.task(index).fan_out.is_some(),
            });
        }
        found
    }

    /// The key of the item whose attempt it was.
    fn item_key(&self, job: &JobId, number: Option<AttemptNumber>) -> Option<String> {
        let live = self.jobs.get(job)?;
        let info = live.run.attempt(number?)?;
        let instances = live.fan_outs.get(&info.task)?;
        Some(instances.rows.get(info.instance? as usize)?.key.clone())
    }
}
