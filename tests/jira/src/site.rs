//! Who asks, which of the two, and what it is held against.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use atta_fake_github::contract::Contract;
use atta_fake_github::serving::{Service, Site, locked};
use atta_fake_github::{Fault, Reply, Request};
use serde_json::{Value, json};

use crate::state::State;
use crate::{bitbucket, jira};

/// What follows `Basic`: bot@example.com with the API token jira_fake0, of the account `atta-bot`.
pub const LOGIN: &str = "Ym90QGV4YW1wbGUuY29tOmppcmFfZmFrZTA=";
/// A repository access token of Bitbucket, of the account `atta-bot`.
pub const TOKEN: &str = "bitbucket_fake0";
pub(crate) const BOT: &str = "atta-bot";

/// A request that has been understood.
pub(crate) struct Asked<'a> {
    pub(crate) params: HashMap<String, String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Value,
    /// `http://` and the address.
    pub(crate) base: &'a str,
    pub(crate) path: &'a str,
    pub(crate) state: &'a mut State,
}

/// A status and a document.
pub(crate) type Answer = Result<(u16, Value), (u16, String)>;
pub(crate) type Handler = fn(&mut Asked<'_>) -> Answer;

impl Asked<'_> {
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What is behind the port.
pub struct Atlassian {
    state: Mutex<State>,
    base: String,
}

/// A running Jira and Bitbucket.
pub struct Fake(Service<Atlassian>);

impl Fake {
    /// Starts one on a free port of loopback, for this bare repository.
    pub fn start(git: PathBuf) -> Self {
        let state = State { git, page: 3, ..State::default() };
        Self(Service::start("127.0.0.1:0", |address| Atlassian {
            state: Mutex::new(state),
            base: format!("http://{address}"),
        }))
    }

    /// What stands before `/repositories`.
    pub fn bitbucket(&self) -> String {
        format!("{}/2.0", self.url())
    }

    /// Reads and changes what it knows.
    pub fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut locked(&self.0.site().state))
    }
}

impl Deref for Fake {
    type Target = Service<Atlassian>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The descriptions, and what is done for their operations.
fn side(path: &str) -> (&'static Contract, &'static [(&'static str, Handler)], String) {
    static JIRA: OnceLock<Contract> = OnceLock::new();
    static BITBUCKET: OnceLock<Contract> = OnceLock::new();
    let load = |text: &str, operations: &'static [(&'static str, Handler)]| {
        let document = serde_json::from_str(text).expect("the description is JSON");
        Contract::of(document, operations.iter().map(|(operation, _)| *operation).collect())
    };
    if path.starts_with("/rest/api/") {
        let contract = JIRA.get_or_init(|| load(include_str!("../description/jira.json"), jira::OPERATIONS));
        (contract, jira::OPERATIONS, format!("Basic {LOGIN}"))
    } else {
        let text = include_str!("../description/bitbucket.json");
        let contract = BITBUCKET.get_or_init(|| load(text, bitbucket::OPERATIONS));
        (contract, bitbucket::OPERATIONS, format!("Bearer {TOKEN}"))
    }
}

fn refused(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"type": "error", "error": {"message": message}, "errorMessages": [message]}))
}

impl Site for Atlassian {
    const NAME: &'static str = "Atlassian";

    fn perform(&self, request: &Request, breaches: &mut Vec<String>) -> Reply {
        let (contract, operations, login) = side(&request.path);
        let Some(matched) = contract.find(&request.method, &request.path) else {
            breaches.push(format!("{} {} is not described", request.method, request.path));
            return refused(404, "there is no such resource");
        };
        if request.header("authorization") != Some(&login) {
            return refused(401, "Unauthorized");
        }
        let body = match &request.body[..] {
            [] => None,
            bytes => Some(serde_json::from_slice::<Value>(bytes).unwrap_or_else(|error| {
                breaches.push(format!("the body of {} is no JSON: {error}", matched.operation));
                Value::Null
            })),
        };
        breaches.extend(contract.request_breaches(matched.operation, &request.query, body.as_ref()));
        let mut state = locked(&self.state);
        let handler = operations.iter().find(|(name, _)| *name == matched.operation).expect("it was found there").1;
        let mut asked = Asked {
            params: matched.params,
            query: request.query.clone(),
            body: body.unwrap_or(Value::Null),
            base: &self.base,
            path: &request.path,
            state: &mut state,
        };
        match handler(&mut asked) {
            Ok((status, known)) => {
                let (whole, found) = contract.answer(matched.operation, status, known);
                breaches.extend(found);
                Reply::json(status, &whole)
            }
            Err((status, message)) => {
                if status == 400 {
                    breaches.push(format!("{}: {message}", matched.operation));
                }
                refused(status, &message)
            }
        }
    }

    fn broken(&self, fault: &Fault) -> Reply {
        match fault {
            Fault::Status(status) => refused(*status, "Something went wrong"),
            Fault::TooMany(seconds) => {
                let mut reply = refused(429, "Rate limit exceeded");
                reply.headers.push(("retry-after", seconds.to_string()));
                reply
            }
            Fault::Html => Reply {
                status: 200,
                headers: vec![("content-type", "text/html; charset=utf-8".to_owned())],
                body: b"<html>Log in to continue</html>".to_vec(),
            },
            Fault::Malformed => {
                let mut reply = Reply::json(200, &json!({}));
                reply.body = b"{\"issues\": [".to_vec();
                reply
            }
            Fault::Body(text) => {
                let mut reply = Reply::json(200, &json!({}));
                reply.body = text.as_bytes().to_vec();
                reply
            }
            _ => refused(500, "Something went wrong"),
        }
    }
}
