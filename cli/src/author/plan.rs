//! `atta plan`: what a job would do.

use std::fmt::Write as _;
use std::time::Duration;

use atta_core::definition::format_duration;
use atta_core::rehearsal::{Assumptions, Rehearsal, RehearsalError, Step, StepKind, rehearse};
use owo_colors::OwoColorize;

use super::PlanArgs;
use crate::exit::{CommandResult, Exit, Failure};
use crate::{output, params, validate};

/// Prints it. The exit code says whether it could be told, not how the job would end.
pub(crate) fn plan(args: &PlanArgs) -> CommandResult {
    let given = params::read(&args.params.params)?;
    let definition = validate::load_for_reading(&args.file)?;
    let given = params::coerce(&definition, &given)?;
    let mut assumptions = Assumptions::default();
    for text in &args.assume {
        assumptions.add(&definition, text).map_err(|error| Failure::usage(format!("{error}.")))?;
    }
    let rehearsal = rehearse(&definition, &given, &assumptions).map_err(|error| match error {
        RehearsalError::Params(violations) => {
            Failure::new(Exit::Usage, "INVALID_PARAMS", format!("The parameters do not fit {}.", definition.job_type))
                .with_violations(violations)
        }
        error => Failure::usage(format!("Nothing can be said: {error}.")),
    })?;
    if args.json {
        output::print_json(&rehearsal)?;
    } else {
        output::print(&told(&rehearsal))?;
    }
    Ok(Exit::Success)
}

fn told(rehearsal: &Rehearsal) -> String {
    let mut text = String::new();
    let width = rehearsal.tasks.iter().map(|task| task.task.len()).max().unwrap_or_default().min(40);
    for step in &rehearsal.steps {
        let task = step.task.as_deref().unwrap_or_default();
        let _ = match step.kind {
            StepKind::Ran => {
                let place = place(step);
                writeln!(text, "▶ {task:width$}  {}{place}", step.text)
            }
            StepKind::Route => writeln!(text, "  {:width$}  {}", "", step.text.dimmed()),
            StepKind::Skipped => writeln!(text, "○ {task:width$}  SKIPPED ({})", step.text),
            StepKind::Cancelled => writeln!(text, "■ {task:width$}  CANCELLED"),
            StepKind::JobAttempt => writeln!(text, "↻ {}", step.text),
            StepKind::Waits if task.is_empty() => writeln!(text, "… the job waits {}", step.text),
            StepKind::Waits => writeln!(text, "… {task} waits {}", step.text),
            StepKind::Paused => writeln!(text, "… PAUSED {}", step.text),
            StepKind::FinalPhase => writeln!(text, "  what runs in any case; the job will be {}", step.text),
        };
    }
    if rehearsal.steps_left_out > 0 {
        let _ = writeln!(text, "… {} more steps", rehearsal.steps_left_out);
    }
    let _ = write!(text, "\n{}: {}", rehearsal.job_type, output::job_state(rehearsal.verdict));
    if let Some(reason) = &rehearsal.reason {
        let code = rehearsal.error_code.as_deref().map(|code| format!("{code}: ")).unwrap_or_default();
        let _ = write!(text, " ({code}{})", output::harmless(reason));
    }
    if rehearsal.waits_ms > 0 {
        let _ = write!(text, ", after waiting {}", format_duration(Duration::from_millis(rehearsal.waits_ms)));
    }
    text.push('\n');
    if !rehearsal.assumed.is_empty() {
        text.push_str("\nassumed:\n");
        for sentence in &rehearsal.assumed {
            let _ = writeln!(text, "  {}", output::harmless(sentence));
        }
    }
    text
}

/// `  (visit 2, attempt 3, item 0)`, as far as it is not the first of its kind.
fn place(step: &Step) -> String {
    let mut parts = Vec::new();
    parts.extend(step.visit.filter(|visit| *visit > 1).map(|visit| format!("visit {visit}")));
    parts.extend(step.attempt.filter(|attempt| *attempt > 1).map(|attempt| format!("attempt {attempt}")));
    parts.extend(step.instance.map(|instance| format!("item {instance}")));
    if parts.is_empty() { String::new() } else { format!("  ({})", parts.join(", ")) }
}
