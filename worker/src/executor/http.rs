//! `HTTP_*`: one request; its status is the result, its answer becomes outputs and artifacts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use atta_core::definition::ArtifactsWhen;
use atta_core::engine::AttemptResult;
use atta_core::protocol::ant::{
    Action, ArtifactRules, Assignment, AttemptReport, HttpRequest, RenderedPart, ReportBody, RequestBody,
};
use atta_core::resilience::retry_after;
use atta_core::time::UnixMillis;
use indexmap::IndexMap;
use reqwest::Method;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use url::Url;

use super::Finished;
use super::attempt::{Attempt, Interruption, blocking, invalid, make_directory, start_failed};
use super::environment::Environment;
use super::exchange::{self, Answer, Broken, Exchange, Prepared};
use super::guard::Guard;
use super::phrase::failure;
use crate::ant::{Core, Order};

/// Where the answer is kept, relative to TASK_DIR.
const BODY: &str = "response/body";
const HEADERS: &str = "response/headers.json";
/// A file in the attempt's directory that says that a request may be under way.
pub(crate) const REQUESTED: &str = "requested";
/// A longer body is no output by itself.
const SHORT: u64 = 64 << 10;
/// The longest wait that an answer can ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Bytes of a certificates file.
const CERTIFICATES: u64 = 4 << 20;

pub(super) async fn execute(core: &Arc<Core>, assignment: Assignment, orders: watch::Receiver<Order>) -> Finished {
    let mut attempt = Attempt::new(core, assignment, orders);
    let ended = attempt.run_request().await;
    attempt.finished(ended)
}

impl Attempt {
    async fn run_request(&mut self) -> Result<AttemptReport, Interruption> {
        let Action::Http(request) = self.assignment.action.clone() else {
            return Err(invalid("this is no request"));
        };
        let environment = self.compose()?;
        let prepared = prepare(&request, &environment).map_err(invalid)?;
        let guard = Guard::new(&self.core.config.http, &request.allow, request.allow_private).map_err(invalid)?;
        let (core, id) = (self.core.clone(), self.assignment.attempt_id.clone());
        let directory = blocking(move || make_directory(&core, &id)).await?;
        self.lay_inputs(&directory).await?;
        self.check_orders()?;
        let work = directory.work();
        let authorities = match request.ca_file.clone() {
            None => None,
            Some(path) => Some(certificates(work.join(&path), path).await?),
        };
        let (client_guard, connect_timeout) = (guard.clone(), request.connect_timeout);
        let client = blocking(move || {
            exchange::client(&client_guard, connect_timeout, authorities.as_deref()).map_err(start_failed)
        })
        .await?;

        let mark = directory.root().join(REQUESTED);
        fs::write(&mark, "")
            .map_err(|error| start_failed(format!("the attempt cannot be marked as begun: {error}")))?;
        let started = ReportBody::Started { isolation: "none".to_owned() };
        self.core.report(&self.assignment.attempt_id, self.assignment.token, 1, started);
        let saved = request.save_as.clone().unwrap_or_else(|| BODY.to_owned());
        let body = work.join(&saved);
        let ended = self.exchange(client, &guard, &request, prepared, &body).await?;

        let mut problems = Vec::new();
        let mut outputs = IndexMap::new();
        let mut retry_after = None;
        let (result, end) = match ended {
            Err((result, failure)) => {
                self.log.system(&failure.message).await;
                (AttemptResult::Named(result), Some(failure))
            }
            Ok(answer) => {
                let result = AttemptResult::Http(answer.status.as_u16());
                let end = (!result.is_success())
                    .then(|| failure("HTTP_STATUS", format!("was answered with the status {}", answer.status)));
                retry_after = wait_asked_for(&answer.headers, self.core.config.clock.now());
                let (file, headers) = (work.join(HEADERS), answer.headers.clone());
                blocking(move || {
                    write_headers(&file, &headers)
                        .map_err(|error| start_failed(format!("the headers of the answer cannot be stored: {error}")))
                })
                .await?;
                outputs = given_outputs(&answer, &body).await?;
                (result, end)
            }
        };
        let declared = self.read_outputs(&directory, Some(&body), &mut problems).await?;
        outputs.extend(declared);
        if self.assignment.artifacts.is_none() && body.exists() {
            let paths = vec![escaped(&saved), HEADERS.to_owned()];
            let when = ArtifactsWhen::Always;
            self.assignment.artifacts = Some(ArtifactRules { paths, exclude: Vec::new(), when });
        }
        let artifacts = self.keep_artifacts(&directory, result, &mut problems).await?;
        let report = self.conclude(result, end, outputs, artifacts, problems)?;
        let failed = !report.result.is_success();
        Ok(AttemptReport { retry_after: retry_after.filter(|_| failed), ..report })
    }

    /// The exchange within its timeout, as long as nobody stops it; what it says goes to the log meanwhile.
    async fn exchange(
        &mut self,
        client: reqwest::Client,
        guard: &Guard,
        request: &HttpRequest,
        prepared: Prepared,
        body: &Path,
    ) -> Result<Result<Answer, Broken>, Interruption> {
        let (lines, to_log) = mpsc::unbounded_channel();
        let exchange = Exchange { client, guard, request, idle_timeout: self.assignment.idle_timeout, lines };
        let ended = self.within_its_time(async move { exchange.run(prepared, body).await }, to_log).await?;
        Ok(ended.unwrap_or_else(Err))
    }
}

/// Fills in what only the ant knows, and checks what a template made.
fn prepare(request: &HttpRequest, environment: &Environment) -> Result<Prepared, String> {
    let mut url = Url::parse(&request.url).map_err(|error| {
        let shown: String = request.url.chars().filter(|c| !c.is_control()).take(200).collect();
        format!("`url` is \"{shown}\", which is no URL: {error}")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`url` must begin with http:// or https://, and it begins with {}:", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`url` names a user: what is in a URL is shown and logged; send it in a header".to_owned());
    }
    if request.url.chars().any(|c| c.is_control() || c == ' ') {
        return Err("`url` has a blank or a control character in it; use `| urlencode` for values".to_owned());
    }
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&request.query);
    }
    let mut headers = HeaderMap::new();
    let mut private_headers = Vec::new();
    for (name, parts) in &request.headers {
        let key: HeaderName = name.parse().map_err(|_| format!("`{name}` cannot be the name of a header"))?;
        let text = filled(&format!("headers.{name}"), parts, environment)?;
        let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
            format!("headers.{name}: the value has a line break or another control character, which no header can have")
        })?;
        if parts.iter().any(|part| matches!(part, RenderedPart::Variable(_))) {
            value.set_sensitive(true);
            private_headers.push(key.clone());
        }
        headers.insert(key, value);
    }
    let mut private_body = false;
    let (body, kind) = match &request.body {
        RequestBody::None => (None, None),
        RequestBody::Text(text) => (Some(text.clone().into_bytes()), Some("text/plain; charset=utf-8")),
        RequestBody::Json(document) => (Some(document.to_string().into_bytes()), Some("application/json")),
        RequestBody::Form(pairs) => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            for (name, parts) in pairs {
                private_body |= parts.iter().any(|part| matches!(part, RenderedPart::Variable(_)));
                form.append_pair(name, &filled(&format!("form.{name}"), parts, environment)?);
            }
            (Some(form.finish().into_bytes()), Some("application/x-www-form-urlencoded"))
        }
    };
    if let Some(kind) = kind {
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
    }
    let method: Method = request.verb.parse().map_err(|_| format!("{} is no method of HTTP", request.verb))?;
    Ok(Prepared { method, url, headers, private_headers, body, private_body })
}

pub(super) fn filled(key: &str, parts: &[RenderedPart], environment: &Environment) -> Result<String, String> {
    let mut text = String::new();
    for part in parts {
        match part {
            RenderedPart::Text(piece) => text.push_str(piece),
            RenderedPart::Variable(name) => {
                let value = environment
                    .get(name)
                    .ok_or_else(|| format!("{key}: the environment of the task has no variable {name}"))?;
                let value = value.to_str().ok_or_else(|| format!("{key}: the value of {name} is no text"))?;
                text.push_str(value);
            }
        }
    }
    Ok(text)
}

async fn certificates(file: PathBuf, shown: String) -> Result<Vec<u8>, Interruption> {
    blocking(move || {
        let cannot = |error: &dyn std::fmt::Display| start_failed(format!("`ca_file` {shown} cannot be read: {error}"));
        let size = fs::metadata(&file).map_err(|error| cannot(&error))?.len();
        if size > CERTIFICATES {
            return Err(cannot(&format!("it has {size} bytes")));
        }
        fs::read(&file).map_err(|error| cannot(&error))
    })
    .await
}

/// `status`, `headers`, `body` and `json`.
async fn given_outputs(answer: &Answer, body: &Path) -> Result<IndexMap<String, Value>, Interruption> {
    let mut outputs = IndexMap::new();
    outputs.insert("status".to_owned(), Value::from(answer.status.as_u16()));
    // A cookie opens doors, and outputs are shown.
    outputs.insert("headers".to_owned(), headers_object(&answer.headers, |name| *name != header::SET_COOKIE));
    let file = body.to_owned();
    let text = blocking(move || {
        let short = fs::metadata(&file).is_ok_and(|metadata| metadata.len() <= SHORT);
        Ok(if short { fs::read(&file).ok().and_then(|bytes| String::from_utf8(bytes).ok()) } else { None })
    })
    .await?;
    if let Some(text) = text {
        let is_json = answer
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| {
                let kind = kind.trim().to_ascii_lowercase();
                kind == "application/json" || kind.ends_with("+json")
            });
        if is_json && let Ok(document) = serde_json::from_str(&text) {
            outputs.insert("json".to_owned(), document);
        }
        outputs.insert("body".to_owned(), Value::String(text));
    }
    Ok(outputs)
}

/// Names in lower case; several of one name are joined.
fn headers_object(headers: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool) -> Value {
    let mut map = serde_json::Map::new();
    for name in headers.keys().filter(|name| wanted(name)) {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        map.insert(name.as_str().to_owned(), Value::String(values.collect::<Vec<_>>().join(", ")));
    }
    Value::Object(map)
}

fn write_headers(file: &Path, headers: &HeaderMap) -> std::io::Result<()> {
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(file, format!("{:#}\n", headers_object(headers, |_| true)))
}

/// A path as a pattern that matches only itself.
fn escaped(path: &str) -> String {
    path.chars().flat_map(|c| if "*?[]{}\\".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

/// How long an answer asks to be left alone.
fn wait_asked_for(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    retry_after(headers.get(header::RETRY_AFTER)?.to_str().ok()?, now, LONGEST_WAIT)
}
