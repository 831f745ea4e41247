//! What the writer is told.

use std::sync::Arc;

use atta_core::definition::Retention;
use atta_core::engine::JobState;
use atta_core::protocol::access::{NewToken, TokenRequest, TokenResource};
use atta_core::protocol::ant::{Heartbeat, Orders, PollRequest, ReportBatch};
use atta_core::protocol::ants::{AntMode, AntResource};
use atta_core::protocol::api::{ConfigResource, DefinitionResource, SubmitRequest, SubmitResponse, WebhookAnswer};
use atta_core::protocol::budgets::{AccountResource, BudgetReport};
use atta_core::protocol::people::ApprovalResource;
use atta_core::protocol::terminal::{TerminalSession, TerminalSize};
use atta_core::protocol::{AntId, AttemptId, JobId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::configs::PutConfig;
use super::expiry::Swept;
use super::figures::Figures;
use super::terminals::{TerminalCommand, Typist};
use super::webhook::Delivery;
use super::{JobCommand, LoadedVersion, Refusal, RunAgain, Vote};
use crate::store::{AuditRow, ConfigKey, DeliveryChange, Garbage};

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// A message to the writer. What it changes is committed before it is answered.
pub(super) enum Command {
    Upload {
        version: Arc<LoadedVersion>,
        reply: Reply<DefinitionResource>,
    },
    SetEnabled {
        job_type: String,
        enabled: bool,
        reply: Reply<DefinitionResource>,
    },
    Deliver {
        delivery: Box<Delivery>,
        reply: Reply<WebhookAnswer>,
    },
    Submit {
        submission: Box<Submission>,
        reply: Reply<SubmitResponse>,
    },
    Job {
        job: JobId,
        command: JobCommand,
        reply: Reply<JobState>,
    },
    Vote {
        vote: Box<Vote>,
        reply: Reply<ApprovalResource>,
    },
    /// What became of deliveries.
    Delivered {
        changes: Vec<DeliveryChange>,
        reply: Reply<()>,
    },
    /// Somebody wants a delivery tried anew.
    Redeliver {
        id: String,
        reply: Reply<()>,
    },
    RunAgain {
        job: JobId,
        again: Box<RunAgain>,
        reply: Reply<SubmitResponse>,
    },
    Poll {
        request: PollRequest,
        deadline: Instant,
        reply: Reply<Orders>,
    },
    Report {
        batch: ReportBatch,
        reply: Reply<Orders>,
    },
    Heartbeat {
        heartbeat: Heartbeat,
        reply: Reply<Orders>,
    },
    /// Reports that may wait for the next batch; nobody waits for the answer.
    LateReport(ReportBatch),
    /// Orders that their ant never saw.
    Undelivered {
        ant: AntId,
        orders: Orders,
    },
    PutConfig {
        put: Box<PutConfig>,
        reply: Reply<ConfigResource>,
    },
    RemoveConfig {
        key: ConfigKey,
        reply: Reply<()>,
    },
    CreateToken {
        request: Box<TokenRequest>,
        created_by: String,
        reply: Reply<NewToken>,
    },
    RevokeToken {
        name_or_id: String,
        reply: Reply<TokenResource>,
    },
    /// Somebody changed something; nobody waits for the answer.
    Audit(Box<AuditRow>),
    /// Somebody wants to type into an attempt.
    OpenTerminal {
        attempt: AttemptId,
        by: Typist,
        size: TerminalSize,
        take_over: bool,
        reply: Reply<TerminalSession>,
    },
    /// Somebody types, or something like it.
    UseTerminal {
        attempt: AttemptId,
        session: String,
        by: Typist,
        command: TerminalCommand,
        reply: Reply<()>,
    },
    ListAnts(Reply<Vec<AntResource>>),
    Figures(Reply<Figures>),
    Budgets(Reply<BudgetReport>),
    ListAccounts(Reply<Vec<AccountResource>>),
    ReleaseAccount {
        name: String,
        reply: Reply<AccountResource>,
    },
    SetAntMode {
        ant: AntId,
        mode: AntMode,
        reply: Reply<AntResource>,
    },
    /// Removes some of what is over.
    Sweep {
        default: Retention,
        reply: Reply<Swept>,
    },
    /// These files are gone.
    ClearGarbage {
        files: Vec<Garbage>,
        reply: Reply<()>,
    },
    /// Encrypts some secrets anew with the newest key; says how many it were.
    Reencrypt(Reply<u32>),
    /// Bounds the database, for tests of a full disk.
    LimitPages(Option<u32>, Reply<()>),
    Shutdown(Reply<()>),
}

/// A request to run a job, with what came around it.
#[derive(Debug, Clone)]
pub(super) struct Submission {
    pub(super) request: SubmitRequest,
    pub(super) submitted_by: String,
    pub(super) idempotency_key: Option<String>,
}
