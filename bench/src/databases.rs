//! The same work on SQLite and on PostgreSQL.

#[path = "../../server/tests/it/cluster.rs"]
#[expect(clippy::unwrap_used, reason = "shared with tests; a benchmark without its database has nothing to say either")]
mod cluster;

use std::path::Path;

use self::cluster::Cluster;
use crate::figure::Reporter;
use crate::server::{Server, seconds_between};
use crate::throughput::definition;

const TASKS: usize = 1_000;
const CHAIN: usize = 100;

/// 1 000 tasks side by side and 100 one after another, on both; commands per transaction of both.
pub(crate) async fn databases(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    // On this thread: the server is killed when the thread ends that started it.
    let database = Cluster::own().database();
    let url = database.url();
    let mut figures = Vec::new();
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
        of_this.push(commands / server.metric("atta_batch_commands_count").await?);
        server.stop().await?;
        figures.push(of_this);
    }
    drop(database);
    let [file, server] = &figures[..] else { anyhow::bail!("there are two databases") };
    reporter.against("postgres_wide_1000", server[0], "s", "SQLite", file[0], None);
    reporter.against("postgres_chain_100", server[1], "s", "SQLite", file[1], None);
    reporter.figure("sqlite_commands_per_transaction", file[2], "commands", None);
    reporter.figure("postgres_commands_per_transaction", server[2], "commands", None);
    Ok(())
}
