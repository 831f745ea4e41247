//! Into an empty data directory and an empty database. What is unpacked counts only when the archive was read to its end
//! and everything was what was saved: until then a file says that the directory is not whole, and the database's rows are
//! in a transaction.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use atta_core::time::UnixMillis;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::archive::{self, Header, Manifest};
use super::{BackupError, KEYS, Kind, Unfinished, verify};
use crate::scheduler::Database;
use crate::store::{Chunk, DumpError, Loader, Restored, UNFINISHED};

/// What to restore, and where to.
#[derive(Debug)]
pub struct RestoreRequest<'a> {
    /// The archive.
    pub file: &'a Path,
    /// An empty directory, or none yet.
    pub data_dir: &'a Path,
    /// An empty database.
    pub database: &'a Database,
    /// Nothing has happened since the backup: jobs may go on by themselves.
    pub go_on: bool,
    /// The time.
    pub now: UnixMillis,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// How the archive begins.
    pub header: Header,
    /// How it ends.
    pub manifest: Manifest,
    /// What was not finished when the backup was made.
    pub unfinished: Unfinished,
    /// The database that the rows are in now.
    pub database: String,
}

/// What comes out of the archive.
enum Part {
    /// The archive says what it is; nothing is unpacked before this is answered.
    Begin(Header, oneshot::Sender<()>),
    Rows(Chunk),
}

/// Restores a backup, or leaves everything as empty as it was.
pub async fn restore(request: RestoreRequest<'_>) -> Result<RestoreReport, BackupError> {
    let dir = request.data_dir;
    check_empty(dir)?;
    let existed = dir.exists();
    let result = unpack(&request).await;
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            if !leaves_alone(&error) {
                clean_up(dir, existed);
            }
            return Err(error);
        }
    };
    // Everything is there.
    let mark = dir.join(UNFINISHED);
    let unmarked = fs::remove_file(&mark).and_then(|()| File::open(dir)?.sync_all());
    unmarked.map_err(|source| BackupError::Mark { file: mark, what: "remove it by hand", source })?;
    Ok(report)
}

/// Errors that say that the directory is somebody else's, or that its files may belong to rows that are stored.
fn leaves_alone(error: &BackupError) -> bool {
    matches!(
        error,
        BackupError::Database(DumpError::Open(crate::store::OpenError::InUse { .. })) | BackupError::InDoubt { .. }
    )
}

fn check_empty(dir: &Path) -> Result<(), BackupError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|source| BackupError::Read { file: dir.to_owned(), source })?,
    };
    if dir.join(UNFINISHED).exists() {
        return Err(BackupError::Unfinished(dir.to_owned()));
    }
    for entry in entries {
        let entry = entry.map_err(|source| BackupError::Read { file: dir.to_owned(), source })?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // File systems have that by themselves.
        if name != "lost+found" {
            return Err(BackupError::NotEmpty { dir: dir.to_owned(), what: name });
        }
    }
    Ok(())
}

/// Removes what a restore makes.
fn clean_up(dir: &Path, existed: bool) {
    for name in ["logs", "artifacts"] {
        ignore(fs::remove_dir_all(dir.join(name)));
    }
    for name in
        KEYS.into_iter().chain(["atta.db", "atta.db-wal", "atta.db-shm", "server.lock", "database.id", UNFINISHED])
    {
        ignore(fs::remove_file(dir.join(name)));
    }
    if !existed {
        ignore(fs::remove_dir(dir));
    }
}

fn ignore(result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "a part of what was restored is left");
    }
}

async fn unpack(request: &RestoreRequest<'_>) -> Result<RestoreReport, BackupError> {
    let dir = request.data_dir;
    let cannot = |source| BackupError::Restore { file: dir.to_owned(), source };
    let (to, mut parts) = mpsc::channel(2);
    let (file, target) = (request.file.to_owned(), dir.to_owned());
    let reading = tokio::task::spawn_blocking(move || read(&file, &target, &to));
    let loading = async {
        let Some(Part::Begin(header, go)) = parts.recv().await else { return Ok(None) };
        let at = header.at;
        let mut loader = Loader::begin(dir, true, request.database, header.schema, request.now).await?;
        let marked = fs::write(dir.join(UNFINISHED), format!("{}\n", header.created_at));
        if let Err(source) = marked.and_then(|()| File::open(dir)?.sync_all()) {
            loader.give_up().await;
            return Err(cannot(source));
        }
        let _ = go.send(());
        while let Some(part) = parts.recv().await {
            if let Part::Rows(chunk) = part
                && let Err(error) = loader.add(&chunk).await
            {
                loader.give_up().await;
                return Err(error.into());
            }
        }
        Ok(Some((loader, at)))
    };
    let loaded: Result<Option<(Loader, i64)>, BackupError> = Box::pin(loading).await;
    // Whoever reads notices that nobody takes it any more.
    drop(parts);
    let read = reading.await.map_err(|error| cannot(io::Error::other(error.to_string())))?;
    let (loader, at, (header, manifest)) = match (loaded, read) {
        (Ok(Some((loader, at))), Ok(read)) => (loader, at, read),
        (Ok(Some((loader, _))), Err(error)) => {
            loader.give_up().await;
            return Err(error);
        }
        (Err(error), _) | (Ok(None), Err(error)) => return Err(error),
        (Ok(None), Ok(_)) => return Err(BackupError::Interrupted),
    };
    // All files at once: one by one would take long.
    let synced = File::open(dir).and_then(|dir| rustix::fs::syncfs(&dir).map_err(io::Error::from));
    if let Err(source) = synced {
        loader.give_up().await;
        return Err(cannot(source));
    }
    let database = loader.name().to_owned();
    let restored = Restored { backup_at: at, go_on: request.go_on };
    if let Err(source) = loader.binding().note(dir) {
        loader.give_up().await;
        return Err(cannot(source));
    }
    let unfinished = match loader.finish(&manifest.tables, Some(&restored), request.now).await {
        Err(source @ DumpError::InDoubt { .. }) => {
            let what = format!(
                "nothing was removed: when it is back, remove {} and start the server, which refuses if the rows are not \
                 there; then empty both and restore again",
                dir.join(UNFINISHED).display()
            );
            return Err(BackupError::InDoubt { source, what });
        }
        other => other?,
    };
    Ok(RestoreReport { header, manifest, unfinished, database })
}

/// Reads the archive: rows are sent, files are written.
fn read(file: &Path, dir: &Path, to: &mpsc::Sender<Part>) -> Result<(Header, Manifest), BackupError> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let begin = |header: &Header| {
        let (go, wait) = oneshot::channel();
        to.blocking_send(Part::Begin(header.clone(), go)).map_err(|_| BackupError::Interrupted)?;
        wait.blocking_recv().map_err(|_| BackupError::Interrupted)
    };
    let take = |path: &str, size: u64, content: &mut dyn Read| {
        let target = match verify::kind(file, path)? {
            Kind::Rows(table) => {
                let chunk = verify::rows(file, path, &table, content)?;
                *counts.entry(table).or_default() += chunk.len() as u64;
                return to.blocking_send(Part::Rows(chunk)).map_err(|_| BackupError::Interrupted);
            }
            Kind::Key(name) => dir.join(name),
            Kind::Artifact(_) | Kind::Log(..) => dir.join(path),
        };
        if to.is_closed() {
            return Err(BackupError::Interrupted);
        }
        write(&target, size, content)
    };
    let found = archive::read(file, begin, take)?;
    verify::check_counts(file, &counts, &found.1)?;
    Ok(found)
}

fn write(target: &Path, size: u64, content: &mut dyn Read) -> Result<(), BackupError> {
    let cannot = |source| BackupError::Restore { file: PathBuf::from(target), source };
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
    let mut out = match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(super::parent(target)).map_err(cannot)?;
            create().map_err(cannot)?
        }
        other => other.map_err(cannot)?,
    };
    let written = io::copy(content, &mut out).map_err(cannot)?;
    if written != size {
        return Err(cannot(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(())
}
