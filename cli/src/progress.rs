//! A job's history as lines for people, from the events of the server or of the queen in this process.

use std::collections::HashMap;
use std::fmt::Write;

use atta_core::engine::{JobState, TaskState};
use atta_core::protocol::api::{EventResource, JobDetail};
use jiff::Timestamp;
use owo_colors::OwoColorize;
use serde_json::Value;

use crate::output;

/// What the events so far said.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// When the attempt that runs of each task started.
    started: HashMap<String, Timestamp>,
    /// The latest attempt of each task.
    latest_attempt: HashMap<String, u32>,
    /// The task of each attempt.
    task_of: HashMap<u32, String>,
    /// How the latest visit of each task was shown: a loop that ends settles its tasks again as they were.
    shown: HashMap<String, (u64, TaskState, Option<String>)>,
    /// How the latest attempt of each task ended, when that was no success.
    latest_result: HashMap<String, String>,
    /// The instances of tasks with `fan_out`.
    fan_outs: HashMap<String, Instances>,
}

/// What is known of the instances of a task.
#[derive(Debug, Default)]
struct Instances {
    keys: Vec<String>,
    settled: Vec<bool>,
    done: usize,
    failures_shown: usize,
    attempts: HashMap<usize, u32>,
}

/// With so many items every instance has a line; of more, every twentieth part of them.
const EACH_SHOWN: usize = 20;
/// Failed instances of a task that are shown, and of them, those whose log is.
const FAILURES_SHOWN: usize = 20;
const TAILS_SHOWN: usize = 3;

/// Something to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Text with colours, without newline.
    Text(String),
    /// The end of the log of this attempt belongs here.
    LogTail {
        /// Number of the attempt within the job.
        attempt: u32,
    },
}

/// A task that settled, until its route is known.
struct Settled {
    task: String,
    text: String,
    tail: Option<u32>,
}

impl Progress {
    /// Takes the next events, in order, and says what to show. Give all events of one transaction in one call: a task
    /// and the route that it took are one line.
    pub(crate) fn apply(&mut self, events: &[EventResource]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut settled: Option<Settled> = None;
        for event in events {
            if event.kind == "route_taken" {
                let task = text(&event.data, "task");
                if let Some(settled) = settled.as_mut().filter(|settled| settled.task == task) {
                    let _ = write!(settled.text, "  {}", format!("→ {}", target(&event.data)).cyan());
                }
                continue;
            }
            flush(&mut settled, &mut lines);
            match event.kind.as_str() {
                "task_changed" => settled = self.task_changed(event, &mut lines),
                "items_expanded" => self.items_expanded(event),
                "instance_changed" => self.instance_changed(event, &mut lines),
                "attempt_created" => self.attempt_created(event),
                "attempt_closed" => self.attempt_closed(event),
                "job_attempt_began" => self.job_attempt_began(event, &mut lines),
                "final_phase_began" => {
                    lines.push(Line::Text(format!("{}", "always_run tasks follow".dimmed())));
                }
                "job_changed" => job_changed(event, &mut lines),
                _ => {}
            }
        }
        flush(&mut settled, &mut lines);
        lines
    }

    fn attempt_created(&mut self, event: &EventResource) {
        let task = text(&event.data, "task").to_owned();
        if let Some(attempt) = number(&event.data, "attempt") {
            self.latest_attempt.insert(task.clone(), attempt);
            if let Some(instance) = number(&event.data, "instance") {
                self.fan_outs.entry(task.clone()).or_default().attempts.insert(instance as usize, attempt);
            }
            self.task_of.insert(attempt, task);
        }
    }

    fn attempt_closed(&mut self, event: &EventResource) {
        if let (Some(attempt), Some(result)) =
            (number(&event.data, "attempt"), event.data.get("result").and_then(result_text))
            && let Some(task) = self.task_of.get(&attempt)
        {
            self.latest_result.insert(task.clone(), result);
        }
    }

    fn items_expanded(&mut self, event: &EventResource) {
        let items = event.data.pointer("/outcome/Ok").and_then(Value::as_array);
        let keys: Vec<String> = items.into_iter().flatten().map(|item| text(item, "key").to_owned()).collect();
        let settled = vec![false; keys.len()];
        self.fan_outs.insert(text(&event.data, "task").to_owned(), Instances { keys, settled, ..Instances::default() });
    }

    /// `✓ build [3/10] linux`, `✗ build [4/10] windows  exit 3`
    fn instance_changed(&mut self, event: &EventResource, lines: &mut Vec<Line>) {
        let data = &event.data;
        let task = text(data, "task");
        let Some(to) = data.get("state").and_then(|to| serde_json::from_value::<TaskState>(to.clone()).ok()) else {
            return;
        };
        let Some(all) = self.fan_outs.get_mut(task) else { return };
        let Some(index) = number(data, "instance").map(|index| index as usize).filter(|i| *i < all.keys.len()) else {
            return;
        };
        let was = std::mem::replace(&mut all.settled[index], to.is_settled());
        match (was, to.is_settled()) {
            (false, true) => all.done += 1,
            (true, false) => all.done -= 1,
            _ => {}
        }
        if !to.is_settled() || was {
            return;
        }
        let total = all.keys.len();
        let head = format!(
            "{} {} {} {}",
            output::task_mark(to),
            output::harmless(task),
            format!("[{}/{total}]", all.done).dimmed(),
            output::harmless(&all.keys[index])
        );
        if to == TaskState::Failed {
            all.failures_shown += 1;
            if all.failures_shown > FAILURES_SHOWN {
                return;
            }
            let result = data.get("result").and_then(result_text).map(|result| format!("  {result}"));
            let message = data.pointer("/failure/message").and_then(Value::as_str).map(output::harmless);
            let message = message.map(|message| format!("  {message}"));
            lines.push(Line::Text(format!("{head}{}{}", result.unwrap_or_default(), message.unwrap_or_default())));
            if all.failures_shown <= TAILS_SHOWN
                && let Some(attempt) = all.attempts.get(&index)
            {
                lines.push(Line::LogTail { attempt: *attempt });
            }
        } else if to == TaskState::Completed {
            let step = total.div_ceil(EACH_SHOWN).max(1);
            if all.done % step == 0 {
                lines.push(Line::Text(head));
            }
        }
    }

    fn job_attempt_began(&mut self, event: &EventResource, lines: &mut Vec<Line>) {
        let job_attempt = event.data.get("job_attempt").and_then(Value::as_u64).unwrap_or(1);
        if job_attempt > 1 {
            self.shown.clear();
            lines.push(Line::Text(format!("{}", format!("job attempt {job_attempt}").bold())));
        }
    }

    fn task_changed(&mut self, event: &EventResource, lines: &mut Vec<Line>) -> Option<Settled> {
        let data = &event.data;
        let task = text(data, "task").to_owned();
        let state = |key: &str| data.get(key).and_then(|state| serde_json::from_value::<TaskState>(state.clone()).ok());
        let to = state("to")?;
        let at: Option<Timestamp> = event.at.parse().ok();
        let shown = output::harmless(&task);
        let visit = data.get("visit").and_then(Value::as_u64).unwrap_or(0);
        let visit_note = if visit > 1 { format!("  visit {visit}") } else { String::new() };
        match to {
            TaskState::Leased => {
                if let Some(at) = at {
                    self.started.insert(task, at);
                }
                lines.push(Line::Text(format!("{} {shown}{visit_note}", output::task_mark(to))));
                None
            }
            TaskState::Running => {
                if let Some(at) = at {
                    self.started.insert(task, at);
                }
                None
            }
            // Another attempt may be ready at once.
            TaskState::Waiting | TaskState::Ready
                if to == TaskState::Waiting || state("from") == Some(TaskState::Running) =>
            {
                // Instances that ended well while the next one waits for its turn are no reason for another attempt.
                let of_instances = self.fan_outs.contains_key(&task);
                let result = if of_instances {
                    self.latest_result.remove(&task)
                } else {
                    self.latest_result.get(&task).cloned()
                };
                if of_instances && result.is_none() {
                    return None;
                }
                let result = result.map(|result| format!("  {result}")).unwrap_or_default();
                lines.push(Line::Text(format!(
                    "{} {shown}{result}  {}",
                    "↻".yellow(),
                    "another attempt follows".dimmed()
                )));
                None
            }
            state if state.is_settled() => {
                let result = data.get("result").and_then(result_text);
                let outcome = (visit, state, result.clone());
                if visit > 0 && self.shown.get(&task) == Some(&outcome) {
                    return None;
                }
                self.shown.insert(task.clone(), outcome);
                let mut text = format!("{} {shown}{visit_note}", output::task_mark(state));
                let started = self.started.remove(&task);
                if let (Some(start), Some(end)) = (started, at) {
                    let _ = write!(text, "  {}", output::duration(end.duration_since(start).unsigned_abs()).dimmed());
                }
                if let Some(result) = result {
                    let _ = write!(text, "  {result}");
                }
                if let Some(reason) = data.get("skip_reason").and_then(Value::as_str) {
                    let _ = write!(text, "  {}", format!("skipped: {}", reason.replace('_', " ")).dimmed());
                }
                let handled = data.get("handled").and_then(Value::as_bool).unwrap_or(false);
                let failed = state == TaskState::Failed;
                if failed && let Some(message) = data.pointer("/failure/message").and_then(Value::as_str) {
                    let _ = write!(text, "  {}", output::harmless(message));
                }
                let of_instances = self.fan_outs.contains_key(&task);
                let tail =
                    if failed && !handled && !of_instances { self.latest_attempt.get(&task).copied() } else { None };
                Some(Settled { task, text, tail })
            }
            _ => None,
        }
    }
}

fn flush(settled: &mut Option<Settled>, lines: &mut Vec<Line>) {
    if let Some(settled) = settled.take() {
        lines.push(Line::Text(settled.text));
        if let Some(attempt) = settled.tail {
            lines.push(Line::LogTail { attempt });
        }
    }
}

fn job_changed(event: &EventResource, lines: &mut Vec<Line>) {
    let Some(to) = event.data.get("to").and_then(|to| serde_json::from_value::<JobState>(to.clone()).ok()) else {
        return;
    };
    if matches!(to, JobState::Paused | JobState::Cancelling) {
        let reason = event.data.get("reason").and_then(Value::as_str).map(output::harmless).unwrap_or_default();
        lines.push(Line::Text(format!("{}  {reason}", output::job_state(to)).trim_end().to_owned()));
    }
}

fn text<'a>(data: &'a Value, key: &str) -> &'a str {
    data.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(data: &Value, key: &str) -> Option<u32> {
    data.get(key).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
}

fn target(data: &Value) -> String {
    output::harmless(text(data, "target"))
}

/// `exit 3`, `HTTP 500`, `NO_CHANGE`, `TIMED_OUT`; nothing for a plain success.
fn result_text(result: &Value) -> Option<String> {
    if let Some(code) = result.get("exit").and_then(Value::as_u64) {
        return (code != 0).then(|| format!("exit {code}"));
    }
    if let Some(status) = result.get("http").and_then(Value::as_u64) {
        return (!(200..400).contains(&status)).then(|| format!("HTTP {status}"));
    }
    if let Some(class) = result.get("agent").and_then(Value::as_str) {
        return (class != "DONE").then(|| class.to_owned());
    }
    result.get("named").or(Some(result)).and_then(Value::as_str).map(str::to_owned)
}

/// The last `count` lines of some log, indented and harmless.
pub(crate) fn log_tail(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for line in &lines[lines.len().saturating_sub(count)..] {
        let _ = writeln!(out, "  {} {}", "│".dimmed(), output::harmless(line.trim_end_matches('\r')));
    }
    out
}

/// The last words: verdict, time, counts and the first cause.
pub(crate) fn summary(job: &JobDetail) -> String {
    let job_summary = &job.summary;
    let mut text =
        format!("{}  {}  {}", output::job_state(job_summary.state), job_summary.job_type, job_summary.job_id);
    let took = output::between(
        job_summary.started_at.as_deref().or(Some(&job_summary.created_at)),
        job_summary.finished_at.as_deref(),
    );
    if let Some(took) = took {
        let _ = write!(text, "  in {}", output::duration(took));
    }
    let count = |state: TaskState| job.tasks.iter().filter(|task| task.state == state).count();
    let counts: Vec<String> = [
        (TaskState::Completed, "completed"),
        (TaskState::Failed, "failed"),
        (TaskState::Skipped, "skipped"),
        (TaskState::Cancelled, "cancelled"),
    ]
    .into_iter()
    .filter_map(|(state, word)| Some(count(state)).filter(|count| *count > 0).map(|count| format!("{count} {word}")))
    .collect();
    if !counts.is_empty() {
        let _ = write!(text, "  ({})", counts.join(", "));
    }
    text.push('\n');
    match (&job.error, &job_summary.reason) {
        (Some(error), _) => {
            let _ = writeln!(text, "  {}: {}", error.code.bold(), output::harmless(&error.message));
        }
        (None, Some(reason)) => {
            let _ = writeln!(text, "  {}", output::harmless(reason));
        }
        (None, None) => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use atta_core::protocol::JobId;
    use serde_json::json;

    use super::*;

    fn event(kind: &str, at: &str, data: Value) -> EventResource {
        EventResource { sequence: 1, job_id: JobId("job_1".into()), at: at.into(), kind: kind.into(), data }
    }

    fn plain(lines: &[Line]) -> Vec<String> {
        lines
            .iter()
            .map(|line| match line {
                Line::Text(text) => anstream::adapter::strip_str(text).to_string(),
                Line::LogTail { attempt } => format!("tail {attempt}"),
            })
            .collect()
    }

    #[test]
    fn a_task_is_shown_when_it_starts_and_when_it_settles_with_its_route() {
        let mut progress = Progress::default();
        let lines = progress.apply(&[
            event("attempt_created", "2026-01-01T00:00:00Z", json!({"task": "test", "attempt": 4})),
            event("task_changed", "2026-01-01T00:00:00Z", json!({"task": "test", "visit": 2, "to": "LEASED"})),
            event(
                "task_changed",
                "2026-01-01T00:00:01.500Z",
                json!({"task": "test", "visit": 2, "to": "FAILED", "result": {"exit": 3}, "handled": true}),
            ),
            event("route_taken", "2026-01-01T00:00:01.500Z", json!({"task": "test", "matched": "3", "target": "fix"})),
        ]);
        assert_eq!(plain(&lines), ["▶ test  visit 2", "✗ test  visit 2  1.5s  exit 3  → fix"]);
    }

    #[test]
    fn another_attempt_is_announced_also_when_nothing_is_waited_for() {
        let changed = |from: &str, to: &str| {
            let data = json!({"task": "test", "visit": 1, "from": from, "to": to});
            event("task_changed", "2026-01-01T00:00:00Z", data)
        };
        let (waits, ready) = (changed("RUNNING", "WAITING"), changed("WAITING", "READY"));
        for (events, times) in
            [(vec![waits, ready], 1), (vec![changed("RUNNING", "READY")], 1), (vec![changed("LEASED", "READY")], 0)]
        {
            let lines = Progress::default().apply(&events);
            assert_eq!(plain(&lines), vec!["↻ test  another attempt follows"; times]);
        }
    }

    #[test]
    fn an_item_that_waits_for_its_turn_is_no_other_attempt_of_those_that_ended_well() {
        let event = |kind: &str, data: Value| event(kind, "2026-01-01T00:00:00Z", data);
        let outcome = json!({"Ok": [{"key": "a"}, {"key": "b"}]});
        let ready = || event("task_changed", json!({"task": "test", "visit": 1, "from": "RUNNING", "to": "READY"}));
        let mut progress = Progress::default();
        let lines = progress.apply(&[event("items_expanded", json!({"task": "test", "outcome": outcome})), ready()]);
        assert_eq!(plain(&lines), Vec::<String>::new());
        let created = json!({"task": "test", "attempt": 1, "instance": 0});
        let failed = json!({"attempt": 1, "result": {"exit": 3}});
        let lines = progress.apply(&[event("attempt_created", created), event("attempt_closed", failed), ready()]);
        assert_eq!(plain(&lines), ["↻ test  exit 3  another attempt follows"]);
        assert_eq!(plain(&progress.apply(&[ready()])), Vec::<String>::new());
    }

    #[test]
    fn a_visit_that_settles_again_when_its_loop_ends_is_shown_once() {
        let mut progress = Progress::default();
        let settled = |visit| {
            event(
                "task_changed",
                "2026-01-01T00:00:00Z",
                json!({"task": "fix", "visit": visit, "to": "COMPLETED", "result": {"exit": 0}}),
            )
        };
        assert_eq!(plain(&progress.apply(&[settled(1), settled(1)])), ["✓ fix"]);
        assert_eq!(plain(&progress.apply(&[settled(2)])), ["✓ fix  visit 2"]);
    }

    #[test]
    fn the_log_of_an_unhandled_failure_is_shown() {
        let mut progress = Progress::default();
        let lines = progress.apply(&[
            event("attempt_created", "2026-01-01T00:00:00Z", json!({"task": "test", "attempt": 4})),
            event(
                "task_changed",
                "2026-01-01T00:00:00Z",
                json!({"task": "test", "visit": 1, "to": "FAILED", "result": {"named": "TIMED_OUT"},
                       "failure": {"code": "TIMED_OUT", "message": "It took longer than 1s."}, "handled": false}),
            ),
        ]);
        assert_eq!(plain(&lines), ["✗ test  TIMED_OUT  It took longer than 1s.", "tail 4"]);
    }

    #[test]
    fn instances_are_counted_and_failures_named_by_their_key() {
        let mut progress = Progress::default();
        let at = "2026-01-01T00:00:00Z";
        let changed = |instance: u32, state: &str, result: Value| {
            event(
                "instance_changed",
                at,
                json!({"task": "build", "visit": 1, "instance": instance, "state": state, "result": result,
                       "failure": (state == "FAILED").then(|| json!({"code": "EXIT_CODE", "message": "exit code 3"}))}),
            )
        };
        let lines = progress.apply(&[
            event(
                "items_expanded",
                at,
                json!({"task": "build", "visit": 1, "outcome": {"Ok": [{"key": "linux", "value": 1}, {"key": "mac", "value": 2}]}}),
            ),
            event("attempt_created", at, json!({"task": "build", "attempt": 7, "instance": 1})),
            changed(0, "RUNNING", Value::Null),
            changed(0, "COMPLETED", json!({"exit": 0})),
            changed(1, "FAILED", json!({"exit": 3})),
        ]);
        assert_eq!(plain(&lines), ["✓ build [1/2] linux", "✗ build [2/2] mac  exit 3  exit code 3", "tail 7"]);
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let text = anstream::adapter::strip_str(&log_tail(b"1\n2\r\n\x1b[2J3\n\xff4", 3)).to_string();
        assert_eq!(text, "  │ 2\n  │ \u{fffd}[2J3\n  │ \u{fffd}4\n");
    }
}
