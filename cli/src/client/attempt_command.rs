//! `atta jobs command`: what an ant was told to do in an attempt.

use std::fmt::Write as _;
use std::time::Duration;

use atta_core::protocol::command::{
    AgentCommand, CommandAction, CommandField, CommandProgram, CommandResource, CommandScript, CommandText,
    GithubCommand, HttpCommand, ShellCommand,
};
use owo_colors::OwoColorize;

use super::Server;
use crate::args::JobsCommandArgs;
use crate::exit::{CommandResult, Exit};
use crate::output;

/// Asks for it and prints it.
pub(super) async fn command(args: JobsCommandArgs) -> CommandResult {
    let server = Server::new(&args.server)?;
    let job = server.job_id(&args.job).await?;
    let number = args.number.to_string();
    let path = ["jobs", job.0.as_str(), "attempts", &number, "command"];
    let command: CommandResource = server.json(server.get(&path, &[])).await?;
    if args.json {
        output::print_json(&command)?;
    } else {
        output::print(&told(&command))?;
    }
    Ok(Exit::Success)
}

fn told(command: &CommandResource) -> String {
    let mut text = String::new();
    field(&mut text, "task", &command.task_type);
    field(&mut text, "given", &command.given_at);
    match &command.action {
        CommandAction::Shell(shell) => field(&mut text, "program", &program(shell)),
        CommandAction::Http(request) => field(&mut text, "request", &format!("{} {}", request.verb, request.url)),
        CommandAction::Agent(agent) => field(&mut text, "agent", &choice(agent)),
        CommandAction::Github(order) => {
            field(&mut text, "GitHub", &format!("{} at {}", order.operation, order.api_url));
        }
    }
    field(&mut text, "directory", &command.directory);
    let time = |millis| output::duration(Duration::from_millis(millis));
    field(&mut text, "timeout", &time(command.timeout_ms));
    if let Some(idle) = command.idle_timeout_ms {
        field(&mut text, "idle timeout", &time(idle));
    }
    field(&mut text, "kill grace", &time(command.kill_grace_ms));
    if let Some(workspace) = &command.workspace {
        let of = workspace.repository.as_deref().unwrap_or("empty");
        let branch = workspace.branch.as_deref().map(|branch| format!(", branch {branch}")).unwrap_or_default();
        field(&mut text, "workspace", &format!("{of}{branch}"));
    }
    if let Some(cache) = &command.cache {
        field(&mut text, "cache", &format!("{} ({})", cache.key, cache.paths.join(", ")));
    }
    if let Some(artifacts) = &command.artifacts {
        field(&mut text, "artifacts", &artifacts.paths.join(", "));
    }
    if !command.outputs.is_empty() {
        field(&mut text, "outputs", &command.outputs.join(", "));
    }
    if command.inherits.all {
        field(&mut text, "inherits", "all of the ant's environment");
    } else if !command.inherits.names.is_empty() {
        field(&mut text, "inherits", &command.inherits.names.join(", "));
    }
    for input in &command.inputs {
        let more = if input.more > 0 { format!(" and {} more", input.more) } else { String::new() };
        let files: Vec<&str> = input.files.iter().map(|file| file.path.as_str()).collect();
        field(&mut text, "input", &format!("{} of {}{more}", files.join(", "), input.task));
    }
    title(&mut text, "environment");
    for variable in &command.environment {
        let value = on_one_line(&variable.value);
        let secret = if variable.secret { "  (secret)".dimmed().to_string() } else { String::new() };
        let _ = writeln!(text, "  {}={value}{secret}", variable.name);
    }
    match &command.action {
        CommandAction::Shell(shell) => of_shell(&mut text, shell),
        CommandAction::Http(request) => of_http(&mut text, request),
        CommandAction::Agent(agent) => of_agent(&mut text, agent),
        CommandAction::Github(order) => of_github(&mut text, order),
    }
    if command.cut {
        text.push_str("\nLong texts are cut in their middle: the ant was told all of them.\n");
    }
    text
}

fn on_one_line(text: &str) -> String {
    output::harmless(text).replace('\n', "⏎")
}

fn field(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{:<13} {}", format!("{name}:").dimmed(), on_one_line(value));
}

fn title(text: &mut String, title: &str) {
    let _ = writeln!(text, "\n{}", title.bold());
}

/// A text of several lines, as it is but for what would move the cursor.
fn body(text: &mut String, name: &str, body: &str) {
    title(text, name);
    text.push_str(&output::harmless(body));
    if !body.ends_with('\n') {
        text.push('\n');
    }
}

fn program(shell: &ShellCommand) -> String {
    let words = match shell.program {
        CommandProgram::DefaultShell => "bash -euo pipefail (sh -eu where there is no bash)".to_owned(),
        CommandProgram::Shell | CommandProgram::Interpreter => shell.words.join(" "),
    };
    if shell.tty { words + ", on a terminal" } else { words }
}

fn choice(agent: &AgentCommand) -> String {
    let model = agent.choice.model.as_deref().unwrap_or("its default model");
    let command =
        if agent.choice.command.is_empty() { String::new() } else { format!(" as {}", agent.choice.command.join(" ")) };
    let resume = agent.resume.as_ref().map(|session| format!(", goes on with session {}", session.id));
    let permission = output::name_of(&agent.permission);
    format!("{} with {model}{command}, may {permission}{}", agent.choice.cli, resume.unwrap_or_default())
}

fn of_shell(text: &mut String, shell: &ShellCommand) {
    let mut one = |name: &str, script: &CommandScript| {
        if !script.preamble.is_empty() {
            body(text, &format!("values bound in the {name}"), &script.preamble);
        }
        body(text, name, &script.text);
    };
    one("script", &shell.script);
    if let Some(after) = &shell.after_script {
        one("script afterwards", after);
    }
}

/// `  authorization: Bearer $TOKEN`
fn line(field: &CommandField) -> String {
    let piece = |piece: &CommandText| match (&piece.text, &piece.variable) {
        (Some(text), _) => text.clone(),
        (None, Some(name)) => format!("${name}"),
        (None, None) => String::new(),
    };
    format!("  {}: {}", field.name, field.value.iter().map(piece).collect::<String>())
}

fn lines(fields: &[CommandField]) -> String {
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn of_http(text: &mut String, request: &HttpCommand) {
    for (name, fields) in [("query", &request.query), ("headers", &request.headers)] {
        if !fields.is_empty() {
            body(text, name, &lines(fields));
        }
    }
    if let Some(sent) = &request.text {
        body(text, "body", sent);
    }
    if let Some(json) = &request.json {
        body(text, "body, as JSON", &format!("{json:#}"));
    }
    if let Some(form) = &request.form {
        body(text, "body, URL-encoded", &lines(form));
    }
}

fn of_agent(text: &mut String, agent: &AgentCommand) {
    if let Some(system) = &agent.system {
        body(text, "system", system);
    }
    match (&agent.prompt, &agent.prompt_file) {
        (Some(prompt), _) => body(text, "prompt", prompt),
        (None, Some(file)) => body(text, "prompt, in the file", file),
        (None, None) => {}
    }
}

fn of_github(text: &mut String, order: &GithubCommand) {
    body(text, "settings", &format!("{:#}", serde_json::Value::Object(order.settings.clone())));
}
