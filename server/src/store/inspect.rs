//! Looking at a database file without being its server.

use std::path::Path;
use std::time::Duration;

use super::migrate;
use super::sql::{Pool, SqliteFile, query};

/// A file that is not read through in this time is large; it is checked as it is read.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a database file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The version of its tables; `None`: it has none yet.
    pub version: Option<i64>,
    /// The newest version that this program knows.
    pub known: i64,
    /// What is wrong with its pages; `None`: it was not read through in time.
    pub damage: Option<Vec<String>>,
}

/// Reads a database file, which a server may be using. An error is a phrase.
pub async fn inspect_file(file: &Path) -> Result<FileReport, String> {
    let pool = Pool::Sqlite(SqliteFile::new(file).readers());
    let said = async {
        query("SELECT count(*) FROM sqlite_schema").fetch_one(&pool).await?;
        let has = "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'";
        let has: i64 = query(has).fetch_one(&pool).await?.try_get(0)?;
        let version = if has == 0 {
            None
        } else {
            query("SELECT max(version) FROM schema_migrations").fetch_one(&pool).await?.try_get(0)?
        };
        let damage = match tokio::time::timeout(PATIENCE, query("PRAGMA quick_check(5)").fetch_all(&pool)).await {
            Err(_) => None,
            Ok(rows) => {
                let mut lines = Vec::new();
                for row in rows? {
                    let line: String = row.try_get(0)?;
                    lines.push(line);
                }
                lines.retain(|line| line != "ok");
                Some(lines)
            }
        };
        Ok::<_, sqlx::Error>(FileReport { version, known: migrate::newest(), damage })
    }
    .await;
    pool.close().await;
    said.map_err(|error| error.to_string())
}
