//! Writes a backup beside a running server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use atta_core::time::UnixMillis;
use serde::Serialize;
use tokio::sync::mpsc;

use super::archive::{AddError, FORMAT, Header, Manifest, Writer};
use super::{BackupError, Hold, KEYS, Kind, parent};
use crate::scheduler::Database;
use crate::store::{Chunk, Counts, Dump};

/// Names of missing or damaged files that are told; of more there is only the number.
const NAMED: usize = 10;

/// What to save, and where to.
#[derive(Debug)]
pub struct BackupRequest<'a> {
    /// The data directory.
    pub data_dir: &'a Path,
    /// The database.
    pub database: &'a Database,
    /// The archive, or a directory to make it in.
    pub to: &'a Path,
    /// Also the keys of secrets, of links and of the certificate.
    pub with_keys: bool,
    /// The time.
    pub now: UnixMillis,
    /// The version of this program.
    pub program: &'a str,
}

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The archive.
    pub file: PathBuf,
    /// Its size.
    pub size: u64,
    /// How it begins.
    pub header: Header,
    /// How it ends.
    pub manifest: Manifest,
    /// Key files that are there and were left out.
    pub keys_left_out: Vec<String>,
    /// Some of the files that the database names and that were not there.
    pub missing: Vec<String>,
    /// Some of the contents that are not what their digests say.
    pub damaged: Vec<String>,
}

/// Makes a backup: the rows of one moment, and all that they name. A server may go on meanwhile.
pub async fn back_up(request: BackupRequest<'_>) -> Result<BackupReport, BackupError> {
    let file = target(request.to, request.now);
    if file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file));
    }
    let partial = partial_name(&file, "partial");
    let cannot = |source| BackupError::Write { file: file.clone(), source };
    // From before the moment that the backup is of: whatever is named then stays there until it is read.
    let lock = request.data_dir.join("backup.lock");
    let mut dump = Dump::open(request.data_dir, request.database).await?;
    dump.close().await?;
    let _hold = Hold::keep(request.data_dir).map_err(|source| BackupError::Read { file: lock, source })?;
    dump = Dump::open(request.data_dir, request.database).await?;
    let out = create(&partial).map_err(cannot)?;
    let saved = save(&request, dump, out, &file).await;
    let result = saved.and_then(|(mut report, out)| {
        let finish = || {
            out.sync_all()?;
            // Never over something that came meanwhile.
            match fs::hard_link(&partial, &file) {
                Ok(()) => fs::remove_file(&partial)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                // Not every file system has links.
                Err(_) => fs::rename(&partial, &file)?,
            }
            File::open(parent(&file))?.sync_all()?;
            Ok(fs::metadata(&file)?.len())
        };
        report.size = finish().map_err(cannot)?;
        Ok(report)
    });
    if result.is_err() {
        // The reason why there is no backup matters more.
        let _ = fs::remove_file(&partial);
    }
    result
}

/// The archive's name: what was given, or one by the time in a directory that was given.
fn target(to: &Path, now: UnixMillis) -> PathBuf {
    if !to.is_dir() {
        return to.to_owned();
    }
    let time: String = now.to_rfc3339().chars().map(|c| if c == ':' { '-' } else { c }).collect();
    to.join(format!("atta-{}Z.tar.zst", time.split('.').next().unwrap_or(&time)))
}

fn partial_name(file: &Path, what: &str) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    parent(file).join(format!(".{name}.{}.{what}", std::process::id()))
}

fn create(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(file)
}

async fn save(
    request: &BackupRequest<'_>,
    mut dump: Dump,
    out: File,
    file: &Path,
) -> Result<(BackupReport, File), BackupError> {
    let cannot = |source| BackupError::Write { file: file.to_owned(), source };
    let header = Header {
        format: FORMAT,
        program: request.program.to_owned(),
        schema: dump.version(),
        at: request.now.0,
        created_at: request.now.to_rfc3339(),
        database: match request.database {
            Database::File => "SQLite",
            Database::Postgres(_) => "PostgreSQL",
        }
        .to_owned(),
    };
    let mut writer = Writer::begin(out, &header).map_err(cannot)?;
    let tables = save_rows(&mut dump, &mut writer, file).await?;
    // The names wait in a file, so that the database is let go before much is copied.
    let mut names = names_file(file).map_err(cannot)?;
    {
        let mut list = BufWriter::new(&mut names);
        let written = std::cell::RefCell::new(&mut list);
        let line = |text: String| writeln!(written.borrow_mut(), "{text}").map_err(cannot);
        dump.files(
            |digest, size| line(format!("{size} {}", Kind::artifact(&digest.0))),
            |attempt| match attempt.parts() {
                Some((job, number)) => line(format!("- logs/{}/{}.log", job.0, number.0)),
                None => Ok(()),
            },
        )
        .await?;
        list.flush().map_err(cannot)?;
    }
    dump.close().await?;
    names.rewind().map_err(cannot)?;
    let mut files = Files {
        data_dir: request.data_dir,
        archive: file,
        writer,
        manifest: Manifest { tables, ..Manifest::default() },
        missing: Vec::new(),
        damaged: Vec::new(),
    };
    for line in BufReader::new(names).lines() {
        let line = line.map_err(cannot)?;
        match line.split_once(' ') {
            Some(("-", path)) => files.add_log(path)?,
            Some((size, path)) => files.add_artifact(path, size.parse().ok())?,
            None => {}
        }
    }
    let keys_left_out = files.add_keys(request.with_keys)?;
    let Files { writer, manifest, missing, damaged, .. } = files;
    let (out, manifest) = writer.finish(manifest).map_err(cannot)?;
    let report = BackupReport { file: file.to_owned(), size: 0, header, manifest, keys_left_out, missing, damaged };
    Ok((report, out))
}

/// A file without a name.
fn names_file(beside: &Path) -> io::Result<File> {
    let path = partial_name(beside, "names");
    let file = create(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

async fn save_rows(dump: &mut Dump, writer: &mut Writer<File>, file: &Path) -> Result<Counts, BackupError> {
    let (to, mut chunks) = mpsc::channel::<Chunk>(2);
    let writing = async move {
        let (mut table, mut number) = (String::new(), 0_u64);
        while let Some(chunk) = chunks.recv().await {
            number = if chunk.table == table { number + 1 } else { 1 };
            table.clone_from(&chunk.table);
            let path = format!("database/{table}/{number:06}.jsonl");
            writer
                .add_bytes(&path, chunk.to_text().as_bytes())
                .map_err(|source| BackupError::Write { file: file.to_owned(), source })?;
        }
        Ok::<_, BackupError>(())
    };
    let (counts, written) = tokio::join!(Box::pin(dump.send(to)), writing);
    written?;
    Ok(counts?)
}

/// Adds files of the data directory.
struct Files<'a> {
    data_dir: &'a Path,
    archive: &'a Path,
    writer: Writer<File>,
    manifest: Manifest,
    missing: Vec<String>,
    damaged: Vec<String>,
}

impl Files<'_> {
    /// A file as it is now, of this size if it is known; its digest, or nothing when there is no such file.
    fn add(&mut self, path: &str, from: &Path, size: Option<u64>) -> Result<Option<String>, BackupError> {
        let cannot = |source| BackupError::Read { file: from.to_owned(), source };
        let content = match File::open(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(cannot)?,
        };
        let size = match size {
            Some(size) => size,
            None => content.metadata().map_err(cannot)?.len(),
        };
        match self.writer.add(path, size, content) {
            Ok(digest) => Ok(Some(digest)),
            Err(AddError::Source(source)) => Err(cannot(source)),
            Err(AddError::Shorter) => Err(BackupError::Changed(from.to_owned())),
            Err(AddError::Archive(source)) => Err(BackupError::Write { file: self.archive.to_owned(), source }),
        }
    }

    fn add_artifact(&mut self, path: &str, size: Option<u64>) -> Result<(), BackupError> {
        let Some(Kind::Artifact(digest)) = Kind::of(path) else { return Ok(()) };
        let from = self.data_dir.join(path);
        // Somebody may have changed it by hand: then its real length counts, and it is told.
        let real = fs::metadata(&from).map(|metadata| metadata.len()).ok();
        if let Some(found) = self.add(path, &from, real)? {
            self.manifest.artifacts += 1;
            if (found != digest || real != size) && self.damaged.len() < NAMED {
                self.damaged.push(path.to_owned());
            }
        } else {
            self.manifest.missing += 1;
            if self.missing.len() < NAMED {
                self.missing.push(path.to_owned());
            }
        }
        Ok(())
    }

    /// It may just be compressed, under another name; an attempt that wrote nothing has none.
    fn add_log(&mut self, raw: &str) -> Result<(), BackupError> {
        for path in [raw.to_owned(), format!("{raw}z")] {
            if Kind::of(&path).is_none() {
                return Ok(());
            }
            let from = self.data_dir.join(&path);
            if self.add(&path, &from, None)?.is_some() {
                self.manifest.logs += 1;
                return Ok(());
            }
        }
        Ok(())
    }

    /// The key files, or the names of those that are there.
    fn add_keys(&mut self, with_them: bool) -> Result<Vec<String>, BackupError> {
        let mut left_out = Vec::new();
        for name in KEYS {
            let from = self.data_dir.join(name);
            if !with_them {
                left_out.extend(from.is_file().then(|| name.to_owned()));
            } else if self.add(&format!("keys/{name}"), &from, None)?.is_some() {
                self.manifest.keys.push(name.to_owned());
            }
        }
        Ok(left_out)
    }
}
