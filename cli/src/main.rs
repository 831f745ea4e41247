//! The one binary: `atta`.

mod agents;
mod ambient;
mod ant;
mod args;
mod author;
mod backup;
mod check_diff;
mod client;
mod config_args;
mod dashboard;
mod demo;
mod doctor;
mod embedded;
mod exit;
mod files;
mod output;
mod params;
mod people;
mod progress;
mod prompt;
mod run;
mod serve;
mod setup;
mod shutdown;
mod validate;
mod workspaces;

use std::process::ExitCode;
use std::sync::Arc;

use atta_core::protocol::people::Decision;
use atta_worker::Launcher;
use clap::{CommandFactory, Parser};

use crate::ambient::SystemClock;
use crate::args::{Cli, Command};
use crate::client::JobVerb;
use crate::exit::{CommandResult, Failure};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version go to stdout with 0, mistakes to stderr with 2; a closed pipe is no reason to complain.
            let _ = answer.print();
            return ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2));
        }
    };
    // In place of a script: its exit code is its own, and so are this process's signals and children.
    if let Command::AgentRunner(args) = &cli.command {
        let code = if args.restore {
            atta_agents::restore_from_files(&args.order)
        } else {
            atta_agents::run_from_files(&args.order, &args.record, Arc::new(SystemClock))
        };
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    // Its exit codes are those of what it finds.
    if let Command::CheckDiff(args) = &cli.command {
        return check_diff::check_diff(args, &ambient::variable);
    }
    if let Command::AgentStandIn(args) = &cli.command {
        return agents::stand_in_for(args);
    }
    match perform(cli.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}

/// Forks the launcher while this process has one thread, then starts the runtime.
fn perform(command: Command) -> CommandResult {
    if matches!(command, Command::Serve(_) | Command::Ant(_) | Command::Run(_)) {
        ambient::leave_no_core_dump();
    }
    match command {
        Command::Serve(args) => {
            let launcher = fork_launcher()?;
            ambient::raise_open_files();
            runtime()?.block_on(serve::serve(args, launcher))
        }
        Command::Ant(args) => {
            let launcher = fork_launcher()?;
            ambient::raise_open_files();
            runtime()?.block_on(ant::ant(args, launcher))
        }
        Command::Run(args) => run::run(&args, fork_launcher, runtime),
        Command::Validate(args) => validate::validate(&args, &SystemClock),
        Command::Fmt(args) => author::fmt(&args),
        Command::Graph(args) => author::graph(&args),
        Command::Plan(args) => author::plan(&args),
        Command::Schema => author::schema(),
        Command::Agents(args) => agents::agents(args),
        Command::Completions(args) => completions(args.shell),
        other => runtime()?.block_on(ask_server(other)),
    }
}

async fn ask_server(command: Command) -> CommandResult {
    match command {
        Command::Submit(args) => client::submit(args).await,
        Command::Jobs(args) => client::jobs(args).await,
        Command::Logs(args) => client::logs(args).await,
        Command::Attach(args) => client::attach(args).await,
        Command::Artifacts(args) => client::artifacts(args).await,
        Command::Cancel(args) => client::cancel(args).await,
        Command::Pause(args) => client::perform(args, JobVerb::Pause).await,
        Command::Resume(args) => client::resume(args).await,
        Command::Retry(args) => client::perform(args, JobVerb::Retry).await,
        Command::Rerun(args) => client::rerun(args).await,
        Command::Approve(args) => client::vote(args, Decision::Approve).await,
        Command::Reject(args) => client::vote(args, Decision::Reject).await,
        Command::Approvals(args) => client::approvals(args).await,
        Command::Setup(args) => setup::setup(args).await,
        Command::Outcomes(args) => client::outcomes(args).await,
        Command::Notifications(args) => client::notifications(args).await,
        Command::Resubmit(args) => client::resubmit(args).await,
        Command::Definitions(args) => client::definitions(args).await,
        Command::Deliveries(args) => client::deliveries(args).await,
        Command::Config(args) => client::config(args).await,
        Command::Secret(args) => client::secret(args).await,
        Command::Ants(args) => client::ants(args).await,
        Command::Budget(args) => client::budget(args).await,
        Command::Accounts(args) => client::accounts(args).await,
        Command::Degrade(args) => client::degrade(args).await,
        Command::Token(args) => client::token(args).await,
        Command::Events(args) => client::events(args).await,
        Command::Demo(args) => demo::demo(args).await,
        Command::Doctor(args) => doctor::doctor(&args, &SystemClock).await,
        Command::Backup(args) => backup::backup(args).await,
        Command::Restore(args) => backup::restore_backup(args).await,
        Command::MigrateStore(args) => backup::migrate_store(args).await,
        Command::Workspaces(args) => workspaces::workspaces(args).await,
        Command::Serve(_)
        | Command::Ant(_)
        | Command::Run(_)
        | Command::AgentRunner(_)
        | Command::CheckDiff(_)
        | Command::Validate(_)
        | Command::Fmt(_)
        | Command::Graph(_)
        | Command::Plan(_)
        | Command::Schema
        | Command::Agents(_)
        | Command::AgentStandIn(_)
        | Command::Completions(_) => {
            unreachable!("performed without a server")
        }
    }
}

fn fork_launcher() -> CommandResult<Launcher> {
    Launcher::fork().map_err(|error| Failure::failed(format!("The process launcher cannot start: {error}.")))
}

fn runtime() -> CommandResult<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("The runtime cannot start: {error}.")))
}

fn completions(shell: clap_complete::Shell) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "atta", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?;
    Ok(exit::Exit::Success)
}
