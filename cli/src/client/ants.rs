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
    // What waits is nobody's business until something does.
    let waiting = |ant: &AntResource| {
        let spool = ant.spool.as_ref().filter(|spool| spool.bytes > 0)?;
        Some(format!("{} since {}", output::size(spool.bytes), spool.since.as_deref()?))
    };
    let any = ants.iter().any(|ant| waiting(ant).is_some());
    let row = |ant: &AntResource| {
        let mut row = vec![
            harmless(&ant.ant_id.0),
            ant.state.as_str().to_owned(),
            ant.mode.as_str().to_owned(),
            format!("{}/{}", ant.used, ant.slots),
            ant.last_heard_at.clone().unwrap_or_default(),
            harmless(&ant.tags.join(",")),
        ];
        if any {
            row.push(waiting(ant).unwrap_or_default());
        }
        row
    };
    let rows: Vec<Vec<String>> = ants.iter().map(row).collect();
    let header = ["ANT", "STATE", "MODE", "USED", "LAST HEARD", "TAGS", "OUTPUT WAITS"];
    output::table(&header[..header.len() - usize::from(!any)], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_on_an_ant_is_shown_when_something_does() {
        let ant = |bytes: u64, since: Option<&str>| -> AntResource {
            serde_json::from_value(serde_json::json!({
                "ant_id": "builder", "state": "LIVE", "mode": "OPEN", "since": "2026-01-01T00:00:00.000Z", "slots": 2,
                "used": 1, "tags": [], "attempts": [],
                "spool": {"bytes": bytes, "since": since, "limit_bytes": 1 << 30, "limit_seconds": 604_800},
            }))
            .unwrap()
        };
        assert!(!table(&[ant(0, None)]).contains("OUTPUT WAITS"));
        let shown = table(&[ant(0, None), ant(5 << 20, Some("2026-01-02T03:04:05.000Z"))]);
        assert!(shown.contains("OUTPUT WAITS") && shown.contains("5.0 MiB since 2026-01-02T03:04:05.000Z"), "{shown}");
    }
}
