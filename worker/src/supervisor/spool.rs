//! The spool file: records of `stream, time, length, bytes`, in order of arrival. The shim writes, the ant reads.
//!
//! Positions count bytes of records since the program began. When the ant has taken all there is, and has left a
//! checkpoint from which the next ant can go on, the shim cuts the file to nothing and its first byte gets a higher
//! position (`base`): so output of any length needs a bounded file.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use atta_core::protocol::ant::{LogSegment, LogStream};
use atta_core::time::UnixMillis;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc;

/// Bytes before the content of a record.
pub(crate) const HEADER: usize = 13;

/// Beyond this a file that was taken as a whole is cut.
const CUT_AT: u64 = 4 << 20;

/// The shim writes shorter ones; a longer one is of somebody else.
const LONGEST_RECORD: u32 = 1 << 20;

/// The writing side.
pub(super) struct SpoolWriter {
    path: PathBuf,
    file: Option<File>,
    base: u64,
    end: u64,
    taken: u64,
    /// Nobody will read what lies before this again.
    settled: u64,
    bound: u64,
    /// The file cannot be cut; then it grows, and only what was not settled is bounded.
    grows: bool,
    /// What lies before this takes no room on the disk any more.
    freed: u64,
}

impl SpoolWriter {
    pub(super) fn new(path: CString, bound: u64) -> Self {
        let path = PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes()));
        Self { path, file: None, base: 0, end: 0, taken: 0, settled: 0, bound, grows: false, freed: 0 }
    }

    /// Appends one record; `record` has [`HEADER`] bytes of room in front of the content. After an error nothing of it
    /// is in the file.
    pub(super) fn append(&mut self, stream: LogStream, at: UnixMillis, record: &mut [u8]) -> io::Result<()> {
        let length = u32::try_from(record.len() - HEADER).map_err(io::Error::other)?;
        record[0] = match stream {
            LogStream::Stdout => 1,
            LogStream::Stderr => 2,
            LogStream::System => 3,
        };
        record[1..9].copy_from_slice(&at.0.to_le_bytes());
        record[9..HEADER].copy_from_slice(&length.to_le_bytes());
        if self.file.is_none() {
            self.file = Some(open_plain(OpenOptions::new().create(true).append(true).mode(0o600), &self.path)?);
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        #[cfg(feature = "simulation")]
        if crate::simulation::disk_is_full(&self.path) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        if let Err(error) = file.write_all(record) {
            let _ = file.set_len(self.end - self.base);
            return Err(error);
        }
        self.end += record.len() as u64;
        Ok(())
    }

    /// The ant has taken everything up to `position`.
    pub(super) fn taken(&mut self, position: u64) {
        self.taken = self.taken.max(position.min(self.end));
    }

    /// The ant has taken everything up to `position`, and nobody will ask for it again.
    pub(super) fn settled(&mut self, position: u64) {
        self.taken(position);
        self.settled = self.settled.max(position.min(self.end));
        if self.is_long() {
            self.cut();
        }
    }

    fn is_long(&self) -> bool {
        self.end - self.base >= CUT_AT.min(self.bound)
    }

    /// Whether the file is so long that it should be cut, and enough came since the last time.
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.is_long() && !self.is_settled() && (self.is_full() || self.end - self.settled >= CUT_AT / 4)
    }

    /// Makes room by cutting what was settled; only possible when all was.
    pub(super) fn cut(&mut self) -> bool {
        if self.settled < self.end || self.base == self.end {
            return false;
        }
        let Some(file) = &self.file else { return false };
        self.grows = file.set_len(0).is_err();
        if !self.grows {
            self.base = self.end;
        }
        !self.grows
    }

    /// Gives the disk back what was settled, where the file cannot be cut because something follows.
    pub(super) fn free(&mut self) {
        if let Some(file) = &self.file
            && self.settled > self.base.max(self.freed)
            && punch(file, self.settled - self.base)
        {
            self.freed = self.settled;
        }
    }

    /// Whether writing waits until the ant has taken all there is.
    pub(super) fn is_full(&self) -> bool {
        let kept_from = if self.grows { self.settled } else { self.base.max(self.freed) };
        self.end - kept_from >= self.bound
    }

    /// From now on.
    pub(super) fn set_bound(&mut self, bound: u64) {
        self.bound = bound;
    }

    /// Whether the ant has left a checkpoint behind all there is.
    pub(super) fn is_settled(&self) -> bool {
        self.settled == self.end
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken == self.end
    }

    /// Position of the file's first byte, and of the end.
    pub(super) fn range(&self) -> (u64, u64) {
        (self.base, self.end)
    }
}

/// The reading side.
pub(crate) struct SpoolReader {
    path: PathBuf,
    file: Option<File>,
    position: u64,
}

impl SpoolReader {
    /// From a position on at which a record begins.
    pub(crate) fn new(path: PathBuf, position: u64) -> Self {
        Self { path, file: None, position }
    }

    /// Everything before this was read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Gives up what lies before `position`.
    pub(crate) fn skip(&mut self, position: u64) {
        self.position = position;
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// When what comes next was written, where the file begins at `base`.
    pub(crate) fn next_at(&mut self, base: u64) -> io::Result<UnixMillis> {
        let position = self.position;
        Ok(self.header(base, position)?.at)
    }

    fn header(&mut self, base: u64, position: u64) -> io::Result<LogSegment> {
        let mut header = [0u8; HEADER];
        self.open()?.read_exact_at(&mut header, in_file(position, base)?)?;
        parse(header)
    }

    fn open(&mut self) -> io::Result<&File> {
        Ok(match &mut self.file {
            Some(file) => file,
            file => file.insert(open_plain(OpenOptions::new().read(true), &self.path)?),
        })
    }

    /// Gives the disk back what was read. Only when nobody writes to the file any more.
    pub(crate) fn free(&self, base: u64) {
        if let Ok(file) = open_plain(OpenOptions::new().write(true), &self.path) {
            // Otherwise it lies there until the attempt's directory is removed.
            punch(&file, self.position.saturating_sub(base));
        }
    }

    /// Reads whole records up to `end`, where the file begins at `base`, until there are `limit` bytes of content or more.
    pub(crate) fn read(
        &mut self,
        base: u64,
        end: u64,
        limit: usize,
        bytes: &mut Vec<u8>,
        segments: &mut Vec<LogSegment>,
    ) -> io::Result<()> {
        while self.position < end && bytes.len() < limit {
            let segment = self.header(base, self.position)?;
            if segment.len > LONGEST_RECORD {
                return Err(io::Error::other(format!("a record of {} bytes is none", segment.len)));
            }
            let (start, from) = (bytes.len(), self.position + HEADER as u64);
            bytes.resize(start + segment.len as usize, 0);
            self.open()?.read_exact_at(&mut bytes[start..], in_file(from, base)?)?;
            self.position = from + u64::from(segment.len);
            match segments.last_mut() {
                Some(last) if last.stream == segment.stream && last.at == segment.at => last.len += segment.len,
                _ => segments.push(segment),
            }
        }
        Ok(())
    }
}

/// The program can put anything where its spool is to be: a link is not followed, a pipe is not waited for.
fn open_plain(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
}

/// Where in the file a position is.
fn in_file(position: u64, base: u64) -> io::Result<u64> {
    position.checked_sub(base).ok_or_else(|| io::Error::other("what is asked for was thrown away"))
}

/// Gives the disk back so many bytes at the beginning of a file. Not every file system can.
fn punch(file: &File, bytes: u64) -> bool {
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    libc::off_t::try_from(bytes).is_ok_and(|bytes| bytes > 0 && fallocate(file, hole, 0, bytes).is_ok())
}

fn parse(header: [u8; HEADER]) -> io::Result<LogSegment> {
    let [stream, rest @ ..] = header;
    let stream = match stream {
        1 => LogStream::Stdout,
        2 => LogStream::Stderr,
        3 => LogStream::System,
        other => return Err(io::Error::other(format!("no log stream has the number {other}"))),
    };
    let (mut at, mut len) = ([0; 8], [0; 4]);
    at.copy_from_slice(&rest[..8]);
    len.copy_from_slice(&rest[8..]);
    Ok(LogSegment { stream, at: UnixMillis(i64::from_le_bytes(at)), len: u32::from_le_bytes(len) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: &[u8]) -> Vec<u8> {
        let mut record = vec![0; HEADER];
        record.extend_from_slice(content);
        record
    }

    #[test]
    fn what_was_written_is_read_in_order_in_chunks_of_any_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool");
        let c_path = CString::new(path.to_str().unwrap()).unwrap();
        for limit in [1, 2, 7, 1000] {
            let _ = std::fs::remove_file(&path);
            let mut writer = SpoolWriter::new(c_path.clone(), 1 << 20);
            for (n, (stream, text)) in
                [(LogStream::Stdout, "hello "), (LogStream::Stderr, "oh"), (LogStream::Stdout, "\u{fc}nd\n")]
                    .into_iter()
                    .enumerate()
            {
                writer.append(stream, UnixMillis(i64::try_from(n).unwrap()), &mut record(text.as_bytes())).unwrap();
            }
            let (base, end) = writer.range();
            let mut reader = SpoolReader::new(path.clone(), 0);
            let (mut all, mut segments) = (Vec::new(), Vec::new());
            while reader.position() < end {
                let mut bytes = Vec::new();
                let mut part = Vec::new();
                reader.read(base, end, limit, &mut bytes, &mut part).unwrap();
                assert!(bytes.len() < limit + "hello ".len(), "whole records");
                assert_eq!(part.iter().map(|s| s.len as usize).sum::<usize>(), bytes.len());
                all.extend(bytes);
                segments.extend(part);
            }
            assert_eq!(all, "hello oh\u{fc}nd\n".as_bytes());
            assert_eq!(segments.iter().filter(|s| s.stream == LogStream::Stderr).map(|s| s.len).sum::<u32>(), 2);
        }
    }

    #[test]
    fn a_spool_that_was_taken_is_cut_and_positions_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool");
        let mut writer = SpoolWriter::new(CString::new(path.to_str().unwrap()).unwrap(), 100);
        writer.append(LogStream::Stdout, UnixMillis(1), &mut record(&[b'x'; 200])).unwrap();
        assert!(writer.is_full());
        assert!(!writer.cut(), "nothing was taken");
        let mut reader = SpoolReader::new(path.clone(), 0);
        let (mut bytes, mut segments) = (Vec::new(), Vec::new());
        reader.read(0, 213, 1000, &mut bytes, &mut segments).unwrap();
        writer.taken(reader.position());
        assert!(writer.is_taken() && !writer.cut(), "the next ant would ask for it again");
        assert!(writer.wants_checkpoint());
        writer.settled(reader.position());
        assert!(!writer.is_full());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        writer.append(LogStream::Stderr, UnixMillis(2), &mut record(b"after")).unwrap();
        let (base, end) = writer.range();
        assert_eq!((base, end), (213, 231));
        bytes.clear();
        reader.read(base, end, 1000, &mut bytes, &mut segments).unwrap();
        assert_eq!(bytes, b"after");
    }

    #[test]
    fn what_was_settled_leaves_room_although_something_follows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool");
        let mut writer = SpoolWriter::new(CString::new(path.to_str().unwrap()).unwrap(), 100_000);
        for at in 0..2 {
            writer.append(LogStream::Stdout, UnixMillis(at), &mut record(&vec![b'x'; 60_000])).unwrap();
        }
        assert!(writer.is_full());
        let mut reader = SpoolReader::new(path.clone(), 0);
        let (mut bytes, mut segments) = (Vec::new(), Vec::new());
        reader.read(0, writer.range().1, 1, &mut bytes, &mut segments).unwrap();
        assert_eq!((bytes.len(), segments.len(), reader.next_at(0).unwrap()), (60_000, 1, UnixMillis(1)));
        writer.settled(reader.position());
        assert!(writer.is_full());
        writer.free();
        assert!(!writer.is_full());
        reader.free(0);
        reader.read(0, writer.range().1, 1, &mut bytes, &mut segments).unwrap();
        assert!(bytes[60_000..].iter().all(|byte| *byte == b'x'), "what follows is untouched");
    }
}
