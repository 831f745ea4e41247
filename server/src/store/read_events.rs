//! History as lines for people and programs.

use atta_core::protocol::JobId;
use atta_core::protocol::api::EventResource;
use serde_json::Value;

use super::StoreError;
use super::read_model::{Outline, Reads, instant, json};
use super::sql::{Row, query};

impl Reads {
    /// What happened after `sequence`, oldest first: up to `rows` events, each followed by what was decided on it. All
    /// lines of an event have its sequence number.
    pub async fn events(
        &self,
        job: Option<&JobId>,
        after: i64,
        rows: u32,
    ) -> Result<Vec<Vec<EventResource>>, StoreError> {
        const ALL: &str = "SELECT e.sequence, e.job_id, e.at, e.event, e.effects, j.job_type, j.version
             FROM events e JOIN jobs j ON j.id = e.job_id WHERE e.sequence > $1 ORDER BY e.sequence LIMIT $2";
        const OF_JOB: &str = "SELECT e.sequence, e.job_id, e.at, e.event, e.effects, j.job_type, j.version
             FROM events e JOIN jobs j ON j.id = e.job_id WHERE e.sequence > $1 AND e.job_id = $3
             ORDER BY e.sequence LIMIT $2";
        let query = match job {
            None => query(ALL).bind(after).bind(rows),
            Some(job) => query(OF_JOB).bind(after).bind(rows).bind(&job.0),
        };
        let rows = query.fetch_all(self.store.readers()).await?;
        self.lines_of(&rows).await
    }

    /// What happened to a job before `sequence`, newest first: up to `rows` events, each followed by what was decided on it.
    pub async fn events_before(
        &self,
        job: &JobId,
        sequence: i64,
        rows: u32,
    ) -> Result<Vec<Vec<EventResource>>, StoreError> {
        let rows = query(
            "SELECT e.sequence, e.job_id, e.at, e.event, e.effects, j.job_type, j.version
             FROM events e JOIN jobs j ON j.id = e.job_id WHERE e.job_id = $1 AND e.sequence < $2
             ORDER BY e.sequence DESC LIMIT $3",
        )
        .bind(&job.0)
        .bind(sequence)
        .bind(rows)
        .fetch_all(self.store.readers())
        .await?;
        self.lines_of(&rows).await
    }

    /// From `sequence, job_id, at, event, effects, job_type, version`.
    async fn lines_of(&self, rows: &[Row]) -> Result<Vec<Vec<EventResource>>, StoreError> {
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let outline = self.outline(row.try_get(5)?, row.try_get(6)?).await?;
            let event: Value = json("events", "event", row.try_get(3)?)?;
            let effects: Vec<Value> = json("events", "effects", row.try_get(4)?)?;
            let sequence: i64 = row.try_get(0)?;
            let job_id = JobId(row.try_get(1)?);
            let at = instant(row.try_get(2)?);
            let line = |mut data: Value| {
                let kind = data.as_object_mut().and_then(|data| data.shift_remove("type"));
                let kind = kind.as_ref().and_then(Value::as_str).unwrap_or("unknown").to_owned();
                name_tasks(&mut data, &outline);
                EventResource { sequence, job_id: job_id.clone(), at: at.clone(), kind, data }
            };
            events.push(std::iter::once(event).chain(effects).map(line).collect());
        }
        Ok(events)
    }
}

/// Task numbers become names.
fn name_tasks(data: &mut Value, outline: &Outline) {
    let name = |value: &mut Value| {
        if let Some(name) = value.as_i64().and_then(|index| outline.task(index)) {
            *value = Value::from(name);
        }
    };
    let Some(fields) = data.as_object_mut() else {
        return;
    };
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("task", value) => name(value),
            ("reset", Value::Array(tasks)) => tasks.iter_mut().for_each(name),
            (_, value) => name_tasks(value, outline),
        }
    }
}
