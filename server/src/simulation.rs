//! What a simulation needs of the real queen: that nothing happens beside the thread on which she runs, that she can be
//! killed between two steps, and that she can be made faulty on purpose, to show that the simulation would see it.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// A fault that is put into the queen on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Tokens are not looked at.
    Fencing,
    /// What was heard before is not recognised.
    Sequences,
    /// Events are stored in a transaction of their own, after what they mean.
    Transactions,
}

/// Where the queen can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Everything is written, nothing is stored.
    BeforeCommit,
    /// All is stored, nobody was told.
    AfterCommit,
}

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static SABOTAGE: Cell<Option<Sabotage>> = const { Cell::new(None) };
    static CRASH_AT: Cell<Option<Point>> = const { Cell::new(None) };
    static CRASHED: Cell<bool> = const { Cell::new(false) };
}

/// From now on queens of this thread are simulated.
pub fn enter(sabotage: Option<Sabotage>) {
    ON.set(true);
    SABOTAGE.set(sabotage);
    CRASH_AT.set(None);
    CRASHED.set(false);
}

/// The simulation is over.
pub fn leave() {
    ON.set(false);
    SABOTAGE.set(None);
    CRASH_AT.set(None);
    CRASHED.set(false);
}

/// The queen is to stop where she comes to this point; `None`: nowhere.
pub fn crash_at(point: Option<Point>) {
    CRASH_AT.set(point);
    CRASHED.set(false);
}

/// Whether she has stopped there.
pub fn has_crashed() -> bool {
    CRASHED.get()
}

/// Does something that waits for the database only, before anything else happens on this thread.
pub fn now<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(tokio::task::unconstrained(work));
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(done);
        }
        if has_crashed() {
            return None;
        }
        std::thread::park();
    }
}

/// Like [`now`], for what has no crash points in it.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(tokio::task::unconstrained(work));
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match work.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn is_on() -> bool {
    ON.get()
}

pub(crate) fn is_sabotaged(sabotage: Sabotage) -> bool {
    SABOTAGE.get() == Some(sabotage)
}

/// Like [`now`], in a task. After a crash it never returns, and the task is to be ended.
pub(crate) async fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match now(work.as_mut()) {
        Some(done) => done,
        None => std::future::pending().await,
    }
}

/// The queen passes here.
pub(crate) async fn pass(point: Point) {
    if CRASH_AT.get() == Some(point) {
        CRASH_AT.set(None);
        CRASHED.set(true);
        poll_fn(|_| Poll::<()>::Pending).await;
    }
}
