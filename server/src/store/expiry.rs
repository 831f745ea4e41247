//! What is to be removed because its time is over.

use atta_core::definition::Retention;
use atta_core::engine::JobState;
use atta_core::protocol::{Digest, JobId};
use atta_core::time::UnixMillis;

use super::sql::{AssertSqlSafe, Builder, Row, query};
use super::{ColumnName, StoreError, StoreWriter, unsigned};

/// The states in which a job is kept for a time.
const ENDS: [JobState; 5] =
    [JobState::Completed, JobState::Failed, JobState::Blocked, JobState::Cancelled, JobState::Skipped];

/// A row of `artifacts` by its key, with its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArtifactKey {
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
    pub(crate) path: String,
    pub(crate) size: u64,
}

/// A file that nothing may need any more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Garbage {
    /// A content.
    Artifact(Digest),
    /// The log of an attempt.
    Log(String),
}

impl Garbage {
    fn columns(&self) -> (&'static str, &str) {
        match self {
            Self::Artifact(digest) => ("artifact", &digest.0),
            Self::Log(attempt) => ("log", attempt),
        }
    }
}

/// What one transaction removes.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExpiryChange {
    /// These with everything about them.
    pub(crate) jobs: Vec<JobId>,
    /// These stay listed, as expired since the instant.
    pub(crate) artifacts: Vec<(ArtifactKey, UnixMillis)>,
    /// Gone.
    pub(crate) cleared: Vec<Garbage>,
}

impl ExpiryChange {
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.artifacts.is_empty() && self.cleared.is_empty()
    }
}

/// No unfinished job needs it: none was forked or run again from it, or waits for it.
const UNNEEDED: &str = "NOT EXISTS (SELECT 1 FROM jobs o WHERE o.finished_at IS NULL AND (o.rerun_of = j.id OR o.parent_job = j.id OR o.id = j.parent_job))";

impl StoreWriter {
    /// Jobs whose time is over, at most so many.
    pub(crate) async fn overdue_jobs(
        &mut self,
        now: UnixMillis,
        default: &Retention,
        limit: u32,
    ) -> Result<Vec<(JobId, String, JobState)>, StoreError> {
        let mut found = Vec::new();
        let text = format!(
            "SELECT j.id, j.job_type, j.state FROM jobs j WHERE j.expires_at <= $1 AND j.finished_at IS NOT NULL AND {UNNEEDED}
             ORDER BY j.expires_at LIMIT $2"
        );
        let rows = query(AssertSqlSafe(text)).bind(now.0).bind(limit).fetch_all(self.connection().await?).await?;
        for row in &rows {
            let state = JobState::from_column("jobs", "state", row.try_get(2)?)?;
            found.push((JobId(row.try_get(0)?), row.try_get(1)?, state));
        }
        for state in ENDS {
            let Some(time) = default.of(state) else { continue };
            let text = format!(
                "SELECT j.id, j.job_type FROM jobs j WHERE j.state = $1 AND j.finished_at <= $2 AND j.expires_at IS NULL
                 AND {UNNEEDED} ORDER BY j.finished_at LIMIT $3"
            );
            let before = now.0.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
            let rows = query(AssertSqlSafe(text))
                .bind(state.column_name())
                .bind(before)
                .bind(limit)
                .fetch_all(self.connection().await?)
                .await?;
            for row in &rows {
                found.push((JobId(row.try_get(0)?), row.try_get(1)?, state));
            }
        }
        found.truncate(limit as usize);
        Ok(found)
    }

    /// Artifacts of finished jobs whose time is over, at most so many.
    pub(crate) async fn overdue_artifacts(
        &mut self,
        now: UnixMillis,
        limit: u32,
    ) -> Result<Vec<ArtifactKey>, StoreError> {
        let rows = query(
            "SELECT f.job_id, f.attempt, f.path, f.size FROM artifacts f JOIN jobs j ON j.id = f.job_id
             WHERE f.expires_at <= $1 AND f.expired_at IS NULL AND j.finished_at IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.finished_at IS NULL AND (o.rerun_of = j.id OR o.id = j.parent_job))
             ORDER BY f.expires_at LIMIT $2",
        )
        .bind(now.0)
        .bind(limit)
        .fetch_all(self.connection().await?)
        .await?;
        rows.iter().map(artifact_key).collect()
    }

    /// Artifacts of finished jobs that were kept before an instant, at most so many; of jobs of these types if there are
    /// any.
    pub(crate) async fn artifacts_before(
        &mut self,
        before: UnixMillis,
        job_types: &[String],
        limit: u32,
    ) -> Result<Vec<ArtifactKey>, StoreError> {
        let mut query = Builder::new(
            "SELECT f.job_id, f.attempt, f.path, f.size FROM artifacts f JOIN jobs j ON j.id = f.job_id
             JOIN attempts a ON a.job_id = f.job_id AND a.number = f.attempt
             WHERE f.expired_at IS NULL AND j.finished_at IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.finished_at IS NULL AND (o.rerun_of = j.id OR o.id = j.parent_job))
                AND a.finished_at <= ",
        );
        query.push_bind(before.0);
        if !job_types.is_empty() {
            query.push(" AND j.job_type IN ").push_list(job_types);
            query.push("");
        }
        query.push(" LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(self.connection().await?).await?;
        rows.iter().map(artifact_key).collect()
    }

    /// Inside of a batch's transaction.
    pub(super) async fn write_expiry(&mut self, change: &ExpiryChange) -> Result<(), StoreError> {
        for job in &change.jobs {
            for text in [
                "INSERT INTO garbage (kind, name) SELECT DISTINCT 'artifact', digest FROM artifacts
                 WHERE job_id = $1 AND expired_at IS NULL ON CONFLICT DO NOTHING",
                "INSERT INTO garbage (kind, name) SELECT 'log', job_id || '-' || number FROM attempts
                 WHERE job_id = $1 AND log_bytes > 0 ON CONFLICT DO NOTHING",
                // Everything else about it goes with it.
                "DELETE FROM jobs WHERE id = $1 AND finished_at IS NOT NULL",
            ] {
                query(text).bind(&job.0).execute(self.connection().await?).await?;
            }
        }
        for (key, at) in &change.artifacts {
            for (text, last) in [
                (
                    "INSERT INTO garbage (kind, name) SELECT 'artifact', digest FROM artifacts
                     WHERE job_id = $1 AND attempt = $2 AND path = $3 AND expired_at IS NULL AND $4 > 0
                     ON CONFLICT DO NOTHING",
                    1,
                ),
                (
                    "UPDATE artifacts SET expired_at = $4
                     WHERE job_id = $1 AND attempt = $2 AND path = $3 AND expired_at IS NULL",
                    at.0,
                ),
            ] {
                query(text)
                    .bind(&key.job.0)
                    .bind(key.attempt)
                    .bind(&key.path)
                    .bind(last)
                    .execute(self.connection().await?)
                    .await?;
            }
        }
        for garbage in &change.cleared {
            let (kind, name) = garbage.columns();
            query("DELETE FROM garbage WHERE kind = $1 AND name = $2")
                .bind(kind)
                .bind(name)
                .execute(self.connection().await?)
                .await?;
        }
        Ok(())
    }
}

fn artifact_key(row: &Row) -> Result<ArtifactKey, StoreError> {
    Ok(ArtifactKey {
        job: JobId(row.try_get(0)?),
        attempt: unsigned("artifacts", "attempt", row.try_get(1)?)?,
        path: row.try_get(2)?,
        size: unsigned("artifacts", "size", row.try_get(3)?)?,
    })
}

impl super::Store {
    /// When something will be over next, by what the database knows now.
    pub(crate) async fn next_expiry(&self, default: &Retention) -> Result<Option<UnixMillis>, StoreError> {
        let mut next: Option<i64> = query(
            "SELECT min(at) FROM (
                SELECT min(expires_at) AS at FROM jobs WHERE expires_at IS NOT NULL AND finished_at IS NOT NULL
                UNION ALL
                SELECT min(expires_at) FROM artifacts WHERE expires_at IS NOT NULL AND expired_at IS NULL) AS ends",
        )
        .fetch_one(self.readers())
        .await?
        .try_get(0)?;
        for state in ENDS {
            let Some(time) = default.of(state) else { continue };
            let first: Option<i64> = query(
                "SELECT min(finished_at) FROM jobs WHERE state = $1 AND finished_at IS NOT NULL AND expires_at IS NULL",
            )
            .bind(state.column_name())
            .fetch_one(self.readers())
            .await?
            .try_get(0)?;
            let due = first.map(|at| UnixMillis(at).plus(time).0);
            next = next.into_iter().chain(due).min();
        }
        Ok(next.map(UnixMillis))
    }

    /// Files to remove, at most so many, with or without contents, and whether a row still names them: then they stay.
    pub(crate) async fn garbage(&self, limit: u32, with_contents: bool) -> Result<Vec<(Garbage, bool)>, StoreError> {
        let rows = query(
            "SELECT kind, name, kind = 'artifact' AND EXISTS
                (SELECT 1 FROM artifacts WHERE digest = name AND expired_at IS NULL)
             FROM garbage WHERE kind = 'log' OR $2 LIMIT $1",
        )
        .bind(limit)
        .bind(with_contents)
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                let (kind, name): (&str, String) = (row.try_get(0)?, row.try_get(1)?);
                let garbage = if kind == "log" { Garbage::Log(name) } else { Garbage::Artifact(Digest(name)) };
                Ok((garbage, row.try_get(2)?))
            })
            .collect()
    }

    /// When the oldest attempt was made that an ant has now: it may still name what it has stored.
    pub(crate) async fn oldest_lease(&self) -> Result<Option<UnixMillis>, StoreError> {
        let row = query("SELECT min(created_at) FROM attempts WHERE state IN ('LEASED', 'RUNNING')")
            .fetch_one(self.readers())
            .await?;
        let oldest: Option<i64> = row.try_get(0)?;
        Ok(oldest.map(UnixMillis))
    }

    /// Whether a row names a content that has not expired.
    pub(crate) async fn is_named(&self, digest: &Digest) -> Result<bool, StoreError> {
        let row = query("SELECT EXISTS (SELECT 1 FROM artifacts WHERE digest = $1 AND expired_at IS NULL)")
            .bind(&digest.0)
            .fetch_one(self.readers())
            .await?;
        Ok(row.try_get(0)?)
    }
}
