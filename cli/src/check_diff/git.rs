//! What is asked of git, without anything that a repository could have run.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes of one answer.
const LARGEST: u64 = 256 << 20;
/// Settings that keep a repository from having anything run or written.
const SETTINGS: [&str; 7] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "diff.external=",
    "log.showSignature=false",
    "gc.auto=0",
    "core.commitGraph=false",
];

/// A checkout.
pub(super) struct Git {
    directory: PathBuf,
}

/// A file that a commit has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) path: String,
    /// What the parents have of it, as far as they have it.
    pub(super) before: Vec<String>,
    /// What the commit has, with its mode; nothing when it was removed.
    pub(super) after: Option<(String, u32)>,
    /// The mode before, in the first parent.
    pub(super) mode_before: u32,
}

impl Git {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("--no-pager");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.args(words).current_dir(&self.directory);
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            // What says that a commit has other parents than it has.
            ("GIT_GRAFT_FILE", "/dev/null"),
            ("LC_ALL", "C"),
        ] {
            command.env(name, value);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What git answers. The error is a sentence.
    pub(super) fn ask(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let what = words.first().copied().unwrap_or_default();
        let failed = |error: std::io::Error| format!("`git {what}` cannot be asked: {error}");
        let mut child = self.command(words).spawn().map_err(failed)?;
        let mut stdin = child.stdin.take();
        let input = input.to_vec();
        // Whether git reads all of it shows in its answer.
        let writer = std::thread::spawn(move || {
            if let Some(stdin) = &mut stdin {
                let _ = stdin.write_all(&input);
            }
        });
        let mut stderr = child.stderr.take();
        let complaint = std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(stderr) = &mut stderr {
                let _ = stderr.read_to_end(&mut text);
            }
            text
        });
        let mut answer = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(LARGEST + 1).read_to_end(&mut answer).map_err(failed)?;
        }
        if answer.len() as u64 > LARGEST {
            let _ = child.kill();
        }
        let status = child.wait().map_err(failed)?;
        let _ = writer.join();
        let complaint = complaint.join().unwrap_or_default();
        if answer.len() as u64 > LARGEST {
            return Err(format!("`git {what}` answers with more than {} MiB", LARGEST >> 20));
        }
        if status.success() {
            return Ok(answer);
        }
        let complaint = String::from_utf8_lossy(&complaint);
        let line = complaint.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        Err(format!("`git {what}` failed: {}", line.trim_start_matches("fatal: ")))
    }

    /// The commit that a name means.
    pub(super) fn commit(&self, name: &str) -> Result<String, String> {
        let wanted = format!("{name}^{{commit}}");
        let answer = self.ask(&["rev-parse", "--verify", "-q", "--end-of-options", &wanted], &[]);
        let answer = answer.map_err(|_| format!("{name:?} is no commit of this repository"))?;
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }

    /// The commits that a push would add, the oldest first.
    pub(super) fn commits(&self, bases: &[String], head: &str) -> Result<Vec<String>, String> {
        let without: Vec<String> = bases.iter().map(|base| format!("^{base}")).collect();
        let mut words = vec!["rev-list", "--reverse", "--topo-order", head];
        words.extend(without.iter().map(String::as_str));
        let answer = self.ask(&words, &[])?;
        Ok(String::from_utf8_lossy(&answer).lines().map(str::to_owned).collect())
    }

    /// Commits whose parents this repository says that it does not have.
    pub(super) fn shallow(&self) -> Result<Vec<String>, String> {
        let path = self.ask(&["rev-parse", "--path-format=absolute", "--git-path", "shallow"], &[])?;
        let path = String::from_utf8_lossy(&path).trim().to_owned();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(format!("{path} cannot be read: {error}")),
        }
    }

    /// What is written about a commit: names and message.
    pub(super) fn message(&self, commit: &str) -> Result<String, String> {
        // As it is stored: a setting of the repository could have it told in an encoding in which nothing is found.
        let format = "--format=%an%n%ae%n%cn%n%ce%n%B";
        let answer = self.ask(&["show", "-s", "--no-color", "--encoding=none", format, commit], &[])?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The files that a commit has changed: of a merge those that are as in none of its parents.
    pub(super) fn changed(&self, commit: &str) -> Result<Vec<Changed>, String> {
        let words = ["diff-tree", "-r", "-c", "-z", "--root", "--no-commit-id", "--no-renames", "--full-index"];
        // A file in the checkout can say that submodules are not to be told.
        let words = [&words[..], &["--ignore-submodules=none", commit]].concat();
        changes(&self.ask(&words, &[])?).ok_or_else(|| format!("git's list of what {commit} changed cannot be read"))
    }

    /// How long files are, by their names in git.
    pub(super) fn sizes(&self, blobs: &[String]) -> Result<HashMap<String, u64>, String> {
        let answer = self.ask(&["cat-file", "--batch-check=%(objectname) %(objectsize)"], list(blobs).as_bytes())?;
        let text = String::from_utf8_lossy(&answer);
        let sizes = text.lines().map(|line| {
            let (name, size) = line.split_once(' ')?;
            Some((name.to_owned(), size.parse().ok()?))
        });
        sizes.collect::<Option<_>>().ok_or_else(|| "a file of a commit is not in this repository".to_owned())
    }

    /// A file.
    pub(super) fn blob(&self, name: &str) -> Result<Vec<u8>, String> {
        self.ask(&["cat-file", "blob", name], &[])
    }
}

fn list(names: &[String]) -> String {
    names.iter().fold(String::new(), |text, name| text + name + "\n")
}

/// `:mode mode name name STATUS NUL path NUL`, with a colon and a mode and a name more for each further parent.
fn changes(raw: &[u8]) -> Option<Vec<Changed>> {
    let mut parts = raw.split(|byte| *byte == 0);
    let mut found = Vec::new();
    while let Some(facts) = parts.next().filter(|facts| !facts.is_empty()) {
        let facts = std::str::from_utf8(facts).ok()?;
        let parents = facts.bytes().take_while(|byte| *byte == b':').count();
        let words: Vec<&str> = facts.get(parents..)?.split(' ').collect();
        if parents == 0 || words.len() != 2 * parents + 3 {
            return None;
        }
        let mode = |at: usize| u32::from_str_radix(words[at], 8).ok();
        let names = &words[parents + 1..2 * parents + 2];
        let is_there = |name: &str| name.bytes().any(|byte| byte != b'0');
        let mut before = Vec::new();
        for (at, name) in names[..parents].iter().enumerate() {
            if is_there(name) && mode(at)? != 0o160_000 {
                before.push((*name).to_owned());
            }
        }
        let after = names[parents];
        found.push(Changed {
            path: String::from_utf8_lossy(parts.next()?).into_owned(),
            before,
            after: if is_there(after) { Some((after.to_owned(), mode(parents)?)) } else { None },
            mode_before: mode(0)?,
        });
    }
    Some(found)
}

/// The program of git is there.
pub(super) fn is_there() -> bool {
    let asked = Command::new("git").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_changes_is_read() {
        let (a, b, c, zero) = ("a".repeat(40), "b".repeat(40), "c".repeat(40), "0".repeat(40));
        let raw = format!(
            ":000000 120000 {zero} {a} A\0new link\0:100644 000000 {a} {zero} D\0gone\0::100644 100644 100755 {a} {b} {c} MM\0merged\0"
        );
        let found = changes(raw.as_bytes()).unwrap();
        assert_eq!((found[0].path.as_str(), found[0].after.clone()), ("new link", Some((a.clone(), 0o120_000))));
        assert_eq!((found[1].after.clone(), found[1].before.clone()), (None, vec![a.clone()]));
        assert_eq!((found[2].before.clone(), found[2].after.clone()), (vec![a, b], Some((c, 0o100_755))));
        assert_eq!(changes(b"nonsense\0x\0"), None);
    }
}
