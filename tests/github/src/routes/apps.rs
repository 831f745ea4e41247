//! Who asks, and tokens of an App.

use serde_json::json;

use super::{Asked, Known, created, ok, refused};
use crate::{server, shapes};

pub(super) fn user(asked: &mut Asked<'_>) -> Result<Known, Known> {
    if asked.login.ends_with("[bot]") || asked.state.nameless.contains(&asked.login) {
        return Err(refused(403, "Resource not accessible by integration"));
    }
    ok(shapes::user(&asked.login))
}

pub(super) fn app(asked: &mut Asked<'_>) -> Result<Known, Known> {
    let slug = asked.login.strip_prefix("app:").ok_or_else(|| refused(401, "A JSON web token could not be decoded"))?;
    ok(json!({"id": server::APP_ID, "slug": slug, "name": slug, "owner": shapes::user("acme")}))
}

pub(super) fn installation(asked: &mut Asked<'_>) -> Result<Known, Known> {
    asked.repo()?;
    ok(json!({"id": server::INSTALLATION, "account": shapes::user("acme"), "app_id": server::APP_ID}))
}

pub(super) fn access_token(asked: &mut Asked<'_>) -> Result<Known, Known> {
    if asked.number("installation_id") != server::INSTALLATION {
        return Err(refused(404, "Not Found"));
    }
    let token = format!("ghs_fake{}", asked.state.minted.len() + 1);
    let seconds = asked.state.installation_seconds;
    asked.state.minted.push(token.clone());
    asked.state.tokens.insert(token.clone(), format!("{}[bot]", server::APP_SLUG));
    created(json!({"token": token, "expires_at": server::rfc3339_in(seconds), "permissions": {"issues": "write"}}))
}
