//! Files by patterns, as checkouts and commits name them.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A set of patterns of files of a repository.
#[derive(Debug)]
pub struct PathGlobs(GlobSet);

impl PathGlobs {
    /// The error says which one is no pattern.
    pub fn new<'g>(list: impl IntoIterator<Item = &'g str>) -> Result<Self, String> {
        let mut set = GlobSetBuilder::new();
        for glob in list {
            // Some file systems do not know `claude.md` from `CLAUDE.md`.
            let built = GlobBuilder::new(glob).literal_separator(true).case_insensitive(true).build();
            set.add(built.map_err(|error| format!("{glob:?} is no valid glob: {}", error.kind()))?);
        }
        set.build().map(Self).map_err(|error| error.to_string())
    }

    /// Whether a path is one of these files.
    pub fn is_match(&self, path: &str) -> bool {
        self.0.is_match(path)
    }

    /// Whether a path is one of these files, or lies in the place of such a directory.
    pub fn matches(&self, path: &str) -> bool {
        self.is_match(path) || self.0.is_match(format!("{path}/x"))
    }
}
