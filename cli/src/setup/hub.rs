//! The few questions to GitHub that a setup has. The work of tasks is done by the crate `github`, on ants.

use std::time::Duration;

use atta_core::resilience::root_cause;
use atta_core::secret::SecretText;
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::exit::{CommandResult, Failure};

/// For a whole answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pages of a list that are read.
const PAGES: u32 = 20;

/// GitHub, as one token sees it.
pub(super) struct Hub {
    base: Url,
    client: reqwest::Client,
    token: SecretText,
}

/// What it answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    /// A field of the head.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether it asks to be left alone.
    pub(super) fn is_limited(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
            || self.status == StatusCode::FORBIDDEN
                && (self.header("x-ratelimit-remaining") == Some("0") || self.header("retry-after").is_some())
    }

    /// Its own words.
    pub(super) fn message(&self) -> String {
        let message = self.body["message"].as_str().unwrap_or_default();
        let needs = self.header("x-accepted-github-permissions").map(|needs| format!("; it wants {needs}"));
        format!("{} {message}{}", self.status.as_u16(), needs.unwrap_or_default()).trim().to_owned()
    }
}

impl Hub {
    pub(super) fn new(url: &str, token: SecretText) -> CommandResult<Self> {
        let bad = |why: String| {
            Failure::usage(format!("\"{url}\" cannot be the URL of GitHub's API: {why}."))
                .with_help("Write https://api.github.com, or https://HOST/api/v3 for GitHub Enterprise.")
        };
        let base = Url::parse(url.trim_end_matches('/')).map_err(|error| bad(error.to_string()))?;
        let near = matches!(base.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        match base.scheme() {
            "https" => {}
            "http" if near => {}
            "http" => return Err(bad("a token is not sent without encryption".to_owned())),
            _ => return Err(bad("it has to begin with https://".to_owned())),
        }
        if !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
            return Err(bad("it has more than a host and a path".to_owned()));
        }
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            // A token goes to nobody else.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("atta/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::failed(format!("The HTTP client cannot start: {error}.")))?;
        Ok(Self { base, client, token })
    }

    /// Asks; why there is no answer otherwise.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .client
            .request(method, url)
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
            .bearer_auth(self.token.reveal());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| root_cause(&error).to_string())?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.bytes().await.map_err(|error| root_cause(&error).to_string())?;
        Ok(Answer { status, headers, body: serde_json::from_slice(&text).unwrap_or_default() })
    }

    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, String> {
        self.ask(Method::GET, path, query, None).await
    }

    /// All entries of a list; what went wrong otherwise.
    pub(super) async fn all(&self, path: &[&str]) -> Result<Vec<Value>, String> {
        let mut found = Vec::new();
        for page in 1..=PAGES {
            let number = page.to_string();
            let answer = self.get(path, &[("per_page", "100"), ("page", &number)]).await?;
            if !answer.status.is_success() {
                return Err(answer.message());
            }
            let Value::Array(entries) = answer.body else { return Err("the answer is no list".to_owned()) };
            let full = entries.len() == 100;
            found.extend(entries);
            if !full {
                return Ok(found);
            }
        }
        Ok(found)
    }
}
