//! `atta approvals|approve|reject`.

use atta_core::protocol::api::Page;
use atta_core::protocol::people::{ApprovalResource, ApprovalState, Decision, LinkRequest, LinkResource, VoteRequest};
use reqwest::RequestBuilder;

use super::Server;
use crate::ambient;
use crate::args::{ApprovalLinkArgs, ApprovalsAction, ApprovalsArgs, ApprovalsListArgs, VoteArgs};
use crate::exit::{CommandResult, Exit, Failure};
use crate::output::{self, harmless};

/// `atta approvals [list|link]`.
pub(crate) async fn approvals(args: ApprovalsArgs) -> CommandResult {
    match args.action {
        None => list(args.list).await,
        Some(ApprovalsAction::List(args)) => list(args).await,
        Some(ApprovalsAction::Link(args)) => link(args).await,
    }
}

async fn list(args: ApprovalsListArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let limit = args.limit.to_string();
    let mut query = vec![("limit", limit.as_str()), ("state", if args.all { "all" } else { "OPEN" })];
    query.extend(args.voter.as_deref().map(|voter| ("voter", voter)));
    let page: Page<ApprovalResource> = server.json(server.get(&["approvals"], &query)).await?;
    if args.json {
        output::print_json(&page.items)?;
        return Ok(Exit::Success);
    }
    if page.items.is_empty() {
        output::say("Nothing waits for a vote.\n");
        return Ok(Exit::Success);
    }
    let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
    output::print(&output::table(&["APPROVAL", "JOB", "TASK", "STATE", "VOTES", "WHO", "QUESTION"], &rows))?;
    Ok(Exit::Success)
}

fn row(approval: &ApprovalResource) -> Vec<String> {
    let needed = if approval.unanimous {
        u32::try_from(approval.users.len()).unwrap_or(u32::MAX)
    } else {
        approval.min_approvals
    };
    let mut who = approval.users.clone();
    who.extend(approval.roles.iter().map(|role| format!("role {role}")));
    let question = approval.message.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
    vec![
        approval.approval_id.clone(),
        approval.job_id.0.clone(),
        approval.task.clone(),
        approval.state.as_str().to_owned(),
        format!("{} of {needed}", approval.votes.len()),
        if who.is_empty() { "anybody".to_owned() } else { who.join(", ") },
        harmless(question).chars().take(60).collect(),
    ]
}

async fn link(args: ApprovalLinkArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let request = server.post(&["approvals", &args.approval, "links"]).json(&LinkRequest { voter: args.voter });
    let link: LinkResource = server.json(request).await?;
    output::print(&format!("{}\n", link.url))?;
    output::say(&format!("Whoever has this link votes as {}, until {}.\n", link.voter, link.expires_at));
    Ok(Exit::Success)
}

/// `atta approve|reject JOB [TASK]`.
pub(crate) async fn vote(args: VoteArgs, decision: Decision) -> CommandResult {
    let server = Server::new(&args.server)?;
    // With a token the server knows who votes.
    let user = match args.user {
        None if server.has_token() => None,
        named => Some(named.or_else(ambient::user_name).ok_or_else(|| {
            Failure::usage("It is not known who runs this command.").with_help("Say who votes: --as USER.")
        })?),
    };
    let request = request(&server, &args.job, args.task.as_deref()).await?;
    let body = VoteRequest { decision, comment: args.comment };
    let request = match &user {
        Some(user) => request.header("x-atta-user", user),
        None => request,
    };
    let approval: ApprovalResource = server.json(request.json(&body)).await?;
    if args.json {
        output::print_json(&approval)?;
    } else {
        let what = if decision == Decision::Approve { "approved" } else { "rejected" };
        let who = user.as_deref().unwrap_or("You");
        output::print(&format!("{who} {what} {} of {}\n", approval.task, approval.job_id))?;
    }
    Ok(Exit::Success)
}

/// Where the vote goes: to an approval by its id, to what a task asks, or to the only thing that a job asks.
async fn request(server: &Server, job: &str, task: Option<&str>) -> CommandResult<RequestBuilder> {
    if job.starts_with("apr_") {
        return Ok(server.post(&["approvals", job, "votes"]));
    }
    let job = server.job_id(job).await?;
    if let Some(task) = task {
        return Ok(server.post(&["jobs", &job.0, "tasks", task, "votes"]));
    }
    let asked: Page<ApprovalResource> =
        server.json(server.get(&["jobs", &job.0, "approvals"], &[("limit", "500")])).await?;
    let open: Vec<&ApprovalResource> =
        asked.items.iter().filter(|approval| approval.state == ApprovalState::Open).collect();
    match (&open[..], asked.items.first()) {
        ([one], _) => Ok(server.post(&["approvals", &one.approval_id, "votes"])),
        // The server says how it was decided.
        ([], Some(latest)) => Ok(server.post(&["approvals", &latest.approval_id, "votes"])),
        ([], None) => Err(Failure::new(Exit::Refused, "NOT_FOUND", format!("The job {job} asks for no approval."))
            .with_help("`atta approvals` lists what waits for a vote.")),
        (several, _) => {
            let names: Vec<String> =
                several.iter().take(10).map(|one| format!("{} ({})", one.task, one.approval_id)).collect();
            Err(Failure::usage(format!("The job {job} asks for {} approvals: {}.", several.len(), names.join(", ")))
                .with_help("Name the task, or the approval."))
        }
    }
}
