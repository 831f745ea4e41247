//! Reading Markdown pages: which there are, their fenced blocks and their text.

use std::fs;
use std::path::{Path, PathBuf};

use crate::live_server::repository;

/// A Markdown page of the repository.
pub(super) struct Page {
    /// Its path from the root of the repository.
    pub(super) name: String,
    pub(super) text: String,
}

/// A fenced block.
pub(super) struct Block {
    /// Page and line, for messages.
    pub(super) place: String,
    pub(super) language: String,
    marks: Vec<String>,
    pub(super) text: String,
}

impl Block {
    /// The value of a mark such as `file=release.yaml`.
    pub(super) fn mark(&self, name: &str) -> Option<&str> {
        self.marks.iter().find_map(|mark| mark.strip_prefix(name)?.strip_prefix('='))
    }

    /// The names of its marks.
    pub(super) fn marks(&self) -> impl Iterator<Item = &str> {
        self.marks.iter().map(|mark| mark.split('=').next().unwrap_or_default())
    }
}

impl Page {
    pub(super) fn read(name: &str) -> Self {
        let text = fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), text }
    }

    /// Its fenced blocks, in order.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut found = Vec::new();
        let mut current: Option<Block> = None;
        for (number, line) in self.text.lines().enumerate() {
            match (&mut current, line.strip_prefix("```")) {
                (None, Some(info)) => {
                    let mut words = info.split_whitespace().map(str::to_owned);
                    current = Some(Block {
                        place: format!("{}:{}", self.name, number + 1),
                        language: words.next().unwrap_or_default(),
                        marks: words.collect(),
                        text: String::new(),
                    });
                }
                (Some(_), Some("")) => found.extend(current.take()),
                (Some(block), _) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(current.is_none(), "{}: a block is never closed", self.name);
        found
    }

    /// The numbered lines outside of fenced blocks.
    pub(super) fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut inside = false;
        self.text.lines().enumerate().filter_map(move |(number, line)| {
            let fence = line.starts_with("```");
            inside ^= fence;
            (!inside && !fence).then_some((number + 1, line))
        })
    }
}

fn collect(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(repository().join(directory)).expect("the directory exists").flatten() {
        let path = directory.join(entry.file_name());
        if entry.path().is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path.to_str().expect("paths of pages are text").to_owned());
        }
    }
}

/// Every page about Atta: those in the root, under `docs/`, and beside what we ship.
pub(super) fn pages() -> Vec<Page> {
    let mut names = Vec::new();
    for entry in fs::read_dir(repository()).expect("the repository exists").flatten() {
        let path = PathBuf::from(entry.file_name());
        if path.extension().is_some_and(|extension| extension == "md") {
            names.push(path.to_str().expect("paths of pages are text").to_owned());
        }
    }
    for directory in ["docs", "workflows", "demo", "core", "server", "worker", "cli", "bench"] {
        collect(Path::new(directory), &mut names);
    }
    names.sort();
    names.iter().map(|name| Page::read(name)).collect()
}
