//! Saying it again while the queen is away.

use std::future::Future;
use std::time::Duration;

use atta_core::time::Entropy;
use tokio::sync::watch;

use super::Order;
use crate::LinkError;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);

/// Exponential delays with full jitter.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after one more failure: uniform between nothing and a bound that doubles each time.
    pub(crate) fn next(&mut self, entropy: &dyn Entropy) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(entropy.next_u64() % micros)
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

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
    let mut backoff = Backoff::default();
    let talk = async {
        loop {
            match message().await {
                Ok(answer) => return Said::Answer(answer),
                Err(LinkError::Unreachable(_)) => tokio::time::sleep(backoff.next(entropy)).await,
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
