//! The server: who it is, how it is, and who we are to it.

use std::time::Duration;

use atta_core::protocol::ants::{AntMode, AntResource, AntState};
use atta_core::protocol::api::{DegradationResource, HealthReport, VersionInfo};
use atta_core::resilience::{ComponentState, Tier};
use atta_core::time::{Clock, parse_http_date};
use reqwest::header::DATE;
use reqwest::{Method, Response, StatusCode};

use super::{Check, certificate};
use crate::args::ServerArgs;
use crate::client::{Server, degradation_sentence, given_token};

/// No answer takes longer that helps anybody.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clocks that are further apart confuse those who compare times of server and ants.
const SKEW: Duration = Duration::from_secs(5);
/// So long before its end a certificate is to be renewed.
const RENEW: Duration = Duration::from_hours(14 * 24);

/// Everything that can be asked of the server; nothing when it does not answer.
pub(super) async fn checks(args: &ServerArgs, clock: &dyn Clock) -> Vec<Check> {
    let Ok(server) = Server::with_certificates(args) else { return Vec::new() };
    let live = server.request(Method::GET, &["health", "live"], &[]).timeout(PATIENCE);
    let Ok(live) = live.send().await else { return Vec::new() };
    let mut checks = Vec::new();
    checks.extend(skew(&live, clock));
    checks.extend(expiry(&live, clock));
    let (token, known) = token(&server, args).await;
    checks.push(token);
    if known {
        checks.extend(parts(&server).await);
        checks.extend(tier(&server).await);
        checks.extend(ants(&server).await);
    }
    checks
}

/// How far this clock is from the server's; HTTP dates are of whole seconds.
fn skew(response: &Response, clock: &dyn Clock) -> Option<Check> {
    let name = "clock skew";
    let theirs = parse_http_date(response.headers().get(DATE)?.to_str().ok()?)?;
    let ours = clock.now();
    let apart = ours.since(theirs).max(theirs.since(ours));
    let detail = format!("{} s from the server's", apart.as_secs());
    Some(if apart <= SKEW {
        Check::ok(name, detail)
    } else {
        Check::warning(name, detail, "Let both machines take their time from the network (NTP).")
    })
}

fn expiry(response: &Response, clock: &dyn Clock) -> Option<Check> {
    let name = "certificate";
    let info = response.extensions().get::<reqwest::tls::TlsInfo>()?;
    let until = certificate::not_after(info.peer_certificate()?)?;
    let (now, shown) = (clock.now(), until.to_rfc3339());
    let renew = "Renew it and start the server again; one that was generated is made anew when tls.pem is removed, \
                 and has another fingerprint then.";
    Some(if until <= now {
        Check::failed(name, format!("has expired at {shown}"), renew)
    } else if until.since(now) < RENEW {
        Check::warning(name, format!("expires at {shown}"), renew)
    } else {
        Check::ok(name, format!("good until {shown}"))
    })
}

/// Whether the server lets us in, and as whom; `true` when it tells us the rest.
async fn token(server: &Server, args: &ServerArgs) -> (Check, bool) {
    let name = "token";
    let role = given_token(&args.token).ok().flatten().and_then(|token| {
        token.reveal().strip_prefix("atta_").and_then(|rest| rest.split('_').next()).map(str::to_owned)
    });
    let answer = server.get(&["version"], &[]).timeout(PATIENCE).send().await;
    let make = "`atta token create NAME --role ROLE` makes one; give it by --token-file or ATTA_TOKEN_FILE.";
    let check = match answer {
        Ok(response) if response.status().is_success() => {
            let version = response.json::<VersionInfo>().await.map(|info| info.version).unwrap_or_default();
            let detail = match role {
                Some(role) => format!("good, with the role {role}; the server has version {version}"),
                None => format!("none, and none is needed; the server has version {version}"),
            };
            return (Check::ok(name, detail), true);
        }
        Ok(response) if response.status() == StatusCode::FORBIDDEN && role.as_deref() == Some("ant") => {
            Check::ok(name, "good, with the role ant: an ant may ask nothing else")
        }
        Ok(response) => {
            let status = response.status();
            let problem = response.json::<atta_core::protocol::api::Problem>().await.ok();
            let detail =
                problem.map_or_else(|| status.to_string(), |problem| format!("{}: {}", problem.code, problem.detail));
            Check::failed(name, detail, make)
        }
        Err(_) => Check::warning(name, "not known: the server did not answer", "Try again."),
    };
    (check, false)
}

/// Whether a part of the server does not do well.
async fn parts(server: &Server) -> Option<Check> {
    let name = "parts";
    let request = server.request(Method::GET, &["health", "deep"], &[]).timeout(PATIENCE);
    let report: HealthReport = request.send().await.ok()?.json().await.ok()?;
    let mut wrong: Vec<String> = report
        .components
        .iter()
        .filter(|part| !matches!(part.state, ComponentState::Running | ComponentState::Stopped))
        .map(|part| format!("{} is {} ({})", part.name, part.state.as_str(), part.last_error.as_deref().unwrap_or("-")))
        .collect();
    wrong.extend(report.checks.iter().filter(|(_, said)| *said != "ok").map(|(what, said)| format!("{what}: {said}")));
    let restarts: u32 = report.components.iter().map(|part| part.restarts).sum();
    Some(if !wrong.is_empty() {
        Check::failed(
            name,
            wrong.join("; "),
            "docs/operations.md says what each of them means; the server's log says more.",
        )
    } else if restarts > 0 {
        let detail = format!("{} work, {restarts} restart(s) since the server started", report.components.len());
        Check::warning(name, detail, "Look into the server's log for \"is begun anew\".")
    } else {
        Check::ok(name, format!("{} work", report.components.len()))
    })
}

async fn tier(server: &Server) -> Option<Check> {
    let name = "degradation";
    let request = server.get(&["degradation"], &[]).timeout(PATIENCE);
    let shown: DegradationResource = request.send().await.ok()?.json().await.ok()?;
    Some(match (shown.tier, degradation_sentence(&shown)) {
        (Tier::Normal, _) | (_, None) => Check::ok(name, "nothing is left out"),
        (_, Some(sentence)) if shown.by_hand => {
            Check::warning(name, sentence, "`atta degrade --auto` leaves it to what the server measures again.")
        }
        (_, Some(sentence)) => Check::warning(name, sentence, "It ends by itself when the cause is gone."),
    })
}

async fn ants(server: &Server) -> Option<Check> {
    let name = "ants";
    let ants: Vec<AntResource> = server.all(&["ants"]).await.ok()?;
    let live: Vec<_> = ants.iter().filter(|ant| ant.state == AntState::Live).collect();
    let open: Vec<_> = live.iter().filter(|ant| ant.mode == AntMode::Open && ant.slots > 0).collect();
    let slots: u32 = open.iter().map(|ant| ant.slots).sum();
    let lost: Vec<_> = ants.iter().filter(|ant| ant.state == AntState::Lost).map(|ant| ant.ant_id.0.as_str()).collect();
    Some(if open.is_empty() {
        let detail = format!("{} connected, none of them takes work", live.len());
        Check::warning(name, detail, "Start one with `atta ant`, or give one work again with `atta ants uncordon`.")
    } else if lost.is_empty() {
        Check::ok(name, format!("{} take work, {slots} slots", open.len()))
    } else {
        let detail = format!("{} take work, {slots} slots; lost: {}", open.len(), lost.join(", "));
        Check::warning(name, detail, "Look whether their machines run and reach the server.")
    })
}
