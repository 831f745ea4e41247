//! A queen that is killed while another one stands by, on PostgreSQL.

use std::path::Path;
use std::time::Instant;

use crate::databases::cluster::Cluster;
use crate::figure::Reporter;
use crate::server::Server;

/// Kills the active one of two servers with `kill -9`, and looks when the other one has taken and done a job.
pub(crate) async fn takeover(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    // On this thread: the database is killed when the thread ends that started it.
    let database = Cluster::own().database();
    let url = database.url();
    let arguments = ["--database", url.as_str()];
    let active = Server::start_with(atta, &arguments).await?;
    active.define("job_type: bench-next\ntasks:\n  - {task_type: next, script: [\"true\"]}\n".to_owned()).await?;
    let second = active.stand_by(atta, &arguments).await?;

    let killed = Instant::now();
    let second = active.killed_before(second).await?;
    let job = second.submit("bench-next").await?;
    reporter.figure("takeover_ready", killed.elapsed().as_secs_f64(), "s", None);
    second.finished(&job).await?;
    reporter.figure("takeover_first_job_done", killed.elapsed().as_secs_f64(), "s", None);
    second.stop().await
}
