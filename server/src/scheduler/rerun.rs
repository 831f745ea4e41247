//! Running a job again as a new one: with other params, or another version of its definition.
//!
//! What the new job does not run it takes over: the engine is told which tasks are settled and how, and what they left is
//! stored with the new job, so that it needs nothing of the old one any more.

use atta_core::engine::{AdoptionError, Event, JobState, TaskIndex};
use atta_core::protocol::JobId;
use atta_core::protocol::api::SubmitResponse;
use serde_json::{Map, Value};

use super::Refusal;
use super::live::{LiveJob, TaskData};
use super::state::State;
use super::submit::NewJob;
use crate::store::{AdoptedRow, ArtifactRows, JobOrigin, StoreWriter, Which, adopted_attempt, json};

/// Which version of the definition runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum VersionChoice {
    /// That of the job.
    #[default]
    Same,
    /// The newest.
    Newest,
    /// This one: its semantic version or content hash.
    Named(String),
}

/// How a job is run again as a new one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunAgain {
    /// The task to begin with; without one everything runs.
    pub from: Option<String>,
    /// Instead of the job's params of the same names.
    pub params: Map<String, Value>,
    /// Which version.
    pub version: VersionChoice,
    /// Who asks.
    pub submitted_by: String,
}

impl From<AdoptionError> for Refusal {
    fn from(error: AdoptionError) -> Self {
        match error {
            AdoptionError::Refused(error) => error.into(),
            error => Self::Conflict { code: error.code(), message: error.to_string() },
        }
    }
}

/// What a new job takes over.
struct TakenOver {
    event: Event,
    left: Vec<(TaskIndex, TaskData)>,
}

impl State {
    /// Makes the new job.
    pub(super) async fn run_again(
        &mut self,
        database: &mut StoreWriter,
        job: &JobId,
        again: RunAgain,
    ) -> Result<SubmitResponse, Refusal> {
        self.refuse_damaged(job)?;
        if let Some(live) = self.jobs.get(job) {
            return Err(Refusal::Conflict {
                code: "JOB_NOT_TERMINAL",
                message: format!("the job {job} is {}: it can be run again when it has ended", live.row.state.as_str()),
            });
        }
        let stored = database.load_jobs(Which::Job(job)).await?.pop().ok_or_else(|| Refusal::job_not_found(job))?;
        let job_type = stored.row.job_type.clone();
        let old_version = self.version(database, &job_type, &stored.row.version.clone()).await?;
        let old = self.replay(stored, old_version).map_err(|reason| Refusal::damaged(job, &reason))?;
        let entry = self.definitions.get(&job_type).ok_or_else(|| Refusal::definition_not_found(&job_type))?;
        if !entry.row.enabled {
            return Err(Refusal::Conflict {
                code: "DEFINITION_DISABLED",
                message: format!("definition {job_type} is disabled; enable it first"),
            });
        }
        let wanted = match again.version {
            VersionChoice::Same => old.row.version.clone(),
            VersionChoice::Newest => entry.row.latest_version.clone(),
            VersionChoice::Named(version) => version,
        };
        let version = self.version(database, &job_type, &wanted).await?;
        let taken_over = match &again.from {
            Some(task) => Some(take_over(&old, &version.plan, task)?),
            None => None,
        };
        // What the version does not declare any more is left out; what is given is checked.
        let mut params = old.params.clone();
        params.retain(|name, _| version.definition.params.contains_key(name));
        params.extend(again.params);
        let id = self.new_job_id();
        let by_template = version.definition.user_key.is_some();
        self.create_job(NewJob {
            id: id.clone(),
            version,
            params,
            user_key: old.row.user_key.clone().filter(|_| !by_template),
            priority: Some(old.row.priority),
            submitted_by: again.submitted_by,
            scheduled_at: None,
            tick: None,
            description: None,
            origin: JobOrigin { rerun_of: Some(job.clone()), ..JobOrigin::default() },
        })?;
        if let Some(taken_over) = taken_over {
            self.give(&id, &old, taken_over)?;
        }
        self.consider(&id);
        self.admit();
        let state = self.jobs.get(&id).map_or(JobState::Skipped, |live| live.row.state);
        Ok(SubmitResponse { href: format!("/api/v1/jobs/{id}"), job_id: id, state })
    }

    fn give(&mut self, id: &JobId, old: &LiveJob, taken_over: TakenOver) -> Result<(), Refusal> {
        let TakenOver { event, left } = taken_over;
        let Some(live) = self.jobs.get_mut(id) else { return Ok(()) };
        for (task, data) in left {
            let row =
                AdoptedRow { job: id.clone(), task, source_job: old.row.id.clone(), outputs: json(&*data.outputs) };
            self.staged.adopted.push(row);
            if !data.artifacts.is_empty() {
                self.staged.artifacts.push(ArtifactRows {
                    job: id.clone(),
                    attempt: adopted_attempt(task),
                    files: data.artifacts.clone(),
                    group: None,
                    expires_at: None,
                });
            }
            live.results.insert(task, data);
        }
        let fed = self.feed(id, event, None);
        if let Err(error) = fed {
            // A defect: the job is there, but must not run as if nothing had been taken over.
            self.skip_job(id, format!("what it should take over was refused: {error}"));
            return Err(error.into());
        }
        Ok(())
    }
}

fn take_over(old: &LiveJob, new: &atta_core::graph::Plan, from: &str) -> Result<TakenOver, Refusal> {
    let event = old.run.adoption(&old.plan, new, Some(from))?;
    let mut left = Vec::new();
    if let Event::TasksAdopted { kept, .. } = &event {
        for adopted in kept {
            let of_old = old.plan.task_index(new.task_name(adopted.task));
            if let Some(data) = of_old.and_then(|task| old.results.get(&task)).filter(|data| data.current) {
                left.push((adopted.task, data.clone()));
            }
        }
    }
    Ok(TakenOver { event, left })
}
