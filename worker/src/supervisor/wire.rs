//! What ant and shim say to each other over an attempt's own socket. Both sides are the same binary, so the encoding
//! needs no version: fields in order, integers little-endian, texts with their length in front.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::time::Duration;

/// What a shim is told to run. It is the first thing on the socket, with its length in front.
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
}

impl fmt::Debug for SpawnRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the environment: there are secrets in it.
        f.debug_struct("SpawnRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

/// From ant to shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToShim {
    /// Output was taken up to this position of the spool.
    Taken(u64),
    /// TERM, grace, KILL.
    Stop,
    /// KILL.
    Kill,
}

/// From shim to ant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromShim {
    /// The program runs; how it is contained.
    Started(u8),
    /// It could not be started: the step, and the errno.
    NotStarted(u8, i32),
    /// The spool has bytes up to `end`; its file begins at position `base`.
    Output { base: u64, end: u64 },
    /// The tree is gone and all output is in the spool.
    Exited(ExitRecord),
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
    fn c_string(&mut self) -> io::Result<CString> {
        CString::new(self.bytes()?).map_err(|_| malformed())
    }
    fn list(&mut self) -> io::Result<Vec<CString>> {
        let count = self.u64()?;
        (0..count).map(|_| self.c_string()).collect()
    }
}

impl SpawnRequest {
    /// As it goes over the socket: length, then fields.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer(vec![0; 8]);
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
        w.u8(u8::from(self.core_dumps));
        let length = (w.0.len() - 8) as u64;
        w.0[..8].copy_from_slice(&length.to_le_bytes());
        w.0
    }

    /// Without the length in front.
    pub(crate) fn decode(bytes: &[u8]) -> io::Result<Self> {
        let mut r = Reader(bytes);
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
            core_dumps: r.u8()? != 0,
        })
    }
}

/// A message with a tag and a fixed length that follows from the tag.
pub(crate) trait Frame: Sized {
    /// Bytes after the tag; `None` for a tag that does not exist.
    fn payload(tag: u8) -> Option<usize>;
    /// From the bytes after the tag.
    fn parse(tag: u8, payload: &[u8]) -> io::Result<Self>;
    /// Tag and payload.
    fn encode(&self) -> Vec<u8>;
}

/// Takes the first whole message off the front of `buffer`.
pub(crate) fn next_frame<F: Frame>(buffer: &mut Vec<u8>) -> io::Result<Option<F>> {
    let Some(&tag) = buffer.first() else { return Ok(None) };
    let length = 1 + F::payload(tag).ok_or_else(malformed)?;
    if buffer.len() < length {
        return Ok(None);
    }
    let frame = F::parse(tag, &buffer[1..length])?;
    buffer.drain(..length);
    Ok(Some(frame))
}

impl Frame for ToShim {
    fn payload(tag: u8) -> Option<usize> {
        match tag {
            1 => Some(8),
            2 | 3 => Some(0),
            _ => None,
        }
    }

    fn parse(tag: u8, payload: &[u8]) -> io::Result<Self> {
        match tag {
            1 => Ok(Self::Taken(Reader(payload).u64()?)),
            2 => Ok(Self::Stop),
            3 => Ok(Self::Kill),
            _ => Err(malformed()),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        match self {
            Self::Taken(position) => {
                w.u8(1);
                w.u64(*position);
            }
            Self::Stop => w.u8(2),
            Self::Kill => w.u8(3),
        }
        w.0
    }
}

impl Frame for FromShim {
    fn payload(tag: u8) -> Option<usize> {
        match tag {
            1 => Some(1),
            2 => Some(5),
            3 => Some(16),
            4 => Some(5 + 5 + 4 + 32),
            _ => None,
        }
    }

    fn parse(tag: u8, payload: &[u8]) -> io::Result<Self> {
        let mut r = Reader(payload);
        Ok(match tag {
            1 => Self::Started(r.u8()?),
            2 => Self::NotStarted(r.u8()?, r.i32()?),
            3 => Self::Output { base: r.u64()?, end: r.u64()? },
            4 => Self::Exited(ExitRecord {
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
            }),
            _ => return Err(malformed()),
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        match self {
            Self::Started(level) => {
                w.u8(1);
                w.u8(*level);
            }
            Self::NotStarted(step, errno) => {
                w.u8(2);
                w.u8(*step);
                w.i32(*errno);
            }
            Self::Output { base, end } => {
                w.u8(3);
                w.u64(*base);
                w.u64(*end);
            }
            Self::Exited(record) => {
                w.u8(4);
                let (kind, number) = match record.status {
                    ExitStatus::Code(code) => (0, i32::from(code)),
                    ExitStatus::Signal(signal) => (1, signal),
                    ExitStatus::Unknown => (2, 0),
                };
                w.u8(kind);
                w.i32(number);
                let (cause, errno) = match record.stopped {
                    None => (0, 0),
                    Some(StopCause::Timeout) => (1, 0),
                    Some(StopCause::Idle) => (2, 0),
                    Some(StopCause::Order) => (3, 0),
                    Some(StopCause::Orphaned) => (4, 0),
                    Some(StopCause::Spool(errno)) => (5, errno),
                };
                w.u8(cause);
                w.i32(errno);
                w.i32(record.survivors.cast_signed());
                w.u64(record.cpu_micros);
                w.u64(record.max_rss_kib);
                w.u64(record.spool.0);
                w.u64(record.spool.1);
            }
        }
        w.0
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
        let messages = [
            FromShim::Started(2),
            FromShim::NotStarted(3, 2),
            FromShim::Output { base: 5, end: u64::MAX },
            record(ExitStatus::Code(255), None),
            record(ExitStatus::Signal(9), Some(StopCause::Spool(28))),
            record(ExitStatus::Unknown, Some(StopCause::Idle)),
        ];
        let mut buffer = Vec::new();
        let mut seen = Vec::new();
        for byte in messages.iter().flat_map(FromShim::encode) {
            buffer.push(byte);
            seen.extend(next_frame::<FromShim>(&mut buffer).unwrap());
        }
        assert_eq!(seen, messages);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_request_survives_the_way_and_a_cut_one_is_an_error() {
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
        };
        let encoded = request.encode();
        assert_eq!(SpawnRequest::decode(&encoded[8..]).unwrap(), request);
        for cut in 8..encoded.len() {
            assert!(SpawnRequest::decode(&encoded[8..cut]).is_err());
        }
    }
}
