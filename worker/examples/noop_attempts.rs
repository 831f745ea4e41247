//! Measures what an attempt costs beside its program: 1 000 attempts of `true` in two slots, with a queen that only
//! hands out work, against `xargs -P 2 -n 1 sh -c true`. Prints one JSON line.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atta_core::definition::{InheritEnv, Program};
use atta_core::protocol::ant::GivenSecrets;
use atta_core::protocol::ant::{
    Action, Assignment, LogChunk, Orders, PollRequest, RenderedScript, ReportBatch, ReportBody,
};
use atta_core::protocol::{AntId, AttemptId, Digest, JobId};
use atta_core::time::{Clock, Entropy, UnixMillis};
use atta_worker::{Ant, AntConfig, Launcher, LinkError, QueenLink};
use tokio::sync::Notify;

const ATTEMPTS: u64 = 1000;
const SLOTS: u64 = 2;

struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the edge of the program")]
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(0))
    }
}

struct Counter(AtomicU64);

impl Entropy for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Default)]
struct Hands {
    given: Mutex<u64>,
    done: AtomicU64,
    finished: Notify,
}

impl Hands {
    fn give(&self, count: u64) -> Orders {
        let Ok(mut given) = self.given.lock() else { return Orders::default() };
        let upto = (*given + count).min(ATTEMPTS);
        let assignments = (*given..upto).map(assignment).collect();
        *given = upto;
        Orders { assignments, ..Orders::default() }
    }
}

fn assignment(number: u64) -> Assignment {
    let job = JobId("job_bench".to_owned());
    Assignment {
        attempt_id: AttemptId(format!("{job}-{number}")),
        token: 1,
        lease: atta_core::protocol::ant::DEFAULT_LEASE,
        job_id: job,
        job_type: "bench".to_owned(),
        task: "noop".to_owned(),
        action: Action::Shell {
            program: Program::Shell(vec!["sh".to_owned(), "-eu".to_owned()]),
            script: RenderedScript { preamble: String::new(), text: "true\n".to_owned() },
            after_script: None,
            tty: false,
        },
        secrets: GivenSecrets::default(),
        environment: indexmap::IndexMap::default(),
        inherit_env: InheritEnv::None,
        timeout: Duration::from_hours(1),
        idle_timeout: None,
        kill_grace: Duration::from_secs(10),
        inputs: Vec::new(),
        artifacts: None,
        workspace: None,
        cache: None,
        outputs: Vec::new(),
    }
}

#[async_trait::async_trait]
impl QueenLink for Hands {
    async fn poll(&self, _: PollRequest, wait: Duration) -> Result<Orders, LinkError> {
        let first = self.give(if self.done.load(Ordering::SeqCst) == 0 { SLOTS } else { 0 });
        if first.assignments.is_empty() {
            tokio::time::sleep(wait).await;
        }
        Ok(first)
    }

    async fn report(&self, batch: ReportBatch) -> Result<Orders, LinkError> {
        let ended = batch.reports.iter().filter(|r| matches!(r.body, ReportBody::Finished(_))).count() as u64;
        if self.done.fetch_add(ended, Ordering::SeqCst) + ended >= ATTEMPTS {
            self.finished.notify_one();
        }
        Ok(self.give(ended))
    }

    async fn heartbeat(&self, _: atta_core::protocol::ant::Heartbeat) -> Result<Orders, LinkError> {
        Ok(Orders::default())
    }

    async fn append_log(&self, _: LogChunk) -> Result<(), LinkError> {
        Ok(())
    }

    async fn put_blob(&self, _: &Digest, _: u64, _: &Path) -> Result<(), LinkError> {
        Ok(())
    }

    async fn get_blob(&self, digest: &Digest, _: &Path) -> Result<(), LinkError> {
        Err(LinkError::Blob { digest: digest.clone(), detail: "there are none".to_owned() })
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let launcher = Launcher::fork()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let directory = tempfile::tempdir()?;
    let mut xargs = Duration::ZERO;
    let mut ours = Duration::ZERO;
    let hands = Arc::new(Hands::default());
    let isolation = runtime.block_on(async {
        let start = Instant::now();
        let status =
            Command::new("sh").args(["-c", "seq 1000 | xargs -P 2 -n 1 sh -c true"]).stdin(Stdio::null()).status()?;
        anyhow::ensure!(status.success(), "xargs failed");
        xargs = start.elapsed();

        let mut config = AntConfig::new(
            AntId("bench".to_owned()),
            directory.path().to_owned(),
            2,
            Arc::new(WallClock),
            Arc::new(Counter(AtomicU64::new(1))),
        );
        config.environment = std::env::vars_os().collect();
        config.isolation = match std::env::args().nth(1).as_deref() {
            Some("subreaper") => Some(atta_worker::IsolationLevel::Subreaper),
            Some("freezer") => Some(atta_worker::IsolationLevel::Freezer),
            _ => None,
        };
        let start = Instant::now();
        let ant = Ant::start(config, launcher, hands.clone()).await?;
        hands.finished.notified().await;
        ours = start.elapsed();
        let isolation = ant.isolation().as_str();
        ant.drain().await;
        Ok(isolation)
    })?;
    println!(
        "{{\"figure\":\"worker_noop_attempts\",\"attempts\":{ATTEMPTS},\"isolation\":\"{isolation}\",\"xargs_s\":{:.3},\"ant_s\":{:.3},\"ratio\":{:.2}}}",
        xargs.as_secs_f64(),
        ours.as_secs_f64(),
        ours.as_secs_f64() / xargs.as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}
