//! A long queue.

use std::path::Path;
use std::time::Instant;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::figure::{Reporter, percentile};
use crate::server::{Server, seconds_between};
use crate::usage::Usage;

const JOBS: usize = 100_000;
const SAMPLES: usize = 100;
const CONNECTIONS: usize = 64;

/// From submit to start of a job, with nothing else in the queue and behind 100 000 jobs that no ant can take.
pub(crate) async fn backlog(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    let server = Server::start(atta).await?;
    server.define("job_type: bench-one\ntasks:\n  - {task_type: one, script: [\"true\"]}\n".to_owned()).await?;
    let waits = "job_type: bench-waits\ntasks:\n  - {task_type: one, tags: [elsewhere], script: [\"true\"]}\n";
    server.define(waits.to_owned()).await?;
    // What is lazily made is there.
    dispatch_millis(&server).await?;
    let empty = dispatch_millis(&server).await?;
    let start = Instant::now();
    stream::iter(0..JOBS)
        .map(|_| server.submit("bench-waits"))
        .buffer_unordered(CONNECTIONS)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await?;
    #[expect(clippy::cast_precision_loss, reason = "100 000 is exact")]
    reporter.figure("backlog_submit_rate", JOBS as f64 / start.elapsed().as_secs_f64(), "submits/s", None);
    let full = dispatch_millis(&server).await?;
    reporter.against("backlog_100000_dispatch_p50", full, "ms", "the same with an empty queue", empty, Some("<= 1.5x"));
    reporter.figure("backlog_100000_rss", Usage::of_process(server.pid()?)?.rss_kib / 1024.0, "MiB", None);
    let killed = Instant::now();
    let server = server.killed_and_started(atta, &[]).await?;
    reporter.figure("backlog_100000_ready_after_kill", killed.elapsed().as_secs_f64(), "s", None);
    server.stop().await
}

/// The median from creation to start, by the server's own clock.
async fn dispatch_millis(server: &Server) -> anyhow::Result<f64> {
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let job = server.submit("bench-one").await?;
        let row = server.finished(&job).await?;
        samples.push(seconds_between(&row, "created_at", "finished_at")? * 1000.0);
    }
    Ok(percentile(&mut samples, 0.5))
}
