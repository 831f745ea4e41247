//! What an attempt shares with others: its job's workspace, and caches.

use super::attempt::{Attempt, Interruption, blocking, invalid, start_failed};
use super::environment::Environment;
use crate::workspace::{AttemptDirectory, Lease, Restored, Roots, SharedWorkspaces, WorkspaceFault, measure_workspace};
use atta_core::definition::format_size;
use tokio::time::Instant;

impl Attempt {
    /// Enters the job's workspace, made if it is new, within the attempt's timeout.
    pub(super) async fn enter_workspace(
        &mut self,
        environment: &mut Environment,
    ) -> Result<Option<Lease>, Interruption> {
        let Some(order) = self.assignment.workspace.clone() else { return Ok(None) };
        self.check_orders()?;
        let pairs = environment.pairs();
        let core = self.core.clone();
        let by = Instant::now() + self.assignment.timeout;
        let acquire = SharedWorkspaces::acquire(&core, &self.assignment, &order, &pairs);
        match self.before_it_starts(acquire, by, || "the workspace of the job was not ready".to_owned()).await? {
            Ok(lease) => {
                for (name, value) in &lease.variables {
                    if let Some(name) = name.to_str() {
                        environment.set(name, value);
                    }
                }
                Ok(Some(lease))
            }
            Err(WorkspaceFault::Invalid(message)) => Err(invalid(message)),
            Err(WorkspaceFault::Failed(message)) => {
                Err(start_failed(format!("the workspace of the job cannot be made: {message}")))
            }
        }
    }

    /// Measures the workspace if its size is limited.
    pub(super) async fn measure_workspace(
        &mut self,
        workspace: Option<&Lease>,
        problems: &mut Vec<String>,
    ) -> Result<(), Interruption> {
        let limit = self.assignment.workspace.as_ref().and_then(|order| order.size_limit);
        let (Some(limit), Some(lease)) = (limit, workspace) else { return Ok(()) };
        let path = lease.path.clone();
        let bytes = blocking(move || Ok(measure_workspace(&path))).await?;
        if bytes > limit {
            problems.push(format!(
                "the workspace of the job has {} ({bytes} bytes) after this task, and its size_limit is {} ({limit} bytes)",
                format_size(bytes),
                format_size(limit)
            ));
        }
        Ok(())
    }

    /// Lays down what is cached. Whatever is wrong with it is a warning and a miss.
    pub(super) async fn restore_cache(
        &mut self,
        directory: &AttemptDirectory,
        workspace: Option<&Lease>,
    ) -> Result<Option<Restored>, Interruption> {
        let Some(order) = self.assignment.cache.clone() else { return Ok(None) };
        self.check_orders()?;
        let roots = Roots { task: directory.work(), workspace: workspace.map(|lease| lease.path.clone()) };
        let (core, job_type) = (self.core.clone(), self.assignment.job_type.clone());
        let staging = directory.root().join("cached");
        let restored = blocking(move || {
            let now = core.config.clock.now();
            Ok(core.cache.restore(&job_type, &order, &roots, &staging, now))
        })
        .await?;
        for warning in &restored.warnings {
            self.log.system(&format!("warning: {warning}")).await;
        }
        self.warnings.extend(restored.warnings.iter().cloned());
        self.log.system(&restored.summary).await;
        Ok(Some(restored))
    }

    /// Stores what is to be cached, unless it was there.
    pub(super) async fn save_cache(
        &mut self,
        directory: &AttemptDirectory,
        workspace: Option<&Lease>,
    ) -> Result<(), Interruption> {
        let (Some(order), Some(false)) = (self.assignment.cache.clone(), self.memory.cached) else { return Ok(()) };
        if self.memory.cache_saved {
            return Ok(());
        }
        let roots = Roots { task: directory.work(), workspace: workspace.map(|lease| lease.path.clone()) };
        let (core, assignment) = (self.core.clone(), self.assignment.clone());
        let saved = blocking(move || {
            let now = core.config.clock.now();
            Ok(core.cache.save(&assignment.job_type, &assignment.attempt_id, &order, &roots, now))
        })
        .await?;
        for warning in &saved.warnings {
            self.log.prepare(&format!("warning: {warning}"));
        }
        self.warnings.extend(saved.warnings);
        self.log.prepare(&saved.summary);
        self.memory.cache_saved = true;
        self.checkpoint().await;
        self.log.say_pending().await;
        Ok(())
    }
}
