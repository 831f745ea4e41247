//! Which jobs are listed or counted, and the statements for it.

use atta_core::engine::JobState;
use serde::{Deserialize, Serialize};

use super::ColumnName;
use super::sql::{Builder, Dialect};

/// Which jobs are listed. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// One of these states; empty: any.
    pub states: Vec<JobState>,
    /// Of this definition.
    pub job_type: Option<String>,
    /// That this job forked, submitted or triggered.
    pub parent: Option<String>,
    /// With this key.
    pub user_key: Option<String>,
    /// Submitted at or after this instant (Unix milliseconds).
    pub created_after: Option<i64>,
    /// Submitted before this instant (Unix milliseconds).
    pub created_before: Option<i64>,
    /// With all of these labels.
    pub labels: Vec<LabelFilter>,
    /// This text occurs in id, type, key, description or reason, whatever the case.
    pub text: Option<String>,
    /// What comes first.
    pub order: JobOrder,
}

/// A label that jobs have to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    /// Its name.
    pub name: String,
    /// Its value; any when absent.
    pub value: Option<String>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JobOrder {
    /// What was submitted last comes first.
    #[default]
    Created,
    /// What ended last comes first; what has not ended is left out.
    Finished,
}

impl JobOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Created => "created_at",
            Self::Finished => "finished_at",
        }
    }

    fn newest_first(self) -> &'static str {
        match self {
            Self::Created => " ORDER BY created_at DESC, id DESC",
            Self::Finished => " ORDER BY finished_at DESC, id DESC",
        }
    }
}

/// Where a job stands in the order of lists: when it was submitted, or ended, and its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobPlace(pub(super) i64, pub(super) String);

/// Jobs in which one page of a list looks for what no index holds, and jobs of a state that are counted at most.
pub(super) const LOOKED_AT: u32 = 10_000;

/// Definitions with a label up to which each is looked through by itself.
pub(super) const MOST_TYPES: usize = 32;

impl JobFilter {
    /// Whether rows have to be read to find out which jobs are meant.
    pub(super) fn reads_rows(&self) -> bool {
        let more = self.job_type.is_some()
            || self.parent.is_some()
            || self.user_key.is_some()
            || self.created_after.is_some()
            || self.created_before.is_some();
        self.text.is_some() || !self.labels.is_empty() || (self.order == JobOrder::Finished && more)
    }

    /// Whether few jobs are meant, and an index finds them whatever their state.
    fn is_narrow(&self) -> bool {
        self.parent.is_some() || self.user_key.is_some()
    }

    /// Whether it names a label whose definitions are not known yet.
    pub(super) fn seeks_types(&self) -> bool {
        !self.labels.is_empty() && self.job_type.is_none()
    }
}

fn push_states(query: &mut Builder<'_>, states: &[JobState]) {
    match states {
        [] => {}
        [one] => {
            query.push(" AND state = ").push_bind(one.column_name());
        }
        several => {
            query.push(" AND state IN ").push_list(several.iter().map(|state| state.column_name()));
        }
    }
}

/// What stands in columns of its own.
fn push_columns<'q>(query: &mut Builder<'q>, filter: &'q JobFilter) {
    if let Some(job_type) = &filter.job_type {
        query.push(" AND job_type = ").push_bind(job_type);
    }
    if let Some(parent) = &filter.parent {
        query.push(" AND parent_job = ").push_bind(parent);
    }
    if let Some(user_key) = &filter.user_key {
        query.push(" AND user_key = ").push_bind(user_key);
    }
    if let Some(after) = filter.created_after {
        query.push(" AND created_at >= ").push_bind(after);
    }
    if let Some(before) = filter.created_before {
        query.push(" AND created_at < ").push_bind(before);
    }
}

/// What has to be looked for: labels and the text.
fn push_sought<'q>(query: &mut Builder<'q>, filter: &'q JobFilter, dialect: Dialect) {
    for label in &filter.labels {
        query.push(
            " AND EXISTS (SELECT 1 FROM version_labels l WHERE l.job_type = jobs.job_type AND l.version = jobs.version",
        );
        push_label(query, "l", label);
        query.push(")");
    }
    if let Some(text) = &filter.text {
        let (position, collation) = match dialect {
            Dialect::Sqlite => ("instr", ""),
            // As the other does it, whatever the locale of the database is.
            Dialect::Postgres => ("strpos", " COLLATE \"C\""),
        };
        query.push(" AND ").push(position).push(
            "(lower(id || ' ' || job_type || ' ' || coalesce(user_key, '') || ' ' || coalesce(description, '') || ' ' \
             || coalesce(reason, '')), lower(",
        );
        query.push_bind(text).push(collation).push(")) > 0");
    }
}

/// That a row of `version_labels`, by its alias, is of this label.
fn push_label<'q>(query: &mut Builder<'q>, alias: &'static str, label: &'q LabelFilter) {
    query.push(" AND ").push(alias).push(".name = ").push_bind(&label.name);
    if let Some(value) = &label.value {
        query.push(" AND ").push(alias).push(".value = ").push_bind(value);
    }
}

/// The conditions that an index of the order answers.
fn push_indexed<'q>(query: &mut Builder<'q>, filter: &'q JobFilter, before: Option<&'q JobPlace>) {
    if filter.order == JobOrder::Finished {
        query.push(" AND finished_at IS NOT NULL");
    }
    if let Some(JobPlace(at, id)) = before {
        query.push(" AND (").push(filter.order.column()).push(", id) < (");
        query.push_bind(*at).push(", ").push_bind(id).push(")");
    }
    push_states(query, &filter.states);
    if filter.order == JobOrder::Created {
        push_columns(query, filter);
    }
}

/// The conditions for which rows are read.
fn push_read<'q>(query: &mut Builder<'q>, filter: &'q JobFilter, dialect: Dialect) {
    if filter.order == JobOrder::Finished {
        push_columns(query, filter);
    }
    push_sought(query, filter, dialect);
}

/// The statement of a list. What no index holds is looked for in so many jobs that no list takes long.
pub(super) fn listing<'q>(
    dialect: Dialect,
    columns: &str,
    filter: &'q JobFilter,
    before: Option<&'q JobPlace>,
    rows: u32,
) -> Builder<'q> {
    let mut query = Builder::new(columns);
    let newest_first = filter.order.newest_first();
    if filter.reads_rows() {
        query.push(" FROM (SELECT * FROM jobs WHERE true");
        push_indexed(&mut query, filter, before);
        query.push(newest_first).push(" LIMIT ").push_bind(LOOKED_AT).push(") jobs WHERE true");
        push_read(&mut query, filter, dialect);
    } else {
        query.push(" FROM jobs WHERE true");
        push_indexed(&mut query, filter, before);
    }
    query.push(newest_first).push(" LIMIT ").push_bind(rows);
    query
}

/// Finds the last of the jobs that such a list looks at.
pub(super) fn last_looked_at<'q>(filter: &'q JobFilter, before: Option<&'q JobPlace>) -> Builder<'q> {
    let mut query = Builder::new("SELECT ");
    query.push(filter.order.column()).push(", id FROM jobs WHERE true");
    push_indexed(&mut query, filter, before);
    query.push(filter.order.newest_first()).push(" LIMIT 1 OFFSET ").push_bind(LOOKED_AT - 1);
    query
}

/// Finds the definitions of which some version has all of these labels. There must be labels.
pub(super) fn types_with(labels: &[LabelFilter]) -> Builder<'_> {
    let mut query = Builder::new("SELECT DISTINCT l.job_type FROM version_labels l WHERE true");
    if let Some((first, others)) = labels.split_first() {
        push_label(&mut query, "l", first);
        for label in others {
            query.push(
                " AND EXISTS (SELECT 1 FROM version_labels o WHERE o.job_type = l.job_type AND o.version = l.version",
            );
            push_label(&mut query, "o", label);
            query.push(")");
        }
    }
    query.push(" ORDER BY l.job_type LIMIT ").push_bind(u32::try_from(MOST_TYPES + 1).unwrap_or(u32::MAX));
    query
}

/// Counts jobs: a row for each state with how many were looked at, how many of them are meant, and how many of those wait
/// for money.
///
/// One statement, so that no job is counted twice on its way from one state to the next. Each part reads one index,
/// `(state, created_at, id)` or `(job_type, state, created_at, id)`, which holds all that is asked unless rows have to be read,
/// and ends after a number of jobs. With a parent or a key it reads the index of that, and the state of each: otherwise the
/// database might go through all jobs of a state.
pub(super) fn counting<'q>(
    dialect: Dialect,
    begin: &str,
    filter: &'q JobFilter,
    types: &'q [String],
    states: &[JobState],
) -> Builder<'q> {
    let mut query = Builder::new(begin);
    let narrow = filter.is_narrow();
    let meant = |query: &mut Builder<'q>, state: JobState| {
        if narrow {
            query.push(" AND state = ").push_bind(state.column_name());
        }
        push_sought(query, filter, dialect);
    };
    for (number, state) in states.iter().enumerate() {
        query.push(if number == 0 { "SELECT CAST(" } else { " UNION ALL SELECT CAST(" });
        query.push_bind(state.column_name()).push(" AS TEXT), count(*), count(CASE WHEN true");
        meant(&mut query, *state);
        query.push(" THEN 1 END)");
        // Only of a paused job the reason matters, and there are few.
        let paused = *state == JobState::Paused;
        if paused {
            query.push(", count(CASE WHEN substr(coalesce(reason, ''), 1, 7) = 'BUDGET:'");
            meant(&mut query, *state);
            query.push(" THEN 1 END)");
        } else {
            query.push(", CAST(0 AS BIGINT)");
        }
        let columns = if paused || narrow || filter.reads_rows() { "*" } else { "id" };
        query.push(" FROM (SELECT ").push(columns).push(" FROM jobs WHERE true");
        if !narrow {
            push_states(&mut query, std::slice::from_ref(state));
        }
        push_columns(&mut query, filter);
        push_types(&mut query, types);
        query.push(JobOrder::Created.newest_first()).push(" LIMIT ").push_bind(LOOKED_AT + 1).push(") jobs");
    }
    query
}

/// Counts the open questions of jobs.
pub(super) fn counting_questions<'q>(dialect: Dialect, filter: &'q JobFilter, types: &'q [String]) -> Builder<'q> {
    let mut query = Builder::new(
        "SELECT CAST(coalesce(sum((SELECT count(*) FROM approvals a WHERE a.job_id = jobs.id AND a.state = 'OPEN')), 0) AS BIGINT)
         FROM jobs WHERE id IN (SELECT a.job_id FROM approvals a WHERE a.state = 'OPEN' ORDER BY a.id LIMIT ",
    );
    query.push_bind(LOOKED_AT).push(")");
    push_states(&mut query, &filter.states);
    push_columns(&mut query, filter);
    push_types(&mut query, types);
    push_sought(&mut query, filter, dialect);
    query
}

fn push_types<'q>(query: &mut Builder<'q>, types: &'q [String]) {
    if !types.is_empty() {
        query.push(" AND job_type IN ").push_list(types);
    }
}
