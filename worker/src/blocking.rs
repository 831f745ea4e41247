//! Work that blocks: on a thread where it may.

use tokio::task::JoinError;

/// Runs it there and waits for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_on() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}
