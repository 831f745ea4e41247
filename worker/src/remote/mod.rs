//! The line of a remote ant: HTTP, always begun by the ant, so that it works behind NAT.
//!
//! * `call`: one request and what its answer means
//! * `blobs`: artifacts, in parts when a connection breaks
//! * `pin`: certificates that are known by their fingerprint
//! * `notice`: says what is wrong with the line once
//!
//! There are three sets of connections, so that nothing waits behind something slow: one for polls and reports, one for
//! heartbeats, one for logs and artifacts.

mod blobs;
mod call;
mod notice;
mod pin;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use atta_core::protocol::access::Fingerprint;
use atta_core::protocol::ant::{
    ANT_HEADER, Heartbeat, Hello, LogChunk, Orders, PROTOCOL, PROTOCOL_HEADER, PollRequest, ReportBatch,
};
use atta_core::protocol::{AntId, Digest};
use atta_core::resilience::{Backoff, Breaker, BreakerPolicy, RetryBudget, TimeLimits};
use atta_core::secret::SecretText;
use atta_core::time::Entropy;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::{LinkCondition, LinkError, QueenLink};
use blobs::Turns;
use call::Failed;
use notice::Notice;
pub use pin::{PinnedCertificate, pinned_tls};

/// To connect, and how long a transfer may stand still.
const LIMITS: TimeLimits = TimeLimits { connect: Duration::from_secs(10), idle: Duration::from_mins(1) };
/// For the answer to a small message.
const ANSWER: Duration = Duration::from_secs(30);
/// When the queen is left alone: not for long, because ants have leases to keep.
const LEFT_ALONE: BreakerPolicy = BreakerPolicy {
    failures: 10,
    open: Backoff { first: Duration::from_millis(500), factor: 2, cap: Duration::from_secs(4) },
};
/// What may be said again in percent of what is said, and how much beyond that.
const AGAIN: (u32, u32) = (20, 50);
/// For the answer to a heartbeat: another one follows soon.
const PULSE: Duration = Duration::from_secs(10);
/// What a poll may take beyond its wait.
const LATE: Duration = Duration::from_secs(15);
/// The longest wait that a queen allows.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// For the answer to a piece of a log.
const LOG: Duration = Duration::from_mins(1);
/// A smaller piece of a log is sent as it is.
const WORTH_PACKING: usize = 2048;

/// What a remote ant is told about its queen.
#[derive(Clone)]
pub struct RemoteConfig {
    /// Her URL.
    pub queen: Url,
    /// Who the ant is.
    pub ant: AntId,
    /// Its token; a queen on this machine may do without.
    pub token: Option<SecretText>,
    /// Her certificate; without it, one that the system trusts for her name.
    pub fingerprint: Option<Fingerprint>,
    /// Certificates in PEM form that are trusted besides the system's.
    pub authorities: Option<Vec<u8>>,
    /// A proxy to go through; nothing else is asked for one.
    pub proxy: Option<Url>,
    /// What the ant calls its program.
    pub user_agent: String,
    /// The jitter of pauses.
    pub entropy: Arc<dyn Entropy>,
}

/// Why there cannot be a line at all.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The queen's URL.
    #[error("\"{0}\" cannot be the queen's URL: it has to begin with https:// or http:// and name a host")]
    Url(Url),
    /// The token.
    #[error("the token is not one word of visible characters")]
    Token,
    /// The trusted certificates.
    #[error("the file of --ca-file holds no certificates in PEM form")]
    Authorities,
    /// The HTTP client.
    #[error("the HTTP client cannot start: {0}")]
    Client(String),
}

/// What came of saying hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// The queen answers.
    Welcome(Hello),
    /// She cannot be reached now.
    Away(String),
    /// She does not let this ant in, or is not who she should be. Waiting does not help.
    Refused {
        /// Stable machine code.
        code: String,
        /// A sentence.
        detail: String,
    },
}

/// [`QueenLink`] by HTTP.
pub struct RemoteLink {
    base: Url,
    control: Client,
    pulse: Client,
    data: Client,
    entropy: Arc<dyn Entropy>,
    notice: Notice,
    turns: Turns,
    pinned: Option<Arc<PinnedCertificate>>,
    breaker: Breaker,
    budget: RetryBudget,
    retries: AtomicU64,
    /// The beginning of the breaker's time.
    began: Instant,
}

impl RemoteLink {
    /// Nothing is sent yet.
    pub fn new(config: RemoteConfig) -> Result<Self, RemoteError> {
        let base = config.queen;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(RemoteError::Url(base));
        }
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(PROTOCOL_HEADER), HeaderValue::from(PROTOCOL));
        let ant = HeaderValue::from_str(&config.ant.0).map_err(|error| RemoteError::Client(error.to_string()))?;
        headers.insert(HeaderName::from_static(ANT_HEADER), ant);
        if let Some(token) = &config.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
            let mut value = value.map_err(|_| RemoteError::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let pinned = config.fingerprint.map(|fingerprint| Arc::new(PinnedCertificate::new(fingerprint)));
        let authorities = config.authorities.as_deref().map(reqwest::Certificate::from_pem_bundle);
        let authorities = authorities.map(Result::unwrap_or_default);
        if authorities.as_ref().is_some_and(Vec::is_empty) {
            return Err(RemoteError::Authorities);
        }
        let client = |http1: bool| {
            let mut builder = Client::builder()
                .no_proxy()
                .connect_timeout(LIMITS.connect)
                .tcp_keepalive(Duration::from_secs(15))
                .default_headers(headers.clone())
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(config.user_agent.clone());
            if http1 {
                // One connection per transfer: none waits for what another one has lost on the way.
                builder = builder.http1_only();
            } else {
                builder =
                    builder.http2_keep_alive_interval(Duration::from_secs(15)).http2_keep_alive_timeout(LIMITS.connect);
            }
            if let Some(pinned) = &pinned {
                let tls = pinned_tls(Arc::clone(pinned), http1).map_err(RemoteError::Client)?;
                builder = builder.tls_backend_preconfigured(tls);
            }
            if let Some(authorities) = &authorities {
                builder = builder.tls_certs_merge(authorities.iter().cloned());
            }
            if let Some(proxy) = &config.proxy {
                let proxy = reqwest::Proxy::all(proxy.clone());
                builder = builder.proxy(proxy.map_err(|error| RemoteError::Client(error.to_string()))?);
            }
            builder.build().map_err(|error| RemoteError::Client(call::cause(&error)))
        };
        Ok(Self {
            control: client(false)?,
            pulse: client(false)?,
            data: client(true)?,
            base,
            entropy: config.entropy,
            notice: Notice::default(),
            turns: Turns::default(),
            pinned,
            breaker: Breaker::new(LEFT_ALONE),
            budget: RetryBudget::new(AGAIN.0, AGAIN.1),
            retries: AtomicU64::new(0),
            began: Instant::now(),
        })
    }

    /// The queen's URL.
    pub fn queen(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Asks whether the queen lets this ant in.
    pub async fn hello(&self) -> Greeting {
        let request = self.request(&self.control, Method::GET, &["hello"], &[]);
        match self.json::<Hello>(request.timeout(ANSWER)).await {
            Ok(hello) if hello.protocol.abs_diff(PROTOCOL) <= 1 => {
                self.notice.well();
                Greeting::Welcome(hello)
            }
            Ok(hello) => {
                let (theirs, older) = (hello.protocol, if hello.protocol < PROTOCOL { "server" } else { "ant" });
                Greeting::Refused {
                    code: "PROTOCOL".to_owned(),
                    detail: format!("the queen speaks protocol {theirs} and this ant {PROTOCOL}: upgrade the {older}"),
                }
            }
            Err(Failed::Away { detail, .. }) => {
                self.notice.away(self.queen(), &detail);
                Greeting::Away(detail)
            }
            Err(Failed::Denied { code, detail } | Failed::Refused { code, detail, .. }) => {
                Greeting::Refused { code, detail }
            }
        }
    }

    fn request(&self, client: &Client, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1", "ant"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        client.request(method, url)
    }

    /// A small message on its way.
    async fn message<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        body: &impl Serialize,
    ) -> Result<T, LinkError> {
        match self.json_careful(request.json(body)).await {
            Ok(answer) => {
                self.notice.well();
                Ok(answer)
            }
            Err(failed) => Err(self.link_error(failed).await),
        }
    }
}

#[async_trait::async_trait]
impl QueenLink for RemoteLink {
    async fn poll(&self, request: PollRequest, wait: Duration) -> Result<Orders, LinkError> {
        let wait = wait.min(LONGEST_WAIT);
        let seconds = wait.as_secs().to_string();
        let call = self.request(&self.control, Method::POST, &["poll"], &[("wait", &seconds)]);
        self.message(call.timeout(wait + LATE), &request).await
    }

    async fn report(&self, batch: ReportBatch) -> Result<Orders, LinkError> {
        let call = self.request(&self.control, Method::POST, &["report"], &[]);
        self.message(call.timeout(ANSWER), &batch).await
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Orders, LinkError> {
        // Signs of life are never held back: they are what leases hang on, and there is one at a time.
        let call = self.request(&self.pulse, Method::POST, &["heartbeat"], &[]);
        match self.json(call.timeout(PULSE).json(&heartbeat)).await {
            Ok(orders) => {
                self.breaker.close();
                self.notice.well();
                Ok(orders)
            }
            Err(failed) => Err(self.link_error(failed).await),
        }
    }

    async fn append_log(&self, chunk: LogChunk) -> Result<(), LinkError> {
        let (body, packed) = log_body(&chunk).map_err(LinkError::Refused)?;
        let mut request = self.request(&self.data, Method::POST, &["log"], &[]).timeout(LOG);
        request = request.header(CONTENT_TYPE, "application/octet-stream");
        if packed {
            request = request.header(CONTENT_ENCODING, "zstd");
        }
        match self.send_careful(request.body(body)).await {
            Ok(_) => Ok(()),
            Err(failed) => Err(self.link_error(failed).await),
        }
    }

    async fn put_blob(&self, digest: &Digest, size: u64, file: &Path) -> Result<(), LinkError> {
        self.upload(digest, size, file).await
    }

    async fn get_blob(&self, digest: &Digest, to: &Path) -> Result<(), LinkError> {
        self.download(digest, to).await
    }

    fn condition(&self) -> LinkCondition {
        let breaker = self.breaker.state(self.began.elapsed());
        LinkCondition { retries: self.retries.load(Ordering::Relaxed), breaker: Some(breaker) }
    }
}

/// The body of a piece of a log, and whether it is packed.
fn log_body(chunk: &LogChunk) -> Result<(Vec<u8>, bool), String> {
    let header = serde_json::to_vec(chunk).map_err(|error| format!("a piece of a log cannot be said: {error}"))?;
    let length = u32::try_from(header.len()).map_err(|_| "a piece of a log has too many segments".to_owned())?;
    let mut body = Vec::with_capacity(4 + header.len() + chunk.bytes.len());
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&header);
    body.extend_from_slice(&chunk.bytes);
    if body.len() < WORTH_PACKING {
        return Ok((body, false));
    }
    match zstd::bulk::compress(&body, 1) {
        Ok(packed) if packed.len() < body.len() => Ok((packed, true)),
        // Sent as it is.
        _ => Ok((body, false)),
    }
}
