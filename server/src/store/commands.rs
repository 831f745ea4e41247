//! What ants were told to do in attempts.

use atta_core::engine::AttemptNumber;
use atta_core::protocol::JobId;

use super::StoreError;
use super::read_model::Reads;
use super::sql::query;

/// A row of `attempt_commands`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandRow {
    pub(crate) job: JobId,
    pub(crate) attempt: AttemptNumber,
    /// JSON, compressed.
    pub(crate) command: Vec<u8>,
}

/// What is known of what an ant was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredCommand {
    /// There is no such attempt.
    NoAttempt,
    /// No ant was told anything.
    NotGiven,
    /// One was, and what is not kept.
    NotKept,
    /// JSON.
    Kept(String),
}

impl Reads {
    /// What an ant was told in an attempt.
    pub async fn attempt_command(&self, job: &JobId, number: u32) -> Result<StoredCommand, StoreError> {
        let row = query(
            "SELECT a.ant, c.command FROM attempts a LEFT JOIN attempt_commands c ON c.job_id = a.job_id AND c.attempt = a.number
             WHERE a.job_id = $1 AND a.number = $2",
        )
        .bind(&job.0)
        .bind(number)
        .fetch_optional(self.store.readers())
        .await?;
        let Some(row) = row else { return Ok(StoredCommand::NoAttempt) };
        let (ant, command): (Option<String>, Option<Vec<u8>>) = (row.try_get(0)?, row.try_get(1)?);
        let Some(command) = command else {
            return Ok(if ant.is_some() { StoredCommand::NotKept } else { StoredCommand::NotGiven });
        };
        let text = zstd::decode_all(&command[..]).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(StoredCommand::Kept).ok_or_else(|| StoreError::Value {
            table: "attempt_commands",
            column: "command",
            value: format!("{} bytes that are no compressed text", command.len()),
        })
    }
}
