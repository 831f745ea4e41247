//! The line to the server: requests, problem answers, and ids by a part of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::JobId;
use atta_core::protocol::api::{AttemptResource, JobAttemptResource, JobDetail, JobSummary, Page, Problem};
use atta_core::resilience::{Backoff, Class, Pauses, TimeLimits, retry_after, root_cause};
use atta_core::secret::SecretText;
use atta_core::time::UnixMillis;
use atta_worker::remote::{PinnedCertificate, pinned_tls};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::ambient;
use crate::args::{ServerArgs, TokenFileArgs};
use crate::exit::{CommandResult, Exit, Failure};

/// An answer takes as long as something moves; it has to begin within the idle time.
const LIMITS: TimeLimits = TimeLimits { connect: Duration::from_secs(5), idle: Duration::from_mins(2) };
/// So often something is read again that broke off or that the server had no time for…
const AGAIN: u32 = 2;
/// …with these pauses…
const PAUSES: Backoff = Backoff { first: Duration::from_millis(200), factor: 3, cap: Duration::from_secs(2) };
/// …unless the server asks for a longer one: somebody waits for this program.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many jobs are looked through, the newest first, for a shortened id.
const SHORT_ID_HORIZON: usize = 10_000;

/// A server, by its URL.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    base: Url,
    client: reqwest::Client,
    token: Option<SecretText>,
    pinned: Option<Arc<PinnedCertificate>>,
    /// How long nothing may come of an answer that has begun.
    pub(super) idle: Duration,
}

impl Server {
    /// Checks the URL; nothing is sent yet.
    pub(crate) fn new(args: &ServerArgs) -> CommandResult<Self> {
        Self::configured(args, |client| client)
    }

    /// The same; its answers tell with which certificate they came.
    pub(crate) fn with_certificates(args: &ServerArgs) -> CommandResult<Self> {
        Self::configured(args, |client| client.tls_info(true))
    }

    fn configured(
        args: &ServerArgs,
        configure: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> CommandResult<Self> {
        let bad = |why: &str| {
            Failure::usage(format!("\"{}\" cannot be the server's URL: {why}.", args.server))
                .with_help("Give --server or ATTA_SERVER a URL such as http://127.0.0.1:7777.")
        };
        let base = Url::parse(args.server.trim_end_matches('/')).map_err(|error| bad(&error.to_string()))?;
        match base.scheme() {
            "http" | "https" if base.has_host() => {}
            _ => return Err(bad("it has to begin with http:// or https://")),
        }
        // A proxy of the environment is for other things.
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(LIMITS.connect)
            .user_agent(concat!("atta/", env!("CARGO_PKG_VERSION")));
        client = configure(client);
        if let Some(file) = &args.token.ca_file {
            client = client.tls_certs_merge(authorities(file)?);
        }
        let pinned = args.token.queen_fingerprint.map(|expected| Arc::new(PinnedCertificate::new(expected)));
        if let Some(pinned) = &pinned {
            let tls = pinned_tls(Arc::clone(pinned), false)
                .map_err(|error| Failure::failed(format!("TLS cannot be used: {error}.")))?;
            client = client.tls_backend_preconfigured(tls);
        }
        let client =
            client.build().map_err(|error| Failure::failed(format!("The HTTP client cannot start: {error}.")))?;
        Ok(Self { base, client, token: given_token(&args.token)?, pinned, idle: LIMITS.idle })
    }

    /// The URL as it was given.
    pub(crate) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A request to a path below the server's URL, given as segments and query pairs that are escaped.
    pub(crate) fn request(&self, method: Method, segments: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.client.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    /// Whether requests say by a token who sends them.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// `GET /api/v1/…`.
    pub(crate) fn get(&self, segments: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        self.request(Method::GET, &[&["api", "v1"], segments].concat(), query)
    }

    /// `POST /api/v1/…`.
    pub(crate) fn post(&self, segments: &[&str]) -> RequestBuilder {
        self.request(Method::POST, &[&["api", "v1"], segments].concat(), &[])
    }

    /// All pages of a list.
    pub(crate) async fn all<T: DeserializeOwned>(&self, segments: &[&str]) -> CommandResult<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = vec![("limit", "200")];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.json(self.get(segments, &query)).await?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    /// Sends; an answer that is no success becomes a failure in the server's own words.
    pub(crate) async fn send(&self, request: RequestBuilder) -> CommandResult<Response> {
        let mut pauses = Pauses::new(PAUSES);
        let mut request = request;
        loop {
            let again = request.try_clone();
            let (client, built) = request.build_split();
            let built = built.map_err(|error| self.no_answer(&error))?;
            // What only reads can be said again without doing anything twice.
            let again = again.filter(|_| built.method() == Method::GET && pauses.failures() < AGAIN);
            let Ok(answer) = tokio::time::timeout(LIMITS.idle, client.execute(built)).await else {
                let text = format!("{} takes connections and does not answer.", self.url());
                return Err(Failure::new(Exit::Unreachable, "UNREACHABLE", text)
                    .with_help("`atta doctor` looks at the server; its log on stderr says more."));
            };
            let asked = match &answer {
                Ok(response) if response.status().is_success() => None,
                Ok(response) => {
                    let text = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                    let asked = text.and_then(|text| retry_after(text, UnixMillis(i64::MAX), Duration::MAX));
                    match Class::of_status(response.status().as_u16(), asked) {
                        Some(Class::RateLimited(wait)) => Some(wait.unwrap_or_default()),
                        _ => None,
                    }
                }
                // Where nothing listens, nothing will in a second.
                Err(error) if error.is_connect() || error.is_builder() => None,
                Err(_) => Some(Duration::ZERO),
            };
            if let (Some(again), Some(asked)) = (again, asked.filter(|asked| *asked <= PATIENCE)) {
                tokio::time::sleep(pauses.next(&ambient::SystemEntropy).max(asked)).await;
                request = again;
                continue;
            }
            let response = answer.map_err(|error| self.no_answer(&error))?;
            return if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) };
        }
    }

    /// Sends and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> CommandResult<T> {
        let response = self.send(request).await?;
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Failure::failed(format!("{} gave an answer that this program does not understand: {error}.", self.url()))
                .with_help("Server and client should have the same version: compare `atta --version`.")
        })
    }

    /// The server's refusal, in its own words.
    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = self.body(response).await.unwrap_or_default();
        let exit = match status {
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => Exit::Usage,
            status if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE => Exit::Failed,
            _ => Exit::Refused,
        };
        let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
            let text = String::from_utf8_lossy(&body);
            return Failure::new(exit, "HTTP", format!("The server answered {status}: {}", text.trim()))
                .with_help("Is this an Atta server? Check --server and ATTA_SERVER.");
        };
        let failure = Failure::new(exit, &problem.code, problem.detail).with_violations(problem.field_violations);
        if status == StatusCode::UNAUTHORIZED {
            return failure.with_help(
                "Give a token by --token-file or ATTA_TOKEN_FILE; `atta token create` makes one, on the server's machine with \
                 --data-dir while the server is stopped.",
            );
        }
        match retry_after {
            Some(seconds) => failure.with_help(format!("Try again in {seconds} s.")),
            None if status.is_server_error() => {
                failure.with_help(format!("The server's log has more: look for request {}.", problem.request_id))
            }
            None => failure,
        }
    }

    /// All of an answer.
    pub(crate) async fn body(&self, mut response: Response) -> CommandResult<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.part(response.chunk()).await?.map_err(|error| self.no_answer(&error))? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// The next part of an answer. When nothing at all comes for too long, the server or the line to it is dead.
    pub(super) async fn part<T>(&self, next: impl Future<Output = T>) -> CommandResult<T> {
        tokio::time::timeout(self.idle, next).await.map_err(|_| {
            let message = format!("Nothing came from {} for {} s.", self.url(), self.idle.as_secs());
            Failure::new(Exit::Unreachable, "UNREACHABLE", message)
                .with_help("`atta doctor` looks at the server; its log on stderr says more.")
        })
    }

    /// Nothing came back, or it broke off.
    pub(crate) fn no_answer(&self, error: &reqwest::Error) -> Failure {
        if let Some(detail) = self.pinned.as_ref().and_then(|pinned| pinned.take_mismatch()) {
            return Failure::new(Exit::Refused, "FINGERPRINT", format!("{} is another server: {detail}.", self.url()))
                .with_help("A server prints its fingerprint when it starts: give that by --queen-fingerprint.");
        }
        let cause = root_cause(error);
        // What rustls says is behind two errors that hide it from `source`.
        if cause.to_string().contains("invalid peer certificate") {
            let message = format!("The certificate of {} is not trusted: {cause}.", self.url());
            return Failure::new(Exit::Refused, "CERTIFICATE", message).with_help(
                "Give the fingerprint that the server prints when it starts by --queen-fingerprint, or the certificates of \
                 its authority by --ca-file.",
            );
        }
        let what = if error.is_connect() { "No server answers at" } else { "The connection broke with" };
        Failure::new(Exit::Unreachable, "UNREACHABLE", format!("{what} {}: {cause}.", self.url()))
            .with_help("Start one with `atta serve`, or name another one with --server URL or ATTA_SERVER.")
    }

    /// The job with this id, or with an id that begins or ends with this text.
    pub(crate) async fn job_id(&self, text: &str) -> CommandResult<JobId> {
        let text = text.trim();
        let hex = text.strip_prefix("job_").unwrap_or(text);
        if hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(JobId(format!("job_{hex}")));
        }
        if hex.is_empty() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(Failure::usage(format!("\"{text}\" is no job id, nor a part of one."))
                .with_help("`atta jobs` lists the ids."));
        }
        let matches = |job: &JobSummary| {
            let id = job.job_id.0.strip_prefix("job_").unwrap_or(&job.job_id.0);
            id.starts_with(hex) || id.ends_with(hex)
        };
        let mut found = Vec::new();
        let mut seen = 0;
        let mut cursor = None;
        loop {
            let page = self.jobs_page(&[("text", hex)], 200, cursor.as_deref()).await?;
            seen += page.items.len();
            found.extend(page.items.into_iter().filter(matches).map(|job| job.job_id));
            cursor = page.next_cursor;
            if cursor.is_none() || seen >= SHORT_ID_HORIZON {
                break;
            }
        }
        match found.len() {
            0 => Err(Failure::new(
                Exit::Refused,
                "NOT_FOUND",
                format!("No job has an id with \"{text}\" at its beginning or end."),
            )
            .with_help("`atta jobs` lists the ids.")),
            1 => Ok(found.remove(0)),
            count => {
                let some: Vec<&str> = found.iter().take(5).map(|id| id.0.as_str()).collect();
                Err(Failure::usage(format!(
                    "\"{text}\" fits {count} jobs: {}{}.",
                    some.join(", "),
                    if count > 5 { ", …" } else { "" }
                ))
                .with_help("The last characters of an id tell jobs apart best."))
            }
        }
    }

    /// One page of jobs, the newest first.
    pub(crate) async fn jobs_page(
        &self,
        filters: &[(&str, &str)],
        limit: u32,
        cursor: Option<&str>,
    ) -> CommandResult<Page<JobSummary>> {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(filters);
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.json(self.get(&["jobs"], &query)).await
    }

    /// A job with its tasks and all of their attempts.
    pub(crate) async fn job_with_attempts(&self, id: &JobId) -> CommandResult<JobDetail> {
        let mut job = self.job(id).await?;
        if job.attempts_href.take().is_none() {
            return Ok(job);
        }
        let mut attempts: HashMap<String, Vec<AttemptResource>> = HashMap::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = vec![("limit", "500")];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<JobAttemptResource> = self.json(self.get(&["jobs", &id.0, "attempts"], &query)).await?;
            for one in page.items {
                attempts.entry(one.task_type).or_default().push(one.attempt);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        for task in &mut job.tasks {
            task.attempt_list = attempts.remove(&task.task_type).unwrap_or_default();
        }
        Ok(job)
    }

    /// A job with its tasks and their latest attempts.
    pub(crate) async fn job(&self, id: &JobId) -> CommandResult<JobDetail> {
        self.json(self.get(&["jobs", &id.0], &[])).await
    }
}

/// The token of a file or of the environment, if there is one.
pub(crate) fn given_token(args: &TokenFileArgs) -> CommandResult<Option<SecretText>> {
    let (text, from) = match &args.token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure::usage(format!("The token cannot be read from {}: {error}.", file.display()))
            })?;
            (text, file.display().to_string())
        }
        None => match ambient::variable(ambient::TOKEN) {
            Some(text) => (text, ambient::TOKEN.to_owned()),
            None => return Ok(None),
        },
    };
    let token = text.trim();
    if token.is_empty() || token.contains(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Err(Failure::usage(format!("{from} holds no token: one word such as atta_viewer_… is expected."))
            .with_help("`atta token create NAME --role ROLE` makes one."));
    }
    Ok(Some(SecretText::new(token.to_owned())))
}

/// The certificates of a private authority.
fn authorities(file: &std::path::Path) -> CommandResult<Vec<reqwest::Certificate>> {
    let certificates = reqwest::Certificate::from_pem_bundle(&authorities_pem(file)?).unwrap_or_default();
    if certificates.is_empty() {
        return Err(Failure::usage(format!("{} holds no certificates in PEM form.", file.display())));
    }
    Ok(certificates)
}

/// The text of a file with certificates.
pub(crate) fn authorities_pem(file: &std::path::Path) -> CommandResult<Vec<u8>> {
    std::fs::read(file)
        .map_err(|error| Failure::usage(format!("The certificates cannot be read from {}: {error}.", file.display())))
}

#[cfg(test)]
mod tests {
    use super::super::scripted::scripted;
    use super::*;

    fn server(url: &str) -> CommandResult<Server> {
        Server::new(&ServerArgs { server: url.to_owned(), token: TokenFileArgs::default() })
    }

    #[test]
    fn a_url_that_cannot_be_used_is_explained() {
        let message = |url| server(url).expect_err(url).message;
        assert!(message("127.0.0.1:7777").contains("cannot be the server's URL"));
        assert!(server("https://atta.example").is_ok());
        assert!(message("ftp://atta.example").contains("http://"));
    }

    #[tokio::test]
    async fn an_answer_that_stops_half_way_is_given_up() {
        let (server, _) = scripted(&["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":"]).await;
        let failure = server.json::<serde_json::Value>(server.get(&["version"], &[])).await.expect_err("it is not all");
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Unreachable, "UNREACHABLE"));
        assert!(failure.message.starts_with("Nothing came from http://127.0.0.1:"), "{}", failure.message);
    }

    #[test]
    fn path_segments_are_escaped() {
        let server = server("http://127.0.0.1:7777/atta/").expect("a good URL");
        let request = server.get(&["definitions", "../a b?c"], &[("x", "ä&b")]).build().expect("a good request");
        assert_eq!(request.url().as_str(), "http://127.0.0.1:7777/atta/api/v1/definitions/..%2Fa%20b%3Fc?x=%C3%A4%26b");
    }
}
