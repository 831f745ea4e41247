//! `atta ant`: an ant on a machine of its own, which works for a queen on another one.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::AntId;
use atta_core::time::Entropy as _;
use atta_worker::remote::{Greeting, RemoteConfig, RemoteLink};
use atta_worker::{Ant, AntConfig, Launcher};
use reqwest::Url;

use crate::ambient::{self, SystemClock, SystemEntropy};
use crate::args::AntArgs;
use crate::client::{authorities_pem, given_token};
use crate::exit::{CommandResult, Exit, Failure};
use crate::serve::{self, LAUNCHER_LOST};
use crate::shutdown::Signals;

/// Where the ant's id is kept in its data directory.
const ID_FILE: &str = "ant-id";
/// To kill what runs, at the end.
const CLOSING: Duration = Duration::from_secs(30);

/// Works until a signal arrives.
pub(crate) async fn ant(args: AntArgs, launcher: Launcher) -> CommandResult {
    serve::start_log(&args.log)?;
    let mut signals = Signals::catch()?;
    let data_dir = match args.data_dir {
        Some(dir) => serve::data_dir(Some(dir))?,
        None => serve::data_dir(ambient::default_data_dir().map(|dir| dir.with_file_name("atta-ant")))?,
    };
    let id = AntId(match args.id {
        Some(id) => id,
        None => kept_id(&data_dir)?,
    });
    if !atta_core::definition::is_person_name(&id.0) {
        return Err(Failure::usage(format!("\"{id}\" cannot be the id of an ant."))
            .with_help("It takes letters, digits, `.`, `_`, `@`, `+` and `-`, at most 100, a letter or digit first."));
    }
    let slots = args.slots.unwrap_or_else(ambient::default_slots);
    let link = link(&args.queen, &id, &args.token, args.proxy)?;
    let greeting = tokio::select! {
        greeting = link.hello() => greeting,
        _ = signals.next() => return Ok(Exit::Success),
    };
    match greeting {
        Greeting::Welcome(hello) => tracing::info!(queen = link.queen(), version = hello.version, "the queen answers"),
        // The line has said so, and says when she answers. What runs here already is taken up all the same.
        Greeting::Away(_) => {}
        Greeting::Refused { code, detail } => {
            let failure = Failure::new(Exit::Refused, &code, format!("The queen does not let this ant in: {detail}."));
            return Err(match code.as_str() {
                "FINGERPRINT" => failure.with_help(
                    "Is it the right server? It prints its fingerprint when it starts: give that by --queen-fingerprint.",
                ),
                "PROTOCOL" => failure,
                _ => failure.with_help("`atta token create NAME --role ant` on the server makes a token for --token-file."),
            });
        }
    }
    let mut config =
        AntConfig::new(id.clone(), data_dir.clone(), slots, Arc::new(SystemClock), Arc::new(SystemEntropy));
    config.tags = args.tags;
    config.environment = ambient::environment_of_tasks();
    args.keep.tell(&mut config);
    args.spool.tell(&mut config);
    config.http = args.http.policy();
    let queen = link.queen().to_owned();
    let ant = Ant::start(config, launcher, Arc::new(link))
        .await
        .map_err(|error| Failure::failed(format!("The ant cannot start: {error}.")))?;
    announce(&format!("The ant {id} is ready for {queen} (data in {}, {slots} slots)\n", data_dir.display()));
    tracing::info!(%id, slots, isolation = ant.isolation().as_str(), data_dir = %data_dir.display(), "ready");
    let signal = tokio::select! {
        signal = signals.next() => signal,
        why = ant.lost() => {
            ant.hand_over_now().await;
            return Err(part_lost(&why));
        }
        () = ant.launcher_lost() => {
            ant.hand_over().await;
            return Err(Failure::new(Exit::Failed, "LAUNCHER_LOST", LAUNCHER_LOST)
                .with_help("Start the ant again: it takes up what runs."));
        }
    };
    if args.hand_over {
        serve::hand_over(&ant, signal).await;
        return Ok(Exit::Success);
    }
    tracing::info!(signal, running = ant.running().len(), "finishing what runs; another signal kills it");
    tokio::select! {
        () = ant.drain() => {}
        // It would wait for ever.
        why = ant.lost() => {
            ant.hand_over_now().await;
            return Err(part_lost(&why));
        }
        second = signals.next() => {
            tracing::warn!(signal = second, "killing what runs");
            if tokio::time::timeout(CLOSING, ant.abort()).await.is_err() {
                return Err(Failure::failed("What runs could not be killed in time."));
            }
        }
    }
    tracing::info!("stopped");
    Ok(Exit::Success)
}

fn part_lost(why: &str) -> Failure {
    Failure::new(Exit::Failed, "PART_LOST", format!("A part of the ant is lost: {why}."))
        .with_help("What runs goes on: start the ant again, it takes it up.")
}

fn link(
    queen: &str,
    id: &AntId,
    token: &crate::args::TokenFileArgs,
    proxy: Option<String>,
) -> CommandResult<RemoteLink> {
    let url = |text: &str, what: &str| {
        Url::parse(text.trim_end_matches('/'))
            .map_err(|error| Failure::usage(format!("\"{text}\" cannot be {what}: {error}.")))
    };
    let config = RemoteConfig {
        queen: url(queen, "the queen's URL")?,
        ant: id.clone(),
        token: given_token(token)?,
        fingerprint: token.queen_fingerprint,
        authorities: token.ca_file.as_deref().map(authorities_pem).transpose()?,
        proxy: proxy.map(|proxy| url(&proxy, "the proxy's URL")).transpose()?,
        user_agent: concat!("atta-ant/", env!("CARGO_PKG_VERSION")).to_owned(),
        entropy: Arc::new(SystemEntropy),
    };
    RemoteLink::new(config).map_err(|error| Failure::usage(format!("{error}.")))
}

/// The id that this data directory was given at its first start: the machine's name, and something that no other
/// directory has.
fn kept_id(data_dir: &Path) -> CommandResult<String> {
    let file = data_dir.join(ID_FILE);
    let failed = |error: std::io::Error| Failure::failed(format!("{} cannot be used: {error}.", file.display()));
    match std::fs::read_to_string(&file) {
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let host: String =
        ambient::host_name().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).take(60).collect();
    let host = host.trim_start_matches(['-', '.']);
    let host = if host.is_empty() { "ant" } else { host };
    let id = format!("{host}-{:08x}", SystemEntropy.next_u64() >> 32);
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{id}\n")).and_then(|()| std::fs::rename(&new, &file)).map_err(failed)?;
    Ok(id)
}

/// The one line on stdout that says that it works.
fn announce(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // When nobody reads stdout it works all the same.
    let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
}
