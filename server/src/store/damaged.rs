//! Jobs whose history and rows disagree: they are ended by their rows alone.

use atta_core::engine::AttemptNumber;
use atta_core::protocol::{AntId, JobId};
use atta_core::time::UnixMillis;

use super::live::job_row;
use super::sql::query;
use super::{JobRow, StoreError, StoreWriter, unsigned};

/// An attempt that an ant has, as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenLease {
    pub(crate) attempt: AttemptNumber,
    pub(crate) token: u64,
    pub(crate) ant: AntId,
}

impl StoreWriter {
    /// The row of a job, without anything else of it.
    pub(crate) async fn job_row(&mut self, job: &JobId) -> Result<Option<JobRow>, StoreError> {
        let row =
            query("SELECT * FROM jobs WHERE id = $1").bind(&job.0).fetch_optional(self.connection().await?).await?;
        row.map(|row| job_row(&row)).transpose()
    }

    /// The attempts of a job that ants have.
    pub(crate) async fn open_leases(&mut self, job: &JobId) -> Result<Vec<OpenLease>, StoreError> {
        let rows = query(
            "SELECT number, token, ant FROM attempts
             WHERE job_id = $1 AND state <> 'FINISHED' AND token IS NOT NULL AND ant IS NOT NULL ORDER BY number",
        )
        .bind(&job.0)
        .fetch_all(self.connection().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(OpenLease {
                    attempt: AttemptNumber(unsigned("attempts", "number", row.try_get(0)?)?),
                    token: row.try_get::<i64, _>(1)?.cast_unsigned(),
                    ant: AntId(row.try_get(2)?),
                })
            })
            .collect()
    }

    /// Ends whatever of a job has not ended, inside of a batch's transaction. The job's own row is written with the others.
    pub(super) async fn write_abandoned(&mut self, job: &JobId, at: UnixMillis) -> Result<(), StoreError> {
        const TIMED: [&str; 2] = [
            "UPDATE tasks SET state = 'CANCELLED', finished_at = $2
             WHERE job_id = $1 AND state NOT IN ('COMPLETED','FAILED','SKIPPED','CANCELLED')",
            "UPDATE attempts SET state = 'FINISHED', result = 'CANCELLED', reason = NULL, token = NULL, finished_at = $2
             WHERE job_id = $1 AND state <> 'FINISHED'",
        ];
        const ENDED: &str =
            "UPDATE outcomes SET ended = 'CANCELLED', finished_at = $2 WHERE job_id = $1 AND finished_at IS NULL";
        const OTHERS: [&str; 3] = [
            "UPDATE task_instances SET state = 'CANCELLED'
             WHERE job_id = $1 AND state NOT IN ('COMPLETED','FAILED','CANCELLED')",
            "DELETE FROM timers WHERE job_id = $1",
            // What was reserved for its agents.
            "DELETE FROM agent_spend WHERE job_id = $1 AND day IS NULL",
        ];
        for text in TIMED.into_iter().chain([ENDED]) {
            query(text).bind(&job.0).bind(at.0).execute(self.connection().await?).await?;
        }
        for text in OTHERS {
            query(text).bind(&job.0).execute(self.connection().await?).await?;
        }
        Ok(())
    }
}
