//! Rows and the types that are read from them.

use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Row as _};

/// A row that a statement found.
pub(in crate::store) enum Row {
    /// Of a file.
    Sqlite(SqliteRow),
}

/// A type that is read from a column; `Option` of it where the column may be null.
pub(in crate::store) trait Column<'r>: Sized {
    /// From a file's row.
    fn from_sqlite<I: ColumnIndex<SqliteRow>>(row: &'r SqliteRow, at: I) -> Result<Self, sqlx::Error>;
}

/// The place of a column: its index or its name.
pub(in crate::store) trait Place: ColumnIndex<SqliteRow> {}

impl<T: ColumnIndex<SqliteRow>> Place for T {}

impl Row {
    /// The value at a place.
    pub(in crate::store) fn try_get<'r, T: Column<'r>, I: Place>(&'r self, at: I) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => T::from_sqlite(row, at),
        }
    }
}

macro_rules! column {
    ($($type:ty),*) => {$(
        impl<'r> Column<'r> for $type {
            fn from_sqlite<I: ColumnIndex<SqliteRow>>(row: &'r SqliteRow, at: I) -> Result<Self, sqlx::Error> {
                row.try_get(at)
            }
        }

        impl<'r> Column<'r> for Option<$type> {
            fn from_sqlite<I: ColumnIndex<SqliteRow>>(row: &'r SqliteRow, at: I) -> Result<Self, sqlx::Error> {
                row.try_get(at)
            }
        }
    )*};
}

column!(i64, u32, bool, String, &'r str, Vec<u8>);
