//! Artifact contents by digest.

mod local;
mod uploads;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use atta_core::protocol::Digest;
use tokio::io::AsyncRead;

pub use local::LocalArtifacts;
pub use uploads::{Upload, Uploads};

/// Why a content cannot be stored or fetched.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The text is no digest.
    #[error("{0:?} is not a digest: 64 lower-case hex digits are expected")]
    BadDigest(String),
    /// Nothing is stored under the digest.
    #[error("artifact {0} is not stored")]
    Missing(Digest),
    /// The file is not what the sender says, or the stored content was changed.
    #[error("artifact {digest} does not match its digest: {detail}")]
    Mismatch {
        /// The digest that was named.
        digest: Digest,
        /// What was found.
        detail: String,
    },
    /// The disk does not take or give it.
    #[error("artifact {digest} cannot be {action}: {source}")]
    Io {
        /// Which.
        digest: Digest,
        /// `stored`, `read` or `removed`.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The directory cannot be made.
    #[error("artifact directory {dir} cannot be used: {source}")]
    Directory {
        /// The directory.
        dir: String,
        /// Why.
        source: io::Error,
    },
}

/// What became of a content that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is not there any more.
    Gone,
    /// It stays for now.
    TooNew,
}

/// A content that is being read.
pub struct ArtifactReader {
    /// The length of the whole content in bytes.
    pub size: u64,
    /// The bytes from the offset on.
    pub content: Pin<Box<dyn AsyncRead + Send>>,
}

/// A place for contents, addressed by their BLAKE3 digest.
#[async_trait::async_trait]
pub trait ArtifactStore: Send + Sync + 'static {
    /// Stores a file's content, whose digest and size are checked. What is there already is not written again. The file
    /// may be consumed (moved).
    async fn put(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), ArtifactError>;

    /// Writes a content to a new file and checks it against its digest; on error the file is gone.
    async fn get(&self, digest: &Digest, to: &Path) -> Result<(), ArtifactError>;

    /// Opens a content for a download from this offset on.
    async fn open(&self, digest: &Digest, from: u64) -> Result<ArtifactReader, ArtifactError>;

    /// Removes a content, unless it was stored less than so long ago: then an artifact may be about to name it.
    async fn remove(&self, digest: &Digest, stored_lately: Duration) -> Result<Removal, ArtifactError>;

    /// Whether a content is stored. One that is counts as stored now: who asks is about to name it.
    async fn contains(&self, digest: &Digest) -> Result<bool, ArtifactError>;

    /// The contents whose digest begins with this byte and that got their place longer ago than this.
    async fn aged(&self, first: u8, age: Duration) -> Result<Vec<Digest>, ArtifactError>;
}
