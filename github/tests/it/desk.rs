//! Asks for operations as an ant would.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atta_core::definition::{GithubOperation, check_github_setting};
use atta_core::protocol::ant::RenderedPart;
use atta_core::protocol::github::{GithubCredential, GithubOrder};
use atta_core::resilience::Backoff;
use atta_core::time::{Clock, Entropy, UnixMillis};
use atta_fake_github::{Fake, TOKEN};
use atta_github::{Done, Failed, Gate, Hub, Patience, Session};
use serde_json::{Map, Value};
use url::Url;

struct Wall;

impl Clock for Wall {
    #[expect(clippy::disallowed_methods, reason = "the edge of the tests")]
    fn now(&self) -> UnixMillis {
        UnixMillis(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
    }
}

struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }
}

pub(crate) struct Open;

impl Gate for Open {
    fn check(&self, url: &Url) -> Result<(), String> {
        if url.host_str() == Some("127.0.0.1") { Ok(()) } else { Err(format!("{url} is not allowed here")) }
    }

    fn refused(&self, _: &reqwest::Error) -> Option<String> {
        None
    }
}

pub(crate) struct Desk {
    pub(crate) fake: Fake,
    hub: Hub,
    pub(crate) order: GithubOrder,
    pub(crate) secret: String,
    said: Arc<Mutex<Vec<String>>>,
}

pub(crate) const REPO: &str = "acme/shop";

impl Desk {
    /// With the repository [`REPO`], of which `ada` is a collaborator.
    pub(crate) fn new() -> Self {
        let fake = Fake::start();
        fake.state(|state| {
            state.repo(REPO).data().collaborators.insert("ada".to_owned());
        });
        let order = GithubOrder {
            operation: GithubOperation::ListIssues,
            settings: Map::new(),
            credential: GithubCredential::Token(vec![RenderedPart::Variable("GITHUB_TOKEN".to_owned())]),
            login: None,
            api_url: fake.url(),
            request_timeout: Duration::from_secs(20),
            allow: Vec::new(),
            allow_private: false,
            marker: "atta:job:task:nonce".to_owned(),
        };
        Self { fake, hub: hub(), order, secret: TOKEN.to_owned(), said: Arc::default() }
    }

    /// Another ant: it knows nothing of what the one before knew.
    pub(crate) fn another_ant(&mut self) {
        self.hub = hub();
    }

    pub(crate) fn order(&self, operation: &str, settings: &Value) -> GithubOrder {
        let operation = *GithubOperation::ALL.iter().find(|(word, _)| *word == operation).map(|(_, op)| op).unwrap();
        let mut order = GithubOrder { operation, ..self.order.clone() };
        order.settings.insert("repo".to_owned(), REPO.into());
        for (name, value) in settings.as_object().unwrap() {
            order.settings.insert(name.clone(), check_github_setting(name, value.clone()).unwrap());
        }
        order
    }

    pub(crate) async fn give(&self, order: &GithubOrder) -> Result<Done, Failed> {
        let said = Arc::clone(&self.said);
        let say = move |line: String| said.lock().unwrap().push(line);
        let client = reqwest::Client::builder()
            .user_agent("atta-test")
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .unwrap();
        Session::new(&self.hub, client, &Open, order, &self.secret, &say)?.perform().await
    }

    pub(crate) async fn ask(&self, operation: &str, settings: Value) -> Result<Map<String, Value>, Failed> {
        let done = self.give(&self.order(operation, &settings)).await?;
        let promised = GithubOperation::ALL.iter().find(|(word, _)| *word == operation).unwrap().1.outputs();
        let given: Vec<&str> = done.outputs.keys().map(String::as_str).collect();
        assert_eq!(given, promised, "the outputs of {operation}");
        Ok(done.outputs.into_iter().collect())
    }

    /// It fails: its code and its sentence.
    pub(crate) async fn refused(&self, operation: &str, settings: Value) -> (Option<u16>, &'static str, String) {
        let failed = self.ask(operation, settings).await.expect_err("it was to fail");
        (failed.status(), failed.kind.code(), failed.message)
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}

fn hub() -> Hub {
    let pauses = Backoff { first: Duration::from_millis(5), factor: 2, cap: Duration::from_millis(20) };
    let patience = Patience { wait: Duration::from_millis(2_500), look: Duration::from_millis(30), pauses, tries: 4 };
    Hub::new(Arc::new(Wall), Arc::new(Counting(AtomicU64::new(1))), patience)
}
