//! The long-lived parts of the server: one that fails is begun anew, so often as is sensible; then the process ends.
//!
//! The writer and the HTTP server are not begun anew: the writer's memory may be wrong, and the server's address is lost.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use atta_core::resilience::{Board, Component, ComponentReport, ComponentState, RestartPolicy, Verdict, panic_text};
use atta_core::time::{Clock, Entropy, UnixMillis};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::scheduler::Queen;

/// One thing may keep a part busy for so long before it counts as stalled.
const LONGEST: Duration = Duration::from_secs(30);
/// The same for parts that remove many files, or wait for slow receivers.
const LONGEST_AT_LEISURE: Duration = Duration::from_mins(30);

/// The wall clock as it was given, and time that nobody sets.
struct Steady {
    clock: Arc<dyn Clock>,
    began: Instant,
}

impl Clock for Steady {
    fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Watches over the parts of a server.
#[derive(Clone)]
pub(crate) struct Watch {
    board: Arc<Board>,
    over: CancellationToken,
    policy: RestartPolicy,
}

impl Watch {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let clock = Arc::new(Steady { clock, began: Instant::now() });
        Self {
            board: Arc::new(Board::new(clock, entropy)),
            over: CancellationToken::new(),
            policy: RestartPolicy::default(),
        }
    }

    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// A part that is run by others, and that cannot be begun anew.
    pub(crate) fn vital(&self, name: &str) -> Component {
        self.board.begin(name, None, LONGEST)
    }

    /// Runs a part, and runs it again when it fails.
    pub(crate) fn run<F>(&self, name: &str, mut make: impl FnMut(Component) -> F + Send + 'static) -> JoinHandle<()>
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let component = self.board.begin(name, Some(self.policy), LONGEST_AT_LEISURE);
        let over = self.over.clone();
        tokio::spawn(async move {
            while let Some(reason) = ended(&component, make(component.clone())).await {
                match component.failed(&reason) {
                    Verdict::Restart(pause) => {
                        tracing::error!(
                            part = component.name(),
                            reason,
                            "a part of the server failed: it is begun anew"
                        );
                        let name = component.name().to_owned();
                        metrics::counter!("atta_component_restarts_total", "component" => name).increment(1);
                        tokio::time::sleep(pause).await;
                        component.begun();
                    }
                    Verdict::End(why) => {
                        tracing::error!(why, "a part of the server is lost: the server ends");
                        over.cancel();
                        return;
                    }
                }
            }
        })
    }

    /// Runs a part whose failure ends the server.
    pub(crate) fn run_once<F>(&self, name: &str, part: F) -> JoinHandle<()>
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let component = self.vital(name);
        let over = self.over.clone();
        tokio::spawn(async move {
            if let Some(reason) = ended(&component, part).await
                && let Verdict::End(why) = component.failed(&reason)
            {
                tracing::error!(why, "a part of the server is lost: the server ends");
                over.cancel();
            }
        })
    }

    /// Returns when a part is lost that cannot be begun anew, or was too often: why.
    pub(crate) async fn lost(&self) -> String {
        self.over.cancelled().await;
        self.board.fatal().unwrap_or_default()
    }

    /// How all parts are.
    pub(crate) fn report(&self, queen: &Queen) -> Vec<ComponentReport> {
        if let Some(writer) = queen.component() {
            writer.trouble(queen.health().err());
        }
        self.board.report()
    }
}

/// Runs it to its end: why it failed, if it did.
async fn ended(
    component: &Component,
    part: impl Future<Output = Result<(), String>> + Send + 'static,
) -> Option<String> {
    match AbortOnDropHandle::new(tokio::spawn(part)).await {
        Ok(Err(reason)) => Some(reason),
        Err(error) if error.is_panic() => Some(panic_text(&*error.into_panic())),
        Ok(Ok(())) | Err(_) => {
            component.stopped();
            None
        }
    }
}

/// What is wrong with a part, if something is.
pub(crate) fn problem(part: &ComponentReport) -> Option<String> {
    let why = || part.last_error.clone().unwrap_or_default();
    match part.state {
        ComponentState::Running | ComponentState::Stopped => None,
        ComponentState::Stalled => Some(format!("it has been busy with one thing since {}", part.since)),
        ComponentState::Restarting => Some(format!("it failed and is begun anew: {}", why())),
        ComponentState::Troubled | ComponentState::Failed => Some(why()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atta_core::resilience::Backoff;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Zero;

    impl Clock for Zero {
        fn now(&self) -> UnixMillis {
            UnixMillis(0)
        }
    }

    impl Entropy for Zero {
        fn next_u64(&self) -> u64 {
            0
        }
    }

    fn watch() -> Watch {
        let pause = Backoff { first: Duration::ZERO, factor: 1, cap: Duration::ZERO };
        let policy = RestartPolicy { pause, ..RestartPolicy::default() };
        Watch { policy, ..Watch::new(Arc::new(Zero), Arc::new(Zero)) }
    }

    #[tokio::test]
    async fn a_part_that_panics_is_begun_anew_and_its_reason_is_kept() {
        let watch = watch();
        let tries = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&tries);
        let part = watch.run("sweeper", move |_| {
            let nth = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(nth >= 2, "try {nth} failed");
                Ok(())
            }
        });
        part.await.unwrap();
        let report = &watch.board().report()[0];
        assert_eq!((tries.load(Ordering::SeqCst), report.restarts, report.state), (3, 2, ComponentState::Stopped));
        assert_eq!(report.last_error.as_deref(), Some("try 1 failed"));
    }

    #[tokio::test]
    async fn a_part_that_fails_again_and_again_ends_the_server_with_its_reason() {
        let watch = watch();
        let _part = watch.run("notifier", |_| async { Err("it cannot".to_owned()) });
        let why = watch.lost().await;
        assert_eq!(why, "notifier failed 6 times within 600 s, the last time because it cannot");
        assert_eq!(problem(&watch.board().report()[0]), Some(why));
    }

    #[tokio::test]
    async fn a_part_that_cannot_be_begun_anew_ends_the_server_at_once() {
        let watch = watch();
        let _part = watch.run_once("http", async { Err("the listener is gone".to_owned()) });
        assert_eq!(watch.lost().await, "http failed and cannot be begun anew safely: the listener is gone");
    }

    #[tokio::test]
    async fn a_part_that_is_told_to_end_takes_its_work_along() {
        let watch = watch();
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<()>(1);
        let part = watch.run("sweeper", move |_| {
            let sender = sender.clone();
            async move {
                let _held = sender;
                std::future::pending().await
            }
        });
        tokio::task::yield_now().await;
        part.abort();
        assert_eq!(receiver.recv().await, None, "nothing of it is left");
    }
}
