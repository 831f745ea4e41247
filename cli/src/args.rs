//! The command line.

mod access;
mod agents;
mod ants;
mod backup;
mod budgets;
mod demo;
mod outcomes;
mod people;
mod setup;
mod terminal;

use std::net::SocketAddr;
use std::path::PathBuf;

use atta_core::secret::SecretText;
use atta_worker::{HttpPolicy, PrivateAddresses};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::author::{FmtArgs, GraphArgs, PlanArgs};
use crate::check_diff::CheckDiffArgs;
use crate::config_args::{ConfigArgs, GivenConfigArgs, KeyArgs, SecretArgs};
pub(crate) use access::*;
pub(crate) use agents::*;
pub(crate) use ants::*;
pub(crate) use backup::*;
pub(crate) use budgets::*;
pub(crate) use demo::*;
pub(crate) use outcomes::*;
pub(crate) use people::*;
pub(crate) use setup::*;
pub(crate) use terminal::*;

/// What `--version` prints.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("ATTA_COMMIT"), ")");

/// A declarative orchestrator for agentic coding: YAML job definitions in, finished jobs out.
#[derive(Debug, Parser)]
#[command(name = "atta", version = VERSION, max_term_width = 100, after_help = "\
Exit codes: 0 done (a job: COMPLETED or SKIPPED), 1 the job FAILED, 2 usage or an invalid definition,
3 no server answers, 4 refused, or the job is BLOCKED or CANCELLED.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server with an embedded ant.
    Serve(ServeArgs),
    /// Run tasks on this machine for a server on another one.
    Ant(AntArgs),
    /// Run a definition to its end, here, without a server.
    Run(RunArgs),
    /// Run the agent of one attempt: ants start it in place of a script.
    #[command(hide = true)]
    AgentRunner(AgentRunnerArgs),
    /// Check definitions; shows schedules in words.
    Validate(ValidateArgs),
    /// Format definitions; comments and texts stay as they are.
    Fmt(FmtArgs),
    /// Draw the tasks of a definition and the ways between them.
    Graph(GraphArgs),
    /// Show what a job would do, without running anything.
    Plan(PlanArgs),
    /// Print the JSON Schema of definitions, for editors.
    Schema,
    /// Submit a job to the server.
    Submit(SubmitArgs),
    /// List jobs, or show one.
    Jobs(JobsArgs),
    /// Show what the tasks of a job wrote.
    Logs(LogsArgs),
    /// Show the terminal of a task that runs, and type into it.
    Attach(AttachArgs),
    /// List or download the artifacts of a job.
    Artifacts(ArtifactsArgs),
    /// Cancel a job; its `always_run` tasks still run.
    Cancel(CancelArgs),
    /// Dispatch no further attempts of a job.
    Pause(JobArgs),
    /// Let a paused job go on, with other parameters or a larger budget if some are given.
    Resume(ResumeArgs),
    /// Give a failed job another attempt that keeps its completed tasks.
    Retry(JobArgs),
    /// Run a finished job again from one task on; with other parameters or another version as a new job.
    Rerun(RerunArgs),
    /// Vote for what a task asks.
    Approve(VoteArgs),
    /// Vote against what a task asks; needs a comment.
    Reject(VoteArgs),
    /// List what waits for votes, or make a link to vote by.
    Approvals(ApprovalsArgs),
    /// List what was told to whom, or try again what was given up.
    Notifications(NotificationsArgs),
    /// Show what jobs have cost and achieved: cost per merge, rework, times, reasons.
    Outcomes(OutcomesArgs),
    /// Submit a finished job again, as a new job.
    Resubmit(ResubmitArgs),
    /// List, upload, show, enable or disable definitions.
    Definitions(DefinitionsArgs),
    /// List what came to webhooks, or deliver it again.
    Deliveries(DeliveriesArgs),
    /// Set, show, list or remove configs: values that definitions use.
    Config(ConfigArgs),
    /// Set, list or remove secrets: configs that nobody sees again.
    Secret(SecretArgs),
    /// Make, list or revoke API tokens.
    Token(TokenArgs),
    /// List ants, or take them out of service.
    Ants(AntsArgs),
    /// Show what agents may use, have used, and have reserved.
    Budget(ListArgs),
    /// List accounts of agents, or use some again.
    Accounts(AccountsArgs),
    /// Show or set what the server leaves out when it has too much to do.
    Degrade(DegradeArgs),
    /// Show the history of a job.
    Events(EventsArgs),
    /// List, open or remove workspaces of jobs on this machine.
    Workspaces(WorkspacesArgs),
    /// Save everything of a server, which may run meanwhile.
    Backup(BackupArgs),
    /// Bring a backup back, into an empty data directory and an empty database.
    Restore(RestoreArgs),
    /// Move everything from SQLite to PostgreSQL, or back, while no server runs.
    MigrateStore(MigrateStoreArgs),
    /// Prepare a server and a repository for the workflows that come along.
    Setup(SetupArgs),
    /// Watch three issues become merged branches on this machine, with stand-ins for the agent, the forge and the reviewer.
    Demo(DemoArgs),
    /// Check whether this machine has what Atta needs.
    Doctor(DoctorArgs),
    /// Look for secrets, protected files and links out of the tree in what is about to be pushed.
    ///
    /// Exit codes: 0 nothing was found, 1 it could not be checked, 2 usage, 3 a secret, 4 protected files, which somebody has
    /// to approve, 5 larger than allowed, 6 links out of the tree or submodules.
    CheckDiff(CheckDiffArgs),
    /// Try adapters for agent CLIs.
    Agents(AgentsArgs),
    /// Stand in for an agent.
    #[command(hide = true)]
    AgentStandIn(AgentStandInArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

/// Which server to talk to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// URL of the server.
    #[arg(long, env = "ATTA_SERVER", value_name = "URL", default_value = "http://127.0.0.1:7777")]
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) token: TokenFileArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where everything is kept [default: ~/.local/share/atta].
    #[arg(long, env = "ATTA_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A PostgreSQL database instead of a file in the data directory: postgres://USER:PASSWORD@HOST/DATABASE. In the
    /// variable it cannot be seen by others on this machine.
    #[arg(long, env = "ATTA_DATABASE_URL", value_name = "URL", hide_env_values = true, value_parser = secret_text)]
    pub(crate) database: Option<SecretText>,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Address of the API; one that others can reach needs TLS, and every request a token. Port 0 takes a free one.
    #[arg(long, env = "ATTA_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:7777")]
    pub(crate) listen: SocketAddr,
    /// Whose requests are answered.
    #[arg(long, env = "ATTA_AUTH", value_enum, default_value_t = AuthChoice::Auto)]
    pub(crate) auth: AuthChoice,
    /// PEM file with the server's certificate, then those that lead to a known authority.
    #[arg(long, env = "ATTA_TLS_CERT", value_name = "FILE", requires = "tls_key", conflicts_with = "tls_generate")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    #[arg(long, env = "ATTA_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Show a certificate of our own, made at the first start and kept in the data directory. Clients and ants know it by
    /// its fingerprint, which is printed.
    #[arg(long, env = "ATTA_TLS_GENERATE")]
    pub(crate) tls_generate: bool,
    /// How many attempts run at once in this process; 0: none, ants do the work [default: the number of processors].
    #[arg(long, env = "ATTA_SLOTS", value_name = "N", value_parser = clap::value_parser!(u32).range(0..=4096))]
    pub(crate) slots: Option<u32>,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// How long finished jobs are kept, e.g. `90d`, unless their definition has a `retention` [default: for ever].
    #[arg(long, env = "ATTA_RETENTION", value_name = "DURATION", value_parser = duration)]
    pub(crate) retention: Option<std::time::Duration>,
    /// What all agents together may use on one day (UTC), e.g. `usd=100,tokens=20000000`; also `agent_turns` and `minutes`
    /// [default: no limit].
    #[arg(long, env = "ATTA_BUDGET_PER_DAY", value_name = "LIMITS", value_parser = budget)]
    pub(crate) budget_per_day: Option<atta_core::protocol::budgets::BudgetAmounts>,
    /// How many terminals of tasks people may type into at once; 0: none.
    #[arg(long, env = "ATTA_TERMINAL_SESSIONS", value_name = "N", default_value_t = 16)]
    pub(crate) terminal_sessions: u32,
    /// On SIGTERM or SIGINT let what runs go on: the next server on the data directory takes it up. Only HTTP requests
    /// under way are waited for, 20 s at most. For upgrades and restarts.
    #[arg(long, env = "ATTA_HAND_OVER", conflicts_with = "shutdown_grace")]
    pub(crate) hand_over: bool,
    /// How long running attempts may go on after the first SIGTERM or SIGINT, in seconds.
    #[arg(long, env = "ATTA_SHUTDOWN_GRACE", value_name = "SECONDS", default_value_t = 30)]
    pub(crate) shutdown_grace: u64,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    pub(crate) spool: SpoolArgs,
    #[command(flatten)]
    pub(crate) people: PeopleArgs,
}

/// Where tasks of the method HTTP may go.
#[derive(Debug, Clone, Args)]
pub(crate) struct HttpArgs {
    /// Whether HTTP tasks may go to loopback and private addresses: never, where the definition lists them in
    /// `http.allow`, or always.
    #[arg(long, env = "ATTA_HTTP_PRIVATE", value_enum, default_value_t = HttpPrivate::Deny)]
    pub(crate) http_private: HttpPrivate,
    /// A host, address or network (10.1.0.0/16) that HTTP tasks of every definition may go to. May be repeated.
    #[arg(long, env = "ATTA_HTTP_ALLOW", value_name = "RULE", value_delimiter = ',', value_parser = atta_core::definition::parse_address_rule)]
    pub(crate) http_allow: Vec<atta_core::definition::AddressRule>,
}

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// Form of the log on stderr.
    #[arg(long, env = "ATTA_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// What is logged, e.g. `info`, `atta_server=debug`.
    #[arg(long, env = "ATTA_LOG", value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,
}

impl HttpArgs {
    /// As ants take it.
    pub(crate) fn policy(&self) -> HttpPolicy {
        let private = match self.http_private {
            HttpPrivate::Deny => PrivateAddresses::Deny,
            HttpPrivate::Listed => PrivateAddresses::Listed,
            HttpPrivate::Allow => PrivateAddresses::Allow,
        };
        HttpPolicy { private, allow: self.http_allow.clone(), ..HttpPolicy::default() }
    }
}

/// Taken as it is, so that no message repeats it.
#[expect(clippy::unnecessary_wraps, reason = "the parser of an argument may fail")]
fn secret_text(text: &str) -> Result<SecretText, std::convert::Infallible> {
    Ok(SecretText::new(text.to_owned()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HttpPrivate {
    /// Never.
    Deny,
    /// Where the definition lists them.
    Listed,
    /// Always, but for link-local addresses and those of cloud metadata.
    Allow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Parameters of a job.
#[derive(Debug, Clone, Args)]
pub(crate) struct ParamArgs {
    /// A parameter; `NAME=@FILE` reads the value from a file. May be repeated.
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The definition.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    #[command(flatten)]
    pub(crate) given: GivenConfigArgs,
    /// Another definition that this one forks, submits or triggers, or a directory of them. May be repeated.
    #[arg(long = "with", value_name = "FILE|DIR")]
    pub(crate) with: Vec<PathBuf>,
    /// Print one JSON document about the job on stdout, also when the definition is not valid.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write artifacts and logs there: DIR/TASK/… and DIR/TASK.log.
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// How many attempts run at once [default: the number of processors].
    #[arg(long, env = "ATTA_SLOTS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) slots: Option<u32>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The definitions.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// A config that there will be on the server: its name alone is known in templates. May be repeated.
    #[arg(long = "config", value_name = "NAME")]
    pub(crate) configs: Vec<String>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t = ReportFormat::Human)]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// With source lines.
    Human,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, for code-scanning tools.
    Sarif,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// A job type known to the server, or a definition file that is uploaded first.
    #[arg(value_name = "JOB_TYPE|FILE")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// Follow the job to its end and exit with its verdict.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Deduplication key: refused while another job with it is alive.
    #[arg(long, value_name = "KEY")]
    pub(crate) user_key: Option<String>,
    /// Makes repeating this submit harmless.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// A version: its semantic version or content hash [default: the newest].
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// Order of dispatch.
    #[arg(long, value_name = "PRIORITY", value_parser = ["CRITICAL", "HIGH", "NORMAL", "LOW"], ignore_case = true)]
    pub(crate) priority: Option<String>,
    /// Print the server's answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<JobsAction>,
    #[command(flatten)]
    pub(crate) list: JobsListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsAction {
    /// List jobs, the newest first.
    List(JobsListArgs),
    /// Show one job with its tasks.
    Show(JobsShowArgs),
    /// Show what an ant was told to do in an attempt: the exact command, without the values of secrets.
    Command(JobsCommandArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct JobsListArgs {
    /// Only jobs in this state. May be repeated.
    #[arg(long, value_name = "STATE", ignore_case = true, value_parser = [
        "PENDING", "RUNNING", "WAITING", "PAUSED", "CANCELLING", "COMPLETED", "FAILED", "BLOCKED", "CANCELLED", "SKIPPED"])]
    pub(crate) state: Vec<String>,
    /// Only jobs of this type.
    #[arg(long = "type", value_name = "JOB_TYPE")]
    pub(crate) job_type: Option<String>,
    /// Only jobs that this one forked, submitted or triggered.
    #[arg(long, value_name = "JOB")]
    pub(crate) parent: Option<String>,
    /// Only the job with this key.
    #[arg(long, value_name = "KEY")]
    pub(crate) user_key: Option<String>,
    /// Only jobs with this label of their definition, whatever its value if none is given. May be repeated: all of them.
    #[arg(long, value_name = "NAME[:VALUE]")]
    pub(crate) label: Vec<String>,
    /// Only jobs that have ended, what ended last first.
    #[arg(long)]
    pub(crate) ended: bool,
    /// Print how many there are in each state, and how many need somebody.
    #[arg(long, conflicts_with_all = ["ended", "limit"])]
    pub(crate) count: bool,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct JobsShowArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct JobsCommandArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    /// The attempt's number within the job (`jobs show` lists them).
    #[arg(value_name = "ATTEMPT")]
    pub(crate) number: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    /// Only this task.
    pub(crate) task: Option<String>,
    /// Go on as output arrives; ends with the job, with the exit code of its verdict.
    #[arg(short = 'f', long)]
    pub(crate) follow: bool,
    /// Only the attempt with this number within the job (`jobs show` lists them).
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
    /// Only this stream.
    #[arg(long, value_enum)]
    pub(crate) stream: Option<StreamName>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// What Atta itself says.
    System,
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactsArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    /// Only this task.
    pub(crate) task: Option<String>,
    /// Only artifacts of this group (`artifacts.name`).
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Download into this directory: DIR/TASK/…
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Also stop `always_run` tasks that already run.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    /// The job's budget from now on, e.g. `usd=10,agent_turns=200`; what is not named stays as it is.
    #[arg(long, value_name = "LIMITS", value_parser = budget)]
    pub(crate) budget: Option<atta_core::protocol::budgets::BudgetAmounts>,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RerunArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    /// The task to begin with.
    #[arg(long, value_name = "TASK")]
    pub(crate) from: String,
    #[command(flatten)]
    pub(crate) again: AgainArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// What makes it a new job that runs another one again.
#[derive(Debug, Args)]
pub(crate) struct AgainArgs {
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// With the newest version of the definition.
    #[arg(long, conflicts_with = "version")]
    pub(crate) latest: bool,
    /// With this version: its semantic version or content hash.
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResubmitArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) again: AgainArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DefinitionsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<DefinitionsAction>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DefinitionsAction {
    /// List definitions.
    List(ListArgs),
    /// Upload definitions; nothing is stored for a file that is not valid.
    Upload(UploadArgs),
    /// Print the YAML of a definition.
    Show(DefinitionShowArgs),
    /// List the versions of a definition.
    Versions(DefinitionArgs),
    /// Let a definition take jobs and its schedule run.
    Enable(DefinitionArgs),
    /// Let a definition take no jobs; its schedule rests.
    Disable(DefinitionArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    /// The files.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DefinitionShowArgs {
    /// The definition.
    pub(crate) job_type: String,
    /// A version: its semantic version or content hash [default: the newest].
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DefinitionArgs {
    /// The definition.
    pub(crate) job_type: String,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// The job's id, or a unique beginning or end of it.
    pub(crate) job: String,
    /// Go on as things happen; ends with the job, with the exit code of its verdict.
    #[arg(short = 'f', long)]
    pub(crate) follow: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The data directory to look at [default: ~/.local/share/atta].
    #[arg(long, env = "ATTA_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The PostgreSQL database that the server uses instead of a file.
    #[arg(long, env = "ATTA_DATABASE_URL", value_name = "URL", hide_env_values = true, value_parser = secret_text)]
    pub(crate) database: Option<SecretText>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct WorkspacesArgs {
    #[command(subcommand)]
    pub(crate) action: Option<WorkspacesAction>,
    /// The data directory of the server on this machine [default: ~/.local/share/atta].
    #[arg(long, env = "ATTA_DATA_DIR", value_name = "DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) list: WorkspacesListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspacesAction {
    /// List workspaces, the oldest first.
    List(WorkspacesListArgs),
    /// Print the path of a workspace; in a terminal, open a shell there.
    Open(WorkspacesOpenArgs),
    /// Remove workspaces; refuses those of jobs that are not over, and unpushed work.
    Rm(WorkspacesRmArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct WorkspacesListArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WorkspacesOpenArgs {
    /// Its name or its job, or a unique beginning.
    pub(crate) workspace: String,
}

#[derive(Debug, Args)]
pub(crate) struct WorkspacesRmArgs {
    /// Their names or jobs, or unique beginnings.
    #[arg(required = true, value_name = "WORKSPACE")]
    pub(crate) workspaces: Vec<String>,
    /// Also when the job is not over, and with unpushed work.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    atta_core::definition::parse_duration(text).map_err(|error| format!("{}; {}", error.message, error.help))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn jobs_without_a_word_is_jobs_list() {
        let cli = Cli::parse_from(["atta", "jobs", "--state", "failed", "--limit", "3"]);
        let Command::Jobs(JobsArgs { action: None, list }) = cli.command else { panic!("{cli:?}") };
        assert_eq!((list.state, list.limit), (vec!["failed".to_owned()], 3));
    }
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DeliveriesArgs {
    #[command(subcommand)]
    pub(crate) action: Option<DeliveriesAction>,
    #[command(flatten)]
    pub(crate) list: DeliveryListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesAction {
    /// List deliveries, the newest first.
    List(DeliveryListArgs),
    /// Print a delivery with its body, as JSON.
    Show(DeliveryArgs),
    /// Evaluate a delivery again, by the newest version of its definition.
    Redeliver(DeliveryArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DeliveryListArgs {
    /// Only deliveries to webhooks of this type.
    #[arg(long = "type", value_name = "JOB_TYPE")]
    pub(crate) job_type: Option<String>,
    /// Only deliveries to the webhook with this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) trigger: Option<String>,
    /// Only deliveries with this outcome: submitted, woke, duplicate, filtered, ping, replayed, limited or refused.
    #[arg(long, value_name = "OUTCOME")]
    pub(crate) outcome: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DeliveryArgs {
    /// The delivery's id.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Arguments of the runner of agents.
#[derive(Debug, Args)]
pub(crate) struct AgentRunnerArgs {
    /// What the agent is told.
    pub(crate) order: PathBuf,
    /// Where what is known of it is written.
    pub(crate) record: PathBuf,
    /// Only put back what a runner that was cut off left in the checkout.
    #[arg(long)]
    pub(crate) restore: bool,
}
