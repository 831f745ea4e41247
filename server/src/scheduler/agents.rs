//! What an agent is told, and the sessions that later attempts go on with.

use std::collections::BTreeMap;
use std::time::Duration;

use atta_core::budget::{Measure, Part};
use atta_core::definition::{AgentOptions, Field, IN_WORKSPACE, PromptSource, TaskDefinition, TemplateText};
use atta_core::engine::{AgentClass, AttemptNumber, AttemptResult, TaskIndex};
use atta_core::protocol::agent::{
    AgentChoice, AgentLimits, AgentOrder, AgentPrompt, AgentSession, AgentWatch, Fallback, MicroUsd, VerdictOrder,
};
use atta_core::protocol::ant::Action;
use atta_core::template::{Renderer, Variables};

use super::assignment::duration;
use super::live::LiveJob;
use crate::store::AttemptRow;

/// The longest prompt and the longest text before it, each.
const LONGEST_PROMPT: usize = 4 << 20;

/// The sessions of a job's agents: of each task, or each of its instances, the one of the newest attempt that had one.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<(TaskIndex, Option<u32>), Known>);

#[derive(Debug)]
struct Known {
    session: AgentSession,
    attempt: AttemptNumber,
    visit: u32,
    /// A budget ended it: the next attempt goes on with it, whatever the task says.
    cut: bool,
    /// It ended because it had changed nothing.
    unchanged: bool,
}

impl Sessions {
    /// An attempt has ended; most had one.
    pub(super) fn ended(
        &mut self,
        place: (TaskIndex, Option<u32>),
        (attempt, visit): (AttemptNumber, u32),
        session: Option<AgentSession>,
        (result, cut): (AttemptResult, bool),
    ) {
        if let Some(session) = session {
            let unchanged = result == AttemptResult::Agent(AgentClass::NoChange);
            self.0.insert(place, Known { session, attempt, visit, cut, unchanged });
        }
    }

    /// The session of an attempt of the same visit that a budget ended.
    fn cut(&self, row: &AttemptRow) -> Option<AgentSession> {
        let known = self.0.get(&(row.task, row.instance))?;
        (known.cut && known.visit == row.visit).then(|| known.session.clone())
    }

    /// The session that an attempt goes on with, and whether that is one of its own visit in which something may have been
    /// changed.
    fn to_go_on_with(&self, row: &AttemptRow, target: Option<TaskIndex>) -> Option<(AgentSession, bool)> {
        if let Some(session) = self.cut(row) {
            return Some((session, true));
        }
        let target = target?;
        let unchanged = self.0.get(&(row.task, row.instance)).is_some_and(|known| known.unchanged);
        Some((self.of(row, target)?, target == row.task && !unchanged))
    }

    /// The tasks begin anew.
    pub(super) fn forget(&mut self, tasks: &[TaskIndex]) {
        self.0.retain(|(task, _), _| !tasks.contains(task));
    }

    /// The session that an attempt goes on with: for its own task that of an earlier attempt of the same visit.
    fn of(&self, row: &AttemptRow, target: TaskIndex) -> Option<AgentSession> {
        if target == row.task {
            let own = self.0.get(&(target, row.instance)).filter(|known| known.visit == row.visit);
            return own.map(|known| known.session.clone());
        }
        // Of instances the one of the same item first, if both tasks have items.
        let same = row.instance.and_then(|instance| self.0.get(&(target, Some(instance))));
        let all = self.0.range((target, None)..=(target, Some(u32::MAX))).map(|(_, known)| known);
        same.or_else(|| all.max_by_key(|known| known.attempt)).map(|known| known.session.clone())
    }
}

impl LiveJob {
    /// What an ant has to do for an attempt of an AGENT task.
    pub(super) fn agent_action(
        &self,
        row: &AttemptRow,
        agent: &AgentOptions,
        renderer: &Renderer,
        scope: &Variables,
    ) -> Result<Action, String> {
        let task = self.task(row.task);
        let text = |key: &str, template: &TemplateText| self.text(key, template, renderer, scope);
        let maybe =
            |key: &str, template: Option<&TemplateText>| template.map(|template| text(key, template)).transpose();
        let model = |key: &str, template: Option<&TemplateText>| -> Result<Option<String>, String> {
            let name = maybe(key, template)?.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
            match name {
                Some(name) if name.starts_with('-') || name.chars().any(char::is_control) => {
                    Err(format!("{key}: {name:?} cannot be the name of a model"))
                }
                name => Ok(name),
            }
        };
        let prompt = match &agent.prompt {
            PromptSource::Text(prompt) => AgentPrompt::Text(checked("agent.prompt", text("agent.prompt", prompt)?)?),
            PromptSource::File(file) => {
                AgentPrompt::File(inside("agent.prompt_file", text("agent.prompt_file", file)?)?)
            }
        };
        let cli = known("agent.cli", &agent.cli)?;
        let mut fallback = Vec::with_capacity(agent.fallback.len());
        for one in &agent.fallback {
            let other = one.cli.as_ref().map(|cli| known("agent.fallback.cli", cli)).transpose()?.unwrap_or(cli);
            // The task's own program is meant when only the model is another one.
            let own = one.command.is_empty() && other == cli;
            let choice = AgentChoice {
                cli: other,
                command: if own { agent.command.clone() } else { one.command.clone() },
                model: model("agent.fallback.model", one.model.as_ref())?,
            };
            fallback.push(Fallback { choice, on: one.on.clone() });
        }
        let resume = agent.resume.as_ref().and_then(|resume| self.plan.task_index(&resume.task));
        // Voters begin each from the beginning.
        let session = if agent.vote > 1 { None } else { self.sessions.to_go_on_with(row, resume) };
        // What an earlier attempt of this visit changed lies there already: whoever goes on with its session may find that
        // all is done, and paid work would be called none.
        let own = session.as_ref().is_some_and(|(_, own)| *own);
        let order = AgentOrder {
            choice: AgentChoice {
                cli,
                command: agent.command.clone(),
                model: model("agent.model", agent.model.as_ref())?,
            },
            fallback,
            prompt,
            system: maybe("agent.system", agent.system.as_ref())?
                .map(|system| checked("agent.system", system))
                .transpose()?,
            skills: agent.skills.clone(),
            permission: agent.permission,
            allowed_tools: agent.allowed_tools.clone(),
            resume: session.map(|(session, _)| session),
            verdict: agent.verdict.as_ref().map(|verdict| VerdictOrder {
                schema: verdict.schema.clone(),
                required: verdict.required,
                asks: verdict.asks,
                vote_fields: verdict.vote_fields.clone(),
            }),
            vote: agent.vote,
            limits: AgentLimits {
                turns: agent.max_turns.as_ref().map(|field| known("agent.max_turns", field)).transpose()?,
                tokens: agent
                    .max_tokens
                    .as_ref()
                    .map(|field| known("agent.max_tokens", field).map(u64::from))
                    .transpose()?,
                usd: agent.max_usd.as_ref().map(|field| known("agent.max_usd", field)).transpose()?,
            },
            watch: watch(task, agent)?,
            directory: maybe("agent.directory", agent.directory.as_ref())?
                .map(|directory| inside("agent.directory", directory))
                .transpose()?,
            track_changes: agent.track_changes,
            expect_changes: agent.expect_changes && !own,
            context: self.context_of(agent, renderer, scope)?,
            config_from: maybe("agent.config_from", agent.config_from.as_ref())?
                .as_deref()
                .map(revision)
                .transpose()?,
            config_paths: agent.config_paths.clone(),
        };
        let limits = self.part_of(row.number).map_or(order.limits, |part| within(order.limits, part));
        Ok(Action::Agent(Box::new(AgentOrder { limits, ..order })))
    }
}

/// The limits of the attempt itself, or what the budgets above it leave of them.
fn within(own: AgentLimits, part: &Part) -> AgentLimits {
    let most = |measure| part.caps.get(measure);
    AgentLimits {
        turns: most(Measure::Turns).map(|turns| u32::try_from(turns).unwrap_or(u32::MAX)).or(own.turns),
        tokens: most(Measure::Tokens).or(own.tokens),
        usd: most(Measure::Usd).map(MicroUsd).or(own.usd),
    }
}

fn watch(task: &TaskDefinition, agent: &AgentOptions) -> Result<AgentWatch, String> {
    let idle = task.idle_timeout.as_ref().map(|field| duration("idle_timeout", field)).transpose()?;
    Ok(AgentWatch {
        start: duration("agent.start_timeout", &agent.start_timeout)?,
        idle,
        after_result: duration("agent.after_result", &agent.after_result)?,
        kill_grace: duration("kill_grace", &task.kill_grace)?.min(Duration::from_mins(10)),
    })
}

fn known<T: Copy>(key: &str, field: &Field<T>) -> Result<T, String> {
    field.value().copied().ok_or_else(|| format!("{key}: its template was not resolved when the job was created"))
}

pub(super) fn checked(key: &str, text: String) -> Result<String, String> {
    if text.contains('\0') {
        return Err(format!("{key}: the text has a NUL byte, which no program can be told"));
    }
    if text.len() > LONGEST_PROMPT {
        return Err(format!(
            "{key}: the text has {} bytes, and it may have {LONGEST_PROMPT}; put what is long into a file that the agent \
             reads",
            text.len()
        ));
    }
    Ok(text)
}

/// A commit or branch by name: no option, no range, no path of a commit.
fn revision(text: &str) -> Result<String, String> {
    let name = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-@+".contains(c);
    if name.is_empty() || name.starts_with('-') || name.len() > 300 || name.contains("..") || !name.chars().all(plain) {
        return Err(format!("agent.config_from: {name:?} cannot be the name of a branch or a commit"));
    }
    Ok(name.to_owned())
}

/// A rendered path has to stay inside TASK_DIR or the workspace.
pub(super) fn inside(key: &str, path: String) -> Result<String, String> {
    let rest = match path.strip_prefix(IN_WORKSPACE.trim_end_matches('/')) {
        Some("") => return Ok(path),
        Some(rest) => rest.strip_prefix('/').unwrap_or("/"),
        None => path.as_str(),
    };
    let leads_out = rest.is_empty()
        || rest.starts_with(['/', '~', '$'])
        || rest.split('/').any(|part| part == "..")
        || rest.contains(['\0', '\n']);
    if leads_out {
        return Err(format!("{key}: {path:?} must be a path inside TASK_DIR or `$JOB_WORKSPACE/`"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_paths_stay_inside() {
        for path in ["a", "a/b", "$JOB_WORKSPACE", "$JOB_WORKSPACE/a", "."] {
            assert_eq!(inside("k", path.to_owned()), Ok(path.to_owned()));
        }
        for path in
            ["", "/a", "~/a", "../a", "a/../../b", "$JOB_WORKSPACE/../a", "$JOB_WORKSPACEX/a", "$HOME/a", "a\nb"]
        {
            let message = inside("agent.directory", path.to_owned()).unwrap_err();
            assert!(message.ends_with("must be a path inside TASK_DIR or `$JOB_WORKSPACE/`"), "{message}");
        }
    }
}
