//! What a setup found and did, line by line.

use std::fmt::Write as _;

use owo_colors::OwoColorize;
use serde::Serialize;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// All right as it was.
    Ok,
    /// All right now.
    Changed,
    /// It would be changed, and this was a dry run.
    WouldChange,
    /// It cannot be known from here.
    Unknown,
    /// Somebody has to do something.
    Todo,
}

#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    standing: Standing,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Report {
    dry_run: bool,
    lines: Vec<Line>,
}

impl Report {
    pub(super) fn new(dry_run: bool) -> Self {
        Self { dry_run, lines: Vec::new() }
    }

    fn push(&mut self, name: &'static str, standing: Standing, detail: impl Into<String>, advice: Option<String>) {
        self.lines.push(Line { name, standing, detail: detail.into(), advice });
    }

    pub(super) fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        self.push(name, Standing::Ok, detail, None);
    }

    /// It was changed, or would be.
    pub(super) fn changed(&mut self, name: &'static str, detail: impl Into<String>) {
        let standing = if self.dry_run { Standing::WouldChange } else { Standing::Changed };
        self.push(name, standing, detail, None);
    }

    pub(super) fn unknown(&mut self, name: &'static str, detail: impl Into<String>, advice: impl Into<String>) {
        self.push(name, Standing::Unknown, detail, Some(advice.into()));
    }

    pub(super) fn todo(&mut self, name: &'static str, detail: impl Into<String>, advice: impl Into<String>) {
        self.push(name, Standing::Todo, detail, Some(advice.into()));
    }

    /// Whether nobody has to do anything.
    pub(super) fn is_well(&self) -> bool {
        self.lines.iter().all(|line| line.standing != Standing::Todo)
    }

    fn count(&self, standing: Standing) -> usize {
        self.lines.iter().filter(|line| line.standing == standing).count()
    }

    pub(super) fn document(&self) -> serde_json::Value {
        serde_json::json!({
            "ok": self.is_well(),
            "changed": self.count(Standing::Changed),
            "would_change": self.count(Standing::WouldChange),
            "lines": self.lines,
        })
    }

    pub(super) fn text(&self) -> String {
        let width = self.lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for line in &self.lines {
            let mark = match line.standing {
                Standing::Ok => "✓".green().to_string(),
                Standing::Changed => "+".green().bold().to_string(),
                Standing::WouldChange => "+".cyan().to_string(),
                Standing::Unknown => "?".yellow().to_string(),
                Standing::Todo => "✗".red().bold().to_string(),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{mark} {:<width$}  {}", line.name, crate::output::harmless(&line.detail));
            if let Some(advice) = &line.advice {
                let _ = writeln!(text, "  {:width$}  → {}", "", crate::output::harmless(advice));
            }
        }
        let _ = writeln!(text, "\n{}", self.summary());
        text
    }

    fn summary(&self) -> String {
        let todo = self.count(Standing::Todo);
        let changes = if self.dry_run { self.count(Standing::WouldChange) } else { self.count(Standing::Changed) };
        let changed = match (self.dry_run, changes) {
            (true, 0) => "Nothing would be changed.".to_owned(),
            (true, count) => format!("{count} would be changed (+); this was a dry run."),
            (false, 0) => "Nothing was changed.".to_owned(),
            (false, count) => format!("{count} changed (+)."),
        };
        match todo {
            0 => format!("All is well. {changed}"),
            count => format!("{count} to do (✗). {changed}"),
        }
    }
}
