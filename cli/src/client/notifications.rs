//! `atta notifications`.

use atta_core::protocol::api::Page;
use atta_core::protocol::people::NotificationResource;

use super::Server;
use crate::args::{NotificationsAction, NotificationsArgs, NotificationsListArgs, NotificationsRetryArgs};
use crate::exit::{CommandResult, Exit};
use crate::output::{self, harmless};

/// `atta notifications [list|retry]`.
pub(crate) async fn notifications(args: NotificationsArgs) -> CommandResult {
    match args.action {
        None => list(args.list).await,
        Some(NotificationsAction::List(args)) => list(args).await,
        Some(NotificationsAction::Retry(args)) => retry(args).await,
    }
}

async fn list(args: NotificationsListArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let limit = args.limit.to_string();
    let job = match &args.job {
        Some(job) => Some(server.job_id(job).await?),
        None => None,
    };
    let state = args.state.map(|state| state.to_ascii_uppercase());
    let mut query = vec![("limit", limit.as_str())];
    query.extend(state.as_deref().map(|state| ("state", state)));
    query.extend(job.as_ref().map(|job| ("job", job.0.as_str())));
    let page: Page<NotificationResource> = server.json(server.get(&["notifications"], &query)).await?;
    if args.json {
        output::print_json(&page.items)?;
        return Ok(Exit::Success);
    }
    let rows: Vec<Vec<String>> = page
        .items
        .iter()
        .map(|one| {
            vec![
                one.notification_id.clone(),
                one.state.as_str().to_owned(),
                one.event.clone(),
                one.channel.clone(),
                harmless(&one.destination).chars().take(50).collect(),
                one.attempts.to_string(),
                harmless(one.last_error.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    output::print(&output::table(&["NOTIFICATION", "STATE", "EVENT", "CHANNEL", "TO", "TRIES", "LAST ERROR"], &rows))?;
    Ok(Exit::Success)
}

async fn retry(args: NotificationsRetryArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    if !args.dead {
        for id in &args.notifications {
            send(&server, id).await?;
        }
        return Ok(Exit::Success);
    }
    // Those that fail at once come back as DEAD: each is sent once.
    let mut sent: Vec<String> = Vec::new();
    loop {
        let page: Page<NotificationResource> =
            server.json(server.get(&["notifications"], &[("state", "DEAD"), ("limit", "500")])).await?;
        let fresh: Vec<String> =
            page.items.into_iter().map(|one| one.notification_id).filter(|id| !sent.contains(id)).collect();
        if fresh.is_empty() {
            return Ok(Exit::Success);
        }
        for id in fresh {
            send(&server, &id).await?;
            sent.push(id);
        }
    }
}

async fn send(server: &Server, id: &str) -> CommandResult<()> {
    let one: NotificationResource = server.json(server.post(&["notifications", id, "retry"])).await?;
    output::print(&format!("{}  {}\n", one.notification_id, one.state.as_str()))
}
