//! Artifacts to and from the queen: streamed, and gone on with where a connection broke.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use atta_core::protocol::Digest;
use futures_util::StreamExt as _;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use reqwest::{Body, Method, StatusCode};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _, BufWriter};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{sleep, timeout};
use tokio_util::io::ReaderStream;

use super::call::Failed;
use super::{ANSWER, LIMITS, RemoteLink};
use crate::LinkError;

/// Bytes that are read or written at once.
const BUFFER: usize = 256 * 1024;
/// How long nothing may move.
const IDLE: Duration = LIMITS.idle;
/// How many bytes per second the queen checks at least, once she has all.
const CHECKED_PER_SECOND: u64 = 20 << 20;
/// So often a transfer is begun again without anything having come through; then the ant decides.
const TRIES: u32 = 3;
/// The pause before a transfer is begun again.
const PAUSE: Duration = Duration::from_millis(200);
/// What is smaller is sent without asking first.
const SMALL: u64 = 256 * 1024;

/// Tries, as long as something comes through.
struct Patience {
    best: u64,
    left: u32,
}

impl Patience {
    fn new(at: u64) -> Self {
        Self { best: at, left: TRIES }
    }

    /// After a failure, with so many bytes through in all; whether to try again.
    fn again(&mut self, at: u64) -> bool {
        if at > self.best {
            *self = Self::new(at);
            return true;
        }
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}

fn lost(digest: &Digest, detail: impl Into<String>) -> LinkError {
    LinkError::Blob { digest: digest.clone(), detail: detail.into() }
}

/// Files with the same content are sent one after the other: the queen takes a content from one at a time, and has it
/// when the next one asks.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    async fn of(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(digest).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(digest.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

impl RemoteLink {
    /// Sends a file's content.
    pub(super) async fn upload(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), LinkError> {
        let _turn = self.turns.of(digest).await;
        let mut patience = Patience::new(0);
        let mut offset = if size <= SMALL { Some(0) } else { None };
        loop {
            let at = match offset.take() {
                Some(offset) => Ok(Some(offset)),
                None => self.uploaded(digest).await,
            };
            let failed = match at {
                Ok(None) => return Ok(()),
                Ok(Some(at)) => {
                    // What lies there is longer than the content: it is of something else.
                    let at = if at > size { 0 } else { at };
                    match self.send_part(digest, size, file, at).await {
                        Ok(()) => return Ok(()),
                        Err(Failed::Refused { status: StatusCode::CONFLICT, wait, detail, uploaded, .. }) => {
                            Failed::Away { detail, wait: wait.or(uploaded.is_none().then_some(PAUSE)) }
                        }
                        Err(Failed::Refused { detail, .. }) => return Err(lost(digest, detail)),
                        Err(failed) => {
                            patience.best = patience.best.max(at);
                            failed
                        }
                    }
                }
                Err(failed) => failed,
            };
            let (wait, detail) = match failed {
                Failed::Away { wait, detail } => (wait, detail),
                denied => return Err(self.link_error(denied).await),
            };
            // Whether anything came through. Where to go on is asked after the pause: more may still arrive meanwhile.
            let at = self.uploaded(digest).await.ok().flatten().unwrap_or(0);
            if !patience.again(at) {
                return Err(self.link_error(Failed::Away { detail, wait }).await);
            }
            tracing::debug!(%digest, at, detail, "an upload broke off and goes on");
            self.pause(Some(wait.unwrap_or(PAUSE))).await;
        }
    }

    /// How much of a content the queen has; `None`: all of it.
    async fn uploaded(&self, digest: &Digest) -> Result<Option<u64>, Failed> {
        let request = self.request(&self.data, Method::HEAD, &["blobs", &digest.0], &[]).timeout(ANSWER);
        match self.send_careful(request).await {
            Ok(_) => Ok(None),
            Err(Failed::Refused { uploaded: Some(at), .. }) => Ok(Some(at)),
            Err(failed) => Err(failed),
        }
    }

    async fn send_part(&self, digest: &Digest, size: u64, file: &Path, offset: u64) -> Result<(), Failed> {
        let here = |error: io::Error| Failed::Refused {
            status: StatusCode::BAD_REQUEST,
            code: "FILE".to_owned(),
            detail: format!("it cannot be read: {error}"),
            uploaded: None,
            wait: None,
        };
        let mut source = File::open(file).await.map_err(here)?;
        source.seek(io::SeekFrom::Start(offset)).await.map_err(here)?;
        let sent = Arc::new(AtomicU64::new(offset));
        let counted = Arc::clone(&sent);
        let body = ReaderStream::with_capacity(source, BUFFER).inspect(move |piece| {
            if let Ok(piece) = piece {
                counted.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        });
        let (whole, begin) = (size.to_string(), offset.to_string());
        let query = [("size", whole.as_str()), ("offset", begin.as_str())];
        let request = self
            .request(&self.data, Method::PUT, &["blobs", &digest.0], &query)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size - offset)
            .body(Body::wrap_stream(body));
        let sending = self.send_careful(request);
        tokio::pin!(sending);
        let mut last = u64::MAX;
        loop {
            let now = sent.load(Ordering::Relaxed);
            if now == last {
                return Err(Failed::away(format!("nothing moved for {} s", IDLE.as_secs())));
            }
            last = now;
            let checking = if now >= size { Duration::from_secs(size / CHECKED_PER_SECOND) } else { Duration::ZERO };
            tokio::select! {
                answer = &mut sending => return answer.map(drop),
                () = sleep(IDLE + checking) => {}
            }
        }
    }

    /// Fetches a content into a new file.
    pub(super) async fn download(&self, digest: &Digest, to: &Path) -> Result<(), LinkError> {
        let here = |error: io::Error| lost(digest, format!("it cannot be written: {error}"));
        if fs::try_exists(to).await.map_err(here)? {
            return Err(here(io::ErrorKind::AlreadyExists.into()));
        }
        let mut part = Part::open(to).await.map_err(here)?;
        let mut patience = Patience::new(part.length);
        loop {
            let failed = match self.receive_part(digest, &mut part).await {
                Ok(()) => break,
                Err(Failed::Refused { status: StatusCode::RANGE_NOT_SATISFIABLE, .. }) => {
                    part.begin_anew().await.map_err(here)?;
                    Failed::away("what was there already is of something else")
                }
                Err(Failed::Refused { detail, .. }) => {
                    part.remove().await;
                    return Err(lost(digest, detail));
                }
                Err(failed) => failed,
            };
            let (wait, detail) = match failed {
                Failed::Away { wait, detail } => (wait, detail),
                denied => return Err(self.link_error(denied).await),
            };
            if !patience.again(part.length) {
                // What has come stays for the next time.
                part.file.flush().await.map_err(here)?;
                return Err(self.link_error(Failed::Away { detail, wait }).await);
            }
            tracing::debug!(%digest, at = part.length, detail, "a download broke off and goes on");
            self.pause(Some(wait.unwrap_or(PAUSE))).await;
        }
        self.notice.well();
        part.file.flush().await.map_err(here)?;
        let found = part.hasher.finalize().to_hex();
        if found.as_str() != digest.0 {
            let detail = format!("what came has digest {found}");
            part.remove().await;
            return Err(lost(digest, detail));
        }
        fs::rename(&part.path, to).await.map_err(here)
    }

    async fn receive_part(&self, digest: &Digest, part: &mut Part) -> Result<(), Failed> {
        let mut request = self.request(&self.data, Method::GET, &["blobs", &digest.0], &[]);
        if part.length > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.length));
        }
        let late = |_| Failed::away(format!("nothing came for {} s", IDLE.as_secs()));
        let mut response = timeout(IDLE, self.send_careful(request)).await.map_err(late)??;
        let here = |error: io::Error| Failed::Refused {
            status: StatusCode::BAD_REQUEST,
            code: "FILE".to_owned(),
            detail: format!("it cannot be written: {error}"),
            uploaded: None,
            wait: None,
        };
        if part.length > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            part.begin_anew().await.map_err(here)?;
        }
        let expected = response.content_length().map(|rest| part.length + rest);
        loop {
            match timeout(IDLE, response.chunk()).await.map_err(late)? {
                Ok(Some(piece)) => part.write(&piece).await.map_err(here)?,
                Ok(None) if expected.is_some_and(|expected| part.length < expected) => {
                    return Err(Failed::away("the connection broke"));
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.no_answer(&error)),
            }
        }
    }
}

/// A content of which a part has come.
struct Part {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
    hasher: blake3::Hasher,
}

impl Part {
    /// Beside the file that it will be; goes on with what lies there.
    async fn open(to: &Path) -> io::Result<Self> {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(".atta-part");
        let path = to.with_file_name(name);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).await?;
        let read = file.try_clone().await?.into_std().await;
        let (hasher, length) = tokio::task::spawn_blocking(move || {
            let mut hasher = blake3::Hasher::new();
            let length = io::copy(&mut io::BufReader::with_capacity(BUFFER, read), &mut hasher)?;
            Ok::<_, io::Error>((hasher, length))
        })
        .await
        .map_err(io::Error::other)??;
        let mut file = BufWriter::with_capacity(BUFFER, file);
        file.seek(io::SeekFrom::Start(length)).await?;
        Ok(Self { path, file, length, hasher })
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).await?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    async fn begin_anew(&mut self) -> io::Result<()> {
        self.file.seek(io::SeekFrom::Start(0)).await?;
        self.file.get_mut().set_len(0).await?;
        self.length = 0;
        self.hasher = blake3::Hasher::new();
        Ok(())
    }

    async fn remove(self) {
        if let Err(error) = fs::remove_file(&self.path).await {
            tracing::debug!(file = %self.path.display(), %error, "a useless part stays with the attempt's directory");
        }
    }
}
