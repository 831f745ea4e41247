//! HTTP: one file per resource.

use std::sync::Arc;

use atta_core::time::{Clock, Entropy};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::artifacts::ArtifactStore;
use crate::logs::LogStore;
use crate::scheduler::Queen;

/// What the handlers work with.
#[derive(Clone)]
pub struct Context {
    /// Decides.
    pub queen: Queen,
    /// Attempt logs.
    pub logs: LogStore,
    /// Artifact contents.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for request ids.
    pub entropy: Arc<dyn Entropy>,
    /// What `/api/v1/version` shows.
    pub version: &'static str,
    /// Renders `/metrics`.
    pub metrics: Option<PrometheusHandle>,
    /// Ends streams when the server stops.
    pub stop: CancellationToken,
}

/// All routes.
pub fn router(_context: Context) -> axum::Router {
    axum::Router::new()
}
