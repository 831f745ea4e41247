//! Reading a log by byte offset, whatever form it is in.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError, RwLock};

use atta_core::protocol::ant::LogStream;
use atta_core::time::UnixMillis;

use super::frame::{BLOCK, HEADER, Header, MAX_FRAME, Mark, Marks};
use super::packed::Packed;

/// Some bytes of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// Offset of the first byte in the whole log (all streams).
    pub offset: u64,
    /// The stream.
    pub stream: LogStream,
    /// When the ant read them.
    pub at: UnixMillis,
    /// The bytes as the process wrote them.
    pub bytes: Vec<u8>,
}

/// A log to read from. Reading blocks: call it where that is allowed.
#[derive(Debug)]
pub struct LogReader {
    source: Source,
    marks: Arc<RwLock<Marks>>,
    /// Where the last read ended: the next one usually goes on there.
    last: Mark,
}

#[derive(Debug)]
enum Source {
    Raw { file: Arc<File>, buffer: Vec<u8> },
    Packed(Packed),
}

impl LogReader {
    /// A file in the form in which it is written, with its marks.
    pub(super) fn raw(file: Arc<File>, marks: Arc<RwLock<Marks>>) -> Self {
        Self { source: Source::Raw { file, buffer: Vec::new() }, marks, last: Mark::default() }
    }

    /// A compressed file.
    pub(super) fn packed(file: File) -> io::Result<Self> {
        let (packed, marks) = Packed::open(file)?;
        Ok(Self { source: Source::Packed(packed), marks: Arc::new(RwLock::new(marks)), last: Mark::default() })
    }

    /// Bytes so far: of one stream, or of all.
    pub fn total(&self, stream: Option<LogStream>) -> u64 {
        self.marks.read().unwrap_or_else(PoisonError::into_inner).end.log(stream)
    }

    /// About `at_most` bytes from `offset` on, cut into pieces; with a stream, offsets count that stream's bytes only.
    /// Empty when there is nothing there (yet).
    pub fn read(&mut self, stream: Option<LogStream>, offset: u64, at_most: usize) -> io::Result<Vec<LogPiece>> {
        let mut pieces = Vec::new();
        let mut left = at_most;
        let (mut here, end) = {
            let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
            let mark = marks.before(stream, offset);
            let go_on = self.last.log(stream) <= offset && self.last.file > mark.file;
            (if go_on { self.last } else { mark }, marks.end)
        };
        while left > 0 && here.file < end.file {
            let bytes = self.source.bytes_at(&self.marks, here.file, end.file)?;
            let mut rest = bytes;
            while let Some(header) = Header::decode(rest).filter(|header| rest.len() >= HEADER + header.len) {
                let body = &rest[HEADER..HEADER + header.len];
                if stream.is_none_or(|stream| stream == header.stream) {
                    let start = here.log(stream);
                    let skip = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
                    if skip < body.len() {
                        let take = (body.len() - skip).min(left);
                        pieces.push(LogPiece {
                            offset: here.log(None) + skip as u64,
                            stream: header.stream,
                            at: header.at,
                            bytes: body[skip..skip + take].to_vec(),
                        });
                        left -= take;
                        if skip + take < body.len() {
                            self.last = here;
                            return Ok(pieces);
                        }
                    }
                }
                here.pass(&header);
                rest = &rest[HEADER + header.len..];
                if left == 0 || here.file >= end.file {
                    break;
                }
            }
            if rest.len() == bytes.len() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the log is damaged at byte {} of its file", here.file),
                ));
            }
        }
        self.last = here;
        Ok(pieces)
    }
}

impl Source {
    /// File content from `at` on: as much as is at hand, at least one whole frame if there is one before `end`.
    fn bytes_at(&mut self, marks: &RwLock<Marks>, at: u64, end: u64) -> io::Result<&[u8]> {
        match self {
            Self::Packed(packed) => {
                let marks = marks.read().unwrap_or_else(PoisonError::into_inner);
                packed.bytes_at(&marks, at)
            }
            Self::Raw { file, buffer } => {
                let want = end.saturating_sub(at).min(BLOCK.max((HEADER + MAX_FRAME) as u64));
                buffer.resize(usize::try_from(want).map_err(io::Error::other)?, 0);
                file.read_exact_at(buffer, at)?;
                Ok(buffer)
            }
        }
    }
}
