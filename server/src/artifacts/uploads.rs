//! Contents on their way from remote ants: an upload that broke off goes on where it was.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atta_core::protocol::Digest;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _, BufWriter};

use super::ArtifactError;

/// Bytes that are written at once.
const BUFFER: usize = 256 * 1024;
/// What nobody has gone on with for so long is removed.
const FORGOTTEN: Duration = Duration::from_hours(24);

/// The directory of uploads.
#[derive(Clone)]
pub struct Uploads {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    /// Contents that somebody is sending now.
    busy: Mutex<HashSet<Digest>>,
}

impl Inner {
    fn forget(&self) -> io::Result<usize> {
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            // Whoever begins to send it waits meanwhile.
            let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            let metadata = match entry.metadata() {
                // It is complete, and has its place.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let age = metadata.modified()?.elapsed().unwrap_or_default();
            if age >= FORGOTTEN && !busy.contains(&Digest(entry.file_name().to_string_lossy().into_owned())) {
                std::fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl Uploads {
    /// Opens the directory, creates it when absent and removes what was forgotten there.
    pub fn open(dir: &Path) -> Result<Self, ArtifactError> {
        let inner = Inner { dir: dir.to_owned(), busy: Mutex::default() };
        std::fs::create_dir_all(dir)
            .and_then(|()| inner.forget())
            .map_err(|source| ArtifactError::Directory { dir: dir.display().to_string(), source })?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Removes what nobody has gone on sending for a day. How many there were.
    pub async fn forget(&self) -> io::Result<usize> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || inner.forget()).await.map_err(io::Error::other)?
    }

    /// Only a well-formed digest becomes a path.
    fn path(&self, digest: &Digest) -> Result<PathBuf, ArtifactError> {
        if digest.is_well_formed() {
            Ok(self.inner.dir.join(&digest.0))
        } else {
            Err(ArtifactError::BadDigest(digest.0.clone()))
        }
    }

    /// How many bytes of a content have come.
    pub async fn received(&self, digest: &Digest) -> Result<u64, ArtifactError> {
        match fs::metadata(self.path(digest)?).await {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(failed(digest)(error)),
        }
    }

    fn turn(&self, digest: &Digest) -> Option<Turn> {
        let mut busy = self.inner.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert(digest.clone()).then(|| Turn { uploads: self.clone(), digest: digest.clone() })
    }

    /// Goes on with a content at an offset up to what has come. `None`: somebody else is sending it.
    pub async fn begin(&self, digest: &Digest, offset: u64) -> Result<Option<Upload>, ArtifactError> {
        let path = self.path(digest)?;
        let Some(turn) = self.turn(digest) else { return Ok(None) };
        let open = async {
            let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).await?;
            file.set_len(offset.min(file.metadata().await?.len())).await?;
            let length = file.seek(io::SeekFrom::End(0)).await?;
            Ok((file, length))
        };
        let (file, length) = open.await.map_err(failed(digest))?;
        Ok(Some(Upload { file: BufWriter::with_capacity(BUFFER, file), length, path, turn }))
    }
}

fn failed(digest: &Digest) -> impl Fn(io::Error) -> ArtifactError + Send + Sync + use<> {
    let digest = digest.clone();
    move |source| ArtifactError::Io { digest: digest.clone(), action: "stored", source }
}

/// Only one at a time sends a content.
struct Turn {
    uploads: Uploads,
    digest: Digest,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.uploads.inner.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}

/// A content that somebody is sending.
pub struct Upload {
    file: BufWriter<File>,
    length: u64,
    path: PathBuf,
    turn: Turn,
}

impl Upload {
    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        self.file.write_all(bytes).await.map_err(failed(&self.turn.digest))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Lets go of the file, so that what has come is found there.
    pub async fn flush(&mut self) -> Result<(), ArtifactError> {
        self.file.flush().await.map_err(failed(&self.turn.digest))
    }

    /// Removes what has come: it is of no use.
    pub async fn discard(self) {
        if let Err(error) = fs::remove_file(&self.path).await
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.path.display(), %error, "a useless upload stays until tomorrow");
        }
    }
}
