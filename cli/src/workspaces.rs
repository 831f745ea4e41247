//! `atta workspaces`: the directories that tasks of a job share, on this machine. It reads the ant's own files and works
//! beside a running server.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atta_core::definition::format_duration;
use atta_core::time::{Clock, UnixMillis};
use atta_worker::workspaces::{
    DamagedRecord, RemovalRefused, WorkspaceRecord, WorkspaceState, WorkspaceStore, measure, remove,
};
use serde_json::{Value, json};

use crate::ambient::SystemClock;
use crate::args::{WorkspacesAction, WorkspacesArgs, WorkspacesListArgs};
use crate::exit::{CommandResult, Exit, Failure};
use crate::{output, serve};

pub(crate) async fn workspaces(args: WorkspacesArgs) -> CommandResult {
    let data_dir = serve::data_dir(args.data_dir.clone())?;
    let store = WorkspaceStore::new(&data_dir);
    match args.action {
        None => list(&store, &args.list),
        Some(WorkspacesAction::List(list_args)) => list(&store, &list_args),
        Some(WorkspacesAction::Open(open_args)) => open(&store, &open_args.workspace),
        Some(WorkspacesAction::Rm(rm_args)) => rm(&store, &rm_args.workspaces, rm_args.force).await,
    }
}

fn all(store: &WorkspaceStore) -> CommandResult<(Vec<WorkspaceRecord>, Vec<DamagedRecord>)> {
    store.list().map_err(|error| Failure::failed(format!("The workspaces cannot be listed: {error}.")))
}

fn list(store: &WorkspaceStore, args: &WorkspacesListArgs) -> CommandResult {
    let (records, damaged) = all(store)?;
    let now = SystemClock.now();
    if args.json {
        let mut list: Vec<Value> = records.iter().map(|record| as_json(store, record, now)).collect();
        list.extend(damaged.iter().map(|one| json!({ "name": one.name, "state": "damaged", "reason": one.reason })));
        output::print_json(&list)?;
        return Ok(Exit::Success);
    }
    if records.is_empty() && damaged.is_empty() {
        output::say("No workspaces.\n");
        return Ok(Exit::Success);
    }
    let mut rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            vec![
                WorkspaceStore::name(&record.id),
                record.job_type.clone(),
                output::size(size(store, record)),
                record.state.as_str().to_owned(),
                age(record, now),
                output::harmless(&reason(record)),
                store.path(&record.id).display().to_string(),
            ]
        })
        .collect();
    for one in damaged {
        let none = || "-".to_owned();
        rows.push(vec![one.name, none(), none(), "damaged".to_owned(), none(), output::harmless(&one.reason), none()]);
    }
    output::print(&output::table(&["WORKSPACE", "JOB TYPE", "SIZE", "STATE", "AGE", "WHY KEPT", "PATH"], &rows))?;
    Ok(Exit::Success)
}

fn as_json(store: &WorkspaceStore, record: &WorkspaceRecord, now: UnixMillis) -> Value {
    json!({
        "name": WorkspaceStore::name(&record.id),
        "job_id": record.id.job_id,
        "nonce": record.id.nonce,
        "job_type": record.job_type,
        "state": record.state.as_str(),
        "outcome": record.outcome,
        "reason": record.kept.as_ref().map(|kept| &kept.reason),
        "unpushed": record.kept.as_ref().is_some_and(|kept| kept.unpushed),
        "size": size(store, record),
        "created_at": record.created_at.to_rfc3339(),
        "age_seconds": now.since(record.created_at).as_secs(),
        "url": record.git.as_ref().map(|git| &git.url),
        "branch": record.git.as_ref().and_then(|git| git.branch.as_ref()),
        "path": store.path(&record.id),
    })
}

/// What was measured when it was kept; one that is in use is measured now.
fn size(store: &WorkspaceStore, record: &WorkspaceRecord) -> u64 {
    match (record.state, record.bytes) {
        (WorkspaceState::Kept, Some(bytes)) => bytes,
        _ => measure(&store.path(&record.id)),
    }
}

fn reason(record: &WorkspaceRecord) -> String {
    record.kept.as_ref().map_or("-", |kept| &kept.reason).to_owned()
}

fn age(record: &WorkspaceRecord, now: UnixMillis) -> String {
    let age = now.since(record.created_at);
    let unit = if age >= Duration::from_hours(24) { 3600 } else { 1 };
    format_duration(Duration::from_secs(age.as_secs() / unit * unit))
}

/// The one workspace that is meant: by its name, by its job, or by a beginning of either.
fn find(store: &WorkspaceStore, wanted: &str) -> CommandResult<WorkspaceRecord> {
    let (records, damaged) = all(store)?;
    if let Some(exact) = records.iter().find(|record| WorkspaceStore::name(&record.id) == wanted) {
        return Ok(exact.clone());
    }
    let fits = |record: &&WorkspaceRecord| WorkspaceStore::name(&record.id).starts_with(wanted) && !wanted.is_empty();
    let mut found = records.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(one), Some(other)) => {
            let (one, other) = (WorkspaceStore::name(&one.id), WorkspaceStore::name(&other.id));
            let message = format!("Several workspaces begin with \"{wanted}\": {one}, {other}.");
            Err(Failure::usage(message).with_help("Give the whole name, as `atta workspaces list` shows it."))
        }
        (None, _) => match damaged.iter().find(|one| one.name.starts_with(wanted)) {
            Some(one) => {
                let message = format!("The facts about the workspace {} are damaged: {}.", one.name, one.reason);
                let help = "Look into its directory; when nothing in it is needed, delete it and the file of facts.";
                Err(Failure::new(Exit::Refused, "DAMAGED", message).with_help(help))
            }
            None => Err(Failure::new(Exit::Refused, "NOT_FOUND", format!("There is no workspace \"{wanted}\"."))
                .with_help("`atta workspaces list` shows those of this data directory.")),
        },
    }
}

/// Prints the path; in a terminal, opens a shell there.
fn open(store: &WorkspaceStore, wanted: &str) -> CommandResult {
    let record = find(store, wanted)?;
    let path = store.path(&record.id);
    if !path.is_dir() {
        let message = format!("The directory of the workspace is gone: {}.", path.display());
        return Err(Failure::new(Exit::Refused, "GONE", message));
    }
    if !std::io::stdout().is_terminal() {
        output::print(&format!("{}\n", path.display()))?;
        return Ok(Exit::Success);
    }
    let shell = std::env::var_os("SHELL").map_or_else(|| PathBuf::from("/bin/sh"), PathBuf::from);
    output::say(&format!("{}\n", path.display()));
    start_shell(&shell, &path)
}

fn start_shell(shell: &Path, directory: &Path) -> CommandResult {
    let status = std::process::Command::new(shell).current_dir(directory).env("JOB_WORKSPACE", directory).status();
    match status {
        Ok(_) => Ok(Exit::Success),
        Err(error) => Err(Failure::failed(format!("The shell {} cannot be started: {error}.", shell.display()))),
    }
}

async fn rm(store: &WorkspaceStore, wanted: &[String], force: bool) -> CommandResult {
    let records = wanted.iter().map(|wanted| find(store, wanted)).collect::<CommandResult<Vec<_>>>()?;
    let path = std::env::var_os("PATH");
    for record in records {
        let name = WorkspaceStore::name(&record.id);
        remove(store, &record.id, force, path.as_deref()).await.map_err(|refusal| refused(&name, &refusal))?;
        output::say(&format!("removed {name}\n"));
    }
    Ok(Exit::Success)
}

fn refused(name: &str, refusal: &RemovalRefused) -> Failure {
    let message = format!("The workspace {name} was not removed: {refusal}.");
    match refusal {
        RemovalRefused::Live => Failure::new(Exit::Refused, "LIVE", message)
            .with_help("Cancel the job; or --force, and its later tasks will be INVALID."),
        RemovalRefused::Unpushed(_) | RemovalRefused::Doubt(_) => Failure::new(Exit::Refused, "UNPUSHED", message)
            .with_help("`atta workspaces open` leads there, so that you can push it; --force throws it away."),
        RemovalRefused::Unknown => Failure::new(Exit::Refused, "NOT_FOUND", message),
        RemovalRefused::Failed(_) => Failure::failed(message),
    }
}
