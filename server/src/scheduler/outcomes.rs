//! What jobs cost and achieve: taken note of with each event, written with the batch.

use std::collections::BTreeMap;

use atta_core::definition::{JobDefinition, Method, OutcomeState};
use atta_core::engine::{AttemptNumber, AttemptResult, Effect, Event, JobState, ResultName, TaskIndex, TaskState};
use atta_core::template::Renderer;

use super::live::LiveJob;
use super::project::Projection;
use super::state::State;
use crate::store::{AgentUse, OutcomeChange, Said};

/// The longest texts that are kept, in characters.
const LONGEST_WORD: usize = 100;
const LONGEST_URL: usize = 2_000;

/// What of a job's outcome must be written.
#[derive(Debug, Default)]
pub(super) struct NewsOfOutcome {
    /// What the definition says may read otherwise now.
    render: bool,
    /// There is something to write.
    changed: bool,
    rework: u32,
    agents: Vec<AgentUse>,
    /// Retries, and those that changed the result.
    retries: BTreeMap<TaskIndex, (u32, u32)>,
}

/// How it stood with an attempt before its end was decided about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    task: TaskIndex,
    instance: Option<u32>,
    retries: u32,
    /// The result of the attempt before it.
    result: Option<AttemptResult>,
}

/// Whether anybody may want to know what jobs of the definition cost and achieve.
pub(super) fn is_of_interest(definition: &JobDefinition) -> bool {
    definition.outcome.is_some() || definition.tasks.iter().any(|task| matches!(task.method, Method::Agent(_)))
}

impl LiveJob {
    /// What has to be known of an attempt before the engine decides about its end.
    pub(super) fn before_end(&self, event: &Event) -> Option<Before> {
        let Event::AttemptFinished { attempt, .. } = event else { return None };
        let info = self.run.attempt(*attempt).filter(|_| self.of_interest)?;
        let (task, instance) = (info.task, info.instance);
        let result = match instance {
            None => self.tasks.get(&task).and_then(|row| row.result),
            Some(index) => self.fan_outs.get(&task).and_then(|all| all.rows.get(index as usize)?.result),
        };
        let result = result.filter(|_| info.task_attempt > 1);
        Some(Before { task, instance, retries: self.run.retries_used(task, instance), result })
    }

    /// Takes note of what an event means for what the job costs and achieves. `begun`: it had started before.
    pub(super) fn note_outcome(
        &mut self,
        begun: bool,
        effects: &[Effect],
        before: Option<Before>,
        projection: &Projection,
    ) {
        if !self.of_interest {
            return;
        }
        self.dirty.outcome.changed |= !begun && self.row.started_at.is_some();
        for effect in effects {
            match effect {
                Effect::JobFinished { .. } | Effect::JobAttemptBegan { .. } => {
                    self.dirty.outcome.changed = true;
                    self.dirty.outcome.render = true;
                }
                Effect::TaskChanged { to, .. } if to.is_settled() && *to != TaskState::Skipped => {
                    self.dirty.outcome.render = true;
                }
                Effect::AttemptCreated { task, task_attempt: 1, instance: None | Some(0), .. }
                    if self.is_rework(*task) =>
                {
                    self.dirty.outcome.rework += 1;
                }
                Effect::AttemptClosed { attempt, result, .. } => {
                    self.dirty.outcome.render = true;
                    self.note_use(*attempt, *result, projection);
                }
                _ => {}
            }
        }
        if let Some(before) = before {
            self.note_retry(before, effects);
        }
    }

    fn is_rework(&self, task: TaskIndex) -> bool {
        let name = self.plan.task_name(task);
        self.definition.outcome.as_ref().is_some_and(|outcome| outcome.rework.iter().any(|rework| rework.task == name))
    }

    /// An attempt has ended: what its agent has used, if it was one.
    fn note_use(&mut self, attempt: AttemptNumber, result: AttemptResult, projection: &Projection) {
        let Some(row) = self.attempts.get(&attempt) else { return };
        let Method::Agent(agent) = &self.task(row.task).method else { return };
        let of_this = projection.agent.as_ref().filter(|agent| agent.attempt == attempt);
        let used = match of_this {
            Some(agent) => AgentUse::of(&agent.record),
            // One that began and left no record may have cost anything.
            None if row.started_at.is_some() || result == AttemptResult::Named(ResultName::Lost) => {
                AgentUse::unknown(agent.cli.value().map(ToString::to_string))
            }
            None => return,
        };
        self.dirty.outcome.agents.push(used);
    }

    fn note_retry(&mut self, before: Before, effects: &[Effect]) {
        let Before { task, instance, retries, result } = before;
        let closed = effects.iter().find_map(|effect| match effect {
            Effect::AttemptClosed { result, .. } => Some(*result),
            _ => None,
        });
        let (more, changed) = (
            u32::from(self.run.retries_used(task, instance) > retries),
            u32::from(
                retries > 0
                    && result.is_some_and(|result| !result.is_success())
                    && closed.is_some_and(AttemptResult::is_success),
            ),
        );
        if more + changed > 0 {
            let sum = self.dirty.outcome.retries.entry(task).or_default();
            *sum = (sum.0 + more, sum.1 + changed);
        }
    }

    /// What the definition says now about what the job has achieved.
    fn render_outcome(&self, renderer: &Renderer) -> Option<Said> {
        let outcome = self.definition.outcome.as_ref()?;
        let scope = self.variables(self.builtins(None), renderer, true);
        let mut said = Said::default();
        for (name, template) in outcome.templates() {
            let Ok(text) = renderer.render_text(&template.source, &scope) else { continue };
            // What a null is written as is no word.
            let text = text.trim();
            if text.is_empty() || ["none", "null"].contains(&text) {
                continue;
            }
            let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_URL).collect();
            let word = || text.chars().take(LONGEST_WORD).collect::<String>();
            match name {
                "kind" => said.kind = Some(word()),
                "repository" => said.repository = Some(word()),
                "url" => said.url = Some(text),
                "reason" => said.reason = Some(word()),
                _ => {
                    said.state = OutcomeState::parse(&text);
                    if said.state.is_none() {
                        let known = OutcomeState::ALL.map(OutcomeState::as_str).join(", ");
                        said.note = Some(format!("outcome.state gave {:?}, which is none of {known}", word()));
                    }
                }
            }
        }
        Some(said)
    }

    /// What is to be written of the job's outcome.
    fn outcome_change(&mut self, renderer: &Renderer) -> Option<OutcomeChange> {
        // What never started has neither cost nor achieved anything.
        let started_at = self.row.started_at?;
        if std::mem::take(&mut self.dirty.outcome.render) {
            let said = self.render_outcome(renderer);
            if said.is_some() && said != self.said {
                self.said = said;
                self.dirty.outcome.changed = true;
            }
        }
        let news = std::mem::take(&mut self.dirty.outcome);
        if !news.changed && news.rework == 0 && news.agents.is_empty() && news.retries.is_empty() {
            return None;
        }
        let row = &self.row;
        let counts_rework = self.definition.outcome.as_ref().is_some_and(|outcome| !outcome.rework.is_empty());
        let retries = news.retries.into_iter();
        Some(OutcomeChange {
            job: row.id.clone(),
            job_type: row.job_type.clone(),
            version: row.version.clone(),
            submitted_at: row.created_at,
            started_at,
            ended: row.finished_at.filter(|_| row.state.is_terminal()).map(|at| (row.state, at)),
            error_code: row.failure.as_ref().map(|failure| failure.code.clone()),
            said: self.said.clone().unwrap_or_default(),
            at: self.last_at,
            rework: counts_rework.then_some(news.rework),
            agents: news.agents,
            retries: retries
                .map(|(task, (more, changed))| (self.plan.task_name(task).to_owned(), more, changed))
                .collect(),
        })
    }
}

impl State {
    /// What the batch changes of what jobs have cost and achieved.
    pub(super) fn note_outcomes(&mut self) {
        for job in &self.staged.touched {
            let Some(live) = self.jobs.get_mut(job).filter(|live| live.of_interest) else { continue };
            if live.row.state == JobState::Pending {
                continue;
            }
            self.staged.achieved.extend(live.outcome_change(&self.renderer));
        }
    }
}
