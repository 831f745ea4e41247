//! Definitions that the ends of other jobs trigger.
//!
//! The job is made in the batch in which the other one ends, and under a key of (definition, trigger, job, job attempt) that
//! the database holds unique: exactly one, whatever happens. What cannot be evaluated or submitted lets nothing through: it
//! is a visible SKIPPED job with the reason, a counter, and a mark on the definition.

use std::collections::BTreeSet;
use std::sync::Arc;

use atta_core::definition::{JobDefinition, JobTrigger, Trigger};
use atta_core::protocol::JobId;
use atta_core::template::{Variables, is_truthy};
use serde_json::{Map, Value, json};

use super::Refusal;
use super::definitions::LoadedVersion;
use super::families::{DEEPEST, EndedJob};
use super::live::LiveJob;
use super::methods::store_error;
use super::state::State;
use super::submit::WantedJob;
use super::variables::{render_params, render_text};
use crate::store::{JobOrigin, JobRow, StoreError, StoreWriter};

/// The definitions whose jobs trigger jobs of this one, sorted.
pub(super) fn watched_by(definition: &JobDefinition) -> Vec<String> {
    let watched = definition.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Job(trigger) => Some(&trigger.job_types),
        Trigger::Webhook(_) => None,
    });
    watched.flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

impl State {
    /// Brings up to date who waits for whose ends.
    pub(super) fn rebuild_watchers(&mut self) {
        self.watchers.clear();
        for entry in self.definitions.values() {
            for watched in &entry.row.watches {
                self.watchers.entry(watched.clone()).or_default().insert(entry.row.job_type.clone());
            }
        }
    }

    /// Submits what the end of a job triggers.
    pub(super) async fn fire_job_triggers(
        &mut self,
        database: &mut StoreWriter,
        ended: &EndedJob,
    ) -> Result<(), StoreError> {
        let live = self.jobs.get(&ended.job);
        let Some(row) = live.map(|live| &live.row).or_else(|| self.staged.abandoned.get(&ended.job)) else {
            return Ok(());
        };
        let Some(watchers) = self.watchers.get(&row.job_type) else { return Ok(()) };
        let watched = row.job_type.clone();
        let described = described(row, live, ended);
        let depth = row.origin.depth + 1;
        for job_type in watchers.clone() {
            let Some(entry) = self.definitions.get(&job_type) else { continue };
            if !entry.row.enabled {
                // It rests, as its schedule does.
                metrics::counter!("atta_triggers_total", "outcome" => "disabled").increment(1);
                continue;
            }
            let latest = entry.row.latest_version.clone();
            let version = match self.version(database, &job_type, &latest).await {
                Ok(version) => version,
                Err(refusal) => {
                    let refusal = store_error(refusal)?;
                    self.set_degraded(&job_type, Some(format!("its triggers cannot be read: {refusal}")));
                    metrics::counter!("atta_triggers_total", "outcome" => "refused").increment(1);
                    continue;
                }
            };
            let definition = version.definition.clone();
            for (index, trigger) in definition.triggers.iter().enumerate() {
                let Trigger::Job(trigger) = trigger else { continue };
                if !trigger.job_types.contains(&watched) || !trigger.states.contains(&ended.state) {
                    continue;
                }
                let origin = JobOrigin {
                    parent: Some(ended.job.clone()),
                    depth,
                    key: Some(format!("trigger/{job_type}/{index}/{}", ended.attempt)),
                    ..JobOrigin::default()
                };
                self.fire_job_trigger(database, &version, trigger, &described, origin).await?;
            }
        }
        Ok(())
    }

    async fn fire_job_trigger(
        &mut self,
        database: &mut StoreWriter,
        version: &Arc<LoadedVersion>,
        trigger: &JobTrigger,
        described: &Value,
        origin: JobOrigin,
    ) -> Result<(), StoreError> {
        let Some(parent) = origin.parent.clone() else { return Ok(()) };
        let submitted_by = format!("trigger:{parent}");
        let wanted = match self.triggered(version, trigger, described, origin.depth) {
            Ok(None) => {
                metrics::counter!("atta_triggers_total", "outcome" => "filtered").increment(1);
                return Ok(());
            }
            Ok(Some((params, user_key))) => WantedJob {
                job_type: version.job_type.clone(),
                version: Some(version.version.clone()),
                params,
                user_key,
                priority: None,
                description: None,
                submitted_by: submitted_by.clone(),
                scheduled_at: None,
                origin: origin.clone(),
            },
            Err(reason) => {
                self.refuse_trigger(version, &submitted_by, origin, reason, true);
                return Ok(());
            }
        };
        match self.accept(database, wanted).await {
            Ok(_) => {
                metrics::counter!("atta_triggers_total", "outcome" => "submitted").increment(1);
                let job_type = &version.job_type;
                let healed = self
                    .definitions
                    .get(job_type)
                    .and_then(|entry| entry.row.degraded.as_deref())
                    .is_some_and(|degraded| degraded.starts_with(DEGRADED));
                if healed {
                    self.set_degraded(job_type, None);
                }
            }
            Err(refusal) => {
                let refusal = store_error(refusal)?;
                // A key that is held says nothing against the definition.
                let degrades = !matches!(refusal, Refusal::Conflict { .. } | Refusal::Duplicate { .. });
                self.refuse_trigger(version, &submitted_by, origin, refusal.sentence(), degrades);
            }
        }
        Ok(())
    }

    /// What the trigger wants to submit; nothing when its filter says so.
    #[expect(clippy::type_complexity, reason = "params and key")]
    fn triggered(
        &self,
        version: &LoadedVersion,
        trigger: &JobTrigger,
        described: &Value,
        depth: u32,
    ) -> Result<Option<(Map<String, Value>, Option<String>)>, String> {
        let configs = self.secrets.values(&version.job_type);
        let scope = Variables::builder().configs(configs).local("job", described).build(&self.renderer);
        let source = &version.source;
        if let Some(filter) = &trigger.filter
            && !is_truthy(&render_text(source, "filter", filter, &self.renderer, &scope)?)
        {
            return Ok(None);
        }
        if depth > DEEPEST {
            return Err(format!(
                "forks and triggers may lie {DEEPEST} deep, and this would be number {depth}: do definitions trigger one \
                 another in a circle?"
            ));
        }
        let params = render_params(source, "params", &trigger.params, &self.renderer, &scope)?;
        let user_key = trigger
            .user_key
            .as_ref()
            .map(|key| render_text(source, "user_key", key, &self.renderer, &scope))
            .transpose()?;
        Ok(Some((params, user_key)))
    }

    /// A job that cannot be made is a visible SKIPPED one all the same. It triggers nothing itself.
    fn refuse_trigger(
        &mut self,
        version: &Arc<LoadedVersion>,
        submitted_by: &str,
        origin: JobOrigin,
        reason: String,
        degrades: bool,
    ) {
        metrics::counter!("atta_triggers_total", "outcome" => "refused").increment(1);
        if degrades {
            self.set_degraded(&version.job_type, Some(format!("{DEGRADED}{reason}")));
        }
        let id: JobId = self.new_job_id();
        self.create_bare_job(version, &id, submitted_by, None, origin);
        self.skip_job(&id, reason);
        self.staged.ended.retain(|ended| ended.job != id);
    }
}

/// How the reason begins for which triggers degrade a definition.
const DEGRADED: &str = "its trigger cannot start it: ";

/// The job that ended, as templates of triggers see it. One that is not in memory was set aside: nothing is known of what
/// its tasks left.
fn described(row: &JobRow, live: Option<&LiveJob>, ended: &EndedJob) -> Value {
    let verdict = live.and_then(|live| live.run.verdict()).and_then(|(_, failure)| failure);
    let failure = verdict.or(row.failure.as_ref());
    let mut outputs = Map::new();
    for (live, task) in live.into_iter().flat_map(|live| live.plan.tasks().map(move |task| (live, task))) {
        if let Some(data) = live.results.get(&task).filter(|data| data.current) {
            let values: Map<String, Value> =
                data.outputs.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            outputs.insert(live.plan.task_name(task).to_owned(), Value::Object(values));
        }
    }
    let params = live.map(|live| live.params.clone());
    let params = params.or_else(|| serde_json::from_str(&row.params).ok()).unwrap_or_default();
    json!({
        "id": row.id,
        "job_type": row.job_type,
        "version": row.version,
        "state": ended.state.as_str(),
        "error_code": failure.map(|failure| failure.code.as_str()),
        "attempt": ended.attempt,
        "user_key": row.user_key,
        "params": params,
        "outputs": outputs,
    })
}
