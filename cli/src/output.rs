//! What people read on stdout: tables, durations, sizes, states.

use std::io::Write;
use std::time::Duration;

use atta_core::engine::{JobState, TaskState};
use jiff::Timestamp;
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::exit::CommandResult;

/// Pretty JSON and a newline on stdout, in one write.
pub(crate) fn print_json<T: Serialize>(value: &T) -> CommandResult<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    text.push('\n');
    print(&text)
}

/// One line of JSON on stdout.
pub(crate) fn print_json_line<T: Serialize>(value: &T) -> CommandResult<()> {
    let mut text = serde_json::to_string(value).map_err(std::io::Error::from)?;
    text.push('\n');
    print(&text)
}

/// Text on stdout; colours are left out unless it is a terminal.
pub(crate) fn print(text: &str) -> CommandResult<()> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Text on stderr; when that is closed there is nobody to tell.
pub(crate) fn say(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Columns as wide as their widest cell; the last one is not padded.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: &[String], bold: bool| {
        let mut out = String::new();
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            out.push_str(cell);
            if index + 1 < cells.len() {
                out.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
            }
        }
        let out = out.trim_end();
        text.push_str(&if bold { out.bold().to_string() } else { paint_state_words(out) });
        text.push('\n');
    };
    line(&header.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>(), true);
    for row in rows {
        line(row, false);
    }
    text
}

/// Colours the first word of a line that is a state; widths are computed before, so that padding stays right.
fn paint_state_words(line: &str) -> String {
    for word in line.split_whitespace() {
        let painted = match word {
            "COMPLETED" => word.green().to_string(),
            "FAILED" => word.red().to_string(),
            "BLOCKED" | "CANCELLED" | "CANCELLING" | "PAUSED" => word.yellow().to_string(),
            "RUNNING" => word.cyan().to_string(),
            _ => continue,
        };
        return line.replacen(word, &painted, 1);
    }
    line.to_owned()
}

/// A verdict in its colour.
pub(crate) fn job_state(state: JobState) -> String {
    let name = name_of(&state);
    match state {
        JobState::Completed => name.green().bold().to_string(),
        JobState::Failed => name.red().bold().to_string(),
        JobState::Blocked | JobState::Cancelled | JobState::Cancelling | JobState::Paused => {
            name.yellow().bold().to_string()
        }
        _ => name.bold().to_string(),
    }
}

/// The mark in front of a task.
pub(crate) fn task_mark(state: TaskState) -> String {
    match state {
        TaskState::Completed => "✓".green().to_string(),
        TaskState::Failed => "✗".red().to_string(),
        TaskState::Skipped => "○".dimmed().to_string(),
        TaskState::Cancelled => "■".yellow().to_string(),
        _ => "▶".cyan().to_string(),
    }
}

/// The name of a unit variant as it is written in JSON.
pub(crate) fn name_of<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        other => other.map(|value| value.to_string()).unwrap_or_default(),
    }
}

/// `12ms`, `3.4s`, `2m 05s`, `1h 02m`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration < Duration::from_secs(1) {
        format!("{}ms", duration.as_millis())
    } else if seconds < 60 {
        format!("{}.{}s", seconds, duration.subsec_millis() / 100)
    } else if seconds < 3600 {
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60)
    }
}

/// The time between two instants of the API; `None` when one is absent or unreadable.
pub(crate) fn between(start: Option<&str>, end: Option<&str>) -> Option<Duration> {
    let start: Timestamp = start?.parse().ok()?;
    let end: Timestamp = end?.parse().ok()?;
    Some(end.duration_since(start).unsigned_abs())
}

/// `17 B`, `4.2 KiB`, `1.0 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Text of somebody else (an agent, an issue, a log) on a terminal: control characters but newline and tab become `�`,
/// so that it cannot move the cursor or change the title.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_short() {
        assert_eq!(duration(Duration::from_millis(12)), "12ms");
        assert_eq!(duration(Duration::from_millis(3_450)), "3.4s");
        assert_eq!(duration(Duration::from_secs(125)), "2m 05s");
        assert_eq!(duration(Duration::from_secs(3_725)), "1h 02m");
        assert_eq!((size(17), size(4_300), size(1 << 30)), ("17 B".into(), "4.1 KiB".into(), "1.0 GiB".into()));
        assert_eq!(size(u64::MAX), "16383.9 PiB");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\u{1b}]0;title\u{7}\tb\n"), "a\u{fffd}]0;title\u{fffd}\tb\n");
    }

    #[test]
    fn table_columns_line_up() {
        let text = table(&["ID", "STATE"], &[vec!["a".into(), "PENDING".into()], vec!["long".into(), "x".into()]]);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "ID    STATE\na     PENDING\nlong  x\n");
    }
}
