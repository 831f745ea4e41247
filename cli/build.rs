//! Puts the commit into release builds, for `atta --version`. Development builds say that they are one: following the
//! checkout would rebuild the binary after every commit.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
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
