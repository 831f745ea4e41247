//! What the API and `atta run` read: resources, on the pool of the readers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use atta_core::definition::{KnownConfigs, Limits, Method, Trigger, load_with};
use atta_core::protocol::JobId;
use atta_core::time::UnixMillis;

use super::labels::Labels;
use super::read_webhooks::Webhooks;
use super::sql::query;
use super::{Store, StoreError};

/// Parsed definitions that are remembered; versions never change.
const OUTLINES: usize = 64;

/// Reads of resources; cheap to clone.
#[derive(Clone)]
pub struct Reads {
    pub(super) store: Store,
    outlines: Arc<Mutex<Outlines>>,
    pub(super) labels: Labels,
    /// By definition.
    pub(super) webhooks: Arc<Mutex<HashMap<String, Arc<Webhooks>>>>,
}

/// Which of what has happened to a job comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HistoryOrder {
    /// As it happened.
    #[default]
    Oldest,
    /// What happened last.
    Newest,
}

/// By definition and version.
type Outlines = HashMap<(String, String), Arc<Outline>>;

/// What reading needs to know of a definition's version.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outline {
    /// Names in declaration order.
    pub tasks: Vec<String>,
    /// For each task, the declared outputs if it has `fan_out`.
    pub fan_outs: Vec<Option<Vec<String>>>,
    /// For each task, whether it is one of an agent.
    pub agents: Vec<bool>,
    /// For each task, whether it has a terminal.
    pub terminals: Vec<bool>,
    /// Cron lines.
    pub schedule: Vec<String>,
    /// What else starts a job.
    pub triggers: Vec<Trigger>,
}

impl Outline {
    /// Whether attempts of a task have a terminal.
    pub(super) fn has_terminal(&self, index: i64) -> bool {
        usize::try_from(index).ok().and_then(|index| self.terminals.get(index)).copied().unwrap_or_default()
    }

    pub(super) fn task(&self, index: i64) -> Option<&str> {
        self.tasks.get(usize::try_from(index).ok()?).map(String::as_str)
    }
}

impl Reads {
    /// Reads from this store.
    pub fn new(store: Store) -> Self {
        Self { store, outlines: Arc::default(), labels: Labels::default(), webhooks: Arc::default() }
    }

    /// The outline of a job's version. `None`: there is no such job.
    pub(super) async fn outline_of_job(&self, job: &JobId) -> Result<Option<Arc<Outline>>, StoreError> {
        let row = query("SELECT job_type, version FROM jobs WHERE id = $1")
            .bind(&job.0)
            .fetch_optional(self.store.readers())
            .await?;
        let Some(row) = row else { return Ok(None) };
        self.outline(row.try_get(0)?, row.try_get(1)?).await.map(Some)
    }

    /// The outline of a stored version. A version that this program cannot load any more has an empty one.
    pub(super) async fn outline(&self, job_type: &str, version: &str) -> Result<Arc<Outline>, StoreError> {
        let key = (job_type.to_owned(), version.to_owned());
        if let Some(outline) = self.outlines.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(outline));
        }
        let row = query("SELECT source FROM definition_versions WHERE job_type = $1 AND version = $2")
            .bind(job_type)
            .bind(version)
            .fetch_optional(self.store.readers())
            .await?;
        let Some(row) = row else {
            return Ok(Arc::default());
        };
        let source: String = row.try_get(0)?;
        // A large definition takes a while: not on a thread that serves requests.
        let loaded = tokio::task::spawn_blocking(move || outline_of(&source)).await;
        let outline = Arc::new(loaded.unwrap_or_default());
        let mut outlines = self.outlines.lock().unwrap_or_else(PoisonError::into_inner);
        if outlines.len() >= OUTLINES {
            outlines.clear();
        }
        outlines.insert(key, Arc::clone(&outline));
        Ok(outline)
    }
}

fn outline_of(source: &str) -> Outline {
    let Some(definition) =
        load_with("definition.yaml", source.as_bytes(), &Limits::default(), KnownConfigs::Any).definition
    else {
        return Outline::default();
    };
    let fan_outs = definition.tasks.iter().map(|task| {
        task.fan_out.as_ref()?;
        Some(task.output_names().map(str::to_owned).collect())
    });
    Outline {
        fan_outs: fan_outs.collect(),
        agents: definition.tasks.iter().map(|task| matches!(task.method, Method::Agent(_))).collect(),
        terminals: definition.tasks.iter().map(|task| task.method.has_terminal()).collect(),
        tasks: definition.tasks.into_iter().map(|task| task.name).collect(),
        schedule: definition.schedule.map(|schedule| schedule.expressions).unwrap_or_default(),
        triggers: definition.triggers,
    }
}

/// An instant as the API shows it.
pub(super) fn instant(millis: i64) -> String {
    UnixMillis(millis).to_rfc3339()
}

/// An instant that may be missing.
pub(super) fn maybe_instant(millis: Option<i64>) -> Option<String> {
    millis.map(instant)
}

/// A JSON column.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Value { table, column, value: text.to_owned() })
}
