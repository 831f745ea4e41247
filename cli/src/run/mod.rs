//! `atta run`: a definition to its end in this process: the same queen and ant as `atta serve`, in a directory that is
//! removed afterwards.

mod export;
pub(crate) mod given;
mod report;
mod source;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atta_core::engine::JobState;
use atta_core::protocol::JobId;
use atta_core::protocol::api::{JobDetail, JobSummary, SubmitRequest};
use atta_core::protocol::people::ApprovalState;
use atta_core::time::Clock;
use atta_server::directory::StaticDirectory;
use atta_server::scheduler::{JobCommand, Queen, Refusal};
use atta_server::secrets::KeySource;
use atta_server::store::ApprovalFilter;
use atta_server::store::{JobFilter, Reads};
use atta_server::{Database, Server, ServerConfig};
use atta_worker::workspaces::{WorkspaceStore, settle_all};
use atta_worker::{AntConfig, HttpPolicy, Launcher, Orphans, PrivateAddresses};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::ambient::{self, SystemClock, SystemEntropy};
use crate::args::RunArgs;
use crate::exit::{CommandResult, Exit, Failure};
use crate::progress::{Line, Progress, log_tail, summary};
use crate::shutdown::Signals;
use crate::{output, params, serve, validate};
use report::Report;
use source::JobSource;

/// How many lines of a failed attempt's log are shown.
const TAIL_LINES: usize = 15;

/// How long the queen may be unable to write until the job is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is checked before any process is started.
struct Prepared {
    file_name: String,
    source: String,
    /// Other definitions: names of files and texts.
    with: Vec<(String, String)>,
    job_type: String,
    params: Map<String, Value>,
    given: Vec<given::GivenConfig>,
    resumes_by_itself: bool,
}

/// Runs the definition; with `--json` stdout gets one document whatever happens.
pub(crate) fn run(
    args: &RunArgs,
    fork_launcher: impl FnOnce() -> CommandResult<Launcher>,
    runtime: impl FnOnce() -> CommandResult<Runtime>,
) -> CommandResult {
    let ended = prepare(args).and_then(|prepared| {
        // The launcher is forked while this process has one thread.
        let launcher = fork_launcher()?;
        let runtime = runtime()?;
        let ended = runtime.block_on(to_the_end(args, prepared, launcher));
        runtime.shutdown_timeout(Duration::from_secs(5));
        ended
    });
    match ended {
        Ok((job, others)) => {
            if args.json {
                ignore_closed_pipe(output::print_json(&Report::new(&job, &others)))?;
            }
            Ok(job.summary.state.into())
        }
        Err(failure) => {
            if args.json {
                ignore_closed_pipe(output::print_json(&failure.problem()))?;
            }
            Err(failure)
        }
    }
}

/// Whoever does not read the document is still told the verdict by the exit code.
fn ignore_closed_pipe(printed: CommandResult<()>) -> CommandResult<()> {
    match printed {
        Err(Failure { exit: Exit::Success, .. }) => Ok(()),
        other => other,
    }
}

fn prepare(args: &RunArgs) -> CommandResult<Prepared> {
    let given = params::read(&args.params.params)?;
    let file_name = args.file.display().to_string();
    let configs = given::names(&args.given)?;
    let (source, definition) = validate::load_file(&args.file, &configs)?;
    let params = params::coerce(&definition, &given)?;
    if let Some(dir) = &args.output {
        export::check_directory(dir)?;
    }
    Ok(Prepared {
        file_name,
        source,
        with: with(&args.with, &configs)?,
        job_type: definition.job_type.clone(),
        params,
        given: given::read(&args.given)?,
        resumes_by_itself: definition.resume_after.is_some(),
    })
}

/// The definitions of `--with`, checked.
fn with(paths: &[PathBuf], configs: &[String]) -> CommandResult<Vec<(String, String)>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error| Failure::usage(format!("{} cannot be read: {error}.", path.display()));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            found.push(entry.map_err(unreadable)?.path());
        }
        found.retain(|file| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
        found.sort();
        files.append(&mut found);
    }
    files.iter().map(|file| Ok((file.display().to_string(), validate::load_file(file, configs)?.0))).collect()
}

async fn to_the_end(
    args: &RunArgs,
    prepared: Prepared,
    launcher: Launcher,
) -> CommandResult<(JobDetail, Vec<JobSummary>)> {
    let mut signals = Signals::catch()?;
    let dir = tempfile::Builder::new()
        .prefix("atta-run-")
        .tempdir()
        .map_err(|error| Failure::failed(format!("No temporary directory can be made: {error}.")))?;
    let server = Server::start(ServerConfig {
        data_dir: dir.path().to_owned(),
        database: Database::File,
        listen: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        schedules: false,
        secrets_key: KeySource::Fleeting,
        directory: Arc::new(StaticDirectory::default()),
        lease: atta_core::protocol::ant::DEFAULT_LEASE,
        budget_per_day: atta_core::budget::Caps::default(),
        terminal_sessions: 0,
        notify: None,
        public_url: None,
        keeping: atta_server::Keeping::default(),
        tls: None,
        auth: atta_server::auth::AuthMode::Open,
        dashboard: atta_server::dashboard::none,
        version: serve::VERSION,
        metrics: None,
    })
    .await
    .map_err(|error| serve::start_failure(&error))?;
    let ended = on_server(args, prepared, launcher, &server, dir.path(), &mut signals).await;
    server.shutdown().await;
    let outcome = ended.as_ref().ok().map(|job| job.0.summary.state);
    if keeps_workspaces(dir.path(), outcome).await? {
        let _ = dir.keep();
        return ended;
    }
    dir.close().map_err(|error| Failure::failed(format!("The temporary directory cannot be removed: {error}.")))?;
    ended
}

/// Whether some workspace is to stay; says which and why.
async fn keeps_workspaces(dir: &Path, outcome: Option<JobState>) -> CommandResult<bool> {
    let path = std::env::var_os("PATH");
    let kept = settle_all(dir, outcome, SystemClock.now(), path.as_deref())
        .await
        .map_err(|error| Failure::failed(format!("The workspaces of the job cannot be looked at: {error}.")))?;
    let store = WorkspaceStore::new(dir);
    for record in &kept {
        let (path, reason) = (store.path(&record.id), record.kept.as_ref().map_or("", |kept| &kept.reason));
        output::say(&format!("kept: the workspace {} ({})\n", path.display(), output::harmless(reason)));
    }
    Ok(!kept.is_empty())
}

async fn on_server(
    args: &RunArgs,
    mut prepared: Prepared,
    launcher: Launcher,
    server: &Server,
    dir: &Path,
    signals: &mut Signals,
) -> CommandResult<(JobDetail, Vec<JobSummary>)> {
    let queen = server.queen();
    let slots = args.slots.unwrap_or_else(ambient::default_slots);
    // One's own definition on one's own machine.
    let http = HttpPolicy { private: PrivateAddresses::Allow, ..HttpPolicy::default() };
    let tell = |config: &mut AntConfig| {
        args.keep.tell(config);
        config.http = http;
        // Nobody comes back to a temporary directory.
        config.orphans = Orphans::Kill;
    };
    let ant = serve::start_ant(server, dir, slots, launcher, tell).await?;
    let given = std::mem::take(&mut prepared.given);
    let submitted = match given::set(queen, given).await {
        Ok(()) => submit(queen, &prepared).await,
        Err(failure) => Err(failure),
    };
    let watched = match &submitted {
        Ok(job) => tokio::select! {
            watched = async {
                watch(server, job, prepared.resumes_by_itself, signals).await?;
                the_others(server, signals).await
            } => watched,
            () = ant.launcher_lost() => Err(Failure::new(Exit::Failed, "LAUNCHER_LOST", serve::LAUNCHER_LOST)),
            why = ant.lost() => Err(part_lost(&why)),
            why = server.lost() => Err(part_lost(&why)),
        },
        Err(_) => Ok(()),
    };
    match watched {
        // Everything has ended; there is nothing to wait for but the launcher.
        Ok(()) => ant.drain().await,
        Err(_) => ant.abort().await,
    }
    let job = submitted?;
    watched?;
    let detail = JobSource::new(server, &job).detail().await?;
    if let Some(dir) = &args.output {
        export::write(server, &detail, dir).await?;
    }
    output::say(&format!("\n{}", summary(&detail)));
    let reads = Reads::new(queen.store().clone());
    let all = reads.jobs(&JobFilter::default(), None, u32::MAX).await;
    let mut others = all.map_err(|error| Failure::failed(format!("The jobs cannot be read: {error}.")))?.jobs;
    others.retain(|other| other.job_id != job);
    others.reverse();
    for other in &others {
        output::say(&format!("{}  {}  {}\n", other.job_type, other.job_id, output::name_of(&other.state)));
    }
    Ok((detail, others))
}

/// Waits for the jobs that the job has submitted and triggered: nobody else would run them.
async fn the_others(server: &Server, signals: &mut Signals) -> CommandResult<()> {
    let reads = Reads::new(server.queen().store().clone());
    let mut latest = server.queen().latest_event();
    let states = vec![JobState::Pending, JobState::Running, JobState::Waiting, JobState::Cancelling];
    let filter = JobFilter { states, ..JobFilter::default() };
    let broken = stays_broken(server.queen().health_changes());
    tokio::pin!(broken);
    loop {
        latest.borrow_and_update();
        let live = reads.jobs(&filter, None, 1).await;
        if live.map_err(|error| Failure::failed(format!("The jobs cannot be read: {error}.")))?.jobs.is_empty() {
            return Ok(());
        }
        tokio::select! {
            changed = latest.changed() => if changed.is_err() {
                return Err(Failure::failed("The queen stopped before all jobs ended."));
            },
            why = &mut broken => {
                return Err(Failure::new(Exit::Failed, "UNAVAILABLE", format!("The jobs were given up: {why}.")));
            }
            _ = signals.next() => {
                return Err(Failure::new(Exit::Refused, "ABORTED", "The job has ended; the jobs that it made were given up after a signal."));
            }
        }
    }
}

async fn submit(queen: &Queen, prepared: &Prepared) -> CommandResult<JobId> {
    for (file_name, source) in &prepared.with {
        queen.upload_definition(file_name, source).await.map_err(refused)?;
    }
    queen.upload_definition(&prepared.file_name, &prepared.source).await.map_err(refused)?;
    let request = SubmitRequest {
        job_type: prepared.job_type.clone(),
        params: prepared.params.clone(),
        ..SubmitRequest::default()
    };
    let answer = queen.submit(request, "cli", None).await.map_err(refused)?;
    output::say(&format!("{}  {}\n", prepared.job_type, answer.job_id));
    Ok(answer.job_id)
}

/// Shows progress until the job has ended. The first signal cancels the job, so that its `always_run` tasks run; the
/// second gives up.
async fn watch(server: &Server, job: &JobId, resumes_by_itself: bool, signals: &mut Signals) -> CommandResult<()> {
    let mut source = JobSource::new(server, job);
    let mut progress = Progress::default();
    let mut cancelled = false;
    let broken = stays_broken(server.queen().health_changes());
    tokio::pin!(broken);
    loop {
        let events = tokio::select! {
            events = source.next_events() => events?,
            why = &mut broken => {
                return Err(Failure::new(Exit::Failed, "UNAVAILABLE", format!("The job was given up: {why}.")));
            }
            signal = signals.next() => {
                if cancelled {
                    return Err(Failure::new(Exit::Refused, "ABORTED", "Given up after a second signal: everything was killed."));
                }
                cancelled = true;
                output::say("cancelling; another signal gives up at once\n");
                cancel(server.queen(), job, format!("{signal} was received")).await?;
                continue;
            }
        };
        let ended = events.iter().flatten().any(|event| event.kind == "job_finished");
        let paused = events.iter().flatten().any(|event| {
            event.kind == "job_changed"
                && event.data.get("to") == Some(&Value::String(output::name_of(&JobState::Paused)))
        });
        for line in events.iter().flat_map(|lines| progress.apply(lines)).collect::<Vec<_>>() {
            match line {
                Line::Text(text) => output::say(&format!("{text}\n")),
                Line::LogTail { attempt } => output::say(&log_tail(&source.log_tail(attempt).await, TAIL_LINES)),
            }
        }
        if ended && source.detail().await?.summary.state.is_terminal() {
            return Ok(());
        }
        let asks = !cancelled && events.iter().flatten().any(|event| event.kind == "attempt_waits");
        if asks && let Some(task) = asks_for_ever(server, job).await? {
            cancelled = true;
            output::say(&format!(
                "the task {task} asks for an approval, and here nobody can vote: cancelling; use `atta serve` for jobs that ask\n"
            ));
            cancel(server.queen(), job, format!("{task} asks for an approval, and `atta run` takes no votes")).await?;
        }
        if paused && !resumes_by_itself && !cancelled {
            cancelled = true;
            output::say(
                "the job paused, and here nobody can resume it: cancelling; use `atta serve` for jobs that pause\n",
            );
            cancel(server.queen(), job, "the job paused, and `atta run` cannot resume it".to_owned()).await?;
        }
    }
}

/// The task that asks for an approval which no time will decide.
async fn asks_for_ever(server: &Server, job: &JobId) -> CommandResult<Option<String>> {
    let filter =
        ApprovalFilter { state: Some(ApprovalState::Open), job: Some(job.clone()), ..ApprovalFilter::default() };
    let open = server.reads().approvals(&filter, None, 500).await;
    let open = open.map_err(|error| Failure::failed(format!("The job cannot be read: {error}.")))?;
    Ok(open.into_iter().find(|approval| approval.deadline.is_none()).map(|approval| approval.task))
}

/// Ends with the reason when the queen could not write for a while: here nobody else frees the disk.
async fn stays_broken(mut health: watch::Receiver<Result<(), String>>) -> String {
    loop {
        let why = match health.wait_for(Result::is_err).await {
            Ok(state) => state.as_ref().err().cloned().unwrap_or_default(),
            Err(_) => return "the queen stopped".to_owned(),
        };
        if tokio::time::timeout(PATIENCE, health.wait_for(Result::is_ok)).await.is_err() {
            return why;
        }
    }
}

async fn cancel(queen: &Queen, job: &JobId, reason: String) -> CommandResult<()> {
    match queen.command(job, JobCommand::Cancel { reason, force: false }).await {
        // It ended meanwhile, or its always_run tasks already run: the end comes by itself.
        Ok(_) | Err(Refusal::Conflict { .. }) => Ok(()),
        Err(refusal) => Err(refused(refusal)),
    }
}

/// A refusal of the queen in this process.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn refused(refusal: Refusal) -> Failure {
    match &refusal {
        Refusal::Invalid { code, message, violations } => {
            Failure::new(Exit::Usage, code, message).with_violations(violations.clone())
        }
        Refusal::Conflict { code, message } => Failure::new(Exit::Refused, code, message),
        Refusal::Duplicate { .. } => Failure::new(Exit::Refused, "DUPLICATE_USER_KEY", refusal.to_string()),
        other => Failure::failed(other.to_string()),
    }
}

/// Nobody would tell it that its job is over.
fn part_lost(why: &str) -> Failure {
    Failure::new(Exit::Failed, "PART_LOST", format!("A part of this program is lost: {why}."))
}
