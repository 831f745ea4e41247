//! `atta ants`.

use atta_core::protocol::ants::AntResource;

use super::Server;
use crate::args::{AntsAction, AntsArgs, AntsListArgs, AntsModeArgs};
use crate::exit::{CommandResult, Exit};
use crate::output::{self, harmless};

/// `atta ants [list|cordon|uncordon|drain]`.
pub(crate) async fn ants(args: AntsArgs) -> CommandResult {
    match args.action {
        None => list(args.list).await,
        Some(AntsAction::List(args)) => list(args).await,
        Some(AntsAction::Cordon(args)) => set(args, "cordon").await,
        Some(AntsAction::Uncordon(args)) => set(args, "uncordon").await,
        Some(AntsAction::Drain(args)) => set(args, "drain").await,
    }
}

async fn list(args: AntsListArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let ants: Vec<AntResource> = server.all(&["ants"]).await?;
    if args.json {
        output::print_json(&ants)?;
    } else {
        output::print(&table(&ants))?;
        super::degrade::hint(&server).await;
    }
    Ok(Exit::Success)
}

async fn set(args: AntsModeArgs, what: &str) -> CommandResult {
    let server = Server::new(&args.server)?;
    let mut ants: Vec<AntResource> = Vec::with_capacity(args.ants.len());
    for ant in &args.ants {
        ants.push(server.json(server.post(&["ants", ant, what])).await?);
    }
    output::print(&table(&ants))?;
    Ok(Exit::Success)
}

fn table(ants: &[AntResource]) -> String {
    let row = |ant: &AntResource| {
        vec![
            harmless(&ant.ant_id.0),
            ant.state.as_str().to_owned(),
            ant.mode.as_str().to_owned(),
            format!("{}/{}", ant.used, ant.slots),
            ant.last_heard_at.clone().unwrap_or_default(),
            harmless(&ant.tags.join(",")),
        ]
    };
    let rows: Vec<Vec<String>> = ants.iter().map(row).collect();
    output::table(&["ANT", "STATE", "MODE", "USED", "LAST HEARD", "TAGS"], &rows)
}
