//! Making and revoking API tokens.

use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::is_person_name;
use atta_core::protocol::access::{NewToken, Role, TokenRequest, TokenResource};
use atta_core::protocol::api::FieldViolation;
use atta_core::time::{Entropy, UnixMillis};

use super::command::Command;
use super::state::State;
use super::{Queen, Refusal};
use crate::auth::{self, Tokens};
use crate::store::{AuditRow, TokenRow};

/// A hundred years: longer is for ever.
const LONGEST: u64 = 100 * 366 * 24 * 3600;

fn invalid(field: &str, code: &str, message: String) -> Refusal {
    Refusal::Invalid {
        code: "INVALID_TOKEN",
        message: message.clone(),
        violations: vec![FieldViolation { field: field.to_owned(), code: code.to_owned(), message }],
    }
}

/// A token as it was asked for, with its value.
pub(crate) fn make(
    request: TokenRequest,
    created_by: &str,
    now: UnixMillis,
    entropy: &dyn Entropy,
) -> Result<(TokenRow, atta_core::secret::SecretText), Refusal> {
    let TokenRequest { name, role, user, expires_in, ant, tags } = request;
    let check = |field: &str, name: &str| {
        if is_person_name(name) {
            return Ok(());
        }
        let message = format!(
            "{field} {name:?} is not possible: letters, digits, `.`, `_`, `@`, `+` and `-` are, at most 100, a letter or \
             digit first"
        );
        Err(invalid(field, "INVALID_NAME", message))
    };
    check("name", &name)?;
    if let Some(user) = &user {
        check("user", user)?;
    }
    if role != Role::Ant && (ant.is_some() || tags.is_some()) {
        return Err(invalid("role", "NOT_AN_ANT", format!("ant and tags are for tokens of ants, not of a {role}")));
    }
    if let Some(ant) = &ant {
        check("ant", ant)?;
    }
    for tag in tags.iter().flatten() {
        if tag.is_empty() || tag.len() > 100 || tag.contains(|c: char| c.is_whitespace() || c == ',' || c.is_control())
        {
            return Err(invalid("tags", "INVALID_NAME", format!("{tag:?} cannot be a tag")));
        }
    }
    let expires_at = match expires_in {
        None => None,
        Some(seconds @ 1..=LONGEST) => Some(now.plus(Duration::from_secs(seconds))),
        Some(_) => {
            return Err(invalid("expires_in", "OUT_OF_RANGE", "a token is good for at least a second".to_owned()));
        }
    };
    let value = auth::mint(role, entropy);
    let row = TokenRow {
        id: format!("tok_{:016x}", entropy.next_u64()),
        hash: auth::hash(value.reveal()),
        user: user.unwrap_or_else(|| name.clone()),
        name,
        role,
        ant,
        tags,
        created_at: now,
        created_by: created_by.to_owned(),
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    Ok((row, value))
}

/// That no other token that is good has the same name.
pub(crate) fn check_name(tokens: &Tokens, name: &str, now: UnixMillis) -> Result<(), Refusal> {
    match tokens.find(name, now) {
        None => Ok(()),
        Some(other) => Err(Refusal::Conflict {
            code: "TOKEN_EXISTS",
            message: format!("there is a token {name} already ({}): revoke it first, or choose another name", other.id),
        }),
    }
}

/// The token with this id or name.
pub(crate) fn find(tokens: &Tokens, name_or_id: &str, now: UnixMillis) -> Result<TokenRow, Refusal> {
    tokens.find(name_or_id, now).ok_or_else(|| Refusal::NotFound { what: format!("token {name_or_id}") })
}

impl State {
    pub(super) fn create_token(&mut self, request: TokenRequest, created_by: &str) -> Result<NewToken, Refusal> {
        let now = self.clock.now();
        let (row, value) = make(request, created_by, now, &*self.entropy)?;
        check_name(&self.auth, &row.name, now)?;
        let token = auth::shown(&row, now);
        self.auth.put(row.clone());
        self.staged.tokens.push(row);
        Ok(NewToken { value, token })
    }

    pub(super) fn revoke_token(&mut self, name_or_id: &str) -> Result<TokenResource, Refusal> {
        let now = self.clock.now();
        let mut row = find(&self.auth, name_or_id, now)?;
        // Revoked twice, it was revoked at first.
        if row.revoked_at.is_none() {
            row.revoked_at = Some(now);
            self.auth.put(row.clone());
            self.staged.tokens.push(row.clone());
        }
        Ok(auth::shown(&row, now))
    }

    /// Takes the uses of tokens along when something is stored anyway.
    pub(super) fn take_token_uses(&mut self) {
        let uses = self.auth.take_uses();
        for row in uses {
            if !self.staged.tokens.iter().any(|staged| staged.id == row.id) {
                self.staged.tokens.push(row);
            }
        }
    }
}

impl Queen {
    /// The API tokens.
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.inner.auth
    }

    /// Makes a token. Its value is in the answer and nowhere else.
    pub async fn create_token(&self, request: TokenRequest, created_by: &str) -> Result<NewToken, Refusal> {
        let created_by = created_by.to_owned();
        self.ask(|reply| Command::CreateToken { request: Box::new(request), created_by, reply }).await
    }

    /// Revokes a token by its id, or by its name while it is good.
    pub async fn revoke_token(&self, name_or_id: &str) -> Result<TokenResource, Refusal> {
        let name_or_id = name_or_id.to_owned();
        self.ask(|reply| Command::RevokeToken { name_or_id, reply }).await
    }

    /// Writes down what was done, with the next batch; nobody waits for it.
    pub(crate) async fn write_audit(&self, row: AuditRow) {
        if self.inner.commands.send(Command::Audit(Box::new(row))).await.is_err() {
            tracing::warn!("the server shuts down: a change is not in the audit");
        }
    }
}
