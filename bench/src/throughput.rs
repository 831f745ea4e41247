//! Many tasks: side by side, one after another, and one per job.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::figure::{Reporter, percentile};
use crate::server::{Server, seconds_between};
use crate::yardstick::xargs;

const WIDE_TASKS: usize = 1_000;
const CHAIN_TASKS: usize = 200;
const JOBS: usize = 500;

/// 1 000 independent tasks, fresh and after 10 000 attempts in the same data directory.
pub(crate) async fn wide(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    let server = Server::start(atta).await?;
    server.define(definition("bench-wide", WIDE_TASKS, false)).await?;
    wide_round(&server, reporter, "wide").await?;
    eprintln!("wide: filling the data directory up to 10 000 attempts");
    for _ in 0..8 {
        let job = server.submit("bench-wide").await?;
        server.finished(&job).await?;
    }
    wide_round(&server, reporter, "wide_after_10000_attempts").await?;
    server.stop().await
}

async fn wide_round(server: &Server, reporter: &Reporter, name: &str) -> anyhow::Result<()> {
    let before = xargs(WIDE_TASKS, 2)?;
    let job = server.submit("bench-wide").await?;
    let job = server.finished(&job).await?;
    let after = xargs(WIDE_TASKS, 2)?;
    let seconds = seconds_between(&job, "created_at", "finished_at")?;
    reporter.against(name, seconds, "s", "xargs -P 2 -n 1 sh -c true", f64::midpoint(before, after), Some("<= 3x"));
    Ok(())
}

/// 200 tasks, each after the other.
pub(crate) async fn chain(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    let server = Server::start(atta).await?;
    server.define(definition("bench-chain", CHAIN_TASKS, true)).await?;
    let yardstick = xargs(CHAIN_TASKS, 1)?;
    let mut samples = Vec::new();
    for _ in 0..3 {
        let job = server.submit("bench-chain").await?;
        let job = server.finished(&job).await?;
        samples.push(per_task(seconds_between(&job, "created_at", "finished_at")?));
    }
    let value = percentile(&mut samples, 0.5);
    reporter.against(
        "chain_per_task",
        value,
        "ms",
        "xargs -P 1 -n 1 sh -c true",
        per_task(yardstick),
        Some("<= 10 ms"),
    );
    server.stop().await
}

#[expect(clippy::cast_precision_loss, reason = "200 is exact")]
fn per_task(seconds: f64) -> f64 {
    seconds * 1000.0 / CHAIN_TASKS as f64
}

/// 500 jobs of one task through the API, eight connections at once.
pub(crate) async fn jobs(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    let server = Server::start(atta).await?;
    server.define(definition("bench-one", 1, false)).await?;
    let yardstick = xargs(JOBS, 2)?;
    let start = Instant::now();
    let mut latencies: Vec<f64> = stream::iter(0..JOBS)
        .map(|_| async {
            let start = Instant::now();
            server.submit("bench-one").await?;
            anyhow::Ok(start.elapsed().as_secs_f64() * 1000.0)
        })
        .buffer_unordered(8)
        .try_collect()
        .await?;
    let submitted = start.elapsed().as_secs_f64();
    while !server.jobs("state=PENDING&limit=1").await?.is_empty()
        || !server.jobs("state=RUNNING&limit=1").await?.is_empty()
    {
        ensure!(start.elapsed() < Duration::from_mins(5), "the jobs do not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    ensure!(server.jobs("state=FAILED&limit=1").await?.is_empty(), "a job failed");
    #[expect(clippy::cast_precision_loss, reason = "500 is exact")]
    let count = JOBS as f64;
    reporter.against("one_task_jobs", count / seconds, "jobs/s", "xargs -P 2 -n 1 sh -c true", count / yardstick, None);
    reporter.figure("submit_rate", count / submitted, "submits/s", None);
    reporter.figure("submit_latency_p50", percentile(&mut latencies, 0.5), "ms", None);
    reporter.figure("submit_latency_p99", percentile(&mut latencies, 0.99), "ms", None);
    server.stop().await
}

/// A definition with `count` tasks that do nothing.
pub(crate) fn definition(job_type: &str, count: usize, chained: bool) -> String {
    let mut yaml = format!("job_type: {job_type}\ntasks:\n");
    for number in 0..count {
        let _ = writeln!(yaml, "  - task_type: t{number}\n    shell: [sh, -eu]\n    script: [\"true\"]");
        if chained && number > 0 {
            let _ = writeln!(yaml, "    dependencies: [t{}]", number - 1);
        }
    }
    yaml
}
