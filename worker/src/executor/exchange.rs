//! One HTTP exchange: the request, its redirects, the answer's body into a file.

use std::io;
use std::path::Path;
use std::time::Duration;

use atta_core::definition::format_size;
use atta_core::engine::{Failure, ResultName};
use atta_core::protocol::ant::HttpRequest;
use atta_core::resilience::causes;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, redirect};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use url::Url;

use super::guard::{Guard, Refused};
use super::phrase::{self, failure};

/// Of one header's value in the log.
const SHOWN: usize = 500;

/// Why there is no answer.
pub(super) type Broken = (ResultName, Failure);

/// The answer, whose body is in the file.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// A request with everything filled in.
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// Headers that hold a variable of the environment.
    pub(super) private_headers: Vec<HeaderName>,
    pub(super) body: Option<Vec<u8>>,
    /// A variable of the environment is in the body.
    pub(super) private_body: bool,
}

pub(super) struct Exchange<'a> {
    pub(super) client: Client,
    pub(super) guard: &'a Guard,
    pub(super) request: &'a HttpRequest,
    pub(super) idle_timeout: Option<Duration>,
    /// Lines for the log.
    pub(super) lines: UnboundedSender<String>,
}

/// A client that follows nothing by itself, keeps connections of one attempt only and knows no proxy.
pub(super) fn client(guard: &Guard, connect_timeout: Duration, authorities: Option<&[u8]>) -> Result<Client, String> {
    let builder = || {
        Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(connect_timeout)
            .user_agent(concat!("atta/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(guard.clone())
    };
    match authorities {
        Some(pem) => {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| format!("`ca_file` holds no certificates: {}", causes(&error)))?;
            if certificates.is_empty() {
                return Err("`ca_file` holds no certificates".to_owned());
            }
            let merged = builder().tls_certs_merge(certificates.clone()).build();
            // A system without any authority of its own.
            merged.or_else(|_| builder().tls_certs_only(certificates).build())
        }
        None => builder().build().or_else(|_| builder().tls_certs_only([]).build()),
    }
    .map_err(|error| format!("no HTTP client can be made: {}", causes(&error)))
}

impl Exchange<'_> {
    fn say(&self, line: String) {
        // Nobody hears an attempt that is to be forgotten.
        let _ = self.lines.send(line);
    }

    /// Asks, follows redirects, and writes the body of the last answer.
    pub(super) async fn run(&self, mut prepared: Prepared, body: &Path) -> Result<Answer, Broken> {
        let mut followed = 0;
        loop {
            let begun = Instant::now();
            let response = self.ask(&prepared).await?;
            let status = response.status();
            let taken = phrase::duration(begun.elapsed().max(Duration::from_millis(1)));
            self.say(format!("< {:?} {status} after {taken}", response.version()));
            for (name, value) in response.headers() {
                self.say(format!("< {name}: {}", shown(name, value)));
            }
            if !(100..600).contains(&status.as_u16()) {
                let message = format!("answered with the status {}, which HTTP does not have", status.as_u16());
                return Err((ResultName::Invalid, failure("BAD_ANSWER", message)));
            }
            let target = match response.headers().get(header::LOCATION) {
                Some(location) if is_redirect(status) && self.request.follow_redirects > 0 => location.clone(),
                _ => {
                    let headers = response.headers().clone();
                    self.save(response, body).await?;
                    return Ok(Answer { status, headers });
                }
            };
            followed += 1;
            if followed > self.request.follow_redirects {
                let message = format!("was redirected more than {} times", self.request.follow_redirects);
                return Err((ResultName::Invalid, failure("TOO_MANY_REDIRECTS", message)));
            }
            prepared = follow(prepared, status, &target)?;
        }
    }

    async fn ask(&self, prepared: &Prepared) -> Result<Response, Broken> {
        let url = &prepared.url;
        self.guard.check_url(url).map_err(|refused| refuse(&refused))?;
        self.say(format!("> {} {url}", prepared.method));
        for (name, value) in &prepared.headers {
            let hidden = prepared.private_headers.contains(name);
            self.say(format!("> {name}: {}", if hidden { "***".to_owned() } else { shown(name, value) }));
        }
        if let Some(body) = &prepared.body {
            self.say(format!("> {} of body", format_size(body.len() as u64)));
        }
        let mut request = self.client.request(prepared.method.clone(), url.clone()).headers(prepared.headers.clone());
        if let Some(body) = &prepared.body {
            request = request.body(body.clone());
        }
        match self.idle_timeout {
            None => request.send().await,
            Some(limit) => tokio::time::timeout(limit, request.send()).await.map_err(|_| idle(limit))?,
        }
        .map_err(|error| self.broken(&error, url))
    }

    async fn save(&self, mut response: Response, path: &Path) -> Result<(), Broken> {
        let most = self.request.max_body;
        let url = response.url().clone();
        if let Some(length) = response.content_length()
            && length > most
        {
            return Err(too_long(&format!("has {}", format_size(length)), most));
        }
        let begun = Instant::now();
        let mut file = create(path).await.map_err(|error| cannot_store(&error))?;
        let mut size: u64 = 0;
        loop {
            let chunk = match self.idle_timeout {
                None => response.chunk().await,
                Some(limit) => tokio::time::timeout(limit, response.chunk()).await.map_err(|_| idle(limit))?,
            };
            let Some(chunk) = chunk.map_err(|error| Self::cut_off(&error, &url, size))? else { break };
            size += chunk.len() as u64;
            if size > most {
                return Err(too_long("is longer", most));
            }
            file.write_all(&chunk).await.map_err(|error| cannot_store(&error))?;
        }
        file.flush().await.map_err(|error| cannot_store(&error))?;
        let taken = phrase::duration(begun.elapsed().max(Duration::from_millis(1)));
        self.say(format!("< {} of body in {taken}", format_size(size)));
        Ok(())
    }

    fn cut_off(error: &reqwest::Error, url: &Url, size: u64) -> Broken {
        let host = url.host_str().unwrap_or_default();
        let message =
            format!("the answer of {host} broke off after {} of its body: {}", format_size(size), causes(error));
        (ResultName::Invalid, failure("BAD_ANSWER", message))
    }

    fn broken(&self, error: &reqwest::Error, url: &Url) -> Broken {
        if let Some(refused) = Guard::refusal(error) {
            return refuse(refused);
        }
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        if error.is_connect() {
            let why = if error.is_timeout() {
                format!("no connection within {}", phrase::duration(self.request.connect_timeout))
            } else {
                causes(error)
            };
            let message = format!("cannot connect to {host}:{port}: {why}");
            return (ResultName::StartFailed, failure("CANNOT_CONNECT", message));
        }
        let message = format!("{host}:{port} did not answer as HTTP says: {}", causes(error));
        (ResultName::Invalid, failure("BAD_ANSWER", message))
    }
}

fn refuse(refused: &Refused) -> Broken {
    (ResultName::Invalid, failure("ADDRESS_REFUSED", refused.to_string()))
}

fn idle(limit: Duration) -> Broken {
    let message = format!("nothing came for {}", phrase::duration(limit));
    (ResultName::IdleTimedOut, failure("IDLE_TIMED_OUT", message))
}

fn too_long(what: &str, most: u64) -> Broken {
    let message = format!("the body of the answer {what}, and `max_body` is {}", format_size(most));
    (ResultName::Invalid, failure("BODY_TOO_LARGE", message))
}

fn cannot_store(error: &io::Error) -> Broken {
    (ResultName::Invalid, failure("SPOOL_FAILED", format!("the body of the answer cannot be stored: {error}")))
}

/// An artifact of another task may lie there.
async fn create(path: &Path) -> io::Result<tokio::fs::File> {
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    tokio::fs::File::create_new(path).await
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The request that a redirect asks for (RFC 9110, 15.4): what is for one host only does not go to another.
fn follow(mut prepared: Prepared, status: StatusCode, location: &HeaderValue) -> Result<Prepared, Broken> {
    let bad = |why: String| (ResultName::Invalid, failure("BAD_REDIRECT", why));
    let text = std::str::from_utf8(location.as_bytes())
        .map_err(|_| bad("was redirected to something that is no text".to_owned()))?;
    let shown: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    let mut target = prepared
        .url
        .join(text)
        .map_err(|error| bad(format!("was redirected to \"{shown}\", which is no URL: {error}")))?;
    if !matches!(target.scheme(), "http" | "https") || target.host().is_none() {
        return Err(bad(format!("was redirected to \"{shown}\", and only http and https can be asked")));
    }
    // A user in a redirect would become an Authorization header.
    if target.set_username("").and_then(|()| target.set_password(None)).is_err() {
        return Err(bad(format!("was redirected to \"{shown}\", which names a user")));
    }
    if target.fragment().is_none() {
        target.set_fragment(prepared.url.fragment());
    }
    if target.origin() != prepared.url.origin() {
        for name in [header::AUTHORIZATION, header::COOKIE] {
            prepared.headers.remove(name);
        }
        for name in prepared.private_headers.drain(..) {
            prepared.headers.remove(name);
        }
    }
    let becomes_get = match status.as_u16() {
        301 | 302 => prepared.method == Method::POST,
        303 => prepared.method != Method::HEAD,
        _ => false,
    };
    if !becomes_get && prepared.private_body && target.origin() != prepared.url.origin() {
        let host = target.host_str().unwrap_or_default();
        return Err(bad(format!(
            "was redirected to another host, {host}, with a body that holds a variable of the environment: it is not sent \
             there; name that host in `url` if it is meant"
        )));
    }
    if becomes_get {
        prepared.method = Method::GET;
        prepared.body = None;
        prepared.private_body = false;
        prepared.headers.remove(header::CONTENT_TYPE);
        prepared.headers.remove(header::CONTENT_ENCODING);
    }
    prepared.url = target;
    Ok(prepared)
}

/// A header's value for people; nothing that opens doors.
fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    let name = name.as_str();
    let opens = ["authorization", "cookie", "token", "secret", "password", "api-key", "apikey", "signature"];
    if value.is_sensitive() || opens.iter().any(|word| name.contains(word)) {
        return "***".to_owned();
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow_to(status: u16, location: &str, private_body: bool) -> Result<Prepared, Broken> {
        let prepared = Prepared {
            method: Method::POST,
            url: Url::parse("https://a.example/login").unwrap(),
            headers: HeaderMap::new(),
            private_headers: Vec::new(),
            body: Some(b"token=secret".to_vec()),
            private_body,
        };
        follow(prepared, StatusCode::from_u16(status).unwrap(), &HeaderValue::from_str(location).unwrap())
    }

    #[test]
    fn a_body_with_a_variable_does_not_follow_a_redirect_to_another_host() {
        for status in [307, 308] {
            let Err((result, failure)) = follow_to(status, "https://b.example/login", true) else {
                panic!("{status}: it would be sent");
            };
            assert_eq!((result, failure.code.as_str()), (ResultName::Invalid, "BAD_REDIRECT"));
            assert!(failure.message.contains("another host, b.example"), "{}", failure.message);
        }
        let same = follow_to(307, "/elsewhere", true).ok().unwrap();
        assert_eq!((same.body.as_deref(), same.url.path()), (Some(&b"token=secret"[..]), "/elsewhere"));
        assert!(follow_to(307, "https://b.example/", false).ok().unwrap().body.is_some());
        for status in [301, 302, 303] {
            let get = follow_to(status, "https://b.example/", true).ok().unwrap();
            assert_eq!((get.method, get.body), (Method::GET, None));
        }
    }
}
