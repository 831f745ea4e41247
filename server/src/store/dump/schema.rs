//! The tables of a version of the schema, as the migrations themselves make them.

use atta_core::time::UnixMillis;

use super::super::sql::{Connection, SqliteFile, query};
use super::super::{StoreError, migrate};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Bool,
    Text,
    Bytes,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<(String, Kind)>,
    references: Vec<String>,
}

/// All tables, each behind those that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) version: i64,
    pub(super) tables: Vec<Table>,
}

impl Schema {
    /// Of a version that this program knows.
    pub(super) async fn of(version: i64) -> Result<Self, StoreError> {
        let mut connection = Connection::Sqlite(SqliteFile::fleeting().await?);
        connection.begin().await?;
        migrate::migrate_inside(&mut connection, 0, version, UnixMillis(0)).await?;
        connection.commit().await?;
        let names = query(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'schema_migrations'
             ORDER BY name",
        )
        .fetch_all(&mut connection)
        .await?;
        let mut tables = Vec::with_capacity(names.len());
        for row in &names {
            let name: String = row.try_get(0)?;
            let columns = query("SELECT name, type FROM pragma_table_info($1) ORDER BY cid")
                .bind(&name)
                .fetch_all(&mut connection)
                .await?;
            let columns = columns.iter().map(|row| {
                let declared: String = row.try_get(1)?;
                let kind = match declared.as_str() {
                    "INTEGER" => Kind::Int,
                    "BLOB" => Kind::Bytes,
                    _ => Kind::Text,
                };
                Ok((row.try_get(0)?, kind))
            });
            let columns = columns.collect::<Result<_, sqlx::Error>>()?;
            let references = query("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1)")
                .bind(&name)
                .fetch_all(&mut connection)
                .await?;
            let references = references.iter().map(|row| row.try_get(0)).collect::<Result<_, sqlx::Error>>()?;
            tables.push(Table { name, columns, references });
        }
        connection.close().await?;
        Ok(Self { version, tables: in_order(tables) })
    }

    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

/// Each behind those that it refers to. In a circle, which there is none of, the rest stays as it is.
fn in_order(mut left: Vec<Table>) -> Vec<Table> {
    let mut ordered: Vec<Table> = Vec::with_capacity(left.len());
    loop {
        let (ready, rest): (Vec<Table>, Vec<Table>) = left.into_iter().partition(|table| {
            let known = |name: &String| *name == table.name || ordered.iter().any(|other| other.name == *name);
            table.references.iter().all(known)
        });
        if ready.is_empty() {
            ordered.extend(rest);
            return ordered;
        }
        ordered.extend(ready);
        left = rest;
    }
}
