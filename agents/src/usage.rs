//! What one run used, from what its program says while it works and at its end.

use std::collections::HashSet;

use atta_core::protocol::agent::{AgentTokens, AgentUsage, CostSource, MicroUsd};
use indexmap::IndexMap;

use crate::event::{Total, Used};
use crate::prices::Prices;

/// What a session had used before this run, for totals that count from its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Before {
    /// It begins with this run.
    #[default]
    Nothing,
    Tokens(AgentTokens),
    Unknown,
}

/// Counts for one run.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    turns: u32,
    answered: HashSet<String>,
    before: Before,
    /// By id; those without one are all different, and added up by model.
    answers: IndexMap<String, Used>,
    without_id: Vec<Used>,
    total: Option<Total>,
    model: Option<String>,
}

impl Meter {
    pub(crate) fn new(before: Before, model: Option<String>) -> Self {
        Self { before, model, ..Self::default() }
    }

    pub(crate) fn model(&mut self, model: &str) {
        self.model = Some(model.to_owned());
    }

    /// Counts a turn, unless it was counted.
    pub(crate) fn turn(&mut self, id: Option<String>) {
        if id.is_none_or(|id| self.answered.insert(id)) {
            self.turns += 1;
        }
    }

    pub(crate) fn used(&mut self, used: Used) {
        match used.id.clone() {
            Some(id) => {
                let known = self.answers.entry(id).or_default();
                let output = known.tokens.output.max(used.tokens.output);
                *known = used;
                known.tokens.output = output;
            }
            // They never change again: those of one model are one.
            None => match self.without_id.iter_mut().find(|known| known.model == used.model) {
                None => self.without_id.push(used),
                Some(known) => {
                    known.tokens.add(&used.tokens);
                    known.cost = known.cost.zip(used.cost).map(|(one, other)| MicroUsd(one.0 + other.0));
                }
            },
        }
    }

    /// A total; whether it could be counted.
    pub(crate) fn total(&mut self, mut total: Total) -> bool {
        let mut counted = true;
        if total.whole_session {
            match &self.before {
                Before::Nothing => {}
                Before::Tokens(before) => {
                    total.tokens = total.tokens.map(|tokens| minus(&tokens, before));
                    for tokens in total.by_model.values_mut() {
                        *tokens = minus(tokens, before);
                    }
                    total.cost = None;
                }
                Before::Unknown => {
                    counted = total.tokens.is_none() && total.cost.is_none();
                    total = Total::default();
                }
            }
        }
        // A total without tokens or without money does not take back what an earlier one said.
        if let Some(earlier) = self.total.take() {
            total.tokens = total.tokens.or(earlier.tokens);
            total.cost = total.cost.or(earlier.cost);
            if total.by_model.is_empty() {
                total.by_model = earlier.by_model;
            }
        }
        self.total = Some(total);
        counted
    }

    /// Everything so far.
    pub(crate) fn usage(&self, prices: &Prices) -> AgentUsage {
        let answers = || self.answers.values().chain(&self.without_id);
        let mut added: Option<AgentTokens> = None;
        let mut by_model: IndexMap<String, AgentTokens> = IndexMap::new();
        for used in answers() {
            if used.tokens == AgentTokens::default() {
                continue;
            }
            added.get_or_insert_default().add(&used.tokens);
            if let Some(model) = used.model.as_ref().or(self.model.as_ref()) {
                by_model.entry(model.clone()).or_default().add(&used.tokens);
            }
        }
        let told = self.total.as_ref();
        let tokens = told.and_then(|total| total.tokens).or(added);
        if let Some(total) = told
            && !total.by_model.is_empty()
        {
            by_model.clone_from(&total.by_model);
        } else if let (Some(tokens), [_] | []) = (tokens, by_model.keys().collect::<Vec<_>>().as_slice())
            && let Some(model) = by_model.keys().next().or(self.model.as_ref()).cloned()
        {
            by_model = IndexMap::from([(model, tokens)]);
        }
        let told_cost = told.and_then(|total| total.cost).or_else(|| {
            let costs: Option<Vec<MicroUsd>> = answers().map(|used| used.cost).collect();
            costs.filter(|costs| !costs.is_empty()).map(|costs| MicroUsd(costs.iter().map(|cost| cost.0).sum()))
        });
        let (cost, cost_source) = match told_cost {
            Some(cost) => (Some(cost), Some(CostSource::Reported)),
            None => match priced(prices, &by_model) {
                Some(cost) => (Some(cost), Some(CostSource::Priced(prices.date.clone()))),
                None => (None, None),
            },
        };
        AgentUsage { turns: self.turns, tokens, cost, cost_source, by_model }
    }
}

/// What all these tokens cost; `None` unless each of the models has a price.
fn priced(prices: &Prices, by_model: &IndexMap<String, AgentTokens>) -> Option<MicroUsd> {
    let costs: Option<Vec<MicroUsd>> = by_model.iter().map(|(model, tokens)| prices.cost(model, tokens)).collect();
    costs.filter(|costs| !costs.is_empty()).map(|costs| MicroUsd(costs.iter().map(|cost| cost.0).sum()))
}

fn minus(all: &AgentTokens, before: &AgentTokens) -> AgentTokens {
    AgentTokens {
        input: all.input.saturating_sub(before.input),
        output: all.output.saturating_sub(before.output),
        cache_read: all.cache_read.saturating_sub(before.cache_read),
        cache_write: all.cache_write.saturating_sub(before.cache_write),
    }
}

/// All runs together. What one of them does not say is not known of all.
pub(crate) fn sum<'a>(runs: impl Iterator<Item = &'a AgentUsage> + Clone) -> AgentUsage {
    let mut all = AgentUsage::default();
    // A run that never had an answer used nothing and says nothing.
    let spoke = runs.filter(|usage| usage.turns > 0 || usage.tokens.is_some() || usage.cost.is_some());
    let mut tokens_known = true;
    let mut cost_known = true;
    for usage in spoke {
        all.turns += usage.turns;
        match &usage.tokens {
            Some(tokens) => all.tokens.get_or_insert_default().add(tokens),
            None => tokens_known = false,
        }
        match usage.cost {
            Some(cost) => all.cost.get_or_insert_default().0 += cost.0,
            None => cost_known = false,
        }
        all.cost_source = match (all.cost_source.take(), usage.cost_source.clone()) {
            (None, source) | (source, None) => source,
            (Some(one), Some(other)) if one == other => Some(one),
            (Some(_), Some(_)) => Some(CostSource::Mixed),
        };
        for (model, tokens) in &usage.by_model {
            all.by_model.entry(model.clone()).or_default().add(tokens);
        }
    }
    if !tokens_known {
        all.tokens = None;
    }
    if !cost_known {
        all.cost = None;
        all.cost_source = None;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(input: u64, output: u64) -> AgentTokens {
        AgentTokens { input, output, ..AgentTokens::default() }
    }

    fn used(id: &str, input: u64, output: u64) -> Used {
        Used { id: Some(id.to_owned()), tokens: tokens(input, output), ..Used::default() }
    }

    fn prices() -> Prices {
        Prices::built_in().unwrap()
    }

    #[test]
    fn an_answer_that_is_repeated_counts_once() {
        let mut meter = Meter::new(Before::Nothing, None);
        for used in [used("a", 10, 1), used("b", 5, 5), used("a", 10, 7), used("a", 10, 1)] {
            meter.turn(used.id.clone());
            meter.used(used);
        }
        let usage = meter.usage(&prices());
        assert_eq!((usage.turns, usage.tokens), (2, Some(tokens(15, 12))));
        assert_eq!((usage.cost, usage.cost_source), (None, None), "no model, no price, and not 0");
    }

    #[test]
    fn the_program_s_own_total_replaces_what_was_added_up() {
        let mut meter = Meter::new(Before::Nothing, Some("claude-haiku-4-5".to_owned()));
        meter.used(used("a", 10, 1));
        let usage = meter.usage(&prices());
        assert_eq!(usage.cost, Some(MicroUsd(15)));
        assert_eq!(usage.cost_source, Some(CostSource::Priced(prices().date)));
        meter.total(Total { tokens: Some(tokens(12, 30)), cost: Some(MicroUsd(99)), ..Total::default() });
        let usage = meter.usage(&prices());
        assert_eq!((usage.tokens, usage.cost), (Some(tokens(12, 30)), Some(MicroUsd(99))));
        assert_eq!(usage.cost_source, Some(CostSource::Reported));
        assert_eq!(usage.by_model["claude-haiku-4-5"], tokens(12, 30));
    }

    #[test]
    fn a_total_of_the_whole_session_is_counted_from_where_this_run_began() {
        let mut meter = Meter::new(Before::Tokens(tokens(100, 10)), None);
        let whole =
            |input, output| Total { tokens: Some(tokens(input, output)), whole_session: true, ..Total::default() };
        meter.total(whole(130, 15));
        meter.total(whole(150, 20));
        assert_eq!(meter.usage(&prices()).tokens, Some(tokens(50, 10)));
        let mut meter = Meter::new(Before::Unknown, None);
        assert!(!meter.total(whole(150, 20)));
        assert_eq!(meter.usage(&prices()).tokens, None, "nobody knows how much of it is this run's");
    }

    #[test]
    fn what_one_run_does_not_say_is_not_known_of_all() {
        let known = AgentUsage {
            turns: 1,
            tokens: Some(tokens(1, 1)),
            cost: Some(MicroUsd(5)),
            cost_source: Some(CostSource::Reported),
            ..AgentUsage::default()
        };
        let silent = AgentUsage { turns: 2, ..AgentUsage::default() };
        let never_began = AgentUsage::default();
        let priced = AgentUsage { cost_source: Some(CostSource::Priced("2026-01-01".to_owned())), ..known.clone() };
        let all = sum([&known, &never_began].into_iter());
        assert_eq!((all.turns, all.cost), (1, Some(MicroUsd(5))));
        let all = sum([&known, &silent].into_iter());
        assert_eq!((all.turns, all.tokens, all.cost, all.cost_source), (3, None, None, None));
        let all = sum([&known, &priced].into_iter());
        assert_eq!((all.cost, all.cost_source), (Some(MicroUsd(10)), Some(CostSource::Mixed)));
    }
}
