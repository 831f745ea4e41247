//! Many ants on one queen. They speak the real protocol over HTTP, and their attempts do nothing.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use atta_core::engine::AttemptResult;
use atta_core::protocol::ant::{
    Assignment, AttemptReport, Heard, HeldAttempt, Orders, PROTOCOL, PROTOCOL_HEADER, PollRequest, Report, ReportBatch,
    ReportBody, Roster,
};
use atta_core::protocol::{AntId, AttemptId};
use atta_core::time::UnixMillis;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::figure::{Reporter, percentile};
use crate::recovery::until;
use crate::server::Server;
use crate::usage::Usage;

const ANTS: u32 = 1_000;
const SLOTS: u32 = 10;
const HELD: usize = 10_000;
const SAMPLES: usize = 2_000;
/// Between two submits.
const PACE: Duration = Duration::from_millis(10);
const SECONDS: f64 = 20.0;

/// 1 000 ants with 10 slots each: what they cost when nothing happens, with all slots taken, and how soon work reaches one.
pub(crate) async fn crowd(atta: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    let server = Server::start_with(atta, &["--slots", "0"]).await?;
    server.define("job_type: bench-one\ntasks:\n  - {task_type: one, script: [\"true\"]}\n".to_owned()).await?;
    let mut wide = String::from("job_type: bench-hold\ntasks:\n");
    for number in 0..HELD / 10 {
        use std::fmt::Write as _;
        let _ = writeln!(wide, "  - {{task_type: t{number}, script: [\"true\"]}}");
    }
    server.define(wide).await?;
    let (hold, holding) = watch::channel(false);
    let seen: Seen = Arc::default();
    let mut ants = JoinSet::new();
    for number in 0..ANTS {
        let ant = CrowdAnt::new(number, &server, Arc::clone(&seen), holding.clone());
        ants.spawn(async {
            let Err(error) = ant.live().await;
            eprintln!("crowd: an ant has ended: {error:#}");
        });
    }
    until("all ants are there", || async { Ok(server.metric_of_ants("state", "LIVE").await? >= ANTS as usize) })
        .await?;
    cost(&server, reporter, "crowd_1000_ants_idle").await?;

    let mut submitted = HashMap::new();
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let pid = server.pid()?;
    let (before, began) = (Usage::of_process(pid)?, Instant::now());
    for _ in 0..SAMPLES {
        pace.tick().await;
        let start = Instant::now();
        submitted.insert(server.submit("bench-one").await?, start);
    }
    until("all work is given out", || async { Ok(lock(&seen).len() >= SAMPLES) }).await?;
    let millis = Usage::of_process(pid)?.cpu_millis_since(&before);
    let took = began.elapsed().as_secs_f64();
    let mut latencies = Vec::new();
    for (job, at) in lock(&seen).drain() {
        let start = submitted.get(&job).context("work that nobody submitted")?;
        latencies.push(at.duration_since(*start).as_secs_f64() * 1000.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "2 000 is exact")]
    let samples = SAMPLES as f64;
    reporter.figure("crowd_submit_to_ant_p50", percentile(&mut latencies, 0.5), "ms", None);
    reporter.figure("crowd_submit_to_ant_p99", percentile(&mut latencies, 0.99), "ms", None);
    reporter.figure("crowd_job_rate", samples / took, "jobs/s", None);
    reporter.figure("crowd_cpu_per_job", millis / samples, "ms", None);

    hold.send(true)?;
    let start = Instant::now();
    for _ in 0..10 {
        server.submit("bench-hold").await?;
    }
    until("all slots are taken", || async { Ok(server.metric_of_ants("used", "").await? >= HELD) }).await?;
    reporter.figure("crowd_10000_attempts_given_out", start.elapsed().as_secs_f64(), "s", None);
    cost(&server, reporter, "crowd_10000_attempts_held").await?;
    ants.shutdown().await;
    server.stop().await
}

/// What the server uses while the crowd only breathes.
async fn cost(server: &Server, reporter: &Reporter, name: &str) -> anyhow::Result<()> {
    let pid = server.pid()?;
    let before = Usage::of_process(pid)?;
    tokio::time::sleep(Duration::from_secs_f64(SECONDS)).await;
    let after = Usage::of_process(pid)?;
    reporter.figure(&format!("{name}_cpu"), after.cpu_millis_since(&before) / SECONDS, "ms/s", None);
    reporter.figure(&format!("{name}_rss"), after.rss_kib / 1024.0, "MiB", None);
    Ok(())
}

impl Server {
    /// How many ants are in a state, or how many attempts all of them have.
    async fn metric_of_ants(&self, field: &str, value: &str) -> anyhow::Result<usize> {
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let page = self.get(&format!("/api/v1/ants?limit=200{cursor}")).await?;
            for ant in page["items"].as_array().context("the page has no items")? {
                count += match value {
                    "" => usize::try_from(ant[field].as_u64().unwrap_or(0))?,
                    value => usize::from(ant[field] == value),
                };
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(count),
            }
        }
    }
}

/// When the work of which job reached an ant.
type Seen = Arc<Mutex<HashMap<String, Instant>>>;

fn lock(seen: &Seen) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
    seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An ant whose attempts end at once, or never.
struct CrowdAnt {
    id: AntId,
    client: reqwest::Client,
    url: String,
    epoch: u64,
    heard: BTreeSet<u64>,
    has: HashMap<AttemptId, u64>,
    seen: Seen,
    hold: watch::Receiver<bool>,
}

impl CrowdAnt {
    fn new(number: u32, server: &Server, seen: Seen, hold: watch::Receiver<bool>) -> Self {
        Self {
            id: AntId(format!("crowd-{number}")),
            client: server.client.clone(),
            url: server.url.clone(),
            epoch: 0,
            heard: BTreeSet::new(),
            has: HashMap::new(),
            seen,
            hold,
        }
    }

    async fn live(mut self) -> anyhow::Result<std::convert::Infallible> {
        loop {
            let poll = PollRequest {
                ant: self.id.clone(),
                session: 1,
                directory: None,
                slots: SLOTS,
                free_slots: SLOTS.saturating_sub(u32::try_from(self.has.len())?),
                tags: Vec::new(),
                methods: Vec::new(),
                workspaces: Vec::new(),
                roster: Roster {
                    held: self
                        .has
                        .iter()
                        .map(|(id, token)| HeldAttempt { attempt_id: id.clone(), token: *token })
                        .collect(),
                    lost: Vec::new(),
                },
                heard: self.heard(),
                typed: Vec::new(),
                condition: None,
            };
            // A third of the lease, as the real ant, which breathes in between.
            let mut orders = self.say("poll?wait=10", &poll).await?;
            while let Some(reports) = self.obey(orders) {
                let batch = ReportBatch { ant: self.id.clone(), session: 1, heard: self.heard(), reports };
                orders = self.say("report", &batch).await?;
            }
        }
    }

    fn heard(&self) -> Heard {
        let upto = (1..u64::MAX).take_while(|serial| self.heard.contains(serial)).last().unwrap_or(0);
        Heard { epoch: self.epoch, upto, also: self.heard.iter().copied().filter(|serial| *serial > upto).collect() }
    }

    /// Takes what it is given; returns what there is to report.
    fn obey(&mut self, orders: Orders) -> Option<Vec<Report>> {
        if orders.epoch != self.epoch {
            self.epoch = orders.epoch;
            self.heard.clear();
        }
        if orders.serial == 0 || !self.heard.insert(orders.serial) {
            return None;
        }
        let hold = *self.hold.borrow();
        let mut reports = Vec::new();
        for assignment in orders.assignments {
            if hold {
                self.has.insert(assignment.attempt_id, assignment.token);
                continue;
            }
            lock(&self.seen).insert(assignment.job_id.0.clone(), Instant::now());
            reports.extend(told(&assignment));
        }
        (!reports.is_empty()).then_some(reports)
    }

    async fn say(&self, path: &str, message: &impl Serialize) -> anyhow::Result<Orders> {
        let url = format!("{}/api/v1/ant/{path}", self.url);
        loop {
            let answer = self.client.post(&url).header(PROTOCOL_HEADER, PROTOCOL).json(message).send().await?;
            let status = answer.status();
            let text = answer.text().await?;
            if status.as_u16() == 503 {
                // The queen has too much to do: said again, as a real ant does.
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            ensure!(status.is_success(), "the ant was refused ({status}): {text}");
            return Ok(serde_json::from_str(&text)?);
        }
    }
}

/// It began and ended.
fn told(assignment: &Assignment) -> [Report; 2] {
    let report = |sequence, body| Report {
        attempt_id: assignment.attempt_id.clone(),
        token: assignment.token,
        sequence,
        at: UnixMillis(0),
        body,
    };
    let end = AttemptReport {
        result: AttemptResult::Exit(0),
        failure: None,
        outputs: indexmap::IndexMap::new(),
        artifacts: Vec::new(),
        warnings: Vec::new(),
        log_bytes: 0,
        retry_after: None,
        agent: None,
    };
    [report(1, ReportBody::Started { isolation: "none".to_owned() }), report(2, ReportBody::Finished(Box::new(end)))]
}
