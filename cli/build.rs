//! Lists the workflows that the program brings along, follows the built dashboard, and puts the commit into release builds, for
//! `atta --version`. Development builds say that they are one: following the checkout would rebuild the binary after every commit.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    github_workflows();
    dashboard();
    println!("cargo::rerun-if-env-changed=ATTA_BUILD_COMMIT");
    let released = std::env::var_os("PROFILE").is_some_and(|profile| profile != "debug");
    let commit = std::env::var_os("ATTA_BUILD_COMMIT")
        .and_then(|value| value.into_string().ok())
        .or_else(|| released.then(commit_of_checkout).flatten());
    println!("cargo::rustc-env=ATTA_COMMIT={}", commit.as_deref().unwrap_or("development build"));
}

fn commit_of_checkout() -> Option<String> {
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if clean { commit } else { format!("{commit}, modified") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Writes the definitions `workflows/gh-*.yaml` as a list of names and texts.
fn github_workflows() {
    let workflows = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    println!("cargo::rerun-if-changed={}", workflows.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&workflows)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    files.retain(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("gh-") && file.extension().is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    let mut list = String::from("&[");
    for file in &files {
        let name = file.file_name().unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(list, "({:?}, include_str!({:?})),", name.to_string_lossy(), file.to_string_lossy());
    }
    list.push(']');
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    std::fs::write(out.join("github_workflows.rs"), list).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

/// Writes the files of the built dashboard as a list of names and bytes: its page as it is, what the page loads compressed. A
/// program that is built without Node has none.
fn dashboard() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboard/dist");
    std::fs::create_dir_all(&built).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    println!("cargo::rerun-if-changed={}", built.display());
    let mut list = String::from("&[");
    for directory in ["", "assets"] {
        let mut files: Vec<PathBuf> = std::fs::read_dir(built.join(directory))
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        files.sort();
        for file in files {
            let name = file.strip_prefix(&built).unwrap_or(&file).to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".gz").or((name == "index.html").then_some(&name)) {
                // Writing to a String cannot fail.
                let _ = write!(list, "({name:?}, include_bytes!({:?})),", file.to_string_lossy());
            }
        }
    }
    list.push(']');
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    std::fs::write(out.join("dashboard.rs"), list).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}
