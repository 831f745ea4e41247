//! The format of a log file: frames, and marks that say which offsets a place in the file stands for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use atta_core::protocol::ant::LogStream;
use atta_core::time::UnixMillis;

/// Bytes of a frame's header: stream (1), zero (3), length (4), Unix milliseconds (8); little endian.
pub(super) const HEADER: usize = 16;

/// A longer segment is stored as several frames, so that a reader with one buffer always gets on.
pub(super) const MAX_FRAME: usize = 64 * 1024;

/// A mark is kept, and a compressed block ends, after this many bytes of file.
pub(super) const BLOCK: u64 = 256 * 1024;

/// A frame boundary in the (uncompressed) file and what comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// Offset in the file.
    pub file: u64,
    /// Bytes of each stream before it.
    pub streams: [u64; 3],
}

impl Mark {
    /// Bytes of log before this place: of one stream, or of all.
    pub(super) fn log(&self, stream: Option<LogStream>) -> u64 {
        match stream {
            Some(stream) => self.streams[index(stream)],
            None => self.streams.iter().sum(),
        }
    }

    /// Goes past a frame.
    pub(super) fn pass(&mut self, header: &Header) {
        self.file += (HEADER + header.len) as u64;
        self.streams[index(header.stream)] += header.len as u64;
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub stream: LogStream,
    pub at: UnixMillis,
    pub len: usize,
}

impl Header {
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        into.push(match self.stream {
            LogStream::Stdout => 1,
            LogStream::Stderr => 2,
            LogStream::System => 3,
        });
        into.extend_from_slice(&[0; 3]);
        into.extend_from_slice(&u32::try_from(self.len).unwrap_or(u32::MAX).to_le_bytes());
        into.extend_from_slice(&self.at.0.to_le_bytes());
    }

    /// The header at the start of `bytes`; `None` when there is none (a torn write, or no log at all).
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEADER>()?;
        let stream = match bytes[0..4] {
            [1, 0, 0, 0] => LogStream::Stdout,
            [2, 0, 0, 0] => LogStream::Stderr,
            [3, 0, 0, 0] => LogStream::System,
            _ => return None,
        };
        let len = u32::from_le_bytes(*bytes[4..].first_chunk()?) as usize;
        let at = UnixMillis(i64::from_le_bytes(*bytes[8..].first_chunk()?));
        (1..=MAX_FRAME).contains(&len).then_some(Self { stream, at, len })
    }
}

fn index(stream: LogStream) -> usize {
    match stream {
        LogStream::Stdout => 0,
        LogStream::Stderr => 1,
        LogStream::System => 2,
    }
}

/// Marks over a file: one at least every [`BLOCK`] (and a frame) bytes, the first at 0, and the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    /// Ascending.
    pub blocks: Vec<Mark>,
    /// Behind the last frame.
    pub end: Mark,
}

impl Marks {
    /// Goes past a frame that starts at the end.
    pub(super) fn push(&mut self, header: &Header) {
        if self.blocks.last().is_none_or(|last| self.end.file - last.file >= BLOCK) {
            self.blocks.push(self.end);
        }
        self.end.pass(header);
    }

    /// The last mark at or before a log offset.
    pub(super) fn before(&self, stream: Option<LogStream>, offset: u64) -> Mark {
        let after = self.blocks.partition_point(|mark| mark.log(stream) <= offset);
        after.checked_sub(1).map_or_else(Mark::default, |at| self.blocks[at])
    }

    /// Reads the headers of a file of which nothing is known. A torn frame at the end is not part of the log.
    pub(super) fn scan(file: &File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let mut marks = Self::default();
        let mut buffer = vec![0; usize::try_from(size.min(BLOCK)).unwrap_or(0)];
        let mut held = 0..0_u64; // which part of the file the buffer holds
        loop {
            let at = marks.end.file;
            if at + HEADER as u64 > size {
                return Ok(marks);
            }
            if at < held.start || at + HEADER as u64 > held.end {
                let want = usize::try_from((size - at).min(buffer.len() as u64)).unwrap_or(0);
                file.read_exact_at(&mut buffer[..want], at)?;
                held = at..at + want as u64;
            }
            let from = usize::try_from(at - held.start).unwrap_or(usize::MAX);
            match Header::decode(buffer.get(from..).unwrap_or_default()) {
                Some(header) if at + (HEADER + header.len) as u64 <= size => marks.push(&header),
                _ => return Ok(marks),
            }
        }
    }
}
