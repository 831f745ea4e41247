//! A program under a shim: its output is delivered while it runs, orders are passed on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::AttemptId;
use atta_core::protocol::terminal::TerminalOrder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc, watch};

use super::log::{Log, Part};
use super::memory::{Left, Memory};
use crate::ant::{Core, Kind, Order, Seal, Typing};
use crate::supervisor::{
    Attached, ExitRecord, Frame, FromShim, FromShimHalf, IsolationLevel, ShimStream, SpoolReader, StartFault, ToShim,
    ToShimHalf, next_frame,
};

/// Output that the queen has not taken; beyond it the program waits.
pub(super) const SPOOL_BOUND: u64 = 16 << 20;
/// How long a shim may take to end when it is not needed any more.
const ENDING: Duration = Duration::from_secs(5);

/// Which orders a program obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obedience {
    /// Stop and forget.
    All,
    /// Only forget: what runs after a stop.
    Forget,
}

/// How a program ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It ran.
    Ended(ExitRecord),
    /// It did not start.
    NotStarted(StartFault, io::Error),
    /// The launcher makes no shim.
    NoLauncher(io::Error),
    /// The shim died before it could say how the program ended.
    ShimDied,
}

impl Outcome {
    /// What a shim says at the end; `None` when it is not the end.
    pub(super) fn of(message: FromShim) -> Option<Self> {
        match message {
            FromShim::Exited(record) => Some(Self::Ended(record)),
            FromShim::NotStarted(step, errno) => {
                Some(Self::NotStarted(StartFault::from_byte(step), io::Error::from_raw_os_error(errno)))
            }
            _ => None,
        }
    }
}

/// The line to an attempt's shim.
pub(crate) struct ShimLine {
    reader: FromShimHalf,
    writer: Mutex<ToShimHalf>,
    incoming: Vec<u8>,
}

impl ShimLine {
    /// To a new shim.
    pub(super) fn start(core: &Core) -> io::Result<Self> {
        Self::over(core.launcher.start()?, Vec::with_capacity(128))
    }

    /// To the shim of an earlier ant.
    pub(super) fn attach(attached: Attached) -> io::Result<Self> {
        Self::over(attached.stream, attached.incoming)
    }

    fn over(stream: ShimStream, incoming: Vec<u8>) -> io::Result<Self> {
        let (reader, writer) = stream.into_halves()?;
        Ok(Self { reader, writer: Mutex::new(writer), incoming })
    }

    /// When this returns the shim will hear it, even if the ant is killed at once.
    pub(super) async fn say(&self, message: &ToShim) -> io::Result<()> {
        self.writer.lock().await.write_all(&message.encode()).await
    }

    /// Lets the shim end.
    pub(crate) async fn release(&self) {
        // When this fails it has ended.
        let _ = self.say(&ToShim::Release).await;
    }

    /// Waits until it has ended. If that takes too long it will find out by itself that nobody is there.
    pub(crate) async fn ended(mut self) {
        let end = async {
            let mut rest = [0; 256];
            while matches!(self.reader.read(&mut rest).await, Ok(count) if count > 0) {}
        };
        let _ = tokio::time::timeout(ENDING, end).await;
    }
}

/// For the delivery of output.
enum Delivery {
    /// The spool's file begins at `base` and has bytes up to `end`.
    Output { base: u64, end: u64, checkpoint: bool },
    /// A line of Atta's own: that it is being stopped.
    Stopping(String),
}

/// Where in a spool another ant was.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Its newest checkpoint.
    pub(super) position: u64,
    /// From here on it has said nothing to the queen.
    pub(super) unsaid_from: u64,
}

/// A program to follow.
pub(super) struct Followed<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) id: &'a AttemptId,
    pub(super) memory: &'a mut Memory,
    pub(super) log: &'a mut Log,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) obedience: Obedience,
    /// What is typed into it, when it has a terminal.
    pub(super) typing: Option<Arc<Typing>>,
    pub(super) spool: PathBuf,
    /// Where to go on in the spool.
    pub(super) place: Place,
    /// Another ant may have delivered more than what lies before `position`.
    pub(super) adopted: bool,
}

impl Followed<'_> {
    /// Follows a program to the end of its tree and delivers all of its output. `on_start` hears how it is contained.
    pub(super) async fn follow(self, line: &mut ShimLine, on_start: impl FnOnce(IsolationLevel)) -> Outcome {
        let Self { core, id, memory, log, mut orders, obedience, typing, spool, place, adopted } = self;
        let (deliveries, mut to_deliver) = mpsc::unbounded_channel();
        let ShimLine { reader, writer, incoming } = line;
        let writer = &*writer;
        let (quiet, share) = (memory.stopping_said, core.spool_share());
        let mut away = log.away();
        // With its end nothing more is to be delivered.
        let control = async move {
            let mut conversation =
                Conversation { core, id, reader, writer, deliveries, incoming, quiet, share, typing };
            conversation.hold(&mut orders, &mut away, obedience, on_start).await
        };
        let (mut behind, mut held) = (adopted, None);
        let deliver = async {
            let mut reader = SpoolReader::new(spool, place.position);
            log.say_pending().await;
            loop {
                let delivery = if log.is_held_up() {
                    tokio::select! {
                        biased;
                        delivery = to_deliver.recv() => delivery,
                        () = log.catch_up() => {
                            let mut keep = Keep { core, id, memory: &mut *memory, with: KeptBy::Shim(writer) };
                            keep.note(log, reader.position()).await;
                            continue;
                        }
                    }
                } else {
                    to_deliver.recv().await
                };
                let Some(delivery) = delivery else { break };
                let answer = match delivery {
                    // Between what the queen has already and the same once more there is no place for a line.
                    Delivery::Stopping(line) if behind => {
                        held = Some(line);
                        continue;
                    }
                    Delivery::Stopping(line) => {
                        say_stopping(&line, reader.position(), core, id, memory, log, writer).await;
                        continue;
                    }
                    Delivery::Output { base, end, checkpoint: wanted } => {
                        let part = Part { base, end, unsaid_from: place.unsaid_from };
                        let mut keep = Keep { core, id, memory: &mut *memory, with: KeptBy::Shim(writer) };
                        log.spool(&mut reader, part, &mut keep).await;
                        behind = false;
                        if let Some(line) = held.take() {
                            say_stopping(&line, end, core, id, memory, log, writer).await;
                        }
                        if wanted { checkpoint(&core.seal, id, memory, log, end) } else { Ok(ToShim::Taken(end)) }
                    }
                };
                // The conversation may be over.
                tell(writer, answer).await;
            }
        };
        let (outcome, ()) = tokio::join!(control, deliver);
        if let (Some(line), Outcome::Ended(record)) = (held, &outcome) {
            say_stopping(&line, record.spool.1, core, id, memory, log, writer).await;
        }
        log.end_of_output().await;
        outcome
    }

    /// The same for a program whose shim has left.
    pub(super) async fn deliver_what_is_left(self, record: &ExitRecord, left: &mut Left) {
        let (base, end) = record.spool;
        let part = Part { base, end, unsaid_from: self.place.unsaid_from };
        let mut reader = SpoolReader::new(self.spool, self.place.position);
        self.log.say_pending().await;
        // From now on the queen may have any of it.
        if left.here.told.replace(end) != Some(end)
            && let Err(error) = left.rewrite(&self.core.attempts_dir.join(&self.id.0)).await
        {
            tracing::error!(attempt = %self.id, %error, "an attempt's checkpoint cannot be kept");
        }
        let mut keep = Keep { core: self.core, id: self.id, memory: self.memory, with: KeptBy::Nobody(left) };
        self.log.spool(&mut reader, part, &mut keep).await;
        self.log.end_of_output().await;
    }
}

/// Keeps for the next ant how far a log is, at once: what was left out it leaves out too.
pub(super) struct Keep<'a> {
    core: &'a Core,
    id: &'a AttemptId,
    memory: &'a mut Memory,
    with: KeptBy<'a>,
}

/// What is there of an attempt besides its ant.
enum KeptBy<'a> {
    Shim(&'a Mutex<ToShimHalf>),
    /// Its shim has left this.
    Nobody(&'a mut Left),
}

impl Keep<'_> {
    /// It is at this position of the spool. True: that is on the disk, and nobody needs what lies before it.
    pub(super) async fn note(&mut self, log: &Log, position: u64) -> bool {
        let made = checkpoint(&self.core.seal, self.id, self.memory, log, position);
        match (&mut self.with, made) {
            (KeptBy::Nobody(left), Ok(ToShim::Checkpoint { position, state })) => {
                let kept = left.keep(&self.core.attempts_dir.join(&self.id.0), position, state).await;
                if let Err(error) = &kept {
                    tracing::error!(attempt = %self.id, %error, "an attempt's checkpoint cannot be kept");
                }
                return kept.is_ok();
            }
            (KeptBy::Shim(writer), made) => tell(writer, made).await,
            (KeptBy::Nobody(_), made) => {
                if let Err(error) = made {
                    tracing::error!(%error, "an attempt's checkpoint cannot be made");
                }
            }
        }
        false
    }
}

/// What another ant needs to go on from here.
pub(super) fn checkpoint(
    seal: &Seal,
    id: &AttemptId,
    memory: &mut Memory,
    log: &Log,
    position: u64,
) -> io::Result<ToShim> {
    memory.log = log.state();
    let state = seal.seal(id, Kind::Memory, &*memory)?;
    Ok(ToShim::Checkpoint { position, state })
}

/// Says that the attempt is being stopped, so that another ant would say it at the same place of the log, and once.
async fn say_stopping(
    line: &str,
    position: u64,
    core: &Core,
    id: &AttemptId,
    memory: &mut Memory,
    log: &mut Log,
    writer: &Mutex<ToShimHalf>,
) {
    // What is held up is not to be held up in what is kept: more than that was said then.
    log.catch_up().await;
    log.prepare(line);
    memory.stopping_said = true;
    tell(writer, checkpoint(&core.seal, id, memory, log, position)).await;
    log.say_pending().await;
}

async fn tell(writer: &Mutex<ToShimHalf>, message: io::Result<ToShim>) {
    match message {
        // When this fails the shim is gone, which the next read shows.
        Ok(message) => {
            let _ = writer.lock().await.write_all(&message.encode()).await;
        }
        Err(error) => tracing::error!(%error, "an attempt's checkpoint cannot be made"),
    }
}

struct Conversation<'a> {
    core: &'a Core,
    id: &'a AttemptId,
    reader: &'a mut FromShimHalf,
    writer: &'a Mutex<ToShimHalf>,
    deliveries: mpsc::UnboundedSender<Delivery>,
    incoming: &'a mut Vec<u8>,
    /// The log says already that it is being stopped.
    quiet: bool,
    /// How much the spool may grow while the queen is away.
    share: u64,
    typing: Option<Arc<Typing>>,
}

impl Conversation<'_> {
    async fn hold(
        &mut self,
        orders: &mut watch::Receiver<Order>,
        away: &mut watch::Receiver<bool>,
        obedience: Obedience,
        on_start: impl FnOnce(IsolationLevel),
    ) -> Outcome {
        let mut on_start = Some(on_start);
        let mut obeyed = Order::Run;
        let (mut orders_open, mut away_open) = (true, true);
        loop {
            // Something may have come with the shim's greeting.
            loop {
                match next_frame::<FromShim>(self.incoming) {
                    Ok(None) => break,
                    Err(_) => return Outcome::ShimDied,
                    Ok(Some(FromShim::Started(level))) => {
                        if let Some(on_start) = on_start.take() {
                            on_start(IsolationLevel::from_byte(level));
                        }
                    }
                    Ok(Some(FromShim::Output { base, end, checkpoint })) => {
                        let _ = self.deliveries.send(Delivery::Output { base, end, checkpoint });
                    }
                    Ok(Some(end)) => {
                        let Some(outcome) = Outcome::of(end) else { continue };
                        if let Outcome::Ended(record) = &outcome
                            && record.spool.1 > record.spool.0
                        {
                            let (base, end) = record.spool;
                            let _ = self.deliveries.send(Delivery::Output { base, end, checkpoint: false });
                        }
                        return outcome;
                    }
                }
            }
            let order = orders.borrow_and_update().clone();
            if order != obeyed {
                obeyed = order;
                self.pass_on(&obeyed, obedience).await;
            }
            while let Some(order) = self.typing.as_ref().and_then(|typing| typing.pop()) {
                self.type_in(order).await;
            }
            let typing = self.typing.clone();
            let more = async {
                match &typing {
                    Some(typing) => typing.more().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                read = self.reader.read_buf(self.incoming) => {
                    if !matches!(read, Ok(count) if count > 0) {
                        return Outcome::ShimDied;
                    }
                }
                changed = orders.changed(), if orders_open => orders_open = changed.is_ok(),
                () = more => {}
                changed = away.changed(), if away_open => {
                    away_open = changed.is_ok();
                    let thin = *away.borrow_and_update();
                    let bytes = if thin { self.share } else { SPOOL_BOUND };
                    tell(self.writer, Ok(ToShim::Bound { bytes, thin })).await;
                }
            }
        }
    }

    /// Passes on what somebody types. What a shim was told it types, whatever becomes of this ant.
    async fn type_in(&self, order: TerminalOrder) {
        let TerminalOrder { line, position, bytes, size, .. } = order;
        let mut writer = self.writer.lock().await;
        if let Some(size) = size {
            let frame = ToShim::Resize { columns: size.columns, rows: size.rows }.encode();
            // When this fails the shim is gone, which the next read shows.
            let _ = writer.write_all(&frame).await;
        }
        if bytes.is_empty() {
            return;
        }
        let upto = position + bytes.len() as u64;
        if writer.write_all(&ToShim::Input { line, position, bytes }.encode()).await.is_ok() {
            self.core.note_typed(self.id, line, upto);
        }
    }

    async fn pass_on(&mut self, order: &Order, obedience: Obedience) {
        let message = match order {
            Order::Run => return,
            Order::Stop(_) if obedience == Obedience::Forget => return,
            Order::Stop(reason) => {
                if !self.quiet {
                    let _ = self.deliveries.send(Delivery::Stopping(format!("stopping: {reason}")));
                }
                self.core.seal.seal(self.id, Kind::Reason, reason).map(ToShim::Stop)
            }
            Order::Forget => Ok(ToShim::Kill),
        };
        tell(self.writer, message).await;
    }
}
