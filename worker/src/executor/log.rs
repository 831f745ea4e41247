//! An attempt's log on its way to the queen.

use std::borrow::Cow;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::AttemptId;
use atta_core::protocol::ant::{LogChunk, LogSegment, LogStream};
use atta_core::redact::{Mask, Redactor, Stream, StreamState};
use atta_core::time::UnixMillis;
use tokio::sync::watch;

use super::memory::{Captured, Held, LeftOut, LogState, Pending};
use super::process::Keep;
use super::set_output::{SetOutputs, Spoken};
use crate::LinkError;
use crate::ant::{Core, Order, Said, Waits, say};
use crate::supervisor::{OF_STDOUT, SpoolReader};

/// Bytes of one chunk.
const CHUNK: usize = 256 << 10;
/// The queen is away for so long: from now on it is known what she cannot have.
const HOLD_AFTER: Duration = Duration::from_secs(10);
/// What has waited for too long is left out in steps of this: each tries to reach the queen first.
const LONGEST_STEP: Duration = Duration::from_mins(1);

/// A part of a spool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// The position at which the file begins.
    pub(super) base: u64,
    /// The position behind the part.
    pub(super) end: u64,
    /// From here on another ant has said nothing to the queen.
    pub(super) unsaid_from: u64,
}

/// Sends chunks in order. After a refusal the rest is read and dropped, so that the program does not wait for ever; when
/// the attempt is not this ant's any more, it is forgotten.
pub(super) struct Log {
    core: Arc<Core>,
    attempt_id: AttemptId,
    token: u64,
    orders: watch::Receiver<Order>,
    offset: u64,
    refused: Option<String>,
    /// Why what outputs are read from is not whole.
    short: Option<String>,
    stdout: Option<Captured>,
    commands: Option<SetOutputs>,
    redaction: Option<Redaction>,
    /// Lines that come next, whatever else there is.
    pending: Option<Pending>,
    /// In front of them.
    held: Option<Held>,
    left_out: Option<LeftOut>,
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
            short: None,
            stdout,
            commands,
            redaction,
            pending: None,
            held: None,
            left_out: None,
            away,
        }
    }

    /// Goes on where another ant was.
    pub(super) fn resume(&mut self, state: LogState) {
        let LogState { offset, refused, short, streams, commands, stdout, pending, held, left_out } = state;
        if let (Some(redaction), Some(streams)) = (&mut self.redaction, &streams) {
            *redaction = Redaction::resume(redaction.redactor.clone(), streams);
        }
        (self.offset, self.refused, self.short, self.commands) = (offset, refused, short, commands);
        (self.stdout, self.pending) = (stdout, pending);
        (self.held, self.left_out) = (held, left_out);
    }

    /// Where it is.
    pub(super) fn state(&self) -> LogState {
        LogState {
            offset: self.offset,
            refused: self.refused.clone(),
            short: self.short.clone(),
            streams: self.redaction.as_ref().map(Redaction::state),
            commands: self.commands.clone(),
            stdout: self.stdout.clone(),
            pending: self.pending.clone(),
            held: self.held.clone(),
            left_out: self.left_out,
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

    /// Why what outputs are read from is not whole, if it is not.
    pub(super) fn short(&self) -> Option<&str> {
        self.short.as_deref()
    }

    /// Whether an output is read from stdout.
    pub(super) fn captures_stdout(&self) -> bool {
        self.stdout.is_some()
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
        if self.pending.is_none() {
            return;
        }
        self.catch_up().await;
        let Some(Pending { at, text }) = self.pending.take() else { return };
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.send(vec![LogSegment { stream: LogStream::System, at, len }], text.into_bytes()).await;
    }

    /// Sends a part of the spool. What waits for too long while the queen is away is left out.
    pub(super) async fn spool(&mut self, reader: &mut SpoolReader, part: Part, keep: &mut Keep<'_>) {
        while reader.position() < part.end {
            if let Err(error) = self.go_through(reader, part, keep).await {
                let why = format!("the spool cannot be read: {error}");
                self.short.get_or_insert_with(|| why.clone());
                self.refused.get_or_insert(why);
                reader.skip(part.end);
            }
        }
        self.show(reader, part.base);
    }

    /// Says what was held up before something else comes: the queen is there again.
    pub(super) async fn catch_up(&mut self) {
        if self.is_held_up() {
            // Rare, and large: not in the future of each attempt.
            Box::pin(self.clear(None)).await;
        }
    }

    /// Whether something is in front of everything else.
    pub(super) fn is_held_up(&self) -> bool {
        self.held.is_some() || self.left_out.is_some()
    }

    async fn go_through(&mut self, reader: &mut SpoolReader, part: Part, keep: &mut Keep<'_>) -> io::Result<()> {
        self.show(reader, part.base);
        if self.is_held_up() && !Box::pin(self.wait_or_leave_out(reader, part, keep)).await? {
            return Ok(());
        }
        let began = self.core.config.clock.now();
        let (segments, bytes, _) = self.take(reader, part, CHUNK)?;
        // What follows may have been said by another ant, and must then be said once more as it was.
        let known = reader.position() >= part.unsaid_from.min(part.end);
        let until = known.then(|| began.plus(HOLD_AFTER.min(self.core.config.spool_age)));
        if let Err(held) = self.deliver(segments, bytes, until).await {
            self.held = Some(held);
            keep.note(self, reader.position()).await;
        }
        Ok(())
    }

    /// Reads whole records, of which there are so many bytes or more. How many bytes there were before secrets were masked.
    fn take(
        &mut self,
        reader: &mut SpoolReader,
        part: Part,
        limit: usize,
    ) -> io::Result<(Vec<LogSegment>, Vec<u8>, usize)> {
        let (mut bytes, mut segments) = (Vec::new(), Vec::new());
        reader.read(part.base, part.end, limit, &mut bytes, &mut segments)?;
        let read = bytes.len();
        if let Some(redaction) = &mut self.redaction {
            (bytes, segments) = redaction.pass(&bytes, &segments);
        }
        self.capture(&bytes, &segments);
        Ok((segments, bytes, read))
    }

    /// Shows what waits, from where the reader is.
    fn show(&self, reader: &mut SpoolReader, base: u64) {
        let held = self.held.as_ref().and_then(|held| Some((held.segments.first()?.at, held.bytes.len() as u64)));
        // Without either nothing is there.
        let next = || reader.next_at(base).ok().map(|at| (at, 0));
        let waits = held.or_else(next).map(|(since, held)| Waits {
            since,
            file: reader.path().to_owned(),
            from: reader.position().saturating_sub(base),
            held,
        });
        self.core.note_waits(&self.attempt_id, waits);
    }

    /// Waits until the queen has what comes first, or until the next record has waited for too long: then leaves out what
    /// has. Its outputs are taken all the same. True: what follows can be sent.
    async fn wait_or_leave_out(
        &mut self,
        reader: &mut SpoolReader,
        part: Part,
        keep: &mut Keep<'_>,
    ) -> io::Result<bool> {
        let age = self.core.config.spool_age;
        let step = self.core.config.clock.now().plus((age / 64).min(LONGEST_STEP));
        if self.clear(Some(reader.next_at(part.base)?.plus(age).max(step))).await {
            // From here on another ant is not to leave out anything: the queen may have it.
            keep.note(self, reader.position()).await;
            return Ok(true);
        }
        let (now, mut left_out) = (self.core.config.clock.now(), 0);
        while reader.position() < part.end && reader.next_at(part.base)?.plus(age) <= now {
            left_out += self.take(reader, part, 1)?.2 as u64;
            // There may be much of it, and orders are to be heard meanwhile.
            tokio::task::yield_now().await;
        }
        if left_out > 0 {
            left_out += self.left_out.map_or(0, |before| before.bytes);
            self.left_out = Some(LeftOut { at: now, bytes: left_out });
            if keep.note(self, reader.position()).await {
                reader.free(part.base);
            }
        }
        Ok(false)
    }

    /// Sends what is in front of everything else. False: the queen was away until then.
    async fn clear(&mut self, until: Option<UnixMillis>) -> bool {
        loop {
            // Whoever stops waiting for this finds it where it was.
            if let Some(Held { segments, bytes }) = self.held.clone()
                && self.deliver(segments, bytes, until).await.is_err()
            {
                return false;
            }
            if self.held.take().is_some() {
                self.core.note_waits(&self.attempt_id, None);
            }
            let Some(LeftOut { at, bytes }) = self.left_out.take() else { return true };
            let line = format!(
                "\u{2026} {bytes} bytes of output were left out here: the queen was away and they had waited for too long \u{2026}\n"
            );
            let line =
                self.redaction.as_ref().map_or(Cow::Borrowed(&*line), |redaction| redaction.redactor.text(&line));
            let bytes = line.into_owned().into_bytes();
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            // Once it may have arrived it says the same for ever.
            self.held = Some(Held { segments: vec![LogSegment { stream: LogStream::System, at, len }], bytes });
        }
    }

    /// A program has ended: what was held back of its output is sent.
    pub(super) async fn end_of_output(&mut self) {
        self.catch_up().await;
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
            if segment.stream == LogStream::System {
                if let Some(commands) = &mut self.commands {
                    commands.gap();
                }
                if String::from_utf8_lossy(part).contains(OF_STDOUT) {
                    self.short.get_or_insert_with(|| "the queen was away and the spool was full".to_owned());
                }
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
        self.catch_up().await;
        // Without an end it is said.
        let _ = self.deliver(segments, bytes, None).await;
    }

    /// Says a piece until the queen has answered. Gives it back when she is away and it is too late.
    async fn deliver(
        &mut self,
        segments: Vec<LogSegment>,
        bytes: Vec<u8>,
        until: Option<UnixMillis>,
    ) -> Result<(), Held> {
        if self.refused.is_some() || bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len() as u64;
        let chunk =
            LogChunk { attempt_id: self.attempt_id.clone(), token: self.token, offset: self.offset, segments, bytes };
        let (link, away, clock) = (&self.core.link, &self.away, &self.core.config.clock);
        let append = || async {
            let said = link.append_log(chunk.clone()).await;
            let unreachable = matches!(said, Err(LinkError::Unreachable(_)));
            away.send_if_modified(|away| std::mem::replace(away, unreachable) != unreachable);
            said
        };
        let mut is_away = away.subscribe();
        let too_late = async {
            let Some(until) = until else { return pending().await };
            loop {
                if is_away.wait_for(|away| *away).await.is_err() {
                    return pending().await;
                }
                let left = until.since(clock.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left).await;
            }
        };
        let say = say(&*self.core.config.entropy, &mut self.orders, append);
        let say_in_time = async {
            tokio::select! {
                biased;
                said = say => Some(said),
                () = too_late => None,
            }
        };
        // A chunk is larger than what is allocated here, and the future of each attempt is not to be.
        let said = Box::pin(say_in_time).await;
        match said {
            Some(Said::Answer(())) => self.offset += length,
            Some(Said::Refused(error)) => {
                if matches!(error, LinkError::Stale(_)) {
                    // As if she had ordered it: somebody else may have the attempt.
                    self.core.forget(&self.attempt_id, self.token);
                }
                self.refused = Some(error.to_string());
            }
            Some(Said::Forgotten) => self.refused = Some("the attempt was forgotten".to_owned()),
            None => return Err(Held { segments: chunk.segments, bytes: chunk.bytes }),
        }
        Ok(())
    }
}
