//! All rows from one database into another one, in every direction.

use tokio::sync::mpsc;

use super::*;

/// An empty database of either kind.
fn empty(dialect: Dialect) -> (tempfile::TempDir, Option<TestDatabase>, Database) {
    let dir = tempfile::tempdir().unwrap();
    let server = (dialect == Dialect::Postgres).then(|| Cluster::shared().database());
    let database = match &server {
        Some(server) => Database::Postgres(server.url().parse().unwrap()),
        None => Database::File,
    };
    (dir, server, database)
}

impl Case {
    pub(super) fn database(&self) -> Database {
        self.server.as_ref().map_or(Database::File, |server| Database::Postgres(server.url().parse().unwrap()))
    }

    pub(super) async fn chunks(&self) -> (Vec<Chunk>, Counts, i64) {
        let mut dump = Dump::open(self.dir.path(), &self.database()).await.unwrap();
        let (to, mut from) = mpsc::channel(1_000);
        let counts = dump.send(to).await.unwrap();
        let mut chunks = Vec::new();
        while let Some(chunk) = from.recv().await {
            // As it lies in a backup.
            chunks.push(Chunk::from_text(&chunk.table, &chunk.to_text()).unwrap());
        }
        let version = dump.version();
        dump.close().await.unwrap();
        (chunks, counts, version)
    }
}

#[tokio::test]
async fn all_rows_arrive_in_every_other_database() {
    for source in Case::both().await {
        let mut source = source;
        let wanted = source.answers().await;
        let (chunks, counts, version) = source.chunks().await;
        let tables = source.schema().await;
        let tables: BTreeSet<&str> = tables.iter().filter_map(|column| column.split('.').next()).collect();
        let moved: BTreeSet<&str> = counts.keys().map(String::as_str).chain(["schema_migrations"]).collect();
        assert_eq!(moved, tables, "every table is moved");
        assert!(counts.iter().all(|(_, rows)| *rows > 0), "every table has a row to move: {counts:?}");
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let (dir, server, database) = empty(dialect);
            let mut loader = Loader::begin(dir.path(), true, &database, version, UnixMillis(5)).await.unwrap();
            for chunk in &chunks {
                loader.add(chunk).await.unwrap();
            }
            let unfinished = loader.finish(&counts, None, UnixMillis(5)).await.unwrap();
            assert_eq!((unfinished.jobs.get("RUNNING"), unfinished.attempts), (Some(&1), 1));
            let (store, writer) = Store::open_in(dir.path(), &database, UnixMillis(6), None).await.unwrap();
            let reads = Reads::new(store.clone());
            let mut target = Case { store, writer, reads, dir, server };
            assert_same(&[wanted.clone(), target.answers().await]);
            assert_eq!(target.schema().await, source.schema().await);
        }
    }
}

#[tokio::test]
async fn a_database_with_tables_is_refused_and_one_that_was_left_half_way_is_empty() {
    let source = Case::new(Dialect::Sqlite).await;
    let (chunks, mut counts, version) = source.chunks().await;
    *counts.get_mut("events").unwrap() += 1;
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        let (dir, server, database) = empty(dialect);
        let mut loader = Loader::begin(dir.path(), true, &database, version, UnixMillis(5)).await.unwrap();
        for chunk in &chunks {
            loader.add(chunk).await.unwrap();
        }
        let error = loader.finish(&counts, None, UnixMillis(5)).await.unwrap_err().to_string();
        assert!(error.contains("table events has 3 rows") && error.contains("where 4 were sent"), "{error}");
        // Somebody pulls the plug.
        let mut loader = Loader::begin(dir.path(), true, &database, version, UnixMillis(5)).await.unwrap();
        loader.add(&chunks[0]).await.unwrap();
        if server.is_some() {
            drop(loader);
        } else {
            loader.give_up().await;
        }
        let again = Loader::begin(dir.path(), true, &database, version, UnixMillis(5)).await;
        let again = match again {
            // The server of the database has not noticed yet that we are gone.
            Err(DumpError::Active { .. }) => loop {
                if let Ok(loader) = Loader::begin(dir.path(), true, &database, version, UnixMillis(5)).await {
                    break loader;
                }
                tokio::task::yield_now().await;
            },
            other => other.unwrap(),
        };
        again.give_up().await;
        let (store, writer) = Store::open_in(dir.path(), &database, UnixMillis(6), None).await.unwrap();
        drop((store, writer));
        let refused = loop {
            match Loader::begin(dir.path(), false, &database, version, UnixMillis(5)).await.map(drop).unwrap_err() {
                DumpError::Active { .. } | DumpError::Open(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                error => break error.to_string(),
            }
        };
        assert!(refused.contains("is not empty") && refused.contains("nothing was changed"), "{refused}");
    }
}

#[tokio::test]
async fn what_belongs_to_no_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = Dump::open(dir.path(), &Database::File).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("holds no database of Atta") && error.contains("--database"), "{error}");
    let mut loader = Loader::begin(dir.path(), true, &Database::File, 12, UnixMillis(5)).await.unwrap();
    for (table, text, words) in [
        ("none", "[\"a\"]\n[1]\n", "no such table"),
        ("meta", "[\"a\"]\n[1]\n", "no such column"),
        ("meta", "[\"key\",\"value\"]\n[1,\"a\"]\n", "another type in column \\\"key\\\""),
    ] {
        let error = loader.add(&Chunk::from_text(table, text).unwrap()).await.unwrap_err().to_string();
        assert!(error.contains(&words.replace("\\\"", "\"")), "{error}");
    }
    loader.give_up().await;
}

#[tokio::test]
async fn an_older_program_says_that_it_cannot_use_a_newer_schema() {
    for mut case in Case::both().await {
        let insert =
            "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (9000, 'later', 'x', 0)";
        query(insert).execute(case.writer.connection().await.unwrap()).await.unwrap();
        let (database, dir) = (case.database(), case.dir.path().to_owned());
        let error = Dump::open(&dir, &database).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("has schema 9000") && error.contains("use a newer atta"), "{error}");
        let Case { store, writer, dir: _dir, server: _server, .. } = case;
        store.close().await;
        writer.close().await.unwrap();
        let error = Store::open_in(&dir, &database, UnixMillis(9), None).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("has schema 9000") && error.contains("use a newer atta"), "{error}");
    }
}
