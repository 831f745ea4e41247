//! A queen of the tests, and what they ask of it.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atta_core::definition::{InheritEnv, Program};
use atta_core::engine::AttemptResult;
use atta_core::protocol::ant::GivenSecrets;
use atta_core::protocol::ant::{
    Action, Assignment, AttemptReport, LogChunk, LogSegment, Orders, PollRequest, RenderedScript, Report, ReportBatch,
    ReportBody, Roster, StopOrder, WorkspaceId,
};
use atta_core::protocol::terminal::TypedInput;
use atta_core::protocol::{AntId, AttemptId, Digest, JobId};
use atta_core::time::{Clock, Entropy, UnixMillis};
use atta_worker::{AgentRunner, Ant, AntConfig, IsolationLevel, Launcher, LinkError, QueenLink, StartError};
use indexmap::IndexMap;
use tokio::sync::watch;

/// Longer than anything should take; a test that gets here has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(50);

pub(crate) struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the edge of the tests")]
    fn now(&self) -> UnixMillis {
        UnixMillis(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
    }
}

struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) log: Vec<u8>,
    pub(crate) segments: Vec<LogSegment>,
    pub(crate) log_bytes: u64,
    pub(crate) isolation: Option<String>,
    pub(crate) finished: Option<AttemptReport>,
    pub(crate) sequences: Vec<u64>,
}

#[derive(Default)]
struct Waiting {
    orders: VecDeque<Orders>,
    attempts: HashMap<AttemptId, Stored>,
    /// What was given and has not ended.
    given: HashMap<AttemptId, Assignment>,
    session: u64,
    serial: u64,
}

type Refuses = Box<dyn Fn(&Report) -> bool + Send>;

/// The queen of the tests.
pub(crate) struct TestQueen {
    waiting: Mutex<Waiting>,
    changed: watch::Sender<u64>,
    blobs: PathBuf,
    pub(crate) away: AtomicBool,
    pub(crate) keep_log: AtomicBool,
    pub(crate) refuses_blobs: AtomicBool,
    /// Attempts whose reports are answered as stale.
    pub(crate) stale: Mutex<Vec<AttemptId>>,
    /// Attempts whose pieces of logs are refused as stale.
    pub(crate) stale_logs: Mutex<Vec<AttemptId>>,
    /// At the first piece of a log of these attempts the ant itself fails, with these words.
    pub(crate) panics: Mutex<HashMap<AttemptId, String>>,
    /// Reports that are refused, and how many messages were.
    refuses: Mutex<Option<Refuses>>,
    pub(crate) refused: AtomicU64,
    /// They are refused for now.
    pub(crate) not_now: AtomicBool,
    pub(crate) reports: AtomicU64,
    /// How many questions for work there were.
    polls: AtomicU64,
    /// The free slots of each question for work.
    pub(crate) asked: Mutex<Vec<u32>>,
    /// The workspaces that the newest question named.
    pub(crate) named: Mutex<Vec<WorkspaceId>>,
    /// What each ant said in its first question.
    pub(crate) rosters: Mutex<Vec<Roster>>,
    /// How far attempts have come with what was typed, as the newest question says.
    pub(crate) typed: Mutex<Vec<TypedInput>>,
    /// What ants have said to be lost.
    pub(crate) lost: Mutex<HashMap<AttemptId, String>>,
    /// Reports are not answered.
    pub(crate) deaf: AtomicBool,
    /// So many more blobs are taken or given; then there is no answer.
    pub(crate) blobs_left: AtomicU64,
    /// What is being stored.
    pub(crate) storing: watch::Sender<Storing>,
    pub(crate) heartbeats: AtomicU64,
}

impl TestQueen {
    pub(crate) fn new(blobs: PathBuf) -> Self {
        fs::create_dir_all(&blobs).unwrap();
        Self {
            waiting: Mutex::default(),
            changed: watch::Sender::new(0),
            blobs,
            away: AtomicBool::new(false),
            keep_log: AtomicBool::new(true),
            refuses_blobs: AtomicBool::new(false),
            stale: Mutex::default(),
            stale_logs: Mutex::default(),
            panics: Mutex::default(),
            refuses: Mutex::default(),
            refused: AtomicU64::new(0),
            not_now: AtomicBool::new(false),
            reports: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            asked: Mutex::default(),
            named: Mutex::default(),
            rosters: Mutex::default(),
            typed: Mutex::default(),
            lost: Mutex::default(),
            deaf: AtomicBool::new(false),
            blobs_left: AtomicU64::new(u64::MAX),
            storing: watch::Sender::new(Storing::default()),
            heartbeats: AtomicU64::new(0),
        }
    }

    /// An ant asks for the first time: what it does not have any more is given again, if it was never begun.
    fn compare(&self, request: &PollRequest) {
        for lost in &request.roster.lost {
            self.lost.lock().unwrap().insert(lost.attempt_id.clone(), lost.reason.clone());
        }
        let mut waiting = self.waiting.lock().unwrap();
        if request.session <= waiting.session {
            return;
        }
        waiting.session = request.session;
        self.rosters.lock().unwrap().push(request.roster.clone());
        let held = |id: &AttemptId| request.roster.held.iter().any(|held| held.attempt_id == *id);
        let lost = |id: &AttemptId| request.roster.lost.iter().any(|lost| lost.attempt_id == *id);
        let gone: Vec<_> = waiting.given.keys().filter(|id| !held(id) && !lost(id)).cloned().collect();
        for id in gone {
            let assignment = waiting.given.remove(&id).unwrap();
            assert!(
                waiting.attempts.get(&id).is_none_or(|stored| stored.isolation.is_none()),
                "{id} was begun, and the ant does not know it"
            );
            waiting.orders.push_front(Orders { assignments: vec![assignment], ..Orders::default() });
        }
    }

    async fn may_move_blobs(&self) {
        let left = self.blobs_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until as many contents as wanted are being stored at the same time.
    async fn meet(&self) {
        self.storing.send_modify(|storing| {
            storing.now += 1;
            storing.most = storing.most.max(storing.now);
            if storing.now >= storing.wanted {
                storing.wanted = 0;
            }
        });
        let _ = self.storing.subscribe().wait_for(|storing| storing.wanted == 0).await;
        // Those that come meanwhile are counted before this one has gone.
        tokio::task::yield_now().await;
        self.storing.send_modify(|storing| storing.now -= 1);
    }

    pub(crate) fn order(&self, orders: Orders) {
        self.waiting.lock().unwrap().orders.push_back(orders);
        self.change();
    }

    /// Orders that were given to nobody come first again.
    pub(crate) fn take_back(&self, orders: Orders) {
        self.waiting.lock().unwrap().orders.push_front(orders);
        self.change();
    }

    /// Messages with such a report are refused from now on.
    pub(crate) fn refuse(&self, refuses: impl Fn(&Report) -> bool + Send + 'static) {
        *self.refuses.lock().unwrap() = Some(Box::new(refuses));
    }

    fn change(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    fn reachable(&self) -> Result<(), LinkError> {
        if self.away.load(Ordering::SeqCst) { Err(LinkError::Unreachable("away".to_owned())) } else { Ok(()) }
    }

    /// Waits until something is so.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&HashMap<AttemptId, Stored>) -> Option<T>,
    ) -> T {
        let mut changes = self.changed.subscribe();
        let wait = async {
            loop {
                if let Some(found) = look(&self.waiting.lock().unwrap().attempts) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
    }

    pub(crate) async fn done(&self, id: &AttemptId) -> Done {
        self.until(&format!("{id} has ended"), |attempts| {
            let stored = attempts.get(id)?;
            Some(Done {
                report: stored.finished.clone()?,
                log: String::from_utf8_lossy(&stored.log).into_owned(),
                raw_log: stored.log.clone(),
                segments: stored.segments.clone(),
                isolation: stored.isolation.clone(),
                sequences: stored.sequences.clone(),
            })
        })
        .await
    }

    pub(crate) async fn log_has(&self, id: &AttemptId, text: &str) {
        self.until(&format!("the log of {id} has {text:?}"), |attempts| {
            let log = &attempts.get(id)?.log;
            log.windows(text.len()).any(|part| part == text.as_bytes()).then_some(())
        })
        .await;
    }

    pub(crate) fn blob(&self, content: &[u8]) -> Digest {
        let digest = Digest(blake3::hash(content).to_hex().to_string());
        fs::write(self.blobs.join(&digest.0), content).unwrap();
        digest
    }

    pub(crate) fn content(&self, digest: &Digest) -> Vec<u8> {
        fs::read(self.blobs.join(&digest.0)).unwrap()
    }

    pub(crate) fn lose_blob(&self, digest: &Digest) {
        fs::remove_file(self.blobs.join(&digest.0)).unwrap();
    }
}

#[async_trait::async_trait]
impl QueenLink for TestQueen {
    async fn poll(&self, request: PollRequest, wait: Duration) -> Result<Orders, LinkError> {
        self.asked.lock().unwrap().push(request.free_slots);
        self.compare(&request);
        self.typed.lock().unwrap().clone_from(&request.typed);
        *self.named.lock().unwrap() = request.workspaces;
        let mut changes = self.changed.subscribe();
        let number = self.polls.fetch_add(1, Ordering::SeqCst) + 1;
        self.change();
        let orders = async {
            loop {
                self.reachable()?;
                // The newest question gets the orders, and those before are answered.
                if self.polls.load(Ordering::SeqCst) != number {
                    return Ok(Orders::default());
                }
                {
                    let mut waiting = self.waiting.lock().unwrap();
                    if let Some(mut orders) = waiting.orders.pop_front() {
                        for assignment in &orders.assignments {
                            waiting.given.insert(assignment.attempt_id.clone(), assignment.clone());
                        }
                        if orders.serial == 0 {
                            waiting.serial += 1;
                            (orders.epoch, orders.serial) = (1, waiting.serial);
                        }
                        return Ok(orders);
                    }
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(wait, orders).await.unwrap_or_else(|_| Ok(Orders::default()))
    }

    async fn report(&self, batch: ReportBatch) -> Result<Orders, LinkError> {
        self.reachable()?;
        if self.deaf.load(Ordering::SeqCst) {
            return Err(LinkError::Unreachable("deaf".to_owned()));
        }
        if self.refuses.lock().unwrap().as_ref().is_some_and(|refuses| batch.reports.iter().any(refuses)) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            if self.not_now.load(Ordering::SeqCst) {
                return Err(LinkError::NotNow("something is the matter with its job".to_owned()));
            }
            return Err(LinkError::Refused("INVALID_REQUEST: it is not understood".to_owned()));
        }
        self.reports.fetch_add(1, Ordering::SeqCst);
        let mut orders = Orders::default();
        {
            let mut waiting = self.waiting.lock().unwrap();
            for report in batch.reports {
                if self.stale.lock().unwrap().contains(&report.attempt_id) {
                    orders.stale.push(report.attempt_id.clone());
                }
                if matches!(report.body, ReportBody::Finished(_)) {
                    waiting.given.remove(&report.attempt_id);
                }
                let stored = waiting.attempts.entry(report.attempt_id).or_default();
                if stored.sequences.contains(&report.sequence) {
                    continue;
                }
                stored.sequences.push(report.sequence);
                match report.body {
                    ReportBody::Started { isolation } => stored.isolation = Some(isolation),
                    ReportBody::Finished(report) => {
                        assert_eq!(
                            report.log_bytes, stored.log_bytes,
                            "the log is delivered before the end is reported"
                        );
                        stored.finished = Some(*report);
                    }
                }
            }
        }
        self.change();
        Ok(orders)
    }

    async fn heartbeat(&self, _: atta_core::protocol::ant::Heartbeat) -> Result<Orders, LinkError> {
        self.heartbeats.fetch_add(1, Ordering::SeqCst);
        self.reachable()?;
        Ok(Orders::default())
    }

    async fn append_log(&self, chunk: LogChunk) -> Result<(), LinkError> {
        self.reachable()?;
        if self.stale_logs.lock().unwrap().contains(&chunk.attempt_id) {
            return Err(LinkError::Stale("it is not leased to the ant".to_owned()));
        }
        let panics = self.panics.lock().unwrap().remove(&chunk.attempt_id);
        if let Some(text) = panics {
            panic!("{text}");
        }
        {
            let mut waiting = self.waiting.lock().unwrap();
            let stored = waiting.attempts.entry(chunk.attempt_id).or_default();
            assert!(chunk.offset <= stored.log_bytes, "chunks come in order and without gaps");
            let covered: u64 = chunk.segments.iter().map(|s| u64::from(s.len)).sum();
            assert_eq!(covered, chunk.bytes.len() as u64);
            // What an ant says again after its death must be the same, however it is cut.
            let known = usize::try_from((stored.log_bytes - chunk.offset).min(covered)).unwrap();
            stored.log_bytes += covered - known as u64;
            if self.keep_log.load(Ordering::SeqCst) {
                let from = usize::try_from(chunk.offset).unwrap();
                assert!(stored.log[from..from + known] == chunk.bytes[..known], "the same offset, and other bytes");
                stored.log.extend_from_slice(&chunk.bytes[known..]);
                if known == 0 {
                    stored.segments.extend(chunk.segments);
                }
            }
        }
        self.change();
        Ok(())
    }

    async fn put_blob(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), LinkError> {
        self.reachable()?;
        self.may_move_blobs().await;
        self.meet().await;
        if self.refuses_blobs.load(Ordering::SeqCst) {
            return Err(LinkError::Refused("BLOB_REFUSED: it is too large".to_owned()));
        }
        let content = fs::read(file).map_err(|e| LinkError::Refused(e.to_string()))?;
        if content.len() as u64 != size || blake3::hash(&content).to_hex().as_str() != digest.0 {
            return Err(LinkError::Blob {
                digest: digest.clone(),
                detail: "the content has another digest".to_owned(),
            });
        }
        fs::rename(file, self.blobs.join(&digest.0)).map_err(|e| LinkError::Refused(e.to_string()))
    }

    async fn get_blob(&self, digest: &Digest, to: &Path) -> Result<(), LinkError> {
        self.reachable()?;
        self.may_move_blobs().await;
        let failed = |detail: String| LinkError::Blob { digest: digest.clone(), detail };
        let content = fs::read(self.blobs.join(&digest.0)).map_err(|_| failed("there is no such blob".to_owned()))?;
        if blake3::hash(&content).to_hex().as_str() != digest.0 {
            return Err(failed("its content does not match its digest".to_owned()));
        }
        fs::write(to, content).map_err(|e| failed(e.to_string()))
    }
}

/// Contents that are being stored.
#[derive(Debug, Default)]
pub(crate) struct Storing {
    pub(crate) now: usize,
    /// The most at the same time.
    pub(crate) most: usize,
    /// None goes on before there are so many.
    pub(crate) wanted: usize,
}

/// The end of an attempt, as the queen saw it.
pub(crate) struct Done {
    pub(crate) report: AttemptReport,
    pub(crate) log: String,
    pub(crate) raw_log: Vec<u8>,
    pub(crate) segments: Vec<LogSegment>,
    pub(crate) isolation: Option<String>,
    pub(crate) sequences: Vec<u64>,
}

impl Done {
    pub(crate) fn result(&self) -> AttemptResult {
        self.report.result
    }

    pub(crate) fn message(&self) -> &str {
        self.report.failure.as_ref().map_or("", |failure| &failure.message)
    }

    pub(crate) fn code(&self) -> &str {
        self.report.failure.as_ref().map_or("", |failure| &failure.code)
    }
}

/// An ant, its queen and its directory.
pub(crate) struct World {
    pub(crate) queen: Arc<TestQueen>,
    pub(crate) ant: Ant,
    pub(crate) directory: tempfile::TempDir,
    data: PathBuf,
    mark: String,
    next: AtomicU64,
}

pub(crate) fn config(directory: &Path) -> AntConfig {
    let mut config = AntConfig::new(
        AntId("ant".to_owned()),
        directory.to_owned(),
        4,
        Arc::new(WallClock),
        Arc::new(Counting(AtomicU64::new(u64::from(std::process::id())))),
    );
    // A script in a variable of the attempt, with the files of order and record as $1 and $2.
    let arguments = ["-c", "eval \"$RUNNER\"", "runner"].map(str::to_owned).to_vec();
    config.agent_runner = AgentRunner { program: "/bin/sh".into(), arguments };
    config.environment = ["PATH", "HOME"]
        .into_iter()
        .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
        .chain([("ANT_SECRET".into(), "hidden".into()), ("LC_ALL".into(), "C.UTF-8".into())])
        .collect();
    config
}

impl World {
    pub(crate) async fn new(launcher: Launcher) -> Self {
        Self::with(launcher, |_| {}).await
    }

    pub(crate) async fn isolated(launcher: Launcher, level: IsolationLevel) -> Self {
        Self::with(launcher, |config| config.isolation = Some(level)).await
    }

    pub(crate) async fn with(launcher: Launcher, change: impl FnOnce(&mut AntConfig)) -> Self {
        let directory = tempfile::Builder::new().prefix("atta-ant-").tempdir().unwrap();
        let data = directory.path().join("data");
        Self::at(launcher, directory, &data, change).await.unwrap()
    }

    pub(crate) async fn at(
        launcher: Launcher,
        directory: tempfile::TempDir,
        data: &Path,
        change: impl FnOnce(&mut AntConfig),
    ) -> Result<Self, StartError> {
        let queen = Arc::new(TestQueen::new(directory.path().join("blobs")));
        let mut config = config(data);
        change(&mut config);
        let ant = Ant::start(config, launcher, queen.clone()).await?;
        let mark = mark_of(directory.path());
        Ok(Self { queen, ant, directory, data: data.to_owned(), mark, next: AtomicU64::new(1) })
    }

    /// An attempt of a script, with the mark by which its processes are found.
    pub(crate) fn assignment(&self, script: &str) -> Assignment {
        assignment(self.next.fetch_add(1, Ordering::SeqCst), script, &self.mark)
    }

    pub(crate) fn begin(&self, assignment: Assignment) -> AttemptId {
        let id = assignment.attempt_id.clone();
        self.queen.order(Orders { assignments: vec![assignment], ..Orders::default() });
        id
    }

    pub(crate) fn stop(&self, id: &AttemptId, reason: &str) {
        let stop = StopOrder { attempt_id: id.clone(), token: 7, reason: reason.to_owned() };
        self.queen.order(Orders { stops: vec![stop], ..Orders::default() });
    }

    pub(crate) async fn done(&self, id: &AttemptId) -> Done {
        self.queen.done(id).await
    }

    pub(crate) async fn log_has(&self, id: &AttemptId, text: &str) {
        self.queen.log_has(id, text).await;
    }

    /// Runs an attempt to its end; nothing of it may be left then.
    pub(crate) async fn run(&self, assignment: Assignment) -> Done {
        let id = self.begin(assignment);
        let done = self.done(&id).await;
        self.assert_empty();
        done
    }

    pub(crate) async fn script(&self, script: &str) -> Done {
        self.run(self.assignment(script)).await
    }

    pub(crate) fn assert_empty(&self) {
        assert_no_process(&self.mark);
    }

    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn attempts_dir(&self) -> PathBuf {
        self.data.join("ant/attempts")
    }

    /// Ends the ant; no process and no directory may be left.
    pub(crate) async fn end(self) {
        tokio::time::timeout(PATIENCE, self.ant.drain()).await.expect("the ant drains");
        assert_no_process(&self.mark);
        let left: Vec<_> = fs::read_dir(self.attempts_dir()).unwrap().collect();
        assert!(left.is_empty(), "attempts' directories are left: {left:?}");
    }
}

pub(crate) fn mark_of(directory: &Path) -> String {
    directory.file_name().unwrap().to_str().unwrap().to_owned()
}

pub(crate) fn assignment(number: u64, script: &str, mark: &str) -> Assignment {
    let job = JobId("job_0".to_owned());
    Assignment {
        attempt_id: AttemptId(format!("{job}-{number}")),
        token: 7,
        lease: atta_core::protocol::ant::DEFAULT_LEASE,
        job_id: job,
        job_type: "test".to_owned(),
        task: "task".to_owned(),
        action: Action::Shell {
            program: Program::DefaultShell,
            script: RenderedScript { preamble: String::new(), text: script.to_owned() },
            after_script: None,
            tty: false,
        },
        secrets: GivenSecrets::default(),
        environment: IndexMap::from([("TEST_MARK".to_owned(), mark.to_owned())]),
        inherit_env: InheritEnv::None,
        timeout: Duration::from_hours(1),
        idle_timeout: None,
        kill_grace: Duration::from_millis(300),
        inputs: Vec::new(),
        artifacts: None,
        workspace: None,
        cache: None,
        outputs: Vec::new(),
    }
}

pub(crate) fn shell(assignment: &mut Assignment) -> (&mut Program, &mut RenderedScript, &mut Option<RenderedScript>) {
    let Action::Shell { program, script, after_script, .. } = &mut assignment.action else {
        panic!("this is no script")
    };
    (program, script, after_script)
}

/// The live processes that have the mark in their environment.
pub(crate) fn marked_processes(mark: &str) -> Vec<i32> {
    let needle = format!("TEST_MARK={mark}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if let Ok(environment) = fs::read(entry.path().join("environ"))
            && environment.split(|byte| *byte == 0).any(|item| item == needle.as_bytes())
        {
            found.push(pid);
        }
    }
    found
}

pub(crate) fn assert_no_process(mark: &str) {
    let left = marked_processes(mark);
    let names: Vec<String> =
        left.iter().map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()).collect();
    assert!(left.is_empty(), "processes are left: {left:?} {names:?}");
}

/// Waits until a condition of the machine holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
