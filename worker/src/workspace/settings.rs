//! What git reads of a mirror beside its objects and branches. Whoever works in a worktree can write there, for all the
//! others, so the ant believes none of it: before each use it is what the ant would write itself.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;

use super::git::{Git, GitError};
use super::remove_tree;

/// What has no place in a mirror: another place for its settings, programs, remotes by their old names, resolutions of
/// conflicts, objects of other repositories.
const FOREIGN: [&str; 8] = [
    "commondir",
    "gitdir",
    "hooks",
    "remotes",
    "branches",
    "rr-cache",
    "objects/info/alternates",
    "objects/info/http-alternates",
];
/// Names nobody's branch, so that no branch is in use by the mirror itself.
const HEAD: &str = "ref: refs/heads/atta/none\n";
/// With settings per worktree this one has to be the mirror's own.
const OF_MIRROR: &str = "[core]\n\tbare = true\n";
/// The one name that stands for another by right: the remote's default branch.
const DEFAULT_BRANCH: &str = "refs/remotes/origin/HEAD";
/// What a worktree may say of itself when its job is over: how its files look, and who works there. Nothing of it runs a
/// program.
const OF_WORKTREE: [&str; 9] = [
    "user.name",
    "user.email",
    "core.autocrlf",
    "core.eol",
    "core.filemode",
    "core.symlinks",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
    "index.sparse",
];

/// Makes whatever git reads of a mirror what the ant knows. Tasks may use the mirror meanwhile.
pub(super) fn restore(mirror: &Path, url: &str) -> io::Result<()> {
    for name in FOREIGN {
        remove_tree(&mirror.join(name))?;
    }
    let info = mirror.join("info");
    if fs::symlink_metadata(&info).is_ok_and(|found| found.is_dir()) {
        for entry in fs::read_dir(&info)? {
            remove_tree(&entry?.path())?;
        }
    } else {
        remove_tree(&info)?;
    }
    put(mirror, "HEAD", HEAD)?;
    put(mirror, "config.worktree", OF_MIRROR)?;
    put(mirror, "config", &config(url))
}

/// Removes names that stand for other names. A fetch leaves such a name as it is, so that whoever makes one would choose the
/// commit that later jobs begin with.
pub(super) fn forget_aliases(mirror: &Path) -> io::Result<()> {
    let refs = mirror.join("refs");
    if !fs::symlink_metadata(&refs).is_ok_and(|found| found.is_dir()) {
        remove_tree(&refs)?;
        return fs::create_dir(refs);
    }
    for entry in walkdir::WalkDir::new(&refs) {
        let entry = match entry {
            Ok(entry) => entry,
            // A task that still runs has removed it meanwhile.
            Err(error) if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) => continue,
            Err(error) => return Err(error.into()),
        };
        let kind = entry.file_type();
        let alias = if kind.is_file() { stands_for(entry.path())? } else { (!kind.is_dir()).then(String::new) };
        let by_right =
            |name: &str| entry.path() == mirror.join(DEFAULT_BRANCH) && name.trim().starts_with("refs/remotes/origin/");
        if alias.is_some_and(|name| !by_right(&name)) {
            remove_tree(entry.path())?;
        }
    }
    Ok(())
}

/// The name that a name stands for.
fn stands_for(path: &Path) -> io::Result<Option<String>> {
    // Something else may lie there since it was looked at.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(4096).read_to_end(&mut text)?;
    Ok(text.strip_prefix(b"ref:").map(|name| String::from_utf8_lossy(name).into_owned()))
}

fn config(url: &str) -> String {
    format!(
        "[core]\n\trepositoryformatversion = 0\n[extensions]\n\tworktreeConfig = true\n\
         [remote \"origin\"]\n\turl = {}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
         # `git push` in a worktree pushes its branch.\n[push]\n\tdefault = current\n\
         # Only the ant tidies up, when nothing that it does can be interrupted with the task.\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n",
        quoted(url)
    )
}

/// Makes the settings of a worktree harmless: its job is over, and git is going to look at its files.
pub(super) async fn calm(git: &Git, of_worktree: &Path) -> Result<(), GitError> {
    let path = of_worktree.join("config.worktree");
    let Ok(found) = fs::symlink_metadata(&path) else { return Ok(()) };
    let Some(path) = path.to_str().filter(|_| found.is_file()) else { return Ok(remove_tree(&path)?) };
    let words = ["config", "--file", path, "--no-includes", "--null", "--list"];
    let answer = git.ask(Path::new("/"), None, &words).await?;
    let known: Vec<_> = answer.stdout.split('\0').filter(|entry| !entry.is_empty()).collect();
    let kept: String = known
        .iter()
        .filter_map(|entry| {
            let (name, value) = entry.split_once('\n')?;
            let (section, key) = name.split_once('.').filter(|_| OF_WORKTREE.contains(&name))?;
            Some(format!("[{section}]\n\t{key} = {}\n", quoted(value)))
        })
        .collect();
    put(of_worktree, "config.worktree", &kept)?;
    Ok(())
}

/// A value as git reads it in a file of settings.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Writes a file unless it is so already. Whoever reads it meanwhile finds the old one or the new one.
fn put(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let path = directory.join(name);
    let found = fs::symlink_metadata(&path);
    let is_file = found.as_ref().is_ok_and(fs::Metadata::is_file);
    if is_file
        && found.is_ok_and(|found| found.len() == text.len() as u64)
        && fs::read(&path).is_ok_and(|found| found == text.as_bytes())
    {
        return Ok(());
    }
    if !is_file {
        remove_tree(&path)?;
    }
    let new = directory.join(format!("{name}.{}-{}.new", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    remove_tree(&new)?;
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let url = "/a b/\"c\\d#e;f";
        put(directory.path(), "config", &config(url)).unwrap();
        let words = ["config", "--file", "config", "remote.origin.url"];
        let read = std::process::Command::new("git").args(words).current_dir(directory.path()).output().unwrap();
        assert_eq!(String::from_utf8(read.stdout).unwrap(), format!("{url}\n"));
    }

    #[test]
    fn names_that_stand_for_others_are_forgotten_but_for_the_default_branch() {
        let directory = tempfile::tempdir().unwrap();
        let refs = directory.path().join("refs");
        let of_origin = refs.join("remotes/origin");
        fs::create_dir_all(of_origin.join("deep")).unwrap();
        fs::write(of_origin.join("HEAD"), "ref: refs/remotes/origin/main\n").unwrap();
        fs::write(of_origin.join("main"), "0123456789012345678901234567890123456789\n").unwrap();
        fs::write(of_origin.join("other"), "ref: refs/atta/kept\n").unwrap();
        fs::write(of_origin.join("deep/HEAD"), "ref: refs/remotes/origin/main\n").unwrap();
        std::os::unix::fs::symlink("main", of_origin.join("link")).unwrap();
        std::os::unix::fs::symlink("/", refs.join("tags")).unwrap();
        forget_aliases(directory.path()).unwrap();
        let mut left: Vec<_> = walkdir::WalkDir::new(&refs)
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| !entry.file_type().is_dir())
            .map(|entry| entry.file_name().to_owned())
            .collect();
        left.sort();
        assert_eq!(left, ["HEAD", "main"]);

        fs::write(of_origin.join("HEAD"), "ref: refs/atta/kept\n").unwrap();
        forget_aliases(directory.path()).unwrap();
        assert!(!of_origin.join("HEAD").exists());

        fs::remove_dir_all(&refs).unwrap();
        std::os::unix::fs::symlink("/", &refs).unwrap();
        forget_aliases(directory.path()).unwrap();
        assert!(fs::symlink_metadata(&refs).unwrap().is_dir());
    }

    #[test]
    fn whatever_lies_in_place_of_a_file_is_replaced_by_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let elsewhere = path.join("elsewhere");
        fs::write(&elsewhere, "kept").unwrap();
        std::os::unix::fs::symlink(&elsewhere, path.join("config")).unwrap();
        fs::create_dir_all(path.join("HEAD/x")).unwrap();
        fs::create_dir_all(path.join("hooks/x")).unwrap();
        std::os::unix::fs::symlink(path, path.join("info")).unwrap();
        for _ in 0..2 {
            restore(path, "/origin").unwrap();
            assert_eq!(fs::read_to_string(path.join("HEAD")).unwrap(), HEAD);
            assert_eq!(fs::read_to_string(path.join("config")).unwrap(), config("/origin"));
        }
        assert_eq!(fs::read_to_string(elsewhere).unwrap(), "kept");
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["HEAD", "config", "config.worktree", "elsewhere"]);
    }
}
