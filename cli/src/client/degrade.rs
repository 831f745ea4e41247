//! `atta degrade`.

use std::fmt::Write as _;

use atta_core::protocol::api::{DegradationRequest, DegradationResource};
use reqwest::Method;

use super::Server;
use crate::args::DegradeArgs;
use crate::exit::{CommandResult, Exit};
use crate::output::{self, harmless};

/// Shows what the server leaves out, or sets it.
pub(crate) async fn degrade(args: DegradeArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let path = ["api", "v1", "degradation"];
    let request = match args.tier {
        _ if args.auto => server.request(Method::DELETE, &path, &[]),
        Some(tier) => server.request(Method::PUT, &path, &[]).json(&DegradationRequest { tier, reason: args.reason }),
        None => server.request(Method::GET, &path, &[]),
    };
    let shown: DegradationResource = server.json(request).await?;
    if args.json {
        output::print_json(&shown)?;
    } else {
        output::print(&human(&shown))?;
    }
    Ok(Exit::Success)
}

fn human(shown: &DegradationResource) -> String {
    let mut text = sentence(shown).unwrap_or_else(|| "NORMAL: nothing is left out.".to_owned());
    text.push('\n');
    let mut measured = Vec::new();
    measured.extend(shown.commit_ms.map(|took| format!("storing takes {took} ms")));
    measured.extend(shown.writer_queue_percent.map(|percent| format!("{percent} % of the writer's queue is taken")));
    measured.extend(shown.disk_free_bytes.map(|free| format!("{} of disk free", output::size(free))));
    measured.extend(shown.memory_available_bytes.map(|free| format!("{} of memory available", output::size(free))));
    if !measured.is_empty() {
        let _ = writeln!(text, "Measured: {}.", measured.join(", "));
    }
    text
}

/// What is left out, if something is.
pub(crate) fn sentence(shown: &DegradationResource) -> Option<String> {
    use atta_core::resilience::Tier;
    let what = match shown.tier {
        Tier::Normal => return None,
        Tier::Shed => "new jobs of low priority and of schedules wait",
        Tier::Finish => "all new jobs wait",
        Tier::ReadOnly => "no job is taken, and nothing is begun",
    };
    let reason = harmless(shown.reason.as_deref().unwrap_or("no reason is known"));
    Some(format!("{}: {what} ({reason}).", shown.tier))
}

/// For commands that show what waits: a line on stderr when the server leaves something out.
pub(crate) async fn hint(server: &Server) {
    // A server that does not know this leaves nothing out.
    if let Ok(shown) = server.json::<DegradationResource>(server.get(&["degradation"], &[])).await
        && let Some(sentence) = sentence(&shown)
    {
        output::say(&format!("The server is degraded. {sentence}\n"));
    }
}
