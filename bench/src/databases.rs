//! The same work on SQLite and on PostgreSQL.

#[path = "../../server/tests/it/cluster.rs"]
#[expect(clippy::unwrap_used, reason = "shared with tests; a benchmark without its database has nothing to say either")]
pub(crate) mod cluster;

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use self::cluster::Cluster;
use crate::figure::Reporter;
use crate::server::{Server, seconds_between};
use crate::throughput::definition;

const TASKS: usize = 1_000;
const CHAIN: usize = 100;
const WAL_SYNCS: &str = "SELECT wal_sync FROM pg_stat_wal";

/// 1 000 tasks side by side and 100 one after another, on both; commands per transaction of both.
pub(crate) async fn databases(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    // On this thread: the server is killed when the thread ends that started it.
    let database = Cluster::own().database();
    let url = database.url();
    let mut figures = Vec::new();
    let synced_before: f64 = database.sql(WAL_SYNCS).trim().parse()?;
    for arguments in [vec![], vec!["--database", url.as_str()]] {
        let server = Server::start_with(atta, &arguments).await?;
        server.define(definition("bench-wide", TASKS, false)).await?;
        server.define(definition("bench-chain", CHAIN, true)).await?;
        let mut of_this = Vec::new();
        for job_type in ["bench-wide", "bench-chain"] {
            let job = server.submit(job_type).await?;
            let row = server.finished(&job).await?;
            of_this.push(seconds_between(&row, "created_at", "finished_at")?);
        }
        let commands = server.metric("atta_batch_commands_sum").await?;
        let transactions = server.metric("atta_batch_commands_count").await?;
        of_this.extend([commands / transactions, transactions]);
        server.stop().await?;
        figures.push(of_this);
    }
    // The statistics of a session are there when it has ended.
    let synced: f64 = database.sql(WAL_SYNCS).trim().parse::<f64>()? - synced_before;
    drop(database);
    let [file, server] = &figures[..] else { anyhow::bail!("there are two databases") };
    reporter.against("postgres_wide_1000", server[0], "s", "SQLite", file[0], None);
    reporter.against("postgres_chain_100", server[1], "s", "SQLite", file[1], None);
    reporter.figure("sqlite_commands_per_transaction", file[2], "commands", None);
    reporter.figure("postgres_commands_per_transaction", server[2], "commands", None);
    reporter.figure("postgres_transactions_per_fsync", server[3] / synced, "transactions", None);
    fsyncs(atta, reporter).await
}

/// 1 000 tasks side by side while strace counts the server's fsyncs: apart from the times above, because that is slow.
async fn fsyncs(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    let server = Server::start(atta).await?;
    server.define(definition("bench-wide", TASKS, false)).await?;
    let calls = server.path()?.join("calls");
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=fsync,fdatasync", "-p", &server.pid()?.to_string(), "-o"])
        .arg(&calls)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("strace is needed to count fsyncs")?;
    let mut said = BufReader::new(strace.stderr.take().context("strace has no output")?).lines();
    let attached = said.next_line().await?.unwrap_or_default();
    ensure!(attached.contains("attached"), "strace: {attached}");
    let before = server.metric("atta_batch_commands_count").await?;
    let job = server.submit("bench-wide").await?;
    server.finished(&job).await?;
    let transactions = server.metric("atta_batch_commands_count").await? - before;
    let text = std::fs::read_to_string(&calls)?;
    let (database, others): (Vec<&str>, Vec<&str>) =
        text.lines().filter(|line| line.contains("sync(")).partition(|line| line.contains("/atta.db"));
    ensure!(!database.is_empty(), "strace saw no fsync of the database: {text}");
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let [synced, other] = [database.len() as f64, others.len() as f64];
    reporter.figure("sqlite_transactions_per_fsync", transactions / synced, "transactions", None);
    #[expect(clippy::cast_precision_loss, reason = "1 000 is exact")]
    reporter.figure("sqlite_tasks_per_fsync", TASKS as f64 / synced, "tasks", None);
    reporter.figure("fsyncs_of_other_files", other, "fsyncs", None);
    server.stop().await?;
    strace.wait().await?;
    Ok(())
}
