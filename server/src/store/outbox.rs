//! What is to be told to somebody, and how far that has come.

use atta_core::protocol::JobId;
use atta_core::protocol::people::{DeliveryState, NotificationResource};
use atta_core::time::UnixMillis;

use super::read_model::{Reads, instant, json, maybe_instant};
use super::sql::{AssertSqlSafe, Builder, Row, query};
use super::write::ensure_rows;
use super::{ColumnName, StoreError, StoreWriter, unsigned};

/// How somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channel {
    Webhook,
    Slack,
    Email,
}

impl ColumnName for Channel {
    const NAMES: &'static [(Self, &'static str)] =
        &[(Self::Webhook, "webhook"), (Self::Slack, "slack"), (Self::Email, "email")];
}

impl ColumnName for DeliveryState {
    const NAMES: &'static [(Self, &'static str)] =
        &[(Self::Pending, "PENDING"), (Self::Sent, "SENT"), (Self::Dead, "DEAD")];
}

/// A new row of `outbox`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutboxRow {
    pub(crate) id: String,
    pub(crate) job: JobId,
    pub(crate) event: &'static str,
    /// Which entry of `notify`.
    pub(crate) rule: u32,
    pub(crate) channel: Channel,
    /// Which of an e-mail's addresses.
    pub(crate) recipient: u32,
    /// Whose address it is, when it goes to somebody who may vote.
    pub(crate) voter: Option<String>,
    /// As the definition writes it.
    pub(crate) destination: String,
    /// A JSON object.
    pub(crate) content: String,
    pub(crate) created_at: UnixMillis,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// The receiver has it.
    Sent,
    /// It is tried again.
    Again { at: UnixMillis, error: String },
    /// It is given up.
    Dead { error: String },
    /// Somebody wants it tried anew.
    Anew,
}

/// A change to a row of `outbox`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryChange {
    pub(crate) id: String,
    pub(crate) outcome: DeliveryOutcome,
    pub(crate) at: UnixMillis,
}

/// A delivery that is due, with what is needed to make it.
#[derive(Debug, Clone)]
pub(crate) struct DueDelivery {
    pub(crate) id: String,
    pub(crate) job: JobId,
    pub(crate) event: String,
    pub(crate) rule: u32,
    pub(crate) channel: Channel,
    pub(crate) recipient: u32,
    pub(crate) voter: Option<String>,
    pub(crate) destination: String,
    pub(crate) content: String,
    /// Tries that have failed.
    pub(crate) attempts: u32,
    pub(crate) due: UnixMillis,
}

impl StoreWriter {
    /// Writes a delivery to make, inside of a batch's transaction.
    pub(super) async fn write_outbox(&mut self, row: &OutboxRow) -> Result<(), StoreError> {
        let done = query(
            "INSERT INTO outbox (id, job_id, event, rule, channel, recipient, voter, destination, content, state, next_at,
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'PENDING', $10, $10)",
        )
        .bind(&row.id)
        .bind(&row.job.0)
        .bind(row.event)
        .bind(i64::from(row.rule))
        .bind(row.channel.column_name())
        .bind(i64::from(row.recipient))
        .bind(row.voter.as_deref())
        .bind(&row.destination)
        .bind(&row.content)
        .bind(row.created_at.0)
        .execute(self.connection().await?)
        .await?;
        ensure_rows("insert outbox", 1, done.rows_affected())
    }

    /// Writes what became of a delivery, inside of a batch's transaction. One whose job is gone is gone itself.
    pub(super) async fn write_outcome(&mut self, change: &DeliveryChange) -> Result<(), StoreError> {
        let (state, next_at, error) = match &change.outcome {
            DeliveryOutcome::Sent => (DeliveryState::Sent, None, None),
            DeliveryOutcome::Again { at, error } => (DeliveryState::Pending, Some(at.0), Some(error)),
            DeliveryOutcome::Dead { error } => (DeliveryState::Dead, None, Some(error)),
            DeliveryOutcome::Anew => {
                query(
                    "UPDATE outbox SET state = 'PENDING', attempts = 0, next_at = $2, finished_at = NULL WHERE id = $1",
                )
                .bind(&change.id)
                .bind(change.at.0)
                .execute(self.connection().await?)
                .await?;
                return Ok(());
            }
        };
        let finished = (state != DeliveryState::Pending).then_some(change.at.0);
        query(
            "UPDATE outbox SET state = $2, next_at = $3, last_error = coalesce($4, last_error),
             attempts = attempts + 1, finished_at = $5 WHERE id = $1",
        )
        .bind(&change.id)
        .bind(state.column_name())
        .bind(next_at)
        .bind(error)
        .bind(finished)
        .execute(self.connection().await?)
        .await?;
        Ok(())
    }

    /// How far a delivery has come.
    pub(crate) async fn delivery_state(&mut self, id: &str) -> Result<Option<DeliveryState>, StoreError> {
        let row =
            query("SELECT state FROM outbox WHERE id = $1").bind(id).fetch_optional(self.connection().await?).await?;
        row.map(|row| DeliveryState::from_column("outbox", "state", row.try_get(0)?)).transpose()
    }
}

/// Which deliveries are listed. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotificationFilter {
    /// In this state.
    pub state: Option<DeliveryState>,
    /// About this job.
    pub job: Option<JobId>,
}

const COLUMNS: &str =
    "SELECT o.id, o.job_id, j.job_type, o.event, o.channel, o.destination, o.state, o.attempts, o.next_at,
     o.last_error, o.created_at, o.finished_at, o.content FROM outbox o JOIN jobs j ON j.id = o.job_id";

fn resource(row: &Row) -> Result<NotificationResource, StoreError> {
    Ok(NotificationResource {
        notification_id: row.try_get(0)?,
        job_id: JobId(row.try_get(1)?),
        job_type: row.try_get(2)?,
        event: row.try_get(3)?,
        channel: row.try_get(4)?,
        destination: row.try_get(5)?,
        state: DeliveryState::from_column("outbox", "state", row.try_get(6)?)?,
        attempts: unsigned("outbox", "attempts", row.try_get(7)?)?,
        next_at: maybe_instant(row.try_get(8)?),
        last_error: row.try_get(9)?,
        created_at: instant(row.try_get(10)?),
        finished_at: maybe_instant(row.try_get(11)?),
        content: json("outbox", "content", row.try_get(12)?)?,
    })
}

impl Reads {
    /// Deliveries, newest first: those before the one with id `before`.
    pub async fn notifications(
        &self,
        filter: &NotificationFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<NotificationResource>, StoreError> {
        let mut query = Builder::new(COLUMNS);
        query.push(" WHERE true");
        if let Some(before) = before {
            query.push(" AND o.id < ").push_bind(before);
        }
        if let Some(state) = filter.state {
            query.push(" AND o.state = ").push_bind(state.column_name());
        }
        if let Some(job) = &filter.job {
            query.push(" AND o.job_id = ").push_bind(&job.0);
        }
        query.push(" ORDER BY o.id DESC LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(self.store.readers()).await?;
        rows.iter().map(resource).collect()
    }

    /// One delivery, by its id.
    pub async fn notification(&self, id: &str) -> Result<Option<NotificationResource>, StoreError> {
        let text = format!("{COLUMNS} WHERE o.id = $1");
        let row = query(AssertSqlSafe(text)).bind(id).fetch_optional(self.store.readers()).await?;
        row.as_ref().map(resource).transpose()
    }

    /// Deliveries that are to be made now or later, in order of time, but to those who are busy.
    pub(crate) async fn pending_deliveries(
        &self,
        busy: impl Iterator<Item = &(Channel, String)>,
        limit: u32,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let mut query = Builder::new(
            "SELECT id, job_id, event, rule, channel, recipient, voter, destination, content, attempts, next_at FROM outbox
             WHERE state = 'PENDING'",
        );
        for (channel, destination) in busy {
            query.push(" AND NOT (channel = ").push_bind(channel.column_name());
            // All e-mails go to one server, whoever they are for.
            if *channel != Channel::Email {
                query.push(" AND destination = ").push_bind(destination);
            }
            query.push(")");
        }
        query.push(" ORDER BY next_at, id LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(self.store.readers()).await?;
        rows.iter()
            .map(|row| {
                Ok(DueDelivery {
                    id: row.try_get(0)?,
                    job: JobId(row.try_get(1)?),
                    event: row.try_get(2)?,
                    rule: unsigned("outbox", "rule", row.try_get(3)?)?,
                    channel: Channel::from_column("outbox", "channel", row.try_get(4)?)?,
                    recipient: unsigned("outbox", "recipient", row.try_get(5)?)?,
                    voter: row.try_get(6)?,
                    destination: row.try_get(7)?,
                    content: row.try_get(8)?,
                    attempts: unsigned("outbox", "attempts", row.try_get(9)?)?,
                    due: UnixMillis(row.try_get(10)?),
                })
            })
            .collect()
    }

    /// The row of a job with the source of its definition's version.
    pub(crate) async fn job_with_source(&self, job: &JobId) -> Result<Option<(super::JobRow, String)>, StoreError> {
        let row = query(
            "SELECT j.*, v.source AS definition_source FROM jobs j
             JOIN definition_versions v ON v.job_type = j.job_type AND v.version = j.version WHERE j.id = $1",
        )
        .bind(&job.0)
        .fetch_optional(self.store.readers())
        .await?;
        row.map(|row| Ok((super::live::job_row(&row)?, row.try_get("definition_source")?))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn many_e_mails_do_not_keep_others_from_being_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut writer) = Store::open(dir.path(), UnixMillis(0)).await.unwrap();
        let on = writer.connection().await.unwrap();
        for text in [
            "INSERT INTO definitions (job_type, latest_version, created_at, updated_at) VALUES ('a', 'v', 0, 0)",
            "INSERT INTO definition_versions (job_type, version, source, created_at) VALUES ('a', 'v', '', 0)",
            "INSERT INTO jobs (id, job_type, version, state, priority, params, submitted_by, created_at)
             VALUES ('job_1', 'a', 'v', 'RUNNING', 2, '{}', 'test', 0)",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)
             INSERT INTO outbox (id, job_id, event, rule, channel, destination, content, state, next_at, created_at)
             SELECT 'ntf_' || i, 'job_1', 'job.failed', 0, CASE WHEN i = 10 THEN 'webhook' ELSE 'email' END, 'to' || i, '{}',
                'PENDING', i, 0 FROM n",
        ] {
            query(text).execute(&mut *on).await.unwrap();
        }
        let busy = [(Channel::Email, String::new())];
        let pending = Reads::new(store).pending_deliveries(busy.iter(), 3).await.unwrap();
        assert_eq!(pending.iter().map(|due| due.id.as_str()).collect::<Vec<_>>(), ["ntf_10"]);
    }
}
