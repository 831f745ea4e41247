//! The only place with SQL.

/// Handle to the database; cheap to clone. Reads go to a pool of their own; writes belong to the queen's writer.
#[derive(Clone)]
pub struct Store {
    readers: sqlx::SqlitePool,
}

impl Store {
    /// The pool for reads.
    pub(crate) fn readers(&self) -> &sqlx::SqlitePool {
        &self.readers
    }
}
