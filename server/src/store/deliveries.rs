//! Deliveries of webhooks.

use atta_core::protocol::JobId;
use atta_core::protocol::api::{DeliveryOutcome, DeliveryResource};
use atta_core::time::UnixMillis;

use super::read_model::{Reads, instant, json};
use super::sql::{AssertSqlSafe, Row, query};
use super::{ColumnName, StoreError, StoreWriter};

/// Deliveries of one webhook that are kept, of those that had an effect and of the others; older ones are forgotten.
const KEPT: i64 = 1_000;

/// The outcomes of which [`DeliveryOutcome::is_effect`] holds.
const EFFECTS: &str = "('submitted','woke','duplicate','filtered','ping')";

const COLUMNS: &str = "id, job_type, trigger_name, sender_id, event, headers, outcome, job_id, message, redelivery_of,
    received_at, CAST(length(body) AS BIGINT)";

/// A row of `deliveries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    pub(crate) id: String,
    pub(crate) job_type: String,
    pub(crate) trigger: String,
    pub(crate) sender_id: String,
    pub(crate) event: Option<String>,
    /// A JSON object.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
    pub(crate) outcome: DeliveryOutcome,
    pub(crate) job: Option<JobId>,
    pub(crate) message: Option<String>,
    pub(crate) redelivery_of: Option<String>,
    pub(crate) received_at: UnixMillis,
}

impl ColumnName for DeliveryOutcome {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Submitted, "submitted"),
        (Self::Woke, "woke"),
        (Self::Duplicate, "duplicate"),
        (Self::Filtered, "filtered"),
        (Self::Ping, "ping"),
        (Self::Replayed, "replayed"),
        (Self::Limited, "limited"),
        (Self::Refused, "refused"),
    ];
}

impl StoreWriter {
    /// Whether a delivery with the sender's id has had its effect, and on which job.
    pub(crate) async fn delivered_before(
        &mut self,
        job_type: &str,
        trigger: &str,
        sender_id: &str,
    ) -> Result<Option<(String, Option<JobId>)>, StoreError> {
        let row = query(AssertSqlSafe(format!(
            "SELECT id, job_id FROM deliveries WHERE job_type = $1 AND trigger_name = $2 AND sender_id = $3
                AND outcome IN {EFFECTS} ORDER BY id LIMIT 1"
        )))
        .bind(job_type)
        .bind(trigger)
        .bind(sender_id)
        .fetch_optional(self.connection().await?)
        .await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get::<Option<String>, _>(1)?.map(JobId)))).transpose()
    }

    /// Writes one delivery, inside of a batch's transaction, and forgets the oldest ones of its webhook.
    pub(super) async fn write_delivery(&mut self, row: &DeliveryRow) -> Result<(), StoreError> {
        query(
            "INSERT INTO deliveries (id, job_type, trigger_name, sender_id, event, headers, body, outcome, job_id, message,
                redelivery_of, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(&row.id)
        .bind(&row.job_type)
        .bind(&row.trigger)
        .bind(&row.sender_id)
        .bind(row.event.as_deref())
        .bind(&row.headers)
        .bind(&row.body)
        .bind(row.outcome.column_name())
        .bind(row.job.as_ref().map(|job| job.0.as_str()))
        .bind(row.message.as_deref())
        .bind(row.redelivery_of.as_deref())
        .bind(row.received_at.0)
        .execute(self.connection().await?)
        .await?;
        // Whoever repeats one of them must not push it out with its repetitions: then it would have its effect again.
        let kind = if row.outcome.is_effect() { "IN" } else { "NOT IN" };
        query(AssertSqlSafe(format!(
            "DELETE FROM deliveries WHERE job_type = $1 AND trigger_name = $2 AND outcome {kind} {EFFECTS} AND id < (
                SELECT id FROM deliveries WHERE job_type = $1 AND trigger_name = $2 AND outcome {kind} {EFFECTS}
                ORDER BY id DESC LIMIT 1 OFFSET $3)"
        )))
        .bind(&row.job_type)
        .bind(&row.trigger)
        .bind(KEPT - 1)
        .execute(self.connection().await?)
        .await?;
        Ok(())
    }
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of this definition.
    pub job_type: Option<String>,
    /// Of the webhook with this name.
    pub trigger: Option<String>,
    /// With this outcome.
    pub outcome: Option<DeliveryOutcome>,
}

impl Reads {
    /// Deliveries, the newest first, before the one with this id.
    pub async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        before: Option<&str>,
        rows: u32,
    ) -> Result<Vec<DeliveryResource>, StoreError> {
        let text = format!(
            "SELECT {COLUMNS} FROM deliveries WHERE ($1 IS NULL OR job_type = $1) AND ($2 IS NULL OR trigger_name = $2)
                AND ($3 IS NULL OR outcome = $3) AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5"
        );
        let rows = query(AssertSqlSafe(text))
            .bind(filter.job_type.as_deref())
            .bind(filter.trigger.as_deref())
            .bind(filter.outcome.map(ColumnName::column_name))
            .bind(before)
            .bind(rows)
            .fetch_all(self.store.readers())
            .await?;
        rows.iter().map(resource).collect()
    }

    /// One delivery with its body.
    pub async fn delivery(&self, id: &str) -> Result<Option<(DeliveryResource, Vec<u8>)>, StoreError> {
        let text = format!("SELECT {COLUMNS}, body FROM deliveries WHERE id = $1");
        let row = query(AssertSqlSafe(text)).bind(id).fetch_optional(self.store.readers()).await?;
        row.map(|row| Ok((resource(&row)?, row.try_get(12)?))).transpose()
    }
}

fn resource(row: &Row) -> Result<DeliveryResource, StoreError> {
    Ok(DeliveryResource {
        id: row.try_get(0)?,
        job_type: row.try_get(1)?,
        trigger: row.try_get(2)?,
        sender_id: row.try_get(3)?,
        event: row.try_get(4)?,
        headers: json("deliveries", "headers", row.try_get(5)?)?,
        outcome: DeliveryOutcome::from_column("deliveries", "outcome", row.try_get(6)?)?,
        job_id: row.try_get::<Option<String>, _>(7)?.map(JobId),
        message: row.try_get(8)?,
        redelivery_of: row.try_get(9)?,
        received_at: instant(row.try_get(10)?),
        body_bytes: u64::try_from(row.try_get::<i64, _>(11)?).unwrap_or(0),
    })
}
