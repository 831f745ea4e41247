//! What the server needs: configs, the token, definitions, ants.

use std::collections::HashMap;

use atta_core::protocol::ants::{AntMode, AntResource, AntState};
use atta_core::protocol::api::{ConfigRequest, ConfigResource, DefinitionResource, VersionInfo};
use atta_core::secret::SecretText;
use reqwest::Url;
use serde_json::Value;

use super::report::Report;
use super::repository::Found;
use crate::ambient;
use crate::args::SetupGithubArgs;
use crate::client::{Server, store_config, upload_text};
use crate::doctor;

/// The workflows for GitHub that this program brings along, by the names of their files.
const WORKFLOWS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/github_workflows.rs"));

/// The one that is stored only when it is asked for.
const REVIEW: &str = "gh-review.yaml";

/// What tasks find the token under.
const TOKEN: &str = "GithubToken";

/// What the server has been told before.
pub(super) type Known = HashMap<String, ConfigResource>;

/// Looks whether there is a server, of which version, and what it knows.
pub(super) async fn look(server: &Server, report: &mut Report) -> Option<Known> {
    match server.json::<VersionInfo>(server.get(&["version"], &[])).await {
        Ok(VersionInfo { version, .. }) => {
            let ours = env!("CARGO_PKG_VERSION");
            if version.starts_with(ours) {
                report.ok("server", format!("{}, version {version}", server.url()));
            } else {
                report.unknown(
                    "server",
                    format!("{} is of version {version}, this program of {ours}", server.url()),
                    "Use the same version on both sides.",
                );
            }
        }
        Err(failure) => {
            let advice = failure.help.map_or_else(|| "Start one with `atta serve`.".to_owned(), String::from);
            report.todo("server", failure.message, advice);
            return None;
        }
    }
    match server.all::<ConfigResource>(&["configs"]).await {
        Ok(configs) => Some(configs.into_iter().map(|config| (config.name.clone(), config)).collect()),
        Err(failure) => {
            let advice = "Use a token of an admin: `atta token create NAME --role admin`.";
            report.todo("server", failure.message, advice);
            None
        }
    }
}

/// Ants, and the programs that they need, as far as it can be seen from here.
pub(super) async fn prerequisites(server: &Server, report: &mut Report) {
    match server.all::<AntResource>(&["ants"]).await {
        Err(failure) => report.todo("ants", failure.message, "Use a token of a viewer or more."),
        Ok(ants) => {
            let ready: Vec<&AntResource> = ants
                .iter()
                .filter(|ant| ant.state == AntState::Live && ant.mode == AntMode::Open && ant.slots > 0)
                .collect();
            if ready.is_empty() {
                report.todo(
                    "ants",
                    "none is there that takes work",
                    "Start one with `atta ant`, or the server with --slots.",
                );
            } else {
                let slots: u32 = ready.iter().map(|ant| ant.slots).sum();
                let names: Vec<&str> = ready.iter().map(|ant| ant.ant_id.0.as_str()).collect();
                report.ok("ants", format!("{} with {slots} places", names.join(", ")));
            }
        }
    }
    if is_here(server.url()) {
        programs(report);
    } else {
        report.unknown(
            "programs",
            "what is installed on the ants cannot be seen from here",
            format!("Run `atta doctor` on each ant: {}, and an agent that is logged in.", doctor::PROGRAMS.join(", ")),
        );
    }
}

/// Whether the server is on this machine, and its ant with it.
fn is_here(url: &str) -> bool {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    matches!(host.as_deref(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

fn programs(report: &mut Report) {
    let path = ambient::search_path();
    let missing = doctor::missing_programs(&path);
    if missing.is_empty() {
        report.ok("programs", doctor::PROGRAMS.join(", "));
    } else {
        report.todo("programs", format!("{} not found", missing.join(", ")), "Install them where the ant runs.");
    }
    let agents: Vec<&str> = doctor::AGENTS.into_iter().filter(|name| doctor::find(name, &path).is_some()).collect();
    if agents.is_empty() {
        report.todo(
            "agents",
            format!("none of {} found", doctor::AGENTS.join(", ")),
            "Install one where the ant runs, and log in: docs/agents.md.",
        );
        return;
    }
    report.ok("agents", agents.join(", "));
    let known: Vec<&str> = agents.iter().copied().filter(|agent| is_logged_in(agent)).collect();
    if known.is_empty() {
        report.unknown(
            "login",
            format!("there is no sign that {} can speak to a model", agents.join(" or ")),
            "Start it once by hand; if it asks for a login, log in, or set its key for the server.",
        );
    } else {
        report.ok("login", format!("{} has a key or a login", known.join(", ")));
    }
}

/// What shows that an agent has a login: variables that the workflows pass on to it, and files below the home directory.
fn signs(agent: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match agent {
        "claude" => {
            (&["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"], &[".claude/.credentials.json"])
        }
        "codex" => (&["OPENAI_API_KEY", "CODEX_API_KEY"], &[".codex/auth.json"]),
        "gemini" => (&["GEMINI_API_KEY", "GOOGLE_API_KEY"], &[".gemini/oauth_creds.json"]),
        "opencode" => (&[], &[".local/share/opencode/auth.json"]),
        // No agent gets GH_TOKEN: it may do more than speak to a model.
        "copilot" => (&["COPILOT_GITHUB_TOKEN"], &[".copilot/config.json"]),
        "cursor-agent" => (&["CURSOR_API_KEY"], &[]),
        "aider" => (&["OPENAI_API_KEY", "ANTHROPIC_API_KEY"], &[]),
        _ => (&[], &[]),
    }
}

/// A key in the environment, or a file that a login leaves.
fn is_logged_in(agent: &str) -> bool {
    let (variables, files) = signs(agent);
    let set = |name: &&str| ambient::variable(name).is_some_and(|value| !value.is_empty());
    let home = ambient::variable("HOME").map(std::path::PathBuf::from);
    variables.iter().any(set) || home.is_some_and(|home| files.iter().any(|file| home.join(file).is_file()))
}

/// Stores configs, the token and the definitions.
pub(super) async fn prepare(
    server: &Server,
    args: &SetupGithubArgs,
    (found, token): (&Found, &SecretText),
    known: &Known,
    report: &mut Report,
) {
    let mut fine = true;
    let api = args.api_url.trim_end_matches('/');
    let before = |name: &str| known.get(name).and_then(|config| config.value.as_ref()).and_then(Value::as_str);
    let other_api = before("GithubApi").is_some_and(|was| was != api);
    let other = other_api || before("GithubRepo").is_some_and(|was| !was.eq_ignore_ascii_case(&args.repo));
    let wanted = [
        ("GithubRepo", Some(args.repo.as_str())),
        ("GithubApi", Some(api)),
        ("CloneUrl", found.clone_url.as_deref()),
        // The workflows take main by themselves.
        ("Base", Some(found.branch.as_str()).filter(|branch| before("Base").is_some() || *branch != "main")),
    ];
    for (name, value) in wanted.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let was = before(name);
        if was == Some(value) {
            report.ok("config", format!("{name} is {value}"));
            continue;
        }
        // Somebody may want another branch than the repository's own, or another way to it; not those of another repository.
        if let Some(was) = was.filter(|_| !other && matches!(name, "Base" | "CloneUrl")) {
            let advice = format!("If that is not meant: `atta config set {name} {value}`.");
            report.unknown("config", format!("{name} is {was}, and GitHub says {value}"), advice);
            continue;
        }
        let was = was.map(|was| format!(" (it was {was})")).unwrap_or_default();
        let request = ConfigRequest { value: Value::from(value), secret: Some(false), allow_short: false };
        fine &= put(server, args, name, &request, format!("{name} is {value} now{was}"), report).await;
    }
    match known.get(TOKEN) {
        // One of another GitHub is of no use here.
        Some(before) if !args.replace_token && !other_api => report.unknown(
            "secret",
            format!(
                "{TOKEN} is set since {}: the server does not show it, so nobody has checked it",
                before.updated_at
            ),
            "If it is not the one that was checked here, set it anew with --replace-token.",
        ),
        _ => {
            let value = Value::from(token.reveal());
            let request = ConfigRequest { value, secret: Some(true), allow_short: false };
            fine &= put(server, args, TOKEN, &request, format!("{TOKEN} is set"), report).await;
        }
    }
    if fine {
        definitions(server, args, report).await;
    } else {
        report.todo("definitions", "left as they are", "They need the configs: mend that, then run this again.");
    }
}

async fn put(
    server: &Server,
    args: &SetupGithubArgs,
    name: &str,
    request: &ConfigRequest,
    said: String,
    report: &mut Report,
) -> bool {
    let what = if request.secret == Some(true) { "secret" } else { "config" };
    if args.dry_run {
        report.changed(what, format!("{name} would be set"));
        return true;
    }
    match store_config(server, None, name, request).await {
        Ok(_) => {
            report.changed(what, said);
            true
        }
        Err(failure) => {
            let advice = failure.help.map_or_else(|| "Use a token of an admin.".to_owned(), String::from);
            report.todo(what, format!("{name} cannot be set: {}", failure.message), advice);
            false
        }
    }
}

async fn definitions(server: &Server, args: &SetupGithubArgs, report: &mut Report) {
    if WORKFLOWS.is_empty() {
        report.todo("definitions", "this program brings no workflows along", "Upload them: `atta definitions upload`.");
    }
    let stored: Vec<DefinitionResource> = server.all(&["definitions"]).await.unwrap_or_default();
    let mut as_they_are = Vec::new();
    for (file, source) in WORKFLOWS.iter().filter(|(file, _)| args.review || *file != REVIEW) {
        let name = file.trim_end_matches(".yaml");
        let before = stored.iter().find(|definition| definition.job_type == name);
        if args.dry_run {
            match before {
                Some(before) if before.version == version(source) => as_they_are.push(name),
                Some(_) => report.changed("definition", format!("{name} would be brought up to date")),
                None => report.changed("definition", format!("{name} would be stored")),
            }
            continue;
        }
        match upload_text(server, file, *source).await {
            Ok(now) if before.is_some_and(|before| before.version == now.version) => as_they_are.push(name),
            Ok(now) => report.changed("definition", format!("{name}, version {}", now.semver.unwrap_or(now.version))),
            Err(failure) => {
                let why: Vec<String> =
                    failure.violations.iter().take(3).map(|one| format!("{}: {}", one.field, one.message)).collect();
                let detail = format!("{name} is refused: {} {}", failure.message, why.join("; "));
                report.todo(
                    "definition",
                    detail.trim_end().to_owned(),
                    "Server and program should have the same version.",
                );
            }
        }
    }
    if !as_they_are.is_empty() {
        report.ok("definitions", as_they_are.join(", "));
    }
}

/// The name of a version: the digest of what was uploaded, as the server makes it.
fn version(source: &str) -> String {
    blake3::hash(source.as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workflows_that_are_brought_along_are_those_of_github() {
        for (file, source) in WORKFLOWS {
            let name = file.trim_end_matches(".yaml");
            assert!(file.starts_with("gh-") && source.contains(&format!("job_type: {name}\n")), "{file}");
        }
    }

    #[test]
    fn what_counts_as_a_login_is_passed_on_to_agents() {
        let with_agents =
            WORKFLOWS.iter().filter_map(|(file, source)| Some((file, source.split_once("inherit_env:")?.1)));
        for (file, source) in with_agents {
            let list = source.split_once(']').expect("the list ends").0;
            let inherited: Vec<&str> = list.split([',', '[']).map(str::trim).collect();
            for agent in doctor::AGENTS {
                for name in signs(agent).0 {
                    assert!(inherited.contains(name), "{file}: {name} of {agent}");
                }
            }
        }
    }

    #[test]
    fn a_server_on_this_machine_is_known_by_its_address() {
        assert!(is_here("http://127.0.0.1:7777") && is_here("https://localhost:1") && is_here("http://[::1]:7777"));
        assert!(!is_here("https://atta.example") && !is_here("nonsense"));
    }
}
