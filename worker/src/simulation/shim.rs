//! A shim without processes. It does what `supervisor::shim` does, with a program that is a list of steps.

use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::future::pending;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atta_core::time::UnixMillis;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Ended, SHIMS, Shim, Step, attempt_of, locked, world};
use crate::IsolationLevel;
use crate::supervisor::{
    BEGUN, ExitRecord, ExitStatus, Frame, FromShim, HEADER, Here, LEFT, Output, SpawnRequest, StopCause, ToShim,
    VERSION, next_frame, rewrite_left,
};

/// The step of a start at which a directory is missing.
const DIRECTORY: u8 = 2;
/// How long after the ant is gone the directory is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const KILL: i32 = 9;
const TERM: i32 = 15;

/// What a shim keeps for the next ant, and for whoever kills it.
#[derive(Default)]
pub(super) struct Kept {
    sealed: Vec<u8>,
    checkpoint: Option<(u64, Vec<u8>)>,
    stop: Option<Vec<u8>>,
    level: Option<u8>,
    /// How the last program ended.
    pub(super) outcome: Option<FromShim>,
    /// The program that runs.
    pub(super) running: Option<String>,
    /// From where on no ant has heard of its output.
    pub(super) told: u64,
}

impl Kept {
    pub(super) fn here(&self) -> Here {
        Here {
            version: VERSION,
            sealed: self.sealed.clone(),
            checkpoint: self.checkpoint.clone(),
            stop: self.stop.clone(),
            level: self.level,
            typed: None,
            told: Some(self.told),
        }
    }
}

struct Task {
    name: String,
    output: Output,
    steps: VecDeque<Step>,
    code: u8,
    obeys_after: Option<Duration>,
    /// Until when it sleeps.
    until: Instant,
    timeout_at: Instant,
    grace: Duration,
    away_bound: u64,
    stopped: Option<StopCause>,
    /// When it obeys SIGTERM, and when it is killed.
    ends_at: Option<(Instant, i32)>,
    status: Option<ExitStatus>,
}

struct Simulated {
    line: Option<DuplexStream>,
    incoming: Vec<u8>,
    visitors: mpsc::UnboundedReceiver<DuplexStream>,
    root: PathBuf,
    kept: Arc<Mutex<Kept>>,
    task: Option<Task>,
    released: bool,
    begun: bool,
}

/// The other end reads this when it reads anything.
pub(super) async fn say_kill(mut line: DuplexStream) {
    let _ = line.write_all(&ToShim::Kill.encode()).await;
    let _ = line.write_all(&ToShim::Release.encode()).await;
    let mut rest = Vec::new();
    let _ = line.read_to_end(&mut rest).await;
}

/// The life of a shim, at the other end of the line to its ant.
pub(super) async fn run(mut line: DuplexStream) {
    let mut incoming = Vec::new();
    let request = loop {
        match next_frame::<ToShim>(&mut incoming) {
            Ok(Some(ToShim::Start(request))) => break request,
            Ok(None) if matches!(line.read_buf(&mut incoming).await, Ok(count) if count > 0) => {}
            _ => return,
        }
    };
    // The ant may have been killed meanwhile: then the attempt may be somebody else's.
    let gone = matches!(tokio::time::timeout(Duration::ZERO, line.read_buf(&mut incoming)).await, Ok(Ok(0) | Err(_)));
    let root = PathBuf::from(std::ffi::OsStr::from_bytes(request.root.to_bytes()));
    let holds = !gone && fs::set_permissions(&root, Permissions::from_mode(BEGUN)).is_ok();
    if !holds {
        let _ = line.write_all(&FromShim::NotStarted(DIRECTORY, nix::libc::ENOENT).encode()).await;
        return;
    }
    let kept = Arc::new(Mutex::new(Kept::default()));
    let (visits, visitors) = mpsc::unbounded_channel();
    let shim = Simulated {
        line: Some(line),
        incoming,
        visitors,
        root: root.clone(),
        kept: kept.clone(),
        task: None,
        released: false,
        begun: !request.first,
    };
    let task = tokio::spawn(shim.live(*request)).abort_handle();
    SHIMS.with_borrow_mut(|shims| shims.insert(root, Shim { kept, visitors: visits, task }));
}

impl Simulated {
    async fn live(mut self, request: SpawnRequest) {
        self.begin(request).await;
        loop {
            self.advance().await;
            if self.is_over() {
                break;
            }
            self.announce().await;
            self.wait().await;
        }
        SHIMS.with_borrow_mut(|shims| shims.remove(&self.root));
    }

    async fn begin(&mut self, request: SpawnRequest) {
        {
            let mut kept = locked(&self.kept);
            *kept = Kept { sealed: request.sealed.clone(), stop: kept.stop.take(), ..Kept::default() };
        }
        if self.begun {
            let _ = fs::remove_file(self.root.join(LEFT));
        }
        let name = request.name.rsplit('-').next().unwrap_or_default().to_owned();
        let Some(program) = world().map(|world| world.begin(&attempt_of(&self.root), &name)) else { return };
        let now = Instant::now();
        self.begun = true;
        self.task = Some(Task {
            name: name.clone(),
            output: Output::new(request.spool, request.spool_bound),
            steps: program.steps.into(),
            code: program.code,
            obeys_after: program.obeys_after,
            until: now,
            timeout_at: now + request.timeout,
            grace: request.kill_grace,
            away_bound: request.away_bound,
            stopped: None,
            ends_at: None,
            status: None,
        });
        let level = IsolationLevel::Subreaper.byte();
        {
            let mut kept = locked(&self.kept);
            kept.level = Some(level);
            kept.running = Some(name);
        }
        self.tell(&FromShim::Started(level)).await;
    }

    fn now(&self) -> UnixMillis {
        world().map_or_else(UnixMillis::default, |world| world.now(&self.root))
    }

    /// Lets the program go on, as far as it can now.
    async fn advance(&mut self) {
        if self.line.is_none() && !self.root.exists() {
            // What nobody can find, nobody can stop.
            if let Some(task) = &mut self.task {
                task.output.abandon();
                task.end(StopCause::Orphaned, Instant::now(), KILL);
            }
        }
        let (now, wall) = (Instant::now(), self.now());
        let Some(task) = &mut self.task else { return };
        task.go_on(now, wall);
        if task.status.is_none() || !task.output.finish(wall) {
            return;
        }
        task.note_failure();
        let Some(task) = self.task.take() else { return };
        let status = task.status.unwrap_or(ExitStatus::Unknown);
        let record = ExitRecord {
            status,
            stopped: task.stopped,
            survivors: 0,
            cpu_micros: 0,
            max_rss_kib: 0,
            spool: task.output.range(),
        };
        let how = match status {
            ExitStatus::Code(code) => Ended::Code(code),
            ExitStatus::Signal(number) => Ended::Signal(number),
            ExitStatus::Unknown => Ended::Signal(KILL),
        };
        tell_end(&self.root, &task.name, how);
        let outcome = FromShim::Exited(record);
        {
            let mut kept = locked(&self.kept);
            if self.line.is_some() {
                kept.told = task.output.range().1;
            }
            kept.running = None;
            kept.outcome = Some(outcome.clone());
        }
        self.tell(&outcome).await;
    }

    /// Nothing is left to watch over, nor to keep.
    fn is_over(&self) -> bool {
        let kept = locked(&self.kept);
        let Some(outcome) = &kept.outcome else { return false };
        if self.released {
            return true;
        }
        if self.line.is_some() {
            return false;
        }
        !self.root.exists() || rewrite_left(&self.root, kept.here(), outcome).is_ok()
    }

    async fn announce(&mut self) {
        if self.line.is_some()
            && let Some(message) = self.task.as_mut().and_then(|task| task.output.announcement())
        {
            locked(&self.kept).told = self.task.as_ref().map_or(0, |task| task.output.told());
            self.tell(&message).await;
        }
    }

    async fn wait(&mut self) {
        let mut due = self.task.as_ref().and_then(Task::due);
        if self.line.is_none() {
            let look = Instant::now() + LOOK_AGAIN;
            due = Some(due.map_or(look, |due| due.min(look)));
        }
        let read = async {
            match &mut self.line {
                Some(line) => line.read_buf(&mut self.incoming).await,
                None => pending().await,
            }
        };
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            visitor = self.visitors.recv() => if let Some(visitor) = visitor {
                self.line = Some(visitor);
                self.incoming.clear();
                let mut kept = locked(&self.kept);
                if let Some(FromShim::Exited(record)) = &kept.outcome {
                    kept.told = record.spool.1;
                }
            },
            read = read => match read {
                Ok(count) if count > 0 => self.listen().await,
                _ => self.lose_ant(),
            },
            () = sleep => {}
        }
    }

    async fn listen(&mut self) {
        while let Ok(Some(message)) = next_frame::<ToShim>(&mut self.incoming) {
            let (now, wall) = (Instant::now(), self.now());
            match message {
                ToShim::Start(request) => {
                    if locked(&self.kept).outcome.is_some() {
                        self.begin(*request).await;
                    }
                }
                ToShim::Taken(position) => {
                    if let Some(task) = &mut self.task {
                        task.output.take(position, wall);
                        task.note_failure();
                    }
                }
                ToShim::Checkpoint { position, state } => {
                    locked(&self.kept).checkpoint = Some((position, state));
                    if let Some(task) = &mut self.task {
                        task.output.settle(position, wall);
                        task.note_failure();
                    }
                }
                ToShim::Stop(reason) => {
                    locked(&self.kept).stop.get_or_insert(reason);
                    if let Some(task) = &mut self.task {
                        task.terminate(StopCause::Order, now);
                    }
                }
                ToShim::Kill => {
                    if let Some(task) = &mut self.task {
                        task.end(StopCause::Order, now, KILL);
                    }
                }
                ToShim::Bound { bytes, thin } => {
                    if let Some(task) = &mut self.task {
                        task.output.set_bound(bytes, thin);
                    }
                }
                ToShim::Release => self.released = true,
                // No simulated program has a terminal.
                ToShim::Input { .. } | ToShim::Resize { .. } => {}
            }
        }
    }

    fn lose_ant(&mut self) {
        self.line = None;
        self.incoming.clear();
        if let Some(task) = &mut self.task {
            if Path::exists(&self.root) {
                task.output.go_on_alone(task.away_bound);
            } else {
                task.output.abandon();
                task.end(StopCause::Orphaned, Instant::now(), KILL);
            }
        }
    }

    async fn tell(&mut self, message: &FromShim) {
        if let Some(line) = &mut self.line
            && line.write_all(&message.encode()).await.is_err()
        {
            self.lose_ant();
        }
    }
}

fn tell_end(root: &Path, name: &str, how: Ended) {
    if let Some(world) = world() {
        world.end(&attempt_of(root), name, how);
    }
}

impl Task {
    /// When it goes on by itself.
    fn due(&self) -> Option<Instant> {
        if self.status.is_some() {
            return None;
        }
        let wakes = (!self.output.throttled()).then_some(self.until);
        let ends = self.ends_at.map_or(self.timeout_at, |(at, _)| at);
        Some(wakes.map_or(ends, |at| at.min(ends)))
    }

    fn go_on(&mut self, now: Instant, wall: UnixMillis) {
        if self.status.is_some() {
            return;
        }
        if now >= self.timeout_at {
            self.terminate(StopCause::Timeout, now);
        }
        if let Some((at, signal)) = self.ends_at
            && now >= at
        {
            self.status = Some(ExitStatus::Signal(signal));
            return;
        }
        while now >= self.until && !self.output.throttled() {
            match self.steps.pop_front() {
                Some(Step::Sleep(time)) => self.until = now + time,
                Some(Step::Write { to_stderr, bytes }) => {
                    let mut piece = vec![0; HEADER];
                    piece.extend_from_slice(&bytes);
                    self.output.store(usize::from(to_stderr), &mut piece, wall);
                    self.note_failure();
                    if self.status.is_some() {
                        return;
                    }
                }
                None => {
                    self.status = Some(ExitStatus::Code(self.code));
                    return;
                }
            }
        }
    }

    /// Ends a program whose output cannot be stored any more.
    fn note_failure(&mut self) {
        if let Some(errno) = self.output.take_failure() {
            self.stopped.get_or_insert(StopCause::Spool(errno as i32));
            self.status.get_or_insert(ExitStatus::Signal(KILL));
        }
    }

    /// TERM now, KILL after the grace. The first cause counts.
    fn terminate(&mut self, cause: StopCause, now: Instant) {
        if self.status.is_some() {
            return;
        }
        self.stopped.get_or_insert(cause);
        let (obeys, killed) = (self.obeys_after.unwrap_or(Duration::MAX), self.grace);
        self.ends_at.get_or_insert(if obeys < killed { (now + obeys, TERM) } else { (now + killed, KILL) });
    }

    fn end(&mut self, cause: StopCause, now: Instant, signal: i32) {
        if self.status.is_none() {
            self.stopped.get_or_insert(cause);
            self.ends_at = Some((now, signal));
        }
    }
}
