//! Finding the files that an attempt keeps.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use atta_core::protocol::Digest;
use atta_core::protocol::ant::{ArtifactFile, ArtifactRules};
use atta_core::redact::{self, Redactor};
use globset::{GlobBuilder, GlobMatcher};
use nix::libc;
use walkdir::WalkDir;

use super::inputs::is_plain_relative;

/// More files than this are a mistake in the definition.
const MOST_FILES: usize = 10_000;

/// A file to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Relative path, as it is listed.
    pub(crate) path: String,
    /// Where its content is: never through a link.
    pub(crate) source: PathBuf,
    pub(crate) executable: bool,
}

/// What is in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// No secret that is known.
    Clean(ArtifactFile),
    /// The secret of this name.
    Secret(String),
}

/// What the rules matched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    /// In order of path.
    pub(crate) files: Vec<Found>,
    /// What makes an attempt that succeeded INVALID.
    pub(crate) problems: Vec<String>,
    /// What people should know.
    pub(crate) warnings: Vec<String>,
}

struct Pattern<'a> {
    text: &'a str,
    /// The path without `./` in front and `/` behind.
    clean: &'a str,
    matcher: GlobMatcher,
    literal: bool,
    hit: bool,
}

/// Looks for the files that the rules name below `work`. Blocks.
pub(crate) fn collect(work: &Path, rules: &ArtifactRules) -> Collected {
    let mut collected = Collected::default();
    let mut patterns = Vec::new();
    for text in &rules.paths {
        match compile(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(problem) => collected.problems.push(problem),
        }
    }
    let mut excluded = Vec::new();
    for text in &rules.exclude {
        match compile(text) {
            Ok(pattern) => excluded.push(pattern),
            Err(problem) => collected.problems.push(problem),
        }
    }
    let root = match work.canonicalize() {
        Ok(root) => root,
        Err(error) => {
            collected.problems.push(format!("TASK_DIR cannot be read after the task: {error}"));
            return collected;
        }
    };
    let mut search = Search { root, patterns, excluded, found: BTreeMap::new(), collected };
    search.walk();
    search.finish()
}

fn compile(text: &str) -> Result<Pattern<'_>, String> {
    let clean = text.trim_start_matches("./").trim_end_matches('/');
    let clean = if clean.is_empty() && !text.is_empty() && !text.starts_with('/') { "**" } else { clean };
    if text.starts_with('/') || clean.split('/').any(|part| part == "..") || clean.is_empty() {
        return Err(format!("the artifact path `{text}` leads out of TASK_DIR: it must be relative and without `..`"));
    }
    let glob = GlobBuilder::new(clean)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| format!("the artifact path `{text}` is no valid glob: {}", error.kind()))?;
    let literal = !clean.contains(['*', '?', '[', '{', '\\']);
    Ok(Pattern { text, clean, matcher: glob.compile_matcher(), literal, hit: false })
}

impl Pattern<'_> {
    /// A path without wildcard that names a directory stands for what is in it.
    fn matches(&self, path: &str) -> bool {
        let below = || path.strip_prefix(self.clean).is_some_and(|rest| rest.starts_with('/'));
        (self.matcher.is_match(path) || (self.literal && below())) && self.names_hidden(path)
    }

    /// Names with a leading dot are matched only by a part of the pattern that has one too.
    fn names_hidden(&self, path: &str) -> bool {
        path.split('/').filter(|part| part.starts_with('.')).all(|hidden| {
            self.clean.split('/').filter(|part| part.starts_with('.')).any(|part| {
                part == hidden
                    || GlobBuilder::new(part).build().is_ok_and(|glob| glob.compile_matcher().is_match(hidden))
            })
        })
    }
}

struct Search<'a> {
    root: PathBuf,
    patterns: Vec<Pattern<'a>>,
    excluded: Vec<Pattern<'a>>,
    found: BTreeMap<String, Found>,
    collected: Collected,
}

impl Search<'_> {
    fn walk(&mut self) {
        if self.patterns.is_empty() {
            return;
        }
        // Without a wildcard there is nothing to search for.
        if self.patterns.iter().all(|pattern| pattern.literal) {
            let starts: Vec<PathBuf> = self.patterns.iter().map(|p| self.root.join(p.clean)).collect();
            for start in starts {
                if fs::symlink_metadata(&start).is_ok() {
                    self.walk_from(&start);
                }
            }
        } else {
            self.walk_from(&self.root.clone());
        }
    }

    fn walk_from(&mut self, start: &Path) {
        for entry in WalkDir::new(start).follow_links(false).follow_root_links(false) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => self.consider(entry.path()),
                Err(error) => self.collected.warnings.push(format!("an artifact cannot be looked at: {error}")),
            }
            if self.found.len() > MOST_FILES {
                return;
            }
        }
    }

    fn consider(&mut self, path: &Path) {
        let Ok(relative) = path.strip_prefix(&self.root) else { return };
        let Some(relative) = relative.to_str() else {
            let shown = relative.to_string_lossy();
            if self.patterns.iter().any(|pattern| pattern.matches(&shown)) {
                self.collected.warnings.push(format!("the file `{shown}` is not kept: its name is not UTF-8"));
            }
            return;
        };
        let mut named = None;
        for pattern in &mut self.patterns {
            if pattern.matches(relative) {
                pattern.hit = true;
                named = Some(named.unwrap_or(false) || pattern.literal && pattern.clean == relative);
            }
        }
        let Some(named) = named else { return };
        if self.excluded.iter().any(|pattern| pattern.matches(relative)) || self.found.contains_key(relative) {
            return;
        }
        match look(&self.root, path) {
            Ok(source) => {
                let executable = source.1;
                let found = Found { path: relative.to_owned(), source: source.0, executable };
                self.found.insert(relative.to_owned(), found);
            }
            // Named by itself it was wanted; found by a wildcard it was only in the way.
            Err(problem) if named => self.collected.problems.push(format!("the artifact `{relative}` {problem}")),
            Err(problem) => {
                self.collected.warnings.push(format!("`{relative}` is not kept as an artifact: it {problem}"));
            }
        }
    }

    fn finish(mut self) -> Collected {
        if self.found.len() > MOST_FILES {
            self.collected.problems.push(format!("the artifact paths match more than {MOST_FILES} files"));
            self.found.clear();
        }
        for pattern in &self.patterns {
            if pattern.hit {
                continue;
            }
            if !pattern.literal {
                self.collected.warnings.push(format!("the artifact path `{}` matched no file", pattern.text));
            } else if is_below(&self.root, pattern.clean) {
                if self.root.join(pattern.clean).is_dir() {
                    self.collected.warnings.push(format!("the artifact directory `{}` is empty", pattern.text));
                } else {
                    self.collected.problems.push(format!("the artifact `{}` does not exist", pattern.text));
                }
            } else {
                let text = pattern.text;
                self.collected.problems.push(format!("the artifact `{text}` goes through a link out of TASK_DIR"));
            }
        }
        self.collected.files = self.found.into_values().collect();
        self.collected
    }
}

fn is_below(root: &Path, path: &str) -> bool {
    is_plain_relative(path) && root.join(path).canonicalize().map_or(true, |path| path.starts_with(root))
}

/// Where the content of a file is and whether it is executable, or why it is refused.
fn look(root: &Path, path: &Path) -> Result<(PathBuf, bool), String> {
    let source = path.canonicalize().map_err(|error| format!("cannot be read: {error}"))?;
    if !source.starts_with(root) {
        return Err("is a link that leads out of TASK_DIR".to_owned());
    }
    let metadata = fs::symlink_metadata(&source).map_err(|error| format!("cannot be read: {error}"))?;
    if metadata.is_dir() {
        return Err("is a link to a directory".to_owned());
    }
    if !metadata.is_file() {
        return Err("is no regular file (a device, pipe or socket)".to_owned());
    }
    Ok((source, metadata.mode() & 0o100 != 0))
}

impl Found {
    /// Reads the file once and says what it is. Blocks.
    pub(crate) fn digest(&self) -> io::Result<ArtifactFile> {
        let file = open_regular(&self.source)?;
        let mut hasher = blake3::Hasher::new();
        let size = io::copy(&mut &file, &mut hasher)?;
        Ok(self.listed(&hasher, size))
    }

    /// The same, and looks for secrets on the way. Blocks.
    pub(crate) fn digest_without(&self, redactor: Option<&Redactor>) -> io::Result<Contents> {
        let Some(redactor) = redactor else { return self.digest().map(Contents::Clean) };
        let mut file = open_regular(&self.source)?;
        let mut hasher = blake3::Hasher::new();
        let mut search = redact::Search::new(redactor);
        let mut buffer = vec![0; 64 << 10];
        let mut size = 0;
        loop {
            let count = match file.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let found = if count == 0 { search.finish() } else { search.push(&buffer[..count]) };
            if let Some(name) = found {
                return Ok(Contents::Secret(name.to_owned()));
            }
            if count == 0 {
                return Ok(Contents::Clean(self.listed(&hasher, size)));
            }
            hasher.update(&buffer[..count]);
            size += count as u64;
        }
    }

    fn listed(&self, hasher: &blake3::Hasher, size: u64) -> ArtifactFile {
        ArtifactFile {
            path: self.path.clone(),
            digest: Digest(hasher.finalize().to_hex().to_string()),
            size,
            executable: self.executable,
        }
    }
}

/// Opens a file that is no link and does not block.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("is no regular file")) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use atta_core::definition::ArtifactsWhen;

    use super::*;

    fn rules(paths: &[&str], exclude: &[&str]) -> ArtifactRules {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        ArtifactRules { paths: owned(paths), exclude: owned(exclude), when: ArtifactsWhen::Always }
    }

    fn work(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, *file).unwrap();
        }
        dir
    }

    fn paths(collected: &Collected) -> Vec<&str> {
        collected.files.iter().map(|found| found.path.as_str()).collect()
    }

    #[test]
    fn wildcards_stop_at_slashes_and_hidden_files_must_be_named() {
        let dir = work(&["a.txt", "b/a.txt", "b/c/a.txt", ".hidden.txt", "b/.git/config", ".config/x"]);
        let found = |list: &[&str]| {
            let collected = collect(dir.path(), &rules(list, &[]));
            assert_eq!(collected.problems, Vec::<String>::new());
            paths(&collected).join(" ")
        };
        assert_eq!(found(&["*.txt"]), "a.txt");
        assert_eq!(found(&["**/*.txt"]), "a.txt b/a.txt b/c/a.txt");
        assert_eq!(found(&["**"]), "a.txt b/a.txt b/c/a.txt");
        assert_eq!(found(&["./"]), "a.txt b/a.txt b/c/a.txt");
        assert_eq!(found(&[".*"]), ".hidden.txt");
        assert_eq!(found(&[".config/*"]), ".config/x");
        assert_eq!(found(&["b/.git/**"]), "b/.git/config");
        assert_eq!(found(&["b"]), "b/a.txt b/c/a.txt");
        assert_eq!(found(&["b/", "a.txt", "./a.txt"]), "a.txt b/a.txt b/c/a.txt");
        assert_eq!(paths(&collect(dir.path(), &rules(&["**"], &["b/c", "a.*"]))), ["b/a.txt"]);
    }

    #[test]
    fn what_is_missing_is_a_problem_by_name_and_a_warning_by_wildcard() {
        let dir = work(&["there"]);
        fs::create_dir(dir.path().join("empty")).unwrap();
        let collected = collect(dir.path(), &rules(&["there", "missing.txt", "*.log", "empty"], &[]));
        assert_eq!(paths(&collected), ["there"]);
        assert_eq!(collected.problems, ["the artifact `missing.txt` does not exist"]);
        assert_eq!(
            collected.warnings,
            ["the artifact path `*.log` matched no file", "the artifact directory `empty` is empty"]
        );
    }

    #[test]
    fn ways_out_of_the_directory_are_refused() {
        let outside = work(&["secret"]);
        let dir = work(&["in/file"]);
        symlink(outside.path().join("secret"), dir.path().join("out")).unwrap();
        symlink("in/file", dir.path().join("inside")).unwrap();
        symlink(outside.path(), dir.path().join("door")).unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        let collected = collect(dir.path(), &rules(&["out", "inside", "../x", "/etc/passwd", "door/secret"], &[]));
        assert_eq!(paths(&collected), ["inside"]);
        assert_eq!(collected.files[0].source, dir.path().canonicalize().unwrap().join("in/file"));
        assert_eq!(
            collected.problems,
            [
                "the artifact path `../x` leads out of TASK_DIR: it must be relative and without `..`",
                "the artifact path `/etc/passwd` leads out of TASK_DIR: it must be relative and without `..`",
                "the artifact `out` is a link that leads out of TASK_DIR",
                "the artifact `door/secret` is a link that leads out of TASK_DIR",
            ]
        );
        let collected = collect(dir.path(), &rules(&["**"], &[]));
        assert_eq!(paths(&collected), ["in/file", "inside"]);
        assert_eq!(collected.problems, Vec::<String>::new());
        assert_eq!(collected.warnings.len(), 3, "{:?}", collected.warnings);
        assert!(
            collected
                .warnings
                .iter()
                .any(|w| w == "`out` is not kept as an artifact: it is a link that leads out of TASK_DIR")
        );
    }

    #[test]
    fn pipes_and_sockets_are_refused_without_waiting_for_a_writer() {
        let dir = work(&[]);
        nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let collected = collect(dir.path(), &rules(&["pipe", "socket"], &[]));
        assert_eq!(paths(&collected), Vec::<&str>::new());
        assert_eq!(
            collected.problems,
            [
                "the artifact `pipe` is no regular file (a device, pipe or socket)",
                "the artifact `socket` is no regular file (a device, pipe or socket)"
            ]
        );
    }

    #[test]
    fn names_that_are_not_utf8_are_left_out_with_a_warning() {
        use std::os::unix::ffi::OsStrExt;
        let dir = work(&["fine"]);
        fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"bad\xff")), "x").unwrap();
        let collected = collect(dir.path(), &rules(&["*"], &[]));
        assert_eq!(paths(&collected), ["fine"]);
        assert_eq!(collected.warnings, ["the file `bad\u{fffd}` is not kept: its name is not UTF-8"]);
    }

    #[test]
    fn a_file_is_listed_with_digest_size_and_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = work(&["tool"]);
        fs::set_permissions(dir.path().join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        let file = collect(dir.path(), &rules(&["tool"], &[])).files[0].digest().unwrap();
        assert_eq!((file.size, file.executable), (4, true));
        assert_eq!(file.digest.0, blake3::hash(b"tool").to_hex().to_string());
    }
}
