//! `atta outcomes`.

use std::fmt::Write as _;
use std::time::Duration;

use atta_core::definition::parse_duration;
use atta_core::protocol::agent::MicroUsd;
use atta_core::protocol::outcomes_api::{OutcomeFigures, OutcomesBy, OutcomesResource, Spread};
use atta_core::time::{Clock, UnixMillis};
use jiff::Timestamp;

use super::Server;
use crate::ambient::SystemClock;
use crate::args::OutcomesArgs;
use crate::exit::{CommandResult, Exit, Failure};
use crate::output::{self, harmless};

/// The columns of `--csv`.
const COLUMNS: [&str; 30] = [
    "key",
    "jobs",
    "in_progress",
    "pull_requests",
    "merged",
    "closed",
    "needs_human",
    "failed",
    "cancelled",
    "open",
    "completed",
    "attempts",
    "turns",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "tokens_unknown",
    "cost_usd",
    "cost_unknown",
    "cost_per_merged_usd",
    "first_time_right",
    "rework_median",
    "rework_mean",
    "seconds_to_pull_request_median",
    "seconds_to_pull_request_mean",
    "seconds_to_merge_median",
    "seconds_to_merge_mean",
    "reason",
    "reason_jobs",
];

/// `atta outcomes`.
pub(crate) async fn outcomes(args: OutcomesArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let now = SystemClock.now();
    let since = if args.all { None } else { Some(instant("--since", &args.since, now)?) };
    let until = args.until.as_deref().map(|until| instant("--until", until, now)).transpose()?;
    let limit = args.limit.to_string();
    let by = args.by.and_then(|by| OutcomesBy::NAMES.iter().find(|(one, _)| *one == by)).map(|(_, name)| *name);
    let mut query = vec![("limit", limit.as_str())];
    let given = [
        ("since", since.as_deref()),
        ("until", until.as_deref()),
        ("by", by),
        ("definition", args.definition.as_deref()),
        ("repository", args.repository.as_deref()),
        ("agent", args.agent.as_deref()),
        ("model", args.model.as_deref()),
    ];
    query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let found: OutcomesResource = server.json(server.get(&["outcomes"], &query)).await?;
    if args.json {
        output::print_json(&found)?;
    } else if args.csv {
        output::print(&csv(&found))?;
    } else {
        output::print(&text(&found))?;
    }
    Ok(Exit::Success)
}

/// A duration before now, or an instant.
fn instant(option: &str, text: &str, now: UnixMillis) -> CommandResult<String> {
    if let Ok(duration) = parse_duration(text) {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        return Ok(UnixMillis(now.0.saturating_sub(millis)).to_rfc3339());
    }
    let instant: Timestamp = text.parse().map_err(|_| {
        Failure::usage(format!("{option} {text:?} is neither a duration nor an instant."))
            .with_help("Write 30d, 12h or 2026-01-31T12:00:00Z.")
    })?;
    Ok(UnixMillis(instant.as_millisecond()).to_rfc3339())
}

fn money(dollars: f64) -> String {
    format!("${dollars:.2}")
}

/// A sum of which something is missing is the least that it can be.
fn cost(figures: &OutcomeFigures) -> String {
    let least = if figures.cost_unknown > 0 { "≥ " } else { "" };
    format!("{least}{}", money(figures.cost_usd))
}

fn per_merged(figures: &OutcomeFigures) -> String {
    let least = if figures.cost_unknown > 0 { "≥ " } else { "" };
    figures.cost_per_merged_usd.map_or_else(|| "-".to_owned(), |cost| format!("{least}{}", money(cost)))
}

fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.0} %", rate * 100.0))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

fn time(seconds: Option<f64>) -> String {
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.map_or_else(|| "-".to_owned(), output::duration)
}

/// What people read.
fn text(found: &OutcomesResource) -> String {
    let total = &found.total;
    let mut text = String::new();
    if total.jobs == 0 {
        return "No jobs with agents, or with an `outcome`, were submitted in this time.\n".to_owned();
    }
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<24}{value}");
    };
    line("jobs", format!("{} ({} in progress)", total.jobs, total.in_progress));
    line("pull requests", total.pull_requests.to_string());
    line(
        "merged",
        format!(
            "{}; closed {}, needs human {}, failed {}, cancelled {}, open {}, other {}",
            total.merged, total.closed, total.needs_human, total.failed, total.cancelled, total.open, total.completed
        ),
    );
    let mut spent = format!("{} in {} attempts, {} turns", cost(total), total.attempts, total.turns);
    if total.cost_unknown > 0 {
        let _ = write!(spent, "; of {} the cost is not known", total.cost_unknown);
    }
    line("cost", spent);
    line("cost per merge", per_merged(total));
    line("right the first time", percent(total.first_time_right));
    line("rounds of rework", format!("median {}, mean {}", number(total.rework.median), number(total.rework.mean)));
    let spread = |spread: &Spread| format!("median {}, mean {}", time(spread.median), time(spread.mean));
    line("time to pull request", spread(&total.seconds_to_pull_request));
    line("time to merge", spread(&total.seconds_to_merge));
    for (place, reason) in total.reasons.iter().enumerate() {
        let name = if place == 0 { "not achieved because" } else { "" };
        line(name, format!("{} ({})", harmless(&reason.code), reason.jobs));
    }
    for (place, task) in found.flaky_tasks.iter().enumerate() {
        let name = if place == 0 { "tried again" } else { "" };
        let (job, task_type) = (harmless(&task.job_type), harmless(&task.task_type));
        let jobs = if task.jobs == 1 { "job" } else { "jobs" };
        line(
            name,
            format!(
                "{job}/{task_type}: {} times in {} {jobs}, {} with another result",
                task.retries, task.jobs, task.changed
            ),
        );
    }
    if found.by.is_some() {
        text.push('\n');
        text.push_str(&groups(found));
    }
    text
}

fn groups(found: &OutcomesResource) -> String {
    let head = found.by.map(|by| output::name_of(&by).to_uppercase()).unwrap_or_default();
    let header =
        [&head, "JOBS", "MERGED", "CLOSED", "HUMAN", "FAILED", "COST", "PER MERGE", "FIRST TIME", "REWORK", "TO MERGE"];
    let rows: Vec<Vec<String>> = found
        .groups
        .iter()
        .map(|group| {
            let figures = &group.figures;
            vec![
                group.key.as_deref().map_or_else(|| "(unknown)".to_owned(), harmless),
                figures.jobs.to_string(),
                figures.merged.to_string(),
                figures.closed.to_string(),
                figures.needs_human.to_string(),
                figures.failed.to_string(),
                cost(figures),
                per_merged(figures),
                percent(figures.first_time_right),
                number(figures.rework.mean),
                time(figures.seconds_to_merge.median),
            ]
        })
        .collect();
    let mut text = output::table(&header, &rows);
    if found.more_groups > 0 {
        let _ = writeln!(text, "and {} more (--limit)", found.more_groups);
    }
    text
}

/// A value between commas. One that begins like a formula is a text for spreadsheets too.
fn cell(value: &str) -> String {
    let value = if value.starts_with(['=', '+', '-', '@', '\t']) { format!("'{value}") } else { value.to_owned() };
    if value.contains([',', '"', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}

/// The groups, or the one line of all. What is not known is empty.
fn csv(found: &OutcomesResource) -> String {
    let mut text = format!("{}\n", COLUMNS.join(","));
    let total = [(None, &found.total)];
    let groups = found.groups.iter().map(|group| (group.key.as_deref(), &group.figures));
    let rows: Vec<(Option<&str>, &OutcomeFigures)> =
        if found.by.is_some() { groups.collect() } else { total.into_iter().collect() };
    for (key, figures) in rows {
        let dollars = |dollars: f64| MicroUsd::from_dollars(dollars).map(MicroUsd::amount);
        let maybe = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let counts = [
            figures.jobs,
            figures.in_progress,
            figures.pull_requests,
            figures.merged,
            figures.closed,
            figures.needs_human,
            figures.failed,
            figures.cancelled,
            figures.open,
            figures.completed,
            figures.attempts,
        ];
        let tokens = figures.tokens;
        let numbers = [figures.turns, tokens.input, tokens.output, tokens.cache_read, tokens.cache_write];
        let reason = figures.reasons.first();
        let mut cells = vec![cell(key.unwrap_or_default())];
        cells.extend(counts.map(|count| count.to_string()));
        cells.extend(numbers.map(|number| number.to_string()));
        cells.extend([
            figures.tokens_unknown.to_string(),
            dollars(figures.cost_usd).unwrap_or_default(),
            figures.cost_unknown.to_string(),
            figures.cost_per_merged_usd.and_then(dollars).unwrap_or_default(),
            maybe(figures.first_time_right),
        ]);
        for spread in [&figures.rework, &figures.seconds_to_pull_request, &figures.seconds_to_merge] {
            cells.extend([maybe(spread.median), maybe(spread.mean)]);
        }
        cells.extend([
            reason.map(|reason| cell(&reason.code)).unwrap_or_default(),
            reason.map(|reason| reason.jobs.to_string()).unwrap_or_default(),
        ]);
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use atta_core::protocol::outcomes_api::{OutcomeGroup, ReasonCount};

    use super::*;

    fn some() -> OutcomesResource {
        let figures = OutcomeFigures {
            jobs: 3,
            merged: 2,
            failed: 1,
            attempts: 4,
            cost_usd: 3.330_051,
            cost_unknown: 1,
            cost_per_merged_usd: Some(1.665_025_5),
            first_time_right: Some(0.5),
            seconds_to_merge: Spread { count: 2, median: Some(5_400.0), mean: Some(5_400.0) },
            reasons: vec![ReasonCount { code: "TIMED_OUT".to_owned(), jobs: 1 }],
            ..OutcomeFigures::default()
        };
        let group = OutcomeGroup { key: Some("=a,\"b\"".to_owned()), figures: figures.clone() };
        OutcomesResource {
            since: None,
            until: None,
            by: Some(OutcomesBy::Repository),
            total: figures,
            groups: vec![group, OutcomeGroup { key: None, figures: OutcomeFigures::default() }],
            more_groups: 2,
            flaky_tasks: Vec::new(),
        }
    }

    #[test]
    fn a_sum_of_which_something_is_missing_says_so() {
        let text = anstream::adapter::strip_str(&text(&some())).to_string();
        assert!(
            text.contains("cost                    ≥ $3.33 in 4 attempts, 0 turns; of 1 the cost is not known\n"),
            "{text}"
        );
        assert!(text.contains("cost per merge          ≥ $1.67\n"), "{text}");
        assert!(text.contains("right the first time    50 %\n"), "{text}");
        assert!(text.contains("time to merge           median 1h 30m, mean 1h 30m\n"), "{text}");
        assert!(text.contains("(unknown)"), "{text}");
        assert!(text.ends_with("and 2 more (--limit)\n"), "{text}");
    }

    #[test]
    fn lines_for_spreadsheets_have_all_columns_and_no_formulas() {
        let text = csv(&some());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("\"'=a,\"\"b\"\"\",3,0,0,2,0,0,1,"), "{}", lines[1]);
        assert!(lines[1].contains(",3.330051,1,1.665026,0.5,"), "{}", lines[1]);
        assert_eq!(lines[2].split(',').count(), COLUMNS.len());
        assert!(lines[2].ends_with(",0.00,0,,,,,,,,,,"), "{}", lines[2]);
    }

    #[test]
    fn times_are_durations_or_instants() {
        let now = UnixMillis(86_400_000 * 40);
        assert_eq!(instant("--since", "30d", now).unwrap(), "1970-01-11T00:00:00.000Z");
        assert_eq!(instant("--since", "2026-01-31T12:00:00Z", now).unwrap(), "2026-01-31T12:00:00.000Z");
        let failure = instant("--since", "yesterday", now).unwrap_err();
        assert_eq!(failure.message, "--since \"yesterday\" is neither a duration nor an instant.");
    }
}
