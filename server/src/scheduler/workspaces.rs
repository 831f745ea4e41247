//! The directories that the tasks of a job share: what an ant is told about them, and when they are not needed any more.

use atta_core::definition::{
    Field, GitName, TaskDefinition, TemplateText, check_cache_key, check_cache_path, check_git_name, check_git_url,
};
use atta_core::engine::{AdoptedTask, AttemptNumber, AttemptResult, Effect, Event, JobState, TaskIndex};
use atta_core::protocol::ant::{CacheOrder, GitOrder, PollRequest, WorkspaceId, WorkspaceOrder, WorkspaceRelease};
use atta_core::protocol::{AntId, JobId};
use atta_core::template::{Renderer, Variables};

use super::ants::Ants;
use super::leases::Contact;
use super::live::LiveJob;
use super::state::{Staged, State};
use crate::store::StoreWriter;

/// What has become of a job's workspace.
#[derive(Debug, Default)]
pub(super) struct WorkspaceProgress {
    /// Of the present job attempt; empty before the first one.
    nonce: String,
    /// A task has started in it.
    made: bool,
}

impl LiveJob {
    /// The workspace of the job's present attempt.
    fn workspace_id(&self) -> WorkspaceId {
        WorkspaceId { job_id: self.row.id.clone(), nonce: self.run.nonce().to_owned() }
    }

    /// What an ant has to know about the job's workspace. An error is the sentence with which the attempt ends as INVALID.
    pub(super) fn workspace_order(&self, renderer: &Renderer) -> Result<Option<WorkspaceOrder>, String> {
        let Some(spec) = &self.definition.workspace else { return Ok(None) };
        let git = match &spec.git {
            None => None,
            Some(git) => {
                let scope = self.variables(self.builtins(None), renderer, true);
                let text = |key: &str, template: &TemplateText| self.text(key, template, renderer, &scope);
                let name = |key: &str, kind: GitName, template: &Option<TemplateText>| {
                    let Some(template) = template else { return Ok(None) };
                    let name = text(key, template)?;
                    check_git_name(kind, &name).map_err(|message| format!("{key}: {message}"))?;
                    Ok::<_, String>(Some(name))
                };
                let url = text("workspace.git.url", &git.url)?;
                check_git_url(&url).map_err(|message| format!("workspace.git.url: {message}"))?;
                Some(GitOrder {
                    url,
                    reference: name("workspace.git.ref", GitName::Ref, &git.reference)?,
                    branch: name("workspace.git.branch", GitName::Branch, &git.branch)?,
                    discard_unpushed: git.discard_unpushed,
                })
            }
        };
        Ok(Some(WorkspaceOrder {
            id: self.workspace_id(),
            made: self.workspace.made,
            keep: spec.keep,
            ttl: resolved("workspace.ttl", &spec.ttl)?,
            size_limit: spec.size_limit.as_ref().map(|limit| resolved("workspace.size_limit", limit)).transpose()?,
            git,
        }))
    }

    /// What an ant has to know about a task's cache.
    pub(super) fn cache_order(
        &self,
        task: &TaskDefinition,
        renderer: &Renderer,
        scope: &Variables,
    ) -> Result<Option<CacheOrder>, String> {
        let Some(spec) = &task.cache else { return Ok(None) };
        let key = self.text("cache.key", &spec.key, renderer, scope)?;
        let texts = |name: &str, templates: &[TemplateText]| {
            templates.iter().map(|text| self.text(name, text, renderer, scope)).collect::<Result<Vec<_>, _>>()
        };
        let paths = texts("cache.paths", &spec.paths)?;
        let restore_keys = texts("cache.restore_keys", &spec.restore_keys)?;
        for key in std::iter::once(&key).chain(&restore_keys) {
            check_cache_key(key)?;
        }
        for path in &paths {
            check_cache_path(path)?;
        }
        Ok(Some(CacheOrder { key, paths, restore_keys }))
    }

    /// Takes note of what an event that the engine has taken means for the job's workspace, also in a replay; says which
    /// one is not needed any more.
    pub(super) fn note_workspace(&mut self, event: &Event, effects: &[Effect]) -> Option<WorkspaceRelease> {
        self.definition.workspace.as_ref()?;
        match event {
            Event::AttemptStarted { attempt } => self.workspace.made |= self.uses_workspace(*attempt),
            // An ant may say with one word that an attempt started and finished.
            Event::AttemptFinished { attempt, result: AttemptResult::Exit(_) | AttemptResult::Agent(_), .. } => {
                self.workspace.made |= self.uses_workspace(*attempt);
            }
            // A job that takes over what another one has done has none of that one's files.
            Event::TasksAdopted { nonce, kept, .. } => {
                let ran = |task: &AdoptedTask| task.result.is_some() && self.is_of_ants(task.task);
                self.workspace = WorkspaceProgress { nonce: nonce.clone(), made: kept.iter().any(ran) };
            }
            _ => {}
        }
        let mut released = None;
        for effect in effects {
            match effect {
                Effect::JobAttemptBegan { nonce, .. } => {
                    if self.workspace.nonce == *nonce {
                        continue;
                    }
                    let present = WorkspaceProgress { nonce: nonce.clone(), made: false };
                    let was = std::mem::replace(&mut self.workspace, present).nonce;
                    if !was.is_empty() {
                        let workspace = WorkspaceId { job_id: self.row.id.clone(), nonce: was };
                        released = Some(WorkspaceRelease { workspace, outcome: Some(JobState::Failed) });
                    }
                }
                Effect::JobFinished { verdict, .. } => {
                    released = Some(WorkspaceRelease { workspace: self.workspace_id(), outcome: Some(*verdict) });
                }
                _ => {}
            }
        }
        released
    }

    /// Whether the attempt is of a task that works in the workspace.
    fn uses_workspace(&self, attempt: AttemptNumber) -> bool {
        let task = self.run.attempt(attempt).map(|info| info.task);
        task.is_some_and(|task| self.is_of_ants(task))
    }

    /// Whether the task works in the workspace.
    fn is_of_ants(&self, task: TaskIndex) -> bool {
        self.task(task).method.uses_workspace()
    }
}

fn resolved<T: Copy>(key: &str, field: &Field<T>) -> Result<T, String> {
    field.value().copied().ok_or_else(|| format!("{key}: its template was not resolved when the job was created"))
}

/// Tells the ants that hold a workspace that it is not needed any more.
pub(super) fn release(ants: &Ants, staged: &mut Staged, release: &WorkspaceRelease) {
    for (id, _) in ants.iter().filter(|(_, ant)| ant.workspaces.contains(&release.workspace)) {
        staged.orders.entry(id.clone()).or_default().releases.push(release.clone());
    }
}

impl State {
    /// Whether the job's workspace is with other ants only.
    pub(super) fn workspace_is_elsewhere(&self, job: &JobId, ant: &AntId) -> bool {
        if self.ants.len() < 2 {
            return false;
        }
        let Some(live) = self.jobs.get(job).filter(|live| live.definition.workspace.is_some()) else { return false };
        let workspace = live.workspace_id();
        let now = self.clock.monotonic();
        let holds = |ant: &super::ants::Ant| ant.workspaces.contains(&workspace) && !ant.is_gone(now);
        if self.ants.get(ant).is_some_and(holds) {
            return false;
        }
        // After a start of the queen it is not known at once who holds what.
        let awaited = |ant: &super::ants::Ant| !ant.met && ant.contact != Contact::Lost;
        self.ants.values().any(holds) || (live.workspace.made && self.ants.values().any(awaited))
    }

    /// The ant of which nothing is heard and which has the job's workspace.
    pub(super) fn lost_with_the_workspace(&self, job: &JobId) -> Option<&AntId> {
        let live = self.jobs.get(job).filter(|live| live.definition.workspace.is_some())?;
        let (workspace, now) = (live.workspace_id(), self.clock.monotonic());
        let mut lost = self.ants.iter().filter(|(_, ant)| ant.is_lost(now));
        lost.find(|(_, ant)| ant.workspaces.contains(&workspace)).map(|(id, _)| id)
    }

    /// Compares what an ant holds with what is live: what is not is released, again if it was said before. When the
    /// database cannot be asked, the next poll tries again.
    pub(super) async fn reconcile_workspaces(&mut self, database: &mut StoreWriter, request: &PollRequest) {
        for workspace in &request.workspaces {
            let WorkspaceId { job_id, nonce } = workspace;
            if self.damaged.contains_key(job_id) {
                continue;
            }
            let outcome = match self.jobs.get(job_id) {
                Some(live) if live.run.nonce() == nonce && !live.row.state.is_terminal() => continue,
                Some(live) if live.row.state.is_terminal() => Some(live.row.state),
                // It has begun anew since.
                Some(_) => Some(JobState::Failed),
                None => match database.job_state(job_id).await {
                    Ok(state) => state,
                    Err(error) => {
                        tracing::warn!(job = %job_id, %error, "cannot say whether a workspace is still needed");
                        continue;
                    }
                },
            };
            let release = WorkspaceRelease { workspace: workspace.clone(), outcome };
            let orders = self.staged.orders.entry(request.ant.clone()).or_default();
            if !orders.releases.contains(&release) {
                orders.releases.push(release);
            }
        }
    }
}
