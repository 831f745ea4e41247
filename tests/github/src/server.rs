//! GitHub: who asks, limits, pages, and the description that all of it is held against.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Deref;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use atta_core::time::UnixMillis;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::alg_id::RSA_PKCS1_SHA256;
use serde_json::{Value, json};

use crate::contract::Contract;
use crate::faults::Fault;
use crate::http::{Reply, Request};
use crate::routes::{Asked, Known, OPERATIONS};
use crate::serving::{Service, Site, locked};
use crate::state::{State, sha};

/// A token that the fake knows, of the user `atta-bot`.
pub const TOKEN: &str = "ghp_fake0";
/// The private key of the fake's App.
pub const APP_KEY: &str = include_str!("../keys/app.key");
const APP_PUBLIC: &[u8] = include_bytes!("../keys/app.pub.der");
pub(crate) const APP_ID: u64 = 4711;
pub(crate) const APP_SLUG: &str = "atta-app";
pub(crate) const INSTALLATION: u64 = 815;
/// What GitHub lets a token ask per hour.
const LIMIT: u64 = 5_000;

/// What is behind a running GitHub.
pub struct GitHub {
    state: Mutex<State>,
    base: String,
}

/// A running GitHub.
pub struct Fake(Service<GitHub>);

/// Seconds since 1970.
fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "GitHub has a clock of its own")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub(crate) fn rfc3339_in(seconds: u64) -> String {
    UnixMillis(i64::try_from((now() + seconds) * 1000).unwrap_or(i64::MAX)).to_rfc3339()
}

impl Fake {
    /// Starts one on a free port of loopback.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1:0")
    }

    /// Starts one on this address.
    pub fn start_on(address: &str) -> Self {
        // It takes a moment, which is not to be counted to the first request.
        Contract::get();
        let mut state = State::default();
        state.installation_seconds = 3_600;
        state.tokens.insert(TOKEN.to_owned(), "atta-bot".to_owned());
        Self(Service::start(address, |address| GitHub { state: Mutex::new(state), base: format!("http://{address}") }))
    }

    /// Reads and changes what it knows.
    pub fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut locked(&self.0.site().state))
    }
}

impl Deref for Fake {
    type Target = Service<GitHub>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Site for GitHub {
    const NAME: &'static str = "GitHub";

    fn perform(&self, request: &Request, breaches: &mut Vec<String>) -> Reply {
        perform(self, request, breaches)
    }

    fn broken(&self, fault: &Fault) -> Reply {
        broken(fault)
    }
}

/// An answer that nothing was done for.
fn broken(fault: &Fault) -> Reply {
    let json_reply = |status, message: &str, mut headers: Vec<(&'static str, String)>| {
        headers.push(("content-type", "application/json; charset=utf-8".to_owned()));
        Reply { status, headers, body: json!({"message": message}).to_string().into_bytes() }
    };
    match fault {
        Fault::Status(status) => json_reply(*status, "Server Error", vec![]),
        Fault::PrimaryLimit(seconds) => json_reply(
            403,
            "API rate limit exceeded for user ID 1.",
            vec![
                ("x-ratelimit-limit", LIMIT.to_string()),
                ("x-ratelimit-remaining", "0".to_owned()),
                ("x-ratelimit-reset", (now() + seconds).to_string()),
                ("x-ratelimit-resource", "core".to_owned()),
            ],
        ),
        Fault::SecondaryLimit(seconds) => json_reply(
            403,
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            seconds.iter().map(|seconds| ("retry-after", seconds.to_string())).collect(),
        ),
        Fault::TooMany(seconds) => json_reply(429, "Too many requests", vec![("retry-after", seconds.to_string())]),
        Fault::Malformed => {
            let mut reply = json_reply(200, "", vec![]);
            reply.body = b"[{\"id\": 1, ".to_vec();
            reply
        }
        Fault::Html => Reply {
            status: 200,
            headers: vec![("content-type", "text/html; charset=utf-8".to_owned())],
            body: b"<html>Sign in to your network</html>".to_vec(),
        },
        Fault::Body(text) => {
            let mut reply = json_reply(200, "", vec![]);
            reply.body = text.as_bytes().to_vec();
            reply
        }
        _ => json_reply(500, "", vec![]),
    }
}

/// The login behind a token, or the App behind a signed one.
fn who(state: &State, token: &str) -> Option<String> {
    if let Some(login) = state.tokens.get(token) {
        return Some(login.clone());
    }
    let (text, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let known = provider.signature_verification_algorithms.all;
    let algorithm = known.iter().find(|algorithm| algorithm.signature_alg_id() == RSA_PKCS1_SHA256)?;
    algorithm.verify_signature(APP_PUBLIC, text.as_bytes(), &signature).ok()?;
    let claims = URL_SAFE_NO_PAD.decode(text.split_once('.')?.1).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let (issued, expires) = (claims["iat"].as_u64()?, claims["exp"].as_u64()?);
    let issuer: Option<u64> = claims["iss"].as_str().and_then(|id| id.parse().ok());
    let good = issued <= now() && now() < expires && expires - issued <= 660 && issuer == Some(APP_ID);
    good.then(|| format!("app:{APP_SLUG}"))
}

fn perform(site: &GitHub, request: &Request, breaches: &mut Vec<String>) -> Reply {
    let contract = Contract::get();
    let mut breach = |text: String| breaches.push(text);
    let token = request.token().to_owned();
    let mut state = locked(&site.state);
    let moved = state.repos.values().find_map(|repo| {
        let rest = request.path.strip_prefix(&format!("/repos/{}", repo.old_name.as_ref()?))?;
        Some(format!("/repos/{}{rest}", repo.name))
    });
    if let Some(path) = moved {
        let mut reply = simple(301, &json!({"message": "Moved Permanently"}));
        let status = if request.method == "GET" { 301 } else { 307 };
        reply.status = status;
        let query = request.query.iter().fold(String::new(), |mut text, (name, value)| {
            let _ = write!(text, "{}{name}={value}", if text.is_empty() { '?' } else { '&' });
            text
        });
        reply.headers.push(("location", format!("{}{path}{query}", site.base)));
        return reply;
    }
    let Some(matched) = contract.find(&request.method, &request.path) else {
        breach(format!("{} {} is nothing that GitHub describes", request.method, request.path));
        return simple(404, &json!({"message": "Not Found"}));
    };
    if request.header("user-agent").is_none() {
        breach("a request without User-Agent, which GitHub refuses".to_owned());
    }
    let Some(login) = who(&state, &token) else { return simple(401, &json!({"message": "Bad credentials"})) };
    let body = match &request.body[..] {
        [] => None,
        bytes => Some(serde_json::from_slice::<Value>(bytes).unwrap_or_else(|error| {
            breach(format!("the body of {} is no JSON: {error}", matched.operation));
            Value::Null
        })),
    };
    for text in contract.request_breaches(matched.operation, &request.query, body.as_ref()) {
        breach(text);
    }
    if state.left.get(&token) == Some(&0) {
        return broken(&Fault::PrimaryLimit(60));
    }
    let handler = OPERATIONS.iter().find(|(name, _)| *name == matched.operation).expect("it was found there").1;
    let query: HashMap<String, String> = request.query.iter().cloned().collect();
    let body = body.unwrap_or(Value::Null);
    let mut asked = Asked { params: matched.params, query: query.clone(), body, login, state: &mut state };
    let known = handler(&mut asked).unwrap_or_else(|refused| refused);
    let (known, link) = page(known, request, &site.base);
    // What a fake refuses need not be in the description: 404 and 403 come of what can be seen.
    let (document, breaches) = if known.status < 400 {
        contract.answer(matched.operation, known.status, known.body)
    } else {
        (known.body, Vec::new())
    };
    for text in breaches {
        breach(text);
    }
    let mut reply = simple(known.status, &document);
    if document.is_null() {
        reply.body = Vec::new();
    }
    reply.headers.extend(link.map(|link| ("link", link)));
    let mut left = state.left.get(&token).copied().unwrap_or(LIMIT);
    if request.method == "GET" && known.status == 200 {
        let etag = format!("\"{}\"", &sha(&String::from_utf8_lossy(&reply.body))[..32]);
        if request.header("if-none-match") == Some(&etag) {
            reply.status = 304;
            reply.body = Vec::new();
        }
        reply.headers.push(("etag", etag));
    }
    if reply.status != 304 {
        left = left.saturating_sub(1);
        if let Some(known) = state.left.get_mut(&token) {
            *known = left;
        }
    }
    reply.headers.push(("x-ratelimit-limit", LIMIT.to_string()));
    reply.headers.push(("x-ratelimit-remaining", left.to_string()));
    reply.headers.push(("x-ratelimit-reset", (now() + 60).to_string()));
    reply.headers.push(("x-ratelimit-resource", "core".to_owned()));
    reply
}

fn simple(status: u16, body: &Value) -> Reply {
    let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
    Reply { status, headers, body: body.to_string().into_bytes() }
}

/// One page of a list, and the header that leads to the next one.
fn page(mut known: Known, request: &Request, base: &str) -> (Known, Option<String>) {
    let Some(under) = known.list.filter(|_| known.status == 200) else { return (known, None) };
    let number = |name: &str, default: usize| {
        let given = request.query.iter().find(|(key, _)| key == name);
        given.and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
    };
    let (size, page) = (number("per_page", 30).clamp(1, 100), number("page", 1).max(1));
    let Some(entries) = known.body.pointer_mut(under).and_then(Value::as_array_mut) else { return (known, None) };
    let more = entries.len() > page * size;
    *entries = entries.drain(..).skip((page - 1) * size).take(size).collect();
    let link = more.then(|| {
        let mut url = url::Url::parse(base).expect("it is one");
        url.set_path(&request.path);
        let kept = request.query.iter().filter(|(name, _)| name != "page");
        url.query_pairs_mut().extend_pairs(kept).append_pair("page", &(page + 1).to_string());
        format!("<{url}>; rel=\"next\", <{url}>; rel=\"last\"")
    });
    (known, link)
}
