//! `budget`: what the agents of a job may use up together.

use serde::{Deserialize, Serialize};

use super::keys::{BUDGET, PER_DAY};
use super::tree::Node;
use super::walk::{Keys, Walk};
use super::{Field, Span, TemplateText, code};
use crate::budget::{Caps, Measure};
use crate::protocol::agent::MicroUsd;

/// Of all AGENT tasks of a job together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// In one job.
    pub limits: BudgetLimits,
    /// What happens when nothing is left.
    pub on_exceed: OnExceed,
    /// In all jobs of the definition, on one day.
    pub per_day: BudgetLimits,
    /// Where the mapping stands.
    pub span: Span,
}

/// What happens to a job when nothing of its budget is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExceed {
    /// It is paused; somebody may resume it with more.
    #[default]
    Pause,
    /// It stops, and has failed.
    Fail,
}

/// At most so much of each.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BudgetLimits {
    /// US dollars.
    pub usd: Option<Field<MicroUsd>>,
    /// Tokens, in and out.
    pub tokens: Option<Field<u32>>,
    /// Turns of the model.
    pub agent_turns: Option<Field<u32>>,
    /// Minutes that agents run, each counted for itself.
    pub minutes: Option<Field<u32>>,
}

impl BudgetLimits {
    /// As numbers. What is still a template has none.
    pub fn caps(&self) -> Caps {
        let value = |field: &Option<Field<u32>>| field.as_ref().and_then(Field::value).copied().map(u64::from);
        let mut caps = Caps::default();
        caps.set(Measure::Usd, self.usd.as_ref().and_then(Field::value).map(|usd| usd.0));
        caps.set(Measure::Tokens, value(&self.tokens));
        caps.set(Measure::Turns, value(&self.agent_turns));
        caps.set(Measure::Time, value(&self.minutes).map(|minutes| minutes * 60_000));
        caps
    }

    fn first_template(&self) -> Option<&TemplateText> {
        let numbers = [&self.tokens, &self.agent_turns, &self.minutes].into_iter().flatten();
        let templates = numbers.filter_map(|field| match field {
            Field::Template(template) => Some(template),
            Field::Value(_) => None,
        });
        match &self.usd {
            Some(Field::Template(template)) => Some(template),
            _ => templates.into_iter().next(),
        }
    }
}

impl Walk {
    /// `budget`, with everything in it.
    pub(super) fn budget(&mut self, node: &Node<'_>) -> Option<Budget> {
        let entries = self.mapping("budget", node)?;
        let mut keys = Keys::new(entries);
        let limits = self.budget_limits(&mut keys);
        let choices = [("pause", OnExceed::Pause), ("fail", OnExceed::Fail)];
        let on_exceed = keys.take("on_exceed");
        let day = keys.take("per_day");
        let per_day = day.and_then(|entry| self.budget_of_a_day(&entry.value)).unwrap_or_default();
        self.unknown_keys(&keys, &BUDGET);
        if limits == BudgetLimits::default() && day.is_none() {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "`budget` limits nothing",
                "say what the agents of a job may use together: `budget: {usd: 5}`",
            );
        }
        let on_exceed =
            on_exceed.and_then(|entry| self.choice("on_exceed", &entry.value, &choices)).unwrap_or_default();
        Some(Budget { limits, on_exceed, per_day, span: node.span })
    }

    fn budget_limits(&mut self, keys: &mut Keys<'_, '_>) -> BudgetLimits {
        let mut number = |walk: &mut Self, key: &'static str| {
            keys.take(key).and_then(|entry| walk.integer_field(key, &entry.value, 1..=u32::MAX))
        };
        let (tokens, agent_turns, minutes) =
            (number(self, "tokens"), number(self, "agent_turns"), number(self, "minutes"));
        let usd = keys.take("usd").and_then(|entry| self.dollars("usd", &entry.value));
        BudgetLimits { usd, tokens, agent_turns, minutes }
    }

    fn budget_of_a_day(&mut self, node: &Node<'_>) -> Option<BudgetLimits> {
        let entries = self.mapping("per_day", node)?;
        let mut keys = Keys::new(entries);
        let limits = self.budget_limits(&mut keys);
        self.unknown_keys(&keys, &PER_DAY);
        if limits == BudgetLimits::default() {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "`per_day` limits nothing",
                "say what all jobs of this definition may use on one day: `per_day: {usd: 50}`",
            );
        }
        if let Some(template) = limits.first_template() {
            self.problems.error_with_help(
                code::VALUE,
                template.span,
                "a limit of `per_day` cannot be a template: it holds for all jobs of the definition, not for one",
                "write the number",
            );
        }
        Some(limits)
    }
}
