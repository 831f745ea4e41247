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

/// Waits for what the database says. In a simulation nothing else happens meanwhile.
pub(crate) async fn at_once<T>(work: impl Future<Output = T>) -> T {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_on() {
        return crate::simulation::at_once(work).await;
    }
    work.await
}
