//! A server that has nothing to do, and one that starts.

use std::path::Path;
use std::time::Duration;

use crate::figure::{Reporter, percentile};
use crate::server::Server;
use crate::throughput::definition;
use crate::usage::Usage;

/// From the start of the process to ready, with a new data directory.
pub(crate) async fn ready(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    let mut samples = Vec::new();
    for _ in 0..10 {
        let server = Server::start(atta).await?;
        samples.push(server.ready_after.as_secs_f64() * 1000.0);
        server.stop().await?;
    }
    reporter.figure("start_to_ready_p50", percentile(&mut samples, 0.5), "ms", Some("<= 300 ms"));
    reporter.figure("start_to_ready_max", percentile(&mut samples, 1.0), "ms", None);
    Ok(())
}

/// What an idle server costs over ten seconds: the server's process and its children (the launcher).
pub(crate) async fn idle(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    const SECONDS: f64 = 10.0;
    let server = Server::start(atta).await?;
    // It has done something before, so that everything that is started lazily is there.
    server.define(definition("bench-warm", 100, false)).await?;
    let job = server.submit("bench-warm").await?;
    server.finished(&job).await?;
    // Threads that were started for that work end after ten idle seconds.
    tokio::time::sleep(Duration::from_secs(12)).await;

    let pid = server.pid()?;
    let before = Usage::read(pid)?;
    tokio::time::sleep(Duration::from_secs_f64(SECONDS)).await;
    let after = Usage::read(pid)?;
    reporter.figure("idle_rss", after.rss_kib / 1024.0, "MiB", Some("<= 40 MB"));
    reporter.figure("idle_cpu", after.cpu_millis_since(&before) / SECONDS, "ms/s", None);
    reporter.figure(
        "idle_context_switches",
        after.switches_since(&before) / SECONDS,
        "1/s",
        Some("nothing beyond timers"),
    );
    server.stop().await
}
