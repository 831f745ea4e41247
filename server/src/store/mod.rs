//! The only place with SQL: use-cases as methods, one module per topic. Everything outside speaks in rows and commands,
//! so that another database can stand behind the same methods.
//!
//! * [`Store`]: for reads, with a pool of its own
//! * `StoreWriter`: for writes; there is one, and the queen's writer task owns it

mod agents;
mod ants;
mod approvals;
mod binding;
mod claim;
mod commands;
mod configs;
#[cfg(test)]
mod conformance;
mod damaged;
mod definitions;
mod deliveries;
mod dump;
mod error;
mod expiry;
mod families;
mod inspect;
mod instances;
mod job_lists;
mod labels;
mod live;
mod lock;
mod migrate;
mod moved;
mod names;
mod open;
mod outbox;
mod outcomes;
mod read_attempts;
mod read_definitions;
mod read_detail;
mod read_events;
mod read_instances;
mod read_jobs;
mod read_model;
mod read_outcomes;
mod read_webhooks;
mod rows;
mod spend;
mod sql;
mod tokens;
mod write;

pub(crate) use agents::AgentRow;
pub(crate) use ants::AntRow;
pub use approvals::{ApprovalFilter, Via};
pub(crate) use approvals::{ApprovalPolicy, ApprovalRow, Asked, VoteRow};
pub use claim::DatabaseReport;
pub(crate) use commands::CommandRow;
pub use commands::StoredCommand;
pub(crate) use configs::{ConfigChange, ConfigContent, ConfigKey, ConfigRow, Sealed};
pub(crate) use damaged::OpenLease;
pub use deliveries::DeliveryFilter;
pub(crate) use deliveries::DeliveryRow;
pub use dump::DumpError;
pub(crate) use dump::{Chunk, Counts, Dump, Loader, Restored};
pub use error::{OpenError, StoreError};
pub(crate) use expiry::{ExpiryChange, Garbage};
pub(crate) use families::Ancestor;
pub use inspect::{FileReport, inspect_file};
pub(crate) use instances::*;
pub use job_lists::{JobFilter, JobOrder, JobPlace, LabelFilter};
pub(crate) use labels::LabelRows;
pub(crate) use live::*;
pub(crate) use lock::UNFINISHED;
pub(crate) use names::*;
pub use open::Database;
pub use outbox::NotificationFilter;
pub(crate) use outbox::{Channel, DeliveryChange, DeliveryOutcome, DueDelivery, OutboxRow};
pub(crate) use outcomes::{AgentUse, OutcomeChange, Said};
pub use read_detail::StoredArtifact;
pub use read_jobs::{ListedJobs, TaskLookup};
pub use read_model::{HistoryOrder, Reads};
pub use read_outcomes::OutcomeFilter;
pub(crate) use read_outcomes::OutcomeRow;
pub(crate) use rows::*;
pub(crate) use spend::{AccountRow, DaySum, Settled, SpendRow};
pub use sql::{PostgresUrl, PostgresUrlError};
pub(crate) use tokens::{AuditRow, TokenRow};
pub(crate) use write::{StoreWriter, Watch, json};

/// Handle to the database; cheap to clone. Reads go to a pool of their own; writes belong to the queen's writer.
#[derive(Clone, Debug)]
pub struct Store {
    readers: sql::Pool,
    name: String,
}

impl Store {
    /// The pool for reads.
    fn readers(&self) -> &sql::Pool {
        &self.readers
    }

    /// What the database understands.
    fn dialect(&self) -> sql::Dialect {
        self.readers.dialect()
    }
}
