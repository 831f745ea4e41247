//! A data directory whose database was moved says where to, so that nobody starts the old one by mistake: two worlds would
//! run the same jobs.

use std::fs;
use std::io;
use std::path::Path;

use super::OpenError;
use super::sql::Dialect;
use crate::notes::put;

const FILE: &str = "database.moved";

fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "SQLite",
        Dialect::Postgres => "PostgreSQL",
    }
}

/// Refuses a database that the data directory does not use any more.
pub(super) fn check(dir: &Path, database: &str, dialect: Dialect) -> Result<(), OpenError> {
    match fs::read_to_string(dir.join(FILE)) {
        Ok(to) if to.trim() != name(dialect) => Err(OpenError::Moved {
            file: database.to_owned(),
            to: to.trim().to_owned(),
            dir: dir.display().to_string(),
        }),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(OpenError::NotWritable { dir: dir.display().to_string(), source }),
    }
}

/// From now on the directory goes with this kind of database.
pub(super) fn note(dir: &Path, to: Dialect) -> io::Result<()> {
    put(dir, FILE, format!("{}\n", name(to)).as_bytes())
}
