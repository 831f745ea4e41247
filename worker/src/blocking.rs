//! Work that blocks: on a thread where it may.

use std::io;

use tokio::task::JoinError;

/// Runs it there and waits for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_on() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}

/// Runs it on a thread of its own, for which nobody waits, not even the end of the process.
pub(crate) fn detached(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_on() {
        work();
        return Ok(());
    }
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}
