//! What `/metrics` shows, by name; docs/metrics.md has the same list.

use std::time::Duration;

use atta_core::budget::{Measure, Scope};
use atta_core::resilience::{BreakerState, ComponentReport, ComponentState, Tier};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};

use crate::regulator::Regulator;
use crate::scheduler::{BudgetFigures, Figures, Queen};
use crate::store::ColumnName as _;
use crate::watch::Watch;

/// The writer has so long to count what it has; otherwise the last figures stay.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

use Kind::{Counter, Gauge, Histogram};

/// Every metric: its name, its kind, what it says.
pub(crate) const METRICS: [(&str, Kind, &str); 51] = [
    ("atta_http_requests_total", Counter, "HTTP requests answered, by method, route and status."),
    ("atta_http_request_seconds", Histogram, "Time until an HTTP answer began, in seconds."),
    ("atta_unauthorized_total", Counter, "Requests without a good token, by code."),
    ("atta_jobs", Gauge, "Jobs by state."),
    ("atta_jobs_held", Gauge, "PENDING jobs that are left out by degradation."),
    ("atta_jobs_finished_total", Counter, "Jobs that reached a terminal state, by state."),
    ("atta_jobs_damaged_total", Counter, "Jobs set aside because history and rows disagree."),
    ("atta_attempts_running", Gauge, "Attempts that ants have."),
    ("atta_attempts_finished_total", Counter, "Attempts that ended, by result."),
    ("atta_engine_refusals_total", Counter, "Events that the engine refused though the queen must tell them."),
    ("atta_queue_depth", Gauge, "READY attempts that wait for an ant."),
    ("atta_queue_next_age_seconds", Gauge, "How long the attempt has waited that is given out next, in seconds."),
    ("atta_dispatch_seconds", Histogram, "From READY to leased, in seconds."),
    ("atta_dispatch_paused", Gauge, "1 while nothing is given out because many ants were lost at once."),
    ("atta_ants", Gauge, "Ants by state."),
    ("atta_ants_lost_total", Counter, "Ants of which nothing was heard for a lease."),
    ("atta_mass_losses_total", Counter, "Times at which so many ants were lost at once that dispatch paused."),
    ("atta_slots", Gauge, "Slots of ants that live."),
    (
        "atta_ant_spool_bytes",
        Gauge,
        "Bytes of output on an ant's disk that have waited for the queen for ten seconds or longer, by ant.",
    ),
    ("atta_ant_spool_limit_bytes", Gauge, "Bytes of output that may wait there, by ant."),
    ("atta_ant_outbox_reports", Gauge, "Reports of an ant that the queen has not heard, by ant."),
    ("atta_ant_retries_total", Counter, "Messages that an ant had to say again, by ant."),
    ("atta_ant_breaker", Gauge, "1 for the state of an ant's circuit breaker towards the queen, by ant and state."),
    ("atta_ant_component_restarts_total", Counter, "Parts of an ant that were begun anew, by ant."),
    ("atta_batch_commands", Histogram, "Commands per transaction of the writer."),
    ("atta_commit_seconds", Histogram, "Time to write and commit one transaction, in seconds."),
    ("atta_commit_failures_total", Counter, "Transactions that could not be stored."),
    ("atta_writer_queue_commands", Gauge, "Commands that wait for the writer."),
    ("atta_log_bytes_total", Counter, "Bytes of logs taken in."),
    ("atta_disk_free_bytes", Gauge, "Bytes that are free where the data is."),
    ("atta_memory_available_bytes", Gauge, "Bytes of memory that are available."),
    ("atta_degradation_tier", Gauge, "How much is left out: 0 nothing, 1 SHED, 2 FINISH, 3 READ_ONLY."),
    ("atta_degradation_changes_total", Counter, "Changes of the tier, by the new one."),
    ("atta_component_state", Gauge, "1 for the state of a part of the server, by component and state."),
    ("atta_component_restarts_total", Counter, "Parts of the server that were begun anew, by component."),
    ("atta_breakers", Gauge, "Receivers of notifications that are left alone, by dependency and state."),
    ("atta_retries_total", Counter, "What was sent again, by dependency."),
    ("atta_notifications_total", Counter, "Tries to send a notification, by what came of it."),
    ("atta_webhook_deliveries_total", Counter, "Deliveries to webhooks of definitions, by what came of it."),
    ("atta_budget_used", Gauge, "What agents have used of a budget, by scope, definition and measure."),
    ("atta_budget_reserved", Gauge, "What agents that run may use of a budget, by scope, definition and measure."),
    (
        "atta_budget_limit",
        Gauge,
        "The limit of a budget for a day, +Inf where there is none, by scope, definition and measure.",
    ),
    ("atta_agents_waiting", Gauge, "READY agents that wait for a budget or an account, by cause."),
    ("atta_accounts", Gauge, "Accounts of agents, by state."),
    ("atta_terminal_sessions", Gauge, "Attempts that somebody may type into now."),
    ("atta_terminal_input_bytes_total", Counter, "Bytes that were typed into attempts."),
    ("atta_triggers_total", Counter, "Ends of jobs that a definition waits for, by what came of it."),
    ("atta_items_submitted_total", Counter, "Items of SUBMIT_JOBS, by what came of it."),
    ("atta_schedule_ticks_total", Counter, "Ticks of schedules that made a job."),
    ("atta_up_since_seconds", Gauge, "When the server started, in seconds since 1970."),
    ("atta_info", Gauge, "1, with the version."),
];

/// Says what each name means, and begins what has a value from the beginning.
pub(crate) fn describe(version: &'static str, started: f64) {
    for (name, kind, help) in METRICS {
        match kind {
            Counter => describe_counter!(name, help),
            Gauge => describe_gauge!(name, help),
            Histogram => describe_histogram!(name, help),
        }
    }
    // A counter that is not there yet cannot be told from one that is not counted.
    for name in [
        "atta_commit_failures_total",
        "atta_jobs_damaged_total",
        "atta_engine_refusals_total",
        "atta_ants_lost_total",
        "atta_mass_losses_total",
        "atta_log_bytes_total",
        "atta_terminal_input_bytes_total",
        "atta_schedule_ticks_total",
    ] {
        counter!(name).increment(0);
    }
    gauge!("atta_dispatch_paused").set(0.0);
    gauge!("atta_up_since_seconds").set(started);
    gauge!("atta_info", "version" => version).set(1.0);
}

/// Measures what is measured only when somebody looks.
pub(crate) async fn collect(queen: &Queen, watch: &Watch, regulator: &Regulator) {
    if let Ok(Ok(figures)) = tokio::time::timeout(PATIENCE, queen.figures()).await {
        of_writer(&figures);
    }
    gauge!("atta_writer_queue_commands").set(float(queen.load().waiting));
    gauge!("atta_degradation_tier").set(f64::from(queen.tier().tier.number()));
    let signals = regulator.measured();
    if let Some(free) = signals.disk_free {
        gauge!("atta_disk_free_bytes").set(gauged(free));
    }
    if let Some(available) = signals.memory_available {
        gauge!("atta_memory_available_bytes").set(gauged(available));
    }
    for part in watch.report(queen) {
        of_part(&part);
    }
}

fn of_writer(figures: &Figures) {
    gauge!("atta_queue_depth").set(float(figures.ready));
    gauge!("atta_queue_next_age_seconds").set(figures.next_waits.as_secs_f64());
    gauge!("atta_jobs_held").set(float(figures.held));
    gauge!("atta_attempts_running").set(float(figures.attempts));
    gauge!("atta_slots").set(float(figures.slots));
    gauge!("atta_terminal_sessions").set(float(figures.terminals));
    for (state, count) in &figures.jobs {
        gauge!("atta_jobs", "state" => state.column_name()).set(gauged(*count));
    }
    for (state, count) in &figures.ants {
        gauge!("atta_ants", "state" => *state).set(f64::from(*count));
    }
    for budget in &figures.budgets {
        of_budget(budget);
    }
    for (cause, count) in &figures.waiting {
        gauge!("atta_agents_waiting", "cause" => *cause).set(gauged(*count));
    }
    for (state, count) in &figures.accounts {
        gauge!("atta_accounts", "state" => *state).set(gauged(*count));
    }
    for (ant, condition) in &figures.conditions {
        let ant = ant.0.clone();
        gauge!("atta_ant_spool_bytes", "ant" => ant.clone()).set(gauged(condition.spool_bytes));
        gauge!("atta_ant_spool_limit_bytes", "ant" => ant.clone()).set(gauged(condition.spool_limit_bytes));
        gauge!("atta_ant_outbox_reports", "ant" => ant.clone()).set(gauged(condition.outbox_reports));
        counter!("atta_ant_retries_total", "ant" => ant.clone()).absolute(condition.retries);
        counter!("atta_ant_component_restarts_total", "ant" => ant.clone()).absolute(condition.restarts);
        for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen].map(BreakerState::as_str) {
            let is = condition.breaker.as_deref() == Some(state);
            gauge!("atta_ant_breaker", "ant" => ant.clone(), "state" => state).set(f64::from(u8::from(is)));
        }
    }
}

fn of_budget(budget: &BudgetFigures) {
    for measure in Measure::ALL {
        // In units that everybody has: dollars and seconds.
        let (name, unit) = match measure {
            Measure::Usd => ("usd", 1e6),
            Measure::Tokens => ("tokens", 1.0),
            Measure::Turns => ("turns", 1.0),
            Measure::Time => ("seconds", 1e3),
        };
        let job_type = budget.job_type.clone().unwrap_or_default();
        let labels =
            [("scope", budget.scope.as_str().to_owned()), ("job_type", job_type), ("measure", name.to_owned())];
        gauge!("atta_budget_used", &labels).set(gauged(budget.used.get(measure)) / unit);
        gauge!("atta_budget_reserved", &labels).set(gauged(budget.reserved.get(measure)) / unit);
        if budget.scope != Scope::Job {
            let limit = budget.limits.get(measure).map_or(f64::INFINITY, |most| gauged(most) / unit);
            gauge!("atta_budget_limit", &labels).set(limit);
        }
    }
}

fn of_part(part: &ComponentReport) {
    for state in ComponentState::ALL {
        let is = f64::from(u8::from(part.state == state));
        gauge!("atta_component_state", "component" => part.name.clone(), "state" => state.as_str()).set(is);
    }
}

/// The tier is another one.
pub(crate) fn tier_changed(tier: Tier) {
    counter!("atta_degradation_changes_total", "tier" => tier.as_str()).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
fn float(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
fn gauged(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    const KINDS: [&str; 3] = ["` | counter | ", "` | gauge | ", "` | histogram | "];

    /// The names that stand in the quotation marks after these macros, in all sources.
    fn used(directory: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                used(&path, names);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for kind in ["counter!(", "gauge!(", "histogram!("] {
                    for after in text.split(kind).skip(1) {
                        if let Some(name) = after.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next())
                        {
                            names.extend(Some(name).filter(|name| name.starts_with("atta_")).map(str::to_owned));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_metric_is_described_and_every_description_has_its_metric() {
        let mut names = BTreeSet::new();
        used(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
        let described: BTreeSet<String> = METRICS.iter().map(|(name, _, _)| (*name).to_owned()).collect();
        assert_eq!(described.len(), METRICS.len(), "a name stands twice");
        assert_eq!(names, described);
    }

    #[test]
    fn the_page_lists_every_metric_with_its_meaning() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        let page = fs::read_to_string(page).unwrap();
        let kind = |kind: Kind| format!("{kind:?}").to_lowercase();
        let rows: BTreeSet<&str> = page
            .lines()
            .filter(|line| line.starts_with("| `atta_") && KINDS.iter().any(|kind| line.contains(kind)))
            .collect();
        for (name, of, help) in METRICS {
            let row = format!("| `{name}` | {} | {help} |", kind(of));
            assert!(rows.contains(row.as_str()), "docs/metrics.md needs the line\n{row}");
        }
        assert_eq!(rows.len(), METRICS.len(), "docs/metrics.md lists what does not exist");
    }

    #[test]
    fn names_follow_the_conventions() {
        for (name, kind, help) in METRICS {
            assert_eq!(name.ends_with("_total"), kind == Counter, "{name}");
            assert!(name.starts_with("atta_") && help.ends_with('.'), "{name}");
            assert!(kind != Histogram || name.ends_with("_seconds") || name == "atta_batch_commands", "{name}");
        }
    }
}
