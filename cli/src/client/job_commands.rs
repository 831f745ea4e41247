//! `atta cancel|pause|resume|retry|rerun`.

use atta_core::definition::KnownConfigs;
use atta_core::protocol::JobId;
use atta_core::protocol::api::{CancelRequest, RerunRequest, ResubmitRequest, ResumeRequest, SubmitResponse};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Server;
use crate::args::{AgainArgs, CancelArgs, JobArgs, RerunArgs, ResubmitArgs, ResumeArgs};
use crate::exit::{CommandResult, Exit};
use crate::{output, params, validate};

/// A command without arguments of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum JobVerb {
    /// No new attempts.
    Pause,
    /// A new job attempt that keeps completed tasks.
    Retry,
}

impl JobVerb {
    fn segment(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Retry => "retry",
        }
    }
}

/// `atta pause|retry JOB`.
pub(crate) async fn perform(args: JobArgs, verb: JobVerb) -> CommandResult {
    let server = Server::new(&args.server)?;
    let job = server.job_id(&args.job).await?;
    command(&server, &job, verb.segment(), &json!({})).await
}

/// `atta resume JOB [-p NAME=VALUE]… [--budget LIMITS]`.
pub(crate) async fn resume(args: ResumeArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let job = server.job_id(&args.job).await?;
    let again = AgainArgs { params: args.params, latest: false, version: None };
    let params = params_for(&server, &job, &again).await?;
    command(&server, &job, "resume", &ResumeRequest { params, budget: args.budget }).await
}

/// `atta cancel JOB`.
pub(crate) async fn cancel(args: CancelArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let job = server.job_id(&args.job).await?;
    command(&server, &job, "cancel", &CancelRequest { reason: args.reason, force: args.force }).await
}

/// `atta rerun JOB --from TASK`.
pub(crate) async fn rerun(args: RerunArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let job = server.job_id(&args.job).await?;
    let params = params_for(&server, &job, &args.again).await?;
    let AgainArgs { latest, version, .. } = args.again;
    command(&server, &job, "rerun", &RerunRequest { from: args.from, params, version, latest }).await
}

/// `atta resubmit JOB`.
pub(crate) async fn resubmit(args: ResubmitArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let job = server.job_id(&args.job).await?;
    let params = params_for(&server, &job, &args.again).await?;
    let AgainArgs { latest, version, .. } = args.again;
    command(&server, &job, "resubmit", &ResubmitRequest { params, version, latest }).await
}

/// The given params with the types of the version that will run; the others are the job's own.
async fn params_for(server: &Server, job: &JobId, again: &AgainArgs) -> CommandResult<Map<String, Value>> {
    let given = params::read(&again.params.params)?;
    if given.is_empty() {
        return Ok(Map::new());
    }
    let summary = server.job(job).await?.summary;
    let version = if again.latest { None } else { again.version.as_deref().or(Some(&summary.version)) };
    let source = super::submit::source(server, &summary.job_type, version).await?;
    params::type_only(&validate::load_text(&summary.job_type, source.as_bytes(), KnownConfigs::Any)?, &given)
}

async fn command(server: &Server, job: &JobId, verb: &str, body: &impl Serialize) -> CommandResult {
    let answer: SubmitResponse = server.json(server.post(&["jobs", &job.0, verb]).json(body)).await?;
    output::print(&format!("{}  {}\n", answer.job_id, output::job_state(answer.state)))?;
    Ok(Exit::Success)
}
