//! `atta doctor`: whether this machine has what Atta needs, and what to do where it has not.

mod certificate;
mod data;
mod remote;

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atta_core::protocol::api::{Problem, SecretsStatus};
use atta_core::time::{Clock, UnixMillis};
use atta_server::store::PostgresUrl;
use owo_colors::OwoColorize;
use reqwest::Method;
use serde::Serialize;

use crate::ambient;
use crate::args::DoctorArgs;
use crate::client::Server;
use crate::exit::{CommandResult, Exit};
use crate::output;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// All right.
    Ok,
    /// Something works less well, or is not there and not needed for everything.
    Warning,
    /// Atta cannot work like this.
    Failed,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    /// What was found.
    detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Ok, detail: detail.into(), advice: None }
    }

    fn warning(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Warning, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn failed(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Failed, detail: detail.into(), advice: Some(advice.into()) }
    }
}

/// The command lines of coding agents that workflows may name.
pub(crate) const AGENTS: [&str; 8] =
    ["claude", "codex", "gemini", "opencode", "goose", "copilot", "cursor-agent", "aider"];

/// Below this much free space jobs that keep artifacts soon fail.
const LITTLE_SPACE: u64 = 1 << 30;

/// A database that takes longer for the smallest question makes every batch slow.
const SLOW_DATABASE: Duration = Duration::from_millis(10);

/// 2024-01-01: a clock before that is not set.
const OLDEST_SENSIBLE: UnixMillis = UnixMillis(1_704_067_200_000);

/// Runs all checks; exits with 1 when one failed.
pub(crate) async fn doctor(args: &DoctorArgs, clock: &dyn Clock) -> CommandResult {
    let path = ambient::search_path();
    let mut checks = vec![];
    match args.data_dir.clone().or_else(ambient::default_data_dir) {
        Some(dir) => {
            checks.push(data_directory(&dir));
            checks.push(space(&dir));
            if let Some(url) = &args.database {
                checks.push(postgres(url.reveal()).await);
            } else {
                checks.push(database(&dir));
                checks.extend(data::integrity(&dir).await);
            }
            checks.extend(data::locks(&dir));
            checks.extend(data::orphans(&dir));
            checks.extend(data::key_files(&dir, args.server.token.token_file.as_deref()));
        }
        None => checks.push(Check::failed(
            "data directory",
            "neither $ATTA_DATA_DIR nor $HOME is set",
            "Give --data-dir DIR or set ATTA_DATA_DIR.",
        )),
    }
    checks.push(isolation());
    checks.push(bash(&path));
    checks.push(git(&path));
    checks.push(containers(&path));
    checks.push(agents(&path));
    checks.push(clock_check(clock));
    checks.push(server(args).await);
    checks.extend(remote::checks(&args.server, clock).await);
    checks.extend(secrets(args).await);
    let exit = if checks.iter().any(|check| check.outcome == Outcome::Failed) { Exit::Failed } else { Exit::Success };
    if args.json {
        output::print_json(&serde_json::json!({ "ok": exit == Exit::Success, "checks": checks }))?;
    } else {
        output::print(&human(&checks))?;
    }
    Ok(exit)
}

fn human(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let mark = match check.outcome {
            Outcome::Ok => "✓".green().to_string(),
            Outcome::Warning => "!".yellow().to_string(),
            Outcome::Failed => "✗".red().to_string(),
        };
        let _ = writeln!(text, "{mark} {:width$}  {}", check.name, check.detail);
        if let Some(advice) = &check.advice {
            let _ = writeln!(text, "  {:width$}  {}", "", advice.dimmed());
        }
    }
    text
}

/// The nearest directory above (or at) `dir` that exists.
fn existing(dir: &Path) -> PathBuf {
    dir.ancestors().find(|ancestor| ancestor.exists()).map_or_else(
        || PathBuf::from("."),
        |found| {
            if found.as_os_str().is_empty() { PathBuf::from(".") } else { found.to_path_buf() }
        },
    )
}

fn data_directory(dir: &Path) -> Check {
    let name = "data directory";
    let found = existing(dir);
    if !found.is_dir() {
        return Check::failed(
            name,
            format!("{} is no directory", found.display()),
            "Choose another one with --data-dir DIR.",
        );
    }
    // Only trying tells: permission bits say nothing about read-only mounts and quotas. The file has no name.
    match tempfile::tempfile_in(&found) {
        Ok(_) if found == dir => Check::ok(name, format!("{} can be written", dir.display())),
        Ok(_) => Check::ok(name, format!("{} can be created", dir.display())),
        Err(error) => Check::failed(
            name,
            format!("{} cannot be written: {error}", found.display()),
            "Change its owner or mode, or choose another one with --data-dir DIR.",
        ),
    }
}

fn space(dir: &Path) -> Check {
    let name = "disk space";
    match rustix::fs::statvfs(existing(dir)) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let detail = format!("{} free, {} inodes free", output::size(free), stat.f_favail);
            if free < LITTLE_SPACE || (stat.f_files > 0 && stat.f_favail < 10_000) {
                Check::warning(name, detail, "Free some space before you run jobs that keep artifacts.")
            } else {
                Check::ok(name, detail)
            }
        }
        Err(error) => Check::warning(name, format!("not known: {error}"), "Check it with `df`."),
    }
}

/// A database of another process: whether it answers, and how fast.
async fn postgres(url: &str) -> Check {
    let name = "database";
    let url: PostgresUrl = match url.parse() {
        Ok(url) => url,
        Err(error) => return Check::failed(name, format!("no address of a database: {error}"), "Correct --database."),
    };
    match url.ask().await {
        Ok(report) => {
            let active = if report.active { "a server is active on it" } else { "no server is active on it" };
            let millis = report.latency.as_secs_f64() * 1_000.0;
            let detail = format!("{url}: PostgreSQL {}, answers in {millis:.2} ms, {active}", report.version);
            if report.latency < SLOW_DATABASE {
                Check::ok(name, detail)
            } else {
                Check::warning(name, detail, "Every batch takes several questions: move the server nearer to it.")
            }
        }
        Err(error) => Check::failed(name, format!("{url}: {error}"), "Start it, or correct its address or password."),
    }
}

fn database(dir: &Path) -> Check {
    let name = "database";
    let file = dir.join("atta.db");
    match fs::File::open(&file).and_then(|mut file| {
        let mut head = [0_u8; 16];
        std::io::Read::read(&mut file, &mut head).map(|read| (read, head))
    }) {
        Ok((16, head)) if &head == b"SQLite format 3\0" => {
            Check::ok(name, format!("{} is an SQLite database", file.display()))
        }
        Ok((0, _)) => Check::ok(name, format!("{} is empty", file.display())),
        Ok(_) => Check::failed(
            name,
            format!("{} is no SQLite database", file.display()),
            "Restore a backup, or move the file away to begin anew.",
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Check::ok(name, "will be created by `atta serve`")
        }
        Err(error) => {
            Check::failed(name, format!("{} cannot be read: {error}", file.display()), "Change its owner or mode.")
        }
    }
}

fn isolation() -> Check {
    let name = "isolation";
    match atta_worker::isolation_level() {
        atta_worker::IsolationLevel::CgroupKill => Check::ok(name, "cgroup.kill: every task has its own cgroup"),
        level @ atta_worker::IsolationLevel::Freezer => {
            Check::ok(name, format!("{}: every task has its own freezer", level.as_str()))
        }
        level @ atta_worker::IsolationLevel::Subreaper => Check::warning(
            name,
            format!("{}: no cgroup can be made here", level.as_str()),
            "Process trees are still killed completely, but less surely; run the server where cgroup v2 is delegated to it.",
        ),
    }
}

fn bash(path: &[PathBuf]) -> Check {
    find("bash", path).map_or_else(
        || Check::warning("bash", "not found", "Scripts run in `sh -eu`; install bash to have `pipefail`."),
        |found| Check::ok("bash", found.display().to_string()),
    )
}

fn git(path: &[PathBuf]) -> Check {
    find("git", path).map_or_else(
        || Check::warning("git", "not found", "Install git: the coding workflows need it."),
        |found| Check::ok("git", found.display().to_string()),
    )
}

/// Nothing of Atta needs one; scripts may.
fn containers(path: &[PathBuf]) -> Check {
    let found: Vec<&str> = ["docker", "podman"].into_iter().filter(|engine| find(engine, path).is_some()).collect();
    let none = "none; only scripts that call one need it".to_owned();
    Check::ok("container engine", if found.is_empty() { none } else { found.join(", ") })
}

fn agents(path: &[PathBuf]) -> Check {
    let found: Vec<&str> = AGENTS.into_iter().filter(|agent| find(agent, path).is_some()).collect();
    if found.is_empty() {
        Check::warning(
            "agents",
            format!("none of {} found", AGENTS.join(", ")),
            "Install one to let agents work; the demo runs without.",
        )
    } else {
        Check::ok("agents", found.join(", "))
    }
}

fn clock_check(clock: &dyn Clock) -> Check {
    let now = clock.now();
    if now < OLDEST_SENSIBLE {
        Check::failed(
            "clock",
            format!("says {}", now.to_rfc3339()),
            "Set the clock: schedules and job ids depend on it.",
        )
    } else {
        Check::ok("clock", now.to_rfc3339())
    }
}

async fn server(args: &DoctorArgs) -> Check {
    let name = "server";
    let server = match Server::new(&args.server) {
        Ok(server) => server,
        Err(failure) => {
            return Check::failed(name, failure.message, failure.help.map(String::from).unwrap_or_default());
        }
    };
    let request = server.request(Method::GET, &["health", "ready"], &[]).timeout(Duration::from_secs(5));
    match request.send().await {
        Ok(response) if response.status().is_success() => Check::ok(name, format!("{} is ready", server.url())),
        Ok(response) => {
            let status = response.status();
            let detail = response.json::<Problem>().await.map(|problem| problem.detail).unwrap_or_default();
            Check::failed(
                name,
                format!("{} answers {status} {detail}", server.url()).trim_end().to_owned(),
                "Look at the server's log on its stderr.",
            )
        }
        // Something else may listen there.
        Err(error) if !error.is_connect() => Check::failed(
            name,
            format!("what listens at {} does not answer like a server", server.url()),
            "Choose another port with --listen and --server, or end what listens there.",
        ),
        Err(_) => Check::warning(
            name,
            format!("nothing answers at {}", server.url()),
            "Start one with `atta serve`; `atta run FILE` needs none.",
        ),
    }
}

/// Whether the server can open its secrets; nothing when it does not answer.
async fn secrets(args: &DoctorArgs) -> Option<Check> {
    let name = "secrets";
    let server = Server::new(&args.server).ok()?;
    let request = server.get(&["secrets", "status"], &[]).timeout(Duration::from_secs(5));
    let status: SecretsStatus = server.json(request).await.ok()?;
    Some(match status.problem {
        Some(problem) => {
            Check::failed(name, problem, "Tasks that need a secret fail until then; nothing is overwritten.")
        }
        None => Check::ok(name, format!("{} stored, {} key(s)", status.secrets, status.keys)),
    })
}

/// Programs that the workflows call.
pub(crate) const PROGRAMS: [&str; 3] = ["bash", "git", "jq"];

/// Those of them that are not there.
pub(crate) fn missing_programs(path: &[PathBuf]) -> Vec<&'static str> {
    PROGRAMS.into_iter().filter(|name| find(name, path).is_none()).collect()
}

/// The first executable file of that name.
pub(crate) fn find(program: &str, path: &[PathBuf]) -> Option<PathBuf> {
    path.iter().map(|dir| dir.join(program)).find(|file| {
        fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}
