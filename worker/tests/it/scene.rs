//! An ant in a process of its own, to be killed, and the line on which it speaks to the queen of the test.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use atta_core::protocol::ant::{Assignment, Heartbeat, LogChunk, Orders, PollRequest, ReportBatch, StopOrder};
use atta_core::protocol::{AttemptId, Digest};
use atta_worker::{Ant, IsolationLevel, Launcher, LinkError, Orphans, QueenLink};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::harness::HELPER;
use crate::world::{TestQueen, assignment, config, eventually, mark_of, marked_processes};

/// How a helper's ant is configured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) orphans_die: bool,
    pub(crate) subreaper: bool,
    pub(crate) boot_id: Option<String>,
    pub(crate) spool_limit: Option<u64>,
}

/// The process: an ant until it is killed, told to drain (TERM) or to hand over (USR1).
pub(crate) async fn run(launcher: Launcher, directory: String, options: &str) {
    let directory = Path::new(&directory);
    let options: Options = serde_json::from_str(options).unwrap();
    let mut config = config(&directory.join("data"));
    config.orphans = if options.orphans_die { Orphans::Kill } else { Orphans::Keep };
    config.isolation = options.subreaper.then_some(IsolationLevel::Subreaper);
    config.boot_id = options.boot_id;
    config.spool_limit = options.spool_limit.unwrap_or(config.spool_limit);
    let mut drain = signal(SignalKind::terminate()).unwrap();
    let mut hand_over = signal(SignalKind::user_defined1()).unwrap();
    let link = Arc::new(Line(directory.join("queen")));
    let ant = Ant::start(config, launcher, link).await.unwrap();
    tokio::select! {
        _ = drain.recv() => ant.drain().await,
        _ = hand_over.recv() => ant.hand_over().await,
    }
}

#[derive(Serialize, Deserialize)]
enum Said {
    Poll(PollRequest, Duration),
    Report(ReportBatch),
    Heartbeat(Heartbeat),
    Log(LogChunk),
    Put(Digest, u64, PathBuf),
    Get(Digest, PathBuf),
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Orders(Orders),
    Done,
    Unreachable(String),
    Refused(String),
    NotNow(String),
    Stale(String),
    Blob(String),
}

/// The helper's end: a connection for each message.
struct Line(PathBuf);

async fn write(stream: &mut UnixStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_u64(bytes.len() as u64).await?;
    stream.write_all(bytes).await
}

async fn read(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(stream.read_u64().await?).unwrap()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

impl Line {
    async fn say(&self, said: Said, bytes: &[u8]) -> Result<Orders, LinkError> {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.0).await?;
            write(&mut stream, &serde_json::to_vec(&said)?).await?;
            write(&mut stream, bytes).await?;
            read(&mut stream).await
        };
        let answer = exchange.await.map_err(|error: io::Error| LinkError::Unreachable(error.to_string()))?;
        match serde_json::from_slice(&answer).unwrap() {
            Answer::Orders(orders) => Ok(orders),
            Answer::Done => Ok(Orders::default()),
            Answer::Unreachable(detail) => Err(LinkError::Unreachable(detail)),
            Answer::Refused(detail) => Err(LinkError::Refused(detail)),
            Answer::NotNow(detail) => Err(LinkError::NotNow(detail)),
            Answer::Stale(detail) => Err(LinkError::Stale(detail)),
            Answer::Blob(detail) => Err(LinkError::Blob { digest: Digest(String::new()), detail }),
        }
    }
}

#[async_trait::async_trait]
impl QueenLink for Line {
    async fn poll(&self, request: PollRequest, wait: Duration) -> Result<Orders, LinkError> {
        self.say(Said::Poll(request, wait), &[]).await
    }
    async fn report(&self, batch: ReportBatch) -> Result<Orders, LinkError> {
        self.say(Said::Report(batch), &[]).await
    }
    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Orders, LinkError> {
        self.say(Said::Heartbeat(heartbeat), &[]).await
    }
    async fn append_log(&self, mut chunk: LogChunk) -> Result<(), LinkError> {
        let bytes = std::mem::take(&mut chunk.bytes);
        self.say(Said::Log(chunk), &bytes).await.map(|_| ())
    }
    async fn put_blob(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), LinkError> {
        self.say(Said::Put(digest.clone(), size, file.to_owned()), &[]).await.map(|_| ())
    }
    async fn get_blob(&self, digest: &Digest, to: &Path) -> Result<(), LinkError> {
        self.say(Said::Get(digest.clone(), to.to_owned()), &[]).await.map(|_| ())
    }
}

async fn answer(queen: &TestQueen, mut stream: UnixStream) -> io::Result<()> {
    let said = serde_json::from_slice(&read(&mut stream).await?)?;
    let bytes = read(&mut stream).await?;
    let answer = async {
        Ok(match said {
            Said::Poll(request, wait) => Answer::Orders(queen.poll(request, wait).await?),
            Said::Report(batch) => Answer::Orders(queen.report(batch).await?),
            Said::Heartbeat(heartbeat) => Answer::Orders(queen.heartbeat(heartbeat).await?),
            Said::Log(chunk) => {
                queen.append_log(LogChunk { bytes, ..chunk }).await?;
                Answer::Done
            }
            Said::Put(digest, size, file) => {
                queen.put_blob(&digest, size, &file).await?;
                Answer::Done
            }
            Said::Get(digest, to) => {
                queen.get_blob(&digest, &to).await?;
                Answer::Done
            }
        })
    };
    let (mut reader, mut writer) = stream.split();
    let answer = tokio::select! {
        answer = answer => answer,
        // Who asked is dead: an order that it was to be given stays.
        _ = reader.read_u8() => return Ok(()),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(LinkError::Unreachable(detail)) => Answer::Unreachable(detail),
        Err(LinkError::Refused(detail)) => Answer::Refused(detail),
        Err(LinkError::NotNow(detail)) => Answer::NotNow(detail),
        Err(LinkError::Stale(detail)) => Answer::Stale(detail),
        Err(LinkError::Blob { detail, .. }) => Answer::Blob(detail),
    };
    let text = serde_json::to_vec(&answer)?;
    let written = async {
        writer.write_u64(text.len() as u64).await?;
        writer.write_all(&text).await
    };
    let written = written.await;
    if let (Err(_), Answer::Orders(orders)) = (&written, answer) {
        // It had just died, and nobody had noticed.
        queen.take_back(orders);
    }
    written
}

/// A queen, a data directory, and ants that come and go.
pub(crate) struct Scene {
    pub(crate) queen: Arc<TestQueen>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) data: PathBuf,
    mark: String,
    ant: Option<Child>,
    next: AtomicU64,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("atta-scene-").tempdir().unwrap();
        let queen = Arc::new(TestQueen::new(directory.path().join("blobs")));
        let listener = UnixListener::bind(directory.path().join("queen")).unwrap();
        let served = queen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let queen = served.clone();
                // An ant may be killed at any moment, also while it is being answered.
                tokio::spawn(async move { answer(&queen, stream).await });
            }
        });
        let (data, mark) = (directory.path().join("data"), mark_of(directory.path()));
        Self { queen, directory, data, mark, ant: None, next: AtomicU64::new(1) }
    }

    /// Starts an ant.
    pub(crate) async fn start(&mut self, options: &Options) {
        let before = self.queen.rosters.lock().unwrap().len();
        let me = std::env::current_exe().unwrap();
        let options = serde_json::to_string(options).unwrap();
        let child = Command::new(me)
            .args([HELPER, self.directory.path().to_str().unwrap(), &options])
            // Launcher and shims have it too.
            .env("TEST_MARK", &self.mark)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.ant = Some(child);
        let queen = self.queen.clone();
        eventually("the ant has asked for work", || queen.rosters.lock().unwrap().len() > before).await;
    }

    /// Starts an ant with nothing special about it.
    pub(crate) async fn start_plain(&mut self) {
        self.start(&Options::default()).await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.ant.as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut ant = self.ant.take().unwrap();
        ant.kill().unwrap();
        ant.wait().unwrap();
    }

    /// Waits until the ant has ended by itself.
    pub(crate) async fn ended(&mut self) {
        let mut ant = self.ant.take().unwrap();
        let status = tokio::task::spawn_blocking(move || ant.wait().unwrap()).await.unwrap();
        assert!(status.success(), "{status}");
    }

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

    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// A path beside the data directory, for what commands note.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn root(&self, id: &AttemptId) -> PathBuf {
        self.data.join("ant/attempts").join(&id.0)
    }

    /// Waits for a file in TASK_DIR.
    pub(crate) async fn file(&self, id: &AttemptId, name: &str) -> PathBuf {
        let file = self.root(id).join("work").join(name);
        eventually(&format!("{} is there", file.display()), || file.exists()).await;
        file
    }

    /// The shim or the launcher of this scene.
    pub(crate) fn processes_named(&self, name: &str) -> Vec<i32> {
        let named =
            |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
        marked_processes(&self.mark).into_iter().filter(named).collect()
    }

    /// Ends the last ant: nothing at all may be left.
    pub(crate) async fn end(mut self) {
        self.signal(Signal::SIGTERM);
        self.ended().await;
        eventually("no process is left", || marked_processes(&self.mark).is_empty()).await;
        let attempts = self.data.join("ant/attempts");
        let left: Vec<_> = std::fs::read_dir(&attempts).unwrap().collect();
        assert!(left.is_empty(), "attempts' directories are left: {left:?}");
        let hash = blake3::hash(attempts.canonicalize().unwrap().as_os_str().as_encoded_bytes());
        let name = format!("atta-{}", &hash.to_hex()[..16]);
        for hierarchy in ["", "unified", "freezer"] {
            let cgroup = Path::new("/sys/fs/cgroup").join(hierarchy).join(&name);
            eventually(&format!("{} is gone", cgroup.display()), || !cgroup.exists()).await;
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut ant) = self.ant.take() {
            let _ = ant.kill();
            let _ = ant.wait();
        }
        // After a failure there may be shims.
        for pid in marked_processes(&self.mark) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
