//! Accepting jobs.

use std::sync::Arc;

use atta_core::definition::{Priority, check_params};
use atta_core::engine::JobState;
use atta_core::protocol::JobId;
use atta_core::protocol::api::SubmitResponse;
use atta_core::template::ConfigValues;
use atta_core::time::UnixMillis;
use serde_json::{Map, Value};

use super::Refusal;
use super::command::Submission;
use super::definitions::LoadedVersion;
use super::live::LiveJob;
use super::state::State;
use super::variables::{explain, submission_variables};
use crate::store::{IdempotencyRow, JobOrigin, JobRow, StoreWriter, json};

/// The status that is stored with an Idempotency-Key.
const ACCEPTED: u16 = 202;

/// A job to be made.
pub(super) struct NewJob {
    pub(super) id: JobId,
    pub(super) version: Arc<LoadedVersion>,
    /// As given; defaults are filled in.
    pub(super) params: Map<String, Value>,
    /// Overrides the definition's.
    pub(super) user_key: Option<String>,
    /// Overrides the definition's.
    pub(super) priority: Option<Priority>,
    /// Overrides the definition's.
    pub(super) description: Option<String>,
    pub(super) submitted_by: String,
    pub(super) scheduled_at: Option<UnixMillis>,
    pub(super) tick: Option<UnixMillis>,
    pub(super) origin: JobOrigin,
}

/// A job that somebody wants: a client, a task, a trigger.
pub(super) struct WantedJob {
    pub(super) job_type: String,
    /// Of the newest version when absent.
    pub(super) version: Option<String>,
    pub(super) params: Map<String, Value>,
    pub(super) user_key: Option<String>,
    pub(super) priority: Option<Priority>,
    pub(super) description: Option<String>,
    pub(super) submitted_by: String,
    pub(super) scheduled_at: Option<UnixMillis>,
    pub(super) origin: JobOrigin,
}

impl State {
    /// Accepts a job, or finds the answer that was given to the same request before.
    pub(super) async fn submit(
        &mut self,
        database: &mut StoreWriter,
        submission: Submission,
    ) -> Result<SubmitResponse, Refusal> {
        let Submission { request, submitted_by, idempotency_key } = submission;
        let hash = idempotency_key.as_ref().map(|_| blake3::hash(json(&request).as_bytes()).to_hex().to_string());
        if let (Some(key), Some(hash)) = (&idempotency_key, &hash)
            && let Some(answer) = self.answered_before(database, key, hash).await?
        {
            return Ok(answer);
        }
        let scheduled_at = request
            .scheduled_at
            .as_deref()
            .map(|text| {
                text.parse::<jiff::Timestamp>().map(|at| UnixMillis(at.as_millisecond())).map_err(|error| {
                    Refusal::violation(
                        "INVALID_REQUEST",
                        "scheduled_at",
                        "INVALID_TIME",
                        format!("scheduled_at must be an instant such as 2026-01-31T08:00:00Z: {error}"),
                    )
                })
            })
            .transpose()?;
        let wanted = WantedJob {
            job_type: request.job_type,
            version: request.version,
            params: request.params,
            user_key: request.user_key,
            priority: request.priority,
            description: request.description,
            submitted_by,
            scheduled_at,
            origin: JobOrigin::default(),
        };
        let id = self.accept(database, wanted).await?;
        self.admit();
        let state = self.jobs.get(&id).map_or(JobState::Skipped, |live| live.row.state);
        let response = SubmitResponse { href: format!("/api/v1/jobs/{id}"), job_id: id, state };
        if let (Some(key), Some(request_hash)) = (idempotency_key, hash) {
            self.staged.idempotency.push(IdempotencyRow {
                key,
                request_hash,
                status: ACCEPTED,
                response: json(&response),
                created_at: self.clock.now(),
            });
        }
        Ok(response)
    }

    /// Makes a job that is wanted, whoever wants it, and considers it for admission.
    pub(super) async fn accept(&mut self, database: &mut StoreWriter, wanted: WantedJob) -> Result<JobId, Refusal> {
        let job_type = &wanted.job_type;
        let entry = self.definitions.get(job_type).ok_or_else(|| Refusal::definition_not_found(job_type))?;
        if !entry.row.enabled {
            return Err(Refusal::Conflict {
                code: "DEFINITION_DISABLED",
                message: format!("definition {job_type} is disabled; enable it first"),
            });
        }
        let version = wanted.version.unwrap_or_else(|| entry.row.latest_version.clone());
        let version = self.version(database, job_type, &version).await?;
        let id = self.new_job_id();
        let new = NewJob {
            id: id.clone(),
            version,
            params: wanted.params,
            user_key: wanted.user_key,
            priority: wanted.priority,
            description: wanted.description,
            submitted_by: wanted.submitted_by,
            scheduled_at: wanted.scheduled_at,
            tick: None,
            origin: wanted.origin,
        };
        self.create_job(new)?;
        self.consider(&id);
        Ok(id)
    }

    async fn answered_before(
        &mut self,
        database: &mut StoreWriter,
        key: &str,
        hash: &str,
    ) -> Result<Option<SubmitResponse>, Refusal> {
        let staged = self.staged.idempotency.iter().find(|row| row.key == key).cloned();
        let found = match staged {
            Some(row) => Some(row),
            None => database.load_idempotency(key).await?,
        };
        let Some(row) = found else { return Ok(None) };
        if row.request_hash != hash {
            return Err(Refusal::Invalid {
                code: "IDEMPOTENCY_KEY_REUSED",
                message: format!("the Idempotency-Key {key} was used with another request; use a new key"),
                violations: Vec::new(),
            });
        }
        serde_json::from_str(&row.response)
            .map(Some)
            .map_err(|error| Refusal::Unavailable { message: format!("the stored answer cannot be read: {error}") })
    }

    /// Makes a PENDING job, not yet considered for admission.
    pub(super) fn create_job(&mut self, new: NewJob) -> Result<(), Refusal> {
        let NewJob { id, version, params, user_key, priority, description, submitted_by, scheduled_at, tick, origin } =
            new;
        let params = check_params(&version.definition, &params).map_err(Refusal::params)?;
        let now = self.clock.now();
        let mut row = JobRow {
            id: id.clone(),
            job_type: version.job_type.clone(),
            version: version.version.clone(),
            state: JobState::Pending,
            reason: None,
            failure: None,
            priority: priority.unwrap_or(version.definition.priority),
            user_key: None,
            params: json(&params),
            description_given: description.is_some(),
            description,
            submitted_by,
            tick,
            attempt: 1,
            nonce: None,
            created_at: now,
            scheduled_at: scheduled_at.or(tick),
            started_at: None,
            finished_at: None,
            expires_at: None,
            origin,
            concurrency_key: None,
            created_params: None,
        };
        self.check_configs(&version)?;
        let configs = self.secrets.values(&row.job_type);
        let scope = submission_variables(&version.definition, &row, &params, configs, &self.renderer);
        let user_key = match (user_key, &version.definition.user_key) {
            (Some(key), _) => Some(key),
            (None, Some(template)) => Some(self.renderer.render_text(&template.source, &scope).map_err(|problem| {
                let message = explain(&version.source, "user_key", template, &problem);
                Refusal::violation("INVALID_REQUEST", "user_key", problem.code, message)
            })?),
            (None, None) => None,
        };
        row.user_key = user_key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
        if let Some(concurrency) = &version.definition.concurrency {
            let template = &concurrency.key;
            let key = self.renderer.render_text(&template.source, &scope).map_err(|problem| {
                let message = explain(&version.source, "concurrency.key", template, &problem);
                Refusal::violation("INVALID_REQUEST", "concurrency.key", problem.code, message)
            })?;
            row.concurrency_key = Some(key.trim().to_owned()).filter(|key| !key.is_empty());
        }
        if let Some(key) = &row.user_key
            && let Some(holder) = self.user_keys.get(key)
        {
            return Err(Refusal::Duplicate { key: key.clone(), holder: holder.clone() });
        }
        // Configs, the time and other jobs change while the job lives, and what the job is must not.
        let lasting =
            || submission_variables(&version.definition, &row, &params, ConfigValues::default(), &self.lasting);
        let (definition, plan) = version.resolve(&self.lasting, lasting)?;
        if let Some(key) = &row.user_key {
            self.user_keys.insert(key.clone(), id.clone());
        }
        self.counts.add(&row.job_type, JobState::Pending);
        let mut live = LiveJob::new(row, params, version, definition, plan, Arc::clone(&self.secrets));
        live.dirty.new = true;
        live.describe(&self.renderer);
        self.join_family(&live.row);
        self.jobs.insert(id.clone(), live);
        self.staged.touched.insert(id);
        Ok(())
    }

    /// Makes a PENDING job that is to be skipped, of a tick or a trigger: without checks, for nothing of it will run.
    pub(super) fn create_bare_job(
        &mut self,
        version: &Arc<LoadedVersion>,
        id: &JobId,
        submitted_by: &str,
        tick: Option<UnixMillis>,
        origin: JobOrigin,
    ) {
        let row = JobRow {
            id: id.clone(),
            job_type: version.job_type.clone(),
            version: version.version.clone(),
            state: JobState::Pending,
            reason: None,
            failure: None,
            priority: version.definition.priority,
            user_key: None,
            params: "{}".to_owned(),
            description: None,
            description_given: false,
            submitted_by: submitted_by.to_owned(),
            tick,
            attempt: 1,
            nonce: None,
            created_at: self.clock.now(),
            scheduled_at: tick,
            started_at: None,
            finished_at: None,
            expires_at: None,
            origin,
            concurrency_key: None,
            created_params: None,
        };
        self.counts.add(&row.job_type, JobState::Pending);
        let (definition, plan) = (version.definition.clone(), version.plan.clone());
        let mut live = LiveJob::new(row, Map::new(), version.clone(), definition, plan, Arc::clone(&self.secrets));
        live.dirty.new = true;
        self.jobs.insert(id.clone(), live);
        self.staged.touched.insert(id.clone());
    }

    /// `job_` and a UUIDv7.
    pub(super) fn new_job_id(&self) -> JobId {
        let millis = u64::try_from(self.clock.now().0).unwrap_or(0);
        let (a, b) = (self.entropy.next_u64(), self.entropy.next_u64());
        job_id(millis, a, b)
    }
}

/// `job_` and a UUIDv7 of an instant and random bits.
pub(super) fn job_id(millis: u64, a: u64, b: u64) -> JobId {
    let mut random = [0_u8; 10];
    random[..8].copy_from_slice(&a.to_be_bytes());
    random[8..].copy_from_slice(&b.to_be_bytes()[..2]);
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    JobId(format!("job_{}", uuid.simple()))
}
