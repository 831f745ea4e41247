//! Definitions: upload, enabling, and the cache of parsed versions.

use std::collections::HashSet;
use std::sync::Arc;

use atta_core::definition::{self, ConfigUses, Diagnostic, JobDefinition, KnownConfigs, Limits, Severity};
use atta_core::graph::Plan;
use atta_core::protocol::api::{DefinitionResource, FieldViolation};
use atta_core::protocol::triggers_api::TriggerResource;
use atta_core::template::{Renderer, Variables};
use atta_core::time::UnixMillis;

use super::Refusal;
use super::job_triggers::watched_by;
use super::spending::Cause;
use super::state::State;
use crate::store::{DefinitionRow, LabelRows, StoreError, StoreWriter, VersionRow, json};

/// A definition as the writer keeps it.
#[derive(Debug, Clone)]
pub(super) struct DefinitionEntry {
    pub(super) row: DefinitionRow,
    /// How many versions there are.
    pub(super) versions: u32,
}

/// A version that has been parsed and checked.
#[derive(Debug)]
pub(super) struct LoadedVersion {
    pub(super) job_type: String,
    /// Content hash.
    pub(super) version: String,
    pub(super) semver: Option<String>,
    pub(super) source: String,
    pub(super) warnings: Vec<FieldViolation>,
    /// No field is a template: definition and plan are the same for all params.
    literal: bool,
    /// Configs and secrets without which it cannot run.
    pub(super) uses: ConfigUses,
    pub(super) definition: Arc<JobDefinition>,
    pub(super) plan: Arc<Plan>,
    pub(super) task_names: Arc<[String]>,
    pub(super) task_name_set: Arc<HashSet<String>>,
}

impl LoadedVersion {
    /// Parses and checks YAML text.
    pub(super) fn parse(file_name: &str, source: &str, configs: KnownConfigs<'_>) -> Result<Self, Refusal> {
        let loaded = definition::load_with(file_name, source.as_bytes(), &Limits::default(), configs);
        let refuse = |diagnostics: &[Diagnostic]| {
            let errors: Vec<_> = diagnostics.iter().filter(|d| d.severity == Severity::Error).cloned().collect();
            let errors = definition::violations(file_name, source, &errors);
            let message = match errors.as_slice() {
                [only] => format!("the definition has a problem: {}: {}", only.field, only.message),
                all => format!("the definition has {} problems", all.len()),
            };
            Refusal::Invalid { code: "INVALID_DEFINITION", message, violations: errors }
        };
        let Some(checked) = loaded.definition else { return Err(refuse(&loaded.diagnostics)) };
        let (plan, _) = Plan::build(&checked).map_err(|diagnostics| refuse(&diagnostics))?;
        let names: Vec<String> = checked.tasks.iter().map(|task| task.name.clone()).collect();
        let warnings: Vec<_> = loaded.diagnostics.iter().filter(|d| d.severity == Severity::Warning).cloned().collect();
        let mut literal = true;
        let _ = checked.resolve_fields(&mut |_| {
            literal = false;
            Err(String::new())
        });
        Ok(Self {
            job_type: checked.job_type.clone(),
            version: blake3::hash(source.as_bytes()).to_hex()[..16].to_owned(),
            semver: checked.version.clone(),
            source: source.to_owned(),
            warnings: definition::violations(file_name, source, &warnings),
            literal,
            uses: loaded.uses,
            definition: Arc::new(checked),
            plan: Arc::new(plan),
            task_name_set: Arc::new(names.iter().cloned().collect()),
            task_names: names.into(),
        })
    }

    /// Definition and plan with all fields resolved by rendering their templates in `scope`. It is done anew whenever the
    /// job is replayed and must give the same: neither scope nor renderer may know anything that changes.
    pub(super) fn resolve(
        &self,
        renderer: &Renderer,
        scope: impl FnOnce() -> Variables,
    ) -> Result<(Arc<JobDefinition>, Arc<Plan>), Refusal> {
        if self.literal {
            return Ok((self.definition.clone(), self.plan.clone()));
        }
        let scope = scope();
        let refuse = |diagnostics: &[Diagnostic]| Refusal::Invalid {
            code: "INVALID_PARAMS",
            message: diagnostics.first().map_or_else(String::new, |first| first.message.clone()),
            violations: definition::violations(&self.job_type, &self.source, diagnostics),
        };
        let resolved = self
            .definition
            .resolve_fields(&mut |template| {
                renderer.render_text(&template.source, &scope).map_err(|problem| problem.to_string())
            })
            .map_err(|diagnostics| refuse(&diagnostics))?;
        let (plan, _) = Plan::build(&resolved).map_err(|diagnostics| refuse(&diagnostics))?;
        Ok((Arc::new(resolved), Arc::new(plan)))
    }
}

impl State {
    /// Stores a version, or finds it again, and makes it the newest.
    pub(super) async fn upload(
        &mut self,
        database: &mut StoreWriter,
        version: Arc<LoadedVersion>,
    ) -> Result<DefinitionResource, Refusal> {
        let now = self.clock.now();
        let job_type = version.job_type.clone();
        let key = (job_type.clone(), version.version.clone());
        let known = self.versions.contains_key(&key)
            || database
                .load_version(&job_type, &version.version)
                .await?
                .is_some_and(|row| row.version == version.version);
        let entry = self.definitions.entry(job_type.clone()).or_insert_with(|| DefinitionEntry {
            row: DefinitionRow {
                job_type: job_type.clone(),
                latest_version: String::new(),
                enabled: true,
                degraded: None,
                next_fire_at: None,
                watches: Vec::new(),
                created_at: now,
                updated_at: now,
            },
            versions: 0,
        });
        if !known {
            entry.versions += 1;
            self.staged.versions.push(VersionRow {
                job_type: job_type.clone(),
                version: version.version.clone(),
                semver: version.semver.clone(),
                source: version.source.clone(),
                warnings: json(&version.warnings),
                created_at: now,
            });
            self.staged.labels.push(LabelRows {
                job_type: job_type.clone(),
                version: version.version.clone(),
                labels: version.definition.labels.clone(),
            });
        }
        if entry.row.latest_version == version.version {
            self.versions.entry(key).or_insert(version);
        } else {
            entry.row.latest_version.clone_from(&version.version);
            entry.row.updated_at = now;
            entry.row.degraded = None;
            entry.row.watches = watched_by(&version.definition);
            self.versions.insert(key, version.clone());
            self.staged.definitions.insert(job_type.clone());
            // It may allow more on a day.
            self.budgets.stir(&Cause::Definition(job_type.clone()));
            self.reschedule(&job_type, &version, now);
            self.rebuild_watchers();
        }
        self.definition_resource(database, &job_type).await
    }

    /// Enables or disables a definition. Ticks that pass while it is disabled are not missed: it rests.
    pub(super) async fn set_enabled(
        &mut self,
        database: &mut StoreWriter,
        job_type: &str,
        enabled: bool,
    ) -> Result<DefinitionResource, Refusal> {
        let now = self.clock.now();
        let not_found = || Refusal::definition_not_found(job_type);
        let latest = self.definitions.get(job_type).ok_or_else(not_found)?.row.latest_version.clone();
        // Before anything is changed: what is refused must leave no trace.
        let version = self.version(database, job_type, &latest).await?;
        let entry = self.definitions.get_mut(job_type).ok_or_else(not_found)?;
        if entry.row.enabled != enabled {
            entry.row.enabled = enabled;
            entry.row.updated_at = now;
            self.reschedule(job_type, &version, now);
        }
        self.definition_resource(database, job_type).await
    }

    /// Sets when the schedule fires next.
    fn reschedule(&mut self, job_type: &str, version: &LoadedVersion, now: UnixMillis) {
        let Some(entry) = self.definitions.get_mut(job_type) else { return };
        let schedule = version.definition.schedule.as_ref().filter(|_| entry.row.enabled);
        entry.row.next_fire_at = schedule.and_then(|schedule| schedule.next_after(now));
        self.staged.definitions.insert(job_type.to_owned());
    }

    /// A parsed version, by content hash or semantic version.
    pub(super) async fn version(
        &mut self,
        database: &mut StoreWriter,
        job_type: &str,
        version: &str,
    ) -> Result<Arc<LoadedVersion>, Refusal> {
        self.read_version(database, job_type, version).await?
    }

    /// The same; an error when the database cannot say.
    pub(super) async fn read_version(
        &mut self,
        database: &mut StoreWriter,
        job_type: &str,
        version: &str,
    ) -> Result<Result<Arc<LoadedVersion>, Refusal>, StoreError> {
        if let Some(found) = self.versions.get(&(job_type.to_owned(), version.to_owned())) {
            return Ok(Ok(found.clone()));
        }
        // One of this batch may be meant by its semantic version.
        let staged = self
            .staged
            .versions
            .iter()
            .rev()
            .find(|row| row.job_type == job_type && row.semver.as_deref() == Some(version));
        if let Some(found) = staged.and_then(|row| self.versions.get(&(job_type.to_owned(), row.version.clone()))) {
            return Ok(Ok(found.clone()));
        }
        let Some(row) = database.load_version(job_type, version).await? else {
            return Ok(Err(Refusal::NotFound { what: format!("version {version} of definition {job_type}") }));
        };
        let key = (job_type.to_owned(), row.version.clone());
        if let Some(found) = self.versions.get(&key) {
            return Ok(Ok(found.clone()));
        }
        Ok(LoadedVersion::parse(job_type, &row.source, KnownConfigs::Any).map(|loaded| {
            let loaded = Arc::new(loaded);
            self.versions.insert(key, loaded.clone());
            loaded
        }))
    }

    async fn definition_resource(
        &mut self,
        database: &mut StoreWriter,
        job_type: &str,
    ) -> Result<DefinitionResource, Refusal> {
        let entry = self.definitions.get(job_type).ok_or_else(|| Refusal::definition_not_found(job_type))?.clone();
        let version = self.version(database, job_type, &entry.row.latest_version).await?;
        let enabled = entry.row.enabled;
        let resource_of =
            |trigger| TriggerResource::of(job_type, trigger, enabled, |name| self.secrets.has_secret(job_type, name));
        Ok(DefinitionResource {
            job_type: job_type.to_owned(),
            version: version.version.clone(),
            semver: version.semver.clone(),
            versions: entry.versions,
            enabled,
            degraded: entry.row.degraded,
            schedule: version.definition.schedule.as_ref().map(|s| s.expressions.clone()).unwrap_or_default(),
            next_run_at: entry.row.next_fire_at.map(UnixMillis::to_rfc3339),
            updated_at: entry.row.updated_at.to_rfc3339(),
            warnings: version.warnings.clone(),
            labels: version.definition.labels.clone(),
            triggers: version.definition.triggers.iter().map(resource_of).collect(),
        })
    }

    /// Shows a definition as degraded, or as well again.
    pub(super) fn set_degraded(&mut self, job_type: &str, degraded: Option<String>) {
        if let Some(entry) = self.definitions.get_mut(job_type)
            && entry.row.degraded != degraded
        {
            entry.row.degraded = degraded;
            self.staged.definitions.insert(job_type.to_owned());
        }
    }
}

/// Versions that an earlier program stored have no rows of their labels: they are read from the texts, once.
pub(super) async fn label_versions(database: &mut StoreWriter) -> Result<(), StoreError> {
    if !database.lacks_labels().await? {
        return Ok(());
    }
    let mut found = Vec::new();
    for (job_type, version) in database.version_names().await? {
        let Some(row) = database.load_version(&job_type, &version).await? else { continue };
        let file = format!("{job_type}.yaml");
        let loaded = definition::load_with(&file, row.source.as_bytes(), &Limits::default(), KnownConfigs::Any);
        // One that is not valid any more takes no jobs, and those that it had are found without its labels.
        let Some(definition) = loaded.definition else { continue };
        if !definition.labels.is_empty() {
            found.push(LabelRows { job_type, version: row.version, labels: definition.labels });
        }
    }
    database.label_all(&found).await
}
