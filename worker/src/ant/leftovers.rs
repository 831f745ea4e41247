//! What earlier ants have left and nobody needs: put aside before the ant begins, removed while it works. Whole checkouts
//! can be among it, and an ant of which nothing is heard for a lease loses what it could have gone on with.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::workspace::remove_tree;

/// See the module.
pub(super) struct Leftovers {
    /// `ant/leftovers`, made with the first that is put there.
    directory: PathBuf,
    /// That of the ant: no other one gives the same names.
    session: u64,
    taken: usize,
    /// Locks on directories in which nothing may be begun any more.
    locks: Vec<File>,
}

impl Leftovers {
    pub(super) fn new(directory: PathBuf, session: u64) -> Self {
        Self { directory, session, taken: 0, locks: Vec::new() }
    }

    /// Puts a file or a tree aside, if it is there; its lock is held until it is gone. Where it cannot be put aside it is
    /// removed at once. One that stays is no reason not to start: nobody will use it.
    pub(super) fn take(&mut self, path: &Path, lock: Option<File>) {
        if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return;
        }
        if let Err(error) = self.put_aside(path) {
            tracing::debug!(path = %path.display(), %error, "it cannot be put aside, and is removed at once");
            if let Err(error) = remove_tree(path) {
                stays(path, &error);
            }
        }
        self.locks.extend(lock);
    }

    fn put_aside(&mut self, path: &Path) -> io::Result<()> {
        let mut name = OsString::from(format!("{}-{}-", self.session, self.taken));
        name.push(path.file_name().unwrap_or_default());
        let aside = self.directory.join(name);
        self.taken += 1;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        fs::rename(path, aside)
    }

    /// Removes all that is aside, also what earlier ants did not come to. Stops between two when the ant ends: the next
    /// one goes on.
    pub(super) fn remove(self, stop: &CancellationToken) {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return stays(&self.directory, &error),
            Ok(entries) => entries,
        };
        for entry in entries {
            if stop.is_cancelled() {
                return;
            }
            let path = match entry {
                Err(error) => return stays(&self.directory, &error),
                Ok(entry) => entry.path(),
            };
            if let Err(error) = remove_tree(&path) {
                stays(&path, &error);
            }
        }
    }
}

/// A mount in it, files of another user.
fn stays(path: &Path, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "what a previous ant left stays; the next start tries again");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_left_is_put_aside_at_once_and_removed_later_by_this_ant_or_the_next() {
        let temp = tempfile::tempdir().unwrap();
        let aside = temp.path().join("leftovers");
        let mut first = Leftovers::new(aside.clone(), 7);
        first.take(&temp.path().join("spare"), None);
        assert!(!aside.exists(), "there was nothing to put there");
        for name in ["job_1-1", "job_1-2"] {
            let path = temp.path().join(name);
            fs::create_dir_all(path.join("work")).unwrap();
            fs::write(path.join("work/file"), "x").unwrap();
            let lock = File::open(&path).unwrap();
            lock.try_lock().unwrap();
            first.take(&path, Some(lock));
            assert!(!path.exists());
        }
        assert_eq!(entries(&aside), ["7-0-job_1-1", "7-1-job_1-2"]);
        assert!(File::open(aside.join("7-0-job_1-1")).unwrap().try_lock().is_err(), "nothing can be begun there");
        let ended = CancellationToken::new();
        ended.cancel();
        first.remove(&ended);
        assert_eq!(entries(&aside).len(), 2, "the ant has ended");

        let mut second = Leftovers::new(aside.clone(), 8);
        let file = temp.path().join("strange");
        fs::write(&file, "x").unwrap();
        second.take(&file, None);
        assert_eq!(entries(&aside).len(), 3);
        second.remove(&CancellationToken::new());
        assert_eq!(entries(&aside), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_put_aside_is_removed_at_once() {
        let temp = tempfile::tempdir().unwrap();
        let aside = temp.path().join("leftovers");
        fs::write(&aside, "no directory").unwrap();
        let tree = temp.path().join("job_1-1");
        fs::create_dir_all(tree.join("work")).unwrap();
        let mut leftovers = Leftovers::new(aside, 7);
        leftovers.take(&tree, None);
        assert!(!tree.exists());
        leftovers.remove(&CancellationToken::new());
    }
}
