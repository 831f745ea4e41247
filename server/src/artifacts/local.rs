//! Contents in a local directory: `ab/cdef…`, and `tmp/` for what is on its way.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use atta_core::protocol::Digest;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{ArtifactError, ArtifactReader, ArtifactStore, Removal};

/// Transfers that may be at the disk at once; more only make each other slower.
const TRANSFERS_AT_ONCE: usize = 4;

/// [`ArtifactStore`] in a directory of this machine.
#[derive(Clone)]
pub struct LocalArtifacts {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    temporary: PathBuf,
    next: AtomicU64,
    transfers: Arc<Semaphore>,
    /// When contents were stored by this process: what an earlier one stored and did not list, nobody will.
    stored: Mutex<HashMap<Digest, Instant>>,
}

/// How many are remembered before those of more than a day ago are forgotten.
const REMEMBERED: usize = 10_000;
const LONG_AGO: Duration = Duration::from_hours(25);

impl LocalArtifacts {
    /// Opens the directory, creates it when absent and removes what an earlier process left half-written.
    pub fn open(dir: &Path) -> Result<Self, ArtifactError> {
        let temporary = dir.join("tmp");
        let prepare = || {
            fs::create_dir_all(dir)?;
            match fs::remove_dir_all(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        prepare().map_err(|source| ArtifactError::Directory { dir: dir.display().to_string(), source })?;
        Ok(Self {
            inner: Arc::new(Inner {
                dir: dir.to_owned(),
                temporary,
                next: AtomicU64::new(0),
                transfers: Arc::new(Semaphore::new(TRANSFERS_AT_ONCE)),
                stored: Mutex::default(),
            }),
        })
    }

    /// Runs disk work on the blocking pool, a few at a time.
    async fn transfer<T: Send + 'static>(
        &self,
        digest: &Digest,
        action: &'static str,
        work: impl FnOnce(&Inner) -> Result<T, ArtifactError> + Send + 'static,
    ) -> Result<T, ArtifactError> {
        let failed = |source| ArtifactError::Io { digest: digest.clone(), action, source };
        let permit =
            Arc::clone(&self.inner.transfers).acquire_owned().await.map_err(|error| failed(io::Error::other(error)))?;
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&inner)
        })
        .await
        .map_err(|error| failed(io::Error::other(error.to_string())))?
    }
}

#[async_trait::async_trait]
impl ArtifactStore for LocalArtifacts {
    async fn put(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), ArtifactError> {
        let (named, file) = (digest.clone(), file.to_owned());
        self.transfer(digest, "stored", move |inner| inner.put(&named, size, &file)).await
    }

    async fn get(&self, digest: &Digest, to: &Path) -> Result<(), ArtifactError> {
        let (named, to) = (digest.clone(), to.to_owned());
        self.transfer(digest, "read", move |inner| inner.get(&named, &to)).await
    }

    async fn open(&self, digest: &Digest, from: u64) -> Result<ArtifactReader, ArtifactError> {
        let named = digest.clone();
        let (file, size) = self
            .transfer(digest, "read", move |inner| {
                let mut file = inner.file(&named)?;
                if from > 0 {
                    file.seek(io::SeekFrom::Start(from)).map_err(read_error(&named))?;
                }
                let size = file.metadata().map_err(read_error(&named))?.len();
                Ok((file, size))
            })
            .await?;
        Ok(ArtifactReader { size, content: Box::pin(tokio::fs::File::from_std(file)) })
    }

    async fn remove(&self, digest: &Digest, stored_lately: Duration) -> Result<Removal, ArtifactError> {
        let named = digest.clone();
        self.transfer(digest, "removed", move |inner| inner.remove(&named, stored_lately)).await
    }

    async fn aged(&self, first: u8, age: Duration) -> Result<Vec<Digest>, ArtifactError> {
        let dir = self.inner.dir.join(hex::encode([first]));
        let failed = move |source| ArtifactError::Directory { dir: dir.display().to_string(), source };
        let inner = Arc::clone(&self.inner);
        let looked = tokio::task::spawn_blocking(move || inner.aged(first, age)).await;
        looked.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)
    }

    async fn contains(&self, digest: &Digest) -> Result<bool, ArtifactError> {
        let named = digest.clone();
        let look = move |inner: &Inner| {
            let path = inner.path(&named)?;
            // In this order: what is there afterwards was not removed before.
            inner.remember(&named);
            path.try_exists().map_err(read_error(&named))
        };
        self.transfer(digest, "read", look).await
    }
}

fn read_error(digest: &Digest) -> impl Fn(io::Error) -> ArtifactError {
    move |source| ArtifactError::Io { digest: digest.clone(), action: "read", source }
}

fn write_error(digest: &Digest) -> impl Fn(io::Error) -> ArtifactError {
    move |source| ArtifactError::Io { digest: digest.clone(), action: "stored", source }
}

impl Inner {
    /// Only a well-formed digest becomes a path.
    fn path(&self, digest: &Digest) -> Result<PathBuf, ArtifactError> {
        if !digest.is_well_formed() {
            return Err(ArtifactError::BadDigest(digest.0.clone()));
        }
        let (first, rest) = digest.0.split_at(2);
        Ok(self.dir.join(first).join(rest))
    }

    fn file(&self, digest: &Digest) -> Result<File, ArtifactError> {
        File::open(self.path(digest)?).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ArtifactError::Missing(digest.clone()),
            _ => read_error(digest)(source),
        })
    }

    fn stored(&self) -> MutexGuard<'_, HashMap<Digest, Instant>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before the content gets its place: whoever removes it looks here first, and holds the lock meanwhile.
    fn remember(&self, digest: &Digest) {
        let mut stored = self.stored();
        if stored.len() >= REMEMBERED && stored.len().is_multiple_of(REMEMBERED) {
            stored.retain(|_, at| at.elapsed() < LONG_AGO);
        }
        stored.insert(digest.clone(), Instant::now());
    }

    fn remove(&self, digest: &Digest, stored_lately: Duration) -> Result<Removal, ArtifactError> {
        let path = self.path(digest)?;
        let mut stored = self.stored();
        if stored.get(digest).is_some_and(|at| at.elapsed() < stored_lately) {
            return Ok(Removal::TooNew);
        }
        stored.remove(digest);
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ArtifactError::Io { digest: digest.clone(), action: "removed", source })
            }
            _ => Ok(Removal::Gone),
        }
    }

    fn aged(&self, first: u8, age: Duration) -> io::Result<Vec<Digest>> {
        let first = hex::encode([first]);
        let entries = match fs::read_dir(self.dir.join(&first)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let digest = Digest(format!("{first}{}", entry.file_name().to_string_lossy()));
            let metadata = entry.metadata()?;
            // When it got its name: what it was made of may be older.
            let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
            let placed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            if metadata.is_file() && digest.is_well_formed() && placed.elapsed().unwrap_or_default() >= age {
                found.push(digest);
            }
        }
        Ok(found)
    }

    fn put(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), ArtifactError> {
        self.remember(digest);
        let failed = write_error(digest);
        let path = self.path(digest)?;
        // Without following a link: what a link points at was never offered.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let mut source = OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
            .open(file)
            .map_err(&failed)?;
        let metadata = source.metadata().map_err(&failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
        }
        // A file with another name could be changed there later, so only a file with one name is moved.
        let moved = metadata.nlink() == 1;
        let temporary = if moved { None } else { Some(self.temporary().map_err(&failed)?) };
        let checked = check(digest, size, &mut source, temporary.as_ref().map(|(_, file)| file));
        let placed = checked.and_then(|()| match &temporary {
            Some((temporary, _)) => place(temporary, &path).map_err(&failed),
            None => match place(file, &path) {
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => self.copy(digest, size, file, &path),
                other => other.map_err(&failed),
            },
        });
        if let (Err(_), Some((temporary, _))) = (&placed, &temporary) {
            // Swept at the next start if this fails too.
            let _ = fs::remove_file(temporary);
        }
        placed
    }

    /// Stores a file of another file system.
    fn copy(&self, digest: &Digest, size: u64, file: &Path, path: &Path) -> Result<(), ArtifactError> {
        let failed = write_error(digest);
        let mut source = File::open(file).map_err(&failed)?;
        let (temporary, out) = self.temporary().map_err(&failed)?;
        let placed =
            check(digest, size, &mut source, Some(&out)).and_then(|()| place(&temporary, path).map_err(&failed));
        if placed.is_err() {
            // Swept at the next start if this fails too.
            let _ = fs::remove_file(&temporary);
        }
        placed
    }

    fn get(&self, digest: &Digest, to: &Path) -> Result<(), ArtifactError> {
        let mut source = self.file(digest)?;
        let out = OpenOptions::new().write(true).create_new(true).open(to).map_err(read_error(digest))?;
        let copied = hash(&mut source, Some(&out)).map_err(read_error(digest)).and_then(|(found, _)| {
            if found == *digest {
                Ok(())
            } else {
                let detail = format!("the stored content has digest {found}");
                Err(ArtifactError::Mismatch { digest: digest.clone(), detail })
            }
        });
        if copied.is_err() {
            // The caller learns of the first error, which matters more.
            let _ = fs::remove_file(to);
        }
        copied
    }

    /// A new file for a content on its way.
    fn temporary(&self) -> io::Result<(PathBuf, File)> {
        let path = self.temporary.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = match create() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.temporary)?;
                create()?
            }
            other => other?,
        };
        Ok((path, file))
    }
}

/// Gives a complete file its final name. The same content may get there twice: one replaces the other.
fn place(from: &Path, to: &Path) -> io::Result<()> {
    fs::set_permissions(from, fs::Permissions::from_mode(0o600))?;
    // A row that names it survives a power cut, and so must what it names.
    File::open(from)?.sync_data()?;
    let Some(parent) = to.parent() else { return fs::rename(from, to) };
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(parent)?;
            if let Some(above) = parent.parent() {
                File::open(above)?.sync_all()?;
            }
            fs::rename(from, to)?;
        }
        other => other?,
    }
    File::open(parent)?.sync_all()
}

/// Reads a file to its end, copies it if asked to, and compares digest and size with what was said.
fn check(digest: &Digest, size: u64, source: &mut File, copy: Option<&File>) -> Result<(), ArtifactError> {
    let (found, length) = hash(source, copy).map_err(write_error(digest))?;
    if length != size {
        let detail = format!("{size} bytes were announced, the file has {length}");
        return Err(ArtifactError::Mismatch { digest: digest.clone(), detail });
    }
    if found != *digest {
        let detail = format!("the file has digest {found}");
        return Err(ArtifactError::Mismatch { digest: digest.clone(), detail });
    }
    Ok(())
}

/// Digest and length of what is left of a file, which is copied on the way if asked for.
fn hash(source: &mut File, mut copy: Option<&File>) -> io::Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut length = 0;
    loop {
        let read = match source.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if read == 0 {
            return Ok((Digest(hasher.finalize().to_hex().to_string()), length));
        }
        hasher.update(&buffer[..read]);
        if let Some(copy) = &mut copy {
            copy.write_all(&buffer[..read])?;
        }
        length += read as u64;
    }
}
