//! Webhooks: one POST each, no redirects, nothing of the answer's body.

use std::sync::Arc;
use std::time::Duration;

use atta_core::resilience::{Class, retry_after, root_cause};
use atta_core::time::UnixMillis;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use sha2::Sha256;
use url::Url;
use zeroize::Zeroizing;

use super::address::{PublicOnly, REFUSED, check_literal};
use super::{Failed, NotifyConfig, Receiver};

/// The longest that a receiver's Retry-After is honoured.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Makes requests.
pub(super) struct Web {
    client: Client,
    allow_private: bool,
}

/// A request to make.
pub(super) struct Post {
    pub(super) url: Zeroizing<String>,
    pub(super) headers: Vec<(String, Zeroizing<String>)>,
    pub(super) secret: Option<Zeroizing<String>>,
    pub(super) delivery: String,
    pub(super) event: String,
    pub(super) sent_at: UnixMillis,
    pub(super) body: Vec<u8>,
}

/// The signature of a body, as it stands in the header.
#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
pub(super) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl Web {
    pub(super) fn new(config: &NotifyConfig) -> Result<Self, String> {
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout)
            .user_agent(concat!("atta/", env!("CARGO_PKG_VERSION")));
        if !config.allow_private {
            builder = builder.dns_resolver(Arc::new(PublicOnly));
        }
        let client = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { client, allow_private: config.allow_private })
    }

    pub(super) async fn post(&self, post: Post, now: UnixMillis) -> Result<(), Failed> {
        let url = Url::parse(&post.url).map_err(|error| Failed::for_good(format!("the url is no URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failed::for_good("the url begins neither with https:// nor with http://"));
        }
        if !self.allow_private && !check_literal(&url) {
            return Err(Failed::for_good(format!("the url {REFUSED}")));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &post.headers {
            let bad = || Failed::for_good(format!("the value of the header {name} cannot stand in a header"));
            let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(field, value);
        }
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set("x-atta-delivery", &post.delivery);
        set("x-atta-event", &post.event);
        set("x-atta-timestamp", &(post.sent_at.0 / 1000).to_string());
        if let Some(secret) = &post.secret {
            set("x-atta-signature-256", &signature(secret, &post.body));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let sent = self.client.post(url).headers(headers).body(post.body).send().await;
        let response = sent.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| retry_after(text, now, LONGEST_WAIT));
        let class = Class::of_status(status.as_u16(), after);
        Err(Failed {
            reason: match status {
                status if status.is_redirection() => format!("it answered {status}, and redirects are not followed"),
                status => format!("it answered {status}"),
            },
            for_good: status == StatusCode::GONE,
            after,
            receiver: match class {
                Some(Class::Transient | Class::RateLimited(_)) => Receiver::Away,
                _ if status == StatusCode::GONE => Receiver::Works,
                _ => Receiver::Unknown,
            },
        })
    }
}

/// What went wrong, without the URL: a secret may stand in it.
fn broken(error: reqwest::Error) -> Failed {
    let error = error.without_url();
    let detail = root_cause(&error).to_string();
    if detail == REFUSED {
        return Failed::for_good(format!("the url {REFUSED}"));
    }
    Failed::away(if error.is_timeout() {
        "it did not answer in time".to_owned()
    } else if error.is_connect() {
        format!("it cannot be reached: {detail}")
    } else {
        format!("the connection broke: {detail}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_others() {
        // The example of GitHub's documentation.
        assert_eq!(
            signature("It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }
}
