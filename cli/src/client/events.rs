//! `atta events`.

use atta_core::protocol::api::EventResource;

use super::Server;
use super::follow::EventFollower;
use crate::args::EventsArgs;
use crate::exit::{CommandResult, Exit};
use crate::output;

/// `atta events JOB [-f]`.
pub(crate) async fn events(args: EventsArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let job = server.job_id(&args.job).await?;
    if args.follow {
        let mut events = EventFollower::new(&server, &job);
        while let Some(lines) = events.next().await? {
            for line in &lines {
                show(line, args.json)?;
            }
        }
        return Ok(server.job(&job).await?.summary.state.into());
    }
    for event in &server.all::<EventResource>(&["jobs", &job.0, "events"]).await? {
        show(event, args.json)?;
    }
    Ok(Exit::Success)
}

fn show(event: &EventResource, json: bool) -> CommandResult<()> {
    if json {
        return output::print_json_line(event);
    }
    let data = output::harmless(&event.data.to_string());
    output::print(&format!("{:>6}  {}  {:<18}  {data}\n", event.sequence, event.at, event.kind))
}
