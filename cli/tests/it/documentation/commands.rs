//! The commands that pages show are typed, in order, in one shell; they have to print what the page says, line by line.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use super::page::Page;
use crate::live_server::{atta, repository};
use crate::scratch::Scratch;

/// The port that pages name. Another program may use it, so a free one takes its place.
const PORT: &str = "7777";

/// A command, and the lines that it has to print.
struct Step {
    place: String,
    command: String,
    expected: Vec<String>,
}

/// The commands of a `console` block.
fn steps(place: &str, block: &str) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push(Step { place: place.to_owned(), command: command.to_owned(), expected: Vec::new() });
            continue;
        }
        let step = found.last_mut().unwrap_or_else(|| panic!("{place}: output without a command: {line}"));
        match line.strip_prefix("> ") {
            Some(more) if step.expected.is_empty() => {
                step.command.push('\n');
                step.command.push_str(more);
            }
            _ => step.expected.push(line.to_owned()),
        }
    }
    found
}

/// Whether a printed line is what the page shows, `…` standing for any text.
fn line_fits(expected: &str, printed: &str) -> bool {
    let mut pieces = expected.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// Whether all of what is printed is what the page shows; a line `…` stands for any number of lines.
fn fits(expected: &[String], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((line, after)) if line == "…" => (0..=printed.len()).any(|at| fits(after, &printed[at..])),
        Some((line, after)) => {
            printed.split_first().is_some_and(|(first, rest)| line_fits(line, first) && fits(after, rest))
        }
    }
}

/// Types what a page shows and compares what comes; a failure names the command.
fn assert_page_works(page: &str, least: usize) {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(repository().join("workflows"), scratch.path("workflows")).expect("it is writable");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port is free")
        .port()
        .to_string();
    let mut script = String::from("exec 2>&1\n");
    let mut all = Vec::new();
    for (number, block) in Page::read(page).blocks().iter().enumerate() {
        if let Some(name) = block.mark("file") {
            // The page shows the file; the reader saves it before he types what follows.
            let saved = scratch.write(&format!("tmp/block-{number}"), &block.text);
            writeln!(script, "mv '{saved}' '{}'", scratch.path(name).display()).expect("a string takes all");
        }
        if block.language == "console" {
            for step in steps(&block.place, &block.text) {
                let command = step.command.replace(PORT, &port);
                writeln!(script, "{command}\nprintf '\\n@@ %s\\n' \"$?\"").expect("a string takes all");
                all.push(step);
            }
        }
    }
    assert!(all.len() >= least, "{page} shows {} commands", all.len());
    script.push_str("for job in $(jobs -p); do kill \"$job\"; wait \"$job\"; done\n");
    let inherited = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("PATH is text");
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .current_dir(scratch.root())
        .env_clear()
        .env("PATH", format!("{}:{inherited}", atta().parent().expect("the program lies in a directory").display()))
        .env("HOME", scratch.path("home"))
        .env("TMPDIR", scratch.path("tmp"))
        .env("USER", "ada")
        .env("ATTA_LISTEN", format!("127.0.0.1:{port}"))
        .env("ATTA_SERVER", format!("http://127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .output()
        .expect("bash starts");
    let text = String::from_utf8_lossy(&output.stdout).replace(&port, PORT);
    let mut rest = text.as_str();
    for Step { place, command, expected } in &all {
        let (printed, after) = rest.split_once("\n@@ ").unwrap_or_else(|| panic!("{place}: broke off:\n{text}"));
        let (code, after) = after.split_once('\n').unwrap_or((after, ""));
        rest = after;
        assert_eq!(code, "0", "{place}: `{command}` ends with {code}:\n{printed}");
        let lines: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).collect();
        let expected: Vec<String> = expected.iter().filter(|line| !line.is_empty()).cloned().collect();
        assert!(
            fits(&expected, &lines),
            "{place}: `{command}` prints\n{printed}\nand not\n{}\nserver.log: {}",
            expected.join("\n"),
            fs::read_to_string(scratch.path("server.log")).unwrap_or_default()
        );
    }
}

#[test]
fn what_stands_for_anything_does_and_nothing_else() {
    assert!(line_fits("✓ pack  …", "✓ pack  12ms") && line_fits("a…b…c", "a--b--c") && line_fits("…", ""));
    assert!(!line_fits("✓ pack", "✓ pack  12ms") && !line_fits("a…b", "ab--") && !line_fits("a", "b"));
    let expected = ["a", "…", "c"].map(str::to_owned);
    assert!(fits(&expected, &["a", "c"]) && fits(&expected, &["a", "b", "b", "c"]));
    assert!(!fits(&expected, &["a", "b"]) && !fits(&expected, &["a", "c", "d"]) && !fits(&[], &["a"]));
}

#[test]
fn the_tour_of_the_readme_works_as_printed() {
    assert_page_works("README.md", 10);
}

#[test]
fn the_guide_works_as_printed() {
    assert_page_works("docs/guide.md", 40);
}

#[test]
fn the_pipeline_of_other_systems_works_as_printed_in_ours() {
    assert_page_works("docs/coming-from.md", 12);
}
