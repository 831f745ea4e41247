//! The line between an ant and its queen: what is said may be lost, late, repeated and overtaken by what is said later,
//! in both directions, and neither side knows.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atta_core::protocol::ant::{
    Heartbeat, JOB_DAMAGED, LogChunk, Orders, PollRequest, ReportBatch, ReportBody, STALE_TOKEN,
};
use atta_core::protocol::{AntId, AttemptId, Digest};
use atta_core::time::Clock as _;
use atta_server::logs::LogError;
use atta_server::scheduler::Refusal;
use atta_server::simulation as server;
use atta_server::{AntLine, LineError};
use atta_worker::{LinkError, QueenLink};
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until, timeout};

use super::files::digest_of;
use super::records::Records;
use super::world::World;

/// How long an ant waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// An answer that nobody will ever get.
const NEVER: Duration = Duration::from_hours(24);

/// The queen as the network finds her.
pub(super) struct Address {
    line: Mutex<(u64, Option<AntLine>)>,
    records: Arc<Records>,
}

impl Address {
    pub(super) fn new(records: Arc<Records>) -> Self {
        Self { line: Mutex::default(), records }
    }

    pub(super) fn set(&self, line: Option<AntLine>) {
        let mut now = self.line.lock().unwrap();
        now.0 += 1;
        now.1 = line;
    }

    fn get(&self) -> (u64, Option<AntLine>) {
        let (generation, line) = self.line.lock().unwrap().clone();
        (generation, line.filter(|_| !server::has_crashed()))
    }
}

/// An ant's end.
pub(super) struct SimLink {
    pub(super) world: Arc<World>,
    pub(super) address: Arc<Address>,
    pub(super) number: usize,
    pub(super) ant: AntId,
}

#[derive(Clone)]
enum Message {
    Poll(PollRequest, Duration),
    Report(ReportBatch),
    Heartbeat(Heartbeat),
    Log(LogChunk),
    /// A content with its digest and its size as it was announced.
    Put(Digest, u64, Arc<[u8]>),
    Get(Digest),
}

/// What the queen says.
#[derive(Default)]
struct Answer {
    orders: Orders,
    content: Option<Vec<u8>>,
}

impl Message {
    fn describe(&self, to: &mut String) {
        let _ = match self {
            Self::Poll(poll, _) => {
                let mut held: Vec<_> = poll.roster.held.iter().map(|held| (&held.attempt_id.0, held.token)).collect();
                held.sort();
                let lost = poll.roster.lost.len();
                write!(
                    to,
                    "poll {} free {} held {held:?} lost {lost} heard {:?}",
                    poll.session, poll.free_slots, poll.heard
                )
            }
            Self::Report(batch) => {
                let mut parts = String::new();
                for report in &batch.reports {
                    let what = match &report.body {
                        ReportBody::Started { .. } => "started".to_owned(),
                        ReportBody::Finished(end) => format!("{:?}", end.result),
                    };
                    let _ = write!(parts, " {}/{}/{} {what}", report.attempt_id, report.token, report.sequence);
                }
                write!(to, "report{parts}")
            }
            Self::Heartbeat(beat) => write!(to, "heartbeat {}", beat.session),
            Self::Log(chunk) => {
                write!(to, "log {}/{} at {} +{}", chunk.attempt_id, chunk.token, chunk.offset, chunk.bytes.len())
            }
            Self::Put(digest, size, _) => write!(to, "put {digest} +{size}"),
            Self::Get(digest) => write!(to, "get {digest}"),
        };
    }
}

fn describe_orders(orders: &Orders, to: &mut String) {
    let given: Vec<_> = orders.assignments.iter().map(|one| (&one.attempt_id.0, one.token)).collect();
    let stops: Vec<_> = orders.stops.iter().map(|one| &one.attempt_id.0).collect();
    let stale: Vec<_> = orders.stale.iter().map(|id| &id.0).collect();
    let _ = write!(to, "{}.{} given {given:?} stop {stops:?} stale {stale:?}", orders.epoch, orders.serial);
}

/// What becomes of one message.
struct Fate {
    lost: bool,
    delay: Duration,
    /// Its connection breaks after so long.
    breaks: Option<Duration>,
}

impl SimLink {
    fn fate(&self) -> Fate {
        let (loss, late) = {
            let weather = self.world.weather();
            (weather.loss, weather.late)
        };
        let delay = if self.world.chance(late) { self.world.millis(40_000) } else { self.world.millis(20) };
        let breaks = self.world.chance(loss / 2).then(|| self.world.millis(15_000));
        Fate { lost: self.world.chance(loss), delay, breaks }
    }

    async fn call(&self, message: Message, patience: Duration) -> Result<Answer, LinkError> {
        let (there, back) = (self.fate(), self.fate());
        let again = self.world.weather().again;
        if self.world.chance(again) {
            let repeated = self.fate();
            let (world, address) = (self.world.clone(), self.address.clone());
            tokio::spawn(deliver(world, address, self.number, self.ant.clone(), message.clone(), repeated, None));
        }
        let (reply, answer) = oneshot::channel();
        let (world, address) = (self.world.clone(), self.address.clone());
        tokio::spawn(deliver(world, address, self.number, self.ant.clone(), message, there, Some((reply, back))));
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LinkError::Unreachable("the connection broke".to_owned())),
            Err(_) => Err(LinkError::Unreachable("no answer".to_owned())),
        }
    }
}

type Reply = oneshot::Sender<Result<Answer, LinkError>>;

/// A message on its way to the queen, and her answer on its way back.
async fn deliver(
    world: Arc<World>,
    address: Arc<Address>,
    number: usize,
    ant: AntId,
    message: Message,
    fate: Fate,
    reply: Option<(Reply, Fate)>,
) {
    sleep(fate.delay).await;
    let stalled = {
        let weather = world.weather();
        if fate.lost || weather.cut_off.contains(&number) { Err(()) } else { Ok(weather.stalled_until) }
    };
    let Ok(stalled) = stalled else {
        if reply.is_some() {
            // Whoever waits finds out by waiting.
            sleep(NEVER).await;
        }
        return;
    };
    if let Some(until) = stalled {
        sleep_until(until).await;
    }
    let (generation, Some(line)) = address.get() else {
        if let Some((reply, _)) = reply {
            let _ = reply.send(Err(LinkError::Unreachable("nobody listens".to_owned())));
        }
        return;
    };
    world.note(|line| {
        let _ = write!(line, "{ant} > ");
        message.describe(line);
    });
    let handle = handle(&world, &address.records, &line, (number, &ant), message);
    let answer = match fate.breaks {
        None => handle.await,
        Some(after) => match timeout(after, handle).await {
            Ok(answer) => answer,
            Err(_) => return,
        },
    };
    world.note(|line| {
        let _ = write!(line, "{ant} < ");
        match &answer {
            Ok(Answer { content: Some(content), .. }) => {
                let _ = write!(line, "content +{}", content.len());
            }
            Ok(answer) => describe_orders(&answer.orders, line),
            Err(error) => line.push_str(&error.to_string()),
        }
    });
    let Some((reply, back)) = reply else { return };
    sleep(back.delay).await;
    // What a queen had said when she was killed may have left her machine, or not.
    let died = address.get().0 != generation && world.chance(500);
    if back.lost || died || world.weather().cut_off.contains(&number) {
        sleep(NEVER).await;
        return;
    }
    let _ = reply.send(answer);
}

async fn handle(
    world: &World,
    records: &Records,
    line: &AntLine,
    (number, ant): (usize, &AntId),
    message: Message,
) -> Result<Answer, LinkError> {
    let none = Orders::default();
    let now = world.queen_clock.monotonic();
    let says = match &message {
        Message::Poll(request, _) => Some((request.session, true)),
        Message::Heartbeat(heartbeat) => Some((heartbeat.session, false)),
        Message::Report(_) | Message::Log(_) | Message::Put(..) | Message::Get(_) => None,
    };
    let sign = says.map(|(session, is_poll)| world.hearings().arrives(number, now, session, is_poll));
    let orders = match message {
        Message::Poll(request, wait) => line.poll(request, wait).await,
        Message::Report(batch) => {
            let answer = line.report(batch.clone()).await;
            if let Ok(orders) = &answer {
                reports_are_of_holders(world, records, ant, &batch, &orders.stale);
            }
            answer
        }
        Message::Heartbeat(heartbeat) => line.heartbeat(heartbeat).await,
        Message::Log(_) if world.weather().logs_full => {
            return Err(LinkError::Unreachable("the disk is full".to_owned()));
        }
        Message::Log(chunk) => {
            let (attempt, token) = (chunk.attempt_id.clone(), chunk.token);
            let answer = line.append_log(ant, chunk).await;
            let lease = records.lease(&attempt);
            let of_holder = [format!("LEASED {token} {ant}"), format!("RUNNING {token} {ant}")].contains(&lease);
            if answer.is_ok() && !of_holder {
                world.violated(format!("{ant} wrote into the log of {attempt} under {token}, which is {lease}"));
            }
            answer.map(|()| none)
        }
        Message::Put(digest, size, bytes) => return put(world, line, &digest, size, &bytes).await,
        Message::Get(digest) => return get(world, line, &digest).await,
    }
    .map_err(refused)?;
    let mut hearings = world.hearings();
    if let Some(sign) = sign {
        hearings.answered(number, sign);
    }
    for assignment in &orders.assignments {
        hearings.gives(&assignment.attempt_id, world.queen_clock.monotonic());
    }
    drop(hearings);
    Ok(Answer { orders, content: None })
}

/// A content comes whole, into a file of the queen's own.
async fn put(world: &World, line: &AntLine, digest: &Digest, size: u64, bytes: &[u8]) -> Result<Answer, LinkError> {
    if world.weather().logs_full {
        return Err(LinkError::Unreachable("the disk is full".to_owned()));
    }
    let file = world.dir.join("queen/arriving");
    fs::write(&file, bytes).unwrap();
    let stored = line.put_blob(digest, size, &file).await;
    stored.map(|()| Answer::default()).map_err(|error| no_blob(digest, error.to_string()))
}

async fn get(world: &World, line: &AntLine, digest: &Digest) -> Result<Answer, LinkError> {
    let file = world.dir.join("queen/leaving");
    line.get_blob(digest, &file).await.map_err(|error| no_blob(digest, error.to_string()))?;
    let content = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    Ok(Answer { orders: Orders::default(), content: Some(content) })
}

fn no_blob(digest: &Digest, detail: String) -> LinkError {
    LinkError::Blob { digest: digest.clone(), detail }
}

/// The end of an attempt counts only with the token of its lease.
fn reports_are_of_holders(world: &World, records: &Records, ant: &AntId, batch: &ReportBatch, stale: &[AttemptId]) {
    let ends = batch.reports.iter().filter(|report| matches!(report.body, ReportBody::Finished(_)));
    for report in ends.filter(|report| !stale.contains(&report.attempt_id)) {
        let lease = records.lease(&report.attempt_id);
        if lease != format!("FINISHED {} {ant}", report.token) {
            let (attempt, token) = (&report.attempt_id, report.token);
            world.violated(format!("the end of {attempt} was taken from {ant} under {token}, which is {lease}"));
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn refused(error: LineError) -> LinkError {
    match &error {
        LineError::Log(LogError::Write { .. } | LogError::Read { .. })
        | LineError::Refused(Refusal::Unavailable { .. }) => LinkError::Unreachable(error.to_string()),
        LineError::Refused(Refusal::Conflict { code: STALE_TOKEN, .. }) => LinkError::Stale(error.to_string()),
        LineError::Refused(Refusal::Conflict { code: JOB_DAMAGED, .. }) => LinkError::NotNow(error.to_string()),
        _ => LinkError::Refused(error.to_string()),
    }
}

#[async_trait::async_trait]
impl QueenLink for SimLink {
    async fn poll(&self, request: PollRequest, wait: Duration) -> Result<Orders, LinkError> {
        let wait = wait.min(Duration::from_secs(30));
        self.call(Message::Poll(request, wait), wait + PATIENCE).await.map(|answer| answer.orders)
    }

    async fn report(&self, batch: ReportBatch) -> Result<Orders, LinkError> {
        self.call(Message::Report(batch), PATIENCE).await.map(|answer| answer.orders)
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Orders, LinkError> {
        self.call(Message::Heartbeat(heartbeat), PATIENCE).await.map(|answer| answer.orders)
    }

    async fn append_log(&self, chunk: LogChunk) -> Result<(), LinkError> {
        self.call(Message::Log(chunk), PATIENCE).await.map(drop)
    }

    async fn put_blob(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), LinkError> {
        let bytes = fs::read(file).map_err(|error| no_blob(digest, format!("it cannot be read: {error}")))?;
        self.call(Message::Put(digest.clone(), size, bytes.into()), PATIENCE).await.map(drop)
    }

    async fn get_blob(&self, digest: &Digest, to: &Path) -> Result<(), LinkError> {
        let bytes = self.call(Message::Get(digest.clone()), PATIENCE).await?.content.unwrap_or_default();
        let found = digest_of(&bytes);
        if found != *digest {
            self.world.violated(format!("{} was given {found} for {digest}", self.ant));
        }
        if self.world.weather().full_disks.contains(&self.number) {
            return Err(no_blob(digest, "it cannot be written: the disk is full".to_owned()));
        }
        let written = fs::File::create_new(to).and_then(|_| fs::write(to, &bytes));
        written.map_err(|error| no_blob(digest, format!("it cannot be written: {error}")))
    }
}
