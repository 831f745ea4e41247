//! The server: connections, who asks, limits, pages, faults, and the description that all of it is held against.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atta_core::time::UnixMillis;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::alg_id::RSA_PKCS1_SHA256;
use serde_json::{Value, json};

use crate::contract::Contract;
use crate::faults::{Fault, Rule};
use crate::http::{self, Reply, Request};
use crate::routes::{Asked, Known, OPERATIONS};
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
/// How often an idle connection looks whether the fake is still there.
const TICK: Duration = Duration::from_millis(100);

/// One request that came.
#[derive(Debug, Clone)]
pub struct Logged {
    /// `GET`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// In order.
    pub query: Vec<(String, String)>,
    /// What was sent, if it was JSON.
    pub body: Value,
    /// What was answered; 0 when the connection was cut.
    pub status: u16,
    /// The word after `Bearer`.
    pub token: String,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<Logged>>,
    breaches: Mutex<Vec<String>>,
    over: AtomicBool,
    base: Mutex<String>,
}

/// A running GitHub.
pub struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        let listener = TcpListener::bind(address).expect("the port is free");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared::default());
        *locked(&shared.base) = format!("http://{address}");
        {
            let mut state = locked(&shared.state);
            state.installation_seconds = 3_600;
            state.tokens.insert(TOKEN.to_owned(), "atta-bot".to_owned());
        }
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// What `github.api_url` is to be.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Reads and changes what it knows.
    pub fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut locked(&self.shared.state))
    }

    /// Lets something go wrong.
    pub fn inject(&self, rule: Rule) {
        locked(&self.shared.rules).push(rule);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        locked(&self.shared.rules).clear();
    }

    /// All requests so far.
    pub fn log(&self) -> Vec<Logged> {
        locked(&self.shared.log).clone()
    }

    /// How many requests of this method had this in their path.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.log().iter().filter(|asked| asked.method == method && asked.path.contains(path)).count()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        locked(&self.shared.log).clear();
    }

    /// What was not as GitHub describes it, so far.
    pub fn breaches(&self) -> Vec<String> {
        locked(&self.shared.breaches).clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        let breaches = self.breaches();
        let failing = std::thread::panicking();
        assert!(failing || breaches.is_empty(), "not as GitHub describes it:\n{}", breaches.join("\n"));
    }
}

fn serve(shared: &Shared, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while !shared.over.load(Ordering::SeqCst) {
        // Nothing is read by waiting: what has begun to come is read whole.
        let _ = reader.get_ref().set_read_timeout(Some(TICK));
        let waiting = if reader.buffer().is_empty() { reader.get_ref().peek(&mut [0]) } else { Ok(1) };
        match waiting {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => return,
        }
        let _ = reader.get_ref().set_read_timeout(Some(Duration::from_secs(10)));
        let Ok(Some(request)) = http::read(&mut reader) else { return };
        if !answer(shared, &request, &writer) {
            let _ = writer.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// Whether the connection goes on.
fn answer(shared: &Shared, request: &Request, writer: &TcpStream) -> bool {
    let fault = locked(&shared.rules).iter_mut().find_map(|rule| rule.meets(&request.method, &request.path));
    let mut reply = match fault {
        None | Some(Fault::CutAfter | Fault::CutWithin | Fault::Silent(_) | Fault::Slow(_) | Fault::DoneBut(_)) => {
            perform(shared, request)
        }
        Some(ref fault) => broken(fault),
    };
    let said = |reply: &mut Reply, status, message: &str| {
        reply.status = status;
        reply.body = json!({"message": message}).to_string().into_bytes();
        reply.headers.retain(|(name, _)| *name != "etag" && *name != "link");
    };
    let mut bytes = None;
    let mut goes_on = true;
    match fault {
        Some(Fault::DoneBut(status)) => said(&mut reply, status, "Server Error"),
        Some(Fault::CutBefore | Fault::CutAfter) => {
            (reply.status, goes_on, bytes) = (0, false, Some(Vec::new()));
        }
        Some(Fault::CutWithin) => {
            let whole = http::bytes(&reply);
            (reply.status, goes_on, bytes) = (0, false, Some(whole[..whole.len() - reply.body.len() / 2].to_vec()));
        }
        Some(Fault::Silent(time) | Fault::Slow(time)) => {
            let until = std::time::Instant::now() + time;
            while std::time::Instant::now() < until && !shared.over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        _ => {}
    }
    locked(&shared.log).push(Logged {
        method: request.method.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        body: serde_json::from_slice(&request.body).unwrap_or(Value::Null),
        status: reply.status,
        token: token(request).to_owned(),
    });
    http::write(writer, &bytes.unwrap_or_else(|| http::bytes(&reply)));
    goes_on
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

fn token(request: &Request) -> &str {
    request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
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

fn perform(shared: &Shared, request: &Request) -> Reply {
    let contract = Contract::get();
    let breach = |text: String| locked(&shared.breaches).push(text);
    let token = token(request).to_owned();
    let mut state = locked(&shared.state);
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
        reply.headers.push(("location", format!("{}{path}{query}", locked(&shared.base))));
        return reply;
    }
    let Some(matched) = Contract::find(&request.method, &request.path) else {
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
    let (known, link) = page(known, request, &locked(&shared.base));
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
