//! Rows and the types that are read from them.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, ColumnIndex, Row as _, TypeInfo as _, ValueRef as _};

use super::Value;

/// A row that a statement found.
pub(in crate::store) enum Row {
    /// Of a file.
    Sqlite(SqliteRow),
    /// Of a server.
    Postgres(PgRow),
}

/// A type that is read from a column; `Option` of it where the column may be null.
pub(in crate::store) trait Column<'r>: Sized {
    /// From a file's row.
    fn from_sqlite<I: ColumnIndex<SqliteRow>>(row: &'r SqliteRow, at: I) -> Result<Self, sqlx::Error>;
    /// From a server's row.
    fn from_postgres<I: ColumnIndex<PgRow>>(row: &'r PgRow, at: I) -> Result<Self, sqlx::Error>;
}

/// The place of a column: its index or its name.
pub(in crate::store) trait Place: ColumnIndex<SqliteRow> + ColumnIndex<PgRow> {}

impl<T: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>> Place for T {}

impl Row {
    /// The value at a place.
    pub(in crate::store) fn try_get<'r, T: Column<'r>, I: Place>(&'r self, at: I) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => T::from_sqlite(row, at),
            Self::Postgres(row) => T::from_postgres(row, at),
        }
    }

    /// The value at a place, of the type that it is stored with; a null is one of a text.
    pub(in crate::store) fn value(&self, at: usize) -> Result<Value<'static>, sqlx::Error> {
        let kind = match self {
            Self::Sqlite(row) => {
                let value = row.try_get_raw(at)?;
                if value.is_null() {
                    return Ok(Value::Text(None));
                }
                value.type_info().name().to_owned()
            }
            Self::Postgres(row) => {
                if row.try_get_raw(at)?.is_null() {
                    return Ok(Value::Text(None));
                }
                row.try_column(at)?.type_info().name().to_owned()
            }
        };
        match kind.as_str() {
            "BOOL" | "BOOLEAN" => self.try_get(at).map(|value: bool| value.into()),
            "INTEGER" | "INT8" => self.try_get(at).map(|value: i64| value.into()),
            "BLOB" | "BYTEA" => self.try_get(at).map(|value: Vec<u8>| Value::Bytes(Some(value.into()))),
            "TEXT" => self.try_get(at).map(|value: String| value.into()),
            other => Err(sqlx::Error::Decode(format!("a column of the type {other}").into())),
        }
    }
}

/// Types that both databases have.
macro_rules! column {
    ($($type:ty),*) => {$(
        impl<'r> Column<'r> for $type {
            fn from_sqlite<I: ColumnIndex<SqliteRow>>(row: &'r SqliteRow, at: I) -> Result<Self, sqlx::Error> {
                row.try_get(at)
            }

            fn from_postgres<I: ColumnIndex<PgRow>>(row: &'r PgRow, at: I) -> Result<Self, sqlx::Error> {
                row.try_get(at)
            }
        }
    )*};
}

column!(i64, bool, String, &'r str, Vec<u8>);
column!(Option<i64>, Option<bool>, Option<String>, Option<&'r str>, Option<Vec<u8>>);

impl<'r> Column<'r> for u32 {
    fn from_sqlite<I: ColumnIndex<SqliteRow>>(row: &'r SqliteRow, at: I) -> Result<Self, sqlx::Error> {
        row.try_get(at)
    }

    fn from_postgres<I: ColumnIndex<PgRow>>(row: &'r PgRow, at: I) -> Result<Self, sqlx::Error> {
        row.try_get::<i64, _>(at).and_then(small)
    }
}

impl<'r> Column<'r> for Option<u32> {
    fn from_sqlite<I: ColumnIndex<SqliteRow>>(row: &'r SqliteRow, at: I) -> Result<Self, sqlx::Error> {
        row.try_get(at)
    }

    fn from_postgres<I: ColumnIndex<PgRow>>(row: &'r PgRow, at: I) -> Result<Self, sqlx::Error> {
        row.try_get::<Option<i64>, _>(at)?.map(small).transpose()
    }
}

fn small(value: i64) -> Result<u32, sqlx::Error> {
    u32::try_from(value).map_err(|error| sqlx::Error::Decode(format!("{value}: {error}").into()))
}
