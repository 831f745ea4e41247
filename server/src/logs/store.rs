//! The directory of logs: appending, finishing, opening for reading.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{LogChunk, LogSegment, LogStream};
use atta_core::time::UnixMillis;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blocking::blocking;

use super::follow::LogFollower;
use super::frame::{HEADER, Header, MAX_FRAME, Marks};
use super::packed;
use super::reader::{LogPiece, LogReader};

/// Smaller logs stay as they are: a second file would cost more than it saves.
const WORTH_PACKING: u64 = 64 * 1024;

/// Appends that may be at the disk at once; the others queue here and not in the runtime's blocking pool.
const APPENDS_AT_ONCE: usize = 8;

/// Logs that may be compressed at once: compressing is never urgent.
const PACKING_AT_ONCE: usize = 1;

/// A log may lack so much of what was stored before the machine went down; where more is missing, something else is wrong.
const LARGEST_HOLE: u64 = 16 * 1024 * 1024;

/// Why a log cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The id is not one that a queen mints.
    #[error("{0:?} is not an attempt's id")]
    BadAttempt(String),
    /// Bytes are missing in between: the sender must say them first.
    #[error("log of attempt {attempt} has {have} bytes, a chunk at offset {offset} leaves a gap")]
    Gap {
        /// The attempt.
        attempt: AttemptId,
        /// Bytes stored.
        have: u64,
        /// Where the chunk begins.
        offset: u64,
    },
    /// The segments of a chunk do not add up.
    #[error("a log chunk of attempt {attempt} has {bytes} bytes, but its segments cover {segments}")]
    Segments {
        /// The attempt.
        attempt: AttemptId,
        /// Bytes of content.
        bytes: u64,
        /// Bytes that the segments name.
        segments: u64,
    },
    /// New bytes for a log that was finished and compressed.
    #[error("log of attempt {attempt} is finished")]
    Finished {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The disk does not take it (full, read-only, …).
    #[error("log of attempt {attempt} cannot be written: {source}")]
    Write {
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        source: io::Error,
    },
    /// The disk does not give it, or it is damaged.
    #[error("log of attempt {attempt} cannot be read: {source}")]
    Read {
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        source: io::Error,
    },
    /// The directory of logs cannot be made.
    #[error("log directory {dir} cannot be used: {source}")]
    Directory {
        /// The directory.
        dir: String,
        /// Why.
        source: io::Error,
    },
}

impl LogError {
    pub(super) fn interrupted(attempt: &AttemptId, error: &tokio::task::JoinError) -> Self {
        Self::Read { attempt: attempt.clone(), source: io::Error::other(error.to_string()) }
    }
}

/// How far a log that is being written has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub bytes: u64,
    pub finished: bool,
}

/// All logs of a server; cheap to clone.
#[derive(Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    /// Logs that are being written or followed.
    live: Mutex<HashMap<AttemptId, Arc<Live>>>,
    appends: Arc<Semaphore>,
    packing: Arc<Semaphore>,
    background: TaskTracker,
    /// Nothing is compressed any more.
    stop: CancellationToken,
}

struct Live {
    progress: watch::Sender<Progress>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Absent until there is a file.
    open: Option<Open>,
    /// Somebody appends, so only `finish` may forget it.
    written: bool,
    /// It is not among the live ones any more: whoever wants to open it begins anew.
    closed: bool,
}

#[derive(Clone)]
struct Open {
    file: Arc<File>,
    marks: Arc<RwLock<Marks>>,
    /// The file was there before, and nothing was appended since it was opened: its end may be lost.
    fresh: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The paths of one attempt's log.
struct Paths {
    dir: PathBuf,
    raw: PathBuf,
    packed: PathBuf,
    temporary: PathBuf,
}

impl LogStore {
    /// Opens the directory; creates it when absent.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        fs::create_dir_all(dir).map_err(|source| LogError::Directory { dir: dir.display().to_string(), source })?;
        Ok(Self {
            inner: Arc::new(Inner {
                dir: dir.to_owned(),
                live: Mutex::default(),
                appends: Arc::new(Semaphore::new(APPENDS_AT_ONCE)),
                packing: Arc::new(Semaphore::new(PACKING_AT_ONCE)),
                background: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        })
    }

    /// Appends a chunk. Bytes that were stored before are ignored; a chunk that begins behind the end is refused, unless the
    /// end was lost when the server or its machine went down: then a note takes its place. After an error nothing of the
    /// chunk is in the log, and the same chunk may be said again.
    pub async fn append(&self, chunk: LogChunk) -> Result<(), LogError> {
        let paths = self.paths(&chunk.attempt_id)?;
        let segments = chunk.segments.iter().map(|segment| u64::from(segment.len)).sum();
        if segments != chunk.bytes.len() as u64 {
            let bytes = chunk.bytes.len() as u64;
            return Err(LogError::Segments { attempt: chunk.attempt_id, bytes, segments });
        }
        if segments == 0 {
            return Ok(());
        }
        let attempt = chunk.attempt_id.clone();
        let failed = |source: io::Error| LogError::Write { attempt: attempt.clone(), source };
        metrics::counter!("atta_log_bytes_total").increment(segments);
        let permit = Arc::clone(&self.inner.appends).acquire_owned().await.map_err(|e| failed(io::Error::other(e)))?;
        let store = self.clone();
        blocking(move || {
            let _permit = permit;
            store.append_blocking(&paths, &chunk)
        })
        .await
        .map_err(|error| failed(io::Error::other(error.to_string())))?
    }

    fn append_blocking(&self, paths: &Paths, chunk: &LogChunk) -> Result<(), LogError> {
        loop {
            let live = self.live(&chunk.attempt_id, true);
            let mut state = lock(&live.state);
            if state.closed {
                continue;
            }
            if state.open.is_none() {
                let failed = |source| LogError::Write { attempt: chunk.attempt_id.clone(), source };
                state.open = open_for_append(paths).map_err(failed)?;
            }
            let Some(open) = state.open.clone() else {
                // The list of live ones is never waited for with one of them locked.
                drop(state);
                return self.append_to_finished(paths, chunk);
            };
            return append_to(&live, &mut state, &open, chunk);
        }
    }

    /// What arrives for a compressed log was stored before, or is refused.
    fn append_to_finished(&self, paths: &Paths, chunk: &LogChunk) -> Result<(), LogError> {
        lock(&self.inner.live).remove(&chunk.attempt_id);
        let attempt = chunk.attempt_id.clone();
        let reader = File::open(&paths.packed)
            .and_then(LogReader::packed)
            .map_err(|source| LogError::Read { attempt: attempt.clone(), source })?;
        if chunk.offset + chunk.bytes.len() as u64 <= reader.total(None) {
            Ok(())
        } else {
            Err(LogError::Finished { attempt })
        }
    }

    /// Nothing more will be appended: say this once the attempt's end is accepted. Closes the file, ends followers and,
    /// when it is worth it, compresses the log in the background.
    pub fn finish(&self, attempt: &AttemptId) {
        let size =
            self.close(attempt).map_or(0, |open| open.marks.read().unwrap_or_else(PoisonError::into_inner).end.file);
        if size < WORTH_PACKING {
            return;
        }
        let Ok(paths) = self.paths(attempt) else {
            return;
        };
        self.pack_later(attempt.clone(), paths);
    }

    fn pack_later(&self, attempt: AttemptId, paths: Paths) {
        let store = self.clone();
        let (packing, stop) = (Arc::clone(&self.inner.packing), self.inner.stop.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let work = async move {
            let permit = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                permit = packing.acquire_owned() => permit,
            };
            let Ok(_permit) = permit else {
                return;
            };
            let id = attempt.clone();
            match blocking(move || store.pack(&id, &paths)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if stop.is_cancelled() => {
                    tracing::debug!(%attempt, %error, "a finished log is compressed after the next start");
                }
                // The log stays readable in the form that it has.
                Ok(Err(error)) => tracing::warn!(%attempt, %error, "a finished log was not compressed"),
                Err(error) => tracing::warn!(%attempt, %error, "a finished log was not compressed"),
            }
        };
        self.inner.background.spawn_on(work, &runtime);
    }

    /// Has compressed what a server before this one did not get round to, and removes what it left half done. To be said
    /// once, after the start. `is_over` knows the attempts to whose logs nothing more will be appended.
    pub(crate) async fn catch_up<F: Future<Output = bool>>(
        &self,
        is_over: impl Fn(AttemptId) -> F,
    ) -> Result<(), LogError> {
        let failed = |source| LogError::Directory { dir: self.inner.dir.display().to_string(), source };
        // While it is held, nothing is half done.
        let packing = Arc::clone(&self.inner.packing).acquire_owned().await;
        let permit = packing.map_err(|error| failed(io::Error::other(error)))?;
        let store = self.clone();
        let look = move || {
            let _permit = permit;
            store.left_behind()
        };
        let left = blocking(look).await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
        for (attempt, paths) in left {
            if is_over(attempt.clone()).await {
                self.pack_later(attempt, paths);
            }
        }
        Ok(())
    }

    /// The logs that are worth to be compressed.
    fn left_behind(&self) -> io::Result<Vec<(AttemptId, Paths)>> {
        let mut left = Vec::new();
        for job in fs::read_dir(&self.inner.dir)? {
            let job = job?.path();
            if self.inner.stop.is_cancelled() {
                break;
            }
            let files = match fs::read_dir(&job) {
                // It is none of ours, or its last log was removed a moment ago.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::NotFound) => {
                    continue;
                }
                Err(error) => {
                    tracing::warn!(directory = %job.display(), %error, "what is left of logs there is not compressed");
                    continue;
                }
                Ok(files) => files,
            };
            let name = job.file_name().unwrap_or_default().to_string_lossy();
            let mut removed = false;
            for file in files {
                let file = file?;
                let path = file.path();
                let number = path.file_stem().unwrap_or_default().to_string_lossy();
                let attempt = AttemptId(format!("{name}-{number}"));
                let Ok(paths) = self.paths(&attempt) else { continue };
                if path == paths.temporary {
                    remove_if_there(&path)?;
                    removed = true;
                } else if path == paths.raw && file.metadata().is_ok_and(|found| found.len() >= WORTH_PACKING) {
                    left.push((attempt, paths));
                }
            }
            if removed {
                remove_if_empty(&job)?;
            }
        }
        left.sort_by(|(one, _), (other, _)| one.0.cmp(&other.0));
        Ok(left)
    }

    /// Compresses nothing any more: what waits for it, or is in work, waits for the next start.
    pub(crate) async fn stop(&self) {
        self.inner.stop.cancel();
        self.settle().await;
    }

    /// Takes it from the live ones and ends followers. What was open of it.
    fn close(&self, attempt: &AttemptId) -> Option<Open> {
        let mut all = lock(&self.inner.live);
        let live = all.remove(attempt)?;
        let mut state = lock(&live.state);
        state.closed = true;
        live.progress.send_modify(|progress| progress.finished = true);
        state.open.take()
    }

    /// Compresses a log, unless somebody goes on with it: what is appended meanwhile is not lost.
    fn pack(&self, attempt: &AttemptId, paths: &Paths) -> io::Result<()> {
        let size = match fs::metadata(&paths.raw) {
            Ok(metadata) => metadata.len(),
            // It was compressed or removed before its turn came.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let packed = packed::pack(&paths.raw, &paths.temporary, &paths.packed, || !self.inner.stop.is_cancelled());
        // Until the old file is gone nobody opens it.
        let all = lock(&self.inner.live);
        let mut state = all.get(attempt).map(|live| lock(&live.state));
        let now = match fs::metadata(&paths.raw) {
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                remove_if_there(&paths.packed)?;
                return remove_if_empty(&paths.dir);
            }
            now => now?.len(),
        };
        packed?;
        if state.as_ref().is_some_and(|state| state.written) || now != size {
            return fs::remove_file(&paths.packed);
        }
        if let Some(state) = &mut state {
            // Somebody follows it, and has what there is.
            state.open = None;
        }
        fs::remove_file(&paths.raw)
    }

    /// Removes the log of an attempt that is over; one that is not there is no error. Whoever reads it reads on.
    pub async fn remove(&self, attempt: &AttemptId) -> Result<(), LogError> {
        let paths = self.paths(attempt)?;
        self.close(attempt);
        let remove = move || {
            for path in [&paths.raw, &paths.packed, &paths.temporary] {
                remove_if_there(path)?;
            }
            // The directory of the job, once its last log is gone.
            remove_if_empty(&paths.dir)
        };
        blocking(remove)
            .await
            .map_err(|error| LogError::interrupted(attempt, &error))?
            .map_err(|source| LogError::Write { attempt: attempt.clone(), source })
    }

    /// Compresses nothing until this is dropped.
    #[cfg(test)]
    pub(super) fn hold_packing(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        Arc::clone(&self.inner.packing).try_acquire_owned().ok()
    }

    /// Waits until everything that was finished so far is compressed.
    pub async fn settle(&self) {
        self.inner.background.close();
        self.inner.background.wait().await;
        self.inner.background.reopen();
    }

    /// Bytes in a range of the log, and the log's length: of one stream (then offsets count that stream's bytes only),
    /// or of all. At most `range` is held in memory.
    pub async fn read(
        &self,
        attempt: &AttemptId,
        range: Range<u64>,
        stream: Option<LogStream>,
    ) -> Result<(Vec<LogPiece>, u64), LogError> {
        let Some(mut reader) = self.open_reader(attempt).await? else {
            return Ok((Vec::new(), 0));
        };
        let failed = |source| LogError::Read { attempt: attempt.clone(), source };
        let read = move || {
            let total = reader.total(stream);
            let mut pieces = Vec::new();
            let mut at = range.start;
            let end = range.end.min(total);
            while at < end {
                let more = reader.read(stream, at, usize::try_from(end - at).unwrap_or(usize::MAX))?;
                let got: u64 = more.iter().map(|piece| piece.bytes.len() as u64).sum();
                if got == 0 {
                    break;
                }
                at += got;
                pieces.extend(more);
            }
            Ok((pieces, total))
        };
        blocking(read).await.map_err(|error| LogError::interrupted(attempt, &error))?.map_err(failed)
    }

    /// Bytes of an attempt's log; 0 when there is none.
    pub async fn length(&self, attempt: &AttemptId) -> Result<u64, LogError> {
        Ok(self.open_reader(attempt).await?.map_or(0, |reader| reader.total(None)))
    }

    /// A reader for an attempt's log as it is now (and, while it is written, as it grows); `None` when there is no log.
    pub async fn open_reader(&self, attempt: &AttemptId) -> Result<Option<LogReader>, LogError> {
        let paths = self.paths(attempt)?;
        let live = lock(&self.inner.live).get(attempt).cloned();
        if let Some(open) = live.and_then(|live| lock(&live.state).open.clone()) {
            // Readers have a descriptor position of their own: they only ever read at given offsets.
            return Ok(Some(LogReader::raw(open.file, open.marks)));
        }
        blocking(move || match File::open(&paths.raw) {
            Ok(file) => {
                let marks = Marks::scan(&file)?;
                Ok(Some(LogReader::raw(Arc::new(file), Arc::new(RwLock::new(marks)))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => match File::open(&paths.packed) {
                Ok(file) => LogReader::packed(file).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        })
        .await
        .map_err(|error| LogError::interrupted(attempt, &error))?
        .map_err(|source| LogError::Read { attempt: attempt.clone(), source })
    }

    /// Follows a log from an offset on. It ends with [`LogStore::finish`] or [`LogFollower::end_when_drained`]: whoever
    /// follows looks afterwards whether the attempt is finished already.
    pub async fn follow(&self, attempt: &AttemptId, from: u64) -> Result<LogFollower, LogError> {
        let paths = self.paths(attempt)?;
        let live = self.live(attempt, false);
        let progress = live.progress.subscribe();
        let reopened = blocking(move || {
            let mut state = lock(&live.state);
            if state.open.is_none() && !state.closed && paths.raw.exists() {
                state.open = open_for_append(&paths)?;
                let bytes = state
                    .open
                    .as_ref()
                    .map_or(0, |open| open.marks.read().unwrap_or_else(PoisonError::into_inner).end.log(None));
                live.progress.send_modify(|progress| progress.bytes = bytes);
            }
            Ok(())
        });
        reopened
            .await
            .map_err(|error| LogError::interrupted(attempt, &error))?
            .map_err(|source| LogError::Read { attempt: attempt.clone(), source })?;
        Ok(LogFollower::new(self.clone(), attempt.clone(), progress, from))
    }

    /// The last follower of a log that nobody writes has gone.
    pub(super) fn forget_unwritten(&self, attempt: &AttemptId) {
        let mut live = lock(&self.inner.live);
        if live.get(attempt).is_some_and(|live| live.progress.receiver_count() <= 1 && !lock(&live.state).written) {
            live.remove(attempt);
        }
    }

    fn live(&self, attempt: &AttemptId, written: bool) -> Arc<Live> {
        let mut all = lock(&self.inner.live);
        let live = all
            .entry(attempt.clone())
            .or_insert_with(|| Arc::new(Live { progress: watch::Sender::default(), state: Mutex::default() }));
        if written {
            lock(&live.state).written = true;
        }
        Arc::clone(live)
    }

    /// Where an attempt's log lies. Only ids of the form that the queen mints become paths.
    fn paths(&self, attempt: &AttemptId) -> Result<Paths, LogError> {
        let bad = || LogError::BadAttempt(attempt.0.clone());
        let (job, number) = attempt.parts().ok_or_else(bad)?;
        let plain = |text: &str| {
            !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !plain(&job.0) || AttemptId::new(&job, number) != *attempt {
            return Err(bad());
        }
        let dir = self.inner.dir.join(&job.0);
        let file = |extension: &str| dir.join(format!("{}.{extension}", number.0));
        Ok(Paths { raw: file("log"), packed: file("logz"), temporary: file("tmp"), dir })
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove_if_empty(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
        other => other,
    }
}

/// Appends to a log that is open.
fn append_to(live: &Live, state: &mut State, open: &Open, chunk: &LogChunk) -> Result<(), LogError> {
    let attempt = &chunk.attempt_id;
    let have = open.marks.read().unwrap_or_else(PoisonError::into_inner).end;
    let stored = have.log(None);
    let missing = chunk.offset.saturating_sub(stored);
    if missing > 0 && !(open.fresh && missing <= LARGEST_HOLE) {
        return Err(LogError::Gap { attempt: attempt.clone(), have: stored, offset: chunk.offset });
    }
    let skip = usize::try_from(stored.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
    if skip >= chunk.bytes.len() {
        return Ok(());
    }
    let (mut encoded, mut headers) = (Vec::new(), Vec::new());
    if missing > 0 {
        tracing::warn!(%attempt, missing, "the end of a log is lost: a note takes its place");
        encode(&note_of_loss(chunk, stored, missing), 0, &mut encoded, &mut headers);
    }
    encode(chunk, skip, &mut encoded, &mut headers);
    if let Err(source) = (&*open.file).write_all(&encoded) {
        // Part of it may be there. When the file cannot be cut back either, the next append looks at it anew.
        if open.file.set_len(have.file).is_err() {
            state.open = None;
        }
        return Err(LogError::Write { attempt: attempt.clone(), source });
    }
    let bytes = {
        let mut marks = open.marks.write().unwrap_or_else(PoisonError::into_inner);
        for header in &headers {
            marks.push(header);
        }
        marks.end.log(None)
    };
    if let Some(open) = &mut state.open {
        open.fresh = false;
    }
    live.progress.send_modify(|progress| progress.bytes = bytes);
    Ok(())
}

/// What takes the place of bytes that are lost in front of a chunk: exactly so many, so that all offsets stay true.
fn note_of_loss(chunk: &LogChunk, offset: u64, missing: u64) -> LogChunk {
    const LINE: usize = 100;
    let mut bytes =
        format!("\n... {missing} bytes of this log were lost when the server or its machine went down ...\n")
            .into_bytes();
    let sentence = bytes.len();
    bytes.resize(usize::try_from(missing).unwrap_or_default(), b'.');
    for end in (sentence..bytes.len()).step_by(LINE).skip(1) {
        bytes[end] = b'\n';
    }
    if let Some(last) = bytes.last_mut() {
        *last = b'\n';
    }
    let len = u32::try_from(missing).unwrap_or(u32::MAX);
    let at = chunk.segments.first().map_or(UnixMillis(0), |segment| segment.at);
    let segments = vec![LogSegment { stream: LogStream::System, at, len }];
    LogChunk { attempt_id: chunk.attempt_id.clone(), token: chunk.token, offset, segments, bytes }
}

/// Opens or creates the file of a log; `None` when the log is finished and compressed.
fn open_for_append(paths: &Paths) -> io::Result<Option<Open>> {
    let options = || {
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(0o600);
        options
    };
    let created = match options().create_new(true).open(&paths.raw) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(&paths.dir)?;
            options().create_new(true).open(&paths.raw)
        }
        other => other,
    };
    match created {
        Ok(_) if paths.packed.exists() => fs::remove_file(&paths.raw).map(|()| None),
        Ok(file) => Ok(Some(Open { file: Arc::new(file), marks: Arc::default(), fresh: false })),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = options().open(&paths.raw)?;
            let marks = Marks::scan(&file)?;
            // A frame that a crash tore is not part of the log.
            if file.metadata()?.len() > marks.end.file {
                file.set_len(marks.end.file)?;
            }
            Ok(Some(Open { file: Arc::new(file), marks: Arc::new(RwLock::new(marks)), fresh: true }))
        }
        Err(error) => Err(error),
    }
}

/// Appends the frames of a chunk without its first `skip` bytes.
fn encode(chunk: &LogChunk, skip: usize, encoded: &mut Vec<u8>, headers: &mut Vec<Header>) {
    encoded.reserve(chunk.bytes.len() - skip + HEADER * (chunk.segments.len() + 1));
    let mut at = 0;
    for segment in &chunk.segments {
        let end = at + segment.len as usize;
        let mut from = at.max(skip);
        while from < end {
            let len = (end - from).min(MAX_FRAME);
            let header = Header { stream: segment.stream, at: segment.at, len };
            header.encode(encoded);
            encoded.extend_from_slice(&chunk.bytes[from..from + len]);
            headers.push(header);
            from += len;
        }
        at = end;
    }
}

/// The filter that a client may ask for.
pub(crate) fn stream_by_name(name: &str) -> Option<LogStream> {
    match name {
        "stdout" => Some(LogStream::Stdout),
        "stderr" => Some(LogStream::Stderr),
        "system" => Some(LogStream::System),
        _ => None,
    }
}
