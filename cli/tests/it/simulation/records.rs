//! What is stored, read by somebody who asks nobody.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use atta_core::protocol::AttemptId;
use atta_server::simulation as server;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row, SqliteConnection};

/// Two milliseconds each.
const MOST_TRIES: usize = 1_000;

/// A connection of its own to the queen's database.
pub(super) struct Records {
    file: PathBuf,
    connection: Mutex<Option<SqliteConnection>>,
}

impl Records {
    pub(super) fn new(dir: &Path) -> Self {
        Self { file: dir.join("atta.db"), connection: Mutex::default() }
    }

    /// Reads by the connection that is there, or a new one.
    fn read(&self, connection: &mut Option<SqliteConnection>, sql: &str) -> sqlx::Result<Vec<SqliteRow>> {
        if connection.is_none() {
            let options = SqliteConnectOptions::new().filename(&self.file).read_only(true);
            *connection = Some(server::wait(options.disable_statement_logging().connect())?);
        }
        let Some(open) = connection else { unreachable!("it was just opened") };
        server::wait(sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(open))
    }

    /// All rows of a query, each as its columns' texts joined with blanks; null is `-`.
    pub(super) fn rows(&self, sql: &str) -> Vec<String> {
        // The queen may have stopped where she was told to; that is no reason not to read.
        let crashed = server::has_crashed();
        let mut connection = self.connection.lock().unwrap();
        // A queen that was killed closes her file on a thread of its own. As long as that one writes, what is read here may
        // be gone or cut.
        let mut tries = 0;
        let rows = loop {
            match self.read(&mut connection, sql) {
                Ok(rows) => break rows,
                Err(error) => assert!(tries < MOST_TRIES, "{error}"),
            }
            tries += 1;
            *connection = None;
            std::thread::sleep(Duration::from_millis(2));
        };
        assert_eq!(server::has_crashed(), crashed);
        let text = |row: &SqliteRow, at: usize| {
            row.try_get::<Option<String>, _>(at)
                .or_else(|_| row.try_get::<Option<i64>, _>(at).map(|n| n.map(|n| n.to_string())))
                .unwrap()
                .unwrap_or_else(|| "-".to_owned())
        };
        rows.iter().map(|row| (0..row.len()).map(|at| text(row, at)).collect::<Vec<_>>().join(" ")).collect()
    }

    /// `STATE token ant` of an attempt.
    pub(super) fn lease(&self, attempt: &AttemptId) -> String {
        let Some((job, number)) = attempt.parts() else { return String::new() };
        let sql = "SELECT state, token, ant FROM attempts WHERE job_id";
        self.rows(&format!("{sql} = '{job}' AND number = {}", number.0)).concat()
    }
}
