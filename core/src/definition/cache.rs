//! The task key `cache`: files that come back in later jobs.

use serde::{Deserialize, Serialize};

use super::keys::CACHE;
use super::tree::{Kind, Node};
use super::walk::{Keys, Walk};
use super::{Span, TemplateText, code};

/// How a cache path says that it lies in the workspace of the job.
pub const IN_WORKSPACE: &str = "$JOB_WORKSPACE/";

/// Longest key, in bytes.
const LONGEST_KEY: usize = 512;

/// Keys that one task may try.
const MOST_RESTORE_KEYS: usize = 20;

/// Files that come back in later jobs of the same type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSpec {
    /// What they are stored and found under.
    pub key: TemplateText,
    /// Files and directories: relative to TASK_DIR, or `$JOB_WORKSPACE/…`.
    pub paths: Vec<TemplateText>,
    /// When there is nothing under the key: the beginnings of other keys, in order; of several the newest counts.
    pub restore_keys: Vec<TemplateText>,
}

/// Whether a text can be a key; the error ends a sentence that begins with the key.
pub fn check_cache_key(key: &str) -> Result<(), String> {
    let reason = if key.trim().is_empty() {
        "is empty"
    } else if key.len() > LONGEST_KEY {
        "is longer than 512 bytes (the filter `sha256` makes a short one of any text)"
    } else if key.chars().any(char::is_control) {
        "has a control character"
    } else {
        return Ok(());
    };
    let shown: String = key.chars().take(60).collect();
    Err(format!("the cache key {shown:?} {reason}"))
}

/// Whether a text can be the path of something cached; the error is a sentence.
pub fn check_cache_path(path: &str) -> Result<(), String> {
    let relative = path.strip_prefix(IN_WORKSPACE).unwrap_or(path);
    let reason = if relative.trim().is_empty() {
        "names nothing"
    } else if relative.starts_with('~') {
        "begins with `~`; set the tool's directory, such as CARGO_HOME, to one below TASK_DIR or JOB_WORKSPACE"
    } else if relative.starts_with('/') {
        "is absolute; it must be relative to TASK_DIR, or begin with `$JOB_WORKSPACE/`"
    } else if relative.starts_with('$') {
        "begins with a variable other than `$JOB_WORKSPACE/`"
    } else if relative.split('/').any(|part| part == "..") {
        "leads out with `..`"
    } else if relative.split('/').all(|part| part.is_empty() || part == ".") {
        "names the whole directory; name what is in it"
    } else if relative.chars().any(char::is_control) {
        "has a control character"
    } else if relative.contains(['*', '?', '[']) {
        "has a wildcard; name a directory, and everything in it is kept"
    } else {
        return Ok(());
    };
    let shown: String = path.chars().take(60).collect();
    Err(format!("the cache path {shown:?} {reason}"))
}

impl Walk {
    pub(super) fn cache(&mut self, node: &Node<'_>) -> Option<CacheSpec> {
        let entries = self.mapping("cache", node)?;
        let mut keys = Keys::new(entries);
        let missing = |key: &str, help: &str, walk: &mut Self| {
            walk.problems.error_with_help(code::MISSING_KEY, node.span, format!("`cache` needs `{key}`"), help);
        };
        let key = if let Some(entry) = keys.take("key") {
            self.template_spelling("cache.key", &entry.value)
        } else {
            missing("key", "name what the files depend on: `key: \"deps-{{ LockHash }}\"`", self);
            None
        };
        let paths = if let Some(entry) = keys.take("paths") {
            if matches!(&entry.value.kind, Kind::Sequence(items) if items.is_empty()) {
                self.problems.error(code::VALUE, entry.value.span, "`cache.paths` is empty");
            }
            self.templates("cache.paths", &entry.value)
        } else {
            missing("paths", "name what is kept: `paths: [node_modules]`", self);
            Vec::new()
        };
        let restore = keys.take("restore_keys");
        let restore_span = restore.map_or(node.span, |entry| entry.value.span);
        let restore_keys = restore.map(|e| self.templates("cache.restore_keys", &e.value)).unwrap_or_default();
        if restore_keys.len() > MOST_RESTORE_KEYS {
            let count = restore_keys.len();
            self.problems.error(
                code::RANGE,
                restore_span,
                format!("`cache.restore_keys` has at most {MOST_RESTORE_KEYS} entries, and this has {count}"),
            );
        }
        self.unknown_keys(&keys, &CACHE);
        for text in key.iter().chain(&restore_keys) {
            self.check_cached(code::VALUE, &text.source, text.span, check_cache_key);
        }
        for path in &paths {
            self.check_cached(code::PATH, &path.source, path.span, check_cache_path);
        }
        Some(CacheSpec { key: key?, paths, restore_keys })
    }

    fn check_cached(&mut self, code: &'static str, text: &str, span: Span, check: impl Fn(&str) -> Result<(), String>) {
        if !text.contains('{')
            && let Err(message) = check(text)
        {
            self.problems.error(code, span, message);
        }
    }
}
