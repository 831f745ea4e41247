//! The secrets of the attempts that ants hold: what they report is redacted once more, in case an ant did not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use atta_core::engine::Failure;
use atta_core::protocol::AttemptId;
use atta_core::protocol::agent::AgentRecord;
use atta_core::protocol::ant::{ArtifactFile, LogChunk, LogSegment};
use atta_core::redact::{Mask, Redactor, Stream};
use atta_core::secret::SecretValue;
use indexmap::IndexMap;
use serde_json::Value;

/// Attempts with secrets, until they are over.
#[derive(Debug, Default)]
pub struct HeldSecrets {
    attempts: Mutex<HashMap<AttemptId, Arc<Held>>>,
    /// How many there are: without any, nobody waits for the lock.
    count: AtomicUsize,
}

/// The secrets of one attempt.
#[derive(Debug)]
pub(crate) struct Held {
    values: Vec<SecretValue>,
    redactor: Arc<OnceLock<Option<Redactor>>>,
    log: tokio::sync::Mutex<Option<LogGuard>>,
}

/// What an ant says at the end of an attempt, as far as a secret could be in it.
pub(crate) struct Said<'a> {
    pub(crate) failure: Option<&'a mut Failure>,
    pub(crate) outputs: &'a mut IndexMap<String, Value>,
    pub(crate) artifacts: &'a mut Vec<ArtifactFile>,
    pub(crate) warnings: &'a mut Vec<String>,
    pub(crate) agent: &'a mut Option<Box<AgentRecord>>,
}

impl HeldSecrets {
    fn locked<T>(&self, work: impl FnOnce(&mut HashMap<AttemptId, Arc<Held>>) -> T) -> T {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut attempts);
        self.count.store(attempts.len(), Ordering::Release);
        result
    }

    /// An attempt was leased with these secrets.
    pub(crate) fn hold(&self, attempt: &AttemptId, values: &[SecretValue]) {
        if values.is_empty() {
            return;
        }
        self.locked(|attempts| {
            // To look for a secret costs memory and time: attempts with the same ones share it.
            let like = attempts.values().find(|held| held.values == values);
            let redactor = like.map(|held| Arc::clone(&held.redactor)).unwrap_or_default();
            let held = Held { values: values.to_vec(), redactor, log: tokio::sync::Mutex::new(None) };
            attempts.insert(attempt.clone(), Arc::new(held));
        });
    }

    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// An attempt is over.
    pub(crate) fn release(&self, attempt: &AttemptId) {
        self.locked(|attempts| attempts.remove(attempt));
    }

    /// The secrets of an attempt, if it has some.
    pub(crate) fn of(&self, attempt: &AttemptId) -> Option<Arc<Held>> {
        if !self.any() {
            return None;
        }
        self.locked(|attempts| attempts.get(attempt).cloned())
    }

    /// Stores a piece of an attempt's log by `append`, without its secrets. What may be the beginning of one is kept until
    /// the next piece or [`Self::finish_log`]. When `append` fails nothing has happened.
    pub async fn append_log<E, F: Future<Output = Result<(), E>>>(
        &self,
        chunk: LogChunk,
        append: impl FnOnce(LogChunk) -> F,
    ) -> Result<(), E> {
        let Some(held) = self.of(&chunk.attempt_id) else { return append(chunk).await };
        let Some(redactor) = held.redactor() else { return append(chunk).await };
        let mut log = held.log.lock().await;
        // What leaves a gap is looked at too: the store may take it, when the end of the log was lost.
        let goes_on = log.clone().filter(|guard| chunk.offset <= guard.received);
        let mut guard = goes_on.unwrap_or_else(|| LogGuard::new(redactor, &chunk));
        match guard.take(chunk) {
            Taken::Known => return Ok(()),
            Taken::Nothing => {}
            Taken::Some(chunk) => append(chunk).await?,
        }
        *log = Some(guard);
        Ok(())
    }

    /// Stores what was kept of an attempt's log: nothing follows.
    pub async fn finish_log<E, F: Future<Output = Result<(), E>>>(
        &self,
        attempt: &AttemptId,
        append: impl FnOnce(LogChunk) -> F,
    ) -> Result<(), E> {
        let Some(held) = self.of(attempt) else { return Ok(()) };
        let mut log = held.log.lock().await;
        let Some(mut guard) = log.clone() else { return Ok(()) };
        if let Some(chunk) = guard.finish() {
            append(chunk).await?;
        }
        *log = Some(guard);
        Ok(())
    }
}

impl Held {
    fn redactor(&self) -> Option<&Redactor> {
        self.redactor.get_or_init(|| Redactor::new(&self.values)).as_ref()
    }

    /// Keeps them out of something that comes in pieces.
    pub(crate) fn stream(&self) -> Option<Stream> {
        self.redactor().map(|redactor| Stream::new(redactor, Mask::Mark))
    }

    /// Redacts a document.
    pub(crate) fn clean_json(&self, value: &mut Value) {
        if let Some(redactor) = self.redactor() {
            redactor.clean_json(value);
        }
    }

    /// Redacts the end of an attempt.
    pub(crate) fn clean(&self, said: Said<'_>) {
        let Some(redactor) = self.redactor() else { return };
        if let Some(failure) = said.failure {
            redactor.clean(&mut failure.message);
            redactor.clean(&mut failure.code);
        }
        for warning in &mut *said.warnings {
            redactor.clean(warning);
        }
        for value in said.outputs.values_mut() {
            redactor.clean_json(value);
        }
        if said.outputs.keys().any(|name| redactor.find(name.as_bytes()).is_some()) {
            let outputs = std::mem::take(said.outputs);
            *said.outputs =
                outputs.into_iter().map(|(name, value)| (redactor.text(&name).into_owned(), value)).collect();
        }
        if let Some(record) = said.agent.take() {
            *said.agent = record.without_secrets(redactor).map(Box::new);
            if said.agent.is_none() {
                said.warnings.push("what is known of the agent is left out: there is a secret in it".to_owned());
            }
        }
        let warnings = said.warnings;
        said.artifacts.retain(|file| {
            let clean = redactor.find(file.path.as_bytes()).is_none();
            if !clean {
                let path = redactor.text(&file.path);
                warnings.push(format!("the artifact `{path}` is not kept: there is a secret in its name"));
            }
            clean
        });
    }
}

/// The log of one attempt on its way to the disk.
#[derive(Debug, Clone)]
struct LogGuard {
    stream: Stream,
    /// As the ant counts.
    received: u64,
    /// As it is stored: lags behind by what is kept.
    stored: u64,
    /// What the kept bytes belong to, and the bytes that were let through.
    segments: Vec<LogSegment>,
    attempt: AttemptId,
    token: u64,
}

enum Taken {
    /// It was taken before.
    Known,
    /// All of it is kept for now.
    Nothing,
    Some(LogChunk),
}

/// Takes bytes off the beginning of a chunk, less than it has.
fn skip(chunk: &mut LogChunk, count: u64) {
    let mut left = usize::try_from(count).unwrap_or(usize::MAX).min(chunk.bytes.len());
    chunk.offset += left as u64;
    chunk.bytes.drain(..left);
    chunk.segments.retain_mut(|segment| {
        let gone = left.min(segment.len as usize);
        left -= gone;
        segment.len -= u32::try_from(gone).unwrap_or(segment.len);
        segment.len > 0
    });
}

impl LogGuard {
    fn new(redactor: &Redactor, first: &LogChunk) -> Self {
        Self {
            stream: Stream::new(redactor, Mask::SameLength),
            received: first.offset,
            stored: first.offset,
            segments: Vec::new(),
            attempt: first.attempt_id.clone(),
            token: first.token,
        }
    }

    fn take(&mut self, mut chunk: LogChunk) -> Taken {
        let end = chunk.offset + chunk.bytes.len() as u64;
        if end <= self.received {
            return Taken::Known;
        }
        // An ant that was started again cuts the log elsewhere.
        let known = self.received.saturating_sub(chunk.offset);
        skip(&mut chunk, known);
        if chunk.offset != self.received {
            // The store says what is wrong with it.
            return Taken::Some(chunk);
        }
        self.received = end;
        self.segments.extend(chunk.segments);
        let mut bytes = Vec::with_capacity(chunk.bytes.len() + self.stream.held());
        self.stream.push(&chunk.bytes, &mut bytes);
        self.chunk(bytes).map_or(Taken::Nothing, Taken::Some)
    }

    fn finish(&mut self) -> Option<LogChunk> {
        let mut bytes = Vec::new();
        self.stream.finish(&mut bytes);
        self.chunk(bytes)
    }

    /// A chunk of these bytes, with the segments that they fill.
    fn chunk(&mut self, bytes: Vec<u8>) -> Option<LogChunk> {
        if bytes.is_empty() {
            return None;
        }
        let mut segments = Vec::new();
        let mut missing = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        while missing > 0 && !self.segments.is_empty() {
            let first = &mut self.segments[0];
            let len = first.len.min(missing);
            segments.push(LogSegment { len, ..*first });
            missing -= len;
            first.len -= len;
            if first.len == 0 {
                self.segments.remove(0);
            }
        }
        let offset = self.stored;
        self.stored += bytes.len() as u64;
        Some(LogChunk { attempt_id: self.attempt.clone(), token: self.token, offset, segments, bytes })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use atta_core::protocol::ant::LogStream;
    use atta_core::secret::SecretText;
    use atta_core::time::UnixMillis;

    use super::*;

    const SECRET: &str = "correct-horse";

    fn secrets() -> [SecretValue; 1] {
        [SecretValue { name: "Token".to_owned(), value: SecretText::new(SECRET.to_owned()) }]
    }

    fn held(attempt: &AttemptId) -> HeldSecrets {
        let held = HeldSecrets::default();
        held.hold(attempt, &secrets());
        held
    }

    fn chunk(attempt: &AttemptId, offset: u64, parts: &[(LogStream, &str)]) -> LogChunk {
        LogChunk {
            attempt_id: attempt.clone(),
            token: 1,
            offset,
            segments: parts
                .iter()
                .map(|(stream, text)| LogSegment {
                    stream: *stream,
                    at: UnixMillis(1),
                    len: u32::try_from(text.len()).unwrap(),
                })
                .collect(),
            bytes: parts.iter().flat_map(|(_, text)| text.bytes()).collect(),
        }
    }

    #[tokio::test]
    async fn a_log_is_stored_without_secrets_that_streams_or_chunks_split() {
        use LogStream::{Stderr, Stdout};
        let attempt = AttemptId("job_1-1".to_owned());
        let held = held(&attempt);
        let stored: RefCell<Vec<LogChunk>> = RefCell::default();
        let append = |chunk: LogChunk| {
            stored.borrow_mut().push(chunk);
            async { Ok::<(), String>(()) }
        };
        let first = chunk(&attempt, 0, &[(Stdout, "a correct"), (Stderr, "-ho")]);
        held.append_log(first.clone(), append).await.unwrap();
        // The ant says it once more.
        held.append_log(first, append).await.unwrap();
        let failed = held.append_log(chunk(&attempt, 12, &[(Stdout, "rse b cor")]), |_| async { Err("full") }).await;
        assert_eq!(failed, Err("full"));
        held.append_log(chunk(&attempt, 12, &[(Stdout, "rse b cor")]), append).await.unwrap();
        held.finish_log(&attempt, append).await.unwrap();
        held.finish_log(&attempt, append).await.unwrap();
        let stored = stored.into_inner();
        let mut at = 0;
        let mut text = String::new();
        for chunk in &stored {
            assert_eq!(chunk.offset, at);
            at += chunk.bytes.len() as u64;
            assert_eq!(
                chunk.segments.iter().map(|segment| u64::from(segment.len)).sum::<u64>(),
                chunk.bytes.len() as u64
            );
            text.push_str(std::str::from_utf8(&chunk.bytes).unwrap());
        }
        assert_eq!(text, "a ************* b cor");
        held.release(&attempt);
        assert!(held.of(&attempt).is_none());
    }

    #[test]
    fn chunks_that_are_cut_elsewhere_when_they_are_said_again_do_not_pass_by() {
        let attempt = AttemptId("job_1-1".to_owned());
        let first = chunk(&attempt, 0, &[(LogStream::Stdout, "a correct-"), (LogStream::Stderr, "ho")]);
        let mut guard = LogGuard::new(&Redactor::new(&secrets()).unwrap(), &first);
        let mut text = Vec::new();
        let again = chunk(&attempt, 2, &[(LogStream::Stdout, "correct-"), (LogStream::Stderr, "horse b")]);
        for chunk in [first.clone(), first, again] {
            if let Taken::Some(chunk) = guard.take(chunk) {
                assert_eq!(chunk.offset, text.len() as u64);
                text.extend(chunk.bytes);
            }
        }
        text.extend(guard.finish().map(|chunk| chunk.bytes).unwrap_or_default());
        assert_eq!(String::from_utf8(text).unwrap(), "a ************* b");
    }

    #[test]
    fn the_end_of_an_attempt_is_told_without_secrets() {
        let attempt = AttemptId("job_1-1".to_owned());
        let held = held(&attempt);
        let mut failure = Failure { code: "X".to_owned(), message: format!("no {SECRET}") };
        let mut outputs = IndexMap::from([(format!("k{SECRET}"), Value::from(format!("v {SECRET}")))]);
        let file = |path: String| ArtifactFile {
            path,
            digest: atta_core::protocol::Digest("0".repeat(64)),
            size: 1,
            executable: false,
        };
        let mut artifacts = vec![file("fine".to_owned()), file(format!("dir/{SECRET}.txt"))];
        let mut warnings = vec![format!("about {SECRET}")];
        held.of(&attempt).unwrap().clean(Said {
            failure: Some(&mut failure),
            outputs: &mut outputs,
            artifacts: &mut artifacts,
            warnings: &mut warnings,
            agent: &mut None,
        });
        assert_eq!(failure.message, "no ***");
        assert_eq!(outputs, IndexMap::from([("k***".to_owned(), Value::from("v ***"))]));
        assert_eq!(artifacts, [file("fine".to_owned())]);
        assert_eq!(warnings[0], "about ***");
        assert_eq!(warnings[1], "the artifact `dir/***.txt` is not kept: there is a secret in its name");
    }
}
