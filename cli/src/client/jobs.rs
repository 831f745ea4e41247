//! `atta jobs`: lists, and one job with its tasks.

use std::fmt::Write;

use atta_core::protocol::agent::{CostSource, MicroUsd};
use atta_core::protocol::agents_api::{AgentResource, AgentTotals};
use atta_core::protocol::api::{AttemptResource, FanOutResource, JobDetail, JobSummary, TaskResource};
use atta_core::protocol::counts::JobCounts;
use owo_colors::OwoColorize;

use super::Server;
use crate::args::{JobsAction, JobsArgs, JobsListArgs, JobsShowArgs};
use crate::exit::{CommandResult, Exit};
use crate::output;

/// What the server gives at once.
const PAGE: u32 = 200;

/// `atta jobs [list|show|command]`.
pub(crate) async fn jobs(args: JobsArgs) -> CommandResult {
    match args.action {
        None => list(args.list).await,
        Some(JobsAction::List(args)) => list(args).await,
        Some(JobsAction::Show(args)) => show(args).await,
        Some(JobsAction::Command(args)) => super::attempt_command::command(args).await,
    }
}

async fn list(args: JobsListArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let states: Vec<String> = args.state.iter().map(|state| state.to_uppercase()).collect();
    let mut filters: Vec<(&str, &str)> = states.iter().map(|state| ("state", state.as_str())).collect();
    filters.extend(args.job_type.as_deref().map(|job_type| ("job_type", job_type)));
    let parent = match &args.parent {
        Some(parent) => Some(server.job_id(parent).await?.0),
        None => None,
    };
    filters.extend(parent.as_deref().map(|parent| ("parent", parent)));
    filters.extend(args.user_key.as_deref().map(|key| ("user_key", key)));
    filters.extend(args.label.iter().map(|label| ("label", label.as_str())));
    if args.count {
        return count(&server, &filters, args.json).await;
    }
    filters.extend(args.ended.then_some(("order", "finished")));
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut jobs: Vec<JobSummary> = Vec::new();
    let mut cursor = None;
    let mut more = true;
    while more && jobs.len() < limit {
        let wanted = u32::try_from(limit - jobs.len()).unwrap_or(PAGE).min(PAGE);
        let page = server.jobs_page(&filters, wanted, cursor.as_deref()).await?;
        jobs.extend(page.items);
        cursor = page.next_cursor;
        more = cursor.is_some();
    }
    if args.json {
        output::print_json(&jobs)?;
        return Ok(Exit::Success);
    }
    let rows: Vec<Vec<String>> = jobs
        .iter()
        .map(|job| {
            let reason = job.error_code.as_deref().or(job.reason.as_deref()).unwrap_or_default();
            vec![
                job.job_id.0.clone(),
                job.job_type.clone(),
                output::name_of(&job.state),
                job.created_at.clone(),
                output::between(job.started_at.as_deref(), job.finished_at.as_deref())
                    .map(output::duration)
                    .unwrap_or_default(),
                output::harmless(reason).replace('\n', " "),
            ]
        })
        .collect();
    if rows.is_empty() {
        output::say("No jobs.\n");
    } else {
        output::print(&output::table(&["JOB", "TYPE", "STATE", "CREATED", "TOOK", "WHY"], &rows))?;
    }
    if more {
        output::say(&format!("There are more; --limit {} shows more of them.\n", args.limit.saturating_mul(5)));
    }
    Ok(Exit::Success)
}

/// How many there are instead of the jobs themselves.
async fn count(server: &Server, filters: &[(&str, &str)], json: bool) -> CommandResult {
    let counts: JobCounts = server.json(server.get(&["jobs", "counts"], filters)).await?;
    if json {
        output::print_json(&counts)?;
        return Ok(Exit::Success);
    }
    let more = |state: &str| if counts.at_least.iter().any(|one| one.as_str() == state) { "+" } else { "" };
    let mut rows: Vec<Vec<String>> =
        counts.states.iter().map(|(state, count)| vec![state.clone(), format!("{count}{}", more(state))]).collect();
    let any = if counts.at_least.is_empty() { "" } else { "+" };
    rows.push(vec!["all".to_owned(), format!("{}{any}", counts.total)]);
    let mut text = output::table(&["STATE", "JOBS"], &rows);
    let needs = [
        (counts.needs.approvals, "open question", "open questions"),
        (counts.needs.budgets, "used-up budget", "used-up budgets"),
        (counts.needs.paused, "paused job", "paused jobs"),
        (counts.needs.blocked, "blocked job", "blocked jobs"),
    ];
    let needs = needs.into_iter().filter(|(count, ..)| *count > 0);
    let needs: Vec<String> =
        needs.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many })).collect();
    if !needs.is_empty() {
        let _ = writeln!(text, "\nneed somebody: {}", needs.join(", "));
    }
    output::print(&text)?;
    Ok(Exit::Success)
}

async fn show(args: JobsShowArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let id = server.job_id(&args.job).await?;
    let job = server.job_with_attempts(&id).await?;
    if args.json {
        output::print_json(&job)?;
    } else {
        output::print(&human(&job))?;
    }
    Ok(Exit::Success)
}

/// `claude sonnet  DONE  12 turns  34567 tokens  $0.42 reported  session 7d1e…  2 files  1 commit`
fn of_agent(agent: &AgentResource) -> String {
    let mut parts =
        vec![[agent.cli.as_deref(), agent.model.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")];
    parts.extend(agent.class.map(|class| class.as_str().to_owned()));
    parts.push(plural(u64::from(agent.turns), "turn"));
    parts.push(agent.tokens.map_or_else(|| "tokens unknown".to_owned(), |tokens| plural(tokens.counted(), "token")));
    parts.push(match (agent.cost_usd.and_then(MicroUsd::from_dollars), &agent.cost_source) {
        (Some(cost), Some(CostSource::Priced(date))) => format!("{cost} by the prices of {date}"),
        (Some(cost), Some(CostSource::Reported)) => format!("{cost} reported"),
        (Some(cost), _) => cost.to_string(),
        (None, _) => "cost unknown".to_owned(),
    });
    parts.extend(agent.session.as_ref().map(|session| format!("session {}", session.id)));
    if !agent.files_changed.is_empty() {
        parts.push(plural(agent.files_changed.len() as u64, "file"));
    }
    if !agent.commits.is_empty() {
        parts.push(plural(agent.commits.len() as u64, "commit"));
    }
    if !agent.denials.is_empty() {
        parts.push(format!("{} refused", plural(agent.denials.len() as u64, "tool call")));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

/// `3 attempts, 41 turns, 120000 tokens, $1.23 (1 of unknown cost)`
fn of_agents(totals: &AgentTotals) -> String {
    let known = MicroUsd::from_dollars(totals.cost_usd).unwrap_or_default();
    let all_unknown = |count: u32| count == totals.attempts;
    let tokens = match totals.tokens_unknown {
        count if all_unknown(count) => "tokens unknown".to_owned(),
        0 => plural(totals.tokens.counted(), "token"),
        count => format!("{} (and those of {count} unknown)", plural(totals.tokens.counted(), "token")),
    };
    let cost = match totals.cost_unknown {
        count if all_unknown(count) => "cost unknown".to_owned(),
        0 => known.to_string(),
        count => format!("{known} (and {count} of unknown cost)"),
    };
    let attempts = plural(u64::from(totals.attempts), "attempt");
    format!("{attempts}, {}, {tokens}, {cost}", plural(totals.turns, "turn"))
}

fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Attempts of instances that are shown; those that succeeded are only counted.
const INSTANCES_SHOWN: usize = 20;

/// The attempts worth a line, and how many there are besides.
fn attempts_to_show(task: &TaskResource) -> (Vec<&AttemptResource>, usize) {
    if task.fan_out.is_none() {
        return (task.attempt_list.iter().collect(), 0);
    }
    let failed = task.attempt_list.iter().filter(|attempt| attempt.result.as_deref() != Some("COMPLETED"));
    let shown: Vec<_> = failed.take(INSTANCES_SHOWN).collect();
    let hidden = task.attempt_list.len() - shown.len();
    (shown, hidden)
}

/// `[8/10: 7 completed, 1 failed, 2 running]`
fn counts(fan_out: &FanOutResource) -> String {
    let settled: u32 = ["COMPLETED", "FAILED", "CANCELLED"].iter().filter_map(|state| fan_out.counts.get(*state)).sum();
    let counts: Vec<_> =
        fan_out.counts.iter().map(|(state, count)| format!("{count} {}", state.to_lowercase())).collect();
    let detail = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    format!("[{settled}/{}{detail}]", fan_out.total)
}

fn human(job: &JobDetail) -> String {
    let summary = &job.summary;
    let mut text = format!("{}  {}  {}\n", summary.job_id, summary.job_type, output::job_state(summary.state));
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "  {:<12} {}", format!("{name}:").dimmed(), output::harmless(value).trim_end());
        }
    };
    field("description", summary.description.as_deref());
    match &job.error {
        Some(error) => field("why", Some(&format!("{}: {}", error.code, error.message))),
        None => field("why", summary.reason.as_deref()),
    }
    field("version", Some(&summary.version));
    field("attempt", Some(&summary.attempt.to_string()));
    field("nonce", job.nonce.as_deref());
    field("rerun of", job.rerun_of.as_ref().map(|job| job.0.as_str()));
    let reruns: Vec<&str> = job.reruns.iter().map(|job| job.0.as_str()).collect();
    field("run again by", Some(&reruns.join(", ")));
    field("user key", summary.user_key.as_deref());
    let labels: Vec<String> = summary.labels.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    field("labels", Some(&labels.join(", ")));
    field("submitted", Some(&format!("{} by {}", summary.created_at, summary.submitted_by)));
    if let Some(parent) = &summary.parent {
        let by = parent.task.as_deref().map(|task| format!(", task {task}")).unwrap_or_default();
        field("parent", Some(&format!("{} {}{by}", output::name_of(&parent.relation), parent.job_id)));
    }
    field("scheduled", summary.scheduled_at.as_deref());
    field("started", summary.started_at.as_deref());
    field("finished", summary.finished_at.as_deref());
    field("budget", job.budget.as_ref().map(super::budgets::of_job).as_deref());
    field("agents", job.agents.as_ref().map(of_agents).as_deref());
    for (name, value) in &job.params {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(text, "  {:<12} {name} = {}", "param:".dimmed(), output::harmless(&shown).replace('\n', "⏎"));
    }
    for child in &job.children {
        let by = child.task.as_deref().map(|task| format!(" by {task}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {:<12} {}  {}  {}",
            format!("{}{by}:", output::name_of(&child.relation)).dimmed(),
            child.job_id,
            child.job_type,
            output::job_state(child.state)
        );
    }
    for task in &job.tasks {
        let _ =
            write!(text, "\n{} {}  {}", output::task_mark(task.state), task.task_type, output::name_of(&task.state));
        if let Some(result) = task.result.as_deref().filter(|result| *result != output::name_of(&task.state)) {
            let _ = write!(text, "  {result}");
        }
        if let Some(code) = task.exit_code.filter(|code| *code != 0) {
            let _ = write!(text, "  exit {code}");
        }
        if let Some(route) = &task.route {
            let _ = write!(text, "  {}", format!("→ {route}").cyan());
        }
        if let Some(source) = &task.adopted_from {
            let _ = write!(text, "  {}", format!("taken over from {source}").dimmed());
        }
        if let Some(fan_out) = &task.fan_out {
            let _ = write!(text, "  {}", counts(fan_out));
        }
        text.push('\n');
        if let Some(error) = &task.error {
            let _ = writeln!(text, "    {}: {}", error.code, output::harmless(&error.message));
        }
        let (shown, hidden) = attempts_to_show(task);
        for attempt in shown {
            let took = output::between(attempt.started_at.as_deref(), attempt.finished_at.as_deref());
            let _ = write!(text, "    attempt {}", attempt.number);
            if let Some(key) = &attempt.item_key {
                let _ = write!(text, "  {}", output::harmless(key).bold());
            }
            if task.visits > 1 {
                let _ = write!(text, "  visit {}", attempt.visit);
            }
            let _ = write!(text, "  {}", attempt.result.clone().unwrap_or_else(|| output::name_of(&attempt.state)));
            if let Some(code) = attempt.exit_code {
                let _ = write!(text, "  exit {code}");
            }
            if let Some(took) = took {
                let _ = write!(text, "  {}", output::duration(took));
            }
            if attempt.log_bytes > 0 {
                let _ = write!(text, "  log {}", output::size(attempt.log_bytes));
            }
            if let Some(reason) = &attempt.reason {
                let _ = write!(text, "  {}", output::harmless(reason).dimmed());
            }
            text.push('\n');
            if let Some(error) = attempt.error.as_ref().filter(|_| attempt.item_key.is_some()) {
                let _ = writeln!(text, "      {}: {}", error.code, output::harmless(&error.message));
            }
            if let Some(agent) = &attempt.agent {
                let _ = writeln!(text, "      {}", output::harmless(&of_agent(agent)).replace('\n', " ").dimmed());
            }
            for warning in &attempt.warnings {
                let _ = writeln!(text, "      {} {}", "warning:".yellow(), output::harmless(warning));
            }
        }
        if hidden > 0 {
            let _ = writeln!(text, "    {}", format!("and {hidden} more attempts").dimmed());
        }
        // What is known of each instance has been shown.
        for (name, value) in task.outputs.iter().filter(|(name, _)| task.fan_out.is_none() || *name != "results") {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = writeln!(text, "    {name} = {}", output::harmless(&shown).replace('\n', "⏎"));
        }
        for artifact in &task.artifacts {
            let _ = writeln!(text, "    {}  {}", output::harmless(&artifact.name), output::size(artifact.size));
        }
    }
    text
}
