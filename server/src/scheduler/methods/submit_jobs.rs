//! SUBMIT_JOBS: one job per item, each as if a client had submitted it.
//!
//! What an item is and where it stands among its equals is kept with its job (`origin_key`, with the Nonce and the visit),
//! so that a further attempt finds the jobs that an earlier one has submitted. All jobs are stored in the transaction that
//! stores the task's result.

use std::collections::HashMap;

use atta_core::definition::{MOST_SUBMITTED, Priority, SubmitJobsOptions, TemplateText};
use atta_core::engine::{AttemptNumber, AttemptResult, Failure, JobState};
use atta_core::protocol::JobId;
use atta_core::template::{Renderer, Scope};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{Performed, bad_template, store_error};
use crate::scheduler::Refusal;
use crate::scheduler::fan_out::OfItem;
use crate::scheduler::live::Finish;
use crate::scheduler::state::State;
use crate::scheduler::submit::WantedJob;
use crate::scheduler::variables::{render_params, render_text};
use crate::store::{JobOrigin, StoreError, StoreWriter, json as text_of};

/// Bytes that the params of all jobs of one task may have together, as JSON.
const MOST_BYTES: usize = 32 << 20;
/// Refused items whose reasons stand in the failure's sentence; all stand in the output `results`.
const MOST_NAMED: usize = 20;

/// What became of one item.
#[expect(clippy::struct_field_names, reason = "it is what the output calls it")]
struct Outcome {
    outcome: &'static str,
    job: Option<JobId>,
    reason: Option<String>,
    /// The state of the job, when it has ended.
    ended: Option<JobState>,
}

impl Outcome {
    fn of(outcome: &'static str, job: JobId) -> Self {
        Self { outcome, job: Some(job), reason: None, ended: None }
    }

    fn refused(reason: String) -> Self {
        Self { outcome: "refused", job: None, reason: Some(reason), ended: None }
    }
}

/// What is rendered for one item.
struct Rendered {
    job_type: String,
    params: Map<String, Value>,
    user_key: Option<String>,
    description: Option<String>,
    priority: Option<Priority>,
}

impl State {
    pub(super) async fn submit_jobs(
        &mut self,
        database: &mut StoreWriter,
        job: &JobId,
        attempt: AttemptNumber,
        options: &SubmitJobsOptions,
    ) -> Result<Performed, StoreError> {
        let Some(live) = self.jobs.get(job) else { return Ok(Performed::invalid("the job is gone")) };
        let Some(row) = live.attempts.get(&attempt) else { return Ok(Performed::invalid("the attempt is gone")) };
        let scope = live.variables_of(row, &self.renderer, true);
        let items = match live.item_values(&options.items, &self.renderer, &scope) {
            Ok(items) => items,
            Err(message) => return Ok(bad_template(message)),
        };
        if items.len() > MOST_SUBMITTED {
            return Ok(Performed::invalid(format!(
                "items: there are {} items, and a task may submit {MOST_SUBMITTED} jobs; nothing was submitted",
                items.len()
            )));
        }
        let source = live.version.clone();
        let depth = live.row.origin.depth;
        let place = format!("{}/{}/{}/{:?}", live.run.nonce(), live.plan.task_name(row.task), row.visit, row.instance);
        let mut known: HashMap<String, JobId> = database.jobs_by_origin(job).await?.into_iter().collect();
        let staged = self.staged.by_origin.iter().filter(|((parent, _), _)| parent == job);
        known.extend(staged.map(|((_, key), child)| (key.clone(), child.clone())));
        let mut equals: HashMap<String, u32> = HashMap::new();
        let mut outcomes = Vec::with_capacity(items.len());
        let mut bytes = 0;
        for (index, item) in items.iter().enumerate() {
            if options.dry_run {
                let names = OfItem { outer: &scope, name: &options.item_var, value: item, index };
                let rendered = render(&source.source, options, &self.renderer, &names);
                outcomes.push(match rendered {
                    Ok(rendered) => self.look_for(database, rendered.user_key.as_deref()).await?,
                    Err(reason) => Outcome::refused(reason),
                });
                continue;
            }
            let text = text_of(item);
            let count = equals.entry(text.clone()).or_default();
            *count += 1;
            let key = blake3::hash(format!("{place}/{count}/{text}").as_bytes()).to_hex()[..32].to_owned();
            if let Some(child) = known.get(&key) {
                outcomes.push(Outcome::of("submitted", child.clone()));
                continue;
            }
            let names = OfItem { outer: &scope, name: &options.item_var, value: item, index };
            let rendered = match render(&source.source, options, &self.renderer, &names) {
                Ok(rendered) => rendered,
                Err(reason) => {
                    outcomes.push(Outcome::refused(reason));
                    continue;
                }
            };
            bytes += text_of(&rendered.params).len();
            if bytes > MOST_BYTES {
                let reason = format!("the params of all items have more than {MOST_BYTES} bytes together");
                outcomes.push(Outcome::refused(reason));
                continue;
            }
            let origin = JobOrigin {
                parent: Some(job.clone()),
                attempt: Some(attempt),
                depth,
                key: Some(key.clone()),
                ..JobOrigin::default()
            };
            let wanted = WantedJob {
                job_type: rendered.job_type,
                version: options.version.clone(),
                params: rendered.params,
                user_key: rendered.user_key,
                priority: rendered.priority,
                description: rendered.description,
                submitted_by: format!("job:{job}"),
                scheduled_at: None,
                origin,
            };
            match self.accept(database, wanted).await {
                Ok(child) => {
                    self.staged.by_origin.insert((job.clone(), key), child.clone());
                    outcomes.push(Outcome::of("submitted", child));
                }
                Err(Refusal::Duplicate { key, holder }) => {
                    let reason = Refusal::Duplicate { key, holder: holder.clone() }.to_string();
                    outcomes.push(Outcome { reason: Some(reason), ..Outcome::of("duplicate", holder) });
                }
                Err(refusal) => outcomes.push(Outcome::refused(store_error(refusal)?.sentence())),
            }
        }
        for outcome in outcomes.iter().filter(|_| !options.dry_run) {
            metrics::counter!("atta_items_submitted_total", "outcome" => outcome.outcome).increment(1);
        }
        Ok(conclude(&outcomes))
    }

    /// What there is under a key: the job that holds it, or the last one that did.
    async fn look_for(&self, database: &mut StoreWriter, key: Option<&str>) -> Result<Outcome, StoreError> {
        let none = Outcome { outcome: "possible", job: None, reason: None, ended: None };
        let Some(key) = key.map(str::trim).filter(|key| !key.is_empty()) else { return Ok(none) };
        if let Some(holder) = self.user_keys.get(key) {
            return Ok(Outcome::of("duplicate", holder.clone()));
        }
        let Some((job, state)) = database.last_with_user_key(key).await? else { return Ok(none) };
        // What ends in this very batch is not stored yet.
        let state = self.jobs.get(&job).map_or(state, |live| live.row.state);
        Ok(Outcome { ended: Some(state), ..Outcome::of("possible", job) })
    }
}

/// The result with all outcomes; a refused item makes it a failure.
fn conclude(outcomes: &[Outcome]) -> Performed {
    let count = |wanted: &str| outcomes.iter().filter(|outcome| outcome.outcome == wanted).count();
    let results = outcomes.iter().enumerate().map(|(index, outcome)| {
        let Outcome { outcome, job, reason, ended } = outcome;
        let mut result = json!({ "index": index, "outcome": outcome, "job_id": job, "reason": reason });
        if *outcome == "possible" {
            result["ended"] = ended.map_or(Value::Null, |state| state.as_str().into());
        }
        result
    });
    let refused = count("refused");
    let mut outputs = IndexMap::new();
    outputs.insert("results".to_owned(), Value::Array(results.collect()));
    for (name, number) in [("submitted", count("submitted")), ("duplicate", count("duplicate")), ("refused", refused)] {
        outputs.insert(name.to_owned(), Value::from(number));
    }
    let failure = (refused > 0).then(|| {
        let reasons = outcomes.iter().enumerate().filter(|(_, outcome)| outcome.outcome == "refused");
        let named: Vec<String> = reasons
            .take(MOST_NAMED)
            .map(|(index, outcome)| format!("item {index}: {}", outcome.reason.as_deref().unwrap_or_default()))
            .collect();
        let more = refused.saturating_sub(MOST_NAMED);
        let rest = if more > 0 { format!("; and {more} more, see the output `results`") } else { String::new() };
        Failure {
            code: "ITEMS_REFUSED".to_owned(),
            message: format!("{refused} of {} items were refused: {}{rest}", outcomes.len(), named.join("; ")),
        }
    });
    let result = AttemptResult::Exit(u16::from(failure.is_some()));
    Performed::Finished { result, failure, finish: Finish { outputs, ..Finish::default() } }
}

fn render(
    source: &str,
    options: &SubmitJobsOptions,
    renderer: &Renderer,
    scope: &dyn Scope,
) -> Result<Rendered, String> {
    let text = |key: &str, template: &TemplateText| render_text(source, key, template, renderer, scope);
    let optional =
        |key: &str, template: &Option<TemplateText>| template.as_ref().map(|template| text(key, template)).transpose();
    let priority = optional("submit.priority", &options.priority)?
        .map(|word| {
            let word = word.trim().to_owned();
            serde_json::from_value(Value::from(word.as_str()))
                .map_err(|_| format!("submit.priority: {word:?} is none of CRITICAL, HIGH, NORMAL and LOW"))
        })
        .transpose()?;
    Ok(Rendered {
        job_type: text("submit.job_type", &options.job_type)?.trim().to_owned(),
        params: render_params(source, "submit.params", &options.params, renderer, scope)?,
        user_key: optional("submit.user_key", &options.user_key)?,
        description: optional("submit.description", &options.description)?,
        priority,
    })
}
