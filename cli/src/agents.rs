//! `atta agents`, and the hidden commands behind it.

use std::ffi::OsString;
use std::process::ExitCode;

use atta_agents::conformance::{CaseResult, Fault, Kit, stand_in, table};
use atta_core::protocol::agent::AgentCli;
use atta_core::time::Clock;
use serde_json::json;

use crate::ambient::SystemClock;
use crate::args::{AgentStandInArgs, AgentsArgs, AgentsCommand, ConformanceArgs};
use crate::exit::{CommandResult, Exit, Failure};
use crate::output;

/// Stands in for an agent.
pub(crate) fn stand_in_for(args: &AgentStandInArgs) -> ExitCode {
    ExitCode::from(u8::try_from(stand_in(&args.arguments, SystemClock.now().0)).unwrap_or(1))
}

pub(crate) fn agents(args: AgentsArgs) -> CommandResult {
    match args.command {
        AgentsCommand::Conformance(args) => conformance(&args),
    }
}

fn conformance(args: &ConformanceArgs) -> CommandResult {
    let own = std::env::current_exe()?;
    let own_text = own.to_str().map(str::to_owned);
    let own_text = own_text.ok_or_else(|| Failure::failed(format!("The path {} is not UTF-8.", own.display())))?;
    let kept = if args.cli.is_some() { None } else { Some(["PATH", "LANG", "LC_ALL", "TMPDIR"]) };
    let environment: Vec<(OsString, OsString)> =
        std::env::vars_os().filter(|(name, _)| kept.is_none_or(|kept| kept.iter().any(|kept| name == kept))).collect();
    let kit = Kit {
        runner: vec![own.into_os_string(), "agent-runner".into()],
        stand_in: vec![own_text, "agent-stand-in".to_owned()],
        environment,
        clock: Box::new(SystemClock),
    };
    let results = if let Some(program) = &args.cli {
        let cli = args.format.unwrap_or(AgentCli::Custom);
        let mut command = vec![program.clone()];
        command.extend(args.arguments.iter().cloned());
        kit.run_own(cli, &command)
    } else {
        let clis = args.format.map_or_else(|| AgentCli::ALL.to_vec(), |cli| vec![cli]);
        let faults = if args.faults.is_empty() { Fault::ALL.to_vec() } else { args.faults.clone() };
        kit.run(&clis, &faults, args.at_once.into())
    };
    let results = results.map_err(|error| Failure::failed(format!("{error}.")))?;
    if args.json {
        output::print_json(&results.iter().map(as_json).collect::<Vec<_>>())?;
    } else {
        let (header, rows) = table(&results);
        output::print(&output::table(&header, &rows))?;
        for result in results.iter().filter(|result| !result.complaints.is_empty()) {
            output::print(&format!("✗ {} {}: {}\n", result.cli, result.case, result.complaints.join("; ")))?;
        }
    }
    let wrong = results.iter().filter(|result| !result.complaints.is_empty()).count();
    if wrong == 0 {
        return Ok(Exit::Success);
    }
    Err(Failure::failed(format!("{wrong} of {} cases are not as they have to be.", results.len())))
}

fn as_json(result: &CaseResult) -> serde_json::Value {
    json!({"cli": result.cli, "case": result.case, "class": result.class, "complaints": result.complaints})
}

/// A CLI that there is an adapter for.
pub(crate) fn agent_cli(word: &str) -> Result<AgentCli, String> {
    AgentCli::parse(word).ok_or_else(|| {
        let known: Vec<&str> = AgentCli::ALL.into_iter().map(AgentCli::as_str).collect();
        format!("there is no adapter `{word}`; there are {}", known.join(", "))
    })
}

/// A fault of the conformance kit.
pub(crate) fn agent_fault(word: &str) -> Result<Fault, String> {
    Fault::parse(word).ok_or_else(|| {
        let known: Vec<&str> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
        format!("there is no fault `{word}`; there are {}", known.join(", "))
    })
}
