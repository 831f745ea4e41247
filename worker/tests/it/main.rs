//! The ant against a queen of the tests, over real processes and directories.
//!
//! The launcher must be forked before any thread exists, so this program has no test harness that would start some: it
//! speaks the part of libtest's language that `cargo test` and nextest use, and runs each test in a process of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests end where something is not as they say")]

mod addresses;
mod agents;
mod artifacts;
mod caches;
mod earlier;
mod ends;
mod harness;
mod hostile;
mod life;
mod output;
mod readoption;
mod requests;
mod scene;
mod shell;
mod terminal;
mod trees;
mod web;
mod workspaces;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut tests = Vec::new();
    tests.extend(addresses::TESTS);
    tests.extend(agents::TESTS);
    tests.extend(artifacts::TESTS);
    tests.extend(caches::TESTS);
    tests.extend(earlier::TESTS);
    tests.extend(ends::TESTS);
    tests.extend(hostile::TESTS);
    tests.extend(life::TESTS);
    tests.extend(output::TESTS);
    tests.extend(readoption::TESTS);
    tests.extend(requests::TESTS);
    tests.extend(shell::TESTS);
    tests.extend(terminal::TESTS);
    tests.extend(trees::TESTS);
    tests.extend(workspaces::TESTS);
    harness::main(&tests)
}
