//! One attempt's dealings with GitHub.

use atta_core::protocol::github::{GithubCredential, GithubOrder};
use indexmap::IndexMap;
use serde_json::Value;
use url::Url;

use crate::credential::Credential;
use crate::failed::Failed;
use crate::hub::Hub;

/// Which addresses may be asked.
pub trait Gate: Send + Sync {
    /// An error is the sentence that refuses it.
    fn check(&self, url: &Url) -> Result<(), String>;

    /// The sentence with which a name was refused when it was resolved, if that is why there is no answer.
    fn refused(&self, error: &reqwest::Error) -> Option<String>;
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// 200, or 304 when there is nothing new.
    pub status: u16,
    /// As the operation promises them.
    pub outputs: IndexMap<String, Value>,
}

/// One attempt's dealings with GitHub.
pub struct Session<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) client: reqwest::Client,
    pub(crate) gate: &'a dyn Gate,
    pub(crate) order: &'a GithubOrder,
    pub(crate) credential: Credential,
    pub(crate) base: Url,
    say: &'a (dyn Fn(String) + Send + Sync),
}

impl<'a> Session<'a> {
    /// `secret`: the token or the private key. `client` follows no redirects. `say` gets lines for the log.
    pub fn new(
        hub: &'a Hub,
        client: reqwest::Client,
        gate: &'a dyn Gate,
        order: &'a GithubOrder,
        secret: &str,
        say: &'a (dyn Fn(String) + Send + Sync),
    ) -> Result<Self, Failed> {
        let mut base = Url::parse(&order.api_url).map_err(|error| {
            Failed::invalid(format!("github.api_url is \"{}\", which is no URL: {error}", order.api_url))
        })?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(Failed::invalid(format!("github.api_url is \"{}\": write https://HOST/PATH", order.api_url)));
        }
        if !base.username().is_empty() || base.password().is_some() {
            let message = "github.api_url names a user or a password: it is logged. Write https://HOST/PATH";
            return Err(Failed::invalid(message));
        }
        base.set_query(None);
        base.set_fragment(None);
        let secret = secret.trim();
        let credential = match &order.credential {
            GithubCredential::Token(_) if secret.is_empty() => {
                return Err(Failed::invalid("the token is empty: is the secret set? (`atta secret set`)"));
            }
            GithubCredential::Token(_) if secret.chars().any(|c| c.is_control() || c == ' ' || !c.is_ascii()) => {
                return Err(Failed::invalid("the token has a blank or a control character in it, which no token has"));
            }
            GithubCredential::Token(_) => Credential::Token(secret.to_owned()),
            GithubCredential::App { id, installation, .. } => {
                if installation.as_ref().is_some_and(|id| !id.bytes().all(|byte| byte.is_ascii_digit())) {
                    return Err(Failed::invalid("github.app.installation must be a number"));
                }
                let (id, installation) = (id.clone(), installation.clone());
                Credential::App { id, installation, private_key: secret.to_owned() }
            }
        };
        Ok(Self { hub, client, gate, order, credential, base, say })
    }

    pub(crate) fn say(&self, line: String) {
        (self.say)(line);
    }

    /// An address below the API's; each piece is one step of the path, whatever is in it. What URLs leave out of a path
    /// would lead to another thing.
    pub(crate) fn url(&self, path: &[&str]) -> Result<Url, Failed> {
        if let Some(piece) =
            path.iter().find(|piece| matches!(**piece, "" | "." | "..") || piece.contains(['\t', '\n', '\r']))
        {
            return Err(Failed::invalid(format!(
                "{piece:?} cannot be a step of an address: no name may have one in it"
            )));
        }
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failed::invalid("github.api_url cannot have a path"))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    /// An address below that of the repository.
    pub(crate) fn of_repo(&self, path: &[&str]) -> Result<Url, Failed> {
        let mut whole = vec!["repos", self.owner(), self.name()];
        whole.extend(path);
        self.url(&whole)
    }

    pub(crate) fn repository(&self) -> &str {
        self.order.settings.get("repo").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn owner(&self) -> &str {
        self.repository().split_once('/').map_or("", |(owner, _)| owner)
    }

    pub(crate) fn name(&self) -> &str {
        self.repository().split_once('/').map_or("", |(_, name)| name)
    }

    pub(crate) fn setting(&self, name: &str) -> Option<&Value> {
        self.order.settings.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.setting(name).and_then(Value::as_str)
    }

    /// Of a setting without which the operation cannot be.
    pub(crate) fn needed(&self, name: &str) -> Result<&str, Failed> {
        self.text(name).ok_or_else(|| Failed::invalid(format!("{} needs github.{name}", self.order.operation)))
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.setting(name).and_then(Value::as_u64)
    }

    pub(crate) fn needed_number(&self) -> Result<String, Failed> {
        let number = self.number("number");
        number
            .map(|number| number.to_string())
            .ok_or_else(|| Failed::invalid(format!("{} needs github.number", self.order.operation)))
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.setting(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Nothing when it was not given.
    pub(crate) fn names(&self, name: &str) -> Option<Vec<String>> {
        let items = self.setting(name)?.as_array()?;
        Some(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }
}
