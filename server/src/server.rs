//! The queen with her data plane, and the HTTP server in front of them.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atta_core::budget::Caps;
use atta_core::engine::AttemptState;
use atta_core::protocol::AttemptId;
use atta_core::protocol::access::Fingerprint;
use atta_core::resilience::{Board, ComponentReport};
use atta_core::time::{Clock, Entropy};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::artifacts::{ArtifactError, ArtifactStore, LocalArtifacts, Uploads};
use crate::auth::AuthMode;
use crate::backup::Hold;
use crate::directory::Directory;
use crate::line::AntLine;
use crate::links::Links;
use crate::listen::{Listening, Patience};
use crate::logs::{LogError, LogStore};
use crate::notify::{Notifier, NotifierParts, NotifyConfig};
use crate::regulator::Regulator;
use crate::scheduler::{Database, OpenError, Queen, QueenConfig};
use crate::secrets::KeySource;
use crate::standby::Standby;
use crate::store::Reads;
use crate::sweeper::{Keeping, Sweeper};
use crate::telemetry;
use crate::tls::{self, TlsError, TlsSource};
use crate::watch::Watch;

/// How long requests in flight may take after a shutdown was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// Everything that a server needs from outside.
pub struct ServerConfig {
    /// Directory of logs, artifacts and keys, and of the database when it is a file; created when absent.
    pub data_dir: PathBuf,
    /// Where the database is.
    pub database: Database,
    /// Where to listen; `None`: no HTTP at all (`atta run`).
    pub listen: Option<SocketAddr>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Whether cron schedules fire.
    pub schedules: bool,
    /// Where the keys of secrets come from.
    pub secrets_key: KeySource,
    /// Who holds which role.
    pub directory: Arc<dyn Directory>,
    /// When nothing is heard of an ant for so long, what it runs counts as lost.
    pub lease: Duration,
    /// What all agents together may use on one day (UTC).
    pub budget_per_day: Caps,
    /// How many attempts may be typed into at once.
    pub terminal_sessions: u32,
    /// How notifications are sent; `None`: not at all (`atta run`).
    pub notify: Option<NotifyConfig>,
    /// The address under which people reach this server; the one that it listens on when absent.
    pub public_url: Option<String>,
    /// How long things are kept.
    pub keeping: Keeping,
    /// The certificate to show; `None`: no TLS.
    pub tls: Option<TlsSource>,
    /// Whose requests are answered.
    pub auth: AuthMode,
    /// The files of the dashboard.
    pub dashboard: crate::dashboard::Files,
    /// The version that `/api/v1/version` shows.
    pub version: &'static str,
    /// Renders `/metrics`; the recorder itself is installed by the program, once. `None`: there is no such route.
    pub metrics: Option<PrometheusHandle>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Others can reach the address, and something is missing that it needs then.
    #[error("{address} is not a loopback address, so others can reach it: {missing}, or listen on 127.0.0.1 or [::1]")]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// What to do.
        missing: &'static str,
    },
    /// The certificate.
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] TlsError),
    /// Somebody else listens there.
    #[error("{0} is already in use; stop the program that listens there or choose another address with --listen")]
    AddressInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The address is not listened on any more.
    #[error("the server's address is lost: {0}")]
    Listen(io::Error),
    /// The data directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The directory of logs.
    #[error(transparent)]
    Logs(#[from] LogError),
    /// What notifications need.
    #[error("notifications cannot be sent: {0}")]
    Notify(String),
    /// The key of signed links.
    #[error("the key of signed links cannot be used: {0}")]
    Links(io::Error),
    /// The directory of artifacts.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
}

/// A running server.
pub struct Server {
    queen: Queen,
    reads: Reads,
    logs: LogStore,
    artifacts: Arc<dyn ArtifactStore>,
    local_addr: Option<SocketAddr>,
    fingerprint: Option<Fingerprint>,
    stop: CancellationToken,
    sweeper: JoinHandle<()>,
    watch: Watch,
    regulating: Option<JoinHandle<()>>,
    http: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    notifier: tokio::sync::Mutex<Option<Notifier>>,
}

impl Server {
    /// Takes the address, opens the data directory and serves. When this returns, requests are answered.
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        // First, because it is quick and changes nothing. Clients that connect now wait until all is ready.
        let listener = match config.listen {
            Some(address) => {
                check_exposure(address, config.tls.is_some(), config.auth)?;
                Some(bind(address).await?)
            }
            None => None,
        };
        let local_addr = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let watch = Watch::new(Arc::clone(&config.clock), Arc::clone(&config.entropy));
        let started = config.clock.now();
        #[expect(clippy::cast_precision_loss, reason = "an instant for people")]
        telemetry::describe(config.version, started.0 as f64 / 1000.0);
        let data_dir = config.data_dir;
        let tls = config.tls.map(|source| tls::open(&source, &data_dir)).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let fingerprint = tls.as_ref().map(|tls| tls.fingerprint);
        let (standby, listener, on_standby) = match (listener, &config.database) {
            (Some(listener), Database::Postgres(_)) => {
                Standby::prepare(listener, tls.clone(), api::standby_router(config.version))?
            }
            (listener, _) => (None, listener, None),
        };
        let queen = Box::pin(Queen::open(QueenConfig {
            data_dir: data_dir.clone(),
            database: config.database,
            on_standby,
            clock: Arc::clone(&config.clock),
            entropy: Arc::clone(&config.entropy),
            schedules: config.schedules,
            secrets_key: config.secrets_key,
            directory: Arc::clone(&config.directory),
            lease: config.lease,
            budget_per_day: config.budget_per_day,
            terminal_sessions: config.terminal_sessions,
        }))
        .await?;
        drop(standby);
        if let Err(error) = Hold::make(&data_dir) {
            tracing::error!(%error, "backup.lock cannot be used: nothing that has expired will be removed");
        }
        queen.is_part(watch.vital("writer"));
        let stores = LogStore::open(&data_dir.join("logs"))
            .map_err(StartError::from)
            .and_then(|logs| Ok((logs, LocalArtifacts::open(&data_dir.join("artifacts"))?)))
            .and_then(|(logs, artifacts)| Ok((logs, artifacts, Uploads::open(&data_dir.join("uploads"))?)));
        let (logs, artifacts, uploads) = match stores {
            Ok(stores) => stores,
            Err(error) => {
                queen.shutdown().await;
                return Err(error);
            }
        };
        let artifacts: Arc<dyn ArtifactStore> = Arc::new(artifacts);
        let reads = Reads::new(queen.store().clone());
        close_logs(&watch, &queen, &logs, &reads);
        let links = match Links::open(&data_dir, &*config.entropy) {
            Ok(links) => Arc::new(links),
            Err(error) => {
                queen.shutdown().await;
                return Err(StartError::Links(error));
            }
        };
        let public_url = config.public_url.map(|url| url.trim_end_matches('/').to_owned());
        let notifier = match config.notify {
            None => None,
            Some(notify) => {
                let own = local_addr.map(|address| format!("{scheme}://{address}")).unwrap_or_default();
                let started = Notifier::start(
                    NotifierParts {
                        config: notify,
                        queen: queen.clone(),
                        reads: reads.clone(),
                        links: Arc::clone(&links),
                        clock: Arc::clone(&config.clock),
                        entropy: Arc::clone(&config.entropy),
                        public_url: public_url.clone().unwrap_or(own),
                    },
                    &watch,
                );
                match started {
                    Ok(notifier) => Some(notifier),
                    Err(error) => {
                        queen.shutdown().await;
                        return Err(StartError::Notify(error));
                    }
                }
            }
        };
        let sweeper = Sweeper {
            queen: queen.clone(),
            logs: logs.clone(),
            artifacts: Arc::clone(&artifacts),
            uploads: uploads.clone(),
            clock: Arc::clone(&config.clock),
            keeping: config.keeping,
            data_dir: data_dir.clone(),
        };
        let sweeper = sweeper.start(&watch);
        let regulator = Arc::new(Regulator::open(queen.clone(), &data_dir));
        // `atta run` does its one job whatever the machine is like.
        let regulating = listener.is_some().then(|| {
            let regulator = Arc::clone(&regulator);
            watch.run("regulator", move |component| Arc::clone(&regulator).run(component))
        });
        let stop = CancellationToken::new();
        let listener = listener.map(|listener| Listening::new(listener, tls.as_ref())).transpose();
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                queen.shutdown().await;
                return Err(StartError::Listen(error));
            }
        };
        let http = listener.map(|listener| {
            let router = api::router(api::Context {
                queen: queen.clone(),
                reads: reads.clone(),
                logs: logs.clone(),
                artifacts: Arc::clone(&artifacts),
                uploads,
                line: AntLine::new(queen.clone(), logs.clone(), Arc::clone(&artifacts)),
                clock: config.clock,
                entropy: config.entropy,
                directory: Arc::clone(&config.directory),
                links,
                public_url,
                data_dir: Arc::new(data_dir),
                version: config.version,
                metrics: config.metrics,
                stop: stop.clone(),
                limits: api::DataLimits::default(),
                auth: config.auth,
                failures: Arc::default(),
                dashboard: config.dashboard,
                routes: Arc::default(),
                watch: watch.clone(),
                regulator: Arc::clone(&regulator),
                scheme,
            });
            let serving = serve(listener, router, stop.clone());
            watch.run_once("http", async move {
                serving.await;
                Ok(())
            })
        });
        Ok(Self {
            queen,
            reads,
            logs,
            artifacts,
            local_addr,
            fingerprint,
            stop,
            sweeper,
            watch,
            regulating,
            http: tokio::sync::Mutex::new(http),
            notifier: tokio::sync::Mutex::new(notifier),
        })
    }

    /// Where an ant in this process says what it has to say.
    pub fn ant_line(&self) -> AntLine {
        AntLine::new(self.queen.clone(), self.logs.clone(), Arc::clone(&self.artifacts))
    }

    /// Decides and records.
    pub fn queen(&self) -> &Queen {
        &self.queen
    }

    /// Resources as the API shows them.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Returns when a part of the server is lost that cannot be begun anew, or was too often: the sentence says why.
    /// Then the process has to end.
    pub async fn lost(&self) -> String {
        tokio::select! {
            why = self.watch.lost() => why,
            () = self.queen.stopped() => {
                self.watch.board().fatal().unwrap_or_else(|| "the writer has stopped".to_owned())
            }
        }
    }

    /// How the parts of this process are; an ant in it enters its own.
    pub fn board(&self) -> &Arc<Board> {
        self.watch.board()
    }

    /// How all parts are now.
    pub fn components(&self) -> Vec<ComponentReport> {
        self.watch.report(&self.queen)
    }

    /// Attempt logs.
    pub fn logs(&self) -> &LogStore {
        &self.logs
    }

    /// Artifact contents.
    pub fn artifacts(&self) -> &Arc<dyn ArtifactStore> {
        &self.artifacts
    }

    /// The address that it listens on, with the real port when port 0 was asked for.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// The fingerprint of its certificate; `None`: there is no TLS.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// Its URL as seen from this machine, with the real port when port 0 was asked for.
    pub fn url(&self) -> Option<String> {
        let scheme = if self.fingerprint.is_some() { "https" } else { "http" };
        self.local_addr.map(|address| format!("{scheme}://{address}"))
    }

    /// Takes no more requests, ends streams, lets requests in flight finish (up to 5 s), then shuts the queen down.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.sweeper.abort();
        if let Some(regulating) = &self.regulating {
            regulating.abort();
        }
        if let Some(mut http) = self.http.lock().await.take()
            && tokio::time::timeout(GRACE, &mut http).await.is_err()
        {
            tracing::warn!("requests were cut off because they took too long after the shutdown began");
            http.abort();
        }
        if let Some(notifier) = self.notifier.lock().await.take() {
            notifier.stop().await;
        }
        self.queen.shutdown().await;
        self.logs.stop().await;
    }
}

/// Finishes the logs of attempts whose end no ant reports, and has those compressed that were left over. Ends with the
/// queen.
fn close_logs(watch: &Watch, queen: &Queen, logs: &LogStore, reads: &Reads) {
    // Who asks again hears of no ends.
    let ends = Arc::new(tokio::sync::Mutex::new(queen.lease_ends()));
    let (logs, reads) = (logs.clone(), reads.clone());
    // It is not waited for: it ends by itself.
    let _part = watch.run("logs", move |_| {
        let (ends, logs, reads) = (Arc::clone(&ends), logs.clone(), reads.clone());
        async move {
            let catch_up = async {
                if let Err(error) = logs.catch_up(|attempt| is_over(&reads, attempt)).await {
                    tracing::warn!(%error, "logs that a server before this one left are not compressed");
                }
            };
            let finish = async {
                let mut ends = ends.lock().await;
                while let Some(attempt) = ends.recv().await {
                    logs.finish(&attempt);
                }
            };
            tokio::join!(catch_up, finish);
            Ok(())
        }
    });
}

/// Whether nothing more will be appended to the log of an attempt, as far as is known.
async fn is_over(reads: &Reads, attempt: AttemptId) -> bool {
    let Some((job, number)) = attempt.parts() else { return false };
    match reads.attempt_state(&job, number.0).await {
        Ok(state) => state == Some(AttemptState::Finished),
        Err(error) => {
            tracing::warn!(%attempt, %error, "it is not known whether a log may be compressed");
            false
        }
    }
}

/// Beyond loopback there are only encrypted requests of those with a token.
fn check_exposure(address: SocketAddr, tls: bool, auth: AuthMode) -> Result<(), StartError> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let missing = match (tls, auth) {
        (true, AuthMode::Required) => return Ok(()),
        (false, AuthMode::Required) => "give it TLS by --tls-generate, or by --tls-cert and --tls-key",
        (true, AuthMode::Open) => "let it ask for tokens by --auth required",
        (false, AuthMode::Open) => {
            "give it TLS by --tls-generate, or by --tls-cert and --tls-key, and let it ask for tokens by --auth required"
        }
    };
    Err(StartError::Exposed { address, missing })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse(address),
        _ => StartError::Bind { address, source },
    })
}

pub(crate) async fn serve(listener: Listening, router: axum::Router, stop: CancellationToken) {
    listener.serve(router, stop, Patience::default()).await;
}
