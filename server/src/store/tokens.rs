//! API tokens and the record of what was done with them.

use super::sql::query;
use super::{ColumnName, Reads, StoreError, StoreWriter};
use atta_core::protocol::access::{AuditEntry, Role};
use atta_core::time::UnixMillis;

impl ColumnName for Role {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Viewer, "viewer"),
        (Self::Submitter, "submitter"),
        (Self::Operator, "operator"),
        (Self::Admin, "admin"),
        (Self::Ant, "ant"),
    ];
}

/// A row of `tokens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    pub(crate) id: String,
    pub(crate) name: String,
    /// BLAKE3 of the value, in hex.
    pub(crate) hash: String,
    pub(crate) role: Role,
    pub(crate) user: String,
    pub(crate) ant: Option<String>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) created_at: UnixMillis,
    pub(crate) created_by: String,
    pub(crate) expires_at: Option<UnixMillis>,
    pub(crate) last_used_at: Option<UnixMillis>,
    pub(crate) revoked_at: Option<UnixMillis>,
}

/// A new row of `audit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    pub(crate) at: UnixMillis,
    pub(crate) user: String,
    pub(crate) token: String,
    pub(crate) action: String,
    pub(crate) target: String,
    pub(crate) status: u16,
    pub(crate) request_id: String,
    /// What else there is to say.
    pub(crate) detail: Option<String>,
}

impl StoreWriter {
    /// All tokens, those too that are no good any more.
    pub(crate) async fn load_tokens(&mut self) -> Result<Vec<TokenRow>, StoreError> {
        let rows = query(
            "SELECT id, name, hash, role, user_name, ant, tags, created_at, created_by, expires_at, last_used_at,
                revoked_at FROM tokens ORDER BY created_at, id",
        )
        .fetch_all(self.connection().await?)
        .await?;
        rows.iter()
            .map(|row| {
                let instant = |index: usize| row.try_get::<Option<i64>, _>(index).map(|at| at.map(UnixMillis));
                let tags: Option<String> = row.try_get(6)?;
                Ok(TokenRow {
                    id: row.try_get(0)?,
                    name: row.try_get(1)?,
                    hash: row.try_get(2)?,
                    role: Role::from_column("tokens", "role", &row.try_get::<String, _>(3)?)?,
                    user: row.try_get(4)?,
                    ant: row.try_get(5)?,
                    // A list that cannot be read allows nothing.
                    tags: tags.map(|tags| serde_json::from_str(&tags).unwrap_or_default()),
                    created_at: UnixMillis(row.try_get(7)?),
                    created_by: row.try_get(8)?,
                    expires_at: instant(9)?,
                    last_used_at: instant(10)?,
                    revoked_at: instant(11)?,
                })
            })
            .collect()
    }

    /// Writes a token, inside of a batch's transaction.
    pub(super) async fn write_token(&mut self, row: &TokenRow) -> Result<(), StoreError> {
        let done = query(
            "INSERT INTO tokens (id, name, hash, role, user_name, ant, tags, created_at, created_by, expires_at,
                last_used_at, revoked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (id) DO UPDATE SET last_used_at = excluded.last_used_at, revoked_at = excluded.revoked_at",
        )
        .bind(&row.id)
        .bind(&row.name)
        .bind(&row.hash)
        .bind(row.role.column_name())
        .bind(&row.user)
        .bind(row.ant.as_deref())
        .bind(row.tags.as_ref().map(super::json))
        .bind(row.created_at.0)
        .bind(&row.created_by)
        .bind(row.expires_at.map(|at| at.0))
        .bind(row.last_used_at.map(|at| at.0))
        .bind(row.revoked_at.map(|at| at.0))
        .execute(self.connection().await?)
        .await?;
        super::write::ensure_rows("write token", 1, done.rows_affected())
    }

    /// Writes down what was done, inside of a batch's transaction.
    pub(super) async fn write_audit(&mut self, row: &AuditRow) -> Result<(), StoreError> {
        let done = query(
            "INSERT INTO audit (sequence, at, user_name, token, action, target, status, request_id, detail)
             SELECT COALESCE(MAX(sequence), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8 FROM audit",
        )
        .bind(row.at.0)
        .bind(&row.user)
        .bind(&row.token)
        .bind(&row.action)
        .bind(&row.target)
        .bind(i64::from(row.status))
        .bind(&row.request_id)
        .bind(row.detail.as_deref())
        .execute(self.connection().await?)
        .await?;
        super::write::ensure_rows("write audit", 1, done.rows_affected())
    }
}

impl Reads {
    /// What was done with tokens, the newest first, older than the sequence.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = query(
            "SELECT sequence, at, user_name, token, action, target, status, request_id, detail FROM audit
             WHERE sequence < $1 ORDER BY sequence DESC LIMIT $2",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(self.store.readers())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(AuditEntry {
                    sequence: row.try_get(0)?,
                    at: UnixMillis(row.try_get(1)?).to_rfc3339(),
                    user: row.try_get(2)?,
                    token: row.try_get(3)?,
                    action: row.try_get(4)?,
                    target: row.try_get(5)?,
                    status: u16::try_from(row.try_get::<i64, _>(6)?).unwrap_or_default(),
                    request_id: row.try_get(7)?,
                    detail: row.try_get(8)?,
                })
            })
            .collect()
    }
}
