//! Jobs that were made by jobs, as the writer looks them up.

use atta_core::engine::{AttemptNumber, JobState};
use atta_core::protocol::JobId;

use super::sql::query;
use super::{ColumnName, StoreError, StoreWriter};

/// What is asked of a job about where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ancestor {
    pub(crate) job_type: String,
    /// The job that forked it.
    pub(crate) forked_by: Option<JobId>,
}

impl StoreWriter {
    /// The job that an attempt forked.
    pub(crate) async fn forked_job(
        &mut self,
        parent: &JobId,
        attempt: AttemptNumber,
    ) -> Result<Option<JobId>, StoreError> {
        let row = query(
            "SELECT id FROM jobs WHERE parent_job = $1 AND parent_attempt = $2 AND forked ORDER BY id DESC LIMIT 1",
        )
        .bind(&parent.0)
        .bind(i64::from(attempt.0))
        .fetch_optional(self.connection().await?)
        .await?;
        row.map(|row| Ok(JobId(row.try_get(0)?))).transpose()
    }

    /// The jobs that were made of something of this job, by what that was.
    pub(crate) async fn jobs_by_origin(&mut self, parent: &JobId) -> Result<Vec<(String, JobId)>, StoreError> {
        let rows = query("SELECT origin_key, id FROM jobs WHERE parent_job = $1 AND origin_key IS NOT NULL")
            .bind(&parent.0)
            .fetch_all(self.connection().await?)
            .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, JobId(row.try_get(1)?)))).collect()
    }

    /// The newest job that has or had this key.
    pub(crate) async fn last_with_user_key(&mut self, key: &str) -> Result<Option<(JobId, JobState)>, StoreError> {
        let row = query("SELECT id, state FROM jobs WHERE user_key = $1 ORDER BY created_at DESC, id DESC LIMIT 1")
            .bind(key)
            .fetch_optional(self.connection().await?)
            .await?;
        row.map(|row| Ok((JobId(row.try_get(0)?), JobState::from_column("jobs", "state", row.try_get(1)?)?)))
            .transpose()
    }

    /// Where a job comes from.
    pub(crate) async fn ancestor(&mut self, job: &JobId) -> Result<Option<Ancestor>, StoreError> {
        let row = query("SELECT job_type, CASE WHEN forked THEN parent_job END FROM jobs WHERE id = $1")
            .bind(&job.0)
            .fetch_optional(self.connection().await?)
            .await?;
        row.map(|row| {
            Ok(Ancestor { job_type: row.try_get(0)?, forked_by: row.try_get::<Option<String>, _>(1)?.map(JobId) })
        })
        .transpose()
    }
}
