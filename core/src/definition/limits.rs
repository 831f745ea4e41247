//! How large a definition may be.

/// Limits on what the loader accepts. All are checked before the memory that they bound is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub source_bytes: usize,
    /// Tasks of one definition.
    pub tasks: usize,
    /// Problems that are listed; the rest is counted.
    pub problems: usize,
    /// YAML nodes of one file, aliases expanded.
    pub nodes: usize,
    /// How deeply collections may be nested, aliases expanded.
    pub depth: usize,
    /// How many times larger than what is written the document may become by aliases, merge keys and `defaults`.
    pub expansion: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { source_bytes: 4 << 20, tasks: 10_000, problems: 200, nodes: 500_000, depth: 64, expansion: 10 }
    }
}
