//! `atta demo`: three issues on their way to merged branches, on this machine. Workflows, server, git and tests are real;
//! the coding agent, the forge and the reviewer are stand-ins.

mod server;
mod stage;
mod story;

use std::path::PathBuf;
use std::time::Duration;

use atta_core::protocol::api::ConfigRequest;
use owo_colors::OwoColorize;
use serde_json::Value;

use crate::ambient;
use crate::args::DemoArgs;
use crate::client::{store_config, upload_text};
use crate::doctor;
use crate::exit::{CommandResult, Failure};
use crate::output;
use crate::shutdown::Signals;
use server::DemoServer;
use stage::Stage;

/// Everything is over by then, or something is wrong: with the stand-in, and with an agent that has to think.
const PATIENCE: Duration = Duration::from_mins(5);
const PATIENCE_WITH_AGENTS: Duration = Duration::from_hours(2);

/// The definitions that are uploaded: the names of their files and their texts.
const DEFINITIONS: [(&str, &str); 2] = [
    ("local-implement.yaml", include_str!("../../../workflows/local-implement.yaml")),
    ("local-issue-picker.yaml", include_str!("../../../workflows/local-issue-picker.yaml")),
];

/// Plays the whole cycle.
pub(crate) async fn demo(args: DemoArgs) -> CommandResult {
    let mut signals = Signals::catch()?;
    find_programs()?;
    // Removed at the end, unless somebody wants to look at it.
    let (root, temporary) = directory(args.dir)?;
    let stage = Stage::build(root)?;
    let mut server = DemoServer::start(stage.root())?;
    let patience = if args.agent.is_some() { PATIENCE_WITH_AGENTS } else { PATIENCE };
    let played = tokio::select! {
        played = tokio::time::timeout(patience, play(&stage, &server, args.agent.as_deref())) => {
            played.unwrap_or_else(|_| Err(Failure::failed("The demo takes longer than it should.")))
        }
        signal = signals.next() => Err(Failure::failed(format!("Ended by {signal}."))),
    };
    if args.keep && played.is_ok() {
        output::say(&format!(
            "\nThe server goes on at {} until Ctrl-C. Look around: ATTA_SERVER={} atta jobs\n",
            server.url(),
            server.url()
        ));
        signals.next().await;
    }
    server.stop()?;
    if temporary.is_none() {
        output::say(&format!("Everything is in {}.\n", stage.root().display()));
    }
    played
}

/// The directory, and what removes it unless it is to stay.
fn directory(given: Option<PathBuf>) -> CommandResult<(PathBuf, Option<tempfile::TempDir>)> {
    let cannot = |shown: &str, error: &std::io::Error| Failure::failed(format!("{shown} cannot be made: {error}."));
    let Some(dir) = given else {
        let made = tempfile::Builder::new().prefix("atta-demo-").tempdir();
        let made = made.map_err(|error| cannot("A temporary directory", &error))?;
        return Ok((made.path().to_owned(), Some(made)));
    };
    let shown = dir.display().to_string();
    std::fs::create_dir(&dir).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            Failure::usage(format!("{shown} is there already, and the demo begins with an empty directory."))
                .with_help("Name one that does not exist yet.")
        } else {
            cannot(&shown, &error)
        }
    })?;
    let dir = dir.canonicalize().map_err(|error| cannot(&shown, &error))?;
    Ok((dir, None))
}

/// Whether what the tasks need is installed here.
fn find_programs() -> CommandResult<()> {
    let missing = doctor::missing_programs(&ambient::search_path());
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!("The tasks of the demo need {}, which is not installed.", missing.join(" and ")))
        .with_help(format!("On Debian: apt install {}", missing.join(" "))))
}

async fn play(stage: &Stage, demo: &DemoServer, agent: Option<&str>) -> CommandResult {
    let server = demo.client()?;
    introduce(stage, demo.url(), agent);
    let made_up = agent.is_none();
    let (agent, command) = match agent {
        Some(agent) => (agent.to_owned(), String::new()),
        None => ("custom".to_owned(), stage.stand_in().display().to_string()),
    };
    let forge = stage.forge().display().to_string();
    for (name, value) in [("Forge", forge), ("Agent", agent), ("AgentCommand", command), ("Poll", "1s".to_owned())] {
        let config = ConfigRequest { value: Value::String(value), secret: Some(false), allow_short: false };
        store_config(&server, None, name, &config).await?;
    }
    for (name, source) in DEFINITIONS {
        upload_text(&server, name, source).await?;
    }
    story::tell(&server, stage, made_up).await
}

/// Says what is real and what is not.
fn introduce(stage: &Stage, url: &str, agent: Option<&str>) {
    let agent = agent.map_or_else(
        || "a stand-in: a script, no model; what it says of tokens and dollars is made up".to_owned(),
        |name| format!("{name}, the real one: it works without asking, and costs what it costs"),
    );
    output::say(&format!(
        "{}\n  server   real: {url}\n  git      real: {}\n  forge    a stand-in: a directory of Markdown files, {}\n  \
         agent    {agent}\n  reviewer a stand-in: this command comments and merges\n\n",
        "From issues to merged branches, on this machine.".bold(),
        stage.origin().display(),
        stage.forge().display(),
    ));
}
