//! `atta token`: of a server, or of a data directory that no server has open.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use atta_core::protocol::access::{NewToken, TokenRequest, TokenResource};
use atta_core::secret::SecretText;
use atta_server::auth::{OfflineError, OfflineTokens};
use reqwest::Method;

use super::Server;
use crate::ambient::{self, SystemClock, SystemEntropy};
use crate::args::{TokenAction, TokenArgs, TokenCreateArgs, TokenListArgs, TokenPlace, TokenRevokeArgs};
use crate::exit::{CommandResult, Exit, Failure, capitalised};
use crate::output;

/// `atta token [create|list|revoke]`.
pub(crate) async fn token(args: TokenArgs) -> CommandResult {
    match args.action {
        None => list(args.list).await,
        Some(TokenAction::List(args)) => list(args).await,
        Some(TokenAction::Create(args)) => create(args).await,
        Some(TokenAction::Revoke(args)) => revoke(args).await,
    }
}

async fn open(data_dir: &Path) -> CommandResult<OfflineTokens> {
    let data_dir = crate::serve::data_dir(Some(data_dir.to_owned()))?;
    let url = ambient::variable(ambient::DATABASE_URL).map(SecretText::new);
    let database = crate::serve::database(url.as_ref())?;
    OfflineTokens::open(&data_dir, &database, Arc::new(SystemClock), Arc::new(SystemEntropy)).await.map_err(|error| {
        let failure = offline(error);
        if failure.message.contains("in use") {
            return failure.with_help("Leave --data-dir out to ask that server, with a token of an admin.");
        }
        failure
    })
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn offline(error: OfflineError) -> Failure {
    let message = format!("{}.", capitalised(&error.to_string()).trim_end_matches('.'));
    match error {
        OfflineError::Refused(_) => Failure::new(Exit::Refused, "REFUSED", message),
        _ => Failure::failed(message),
    }
}

/// Makes a place for the token before it is made: one that cannot be kept is never shown again.
fn output_file(path: &Path) -> CommandResult<std::fs::File> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        Failure::usage(format!("The token cannot be written to {}: {error}.", path.display()))
            .with_help("The file must not exist yet.")
    })
}

async fn create(args: TokenCreateArgs) -> CommandResult {
    let request = TokenRequest {
        name: args.name,
        role: args.role,
        user: args.user,
        expires_in: args.expires.map(|expires| expires.as_secs()),
        ant: args.ant,
        tags: (!args.tags.is_empty()).then_some(args.tags),
    };
    let file = args.output.as_deref().map(|path| Ok::<_, Failure>((path, output_file(path)?))).transpose()?;
    let made = make(&args.place, request).await;
    let NewToken { value, token } = match made {
        Ok(made) => made,
        Err(failure) => {
            if let Some((path, _)) = file {
                // It is empty, and the next try wants to make it.
                let _ = std::fs::remove_file(path);
            }
            return Err(failure);
        }
    };
    if let Some((path, mut file)) = file {
        let written = writeln!(file, "{}", value.reveal()).and_then(|()| file.sync_all());
        written.map_err(|error| {
            Failure::failed(format!("The token {} was not written: {error}.", token.token_id))
                .with_help(format!("Revoke it: atta token revoke {}", token.token_id))
        })?;
        output::say(&format!("The token {} ({}) is in {}.\n", token.name, token.role, path.display()));
    } else if args.json {
        output::print_json(&serde_json::json!({"value": value, "token": token}))?;
    } else {
        output::print(&format!("{}\n", value.reveal()))?;
        let until = token.expires_at.map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {at}"));
        output::say(&format!(
            "The token {} has the role {} and is good {until}. It is not shown again.\n",
            token.name, token.role
        ));
    }
    Ok(Exit::Success)
}

async fn make(place: &TokenPlace, request: TokenRequest) -> CommandResult<NewToken> {
    match &place.data_dir {
        None => {
            let server = Server::new(&place.server)?;
            server.json(server.post(&["tokens"]).json(&request)).await
        }
        Some(data_dir) => {
            let mut tokens = open(data_dir).await?;
            let by = ambient::user_name().unwrap_or_else(|| "somebody on the server's machine".to_owned());
            let made = tokens.create(request, &by).await.map_err(offline);
            tokens.close().await.map_err(offline)?;
            made
        }
    }
}

async fn list(args: TokenListArgs) -> CommandResult {
    let mut found: Vec<TokenResource> = match &args.place.data_dir {
        None => Server::new(&args.place.server)?.all(&["tokens"]).await?,
        Some(data_dir) => {
            let tokens = open(data_dir).await?;
            let found = tokens.list();
            tokens.close().await.map_err(offline)?;
            found
        }
    };
    found.retain(|token| args.all || token.live);
    if args.json {
        output::print_json(&found)?;
        return Ok(Exit::Success);
    }
    if found.is_empty() {
        output::say("No tokens.\n");
        return Ok(Exit::Success);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let rows: Vec<Vec<String>> = found.into_iter().map(row).collect();
    let head = ["TOKEN", "NAME", "ROLE", "USER", "CREATED", "EXPIRES", "LAST USED", "STATE"];
    output::print(&output::table(&head, &rows))?;
    Ok(Exit::Success)
}

fn row(token: TokenResource) -> Vec<String> {
    let state = match (token.live, &token.revoked_at) {
        (true, _) => "good",
        (false, Some(_)) => "revoked",
        (false, None) => "expired",
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let role = match &token.ant {
        Some(ant) => format!("{} {ant}", token.role),
        None => token.role.to_string(),
    };
    vec![
        token.token_id,
        token.name,
        role,
        token.user,
        token.created_at,
        or_dash(token.expires_at),
        or_dash(token.last_used_at),
        state.to_owned(),
    ]
}

async fn revoke(args: TokenRevokeArgs) -> CommandResult {
    let token: TokenResource = match &args.place.data_dir {
        None => {
            let server = Server::new(&args.place.server)?;
            let segments = ["api", "v1", "tokens", args.token.as_str()];
            server.json(server.request(Method::DELETE, &segments, &[])).await?
        }
        Some(data_dir) => {
            let mut tokens = open(data_dir).await?;
            let revoked = tokens.revoke(&args.token).await.map_err(offline);
            tokens.close().await.map_err(offline)?;
            revoked?
        }
    };
    output::say(&format!("The token {} ({}) is revoked.\n", token.name, token.token_id));
    Ok(Exit::Success)
}
