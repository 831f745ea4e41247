//! What must not be there when all is over.

use std::fs;
use std::path::{Path, PathBuf};

/// Files below a directory, at any depth.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// Entries of a directory that may be missing.
pub(super) fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The cgroups of the ant on this data directory, wherever they are mounted.
pub(super) fn cgroups(data: &Path) -> Vec<PathBuf> {
    let attempts = data.join("ant/attempts").canonicalize().expect("an ant was there");
    let name = format!("atta-{}", &blake3::hash(attempts.as_os_str().as_encoded_bytes()).to_hex()[..16]);
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(&name) {
                    found.push(entry.path());
                }
                open.push(entry.path());
            }
        }
    }
    found
}
