//! Figures of what jobs have cost and achieved: sums, rates and middles of rows that the store gives one by one.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use atta_core::definition::OutcomeState;
use atta_core::engine::JobState;
use atta_core::protocol::agent::MicroUsd;
use atta_core::protocol::outcomes_api::{
    Achieved, OutcomeFigures, OutcomeGroup, OutcomesBy, OutcomesResource, ReasonCount, Spread,
};
use atta_core::time::UnixMillis;
use indexmap::IndexMap;

use crate::store::{OutcomeFilter, OutcomeRow, Reads, StoreError};

/// Groups that are made of one question; those that come later are only counted.
pub(crate) const MOST_GROUPS: usize = 10_000;

/// Reasons, and tasks, that are named.
const MOST_NAMED: usize = 20;

impl OutcomeRow {
    /// How the job ended, or where it is.
    pub(crate) fn achieved(&self) -> Achieved {
        match (self.ended, self.state) {
            (Some(ended), _) if !ended.is_terminal() => Achieved::InProgress,
            (None, _) => Achieved::InProgress,
            (_, Some(OutcomeState::Merged)) => Achieved::Merged,
            (_, Some(OutcomeState::Closed)) => Achieved::Closed,
            (_, Some(OutcomeState::NeedsHuman)) | (Some(JobState::Blocked), _) => Achieved::NeedsHuman,
            (Some(JobState::Failed), _) => Achieved::Failed,
            (Some(JobState::Cancelled), _) => Achieved::Cancelled,
            (_, Some(OutcomeState::Open)) => Achieved::Open,
            _ if self.has_url => Achieved::Open,
            _ => Achieved::Completed,
        }
    }

    /// Why it was not achieved.
    pub(crate) fn why(&self) -> Option<String> {
        match self.achieved() {
            Achieved::Failed | Achieved::Closed | Achieved::NeedsHuman | Achieved::Cancelled => {
                let blocked = || (self.ended == Some(JobState::Blocked)).then(|| "BLOCKED".to_owned());
                self.reason.clone().or_else(|| self.error_code.clone()).or_else(blocked)
            }
            _ => None,
        }
    }

    fn key(&self, by: OutcomesBy) -> Option<String> {
        let known = |text: &String| (!text.is_empty()).then(|| text.clone());
        match by {
            OutcomesBy::Definition => Some(self.job_type.clone()),
            OutcomesBy::Repository => self.repository.clone(),
            OutcomesBy::Agent => self.agent.as_ref().and_then(|(cli, _)| known(cli)),
            OutcomesBy::Model => self.agent.as_ref().and_then(|(_, model)| known(model)),
            OutcomesBy::Day => UnixMillis(self.submitted_at).to_rfc3339().get(..10).map(str::to_owned),
            OutcomesBy::Job => Some(self.job.clone()),
        }
    }
}

/// Figures on their way.
#[derive(Debug, Default)]
struct Sum {
    figures: OutcomeFigures,
    micros: u64,
    /// The job of the row before: rows of a job come one after the other.
    last_job: Option<String>,
    rework: Vec<f64>,
    merged_right: u32,
    merged_counted: u32,
    to_pull_request: Vec<f64>,
    to_merge: Vec<f64>,
    reasons: HashMap<String, u32>,
}

impl Sum {
    fn add(&mut self, row: &OutcomeRow) {
        let figures = &mut self.figures;
        figures.attempts = figures.attempts.saturating_add(row.attempts);
        figures.turns = figures.turns.saturating_add(row.turns);
        figures.tokens.add(&row.tokens);
        figures.tokens_unknown = figures.tokens_unknown.saturating_add(row.tokens_unknown);
        figures.cost_unknown = figures.cost_unknown.saturating_add(row.cost_unknown);
        self.micros = self.micros.saturating_add(row.micros);
        if self.last_job.as_ref() != Some(&row.job) {
            self.last_job = Some(row.job.clone());
            self.add_job(row);
        }
    }

    fn add_job(&mut self, row: &OutcomeRow) {
        let figures = &mut self.figures;
        let achieved = row.achieved();
        figures.jobs += 1;
        *match achieved {
            Achieved::InProgress => &mut figures.in_progress,
            Achieved::Merged => &mut figures.merged,
            Achieved::Closed => &mut figures.closed,
            Achieved::NeedsHuman => &mut figures.needs_human,
            Achieved::Failed => &mut figures.failed,
            Achieved::Cancelled => &mut figures.cancelled,
            Achieved::Open => &mut figures.open,
            Achieved::Completed => &mut figures.completed,
        } += 1;
        if let Some(opened) = row.opened_at {
            figures.pull_requests += 1;
            self.to_pull_request.push(seconds(row.submitted_at, opened));
            self.rework.extend(row.rework.map(f64::from));
        }
        if achieved == Achieved::Merged {
            self.to_merge.extend(row.merged_at.map(|merged| seconds(row.submitted_at, merged)));
            if let Some(rounds) = row.rework {
                self.merged_counted += 1;
                self.merged_right += u32::from(rounds == 0);
            }
        }
        if let Some(reason) = row.why() {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    fn finish(mut self) -> OutcomeFigures {
        let mut reasons: Vec<ReasonCount> =
            self.reasons.into_iter().map(|(code, jobs)| ReasonCount { code, jobs }).collect();
        reasons.sort_by(|a, b| b.jobs.cmp(&a.jobs).then_with(|| a.code.cmp(&b.code)));
        reasons.truncate(MOST_NAMED);
        let merged = f64::from(self.figures.merged);
        let cost = MicroUsd(self.micros).dollars();
        self.figures.cost_usd = cost;
        self.figures.cost_per_merged_usd = (self.figures.merged > 0).then(|| cost / merged);
        self.figures.first_time_right =
            (self.merged_counted > 0).then(|| f64::from(self.merged_right) / f64::from(self.merged_counted));
        self.figures.rework = spread(self.rework);
        self.figures.seconds_to_pull_request = spread(self.to_pull_request);
        self.figures.seconds_to_merge = spread(self.to_merge);
        self.figures.reasons = reasons;
        self.figures
    }
}

#[expect(clippy::cast_precision_loss, reason = "times between two instants of this century are exact")]
fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from).max(0) as f64 / 1_000.0
}

fn spread(mut numbers: Vec<f64>) -> Spread {
    numbers.sort_by(f64::total_cmp);
    let Some(count) = u32::try_from(numbers.len()).ok().filter(|count| *count > 0) else { return Spread::default() };
    let (below, above) = (numbers[(numbers.len() - 1) / 2], numbers[numbers.len() / 2]);
    let sum: f64 = numbers.iter().sum();
    Spread { count, median: Some(f64::midpoint(below, above)), mean: Some(sum / f64::from(count)) }
}

/// Sums of groups, and of all.
#[derive(Debug, Default)]
struct Sums {
    total: Sum,
    groups: IndexMap<Option<String>, Sum>,
    /// What groups beyond the most would be made by.
    left_out: HashSet<Option<String>>,
}

impl Sums {
    fn add_to_group(&mut self, key: Option<String>, row: &OutcomeRow) {
        if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&key) {
            self.left_out.insert(key);
            return;
        }
        self.groups.entry(key).or_default().add(row);
    }
}

/// What the jobs of a filter have cost and achieved.
pub(crate) async fn outcomes(
    reads: &Reads,
    filter: &OutcomeFilter,
    by: Option<OutcomesBy>,
    limit: usize,
) -> Result<OutcomesResource, StoreError> {
    let mut sums = Sums::default();
    let of_agents = filter.agent.is_some() || filter.model.is_some();
    let groups_of_agents = matches!(by, Some(OutcomesBy::Agent | OutcomesBy::Model));
    // In the sum of all an attempt counts once, whatever programs took part in it.
    if groups_of_agents && !of_agents {
        reads.outcomes(filter, false, |row| sums.total.add(&row)).await?;
    }
    reads
        .outcomes(filter, of_agents || groups_of_agents, |row| {
            if of_agents || !groups_of_agents {
                sums.total.add(&row);
            }
            if let Some(by) = by {
                sums.add_to_group(row.key(by), &row);
            }
        })
        .await?;
    let flaky_tasks = reads.task_retries(filter, u32::try_from(MOST_NAMED).unwrap_or(u32::MAX)).await?;
    let mut groups: Vec<(Option<String>, Sum)> = sums.groups.into_iter().collect();
    let beyond = groups.len().saturating_sub(limit);
    let more_groups = u32::try_from(sums.left_out.len().saturating_add(beyond)).unwrap_or(u32::MAX);
    if by == Some(OutcomesBy::Day) {
        groups.sort_by(|(a, _), (b, _)| a.cmp(b));
        groups.drain(..beyond);
    } else {
        groups.sort_by(|(a, one), (b, other)| (Reverse(one.micros), a).cmp(&(Reverse(other.micros), b)));
        groups.truncate(limit);
    }
    Ok(OutcomesResource {
        since: filter.since.map(|at| UnixMillis(at).to_rfc3339()),
        until: filter.until.map(|at| UnixMillis(at).to_rfc3339()),
        by,
        total: sums.total.finish(),
        groups: groups.into_iter().map(|(key, sum)| OutcomeGroup { key, figures: sum.finish() }).collect(),
        more_groups,
        flaky_tasks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middles_and_means_of_nothing_are_absent() {
        assert_eq!(spread(Vec::new()), Spread::default());
        assert_eq!(spread(vec![3.0, 1.0, 2.0]), Spread { count: 3, median: Some(2.0), mean: Some(2.0) });
        assert_eq!(spread(vec![1.0, 2.0]), Spread { count: 2, median: Some(1.5), mean: Some(1.5) });
    }
}
