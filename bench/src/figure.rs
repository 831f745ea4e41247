//! What is printed: one JSON object per line.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Serialize;

/// Prints figures with the circumstances that they belong to.
#[derive(Debug)]
pub(crate) struct Reporter {
    machine: String,
    version: String,
    commit: String,
    profile: &'static str,
}

/// One figure.
#[derive(Debug, Serialize)]
struct Line<'a> {
    name: &'a str,
    value: f64,
    unit: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_to: Option<Comparison<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<&'a str>,
    machine: &'a str,
    version: &'a str,
    commit: &'a str,
    profile: &'a str,
}

/// The same work done by something else in the same run.
#[derive(Debug, Serialize)]
struct Comparison<'a> {
    yardstick: &'a str,
    value: f64,
    ratio: f64,
}

impl Reporter {
    /// Finds out about machine and program.
    pub(crate) fn new(atta: &Path) -> anyhow::Result<Self> {
        let output = Command::new(atta)
            .arg("--version")
            .output()
            .with_context(|| format!("cannot run {}; build it first, or name it with --atta", atta.display()))?;
        ensure!(output.status.success(), "{} --version failed", atta.display());
        let version = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches("atta ").to_owned();
        Ok(Self {
            machine: machine(),
            version,
            commit: commit(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        })
    }

    /// Prints a figure.
    pub(crate) fn figure(&self, name: &str, value: f64, unit: &str, aim: Option<&str>) {
        self.print(name, value, unit, None, aim);
    }

    /// Prints a figure beside what a yardstick took for the same.
    pub(crate) fn against(
        &self,
        name: &str,
        value: f64,
        unit: &str,
        yardstick: &str,
        yardstick_value: f64,
        aim: Option<&str>,
    ) {
        let ratio = Comparison {
            yardstick,
            value: rounded(yardstick_value),
            ratio: rounded(value / yardstick_value.max(f64::EPSILON)),
        };
        self.print(name, value, unit, Some(ratio), aim);
    }

    fn print(&self, name: &str, value: f64, unit: &str, ratio_to: Option<Comparison<'_>>, aim: Option<&str>) {
        let line = Line {
            name,
            value: rounded(value),
            unit,
            ratio_to,
            aim,
            machine: &self.machine,
            version: &self.version,
            commit: &self.commit,
            profile: self.profile,
        };
        match serde_json::to_string(&line) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("{name}: {error}"),
        }
    }
}

/// Three digits after the point are more than any of these measurements can promise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The commit of the checkout that this runs in.
fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{model}, {cores} cores")
}

/// The value below which `share` (0–1) of the samples lie; the samples get sorted.
pub(crate) fn percentile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few hundred samples"
    )]
    let index = ((samples.len() as f64 * share).ceil() as usize).saturating_sub(1);
    samples.get(index.min(samples.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_samples() {
        let mut samples = vec![5.0, 1.0, 4.0, 2.0, 3.0];
        assert!((percentile(&mut samples, 0.5) - 3.0).abs() < f64::EPSILON);
        assert!((percentile(&mut samples, 0.99) - 5.0).abs() < f64::EPSILON);
        assert!(percentile(&mut [], 0.5).is_nan());
    }
}
