//! A server that has nothing to do, and one that starts.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::figure::{Reporter, percentile};
use crate::server::Server;
use crate::throughput::definition;

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
    reporter.figure(
        "idle_cpu",
        (after.cpu_ticks - before.cpu_ticks) * 1000.0 / ticks_per_second() / SECONDS,
        "ms/s",
        None,
    );
    reporter.figure(
        "idle_context_switches",
        after.switches_since(&before) / SECONDS,
        "1/s",
        Some("nothing beyond timers"),
    );
    server.stop().await
}

#[derive(Debug, Default)]
struct Usage {
    rss_kib: f64,
    cpu_ticks: f64,
    /// Voluntary context switches by thread.
    switches: HashMap<String, f64>,
}

impl Usage {
    /// The sum over a process, its threads and its descendants.
    fn read(pid: u32) -> anyhow::Result<Self> {
        let mut usage = Self::default();
        let mut pending = vec![pid];
        while let Some(pid) = pending.pop() {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            usage.rss_kib += field(&status, "VmRSS:");
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The name may hold anything; the fields follow its closing parenthesis. utime and stime are fields 14 and 15.
            let rest = stat.rsplit_once(')').context("malformed stat")?.1;
            usage.cpu_ticks +=
                rest.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum::<f64>();
            for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
                let path = thread?.path();
                let Ok(status) = std::fs::read_to_string(path.join("status")) else { continue };
                usage
                    .switches
                    .insert(field_text(&status, "Pid:").to_owned(), field(&status, "voluntary_ctxt_switches:"));
                let children = std::fs::read_to_string(path.join("children")).unwrap_or_default();
                pending.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
        }
        Ok(usage)
    }

    /// Switches of the threads that are there now; those of a thread that has ended meanwhile are not known.
    fn switches_since(&self, before: &Self) -> f64 {
        self.switches.iter().map(|(thread, count)| count - before.switches.get(thread).unwrap_or(&0.0)).sum()
    }
}

fn field(status: &str, name: &str) -> f64 {
    field_text(status, name).parse().unwrap_or(0.0)
}

fn field_text<'s>(status: &'s str, name: &str) -> &'s str {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default()
}

/// Linux reports processor time to programs in hundredths of a second on every platform that we build for.
fn ticks_per_second() -> f64 {
    100.0
}
