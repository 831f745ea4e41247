//! Finished logs, compressed: blocks, then an index with one entry per block, then the end mark, the count and a magic.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frame::{Mark, Marks};

const MAGIC: &[u8; 8] = b"ATTALOG1";
const ENTRY: usize = 4 * 8 + 8 + 4 + 4;
const TRAILER: usize = 4 * 8 + 4 + 8;
/// zstd's own default: 3.
const LEVEL: i32 = 3;

/// Where a block lies in the compressed file.
#[derive(Debug, Clone, Copy)]
struct Block {
    offset: u64,
    packed: u32,
    unpacked: u32,
}

/// A compressed log.
#[derive(Debug)]
pub(super) struct Packed {
    file: File,
    blocks: Vec<Block>,
    /// The block that was read last.
    cached: Option<(usize, Vec<u8>)>,
}

fn damaged(detail: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the compressed log is damaged: {detail}"))
}

impl Packed {
    /// Reads the index.
    pub(super) fn open(file: File) -> io::Result<(Self, Marks)> {
        let size = file.metadata()?.len();
        let trailer_at = size.checked_sub(TRAILER as u64).ok_or_else(|| damaged("it is too short"))?;
        let mut trailer = [0; TRAILER];
        file.read_exact_at(&mut trailer, trailer_at)?;
        if trailer[TRAILER - 8..] != MAGIC[..] {
            return Err(damaged("its last bytes are not those of a log"));
        }
        let mut rest = &trailer[..];
        let end = take_mark(&mut rest);
        let count = take_u32(&mut rest) as usize;
        let index_len = count * ENTRY;
        let index_at =
            trailer_at.checked_sub(index_len as u64).ok_or_else(|| damaged("its index is longer than the file"))?;
        let mut index = vec![0; index_len];
        file.read_exact_at(&mut index, index_at)?;
        let mut rest = &index[..];
        let mut marks = Marks { blocks: Vec::with_capacity(count), end };
        let mut blocks = Vec::with_capacity(count);
        while !rest.is_empty() {
            marks.blocks.push(take_mark(&mut rest));
            blocks.push(Block {
                offset: take_u64(&mut rest),
                packed: take_u32(&mut rest),
                unpacked: take_u32(&mut rest),
            });
        }
        Ok((Self { file, blocks, cached: None }, marks))
    }

    /// The bytes from this place of the uncompressed file to the end of its block.
    pub(super) fn bytes_at(&mut self, marks: &Marks, at: u64) -> io::Result<&[u8]> {
        let number = marks.blocks.partition_point(|mark| mark.file <= at).saturating_sub(1);
        let (Some(block), Some(mark)) = (self.blocks.get(number).copied(), marks.blocks.get(number)) else {
            return Ok(&[]);
        };
        let skip = usize::try_from(at - mark.file).map_err(io::Error::other)?;
        if self.cached.as_ref().is_none_or(|(cached, _)| *cached != number) {
            let mut packed = vec![0; block.packed as usize];
            self.file.read_exact_at(&mut packed, block.offset)?;
            let unpacked = zstd::bulk::decompress(&packed, block.unpacked as usize)?;
            self.cached = Some((number, unpacked));
        }
        let bytes = self.cached.as_ref().map_or(&[][..], |(_, bytes)| &bytes[..]);
        Ok(bytes.get(skip..).unwrap_or_default())
    }
}

/// Compresses the log at `raw` to `packed` by way of `temporary`, for as long as it may `go_on`; `raw` is left alone. What
/// is there then survives a power cut.
pub(super) fn pack(raw: &Path, temporary: &Path, packed: &Path, go_on: impl Fn() -> bool) -> io::Result<()> {
    let source = File::open(raw)?;
    let marks = Marks::scan(&source)?;
    let result = write_packed(&source, &marks, temporary, go_on).and_then(|()| fs::rename(temporary, packed));
    if result.is_err() {
        // Nothing refers to it; a leftover is removed after the next start.
        let _ = fs::remove_file(temporary);
        return result;
    }
    packed.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

fn write_packed(source: &File, marks: &Marks, to: &Path, go_on: impl Fn() -> bool) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(to)?);
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    let mut index = Vec::with_capacity(marks.blocks.len() * ENTRY);
    let mut offset = 0_u64;
    for (number, mark) in marks.blocks.iter().enumerate() {
        if !go_on() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the server stops"));
        }
        let until = marks.blocks.get(number + 1).map_or(marks.end.file, |next| next.file);
        let mut bytes = vec![0; usize::try_from(until - mark.file).map_err(io::Error::other)?];
        source.read_exact_at(&mut bytes, mark.file)?;
        let packed = compressor.compress(&bytes)?;
        out.write_all(&packed)?;
        put_mark(&mut index, mark);
        index.extend_from_slice(&offset.to_le_bytes());
        index.extend_from_slice(&u32::try_from(packed.len()).map_err(io::Error::other)?.to_le_bytes());
        index.extend_from_slice(&u32::try_from(bytes.len()).map_err(io::Error::other)?.to_le_bytes());
        offset += packed.len() as u64;
    }
    put_mark(&mut index, &marks.end);
    index.extend_from_slice(&u32::try_from(marks.blocks.len()).map_err(io::Error::other)?.to_le_bytes());
    index.extend_from_slice(MAGIC);
    out.write_all(&index)?;
    out.flush()?;
    // The log is removed for it.
    out.get_ref().sync_all()
}

fn put_mark(into: &mut Vec<u8>, mark: &Mark) {
    into.extend_from_slice(&mark.file.to_le_bytes());
    for bytes in mark.streams {
        into.extend_from_slice(&bytes.to_le_bytes());
    }
}

fn take_mark(from: &mut &[u8]) -> Mark {
    Mark { file: take_u64(from), streams: [take_u64(from), take_u64(from), take_u64(from)] }
}

fn take_u64(from: &mut &[u8]) -> u64 {
    from.split_first_chunk().map_or(0, |(bytes, rest)| {
        *from = rest;
        u64::from_le_bytes(*bytes)
    })
}

fn take_u32(from: &mut &[u8]) -> u32 {
    from.split_first_chunk().map_or(0, |(bytes, rest)| {
        *from = rest;
        u32::from_le_bytes(*bytes)
    })
}
