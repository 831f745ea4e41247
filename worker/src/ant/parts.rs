//! The long-lived parts of an ant: one that fails is begun anew, so often as is sensible; then the ant is lost.

use std::future::Future;
use std::time::Duration;

use atta_core::resilience::{Board, RestartPolicy, Verdict, panic_text};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Runs a part. With a policy it is begun anew when it panics; without one, or when it does so too often, `lost` is
/// cancelled. How long a part is busy is not watched: what it waits for has limits of its own.
pub(super) fn run<F>(
    board: &Board,
    name: &str,
    policy: Option<RestartPolicy>,
    lost: &CancellationToken,
    mut make: impl FnMut() -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let component = board.begin(name, policy, Duration::MAX);
    let lost = lost.clone();
    tokio::spawn(async move {
        while let Err(error) = AbortOnDropHandle::new(tokio::spawn(make())).await {
            if !error.is_panic() {
                break;
            }
            let reason = panic_text(&*error.into_panic());
            match component.failed(&reason) {
                Verdict::Restart(pause) => {
                    tracing::error!(part = component.name(), reason, "a part of the ant failed: it is begun anew");
                    tokio::time::sleep(pause).await;
                    component.begun();
                }
                Verdict::End(why) => {
                    tracing::error!(why, "a part of the ant is lost: the ant ends");
                    lost.cancel();
                    return;
                }
            }
        }
        component.stopped();
    })
}
