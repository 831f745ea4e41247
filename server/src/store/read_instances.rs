//! The instances of tasks with `fan_out`, in lists and counted.

use std::collections::HashMap;

use atta_core::engine::{Failure, TaskState};
use atta_core::protocol::JobId;
use atta_core::protocol::api::{ArtifactResource, AttemptResource, FanOutResource, InstanceResource, TaskResource};
use indexmap::IndexMap;

use super::instances::{InstanceValues, results_of_instances};
use super::read_model::{Reads, json};
use super::sql::{AssertSqlSafe, Builder, Row, Transaction, query};
use super::{ColumnName, StoreError, unsigned};

/// What a list shows of each instance, but its outputs.
const COLUMNS: &str =
    "i.instance, i.item_key, i.state, i.result, i.exit_code, i.error_code, i.error_message, i.attempts,
    i.last_attempt";

fn instance(row: &Row, outputs: IndexMap<String, serde_json::Value>) -> Result<InstanceResource, StoreError> {
    let code: Option<String> = row.try_get(5)?;
    let message: Option<String> = row.try_get(6)?;
    let exit_code: Option<i64> = row.try_get(4)?;
    Ok(InstanceResource {
        index: row.try_get(0)?,
        key: row.try_get(1)?,
        state: TaskState::from_column("task_instances", "state", row.try_get(2)?)?,
        result: row.try_get(3)?,
        exit_code: exit_code.map(|code| unsigned("task_instances", "exit_code", code)).transpose()?,
        error: code.map(|code| Failure { message: message.unwrap_or_else(|| code.clone()), code }),
        attempts: row.try_get(7)?,
        last_attempt: row.try_get(8)?,
        outputs,
    })
}

/// All instances of a job by task, in the order of the items, without outputs.
pub(super) async fn instances_by_task(
    connection: &mut Transaction,
    job: &JobId,
) -> Result<HashMap<i64, Vec<InstanceResource>>, StoreError> {
    let rows = query(AssertSqlSafe(format!(
        "SELECT {COLUMNS}, i.task FROM task_instances i WHERE i.job_id = $1 ORDER BY i.task, i.instance"
    )))
    .bind(&job.0)
    .fetch_all(&mut *connection)
    .await?;
    let mut instances: HashMap<i64, Vec<InstanceResource>> = HashMap::new();
    for row in &rows {
        instances.entry(row.try_get(9)?).or_default().push(instance(row, IndexMap::new())?);
    }
    Ok(instances)
}

/// Adds what a task has of its instances: the counts, and once it has settled the outputs and artifacts of all of them.
pub(super) fn describe_fan_out(task: &mut TaskResource, declared: &[String], instances: &[InstanceResource]) {
    let mut counts: IndexMap<String, u32> = IndexMap::new();
    for instance in instances {
        *counts.entry(instance.state.as_str().to_owned()).or_default() += 1;
    }
    let total = u32::try_from(instances.len()).unwrap_or(u32::MAX);
    (task.outputs, task.artifacts) = (IndexMap::new(), Vec::new());
    let expanded = !instances.is_empty() || task.state == TaskState::Completed;
    if !expanded {
        return;
    }
    task.fan_out = Some(FanOutResource { total, counts });
    if !task.state.is_settled() || task.state == TaskState::Skipped {
        return;
    }
    // The last finished one of each instance of the expansion that it belongs to.
    let mut latest: HashMap<(u32, &str), &AttemptResource> = HashMap::new();
    for attempt in task.attempt_list.iter().filter(|attempt| attempt.result.is_some()) {
        if let (Some(instance), Some(key)) = (attempt.instance, &attempt.item_key) {
            latest.insert((instance, key), attempt);
        }
    }
    let nothing = IndexMap::new();
    let of = |instance: &InstanceResource| latest.get(&(instance.index, instance.key.as_str())).copied();
    let values = instances.iter().map(|instance| InstanceValues {
        index: instance.index,
        key: &instance.key,
        state: instance.state,
        result: instance.result.as_deref(),
        exit_code: instance.exit_code,
        outputs: of(instance).map_or(&nothing, |attempt| &attempt.outputs),
    });
    task.outputs = results_of_instances(declared.iter().cloned(), values);
    let files =
        instances.iter().filter_map(|instance| Some((instance, of(instance)?))).flat_map(|(instance, attempt)| {
            attempt.artifacts.iter().map(|file| ArtifactResource {
                name: format!("{}/{}/{}", task.task_type, instance.key, file.name),
                ..file.clone()
            })
        });
    task.artifacts = files.collect();
}

impl Reads {
    /// Instances of a task in the order of the items: those behind `after`, in one of the states (any when there is none).
    /// `None` when the job has no such task with `fan_out`.
    pub async fn instances(
        &self,
        job: &JobId,
        task: &str,
        states: &[TaskState],
        after: Option<u32>,
        limit: u32,
    ) -> Result<Option<Vec<InstanceResource>>, StoreError> {
        let Some(outline) = self.outline_of_job(job).await? else { return Ok(None) };
        let Some(index) = outline.tasks.iter().position(|name| name == task) else { return Ok(None) };
        if outline.fan_outs.get(index).is_none_or(Option::is_none) {
            return Ok(None);
        }
        let mut query = Builder::new(format!(
            "SELECT {COLUMNS}, a.outputs FROM task_instances i
             LEFT JOIN attempts a ON a.job_id = i.job_id AND a.number = i.last_attempt WHERE i.job_id = "
        ));
        query.push_bind(&job.0).push(" AND i.task = ").push_bind(i64::try_from(index).unwrap_or(i64::MAX));
        if let Some(after) = after {
            query.push(" AND i.instance > ").push_bind(after);
        }
        if !states.is_empty() {
            query.push(" AND i.state IN ").push_list(states.iter().map(|state| state.column_name()));
            query.push("");
        }
        query.push(" ORDER BY i.instance LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(self.store.readers()).await?;
        let instances = rows.iter().map(|row| {
            let outputs: Option<&str> = row.try_get(9)?;
            instance(row, outputs.map(|text| json("attempts", "outputs", text)).transpose()?.unwrap_or_default())
        });
        instances.collect::<Result<_, _>>().map(Some)
    }
}
