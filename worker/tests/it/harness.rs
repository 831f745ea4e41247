//! As much of a test harness as is needed, without a thread before the launchers are forked.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::{Command, ExitCode};

use atta_worker::Launcher;

/// What a test is given: launchers that were forked first of all.
pub(crate) struct Launchers(Vec<Launcher>);

impl Launchers {
    /// One more.
    pub(crate) fn take(&mut self) -> Launcher {
        self.0.pop().expect("a test has three launchers")
    }
}

/// A test.
pub(crate) type Body = fn(Launchers) -> Pin<Box<dyn Future<Output = ()>>>;

/// Its name and body.
pub(crate) type Test = (&'static str, Body);

/// Makes a list of tests of async functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::harness::Test] = &[$((
            concat!(module_path!(), "::", stringify!($name)),
            |launchers| Box::pin($name(launchers)),
        )),*];
    };
}
pub(crate) use tests;

/// A process of its own that a test starts by [`helper`].
pub(crate) const HELPER: &str = "--helper";

pub(crate) fn main(tests: &[Test]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let names: Vec<&str> = arguments.iter().filter(|a| !a.starts_with('-')).map(String::as_str).collect();
    if has(HELPER) {
        let launcher = Launcher::fork().expect("no thread exists");
        runtime().block_on(crate::scene::run(launcher, names[0].to_owned(), names[1]));
        return ExitCode::SUCCESS;
    }
    if has("--list") {
        if !has("--ignored") {
            for (name, _) in tests {
                println!("{}: test", short(name));
            }
        }
        return ExitCode::SUCCESS;
    }
    if has("--exact") {
        let Some((_, body)) = tests.iter().find(|(name, _)| names.contains(&short(name))) else {
            return ExitCode::SUCCESS;
        };
        let launchers = Launchers((0..3).map(|_| Launcher::fork().expect("no thread exists")).collect());
        let runtime = runtime();
        let passed = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(body(launchers))));
        return if passed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut failed = 0;
    let me = std::env::current_exe().expect("this program has a path");
    for (name, _) in tests.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|n| name.contains(n))) {
        let status = Command::new(&me).args([short(name), "--exact"]).status().expect("this program can be run");
        println!("test {} ... {}", short(name), if status.success() { "ok" } else { "FAILED" });
        failed += u32::from(!status.success());
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn short(name: &'static str) -> &'static str {
    name.split_once("::").map_or(name, |(_, rest)| rest)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be made")
}
