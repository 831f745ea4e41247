//! A data directory and its database belong together: the database has an id (in `meta`), and the directory notes it. With
//! another database beside it, the files of a directory would belong to nobody, and be removed; and the jobs of the one
//! that it belongs to would run where nobody sees them.

use std::fs;
use std::io;
use std::path::Path;

use crate::notes::put;

use super::sql::{Connection, Dialect, Target, query};
use super::{OpenError, Store, StoreError, moved, open};

/// What `meta` calls the id. It is of this database only: no dump has it.
pub(super) const KEY: &str = "database";
/// The directory's note: the id, and in the second line where the database was, for whoever reads it.
pub(crate) const FILE: &str = "database.id";

/// Which database it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    id: String,
    name: String,
}

impl Binding {
    /// A new id for a database.
    pub(super) async fn new(connection: &mut Connection, name: &str) -> Result<Self, StoreError> {
        let text = match connection.dialect() {
            Dialect::Sqlite => "SELECT lower(hex(randomblob(16)))",
            Dialect::Postgres => "SELECT replace(gen_random_uuid()::text, '-', '')",
        };
        let id = query(text).fetch_one(connection).await?.try_get(0)?;
        Ok(Self { id, name: shown(name) })
    }

    /// Gives it to the database.
    pub(super) async fn store(&self, connection: &mut Connection) -> Result<(), StoreError> {
        query("INSERT INTO meta (key, value) VALUES ($1, $2)").bind(KEY).bind(&self.id).execute(connection).await?;
        Ok(())
    }

    /// Whether the database has this id: `None`, it has no table for it.
    pub(super) async fn is_of(&self, connection: &mut Connection) -> Result<bool, StoreError> {
        Ok(has_tables(connection).await? && id(connection).await?.as_ref() == Some(&self.id))
    }

    /// From now on the directory goes with this database, and with no other one.
    pub(crate) fn note(&self, dir: &Path) -> io::Result<()> {
        put(dir, FILE, format!("{}\n{}\n", self.id, self.name).as_bytes())?;
        moved::forget(dir)
    }

    fn noted(dir: &Path) -> Result<Option<Self>, OpenError> {
        match fs::read_to_string(dir.join(FILE)) {
            Ok(text) => {
                let mut lines = text.lines().map(str::to_owned);
                Ok(Some(Self { id: lines.next().unwrap_or_default(), name: lines.next().unwrap_or_default() }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(OpenError::NotWritable { dir: dir.display().to_string(), source }),
        }
    }
}

/// The directory may be elsewhere tomorrow: its own file needs no path.
fn shown(name: &str) -> String {
    if name.starts_with("postgres://") { name.to_owned() } else { open::FILE.to_owned() }
}

async fn has_tables(connection: &mut Connection) -> Result<bool, StoreError> {
    let text = match connection.dialect() {
        Dialect::Sqlite => "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'",
        Dialect::Postgres => "SELECT count(to_regclass('meta'))",
    };
    let found: i64 = query(text).fetch_one(connection).await?.try_get(0)?;
    Ok(found > 0)
}

/// The id of a database with tables, unless it is of an older server.
pub(super) async fn id<'c>(on: impl Into<Target<'c>>) -> Result<Option<String>, StoreError> {
    let row = query("SELECT value FROM meta WHERE key = $1").bind(KEY).fetch_optional(on).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Refuses the id of a database that the directory does not go with.
pub(super) fn check_id(dir: &Path, name: &str, found: Option<&str>) -> Result<(), OpenError> {
    match Binding::noted(dir)? {
        Some(noted) if found != Some(noted.id.as_str()) => {
            Err(OpenError::Stranger { file: name.to_owned(), dir: dir.display().to_string(), known: noted.name })
        }
        _ => Ok(()),
    }
}

/// Refuses a database that has no tables yet when the directory goes with another one.
pub(super) fn check_empty(dir: &Path, name: &str) -> Result<(), OpenError> {
    check_id(dir, name, None)?;
    let cannot = |source| OpenError::NotWritable { dir: dir.display().to_string(), source };
    for part in ["artifacts", "logs"] {
        if has_files(&dir.join(part)).map_err(cannot)? {
            return Err(OpenError::Orphans { file: name.to_owned(), dir: dir.display().to_string(), part });
        }
    }
    Ok(())
}

/// Refuses a database that the directory does not go with, before anything of it is changed.
pub(super) async fn check(connection: &mut Connection, dir: &Path, name: &str) -> Result<(), OpenError> {
    let wrong = |error: StoreError| OpenError::from_store(name, &error);
    let tables = has_tables(connection).await.map_err(wrong)?;
    if tables {
        let found = id(&mut *connection).await.map_err(wrong)?;
        check_id(dir, name, found.as_deref())?;
    }
    // One that was moved away by an older version is noted in another way.
    let other = connection.dialect() == Dialect::Postgres && dir.join(open::FILE).exists() && !moved::is_noted(dir);
    if other && Binding::noted(dir)?.is_none() {
        return Err(OpenError::HasFile { file: name.to_owned(), dir: dir.display().to_string() });
    }
    if tables { Ok(()) } else { check_empty(dir, name) }
}

/// The directory and its database know each other from now on.
pub(super) async fn bind(connection: &mut Connection, dir: &Path, name: &str) -> Result<(), OpenError> {
    let wrong = |error: StoreError| OpenError::from_store(name, &error);
    let binding = if let Some(id) = id(&mut *connection).await.map_err(wrong)? {
        Binding { id, name: shown(name) }
    } else {
        let binding = Binding::new(connection, name).await.map_err(wrong)?;
        binding.store(connection).await.map_err(wrong)?;
        binding
    };
    if Binding::noted(dir)?.as_ref() == Some(&binding) {
        return Ok(());
    }
    binding.note(dir).map_err(|source| OpenError::NotWritable { dir: dir.display().to_string(), source })
}

fn has_files(dir: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || has_files(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Store {
    /// Whether the files of the directory are those that the rows of this database name.
    pub(crate) async fn goes_with(&self, dir: &Path) -> Result<bool, StoreError> {
        let found = id(self.readers()).await?;
        Ok(found.is_some_and(|id| Binding::noted(dir).is_ok_and(|noted| noted.is_some_and(|noted| noted.id == id))))
    }
}
