//! A queen that is killed while many attempts run.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::figure::Reporter;
use crate::server::Server;
use crate::usage::Usage;
use anyhow::{Context as _, ensure};

const RUNNING: usize = 1_000;
const LIMIT: Duration = Duration::from_mins(5);

/// Kills the server with `kill -9` while 1 000 commands run, starts it again, and looks what became of them.
pub(crate) async fn recovery(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    let slots = (RUNNING + 1).to_string();
    let arguments = ["--slots", slots.as_str()];
    let server = Server::start_with(atta, &arguments).await?;
    let gate = server.path()?.join("gate");
    let made = std::process::Command::new("mkfifo").arg(&gate).status()?;
    ensure!(made.success(), "mkfifo failed");
    // Each command waits, without doing anything, until somebody opens the other end.
    let mut yaml = String::from("job_type: bench-held\ndefaults: {shell: [sh, -eu]}\ntasks:\n");
    for number in 0..RUNNING {
        use std::fmt::Write as _;
        let _ = writeln!(yaml, "  - {{task_type: t{number}, script: [\"read -r line <'{}' || :\"]}}", gate.display());
    }
    server.define(yaml).await?;
    server.define("job_type: bench-next\ntasks:\n  - {task_type: next, script: [\"true\"]}\n".to_owned()).await?;

    let started = Instant::now();
    let held = server.submit("bench-held").await?;
    until("1 000 commands run", || async { Ok(running(&server, &held).await? >= RUNNING) }).await?;
    reporter.figure("held_1000_started", started.elapsed().as_secs_f64(), "s", None);
    let memory = Usage::of_process(server.pid()?)?.rss_kib / 1024.0;
    reporter.figure("held_1000_server_rss", memory, "MiB", None);

    let killed = Instant::now();
    let server = server.killed_and_started(atta, &arguments).await?;
    reporter.figure("recovery_1000_ready", killed.elapsed().as_secs_f64(), "s", None);
    let next = server.submit("bench-next").await?;
    server.finished(&next).await?;
    reporter.figure("recovery_1000_first_dispatch_done", killed.elapsed().as_secs_f64(), "s", None);

    // Writing needs a reader, and every reader ends when the last writer closes.
    let opened = Instant::now();
    let path = gate.clone();
    let opener = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(path));
    let writer = opener.await?.context("the gate does not open")?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(writer);
    server.finished(&held).await?;
    reporter.figure("held_1000_ended", opened.elapsed().as_secs_f64(), "s", None);
    let detail = server.get(&format!("/api/v1/jobs/{held}")).await?;
    let tasks = detail["tasks"].as_array().context("the job has no tasks")?;
    let once = tasks.iter().filter(|task| task["attempts"].as_u64() == Some(1)).count();
    #[expect(clippy::cast_precision_loss, reason = "1 000 is exact")]
    reporter.figure("recovery_1000_survived", once as f64, "attempts", Some("1 000: none is run twice"));
    server.stop().await
}

/// How many tasks of a job run.
async fn running(server: &Server, job: &str) -> anyhow::Result<usize> {
    let detail = server.get(&format!("/api/v1/jobs/{job}")).await?;
    let tasks = detail["tasks"].as_array().context("the job has no tasks")?;
    Ok(tasks.iter().filter(|task| task["state"] == "RUNNING").count())
}

/// Asks until it is so.
pub(crate) async fn until<F: Future<Output = anyhow::Result<bool>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while !ask().await? {
        ensure!(start.elapsed() < LIMIT, "it takes too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
