//! Cached files as an archive: packed from below a directory, unpacked into a fresh one, then moved into place.
//!
//! What is unpacked may have been made by anybody: only files, directories and links that stay inside are taken, within
//! a bound of bytes and names, and never through a link.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use atta_core::definition::format_size;
use tar::{Builder, EntryType, Header};
use walkdir::WalkDir;

/// Names in one archive.
const MOST_NAMES: usize = 1_000_000;
/// Memory for decompression: a window of 128 MiB.
const LARGEST_WINDOW: u32 = 27;
const LEVEL: i32 = 3;

/// One cached path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The directory that it must not leave.
    pub(super) root: PathBuf,
    /// The directory's name in the archive.
    pub(super) name: &'static str,
    /// The path below it.
    pub(super) relative: PathBuf,
}

impl Member {
    fn path(&self) -> PathBuf {
        self.root.join(&self.relative)
    }

    /// Whether there is something to store: not below a link, which could lead anywhere.
    pub(super) fn exists(&self) -> bool {
        above_is_plain(&self.root, &self.relative) && fs::symlink_metadata(self.path()).is_ok()
    }

    pub(super) fn shown(&self) -> &Path {
        &self.relative
    }
}

/// Whether all directories above a path are real ones.
fn above_is_plain(root: &Path, relative: &Path) -> bool {
    relative.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).all(|above| {
        match fs::symlink_metadata(root.join(above)) {
            Ok(metadata) => metadata.is_dir(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    })
}

/// Packs the members. Returns the bytes of all files.
pub(super) fn pack(file: File, members: &[Member], limit: u64, warnings: &mut Vec<String>) -> Result<u64, String> {
    let text = |error: io::Error| error.to_string();
    let mut encoder = zstd::Encoder::new(file, LEVEL).map_err(text)?;
    encoder.include_checksum(true).map_err(text)?;
    let mut packer = Packer { builder: Builder::new(encoder), bytes: 0, limit, links: 0, others: 0, unreadable: 0 };
    for member in members {
        let top = member.path();
        for entry in WalkDir::new(&top).sort_by_file_name() {
            match entry {
                Ok(entry) => packer.add(member, entry.path())?,
                Err(_) => packer.unreadable += 1,
            }
        }
    }
    for (count, what) in [
        (packer.links, "links that lead out of their directory"),
        (packer.others, "sockets, devices and the like"),
        (packer.unreadable, "files that cannot be read"),
    ] {
        if count > 0 {
            warnings.push(format!("left out of the cache: {count} {what}"));
        }
    }
    let bytes = packer.bytes;
    let encoder = packer.builder.into_inner().map_err(text)?;
    let mut file = encoder.finish().map_err(text)?;
    file.flush().map_err(text)?;
    Ok(bytes)
}

struct Packer<W: Write> {
    builder: Builder<W>,
    bytes: u64,
    limit: u64,
    links: usize,
    others: usize,
    unreadable: usize,
}

impl<W: Write> Packer<W> {
    fn add(&mut self, member: &Member, path: &Path) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let below = path.strip_prefix(&member.root).map_err(|error| error.to_string())?;
        let name = Path::new(member.name).join(below);
        let Ok(metadata) = fs::symlink_metadata(path) else {
            self.unreadable += 1;
            return Ok(());
        };
        let mut header = Header::new_gnu();
        header.set_mode(metadata.permissions().mode() & 0o777);
        header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
        if metadata.is_dir() {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            return self.builder.append_data(&mut header, &name, io::empty()).map_err(text);
        }
        if metadata.is_symlink() {
            let target = fs::read_link(path).map_err(text)?;
            if !stays_inside(below, &target) {
                self.links += 1;
                return Ok(());
            }
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            return self.builder.append_link(&mut header, &name, &target).map_err(text);
        }
        if !metadata.is_file() {
            self.others += 1;
            return Ok(());
        }
        let Ok(file) = File::open(path) else {
            self.unreadable += 1;
            return Ok(());
        };
        self.bytes = self.bytes.saturating_add(metadata.len());
        if self.bytes > self.limit {
            let limit = format_size(self.limit);
            return Err(format!("it has more than {limit}, which is the bound of one entry on this ant"));
        }
        header.set_entry_type(EntryType::Regular);
        header.set_size(metadata.len());
        let content = Whole { file, left: metadata.len() };
        let appended = self.builder.append_data(&mut header, &name, content);
        appended.map_err(|error| format!("{}: {error}", below.display()))
    }
}

/// As many bytes as were announced: a file that shrinks meanwhile would make the rest of the archive unreadable.
struct Whole {
    file: File,
    left: u64,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it changed while it was read"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Whether a link at a path below a directory stays in it, whatever else lies there: up only at its beginning, and no
/// further than the directory.
fn stays_inside(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    let mut down = false;
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => down = true,
            Component::ParentDir if !down && depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !target.as_os_str().is_empty()
}

/// Unpacks an archive into a directory that does not exist yet. Returns the bytes of all files.
pub(super) fn unpack(file: File, into: &Path, limit: u64) -> Result<u64, String> {
    let text = |error: io::Error| error.to_string();
    let mut decoder = zstd::Decoder::new(file).map_err(text)?;
    decoder.window_log_max(LARGEST_WINDOW).map_err(text)?;
    make(into).map_err(text)?;
    // Headers take room too; without a bound on them a small file could announce names without end.
    let bound = limit.saturating_add(MOST_NAMES as u64 * 1_024);
    let mut archive = tar::Archive::new(decoder.take(bound));
    let (mut bytes, mut names) = (0_u64, 0_usize);
    let mut made: HashSet<OsString> = HashSet::new();
    for entry in archive.entries().map_err(text)? {
        let mut entry = entry.map_err(text)?;
        names += 1;
        if names > MOST_NAMES {
            return Err(format!("it has more than {MOST_NAMES} names"));
        }
        let name = entry.path().map_err(text)?.into_owned();
        let shown = name.display().to_string();
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if name.as_os_str().is_empty() || !name.components().all(plain) {
            return Err(format!("it holds {shown:?}, which leads out of its directory"));
        }
        let path = into.join(&name);
        let inside: PathBuf = name.components().skip(1).collect();
        make_above(into, &name)?;
        let mode = entry.header().mode().map_err(text)? & 0o777;
        match entry.header().entry_type() {
            EntryType::Directory => {
                if fs::symlink_metadata(&path).is_err() {
                    make(&path).map_err(text)?;
                } else if made.insert(path.clone().into_os_string()) && !path.is_dir() {
                    return Err(format!("it holds {shown:?} twice"));
                }
                // Whoever cleans up must be able to.
                fs::set_permissions(&path, Permissions::from_mode(mode | 0o700)).map_err(text)?;
            }
            EntryType::Regular => {
                bytes = bytes.saturating_add(entry.header().size().map_err(text)?);
                if bytes > limit {
                    return Err(format!("it has more than {}, which is the bound of one entry", format_size(limit)));
                }
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(text)?;
                io::copy(&mut entry, &mut file).map_err(text)?;
                let modified = UNIX_EPOCH + Duration::from_secs(entry.header().mtime().map_err(text)?.min(1 << 40));
                file.set_modified(modified).map_err(text)?;
                file.set_permissions(Permissions::from_mode(mode)).map_err(text)?;
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(text)?.ok_or("it holds a link to nothing")?.into_owned();
                if !stays_inside(&inside, &target) {
                    return Err(format!("it holds the link {shown:?}, which leads out of its directory"));
                }
                symlink(&target, &path).map_err(text)?;
            }
            other => {
                return Err(format!("it holds {shown:?}, which is neither file nor directory nor link ({other:?})"));
            }
        }
    }
    // To the end: the checksum stands there.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(text)?;
    if rest.limit() == 0 {
        return Err(format!("it has more than {}, which is the bound of one entry", format_size(limit)));
    }
    Ok(bytes)
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn make_above(into: &Path, name: &Path) -> Result<(), String> {
    let Some(above) = name.parent() else { return Ok(()) };
    let mut path = into.to_owned();
    for part in above.components() {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(format!("it holds {:?} below something that is no directory", name.display())),
            Err(_) => make(&path).map_err(|error| error.to_string())?,
        }
    }
    Ok(())
}

/// Moves an unpacked member to its place, unless something is there already. Returns what people should know.
pub(super) fn put_in_place(unpacked: &Path, member: &Member) -> Result<Option<String>, String> {
    let from = unpacked.join(member.name).join(&member.relative);
    if fs::symlink_metadata(&from).is_err() {
        return Ok(None);
    }
    let to = member.path();
    let shown = member.shown().display();
    if !above_is_plain(&member.root, &member.relative) {
        return Ok(Some(format!("the cache path {shown} lies below a link: it is not restored")));
    }
    if fs::symlink_metadata(&to).is_ok() {
        return Ok(Some(format!("the cache path {shown} is there already: it is not restored")));
    }
    let above = to.parent().ok_or("a cache path has nothing above it")?;
    DirBuilder::new().recursive(true).create(above).map_err(|error| error.to_string())?;
    match fs::rename(&from, &to) {
        Ok(()) => Ok(None),
        // Another task of the job was faster.
        Err(_) if fs::symlink_metadata(&to).is_ok() => {
            Ok(Some(format!("the cache path {shown} is there already: it is not restored")))
        }
        Err(error) => Err(format!("{shown} cannot be put into its place: {error}")),
    }
}
