//! HTTP: one file per resource.
//!
//! * `envelope`: what every request goes through
//! * `access`: who may use which route
//! * `ant`: the line to remote ants
//! * `problem`, `request`, `page`: errors, bodies and queries, lists
//! * `definitions`, `rehearsals`, `configs`, `jobs`, `instances`, `events`, `logs`, `terminal`, `artifacts`, `hooks`,
//!   `outcomes`, `tokens`, `ants`, `health`: the resources
//! * `dashboard`: the page that people see at `/`
//! * `openapi`: the description that is made of them

mod access;
mod ant;
mod ants;
mod approval_page;
mod approvals;
mod artifacts;
mod attempts;
mod budgets;
mod configs;
mod dashboard;
mod definitions;
mod degradation;
mod envelope;
mod events;
mod health;
mod hooks;
mod instances;
mod jobs;
mod logs;
mod notifications;
mod openapi;
mod outcomes;
mod page;
mod problem;
mod rehearsals;
mod request;
mod standby;
mod terminal;
mod tokens;

pub(crate) use standby::standby_router;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::json_schema;
use atta_core::time::{Clock, Entropy};
use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;

use crate::artifacts::{ArtifactStore, Uploads};
use crate::auth::{AuthMode, Failures};
use crate::directory::Directory;
use crate::line::AntLine;
use crate::links::Links;
use crate::logs::LogStore;
use crate::regulator::Regulator;
use crate::scheduler::Queen;
use crate::store::Reads;
use crate::watch::Watch;
use access::{Access, Routes};
pub(crate) use access::{Peer, RouteTable};
use problem::ApiError;

/// Downloads that may run at once. Control requests are not counted.
const TRANSFERS: usize = 64;

/// Streams that may be open at once.
const STREAMS: usize = 512;

/// Artifacts that may be on their way from and to ants at once.
const BLOBS: usize = 64;

/// Rehearsals of jobs that may be played at once: they take a processor each.
const REHEARSALS: usize = 4;

/// Pieces of logs that are in memory at once.
const LOGS: usize = 32;

/// How long a piece of a log waits for its turn.
const LOG_TURN: Duration = Duration::from_secs(10);

/// What a JSON Schema is served as.
const SCHEMA_TYPE: &str = "application/schema+json";

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) queen: Queen,
    pub(crate) reads: Reads,
    pub(crate) logs: LogStore,
    pub(crate) artifacts: Arc<dyn ArtifactStore>,
    pub(crate) uploads: Uploads,
    /// Where ants' messages go.
    pub(crate) line: AntLine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) links: Arc<Links>,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The address under which people reach this server, without a slash at its end.
    pub(crate) public_url: Option<String>,
    pub(crate) data_dir: Arc<PathBuf>,
    pub(crate) version: &'static str,
    pub(crate) metrics: Option<PrometheusHandle>,
    /// Ends streams when the server stops.
    pub(crate) stop: CancellationToken,
    pub(crate) limits: DataLimits,
    /// Whose requests are answered.
    pub(crate) auth: AuthMode,
    pub(crate) failures: Arc<Failures>,
    /// The parts of this process.
    pub(crate) watch: Watch,
    /// What is left out.
    pub(crate) regulator: Arc<Regulator>,
    /// The page at `/`.
    pub(crate) dashboard: crate::dashboard::Files,
    /// Filled when the router is made.
    pub(crate) routes: Arc<RouteTable>,
}

/// Log and artifact traffic has limits of its own, so that it cannot hold up a cancel.
#[derive(Clone)]
pub(crate) struct DataLimits {
    transfers: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    blobs: Arc<Semaphore>,
    logs: Arc<Semaphore>,
    rehearsals: Arc<Semaphore>,
}

impl Default for DataLimits {
    fn default() -> Self {
        Self {
            transfers: Arc::new(Semaphore::new(TRANSFERS)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            blobs: Arc::new(Semaphore::new(BLOBS)),
            logs: Arc::new(Semaphore::new(LOGS)),
            rehearsals: Arc::new(Semaphore::new(REHEARSALS)),
        }
    }
}

impl DataLimits {
    /// For an artifact from or to an ant.
    fn blob_permit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        permit(&self.blobs, format_args!("{BLOBS} artifacts are on their way already"))
    }

    /// For a piece of a log; waits for its turn.
    async fn log_permit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let full =
            || ApiError::unavailable("TOO_MANY_TRANSFERS", "logs come faster than they are stored: try again later");
        match tokio::time::timeout(LOG_TURN, Arc::clone(&self.logs).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(full()),
        }
    }
}

impl Context {
    fn transfer_permit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        permit(&self.limits.transfers, format_args!("{TRANSFERS} downloads run already"))
    }

    fn rehearsal_permit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.limits.rehearsals).try_acquire_owned().map_err(|_| {
            let detail = format!("{REHEARSALS} rehearsals are played already: try again in a moment");
            ApiError::unavailable("TOO_MANY_REHEARSALS", detail)
        })
    }

    fn stream_permit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        permit(&self.limits.streams, format_args!("{STREAMS} streams are open already"))
    }
}

fn permit(semaphore: &Arc<Semaphore>, full: std::fmt::Arguments<'_>) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(semaphore)
        .try_acquire_owned()
        .map_err(|_| ApiError::unavailable("TOO_MANY_TRANSFERS", format!("{full}: try again later")))
}

fn described() -> Routes {
    Routes::described_by(openapi::base())
        .merge(definitions::routes())
        .merge(rehearsals::routes())
        .merge(jobs::routes())
        .merge(attempts::routes())
        .merge(instances::routes())
        .merge(events::routes())
        .merge(outcomes::routes())
        .merge(approvals::routes())
        .merge(notifications::routes())
        .merge(logs::routes())
        .merge(terminal::routes())
        .merge(artifacts::routes())
        .merge(configs::routes())
        .merge(hooks::routes())
        .merge(tokens::routes())
        .merge(ants::routes())
        .merge(budgets::routes())
        .merge(ant::routes())
        .merge(degradation::routes())
        .merge(health::routes())
}

/// The API's description as it is served at `/api/v1/openapi.json`.
pub fn openapi() -> OpenApi {
    openapi::finish(described().split().1)
}

/// All routes.
pub(crate) fn router(mut context: Context) -> Router {
    let api = Arc::new(openapi());
    let routes = described()
        .plain(
            Access::VIEWER,
            "/api/v1/schema/job-definition.json",
            get(async || ([(CONTENT_TYPE, SCHEMA_TYPE)], json_schema().to_string())),
        )
        .plain(Access::VIEWER, "/api/v1/openapi.json", get(move || async move { Json(Arc::clone(&api)) }));
    let (router, _, table) = dashboard::add(routes).split();
    context.routes = Arc::new(table);
    router
        // An empty 404: the envelope says the rest.
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(from_fn_with_state(context.clone(), envelope::wrap))
        .with_state(context)
}
