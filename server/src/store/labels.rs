//! The labels of definitions, by version.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use atta_core::protocol::api::JobSummary;
use indexmap::IndexMap;

use super::read_model::Reads;
use super::sql::{Builder, query};
use super::{StoreError, StoreWriter};

/// Versions whose labels are remembered; versions never change.
const REMEMBERED: usize = 4_096;

/// What `meta` says when all versions have their labels in rows.
const LABELLED: &str = "labels";

/// By definition and version.
pub(super) type Labels = Arc<Mutex<HashMap<(String, String), Arc<IndexMap<String, String>>>>>;

/// The labels of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelRows {
    pub(crate) job_type: String,
    pub(crate) version: String,
    pub(crate) labels: IndexMap<String, String>,
}

impl StoreWriter {
    /// Whether versions may be without rows of their labels: an earlier program has stored them.
    pub(crate) async fn lacks_labels(&mut self) -> Result<bool, StoreError> {
        let row =
            query("SELECT 1 FROM meta WHERE key = $1").bind(LABELLED).fetch_optional(self.connection().await?).await?;
        Ok(row.is_none())
    }

    /// All versions by name: of a definition and its content hash.
    pub(crate) async fn version_names(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = query("SELECT job_type, version FROM definition_versions ORDER BY job_type, version")
            .fetch_all(self.connection().await?)
            .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Gives all versions their labels, in a transaction of its own: nobody looks for that again.
    pub(crate) async fn label_all(&mut self, rows: &[LabelRows]) -> Result<(), StoreError> {
        let done = match self.begin().await {
            Ok(()) => self.label_inside(rows).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => Ok(self.connection().await?.commit().await?),
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
        }
    }

    async fn label_inside(&mut self, rows: &[LabelRows]) -> Result<(), StoreError> {
        query("DELETE FROM version_labels").execute(self.connection().await?).await?;
        for row in rows {
            self.write_labels(row).await?;
        }
        self.set_meta(LABELLED, "1").await
    }

    /// Inside of a transaction.
    pub(super) async fn write_labels(&mut self, row: &LabelRows) -> Result<(), StoreError> {
        for (position, (name, value)) in row.labels.iter().enumerate() {
            query("INSERT INTO version_labels (job_type, version, position, name, value) VALUES ($1, $2, $3, $4, $5)")
                .bind(&row.job_type)
                .bind(&row.version)
                .bind(u32::try_from(position).unwrap_or(u32::MAX))
                .bind(name)
                .bind(value)
                .execute(self.connection().await?)
                .await?;
        }
        Ok(())
    }
}

impl Reads {
    /// Adds the labels of their versions to jobs.
    pub(super) async fn add_labels(&self, jobs: &mut [JobSummary]) -> Result<(), StoreError> {
        let wanted: BTreeSet<(String, String)> =
            jobs.iter().map(|job| (job.job_type.clone(), job.version.clone())).collect();
        let known = self.labels_of(wanted).await?;
        for job in jobs {
            if let Some(labels) = known.get(&(job.job_type.clone(), job.version.clone())) {
                job.labels.clone_from(labels);
            }
        }
        Ok(())
    }

    /// The labels of these versions.
    pub(super) async fn labels_of(
        &self,
        versions: BTreeSet<(String, String)>,
    ) -> Result<HashMap<(String, String), Arc<IndexMap<String, String>>>, StoreError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let known = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
            for version in versions {
                match known.get(&version) {
                    Some(labels) => drop(found.insert(version, Arc::clone(labels))),
                    None => missing.push(version),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let mut read: HashMap<(String, String), IndexMap<String, String>> = HashMap::new();
        // A statement takes only so many values.
        for some in missing.chunks(500) {
            let mut query = Builder::new(
                "SELECT job_type, version, name, value FROM version_labels WHERE (job_type, version) IN (VALUES ",
            );
            for (number, (job_type, version)) in some.iter().enumerate() {
                query.push(if number == 0 { "(" } else { ", (" });
                query.push_bind(job_type).push(", ").push_bind(version).push(")");
            }
            query.push(") ORDER BY job_type, version, position");
            for row in &query.build().fetch_all(self.store.readers()).await? {
                let labels = read.entry((row.try_get(0)?, row.try_get(1)?)).or_default();
                labels.insert(row.try_get(2)?, row.try_get(3)?);
            }
        }
        let mut known = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + missing.len() > REMEMBERED {
            known.clear();
        }
        for version in missing {
            let labels = Arc::new(read.remove(&version).unwrap_or_default());
            known.insert(version.clone(), Arc::clone(&labels));
            found.insert(version, labels);
        }
        Ok(found)
    }
}
