//! Runs one program under a shim and delivers its output while it runs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use super::log::Log;
use crate::ant::{Core, Order};
use crate::supervisor::{
    ExitRecord, Frame, FromShim, IsolationLevel, SpawnRequest, SpoolReader, StartFault, ToShim, next_frame,
};

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

/// For the delivery of output.
enum Delivery {
    /// The spool's file begins at `base` and has bytes up to `end`.
    Output { base: u64, end: u64 },
    /// A line of Atta's own.
    System(String),
}

/// Runs a program to the end of its tree and delivers all of its output. `on_start` hears how it is contained.
pub(super) async fn run(
    core: &Arc<Core>,
    request: &SpawnRequest,
    spool: PathBuf,
    log: &mut Log,
    mut orders: watch::Receiver<Order>,
    obedience: Obedience,
    on_start: impl FnOnce(IsolationLevel),
) -> Outcome {
    let stream = match core.launcher.start().and_then(|stream| {
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }) {
        Ok(stream) => stream,
        Err(error) => return Outcome::NoLauncher(error),
    };
    let (deliveries, mut to_deliver) = mpsc::unbounded_channel();
    let (taken, mut takings) = mpsc::unbounded_channel();
    let control = async {
        let mut conversation = Conversation { stream, deliveries, incoming: Vec::with_capacity(128) };
        conversation.hold(request, &mut takings, &mut orders, obedience, on_start).await
    };
    let deliver = async {
        let mut reader = SpoolReader::new(spool);
        while let Some(delivery) = to_deliver.recv().await {
            match delivery {
                Delivery::System(line) => log.system(&line).await,
                Delivery::Output { base, end } => {
                    log.spool(&mut reader, base, end).await;
                    // The conversation may be over.
                    let _ = taken.send(end);
                }
            }
        }
    };
    let (outcome, ()) = tokio::join!(control, deliver);
    log.end_of_output().await;
    if matches!(outcome, Outcome::ShimDied) {
        let core = core.clone();
        let name = request.name.clone();
        if let Err(panic) = tokio::task::spawn_blocking(move || core.plan.kill_attempt(&name)).await {
            tracing::error!(%panic, "the processes of an attempt without a shim were not killed");
        }
    }
    outcome
}

struct Conversation {
    stream: UnixStream,
    deliveries: mpsc::UnboundedSender<Delivery>,
    incoming: Vec<u8>,
}

impl Conversation {
    async fn hold(
        &mut self,
        request: &SpawnRequest,
        takings: &mut mpsc::UnboundedReceiver<u64>,
        orders: &mut watch::Receiver<Order>,
        obedience: Obedience,
        on_start: impl FnOnce(IsolationLevel),
    ) -> Outcome {
        let mut on_start = Some(on_start);
        if self.stream.write_all(&request.encode()).await.is_err() {
            return Outcome::ShimDied;
        }
        let mut obeyed = Order::Run;
        let mut orders_open = true;
        loop {
            let order = orders.borrow_and_update().clone();
            if order != obeyed {
                obeyed = order;
                self.pass_on(&obeyed, obedience).await;
            }
            tokio::select! {
                read = self.stream.read_buf(&mut self.incoming) => {
                    if !matches!(read, Ok(count) if count > 0) {
                        return Outcome::ShimDied;
                    }
                    loop {
                        match next_frame::<FromShim>(&mut self.incoming) {
                            Ok(None) => break,
                            Err(_) => return Outcome::ShimDied,
                            Ok(Some(FromShim::Started(level))) => {
                                if let Some(on_start) = on_start.take() {
                                    on_start(IsolationLevel::from_byte(level));
                                }
                            }
                            Ok(Some(FromShim::NotStarted(step, errno))) => {
                                let error = io::Error::from_raw_os_error(errno);
                                return Outcome::NotStarted(StartFault::from_byte(step), error);
                            }
                            Ok(Some(FromShim::Output { base, end })) => {
                                let _ = self.deliveries.send(Delivery::Output { base, end });
                            }
                            Ok(Some(FromShim::Exited(record))) => {
                                let (base, end) = record.spool;
                                if end > base {
                                    let _ = self.deliveries.send(Delivery::Output { base, end });
                                }
                                return Outcome::Ended(record);
                            }
                        }
                    }
                }
                Some(position) = takings.recv() => {
                    let _ = self.stream.write_all(&ToShim::Taken(position).encode()).await;
                }
                changed = orders.changed(), if orders_open => orders_open = changed.is_ok(),
            }
        }
    }

    async fn pass_on(&mut self, order: &Order, obedience: Obedience) {
        let message = match order {
            Order::Run => return,
            Order::Stop(_) if obedience == Obedience::Forget => return,
            Order::Stop(reason) => {
                let _ = self.deliveries.send(Delivery::System(format!("stopping: {reason}")));
                ToShim::Stop
            }
            Order::Forget => ToShim::Kill,
        };
        // When this fails the shim is gone, which the next read shows.
        let _ = self.stream.write_all(&message.encode()).await;
    }
}
