//! What the tests of the API share: a server on a free port, and a client that believes nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use atta_core::engine::AttemptNumber;
use atta_core::protocol::ant::{ArtifactFile, Assignment, LogChunk, LogSegment, LogStream};
use atta_core::protocol::{AttemptId, Digest, JobId};
use atta_core::time::{Clock, Entropy, UnixMillis};
use atta_server::secrets::KeySource;
use atta_server::{Server, ServerConfig, StartError};
use futures_util::StreamExt;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// Moves on by a millisecond whenever it is looked at.
#[derive(Debug)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[derive(Debug)]
struct Sequence(AtomicU64);

impl Entropy for Sequence {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(17)
    }
}

pub(super) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub(super) fn config(dir: &Path, listen: Option<SocketAddr>) -> ServerConfig {
    ServerConfig {
        data_dir: dir.to_owned(),
        database: atta_server::scheduler::Database::File,
        listen,
        clock: Arc::new(Ticking(AtomicI64::new(1_767_571_200_000))),
        entropy: Arc::new(Sequence(AtomicU64::new(7))),
        schedules: false,
        secrets_key: KeySource::default(),
        directory: crate::queen::rig::people(),
        lease: atta_core::protocol::ant::DEFAULT_LEASE,
        budget_per_day: atta_core::budget::Caps::default(),
        terminal_sessions: 2,
        notify: Some(super::receivers::config()),
        public_url: None,
        keeping: atta_server::Keeping::default(),
        tls: None,
        auth: atta_server::auth::AuthMode::Open,
        dashboard: atta_server::dashboard::none,
        version: "0.0.0-test",
        metrics: Some(metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle()),
    }
}

/// A server with a data directory of its own.
pub(super) struct TestServer {
    pub(super) dir: tempfile::TempDir,
    pub(super) server: Server,
    client: reqwest::Client,
    api: Value,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `status code: detail (field: message; …)` of a problem answer.
    pub(super) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        assert_eq!(json["request_id"], self.header("x-request-id"));
        let mut text =
            format!("{} {}: {}", json["status"], json["code"].as_str().unwrap(), json["detail"].as_str().unwrap());
        if let Some(violations) = json["field_violations"].as_array() {
            let all: Vec<String> = violations
                .iter()
                .map(|one| format!("{}: {}", one["field"].as_str().unwrap(), one["message"].as_str().unwrap()))
                .collect();
            text = format!("{text} ({})", all.join("; "));
        }
        text
    }
}

impl TestServer {
    pub(super) async fn start() -> Self {
        Self::on(tempfile::tempdir().unwrap()).await.unwrap()
    }

    /// A server that removes contents when they were stored so long ago.
    pub(super) async fn keeping(stored_lately: std::time::Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), Some(LOOPBACK));
        config.keeping.stored_lately = stored_lately;
        Self::with(dir, config).await.unwrap()
    }

    pub(super) async fn on(dir: tempfile::TempDir) -> Result<Self, StartError> {
        let config = config(dir.path(), Some(LOOPBACK));
        Self::with(dir, config).await
    }

    /// With settings of its own, on a directory.
    pub(super) async fn with(dir: tempfile::TempDir, config: ServerConfig) -> Result<Self, StartError> {
        let server = Server::start(config).await?;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let api = serde_json::to_value(atta_server::api::openapi()).unwrap();
        Ok(Self { dir, server, client, api })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.local_addr().unwrap())
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// Sends, reads, and checks the answer against the description.
    pub(super) async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.client.execute(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        assert!(headers.contains_key("x-request-id"), "{headers:?}");
        let answer = Answer { status, headers, body: response.bytes().await.unwrap().to_vec() };
        self.check(&method, &path, &answer);
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(super) async fn upload(&self, source: &str) -> Answer {
        let request = self.request(Method::POST, "/api/v1/definitions").header("content-type", "application/yaml");
        self.send(request.body(source.to_owned())).await
    }

    /// Submits a job of a definition that is stored.
    pub(super) async fn submit(&self, job_type: &str) -> JobId {
        let answer = self.post("/api/v1/jobs", &serde_json::json!({ "job_type": job_type })).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        JobId(answer.json()["job_id"].as_str().unwrap().to_owned())
    }

    /// The messages of a stream as `(event, id, data)`, until `enough` says so or the stream ends.
    pub(super) async fn stream(
        &self,
        request: RequestBuilder,
        enough: impl Fn(&[(String, String, String)]) -> bool,
    ) -> Vec<(String, String, String)> {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut chunks = response.bytes_stream();
        let mut text = Vec::new();
        let mut messages = Vec::new();
        while !enough(&messages) {
            let chunk = tokio::time::timeout(Duration::from_secs(20), chunks.next())
                .await
                .unwrap_or_else(|_| panic!("nothing came after {messages:?}"));
            let Some(chunk) = chunk else { break };
            text.extend_from_slice(&chunk.unwrap());
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                let message: Vec<u8> = text.drain(..end + 2).collect();
                let message = String::from_utf8(message).unwrap();
                let field = |name: &str| {
                    message.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
                };
                if !field("event:").is_empty() {
                    messages.push((field("event:"), field("id:"), field("data:")));
                }
            }
        }
        messages
    }

    fn check(&self, method: &Method, path: &str, answer: &Answer) {
        let is_json = answer.header("content-type").ends_with("json");
        let Some(operation) = self.operation(method, path) else {
            return;
        };
        let responses = &operation["responses"];
        let exact = &responses[answer.status.as_str()];
        let expected = if exact.is_null() { &responses["default"] } else { exact };
        assert!(
            !exact.is_null() || answer.status.is_client_error() || answer.status.is_server_error(),
            "{method} {path}: {} is not in the description",
            answer.status
        );
        if !is_json || answer.body.is_empty() {
            return;
        }
        let media = answer.header("content-type");
        let mut schema = expected["content"][media]["schema"].clone();
        assert!(schema.is_object(), "{method} {path}: no schema for {} {media}", answer.status);
        schema["components"] = self.api["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let wrong: Vec<String> =
            validator.iter_errors(&answer.json()).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "{method} {path}: {wrong:#?}\n{:#}", answer.json());
    }

    fn operation(&self, method: &Method, path: &str) -> Option<&Value> {
        let method = if *method == Method::HEAD { "get".to_owned() } else { method.as_str().to_ascii_lowercase() };
        let fits = |template: &str| {
            let mut given = path.split('/');
            for part in template.split('/') {
                match (part, given.next()) {
                    ("{path}", Some(_)) => return true,
                    (part, Some(text)) if part == text || part.starts_with('{') => {}
                    _ => return false,
                }
            }
            given.next().is_none()
        };
        let paths = self.api["paths"].as_object().unwrap();
        // What is spelt out wins over a parameter.
        let templates = paths.iter().filter(|(template, _)| fits(template));
        templates
            .min_by_key(|(template, _)| template.matches('{').count())
            .map(|(_, item)| &item[method.as_str()])
            .filter(|operation| operation.is_object())
    }

    /// Appends to an attempt's log as an ant does.
    pub(super) async fn log(&self, attempt: &AttemptId, offset: u64, parts: &[(LogStream, &[u8])]) {
        self.server.logs().append(chunk(attempt, offset, parts)).await.unwrap();
    }

    /// Stores a content as an ant does.
    pub(super) async fn blob(&self, path: &str, content: &[u8]) -> ArtifactFile {
        let digest = Digest(blake3::hash(content).to_hex().to_string());
        let file = self.dir.path().join("upload");
        std::fs::write(&file, content).unwrap();
        let size = content.len() as u64;
        self.server.artifacts().put(&digest, size, &file).await.unwrap();
        ArtifactFile { path: path.to_owned(), digest, size, executable: false }
    }
}

pub(super) fn chunk(attempt: &AttemptId, offset: u64, parts: &[(LogStream, &[u8])]) -> LogChunk {
    LogChunk {
        attempt_id: attempt.clone(),
        token: 1,
        offset,
        segments: parts
            .iter()
            .map(|(stream, bytes)| LogSegment {
                stream: *stream,
                at: UnixMillis(1_767_571_200_000),
                len: u32::try_from(bytes.len()).unwrap(),
            })
            .collect(),
        bytes: parts.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect(),
    }
}

pub(super) fn number(assignment: &Assignment) -> u32 {
    let (_, AttemptNumber(number)) = assignment.attempt_id.parts().unwrap();
    number
}
