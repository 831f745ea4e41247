//! Questions to people and their votes.

use atta_core::definition::ApprovalTimeout;
use atta_core::engine::AttemptNumber;
use atta_core::protocol::JobId;
use atta_core::protocol::people::{ApprovalResource, ApprovalState, Decision, VoteResource};
use atta_core::time::UnixMillis;
use serde::{Deserialize, Serialize};

use super::read_model::{Reads, json as from_json};
use super::sql::{AssertSqlSafe, Builder, Dialect, Row, query};
use super::write::ensure_rows;
use super::{ColumnName, StoreError, StoreWriter, json, unsigned};

/// Who may vote, and how many have to, as it was when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApprovalPolicy {
    pub(crate) min_approvals: u32,
    pub(crate) users: Vec<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) unanimous: bool,
    pub(crate) timeout_action: ApprovalTimeout,
}

/// A row of `approvals`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApprovalRow {
    pub(crate) id: String,
    pub(crate) job: JobId,
    pub(crate) job_type: String,
    pub(crate) attempt: AttemptNumber,
    pub(crate) task: String,
    pub(crate) policy: ApprovalPolicy,
    pub(crate) message: Option<String>,
    pub(crate) state: ApprovalState,
    pub(crate) created_at: UnixMillis,
    pub(crate) deadline: Option<UnixMillis>,
    pub(crate) decided_at: Option<UnixMillis>,
}

/// A row of `votes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VoteRow {
    pub(crate) approval: String,
    pub(crate) voter: String,
    pub(crate) decision: Decision,
    pub(crate) comment: Option<String>,
    pub(crate) via: Via,
    pub(crate) at: UnixMillis,
}

/// How a vote came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By the API.
    Api,
    /// By the command line.
    Cli,
    /// By a signed link.
    Link,
}

impl ColumnName for ApprovalState {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Open, "OPEN"),
        (Self::Approved, "APPROVED"),
        (Self::Rejected, "REJECTED"),
        (Self::TimedOut, "TIMED_OUT"),
        (Self::Closed, "CLOSED"),
    ];
}

impl ColumnName for Decision {
    const NAMES: &'static [(Self, &'static str)] = &[(Self::Approve, "approve"), (Self::Reject, "reject")];
}

impl ColumnName for Via {
    const NAMES: &'static [(Self, &'static str)] = &[(Self::Api, "api"), (Self::Cli, "cli"), (Self::Link, "link")];
}

/// An approval with its votes, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) row: ApprovalRow,
    pub(crate) votes: Vec<VoteRow>,
}

impl Asked {
    /// As the API shows it.
    pub(crate) fn resource(&self) -> ApprovalResource {
        let Self { row, votes } = self;
        let action = match row.policy.timeout_action {
            ApprovalTimeout::Approve => "approve",
            ApprovalTimeout::Reject => "reject",
            ApprovalTimeout::Escalate => "escalate",
        };
        ApprovalResource {
            approval_id: row.id.clone(),
            job_id: row.job.clone(),
            job_type: row.job_type.clone(),
            task: row.task.clone(),
            attempt: row.attempt.0,
            state: row.state,
            message: row.message.clone(),
            min_approvals: row.policy.min_approvals,
            users: row.policy.users.clone(),
            roles: row.policy.roles.clone(),
            unanimous: row.policy.unanimous,
            created_at: row.created_at.to_rfc3339(),
            deadline: row.deadline.map(UnixMillis::to_rfc3339),
            timeout_action: row.deadline.map(|_| action.to_owned()),
            decided_at: row.decided_at.map(UnixMillis::to_rfc3339),
            votes: votes
                .iter()
                .map(|vote| VoteResource {
                    voter: vote.voter.clone(),
                    decision: vote.decision,
                    comment: vote.comment.clone(),
                    at: vote.at.to_rfc3339(),
                    via: vote.via.column_name().to_owned(),
                })
                .collect(),
        }
    }
}

const COLUMNS: &str =
    "SELECT a.id, a.job_id, j.job_type, a.attempt, a.task, a.policy, a.message, a.state, a.created_at,
     a.deadline, a.decided_at FROM approvals a JOIN jobs j ON j.id = a.job_id";

fn approval_row(row: &Row) -> Result<ApprovalRow, StoreError> {
    Ok(ApprovalRow {
        id: row.try_get(0)?,
        job: JobId(row.try_get(1)?),
        job_type: row.try_get(2)?,
        attempt: AttemptNumber(unsigned("approvals", "attempt", row.try_get(3)?)?),
        task: row.try_get(4)?,
        policy: from_json("approvals", "policy", row.try_get(5)?)?,
        message: row.try_get(6)?,
        state: ApprovalState::from_column("approvals", "state", row.try_get(7)?)?,
        created_at: UnixMillis(row.try_get(8)?),
        deadline: row.try_get::<Option<i64>, _>(9)?.map(UnixMillis),
        decided_at: row.try_get::<Option<i64>, _>(10)?.map(UnixMillis),
    })
}

const VOTES: &str = "SELECT approval_id, voter, decision, comment, via, at FROM votes";

fn vote_row(row: &Row) -> Result<VoteRow, StoreError> {
    Ok(VoteRow {
        approval: row.try_get(0)?,
        voter: row.try_get(1)?,
        decision: Decision::from_column("votes", "decision", row.try_get(2)?)?,
        comment: row.try_get(3)?,
        via: Via::from_column("votes", "via", row.try_get(4)?)?,
        at: UnixMillis(row.try_get(5)?),
    })
}

/// Rows with the votes that belong to them.
fn joined(rows: &[Row], votes: &[Row]) -> Result<Vec<Asked>, StoreError> {
    let mut found = Vec::with_capacity(rows.len());
    let mut at = std::collections::HashMap::with_capacity(rows.len());
    for row in rows {
        let row = approval_row(row)?;
        at.insert(row.id.clone(), found.len());
        found.push(Asked { row, votes: Vec::new() });
    }
    for row in votes {
        let vote = vote_row(row)?;
        if let Some(at) = at.get(&vote.approval) {
            let asked: &mut Asked = &mut found[*at];
            asked.votes.push(vote);
        }
    }
    Ok(found)
}

impl StoreWriter {
    /// All that can be voted on.
    pub(crate) async fn load_open_approvals(&mut self) -> Result<Vec<Asked>, StoreError> {
        let text = format!("{COLUMNS} WHERE a.state = 'OPEN' ORDER BY a.id");
        let rows = query(AssertSqlSafe(text)).fetch_all(self.connection().await?).await?;
        let text =
            format!("{VOTES} WHERE approval_id IN (SELECT id FROM approvals WHERE state = 'OPEN') ORDER BY at, voter");
        let votes = query(AssertSqlSafe(text)).fetch_all(self.connection().await?).await?;
        joined(&rows, &votes)
    }

    /// One approval, by its id.
    pub(crate) async fn load_approval(&mut self, id: &str) -> Result<Option<Asked>, StoreError> {
        let text = format!("{COLUMNS} WHERE a.id = $1");
        let rows = query(AssertSqlSafe(text)).bind(id).fetch_all(self.connection().await?).await?;
        let text = format!("{VOTES} WHERE approval_id = $1 ORDER BY at, voter");
        let votes = query(AssertSqlSafe(text)).bind(id).fetch_all(self.connection().await?).await?;
        Ok(joined(&rows, &votes)?.pop())
    }

    /// The latest approval that a task of a job asked for.
    pub(crate) async fn latest_approval(&mut self, job: &JobId, task: &str) -> Result<Option<Asked>, StoreError> {
        let row = query("SELECT id FROM approvals WHERE job_id = $1 AND task = $2 ORDER BY attempt DESC LIMIT 1")
            .bind(&job.0)
            .bind(task)
            .fetch_optional(self.connection().await?)
            .await?;
        match row {
            Some(row) => {
                let id: String = row.try_get(0)?;
                self.load_approval(&id).await
            }
            None => Ok(None),
        }
    }

    /// Writes an approval, inside of a batch's transaction.
    pub(super) async fn write_approval(&mut self, row: &ApprovalRow) -> Result<(), StoreError> {
        let done = query(
            "INSERT INTO approvals (id, job_id, attempt, task, policy, message, state, created_at, deadline, decided_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, decided_at = excluded.decided_at",
        )
        .bind(&row.id)
        .bind(&row.job.0)
        .bind(i64::from(row.attempt.0))
        .bind(&row.task)
        .bind(json(&row.policy))
        .bind(row.message.as_deref())
        .bind(row.state.column_name())
        .bind(row.created_at.0)
        .bind(row.deadline.map(|at| at.0))
        .bind(row.decided_at.map(|at| at.0))
        .execute(self.connection().await?)
        .await?;
        ensure_rows("write approval", 1, done.rows_affected())
    }

    /// Writes a vote, inside of a batch's transaction.
    pub(super) async fn write_vote(&mut self, row: &VoteRow) -> Result<(), StoreError> {
        let done =
            query("INSERT INTO votes (approval_id, voter, decision, comment, via, at) VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(&row.approval)
                .bind(&row.voter)
                .bind(row.decision.column_name())
                .bind(row.comment.as_deref())
                .bind(row.via.column_name())
                .bind(row.at.0)
                .execute(self.connection().await?)
                .await?;
        ensure_rows("insert vote", 1, done.rows_affected())
    }
}

/// Conditions on an approval's policy: it names nobody; it names a user; it names a role in a list. The last two want a
/// value and a bracket.
fn may_vote(dialect: Dialect) -> [&'static str; 3] {
    match dialect {
        Dialect::Sqlite => [
            " AND ((json_array_length(a.policy, '$.users') = 0 AND json_array_length(a.policy, '$.roles') = 0)",
            " OR EXISTS (SELECT 1 FROM json_each(a.policy, '$.users') WHERE value = ",
            " OR EXISTS (SELECT 1 FROM json_each(a.policy, '$.roles') WHERE value IN ",
        ],
        Dialect::Postgres => [
            " AND ((json_array_length(a.policy::json->'users') = 0 AND json_array_length(a.policy::json->'roles') = 0)",
            " OR EXISTS (SELECT 1 FROM json_array_elements_text(a.policy::json->'users') AS e (value) WHERE value = ",
            " OR EXISTS (SELECT 1 FROM json_array_elements_text(a.policy::json->'roles') AS e (value) WHERE value IN ",
        ],
    }
}

/// Which approvals are listed. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalFilter {
    /// In this state.
    pub state: Option<ApprovalState>,
    /// Of this job.
    pub job: Option<JobId>,
    /// Of jobs of this definition.
    pub job_type: Option<String>,
    /// On which this person may vote, who holds these roles.
    pub voter: Option<(String, Vec<String>)>,
}

impl Reads {
    /// Approvals, newest first: those before the one with id `before`.
    pub async fn approvals(
        &self,
        filter: &ApprovalFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ApprovalResource>, StoreError> {
        let mut query = Builder::new(COLUMNS);
        query.push(" WHERE true");
        if let Some(before) = before {
            query.push(" AND a.id < ").push_bind(before);
        }
        if let Some(state) = filter.state {
            query.push(" AND a.state = ").push_bind(state.column_name());
        }
        if let Some(job) = &filter.job {
            query.push(" AND a.job_id = ").push_bind(&job.0);
        }
        if let Some(job_type) = &filter.job_type {
            query.push(" AND j.job_type = ").push_bind(job_type);
        }
        if let Some((voter, roles)) = &filter.voter {
            let [free, user, role] = may_vote(self.store.dialect());
            query.push(free).push(user).push_bind(voter).push(")");
            if !roles.is_empty() {
                query.push(role).push_list(roles).push(")");
            }
            query.push(")");
        }
        query.push(" ORDER BY a.id DESC LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(self.store.readers()).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = Builder::new(VOTES);
        let ids = rows.iter().map(|row| row.try_get::<&str, _>(0)).collect::<Result<Vec<_>, _>>()?;
        query.push(" WHERE approval_id IN ").push_list(ids);
        query.push(" ORDER BY at, voter");
        let votes = query.build().fetch_all(self.store.readers()).await?;
        Ok(joined(&rows, &votes)?.iter().map(Asked::resource).collect())
    }

    /// One approval, by its id.
    pub async fn approval(&self, id: &str) -> Result<Option<ApprovalResource>, StoreError> {
        let text = format!("{COLUMNS} WHERE a.id = $1");
        let rows = query(AssertSqlSafe(text)).bind(id).fetch_all(self.store.readers()).await?;
        let text = format!("{VOTES} WHERE approval_id = $1 ORDER BY at, voter");
        let votes = query(AssertSqlSafe(text)).bind(id).fetch_all(self.store.readers()).await?;
        Ok(joined(&rows, &votes)?.first().map(Asked::resource))
    }
}
