//! What ant and shim say to each other over an attempt's own socket: frames of a tag, a length and fields in order,
//! integers little-endian, texts with their length in front. An ant may meet the shims of an earlier build: fields are
//! only ever added at the end of a frame, and [`VERSION`] says when that did not do.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::time::Duration;

/// Of the frames.
pub(crate) const VERSION: u32 = 1;
/// In the place of what was typed, when nothing was.
const NOT_TYPED: (u64, u64) = (0, 0);
/// A longer frame is none.
const LONGEST: usize = 1 << 28;

/// What a shim is told to run.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SpawnRequest {
    /// Name of its cgroup.
    pub(crate) name: String,
    /// Absolute path of the program.
    pub(crate) executable: CString,
    /// Its arguments, the name it is called by first.
    pub(crate) arguments: Vec<CString>,
    /// Exactly its environment, `NAME=value`.
    pub(crate) environment: Vec<CString>,
    /// Its working directory.
    pub(crate) directory: CString,
    /// The file for its output, made with the first byte.
    pub(crate) spool: CString,
    /// Execution wall clock.
    pub(crate) timeout: Duration,
    /// Longest time without output and activity; none when zero.
    pub(crate) idle_timeout: Duration,
    /// From TERM to KILL.
    pub(crate) kill_grace: Duration,
    /// The ant's wall clock at the time of the request, milliseconds.
    pub(crate) now: i64,
    /// Output that the ant has not taken may grow to so many bytes; then the program waits.
    pub(crate) spool_bound: u64,
    /// Whether it may leave core files: they hold its environment.
    pub(crate) core_dumps: bool,
    /// The attempt's directory.
    pub(crate) root: CString,
    /// Nothing of the attempt was started before.
    pub(crate) first: bool,
    /// What the ant must know to go on with the attempt, sealed by it.
    pub(crate) sealed: Vec<u8>,
    /// When the ant goes away the tree is killed. Otherwise the shim waits for the next one.
    pub(crate) dies_with_ant: bool,
    /// What takes the place of [`Self::spool_bound`] while no ant is there; then output is left out and nobody waits.
    pub(crate) away_bound: u64,
    /// Its streams are a terminal. Said only when it is so: an earlier shim is told what it knows, byte for byte.
    pub(crate) tty: bool,
}

impl fmt::Debug for SpawnRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the environment: there are secrets in it.
        f.debug_struct("SpawnRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

/// From ant to shim.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum ToShim {
    /// Run this: the first program of the attempt, or the next one when the first has ended.
    Start(Box<SpawnRequest>),
    /// Output was taken up to this position of the spool.
    Taken(u64),
    /// The same, and what an ant must know to go on from there, sealed. Only now the output may be thrown away.
    Checkpoint { position: u64, state: Vec<u8> },
    /// TERM, grace, KILL; the reason, sealed, for whoever asks later.
    Stop(Vec<u8>),
    /// KILL.
    Kill,
    /// How much the spool may grow; beyond it the program waits, or its output is left out.
    Bound { bytes: u64, thin: bool },
    /// The attempt is over and its end was heard: nothing is to be kept any more.
    Release,
    /// Type this, where it was not yet: each byte has a position on a line, and a newer line has a greater number. Only for
    /// a program with a terminal; an earlier shim has none.
    Input { line: u64, position: u64, bytes: Vec<u8> },
    /// How large the terminal is from now on. The same holds.
    Resize { columns: u16, rows: u16 },
}

/// From shim to ant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromShim {
    /// The program runs; how it is contained.
    Started(u8),
    /// It could not be started: the step, and the errno.
    NotStarted(u8, i32),
    /// The spool has bytes up to `end`; its file begins at position `base`. To be answered by a checkpoint if it says so.
    Output { base: u64, end: u64, checkpoint: bool },
    /// The tree is gone and all output is in the spool.
    Exited(ExitRecord),
    /// The first thing that an ant hears that did not start this shim.
    Here(Box<Here>),
}

/// What a shim has kept for the next ant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Here {
    /// [`VERSION`] of the shim.
    pub(crate) version: u32,
    /// As the newest request brought it.
    pub(crate) sealed: Vec<u8>,
    /// The newest checkpoint after it.
    pub(crate) checkpoint: Option<(u64, Vec<u8>)>,
    /// The reason of the order to stop, if there was one.
    pub(crate) stop: Option<Vec<u8>>,
    /// How the program is contained, once it was started.
    pub(crate) level: Option<u8>,
    /// What was typed into it: the newest line, and the position on it before which everything was. Said only when
    /// something was.
    pub(crate) typed: Option<(u64, u64)>,
    /// The output from this position on was announced to no ant, so the queen has nothing of it. An earlier shim does not
    /// say it.
    pub(crate) told: Option<u64>,
}

/// How a process tree ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExitRecord {
    /// Exit code of the program, or the number of the signal that ended it.
    pub(crate) status: ExitStatus,
    /// What was done to it.
    pub(crate) stopped: Option<StopCause>,
    /// Processes that could not be killed (stuck in the kernel).
    pub(crate) survivors: u32,
    /// User and system time of the whole tree, microseconds.
    pub(crate) cpu_micros: u64,
    /// Largest resident set of one process, KiB.
    pub(crate) max_rss_kib: u64,
    /// Where the spool's file begins and ends.
    pub(crate) spool: (u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    Code(u8),
    Signal(i32),
    /// Never seen: it outlived its KILL.
    Unknown,
}

/// Why a shim stopped its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// The wall clock ran out.
    Timeout,
    /// Nothing happened for too long.
    Idle,
    /// The ant said so.
    Order,
    /// The ant is gone.
    Orphaned,
    /// Its output could not be stored: errno.
    Spool(i32),
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }
    fn i32(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    fn duration(&mut self, value: Duration) {
        self.u64(u64::try_from(value.as_micros()).unwrap_or(u64::MAX));
    }
    fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.0.extend_from_slice(value);
    }
    fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }
    fn option(&mut self, value: Option<&[u8]>) {
        self.bool(value.is_some());
        self.bytes(value.unwrap_or_default());
    }
    fn list(&mut self, values: &[CString]) {
        self.u64(values.len() as u64);
        for value in values {
            self.bytes(value.as_bytes());
        }
    }
}

struct Reader<'a>(&'a [u8]);

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed message between ant and shim")
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count).ok_or_else(malformed)?;
        self.0 = tail;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| malformed())
    }
    fn u8(&mut self) -> io::Result<u8> {
        Ok(self.array::<1>()?[0])
    }
    /// Whether there is a field that earlier builds do not say.
    fn has_more(&self) -> bool {
        !self.0.is_empty()
    }
    fn u16(&mut self) -> io::Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }
    fn i32(&mut self) -> io::Result<i32> {
        Ok(i32::from_le_bytes(self.array()?))
    }
    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    fn duration(&mut self) -> io::Result<Duration> {
        Ok(Duration::from_micros(self.u64()?))
    }
    fn bytes(&mut self) -> io::Result<&'a [u8]> {
        let length = usize::try_from(self.u64()?).map_err(|_| malformed())?;
        self.take(length)
    }
    fn bool(&mut self) -> io::Result<bool> {
        Ok(self.u8()? != 0)
    }
    fn option(&mut self) -> io::Result<Option<&'a [u8]>> {
        let some = self.bool()?;
        let bytes = self.bytes()?;
        Ok(some.then_some(bytes))
    }
    fn c_string(&mut self) -> io::Result<CString> {
        CString::new(self.bytes()?).map_err(|_| malformed())
    }
    fn list(&mut self) -> io::Result<Vec<CString>> {
        let count = self.u64()?;
        (0..count).map(|_| self.c_string()).collect()
    }
}

impl SpawnRequest {
    fn write(&self, w: &mut Writer) {
        w.bytes(self.name.as_bytes());
        w.bytes(self.executable.as_bytes());
        w.list(&self.arguments);
        w.list(&self.environment);
        w.bytes(self.directory.as_bytes());
        w.bytes(self.spool.as_bytes());
        w.duration(self.timeout);
        w.duration(self.idle_timeout);
        w.duration(self.kill_grace);
        w.u64(self.now.cast_unsigned());
        w.u64(self.spool_bound);
        w.bool(self.core_dumps);
        w.bytes(self.root.as_bytes());
        w.bool(self.first);
        w.bytes(&self.sealed);
        w.bool(self.dies_with_ant);
        w.u64(self.away_bound);
        if self.tty {
            w.bool(true);
        }
    }

    fn read(r: &mut Reader<'_>) -> io::Result<Self> {
        Ok(Self {
            name: String::from_utf8(r.bytes()?.to_vec()).map_err(|_| malformed())?,
            executable: r.c_string()?,
            arguments: r.list()?,
            environment: r.list()?,
            directory: r.c_string()?,
            spool: r.c_string()?,
            timeout: r.duration()?,
            idle_timeout: r.duration()?,
            kill_grace: r.duration()?,
            now: r.u64()?.cast_signed(),
            spool_bound: r.u64()?,
            core_dumps: r.bool()?,
            root: r.c_string()?,
            first: r.bool()?,
            sealed: r.bytes()?.to_vec(),
            dies_with_ant: r.bool()?,
            away_bound: r.u64()?,
            tty: r.has_more() && r.bool()?,
        })
    }
}

/// A message with a tag, its length and what belongs to it.
pub(crate) trait Frame: Sized {
    /// From the bytes after tag and length.
    fn parse(tag: u8, payload: &[u8]) -> io::Result<Self>;
    /// Tag, length and payload.
    fn encode(&self) -> Vec<u8>;
}

/// Before the payload of a frame.
const HEAD: usize = 5;

/// Takes the first whole message off the front of `buffer`.
pub(crate) fn next_frame<F: Frame>(buffer: &mut Vec<u8>) -> io::Result<Option<F>> {
    let Some((&[tag, a, b, c, d], rest)) = buffer.split_first_chunk::<HEAD>() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| malformed())?;
    if length > LONGEST {
        return Err(malformed());
    }
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let frame = F::parse(tag, payload)?;
    buffer.drain(..HEAD + length);
    Ok(Some(frame))
}

fn frame(tag: u8, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer(vec![tag, 0, 0, 0, 0]);
    write(&mut w);
    let length = u32::try_from(w.0.len() - HEAD).unwrap_or(u32::MAX);
    w.0[1..HEAD].copy_from_slice(&length.to_le_bytes());
    w.0
}

impl Frame for ToShim {
    fn parse(tag: u8, payload: &[u8]) -> io::Result<Self> {
        let mut r = Reader(payload);
        Ok(match tag {
            1 => Self::Start(Box::new(SpawnRequest::read(&mut r)?)),
            2 => Self::Taken(r.u64()?),
            3 => Self::Checkpoint { position: r.u64()?, state: r.bytes()?.to_vec() },
            4 => Self::Stop(r.bytes()?.to_vec()),
            5 => Self::Kill,
            6 => Self::Bound { bytes: r.u64()?, thin: r.bool()? },
            7 => Self::Release,
            8 => Self::Input { line: r.u64()?, position: r.u64()?, bytes: r.bytes()?.to_vec() },
            9 => Self::Resize { columns: r.u16()?, rows: r.u16()? },
            _ => return Err(malformed()),
        })
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Start(request) => frame(1, |w| request.write(w)),
            Self::Taken(position) => frame(2, |w| w.u64(*position)),
            Self::Checkpoint { position, state } => frame(3, |w| {
                w.u64(*position);
                w.bytes(state);
            }),
            Self::Stop(reason) => frame(4, |w| w.bytes(reason)),
            Self::Kill => frame(5, |_| {}),
            Self::Bound { bytes, thin } => frame(6, |w| {
                w.u64(*bytes);
                w.bool(*thin);
            }),
            Self::Release => frame(7, |_| {}),
            Self::Input { line, position, bytes } => frame(8, |w| {
                w.u64(*line);
                w.u64(*position);
                w.bytes(bytes);
            }),
            Self::Resize { columns, rows } => frame(9, |w| {
                w.u16(*columns);
                w.u16(*rows);
            }),
        }
    }
}

impl Frame for FromShim {
    fn parse(tag: u8, payload: &[u8]) -> io::Result<Self> {
        let mut r = Reader(payload);
        Ok(match tag {
            1 => Self::Started(r.u8()?),
            2 => Self::NotStarted(r.u8()?, r.i32()?),
            3 => Self::Output { base: r.u64()?, end: r.u64()?, checkpoint: r.bool()? },
            4 => Self::Exited(ExitRecord::read(&mut r)?),
            5 => Self::Here(Box::new(Here {
                version: u32::try_from(r.u64()?).map_err(|_| malformed())?,
                sealed: r.bytes()?.to_vec(),
                checkpoint: {
                    let position = r.u64()?;
                    r.option()?.map(|state| (position, state.to_vec()))
                },
                stop: r.option()?.map(<[u8]>::to_vec),
                level: r.option()?.and_then(|level| level.first().copied()),
                // Nothing is said as it is said of a line that nobody has: a field follows.
                typed: if r.has_more() { Some((r.u64()?, r.u64()?)).filter(|typed| *typed != NOT_TYPED) } else { None },
                told: if r.has_more() { Some(r.u64()?) } else { None },
            })),
            _ => return Err(malformed()),
        })
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Started(level) => frame(1, |w| w.u8(*level)),
            Self::NotStarted(step, errno) => frame(2, |w| {
                w.u8(*step);
                w.i32(*errno);
            }),
            Self::Output { base, end, checkpoint } => frame(3, |w| {
                w.u64(*base);
                w.u64(*end);
                w.bool(*checkpoint);
            }),
            Self::Exited(record) => frame(4, |w| record.write(w)),
            Self::Here(here) => frame(5, |w| {
                w.u64(here.version.into());
                w.bytes(&here.sealed);
                let (position, state) = here.checkpoint.as_ref().map_or((0, None), |(p, s)| (*p, Some(s.as_slice())));
                w.u64(position);
                w.option(state);
                w.option(here.stop.as_deref());
                let level = here.level.map(|level| [level]);
                w.option(level.as_ref().map(<[u8; 1]>::as_slice));
                if here.typed.is_some() || here.told.is_some() {
                    let (line, upto) = here.typed.unwrap_or(NOT_TYPED);
                    w.u64(line);
                    w.u64(upto);
                }
                if let Some(told) = here.told {
                    w.u64(told);
                }
            }),
        }
    }
}

impl ExitRecord {
    fn read(r: &mut Reader<'_>) -> io::Result<Self> {
        Ok(Self {
            status: match (r.u8()?, r.i32()?) {
                (0, code) => ExitStatus::Code(u8::try_from(code).map_err(|_| malformed())?),
                (1, signal) => ExitStatus::Signal(signal),
                _ => ExitStatus::Unknown,
            },
            stopped: match (r.u8()?, r.i32()?) {
                (1, _) => Some(StopCause::Timeout),
                (2, _) => Some(StopCause::Idle),
                (3, _) => Some(StopCause::Order),
                (4, _) => Some(StopCause::Orphaned),
                (5, errno) => Some(StopCause::Spool(errno)),
                _ => None,
            },
            survivors: r.i32()?.cast_unsigned(),
            cpu_micros: r.u64()?,
            max_rss_kib: r.u64()?,
            spool: (r.u64()?, r.u64()?),
        })
    }

    fn write(&self, w: &mut Writer) {
        let (kind, number) = match self.status {
            ExitStatus::Code(code) => (0, i32::from(code)),
            ExitStatus::Signal(signal) => (1, signal),
            ExitStatus::Unknown => (2, 0),
        };
        w.u8(kind);
        w.i32(number);
        let (cause, errno) = match self.stopped {
            None => (0, 0),
            Some(StopCause::Timeout) => (1, 0),
            Some(StopCause::Idle) => (2, 0),
            Some(StopCause::Order) => (3, 0),
            Some(StopCause::Orphaned) => (4, 0),
            Some(StopCause::Spool(errno)) => (5, errno),
        };
        w.u8(cause);
        w.i32(errno);
        w.i32(self.survivors.cast_signed());
        w.u64(self.cpu_micros);
        w.u64(self.max_rss_kib);
        w.u64(self.spool.0);
        w.u64(self.spool.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives_the_way_in_any_pieces() {
        let record = |status, stopped| {
            FromShim::Exited(ExitRecord {
                status,
                stopped,
                survivors: 2,
                cpu_micros: 77,
                max_rss_kib: 4096,
                spool: (10, 1 << 40),
            })
        };
        let here = |checkpoint, stop, level: Option<u8>| {
            let typed = level.map(|level| (u64::from(level), 9));
            FromShim::Here(Box::new(Here {
                version: VERSION,
                sealed: b"sealed".to_vec(),
                checkpoint,
                stop,
                level,
                typed,
                told: typed.map(|(line, _)| line * 1000),
            }))
        };
        let messages = [
            FromShim::Started(2),
            FromShim::NotStarted(3, 2),
            FromShim::Output { base: 5, end: u64::MAX, checkpoint: true },
            record(ExitStatus::Code(255), None),
            record(ExitStatus::Signal(9), Some(StopCause::Spool(28))),
            record(ExitStatus::Unknown, Some(StopCause::Idle)),
            here(None, None, None),
            here(Some((7, vec![1; 1000])), Some(Vec::new()), Some(1)),
        ];
        let mut buffer = Vec::new();
        let mut seen = Vec::new();
        for byte in messages.iter().flat_map(FromShim::encode) {
            buffer.push(byte);
            seen.extend(next_frame::<FromShim>(&mut buffer).unwrap());
        }
        assert_eq!(seen, messages);
        assert!(buffer.is_empty());
        let orders = [
            ToShim::Taken(1),
            ToShim::Checkpoint { position: 3, state: vec![0; 70_000] },
            ToShim::Stop(b"why".to_vec()),
            ToShim::Kill,
            ToShim::Bound { bytes: 1 << 40, thin: true },
            ToShim::Release,
            ToShim::Input { line: 1 << 32, position: 70_000, bytes: vec![0, 3, 255] },
            ToShim::Resize { columns: 80, rows: 1000 },
        ];
        let mut buffer: Vec<u8> = orders.iter().flat_map(ToShim::encode).collect();
        for order in orders {
            assert!(next_frame::<ToShim>(&mut buffer).unwrap() == Some(order));
        }
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_request_survives_the_way_and_a_cut_one_is_no_message() {
        let text = |s: &str| CString::new(s).unwrap();
        let request = SpawnRequest {
            name: "job_1-1".to_owned(),
            executable: text("/bin/sh"),
            arguments: vec![text("sh"), text("-eu"), text("a b\n")],
            environment: vec![text("A=\u{e4}"), text("EMPTY=")],
            directory: text("/tmp"),
            spool: text("/tmp/spool"),
            timeout: Duration::from_mins(15),
            idle_timeout: Duration::ZERO,
            kill_grace: Duration::from_millis(250),
            now: -5,
            spool_bound: 1,
            core_dumps: true,
            root: text("/"),
            first: true,
            sealed: vec![0, 255],
            dies_with_ant: true,
            away_bound: 7,
            tty: false,
        };
        let with_terminal = SpawnRequest { tty: true, ..request.clone() };
        let mut encoded = ToShim::Start(Box::new(with_terminal.clone())).encode();
        assert!(next_frame::<ToShim>(&mut encoded).unwrap() == Some(ToShim::Start(Box::new(with_terminal))));
        let encoded = ToShim::Start(Box::new(request.clone())).encode();
        for cut in 0..encoded.len() {
            assert!(next_frame::<ToShim>(&mut encoded[..cut].to_vec()).unwrap().is_none());
        }
        let mut whole = encoded.clone();
        assert!(next_frame::<ToShim>(&mut whole).unwrap() == Some(ToShim::Start(Box::new(request))));
        let mut short = encoded[..encoded.len() - 1].to_vec();
        let length = u32::try_from(short.len() - HEAD).unwrap();
        short[1..HEAD].copy_from_slice(&length.to_le_bytes());
        assert!(next_frame::<ToShim>(&mut short).is_err());
    }

    fn recorded<F: Frame>(direction: &str) -> Vec<(&'static str, Vec<u8>, F)> {
        let lines = include_str!("wire-1.txt").lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| {
                let [which, name, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
                let bytes = hex::decode(hex).unwrap();
                let mut buffer = bytes.clone();
                (which == direction).then(|| (name, bytes, next_frame(&mut buffer).unwrap().unwrap()))
            })
            .collect()
    }

    #[test]
    fn frames_of_an_earlier_build_are_understood() {
        let text = |s: &str| CString::new(s).unwrap();
        let start = SpawnRequest {
            name: "job_1-1".to_owned(),
            executable: text("/bin/sh"),
            arguments: vec![text("sh"), text("-eu")],
            environment: vec![text("A=b")],
            directory: text("/work"),
            spool: text("/spool"),
            timeout: Duration::from_mins(15),
            idle_timeout: Duration::ZERO,
            kill_grace: Duration::from_millis(250),
            now: 1_700_000_000_000,
            spool_bound: 1 << 24,
            core_dumps: true,
            root: text("/root"),
            first: true,
            sealed: vec![0, 255],
            dies_with_ant: false,
            away_bound: 1 << 30,
            tty: false,
        };
        let expected = [
            ToShim::Start(Box::new(start)),
            ToShim::Taken(1),
            ToShim::Checkpoint { position: 3, state: b"state".to_vec() },
            ToShim::Stop(b"why".to_vec()),
            ToShim::Kill,
            ToShim::Bound { bytes: 1 << 40, thin: true },
            ToShim::Release,
        ];
        let said = recorded::<ToShim>("to-shim");
        assert_eq!(said.len(), expected.len());
        for ((name, bytes, said), expected) in said.into_iter().zip(expected) {
            assert!(said == expected, "{name}");
            // What an earlier shim would be told: it reads its own fields and ignores what comes behind them.
            assert!(VERSION > 1 || said.encode() == bytes, "{name}: fields are only added, and then VERSION grows");
        }
        let exited = |status, stopped| {
            FromShim::Exited(ExitRecord {
                status,
                stopped,
                survivors: 2,
                cpu_micros: 77,
                max_rss_kib: 4096,
                spool: (10, 1 << 40),
            })
        };
        let here = |checkpoint, stop, level| {
            let sealed = b"sealed".to_vec();
            FromShim::Here(Box::new(Here { version: 1, sealed, checkpoint, stop, level, typed: None, told: None }))
        };
        let expected = [
            FromShim::Started(2),
            FromShim::NotStarted(3, 2),
            FromShim::Output { base: 5, end: 9, checkpoint: true },
            exited(ExitStatus::Code(255), None),
            exited(ExitStatus::Signal(9), Some(StopCause::Spool(28))),
            here(Some((7, b"state".to_vec())), Some(b"why".to_vec()), Some(1)),
            here(None, None, None),
        ];
        let heard: Vec<FromShim> = recorded("from-shim").into_iter().map(|(_, _, frame)| frame).collect();
        assert_eq!(heard, expected);
    }
}
