//! `atta serve`: the queen, the HTTP server and an ant in one process.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::Retention;
use atta_core::protocol::AntId;
use atta_core::secret::SecretText;
use atta_core::time::Clock as _;
use atta_server::auth::AuthMode;
use atta_server::secrets::KeySource;
use atta_server::store::{PostgresUrl, PostgresUrlError};
use atta_server::{Database, Keeping, Server, ServerConfig, TlsSource};
use atta_worker::{Ant, AntConfig, Launcher};
use tracing_subscriber::EnvFilter;

use crate::ambient::{self, SystemClock, SystemEntropy};
use crate::args::{AuthChoice, LogArgs, LogFormat, ServeArgs};
use crate::config_args::KeyArgs;
use crate::embedded::EmbeddedLink;
use crate::exit::{CommandResult, Exit, Failure, capitalised};
use crate::people;
use crate::shutdown::Signals;

/// What `/api/v1/version` shows.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("ATTA_COMMIT"), ")");

/// How the line begins that is printed when it is ready.
pub(crate) const READY: &str = "Atta is ready at ";

/// How long the HTTP side and the database may take to close at the end.
const CLOSING: Duration = Duration::from_secs(10);

/// A process cannot fork a new launcher once it has threads.
pub(crate) const LAUNCHER_LOST: &str = "The process launcher (atta-launcher) was killed, so no task can be started.";

/// A file that is named comes before keys in the environment, and those before the file in the data directory.
fn key_source(args: KeyArgs) -> KeySource {
    match (args.secrets_key_file, ambient::variable(ambient::SECRETS_KEY)) {
        (Some(file), _) => KeySource::File(file),
        (None, Some(keys)) => KeySource::Given(SecretText::new(keys)),
        (None, None) => KeySource::DataDir,
    }
}

/// Serves until a signal arrives.
pub(crate) async fn serve(args: ServeArgs, launcher: Launcher) -> CommandResult {
    start_log(&args.log)?;
    let mut signals = Signals::catch()?;
    let data_dir = data_dir(args.data_dir)?;
    let slots = args.slots.unwrap_or_else(ambient::default_slots);
    let auth = match args.auth {
        AuthChoice::Auto if args.listen.ip().to_canonical().is_loopback() => AuthMode::Open,
        AuthChoice::Auto | AuthChoice::Required => AuthMode::Required,
    };
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| Failure::failed(format!("Metrics cannot be collected: {error}.")))?;
    let starting = Server::start(ServerConfig {
        data_dir: data_dir.clone(),
        database: database(args.database.as_ref())?,
        listen: Some(args.listen),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        schedules: true,
        secrets_key: key_source(args.key),
        directory: Arc::new(people::directory(args.people.roles.as_deref())?),
        lease: atta_core::protocol::ant::DEFAULT_LEASE,
        // What is no limit is refused when it is read.
        budget_per_day: args.budget_per_day.unwrap_or_default().caps().unwrap_or_default(),
        terminal_sessions: args.terminal_sessions,
        notify: Some(people::notify(&args.people)?),
        public_url: people::public_url(&args.people)?,
        keeping: Keeping { retention: args.retention.map(Retention::all).unwrap_or_default(), ..Keeping::default() },
        tls: tls_source(args.tls_cert, args.tls_key, args.tls_generate, args.listen),
        auth,
        dashboard: crate::dashboard::file,
        version: VERSION,
        metrics: Some(metrics.clone()),
    });
    // It may have to wait until another server on its database is gone.
    let server = tokio::select! {
        started = starting => started.map_err(|error| start_failure(&error))?,
        signal = signals.next() => {
            tracing::info!(signal, "asked to stop before it was this server's turn");
            return Ok(Exit::Success);
        }
    };
    if auth == AuthMode::Required {
        say_how_to_begin(&server, &data_dir);
    }
    let http = args.http.policy();
    let starting = async {
        if slots == 0 {
            // Other ants do the work.
            drop(launcher);
            return Ok(None);
        }
        let tell = |config: &mut AntConfig| {
            args.keep.tell(config);
            args.spool.tell(config);
            config.http = http;
        };
        start_ant(&server, &data_dir, slots, launcher, tell).await.map(Some)
    };
    let ant = tokio::select! {
        ant = starting => ant,
        signal = signals.next() => {
            tracing::info!(signal, "asked to stop while starting");
            server.shutdown().await;
            return Ok(Exit::Success);
        }
    };
    let ant = match ant {
        Ok(ant) => ant,
        Err(failure) => {
            server.shutdown().await;
            return Err(failure);
        }
    };
    announce(&server, &data_dir, slots);
    let isolation = ant.as_ref().map_or("none", |ant| ant.isolation().as_str());
    tracing::info!(slots, isolation, data_dir = %data_dir.display(), "ready");
    let upkeep = tokio::spawn(keep_metrics_small(server.queen().latest_event(), metrics));

    let mut lost = false;
    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = launcher_lost(ant.as_ref()) => {
            lost = true;
            tracing::error!("{LAUNCHER_LOST}");
            "none"
        }
        why = part_lost(&server, ant.as_ref()) => {
            upkeep.abort();
            // The next server takes up what runs.
            if let Some(ant) = ant {
                ant.hand_over_now().await;
            }
            return Err(part_lost_failure(&server, &why));
        }
    };
    upkeep.abort();
    let interrupted = match ant {
        // Without a launcher nothing new can be started, and what runs does not need one.
        Some(ant) if args.hand_over || lost => {
            hand_over(&ant, signal).await;
            false
        }
        Some(ant) => stop(&server, &ant, signal, &mut signals, Duration::from_secs(args.shutdown_grace)).await?,
        None => false,
    };
    if tokio::time::timeout(CLOSING, server.shutdown()).await.is_err() {
        return Err(Failure::failed("The server did not close its database in time; the next start recovers it."));
    }
    tracing::info!(interrupted, "stopped");
    if lost {
        return Err(Failure::new(Exit::Failed, "LAUNCHER_LOST", LAUNCHER_LOST)
            .with_help("Start the server again: it goes on with the jobs where they are."));
    }
    Ok(Exit::Success)
}

/// Why the server cannot go on.
async fn part_lost(server: &Server, ant: Option<&Ant>) -> String {
    let of_ant = async {
        match ant {
            Some(ant) => ant.lost().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        why = server.lost() => why,
        why = of_ant => why,
    }
}

async fn launcher_lost(ant: Option<&Ant>) {
    match ant {
        Some(ant) => ant.launcher_lost().await,
        None => std::future::pending().await,
    }
}

fn tls_source(cert: Option<PathBuf>, key: Option<PathBuf>, generate: bool, listen: SocketAddr) -> Option<TlsSource> {
    if let (Some(certificate), Some(key)) = (cert, key) {
        return Some(TlsSource::Files { certificate, key });
    }
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = ambient::host_name();
    let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    names.extend(is_name.then_some(host));
    names.extend((!listen.ip().is_unspecified()).then(|| listen.ip().to_string()));
    names.sort();
    names.dedup();
    generate.then_some(TlsSource::Generated { names })
}

/// Nobody can make the first token over the network.
fn say_how_to_begin(server: &Server, data_dir: &Path) {
    if !server.queen().tokens().has_admin(SystemClock.now()) {
        tracing::warn!(
            "this server asks for tokens, and no admin has one: stop it, make one with `atta token create NAME --role admin \
             --data-dir {}`, and start it again",
            data_dir.display()
        );
    }
}

/// Where the database is.
pub(crate) fn database(url: Option<&SecretText>) -> CommandResult<Database> {
    let Some(url) = url else { return Ok(Database::File) };
    if std::env::args_os().any(|argument| argument.as_encoded_bytes().starts_with(b"--database"))
        && ambient::variable(ambient::DATABASE_URL).is_none()
        && url.reveal().split_once('@').is_some_and(|(before, _)| before.matches(':').count() > 1)
    {
        tracing::warn!(
            "everybody on this machine can see the password in --database: better set {} or use a .pgpass file",
            ambient::DATABASE_URL
        );
    }
    let url: PostgresUrl = url.reveal().parse().map_err(|error: PostgresUrlError| {
        Failure::usage(format!("--database is no address of a PostgreSQL database: {error}."))
    })?;
    Ok(Database::Postgres(url))
}

/// Why the server ends though nobody asked it to.
fn part_lost_failure(server: &Server, why: &str) -> Failure {
    if server.queen().is_overtaken() {
        let message = "Another server has taken over this database; this one has stopped and stored nothing since.";
        return Failure::new(Exit::Failed, "TAKEN_OVER", message)
            .with_help("Start it again: it waits until the other one is gone.");
    }
    Failure::new(Exit::Failed, "PART_LOST", format!("A part of the server is lost: {why}."))
        .with_help("What is stored is whole, and what runs goes on: start the server again.")
}

/// Starts the embedded ant of this server, which is told how it is to be.
pub(crate) async fn start_ant(
    server: &Server,
    data_dir: &Path,
    slots: u32,
    launcher: Launcher,
    tell: impl FnOnce(&mut AntConfig),
) -> CommandResult<Ant> {
    let mut config = AntConfig::new(
        AntId("local".to_owned()),
        data_dir.to_owned(),
        slots,
        Arc::new(SystemClock),
        Arc::new(SystemEntropy),
    );
    config.environment = ambient::environment_of_tasks();
    tell(&mut config);
    if server.queen().may_be_overtaken() {
        // The server before this one may hang with what it runs; the queen serves meanwhile.
        config.lock_wait = Duration::from_hours(24 * 365);
    }
    config.board = Some(Arc::clone(server.board()));
    let link = EmbeddedLink::new(config.id.clone(), server);
    Ant::start(config, launcher, Arc::new(link))
        .await
        .map_err(|error| Failure::failed(format!("The ant cannot start: {error}.")))
}

/// Why a server does not start, with the exit code.
pub(crate) fn start_failure(error: &atta_server::StartError) -> Failure {
    let mut message = capitalised(&error.to_string());
    if !message.ends_with('.') {
        message.push('.');
    }
    match error {
        atta_server::StartError::Exposed { .. } => Failure::new(Exit::Usage, "EXPOSED", message),
        _ => Failure::failed(message),
    }
}

/// What runs goes on, and the next process on the data directory takes it up.
pub(crate) async fn hand_over(ant: &Ant, signal: &str) {
    tracing::info!(signal, running = ant.running().len(), "what runs goes on; the next start takes it up");
    ant.hand_over().await;
}

/// First signal: finish what runs, within the grace. Second signal or the end of the grace: kill it. Whether attempts
/// were interrupted.
async fn stop(server: &Server, ant: &Ant, signal: &str, signals: &mut Signals, grace: Duration) -> CommandResult<bool> {
    let running = ant.running().len();
    if running > 0 {
        tracing::info!(
            signal,
            running,
            grace_seconds = grace.as_secs(),
            "finishing what runs; another signal kills it"
        );
    } else {
        tracing::info!(signal, "asked to stop");
    }
    tokio::select! {
        () = ant.drain() => return Ok(false),
        // It would wait for ever.
        why = part_lost(server, Some(ant)) => {
            ant.hand_over_now().await;
            return Err(part_lost_failure(server, &why));
        }
        second = signals.next() => tracing::warn!(signal = second, "killing what runs"),
        () = tokio::time::sleep(grace) => tracing::warn!("the grace is over: killing what runs"),
    }
    ant.abort().await;
    Ok(true)
}

/// The one line on stdout that says where the server is.
fn announce(server: &Server, data_dir: &Path, slots: u32) {
    let address = server.url().unwrap_or_default();
    let certificate = server.fingerprint().map(|print| format!(", certificate {print}")).unwrap_or_default();
    let line = format!("{READY}{address} (data in {}, {slots} slots{certificate})\n", data_dir.display());
    let mut stdout = std::io::stdout().lock();
    // When nobody reads stdout the server serves all the same.
    let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
}

/// Histograms keep every sample until somebody looks; here somebody does, but only after something happened: an idle
/// server does not wake up.
async fn keep_metrics_small(
    mut events: tokio::sync::watch::Receiver<i64>,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
) {
    while events.changed().await.is_ok() {
        tokio::time::sleep(Duration::from_secs(30)).await;
        metrics.run_upkeep();
    }
}

/// The data directory that is meant, absolute.
pub(crate) fn data_dir(given: Option<PathBuf>) -> CommandResult<PathBuf> {
    let dir = given.or_else(ambient::default_data_dir).ok_or_else(|| {
        Failure::usage("There is no data directory: neither ATTA_DATA_DIR nor HOME is set.")
            .with_help("Give --data-dir DIR.")
    })?;
    std::path::absolute(&dir).map_err(|error| Failure::usage(format!("{} is no directory: {error}.", dir.display())))
}

pub(crate) fn start_log(args: &LogArgs) -> CommandResult<()> {
    let filter = EnvFilter::try_new(&args.log)
        .map_err(|error| Failure::usage(format!("\"{}\" is no log filter: {error}.", args.log)))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let installed = match args.log_format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| Failure::failed(format!("The log cannot start: {error}.")))
}
