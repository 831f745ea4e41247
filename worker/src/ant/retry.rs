//! Saying it again while the queen is away.

use std::future::Future;
use std::time::Duration;

use atta_core::resilience::{Backoff, Pauses};
use atta_core::time::Entropy;
use tokio::sync::watch;

use super::Order;
use crate::LinkError;

/// Between two tries to tell the queen something.
pub(crate) const SAY_AGAIN: Backoff =
    Backoff { first: Duration::from_millis(50), factor: 2, cap: Duration::from_secs(10) };

/// What became of a message.
pub(crate) enum Said<T> {
    Answer(T),
    Refused(LinkError),
    /// The attempt is to be forgotten; nobody waits for the answer.
    Forgotten,
}

/// Says something until there is an answer, or until the attempt is forgotten.
pub(crate) async fn say<T, F>(
    entropy: &dyn Entropy,
    orders: &mut watch::Receiver<Order>,
    mut message: impl FnMut() -> F,
) -> Said<T>
where
    F: Future<Output = Result<T, LinkError>>,
{
    let mut pauses = Pauses::new(SAY_AGAIN);
    let talk = async {
        loop {
            match message().await {
                Ok(answer) => return Said::Answer(answer),
                Err(LinkError::Unreachable(_)) => tokio::time::sleep(pauses.next(entropy)).await,
                Err(refusal) => return Said::Refused(refusal),
            }
        }
    };
    tokio::select! {
        biased;
        said = talk => said,
        () = forgotten(orders) => Said::Forgotten,
    }
}

/// Returns when the attempt is to be forgotten.
pub(crate) async fn forgotten(orders: &mut watch::Receiver<Order>) {
    if orders.wait_for(|order| matches!(order, Order::Forget)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
