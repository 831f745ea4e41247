//! An attempt's log on its way to the queen.

use std::borrow::Cow;
use std::sync::Arc;

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{LogChunk, LogSegment, LogStream};
use atta_core::redact::{Mask, Redactor, Stream, StreamState};
use atta_core::time::UnixMillis;
use tokio::sync::watch;

use super::memory::{Captured, LogState, Pending};
use super::set_output::{SetOutputs, Spoken};
use crate::LinkError;
use crate::ant::{Core, Order, Said, say};
use crate::supervisor::SpoolReader;

/// Bytes of one chunk.
const CHUNK: usize = 256 << 10;

/// Sends chunks in order. After a refusal the rest is read and dropped, so that the program does not wait for ever; when
/// the attempt is not this ant's any more, it is forgotten.
pub(super) struct Log {
    core: Arc<Core>,
    attempt_id: AttemptId,
    token: u64,
    orders: watch::Receiver<Order>,
    offset: u64,
    refused: Option<String>,
    stdout: Option<Captured>,
    commands: Option<SetOutputs>,
    redaction: Option<Redaction>,
    /// Lines that come next, whatever else there is.
    pending: Option<Pending>,
    /// The queen does not answer.
    away: watch::Sender<bool>,
}

/// Keeps secrets out of what leaves: each stream by itself, for they are mixed as they arrive.
struct Redaction {
    redactor: Redactor,
    stdout: Stream,
    stderr: Stream,
}

impl Redaction {
    fn new(redactor: Redactor) -> Self {
        let stream = || Stream::new(&redactor, Mask::Mark);
        Self { stdout: stream(), stderr: stream(), redactor }
    }

    fn resume(redactor: Redactor, [stdout, stderr]: &[StreamState; 2]) -> Self {
        let stream = |state| Stream::resume(&redactor, Mask::Mark, state);
        Self { stdout: stream(stdout), stderr: stream(stderr), redactor }
    }

    fn state(&self) -> [StreamState; 2] {
        [self.stdout.state(), self.stderr.state()]
    }

    fn stream(&mut self, stream: LogStream) -> &mut Stream {
        match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr | LogStream::System => &mut self.stderr,
        }
    }

    /// What of it may leave now.
    fn pass(&mut self, bytes: &[u8], segments: &[LogSegment]) -> (Vec<u8>, Vec<LogSegment>) {
        let (mut out, mut passed) = (Vec::with_capacity(bytes.len()), Vec::with_capacity(segments.len()));
        let mut rest = bytes;
        for segment in segments {
            let (part, after) = rest.split_at(rest.len().min(segment.len as usize));
            rest = after;
            if segment.stream == LogStream::System {
                // The shim says that output is missing here.
                for stream in [LogStream::Stdout, LogStream::Stderr] {
                    let before = out.len();
                    self.stream(stream).gap(&mut out);
                    push_segment(&mut passed, stream, segment.at, out.len() - before);
                }
                out.extend_from_slice(part);
                push_segment(&mut passed, LogStream::System, segment.at, part.len());
                continue;
            }
            let before = out.len();
            self.stream(segment.stream).push(part, &mut out);
            push_segment(&mut passed, segment.stream, segment.at, out.len() - before);
        }
        (out, passed)
    }

    /// What was held back: nothing follows.
    fn rest(&mut self, at: UnixMillis) -> (Vec<u8>, Vec<LogSegment>) {
        let (mut out, mut segments) = (Vec::new(), Vec::new());
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            let before = out.len();
            self.stream(stream).finish(&mut out);
            push_segment(&mut segments, stream, at, out.len() - before);
        }
        (out, segments)
    }
}

fn push_segment(segments: &mut Vec<LogSegment>, stream: LogStream, at: UnixMillis, len: usize) {
    if len > 0 {
        segments.push(LogSegment { stream, at, len: u32::try_from(len).unwrap_or(u32::MAX) });
    }
}

impl Log {
    pub(super) fn new(
        core: Arc<Core>,
        attempt_id: AttemptId,
        token: u64,
        orders: watch::Receiver<Order>,
        capture_stdout: Option<usize>,
        commands: Option<SetOutputs>,
        redactor: Option<Redactor>,
    ) -> Self {
        let stdout = capture_stdout.map(|limit| Captured { bytes: Vec::new(), limit, overflowed: false });
        let redaction = redactor.map(Redaction::new);
        let away = watch::Sender::new(false);
        Self {
            core,
            attempt_id,
            token,
            orders,
            offset: 0,
            refused: None,
            stdout,
            commands,
            redaction,
            pending: None,
            away,
        }
    }

    /// Goes on where another ant was.
    pub(super) fn resume(&mut self, state: LogState) {
        let LogState { offset, refused, streams, commands, stdout, pending } = state;
        if let (Some(redaction), Some(streams)) = (&mut self.redaction, &streams) {
            *redaction = Redaction::resume(redaction.redactor.clone(), streams);
        }
        (self.offset, self.refused, self.commands) = (offset, refused, commands);
        (self.stdout, self.pending) = (stdout, pending);
    }

    /// Where it is.
    pub(super) fn state(&self) -> LogState {
        LogState {
            offset: self.offset,
            refused: self.refused.clone(),
            streams: self.redaction.as_ref().map(Redaction::state),
            commands: self.commands.clone(),
            stdout: self.stdout.clone(),
            pending: self.pending.clone(),
        }
    }

    /// Whether the queen does not answer.
    pub(super) fn away(&self) -> watch::Receiver<bool> {
        self.away.subscribe()
    }

    /// How many bytes there are.
    pub(super) fn bytes(&self) -> u64 {
        self.offset
    }

    /// Why the log is not complete.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Takes the stdout that was captured; `None` when it was too long.
    pub(super) fn take_stdout(&mut self) -> Option<Vec<u8>> {
        match self.stdout.take() {
            None => Some(Vec::new()),
            Some(captured) => (!captured.overflowed).then_some(captured.bytes),
        }
    }

    /// Takes what the program said by `::set-output`.
    pub(super) fn take_set_outputs(&mut self) -> Spoken {
        self.commands.take().map(SetOutputs::finish).unwrap_or_default()
    }

    /// A line of Atta's own.
    pub(super) async fn system(&mut self, line: &str) {
        self.prepare(line);
        self.say_pending().await;
    }

    /// A line of Atta's own that comes next, even when another ant must say it.
    pub(super) fn prepare(&mut self, line: &str) {
        let line = self.redaction.as_ref().map_or(Cow::Borrowed(line), |redaction| redaction.redactor.text(line));
        let at = self.core.config.clock.now();
        let pending = self.pending.get_or_insert_with(|| Pending { at, text: String::new() });
        pending.text.push_str(&line);
        pending.text.push('\n');
    }

    /// Says what was prepared.
    pub(super) async fn say_pending(&mut self) {
        let Some(Pending { at, text }) = self.pending.take() else { return };
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.send(vec![LogSegment { stream: LogStream::System, at, len }], text.into_bytes()).await;
    }

    /// Sends what the spool has up to `end`.
    pub(super) async fn spool(&mut self, reader: &mut SpoolReader, base: u64, end: u64) {
        while reader.position() < end {
            let (mut bytes, mut segments) = (Vec::new(), Vec::new());
            if let Err(error) = reader.read(base, end, CHUNK, &mut bytes, &mut segments) {
                self.refused.get_or_insert_with(|| format!("the spool cannot be read: {error}"));
                reader.skip(end);
                return;
            }
            if let Some(redaction) = &mut self.redaction {
                (bytes, segments) = redaction.pass(&bytes, &segments);
            }
            self.capture(&bytes, &segments);
            self.send(segments, bytes).await;
        }
    }

    /// A program has ended: what was held back of its output is sent.
    pub(super) async fn end_of_output(&mut self) {
        let Some(redaction) = &mut self.redaction else { return };
        let (bytes, segments) = redaction.rest(self.core.config.clock.now());
        self.capture(&bytes, &segments);
        self.send(segments, bytes).await;
    }

    fn capture(&mut self, bytes: &[u8], segments: &[LogSegment]) {
        if self.stdout.is_none() && self.commands.is_none() {
            return;
        }
        let mut rest = bytes;
        for segment in segments {
            let (part, after) = rest.split_at(rest.len().min(segment.len as usize));
            rest = after;
            if segment.stream == LogStream::System
                && let Some(commands) = &mut self.commands
            {
                commands.gap();
            }
            if segment.stream != LogStream::Stdout {
                continue;
            }
            if let Some(commands) = &mut self.commands {
                commands.read(part);
            }
            if let Some(captured) = &mut self.stdout
                && !captured.overflowed
            {
                captured.overflowed = captured.bytes.len() + part.len() > captured.limit;
                captured.bytes.extend_from_slice(&part[..part.len().min(captured.limit - captured.bytes.len())]);
            }
        }
    }

    async fn send(&mut self, segments: Vec<LogSegment>, bytes: Vec<u8>) {
        if self.refused.is_some() || bytes.is_empty() {
            return;
        }
        let length = bytes.len() as u64;
        let chunk =
            LogChunk { attempt_id: self.attempt_id.clone(), token: self.token, offset: self.offset, segments, bytes };
        let (link, away) = (&self.core.link, &self.away);
        let append = || async {
            let said = link.append_log(chunk.clone()).await;
            let unreachable = matches!(said, Err(LinkError::Unreachable(_)));
            away.send_if_modified(|away| std::mem::replace(away, unreachable) != unreachable);
            said
        };
        match say(&*self.core.config.entropy, &mut self.orders, append).await {
            Said::Answer(()) => self.offset += length,
            Said::Refused(error) => {
                if matches!(error, LinkError::Stale(_)) {
                    // As if she had ordered it: somebody else may have the attempt.
                    self.core.forget(&self.attempt_id, self.token);
                }
                self.refused = Some(error.to_string());
            }
            Said::Forgotten => self.refused = Some("the attempt was forgotten".to_owned()),
        }
    }
}
