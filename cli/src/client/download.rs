//! One file from the server: checked against its digest, and gone on with where the line broke, also by a later command.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atta_core::protocol::Digest;
use reqwest::StatusCode;
use reqwest::header::{IF_RANGE, RANGE};

use super::Server;
use crate::exit::{CommandResult, Exit, Failure};
use crate::files::cannot_write;

/// So often it is tried again without anything having come.
const TRIES: u32 = 6;
/// The first pause; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// How long nothing may come.
const IDLE: Duration = Duration::from_mins(1);
/// Bytes that are read at once.
const BUFFER: usize = 256 * 1024;

/// What is to be fetched.
pub(super) struct Wanted<'a> {
    /// Its path below `/api/v1`.
    pub(super) segments: Vec<&'a str>,
    /// What people call it.
    pub(super) name: &'a str,
    pub(super) digest: &'a Digest,
    pub(super) size: u64,
}

/// Writes beside the file and renames, so that a broken download leaves no half file under the name. What has come
/// stays there, and whoever fetches the same content to the same place goes on with it.
pub(super) async fn download(server: &Server, wanted: &Wanted<'_>, file: &Path) -> CommandResult<()> {
    let mut part = Part::open(wanted, file)?;
    let mut tries = 0;
    while part.length < wanted.size || !part.asked {
        let before = part.length;
        let received = receive(server, wanted, &mut part, file).await;
        if part.length == wanted.size && received.is_ok() {
            break;
        }
        let short = || {
            let (came, announced) = (part.length, wanted.size);
            let message = format!("{} is incomplete: {came} bytes came, {announced} were announced.", wanted.name);
            Failure::new(Exit::Unreachable, "UNREACHABLE", message)
        };
        // An answer that ends early without an error is no better than one that breaks.
        let failure = received.err().unwrap_or_else(short);
        // Without a single byte there may never have been a server.
        let lasting = failure.exit != Exit::Unreachable && failure.code != "TOO_MANY_TRANSFERS";
        tries = if part.length > before { 0 } else { tries + 1 };
        if lasting || (part.length == 0 && failure.exit == Exit::Unreachable) || tries >= TRIES {
            return Err(part.keep(wanted, failure));
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(tries)).await;
    }
    part.finish(wanted, file)
}

async fn receive(server: &Server, wanted: &Wanted<'_>, part: &mut Part, file: &Path) -> CommandResult<()> {
    let mut request = server.get(&wanted.segments, &[]);
    if part.length > 0 {
        let tag = format!("\"{}\"", wanted.digest);
        request = request.header(RANGE, format!("bytes={}-", part.length)).header(IF_RANGE, tag);
    }
    let silent = |_| {
        let message = format!("Nothing came from {} for {} s.", server.url(), IDLE.as_secs());
        Failure::new(Exit::Unreachable, "UNREACHABLE", message)
    };
    part.asked = true;
    let mut response = tokio::time::timeout(IDLE, server.send(request)).await.map_err(silent)??;
    if response.status() != StatusCode::PARTIAL_CONTENT {
        part.begin_anew().map_err(|error| cannot_write(file, &error))?;
    }
    loop {
        let piece = tokio::time::timeout(IDLE, response.chunk()).await.map_err(silent)?;
        let Some(piece) = piece.map_err(|error| server.no_answer(&error))? else { return Ok(()) };
        part.write(&piece).map_err(|error| cannot_write(file, &error))?;
        if part.length > wanted.size {
            part.begin_anew().map_err(|error| cannot_write(file, &error))?;
            let announced = wanted.size;
            return Err(Failure::failed(format!("{} has more than the announced {announced} bytes.", wanted.name)));
        }
    }
}

/// What has come.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hasher: blake3::Hasher,
    /// The server was asked, as it is for an empty file too.
    asked: bool,
}

impl Part {
    /// Goes on with what an earlier command has left.
    fn open(wanted: &Wanted<'_>, target: &Path) -> CommandResult<Self> {
        let short: String = wanted.digest.0.chars().take(16).collect();
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{short}.atta-part"));
        let path = target.with_file_name(name);
        let failed = |error: io::Error| cannot_write(&path, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        file.try_lock()
            .map_err(|_| Failure::failed(format!("Another command is downloading to {} now.", target.display())))?;
        let mut hasher = blake3::Hasher::new();
        let mut length = 0;
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = file.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            length += count as u64;
        }
        let mut part = Self { path: path.clone(), file, length, hasher, asked: length > 0 };
        if part.length > wanted.size {
            part.begin_anew().map_err(failed)?;
        }
        Ok(part)
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.length = 0;
        self.hasher.reset();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The failure that ends a download, with what to do about what has come.
    fn keep(self, wanted: &Wanted<'_>, failure: Failure) -> Failure {
        if self.length == 0 {
            let _ = std::fs::remove_file(&self.path);
            return failure;
        }
        let (length, size, path) = (self.length, wanted.size, self.path.display());
        failure.with_help(format!("{length} of {size} bytes are in {path}: the same command goes on with them."))
    }

    fn finish(self, wanted: &Wanted<'_>, target: &Path) -> CommandResult<()> {
        let found = self.hasher.finalize().to_hex();
        if found.as_str() != wanted.digest.0 {
            let _ = std::fs::remove_file(&self.path);
            let message = format!("{} does not match its digest: what came has {found}.", wanted.name);
            return Err(Failure::failed(message).with_help("The same command fetches it anew."));
        }
        std::fs::rename(&self.path, target).map_err(|error| cannot_write(target, &error))
    }
}
