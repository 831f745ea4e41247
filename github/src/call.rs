//! One request: who may be asked, when, how often, and what an answer means.

use std::sync::Arc;
use std::time::Duration;

use atta_core::resilience::{Pauses, causes, retry_after};
use atta_core::time::UnixMillis;
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use crate::credential::{Bearer, Role};
use crate::failed::{Failed, Kind};
use crate::session::Session;

/// The version of the API that is spoken (<https://docs.github.com/rest/about-the-rest-api/api-versions>).
const VERSION: &str = "2022-11-28";
/// Bytes of one answer: a page of comments that are as long as GitHub takes, in characters of four bytes.
const LARGEST: usize = 48 << 20;
/// The longest wait that an answer can ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// What GitHub asks those to wait whom it gives no time (its rate limit guide: at least one minute).
const UNSAID_WAIT: Duration = Duration::from_mins(1);
/// A host that does not answer within this is not well.
const FAIR: Duration = Duration::from_secs(10);
/// Renamed repositories redirect.
const REDIRECTS: u32 = 3;
/// Bytes of the texts in the entries of one list.
const HEAVIEST: usize = 16 << 20;
/// Entries of one page.
pub(crate) const PAGE: usize = 100;

/// A success.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) body: Arc<Value>,
    pub(crate) next: Option<Url>,
}

/// Entries of several pages.
pub(crate) struct Pages {
    pub(crate) entries: Vec<Value>,
    /// There are others.
    pub(crate) more: bool,
}

impl Session<'_> {
    pub(crate) async fn get(&self, url: &Url) -> Result<Answer, Failed> {
        self.get_as(url, Role::Ordinary).await
    }

    /// What is not there is nothing; what cannot be asked is an error.
    pub(crate) async fn get_if_there(&self, url: &Url) -> Result<Option<Answer>, Failed> {
        match self.get(url).await {
            Ok(answer) => Ok(Some(answer)),
            Err(failed) if failed.kind == Kind::NotFound && failed.answered == Some(404) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    pub(crate) async fn get_as(&self, url: &Url, role: Role) -> Result<Answer, Failed> {
        self.send_again(&Method::GET, url, None, role).await
    }

    /// Changes to what it says, however often: what failed is tried again.
    pub(crate) async fn put(&self, method: &Method, url: &Url, body: Option<&Value>) -> Result<Answer, Failed> {
        self.send_again(method, url, body, Role::Ordinary).await
    }

    /// Makes something: once. Whoever hears that it is uncertain looks before he makes it again.
    pub(crate) async fn make(&self, url: &Url, body: &Value) -> Result<Answer, Failed> {
        self.send(&Method::POST, url, Some(body), Role::Ordinary).await
    }

    /// Pauses after a failure that may pass, if there is reason to hope; otherwise gives it back.
    pub(crate) async fn pause(&self, failed: Failed, pauses: &mut Pauses) -> Result<(), Failed> {
        let tried = pauses.failures() + 1;
        let short = failed.retry_after.is_none_or(|wait| wait <= self.hub.patience.wait);
        if failed.kind == Kind::RateLimited && short && tried < self.hub.patience.tries {
            // It was refused as a whole. Whoever asks next waits.
            pauses.next(&*self.hub.entropy);
            return Ok(());
        }
        // A breaker that is open says when it is worth while, too: then nobody was asked.
        let soon = failed.retry_after.is_none() || (short && failed.answered.is_some());
        if failed.kind != Kind::Unavailable || !soon {
            return Err(failed);
        }
        if tried >= self.hub.patience.tries || !self.hub.host(&self.authority()).budget.retry() {
            let message = format!("{} (tried {})", failed.message, times(tried));
            return Err(Failed { message, ..failed });
        }
        let mut pause = pauses.next(&*self.hub.entropy).max(failed.retry_after.unwrap_or_default());
        if failed.uncertain {
            // It may be on its way still.
            pause = pause.max(self.hub.patience.look);
        }
        self.say(format!("{}: trying again", failed.message));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    pub(crate) fn pauses(&self) -> Pauses {
        Pauses::new(self.hub.patience.pauses)
    }

    pub(crate) async fn send_again(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
        role: Role,
    ) -> Result<Answer, Failed> {
        let mut pauses = self.pauses();
        loop {
            match self.send(method, url, body, role).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => self.pause(failed, &mut pauses).await?,
            }
        }
    }

    /// All entries of a list, as far as they are wanted: an array, or the array under a key.
    pub(crate) async fn pages(
        &self,
        first: Url,
        under: Option<&str>,
        most: usize,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Pages, Failed> {
        self.pages_of(first, under, most, |entry| wanted(entry).then(|| entry.clone())).await
    }

    /// The same, with what is kept of each entry that is wanted.
    pub(crate) async fn pages_of(
        &self,
        first: Url,
        under: Option<&str>,
        most: usize,
        kept: impl Fn(&Value) -> Option<Value>,
    ) -> Result<Pages, Failed> {
        let mut entries: Vec<Value> = Vec::new();
        let mut ids = std::collections::HashSet::new();
        let mut url = first;
        let mut heavy = 0;
        // More pages than this are for a search.
        let bound = most.div_ceil(PAGE) * 2 + 20;
        for _ in 0..bound {
            let answer = self.get(&url).await?;
            let list = under.map_or(&*answer.body, |key| &answer.body[key]);
            let list = list.as_array().ok_or_else(|| {
                Failed::unexpected(format!("{} answered with something that is no list", shown(&url)))
            })?;
            if answer.body["incomplete_results"] == Value::Bool(true) {
                let message = "GitHub did not finish the search in its time: the result would not be complete";
                return Err(Failed::new(Kind::Incomplete, message));
            }
            for entry in list.iter().filter_map(&kept) {
                // A list may move between two pages.
                if entry["id"].as_u64().is_some_and(|id| !ids.insert(id)) {
                    continue;
                }
                if entries.len() == most {
                    return Ok(Pages { entries, more: true });
                }
                heavy += weight(&entry);
                if heavy > HEAVIEST {
                    let message = format!("the texts of {} have more than {} MiB", shown(&url), HEAVIEST >> 20);
                    return Err(Failed::new(Kind::Incomplete, format!("{message}: ask for less at once")));
                }
                entries.push(entry);
            }
            match answer.next {
                None => return Ok(Pages { entries, more: false }),
                Some(next) => url = next,
            }
        }
        if entries.is_empty() {
            let message =
                format!("among the first {} of {} is none that fits, and there are more", bound * PAGE, shown(&url));
            return Err(Failed::new(Kind::Incomplete, message));
        }
        Ok(Pages { entries, more: true })
    }

    fn authority(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        format!("{host}:{}", self.base.port_or_known_default().unwrap_or_default())
    }

    /// One request. A token that GitHub does not know any more is got anew once.
    async fn send(&self, method: &Method, url: &Url, body: Option<&Value>, role: Role) -> Result<Answer, Failed> {
        let mut renewed = false;
        loop {
            let bearer = self.bearer_for(role).await?;
            match self.ask(method, url, body, &bearer).await {
                Err(failed)
                    if failed.answered == Some(401)
                        && !renewed
                        && role == Role::Ordinary
                        && self.forget_token(&bearer).await =>
                {
                    renewed = true;
                }
                other => return other,
            }
        }
    }

    async fn ask(&self, method: &Method, url: &Url, body: Option<&Value>, bearer: &Bearer) -> Result<Answer, Failed> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            match self.exchange(method, &url, body, bearer).await? {
                Exchanged::Answer(answer) => return Ok(answer),
                Exchanged::Moved(target) => url = target,
            }
        }
        Err(Failed::unexpected(format!("was redirected more than {REDIRECTS} times")))
    }

    async fn exchange(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
        bearer: &Bearer,
    ) -> Result<Exchanged, Failed> {
        let host = self.hub.host(&self.authority());
        let resource = if url.path().contains("/search/") { "search" } else { "core" };
        self.wait_for_limit(&bearer.who, resource).await?;
        self.gate.check(url).map_err(|sentence| Failed::new(Kind::AddressRefused, sentence))?;
        let permit = host.breaker.ask(self.hub.clock.monotonic()).map_err(|wait| {
            let message = format!(
                "{} has failed so often in a row that it is left alone for {}",
                self.authority(),
                in_words(wait)
            );
            Failed::new(Kind::Unavailable, message).after(wait.max(Duration::from_secs(1)))
        })?;
        let is_get = *method == Method::GET;
        let kept = if is_get { self.hub.cache().get(&bearer.who, url.as_str()) } else { None };
        let mut request = self
            .client
            .request(method.clone(), url.clone())
            .header(header::ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", VERSION)
            .bearer_auth(&bearer.text);
        if let Some(kept) = &kept {
            request = request.header(header::IF_NONE_MATCH, &kept.etag);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let begun = self.hub.clock.monotonic();
        self.say(format!("> {method} {url}"));
        let limit = self.order.request_timeout;
        let received = match tokio::time::timeout(limit, receive(request)).await {
            Ok(received) => received,
            Err(_) => Err(Broken::Slow),
        };
        let answer = match received {
            Ok(answer) => answer,
            Err(broken) => {
                // Whoever gives a host no time must not call it broken for all others.
                let impatient = matches!(broken, Broken::Slow) && limit < FAIR;
                let failed = self.broken(broken, method, url);
                if failed.kind == Kind::Unavailable && !impatient {
                    permit.failed(self.hub.clock.monotonic(), &*self.hub.entropy);
                }
                return Err(failed);
            }
        };
        if answer.status.is_server_error() {
            permit.failed(self.hub.clock.monotonic(), &*self.hub.entropy);
        } else {
            permit.succeeded();
            host.budget.answered();
        }
        let taken = self.hub.clock.monotonic().saturating_sub(begun);
        let left = header_text(&answer.headers, "x-ratelimit-remaining");
        let left = left.map(|left| format!(", {left} requests left")).unwrap_or_default();
        self.say(format!("< {} after {} ms{left}", answer.status, taken.as_millis()));
        self.note_limit(&bearer.who, resource, &answer.headers);
        self.understand(&answer, method, url, bearer, kept)
    }

    fn understand(
        &self,
        answer: &Received,
        method: &Method,
        url: &Url,
        bearer: &Bearer,
        kept: Option<crate::cache::Kept>,
    ) -> Result<Exchanged, Failed> {
        let status = answer.status;
        let wrote = *method != Method::GET;
        if status == StatusCode::NOT_MODIFIED
            && let Some(kept) = kept
        {
            // The ETag is that of the body alone: the page may have got a next one.
            let link = header_text(&answer.headers, "link").map(str::to_owned).or(kept.link);
            let next = self.next_page(link.as_deref())?;
            let body = Arc::clone(&kept.body);
            self.hub.cache().put((&bearer.who, url.as_str()), kept.etag, kept.body, link, kept.size);
            return Ok(Exchanged::Answer(Answer { body, next }));
        }
        if status.is_redirection() {
            return moved(&answer.headers, status, url);
        }
        if !status.is_success() {
            return Err(self.refusal(answer, method, url, &bearer.who));
        }
        let link = header_text(&answer.headers, "link").map(str::to_owned);
        let next = self.next_page(link.as_deref())?;
        if answer.body.is_empty() {
            if wrote {
                return Ok(Exchanged::Answer(Answer { body: Arc::new(Value::Null), next }));
            }
            return Err(Failed::unexpected(format!("{} answered with nothing", shown(url))).answered(status.as_u16()));
        }
        let document = json_document(answer).map_err(|why| {
            let failed = Failed::unexpected(format!("the answer of {} {why}", shown(url))).answered(status.as_u16());
            if wrote { failed.uncertain() } else { failed }
        })?;
        let body = Arc::new(document);
        // A full page may get a next one, and not everybody says so when he confirms it.
        let may_grow = next.is_none() && is_full(&body);
        if !wrote
            && !may_grow
            && let Some(etag) = header_text(&answer.headers, "etag")
        {
            let size = answer.body.len();
            self.hub.cache().put((&bearer.who, url.as_str()), etag.to_owned(), Arc::clone(&body), link, size);
        }
        Ok(Exchanged::Answer(Answer { body, next }))
    }

    /// Waits as long as was asked for, if that is not long.
    async fn wait_for_limit(&self, who: &str, resource: &str) -> Result<(), Failed> {
        while let Some((wait, why)) = self.hub.blocked(who, resource) {
            if wait > self.hub.patience.wait {
                return Err(Failed::new(Kind::RateLimited, why).after(wait.min(LONGEST_WAIT)));
            }
            self.say(format!("{why}: waiting"));
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// The last request that a limit allows was made.
    fn note_limit(&self, who: &str, resource: &str, headers: &HeaderMap) {
        if header_text(headers, "x-ratelimit-remaining") != Some("0") {
            return;
        }
        let Some(reset) = header_text(headers, "x-ratelimit-reset").and_then(|text| text.parse::<i64>().ok()) else {
            return;
        };
        let resource = header_text(headers, "x-ratelimit-resource").unwrap_or(resource);
        let wait = UnixMillis(reset.saturating_mul(1000)).since(self.hub.now()).min(LONGEST_WAIT);
        // Its clock and ours differ a little.
        let wait = wait + Duration::from_secs(1);
        let limit = header_text(headers, "x-ratelimit-limit").unwrap_or("all");
        let why =
            format!("GitHub's rate limit is used up ({limit} requests of the kind {resource}), for {}", in_words(wait));
        self.hub.block(who, resource, wait, why);
    }

    fn refusal(&self, answer: &Received, method: &Method, url: &Url, who: &str) -> Failed {
        let status = answer.status.as_u16();
        let document = json_document(answer).unwrap_or(Value::Null);
        let said = said(&document);
        let what = format!("{method} {}", shown(url));
        if matches!(status, 403 | 429) {
            let lower = said.to_ascii_lowercase();
            let asked = header_text(&answer.headers, "retry-after")
                .and_then(|text| retry_after(text, self.hub.now(), LONGEST_WAIT));
            let used_up = header_text(&answer.headers, "x-ratelimit-remaining") == Some("0");
            if used_up
                && let Some((wait, why)) = self.hub.blocked(who, "core").or_else(|| self.hub.blocked(who, "search"))
            {
                return Failed::new(Kind::RateLimited, why).answered(status).after(wait.min(LONGEST_WAIT));
            }
            if status == 429 || asked.is_some() || lower.contains("rate limit") || lower.contains("abuse detection") {
                let wait = asked.unwrap_or(UNSAID_WAIT);
                let why = format!("GitHub asks to be left alone for {} ({said})", in_words(wait));
                self.hub.block(who, "", wait, why.clone());
                return Failed::new(Kind::RateLimited, why).answered(status).after(wait);
            }
        }
        let failed = match status {
            401 => {
                Failed::new(Kind::Auth, format!("GitHub does not accept the credential ({said}): is it still valid?"))
            }
            403 => {
                let needed = header_text(&answer.headers, "x-accepted-github-permissions");
                let needed = needed.map(|text| format!("; it needs {text}")).unwrap_or_default();
                Failed::new(Kind::Auth, format!("the credential may not {what} ({said}{needed})"))
            }
            404 | 410 => Failed::new(
                Kind::NotFound,
                format!("{what}: there is no such thing, or the credential does not see it ({said})"),
            ),
            408 | 425 | 500..=599 => {
                let failed = Failed::new(Kind::Unavailable, format!("{what} was answered with {status} ({said})"));
                let asked = header_text(&answer.headers, "retry-after")
                    .and_then(|text| retry_after(text, self.hub.now(), LONGEST_WAIT));
                let failed = Failed { retry_after: asked, ..failed };
                if *method == Method::GET { failed } else { failed.uncertain() }
            }
            _ => Failed::new(Kind::Validation, format!("GitHub refuses {what} with {status}: {said}")),
        };
        failed.answered(status)
    }

    /// The address of the next page (RFC 8288), which must be one of the same host.
    fn next_page(&self, link: Option<&str>) -> Result<Option<Url>, Failed> {
        let Some(link) = link else { return Ok(None) };
        let next = link.split(',').find_map(|part| {
            let (target, rest) = part.trim().strip_prefix('<')?.split_once('>')?;
            rest.split(';').any(|param| matches!(param.trim(), "rel=\"next\"" | "rel=next")).then_some(target)
        });
        let Some(next) = next else { return Ok(None) };
        match self.base.join(next) {
            Ok(url) if url.origin() == self.base.origin() => Ok(Some(url)),
            _ => Err(Failed::unexpected("the next page of a list would be on another host")),
        }
    }

    fn broken(&self, broken: Broken, method: &Method, url: &Url) -> Failed {
        let wrote = *method != Method::GET;
        let (message, connected) = match broken {
            Broken::Slow => {
                let limit = in_words(self.order.request_timeout);
                (format!("{} did not answer {method} {} within {limit}", self.authority(), shown(url)), true)
            }
            Broken::TooLong => {
                return Failed::unexpected(format!("the answer of {} has more than {LARGEST} bytes", shown(url)));
            }
            Broken::Http(error) => {
                if let Some(sentence) = self.gate.refused(&error) {
                    return Failed::new(Kind::AddressRefused, sentence);
                }
                if error.is_connect() {
                    (format!("cannot connect to {}: {}", self.authority(), causes(&error)), false)
                } else {
                    (format!("{} broke off its answer: {}", self.authority(), causes(&error)), true)
                }
            }
        };
        let failed = Failed::new(Kind::Unavailable, message);
        if wrote && connected { failed.uncertain() } else { failed }
    }
}

enum Exchanged {
    Answer(Answer),
    Moved(Url),
}

struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

enum Broken {
    Slow,
    TooLong,
    Http(reqwest::Error),
}

async fn receive(request: reqwest::RequestBuilder) -> Result<Received, Broken> {
    let mut response = request.send().await.map_err(Broken::Http)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Broken::Http)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(Broken::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Received { status, headers, body })
}

fn json_document(answer: &Received) -> Result<Value, String> {
    let kind = header_text(&answer.headers, "content-type").unwrap_or("nothing");
    let plain = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if plain != "application/json" && !plain.ends_with("+json") {
        let kind: String = kind.chars().filter(|c| !c.is_control()).take(60).collect();
        return Err(format!("is {kind}, not JSON: does github.api_url lead to GitHub's API?"));
    }
    serde_json::from_slice(&answer.body).map_err(|error| format!("is no JSON: {error}"))
}

/// Whether it is a page of a list, or has one, to which nothing can be added.
fn is_full(body: &Value) -> bool {
    let full = |list: &Value| list.as_array().is_some_and(|list| list.len() >= PAGE);
    full(body) || body.as_object().is_some_and(|body| body.values().any(full))
}

/// Bytes of the texts in an entry of a list, which somebody else has written.
fn weight(entry: &Value) -> usize {
    let texts = [&entry["body"], &entry["diff_hunk"], &entry["output"]["summary"], &entry["output"]["text"]];
    texts.iter().filter_map(|text| text.as_str()).map(str::len).sum()
}

fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Renamed repositories have moved; what opens doors goes to no other host.
fn moved(headers: &HeaderMap, status: StatusCode, url: &Url) -> Result<Exchanged, Failed> {
    let code = status.as_u16();
    let location = header_text(headers, "location").and_then(|text| url.join(text).ok());
    match location {
        Some(target) if matches!(code, 301 | 302 | 307 | 308) && target.origin() == url.origin() => {
            Ok(Exchanged::Moved(target))
        }
        _ => {
            Err(Failed::unexpected(format!("{} answered with {code} and no address of its own", shown(url)))
                .answered(code))
        }
    }
}

/// GitHub's own words, on one line.
fn said(document: &Value) -> String {
    let mut text = document["message"].as_str().unwrap_or("it gave no reason").to_owned();
    for error in document["errors"].as_array().into_iter().flatten().take(5) {
        let more = match error {
            Value::String(text) => text.clone(),
            _ => {
                if let Some(message) = error["message"].as_str() {
                    message.to_owned()
                } else {
                    let word = |key: &str| error[key].as_str().unwrap_or("?").to_owned();
                    format!("{}.{} is {}", word("resource"), word("field"), word("code"))
                }
            }
        };
        text = format!("{text}; {more}");
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

/// The path alone: what a query says may be long.
fn shown(url: &Url) -> String {
    url.path().chars().take(200).collect()
}

fn in_words(wait: Duration) -> String {
    let seconds = wait.as_secs_f64();
    match wait.as_secs() {
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{seconds:.0} s"),
        more => format!("{} min", more.div_ceil(60)),
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
