//! The note of older versions that a data directory's rows have moved to the other kind of database. Today the directory
//! notes which database it goes with ([`super::binding`]).

use std::fs;
use std::io;
use std::path::Path;

use super::OpenError;
use super::sql::Dialect;

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

/// Whether an older version has noted a move.
pub(super) fn is_noted(dir: &Path) -> bool {
    dir.join(FILE).exists()
}

/// Another note has taken its place.
pub(super) fn forget(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
