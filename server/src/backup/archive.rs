//! The file: a tar in zstd, which other programs can look into as well.
//!
//! First comes `atta-backup.json`, which says what it is; then rows, logs, contents of artifacts and perhaps keys. After
//! every thousand members there is an index with their sizes and BLAKE3 digests, and at the very end `manifest.json`,
//! which vouches for the indexes: without it the archive is not whole. Nobody has to keep more than a thousand names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::BackupError;

/// The newest format that this program knows.
pub(super) const FORMAT: u64 = 1;
const HEADER: &str = "atta-backup.json";
const MANIFEST: &str = "manifest.json";
/// Members between two indexes.
const INDEXED: usize = 1_000;
/// The longest header, manifest or index that is read.
const LONGEST: u64 = 16 * 1024 * 1024;
const LEVEL: i32 = 3;
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The first member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Of the archive.
    pub format: u64,
    /// The version of the program that made it.
    pub program: String,
    /// The version of the database's schema.
    pub schema: i64,
    /// When, in Unix milliseconds: the moment that all of it is of.
    pub at: i64,
    /// The same for people.
    pub created_at: String,
    /// `SQLite` or `PostgreSQL`.
    pub database: String,
}

/// The last member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Members, without indexes and this one.
    pub members: u64,
    /// Their bytes.
    pub bytes: u64,
    /// BLAKE3 of all indexes, one after the other.
    pub indexes: String,
    /// Rows of each table.
    pub tables: BTreeMap<String, u64>,
    /// Contents of artifacts.
    pub artifacts: u64,
    /// Logs of attempts.
    pub logs: u64,
    /// The files with keys that are in it.
    pub keys: Vec<String>,
    /// Files that the database names and that were not there.
    pub missing: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    path: String,
    size: u64,
    blake3: String,
}

fn index_text(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&crate::store::json(entry));
        text.push('\n');
    }
    text
}

/// Counts and hashes what is read, and remembers whose fault an error is.
struct Watched<R> {
    inner: R,
    hasher: blake3::Hasher,
    length: u64,
    failed: bool,
}

impl<R: Read> Watched<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), length: 0, failed: false }
    }

    fn entry(&self, path: &str) -> Entry {
        Entry { path: path.to_owned(), size: self.length, blake3: self.hasher.finalize().to_hex().to_string() }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer).inspect_err(|error| {
            self.failed = error.kind() != io::ErrorKind::Interrupted;
        })?;
        self.hasher.update(&buffer[..read]);
        self.length += read as u64;
        Ok(read)
    }
}

/// Why a member was not added.
#[derive(Debug)]
pub(super) enum AddError {
    /// It could not be read.
    Source(io::Error),
    /// It was shorter than it should be.
    Shorter,
    /// The archive could not be written.
    Archive(io::Error),
}

/// Writes an archive.
pub(super) struct Writer<W: Write> {
    tar: tar::Builder<zstd::stream::write::Encoder<'static, BufWriter<W>>>,
    pending: Vec<Entry>,
    indexes: blake3::Hasher,
    index_count: u64,
    members: u64,
    bytes: u64,
    mtime: u64,
}

impl<W: Write> Writer<W> {
    /// Begins with the header.
    pub(super) fn begin(out: W, header: &Header) -> io::Result<Self> {
        let mut zstd = zstd::stream::write::Encoder::new(BufWriter::with_capacity(1 << 18, out), LEVEL)?;
        zstd.include_checksum(true)?;
        let mut writer = Self {
            tar: tar::Builder::new(zstd),
            pending: Vec::new(),
            indexes: blake3::Hasher::new(),
            index_count: 0,
            members: 0,
            bytes: 0,
            mtime: u64::try_from(header.at / 1000).unwrap_or(0),
        };
        writer.add_bytes(HEADER, crate::store::json(header).as_bytes())?;
        Ok(writer)
    }

    /// A member of this size; its digest.
    pub(super) fn add(&mut self, path: &str, size: u64, content: impl Read) -> Result<String, AddError> {
        let mut content = Watched::new(content.take(size));
        let mut header = self.header(size);
        if let Err(error) = self.tar.append_data(&mut header, path, &mut content) {
            return Err(if content.failed { AddError::Source(error) } else { AddError::Archive(error) });
        }
        if content.length != size {
            return Err(AddError::Shorter);
        }
        let entry = content.entry(path);
        let digest = entry.blake3.clone();
        self.members += 1;
        self.bytes += size;
        self.pending.push(entry);
        if self.pending.len() >= INDEXED {
            self.write_index().map_err(AddError::Archive)?;
        }
        Ok(digest)
    }

    /// A member whose content is in memory.
    pub(super) fn add_bytes(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        match self.add(path, content.len() as u64, content) {
            Ok(_) => Ok(()),
            Err(AddError::Archive(error) | AddError::Source(error)) => Err(error),
            Err(AddError::Shorter) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn header(&self, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(self.mtime);
        header
    }

    fn write_index(&mut self) -> io::Result<()> {
        let text = index_text(&self.pending);
        self.pending.clear();
        self.indexes.update(text.as_bytes());
        self.index_count += 1;
        let mut header = self.header(text.len() as u64);
        self.tar.append_data(&mut header, format!("index/{:06}.jsonl", self.index_count), text.as_bytes())
    }

    /// Ends with the manifest, whose own parts about the archive are filled in here.
    pub(super) fn finish(mut self, mut manifest: Manifest) -> io::Result<(W, Manifest)> {
        self.write_index()?;
        manifest.members = self.members;
        manifest.bytes = self.bytes;
        manifest.indexes = self.indexes.finalize().to_hex().to_string();
        let text = crate::store::json(&manifest);
        let mut header = self.header(text.len() as u64);
        self.tar.append_data(&mut header, MANIFEST, text.as_bytes())?;
        let mut buffer = self.tar.into_inner()?.finish()?;
        buffer.flush()?;
        Ok((buffer.into_inner().map_err(io::IntoInnerError::into_error)?, manifest))
    }
}

/// Reads an archive to its end. Each member is given to `take` when it comes; what `take` made of them must not count
/// before this returns, because only then it is known that they are what was written.
pub(super) fn read(
    file: &Path,
    mut begin: impl FnMut(&Header) -> Result<(), BackupError>,
    mut take: impl FnMut(&str, u64, &mut dyn Read) -> Result<(), BackupError>,
) -> Result<(Header, Manifest), BackupError> {
    let cannot = |source| BackupError::Read { file: file.to_owned(), source };
    let no_backup = |detail: &str| BackupError::NoBackup { file: file.to_owned(), detail: detail.to_owned() };
    let damaged = |detail: String| BackupError::Damaged { file: file.to_owned(), detail };
    let mut input = File::open(file).map_err(cannot)?;
    if !input.metadata().map_err(cannot)?.is_file() {
        return Err(no_backup("it is no regular file"));
    }
    let mut magic = Vec::new();
    (&mut input).take(4).read_to_end(&mut magic).map_err(cannot)?;
    if magic != ZSTD {
        return Err(no_backup("it is not compressed by zstd"));
    }
    let input = BufReader::with_capacity(1 << 18, io::Cursor::new(magic).chain(input));
    let mut tar = tar::Archive::new(zstd::stream::read::Decoder::with_buffer(input).map_err(cannot)?);
    let (mut header, mut pending, mut indexes, mut members) =
        (None::<Header>, Vec::new(), blake3::Hasher::new(), 0_u64);
    // An error in the middle: is there more behind it, or is it just the end?
    let broken = |error: &io::Error, members: u64| match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::CutOff { file: file.to_owned(), members },
        _ if error.to_string().contains("unexpected EOF") || error.to_string().contains("incomplete frame") => {
            BackupError::CutOff { file: file.to_owned(), members }
        }
        _ => BackupError::Damaged {
            file: file.to_owned(),
            detail: format!("what comes after its first {members} files cannot be read ({error})"),
        },
    };
    for entry in tar.entries().map_err(|error| broken(&error, 0))? {
        let mut entry = entry.map_err(|error| broken(&error, members))?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let size = entry.size();
        let Some(known) = &header else {
            if path != HEADER {
                return Err(no_backup(&format!("it begins with {path:?}")));
            }
            let mut content = Watched::new(&mut entry);
            let text = short(&mut content).map_err(|error| broken(&error, members))?;
            let found = parse_header(file, &text)?;
            begin(&found)?;
            pending.push(content.entry(&path));
            members += 1;
            header = Some(found);
            continue;
        };
        if path.starts_with("index/") {
            let text = short(&mut entry).map_err(|error| broken(&error, members))?;
            check_index(&text, &pending).map_err(damaged)?;
            indexes.update(&text);
            pending.clear();
        } else if path == MANIFEST {
            let text = short(&mut entry).map_err(|error| broken(&error, members))?;
            let manifest: Manifest =
                serde_json::from_slice(&text).map_err(|error| damaged(format!("its manifest: {error}")))?;
            let known = known.clone();
            if manifest.members != members || manifest.indexes != indexes.finalize().to_hex().to_string() {
                return Err(damaged("its manifest is not the one of these files".to_owned()));
            }
            drop(entry);
            // To the end, so that the checksum of the whole is looked at too.
            io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|error| broken(&error, members))?;
            return Ok((known, manifest));
        } else {
            let mut content = Watched::new(&mut entry);
            let taken = take(&path, size, &mut content);
            if content.failed && !matches!(taken, Err(BackupError::Interrupted)) {
                return Err(match taken {
                    Err(BackupError::Restore { source, .. } | BackupError::Read { source, .. }) => {
                        broken(&source, members)
                    }
                    _ => damaged(format!("{path} cannot be read")),
                });
            }
            taken?;
            io::copy(&mut content, &mut io::sink()).map_err(|error| broken(&error, members))?;
            pending.push(content.entry(&path));
            members += 1;
        }
    }
    if header.is_none() {
        return Err(no_backup("there is nothing in it"));
    }
    Err(BackupError::CutOff { file: file.to_owned(), members })
}

/// A member that is small by itself.
fn short(content: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    content.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

fn parse_header(file: &Path, text: &[u8]) -> Result<Header, BackupError> {
    #[derive(Deserialize)]
    struct Any {
        format: u64,
        #[serde(default)]
        program: String,
    }
    let wrong = |error: serde_json::Error| BackupError::NoBackup {
        file: file.to_owned(),
        detail: format!("its first file is not one of ours ({error})"),
    };
    let Any { format: found, program } = serde_json::from_slice(text).map_err(wrong)?;
    if found > FORMAT {
        return Err(BackupError::TooNew { file: file.to_owned(), found, known: FORMAT, program });
    }
    serde_json::from_slice(text).map_err(wrong)
}

/// Compares what was read with what was written. An error is a sentence.
fn check_index(text: &[u8], read: &[Entry]) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|_| "an index of it is no text".to_owned())?;
    let mut lines = text.lines();
    for entry in read {
        let line = lines.next().ok_or_else(|| format!("{} is not in its index", entry.path))?;
        let wanted: Entry = serde_json::from_str(line).map_err(|error| format!("an index of it: {error}"))?;
        if wanted.path != entry.path {
            return Err(format!("{} stands where {} should be", entry.path, wanted.path));
        }
        if wanted != *entry {
            return Err(format!("{} is not what was saved", entry.path));
        }
    }
    match lines.next() {
        Some(_) => Err("files of its index are missing".to_owned()),
        None => Ok(()),
    }
}
