//! Files and directories whose names come from a checkout: a link there leads nowhere else, and a pipe or a device in a
//! file's place is not waited for.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The path is canonical when it is opened: a link is there only if somebody just made it. Pipes do not block.
const AS_IT_IS: i32 = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it leads out of the directory that it has to be in")]
    Elsewhere,
    #[error("it is no regular file")]
    NoFile,
    #[error("it is longer than {} KiB", .0 >> 10)]
    TooLong(u64),
    #[error("it is not UTF-8")]
    NoText,
}

/// Reads a text that has to lie below one of these directories, or anywhere.
pub(crate) fn text(path: &Path, below: Option<&[PathBuf]>, longest: u64) -> Result<String, ReadError> {
    String::from_utf8(bytes(path, below, longest)?).map_err(|_| ReadError::NoText)
}

/// The same of what may have anything in it.
pub(crate) fn lossy(path: &Path, below: Option<&[PathBuf]>, longest: u64) -> Result<String, ReadError> {
    Ok(String::from_utf8_lossy(&bytes(path, below, longest)?).into_owned())
}

fn bytes(path: &Path, below: Option<&[PathBuf]>, longest: u64) -> Result<Vec<u8>, ReadError> {
    let real = path.canonicalize()?;
    if below.is_some_and(|places| !is_below(&real, places)) {
        return Err(ReadError::Elsewhere);
    }
    let file = File::options().read(true).custom_flags(AS_IT_IS).open(&real)?;
    if !file.metadata()?.is_file() {
        return Err(ReadError::NoFile);
    }
    let mut bytes = Vec::new();
    let length = file.take(longest + 1).read_to_end(&mut bytes)?;
    if length as u64 > longest {
        return Err(ReadError::TooLong(longest));
    }
    Ok(bytes)
}

/// Whether a canonical path lies below one of these directories, whatever links they are named by.
pub(crate) fn is_below(real: &Path, places: &[PathBuf]) -> bool {
    places.iter().filter_map(|place| place.canonicalize().ok()).any(|place| real.starts_with(place))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_checkout_has_only_its_own_files_read() {
        let outside = tempfile::tempdir().unwrap();
        let checkout = tempfile::tempdir().unwrap();
        let at = |name: &str| checkout.path().join(name);
        fs::write(outside.path().join("key"), "a key").unwrap();
        fs::write(at("text"), "a text").unwrap();
        fs::write(at("binary"), b"\xff").unwrap();
        symlink(outside.path().join("key"), at("out")).unwrap();
        symlink(outside.path(), at("door")).unwrap();
        symlink("text", at("in")).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let places = [checkout.path().to_owned()];
        let read = |name: &str| text(&at(name), Some(&places), 10);
        assert_eq!((read("text").unwrap(), read("in").unwrap()), ("a text".to_owned(), "a text".to_owned()));
        for elsewhere in ["out", "door/key", "endless"] {
            assert!(matches!(read(elsewhere), Err(ReadError::Elsewhere)), "{elsewhere}");
        }
        assert!(matches!(read("pipe"), Err(ReadError::NoFile)));
        assert!(matches!(text(&at("endless"), None, 10), Err(ReadError::NoFile)));
        assert!(matches!(read("binary"), Err(ReadError::NoText)));
        assert!(matches!(text(&at("text"), Some(&places), 5), Err(ReadError::TooLong(5))));
        assert!(matches!(read("gone"), Err(ReadError::Io(_))));
    }
}
