//! `atta deliveries`.

use atta_core::protocol::api::{DeliveryDetail, DeliveryResource, Page, WebhookAnswer};

use super::Server;
use crate::args::{DeliveriesAction, DeliveriesArgs, DeliveryArgs, DeliveryListArgs};
use crate::exit::{CommandResult, Exit};
use crate::output;

/// `atta deliveries [list|show|redeliver]`.
pub(crate) async fn deliveries(args: DeliveriesArgs) -> CommandResult {
    match args.action {
        None => list(args.list).await,
        Some(DeliveriesAction::List(args)) => list(args).await,
        Some(DeliveriesAction::Show(args)) => show(args).await,
        Some(DeliveriesAction::Redeliver(args)) => redeliver(args).await,
    }
}

async fn list(args: DeliveryListArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let limit = args.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    let filters = [("job_type", &args.job_type), ("trigger", &args.trigger), ("outcome", &args.outcome)];
    query.extend(filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    let page: Page<DeliveryResource> = server.json(server.get(&["deliveries"], &query)).await?;
    if args.json {
        output::print_json(&page.items)?;
        return Ok(Exit::Success);
    }
    if page.items.is_empty() {
        output::say("No deliveries.\n");
        return Ok(Exit::Success);
    }
    let rows: Vec<Vec<String>> = page
        .items
        .iter()
        .map(|one| {
            vec![
                one.id.clone(),
                format!("{}/{}", one.job_type, one.trigger),
                one.event.as_deref().map_or_else(|| "-".to_owned(), output::harmless),
                one.outcome.as_str().to_owned(),
                one.job_id.as_ref().map_or_else(|| "-".to_owned(), |job| job.0.clone()),
                one.received_at.clone(),
                one.message.as_deref().map_or_else(String::new, |text| output::harmless(text).replace('\n', " ")),
            ]
        })
        .collect();
    output::print(&output::table(&["ID", "WEBHOOK", "EVENT", "OUTCOME", "JOB", "RECEIVED", "WHY"], &rows))?;
    Ok(Exit::Success)
}

async fn show(args: DeliveryArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let found: DeliveryDetail = server.json(server.get(&["deliveries", &args.id], &[])).await?;
    output::print_json(&found)?;
    Ok(Exit::Success)
}

async fn redeliver(args: DeliveryArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let answer: WebhookAnswer = server.json(server.post(&["deliveries", &args.id, "redeliver"])).await?;
    output::print_json(&answer)?;
    Ok(Exit::Success)
}
