//! The edge to the machine: the one place that reads the clock, randomness and the environment.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use atta_core::time::{Clock, Entropy, UnixMillis};
use rand::RngCore;

/// The machine's wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that is passed in everywhere else")]
        let now = jiff::Timestamp::now();
        UnixMillis(now.as_millisecond())
    }

    fn monotonic(&self) -> Duration {
        static FIRST_LOOK: LazyLock<Instant> = LazyLock::new(Instant::now);
        FIRST_LOOK.elapsed()
    }
}

/// The operating system's randomness, through a generator per thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next_u64(&self) -> u64 {
        #[expect(clippy::disallowed_methods, reason = "this is the entropy that is passed in everywhere else")]
        let mut generator = rand::rng();
        generator.next_u64()
    }
}

/// Where data lives unless somebody says otherwise: `$XDG_DATA_HOME/atta` or `~/.local/share/atta`.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    let absolute = |value: OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    std::env::var_os("XDG_DATA_HOME")
        .and_then(absolute)
        .or_else(|| std::env::var_os("HOME").and_then(absolute).map(|home| home.join(".local/share")))
        .map(|base| base.join("atta"))
}

/// Keeps this process, and the shims that are forked from it, from ever leaving a core dump: secrets pass through its
/// memory. Programs that it starts decide for themselves.
pub(crate) fn leave_no_core_dump() {
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a crash of this process may leave its memory in a core dump");
    }
}

/// Lets this process open as many files and connections as it may: many systems say 1 024 and mean more. The launcher is
/// forked before, so tasks keep the limit that they were given: programs that use `select` break above 1 024.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, ?limit, "the limit of open files stays as it is");
    }
}

/// The variable with the address of the database, which may have a password. It is never passed on to a task.
pub(crate) const DATABASE_URL: &str = "ATTA_DATABASE_URL";

/// The variable with the keys of secrets themselves. It is never passed on to a task.
pub(crate) const SECRETS_KEY: &str = "ATTA_SECRETS_KEY";

/// The variable with an API token itself. It is never passed on to a task.
pub(crate) const TOKEN: &str = "ATTA_TOKEN";

/// The variable with the name of its file.
const TOKEN_FILE: &str = "ATTA_TOKEN_FILE";

/// An environment variable that is text.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).and_then(|value| value.into_string().ok())
}

/// The names of the variables by which this program is set.
pub(crate) fn own_variables() -> Vec<OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| name.as_encoded_bytes().starts_with(b"ATTA_")).collect()
}

/// What tasks may be given of this process's environment: nothing that opens doors.
pub(crate) fn environment_of_tasks() -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| ![SECRETS_KEY, TOKEN, TOKEN_FILE, DATABASE_URL].iter().any(|kept| name == kept))
        .collect()
}

/// The machine's name; empty when it has none.
pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// The directories in which programs are looked for.
pub(crate) fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Who runs this command, by the environment or else by the list of users.
pub(crate) fn user_name() -> Option<String> {
    let named = ["USER", "LOGNAME"].into_iter().filter_map(std::env::var_os).find(|name| !name.is_empty());
    if let Some(name) = named {
        return name.into_string().ok();
    }
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

/// How many attempts run at once unless somebody says otherwise: one per processor.
pub(crate) fn default_slots() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}
