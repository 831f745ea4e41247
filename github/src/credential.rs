//! Who asks: a token, or an App whose installation tokens are got and renewed here.

use std::pin::Pin;
use std::time::Duration;

use atta_core::time::UnixMillis;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::failed::{Failed, Kind};
use crate::hub::{Login, fingerprint};
use crate::session::Session;

/// A token is renewed so long before it ends.
const EARLY: Duration = Duration::from_mins(5);

/// What is asked with.
#[derive(Clone)]
pub(crate) enum Credential {
    Token(String),
    App { id: String, installation: Option<String>, private_key: String },
}

/// A token of an installation.
#[derive(Clone)]
pub(crate) struct Minted {
    token: String,
    until: UnixMillis,
}

/// The word after `Authorization: Bearer`, and whom it stands for.
pub(crate) struct Bearer {
    pub(crate) text: String,
    /// Limits and answers belong to it, tokens too: of an App it has the key in it, because everybody may know its id.
    pub(crate) who: String,
}

/// As whom a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The credential; for an App its installation.
    Ordinary,
    /// The App itself.
    App,
}

impl Session<'_> {
    /// Getting a token is a request that needs one of another kind.
    pub(crate) fn bearer_for(&self, role: Role) -> Pin<Box<dyn Future<Output = Result<Bearer, Failed>> + Send + '_>> {
        Box::pin(self.bearer(role))
    }

    async fn bearer(&self, role: Role) -> Result<Bearer, Failed> {
        match (&self.credential, role) {
            (Credential::Token(token), _) => {
                Ok(Bearer { text: token.clone(), who: fingerprint(&[self.base.as_str(), token]) })
            }
            (Credential::App { id, private_key, .. }, Role::App) => {
                let text = jwt(id, private_key, self.hub.now())?;
                Ok(Bearer { text, who: fingerprint(&[self.base.as_str(), "app", id, private_key]) })
            }
            (Credential::App { id, installation, private_key }, Role::Ordinary) => {
                let of = installation.as_deref().unwrap_or_else(|| self.repository());
                let who = fingerprint(&[self.base.as_str(), "installation", id, private_key, of]);
                let text = self.installation_token(&who, installation.as_deref()).await?;
                Ok(Bearer { text, who })
            }
        }
    }

    /// One attempt gets a token, and the others wait for it.
    async fn installation_token(&self, who: &str, installation: Option<&str>) -> Result<String, Failed> {
        let place = self.hub.minted(who);
        let mut minted = place.lock().await;
        if let Some(minted) = &*minted
            && minted.until.since(self.hub.now()) > EARLY
        {
            return Ok(minted.token.clone());
        }
        let installation = match installation {
            Some(id) => id.to_owned(),
            None if self.repository().is_empty() => {
                return Err(Failed::invalid("an App without `repo` must say its `installation`"));
            }
            None => {
                let url = self.url(&["repos", self.owner(), self.name(), "installation"])?;
                let found = self.get_as(&url, Role::App).await.map_err(|failed| match failed.kind {
                    Kind::NotFound => Failed {
                        message: format!("the App is not installed on {}: install it there", self.repository()),
                        ..failed
                    },
                    _ => failed,
                })?;
                found.body["id"].as_u64().ok_or_else(|| Failed::unexpected("an installation has no id"))?.to_string()
            }
        };
        let url = self.url(&["app", "installations", &installation, "access_tokens"])?;
        // A token too many is no harm.
        let answer = self.send_again(&Method::POST, &url, Some(&json!({})), Role::App).await?;
        let token = answer.body["token"].as_str();
        let until = answer.body["expires_at"].as_str().and_then(instant);
        let (Some(token), Some(until)) = (token, until) else {
            return Err(Failed::unexpected("GitHub gave an installation token without `token` or `expires_at`"));
        };
        *minted = Some(Minted { token: token.to_owned(), until });
        Ok(token.to_owned())
    }

    /// A token that GitHub does not know any more. Whether there can be another one.
    pub(crate) async fn forget_token(&self, bearer: &Bearer) -> bool {
        if !matches!(self.credential, Credential::App { .. }) {
            return false;
        }
        let place = self.hub.minted(&bearer.who);
        let mut minted = place.lock().await;
        if minted.as_ref().is_some_and(|minted| minted.token == bearer.text) {
            *minted = None;
        }
        true
    }

    /// Under what its name is remembered.
    fn login_of(&self) -> String {
        match &self.credential {
            Credential::Token(token) => fingerprint(&[self.base.as_str(), token]),
            Credential::App { id, private_key, .. } => fingerprint(&[self.base.as_str(), "app", id, private_key]),
        }
    }

    /// Something was just written under this name. If it is another than was thought, nothing that was said before can be
    /// found under that.
    pub(crate) fn wrote_as(&self, name: &str, me: &mut Login) -> Result<(), Failed> {
        if name.eq_ignore_ascii_case(&me.name) {
            return Ok(());
        }
        if self.order.login.is_some() {
            return Err(Failed::invalid(format!(
                "github.login is \"{}\", and GitHub knows this credential as \"{name}\": what it has said would not be \
                 found, and said again. Write `login: \"{name}\"`",
                me.name
            )));
        }
        self.say(format!("this credential is {name} now, no longer {}", me.name));
        *me = Login { name: name.to_owned(), is_bot: me.is_bot };
        self.hub.know_login(&self.login_of(), me.clone());
        Ok(())
    }

    /// Whom GitHub knows the credential as.
    pub(crate) async fn login(&self) -> Result<Login, Failed> {
        if let Some(name) = &self.order.login {
            return Ok(Login { name: name.clone(), is_bot: name.ends_with("[bot]") });
        }
        let app = matches!(self.credential, Credential::App { .. });
        let who = self.login_of();
        if let Some(known) = self.hub.login(&who) {
            return Ok(known);
        }
        let (path, role, field) = if app { ("app", Role::App, "slug") } else { ("user", Role::Ordinary, "login") };
        let answer = self.get_as(&self.url(&[path])?, role).await.map_err(|failed| match failed.answered {
            Some(403) => Failed {
                message: format!(
                    "GitHub does not say whom this token belongs to ({}): say it with `login`, for example \
                     `login: \"github-actions[bot]\"`",
                    failed.message
                ),
                ..failed
            },
            _ => failed,
        })?;
        let name = answer.body[field].as_str().ok_or_else(|| Failed::unexpected(format!("/{path} has no {field}")))?;
        let is_bot = app || answer.body["type"] == "Bot";
        let login = Login { name: if app { format!("{name}[bot]") } else { name.to_owned() }, is_bot };
        self.hub.know_login(&who, login.clone());
        Ok(login)
    }
}

fn instant(text: &str) -> Option<UnixMillis> {
    atta_core::time::parse_rfc3339(text)
}

/// A JSON Web Token (RFC 7519) that says that the App asks, good for some minutes.
fn jwt(id: &str, private_key: &str, now: UnixMillis) -> Result<String, Failed> {
    let wrong = |why: &str| {
        Failed::invalid(format!("the private key of the App {why}: it must be the PEM file that GitHub gave"))
    };
    // Environments without line breaks spell them.
    let pem = private_key.replace("\\n", "\n");
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| wrong("cannot be read"))?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|_| wrong("is of no known kind"))?;
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or_else(|| wrong("is no RSA key"))?;
    let seconds = now.0 / 1000;
    // A minute back, for clocks that differ; ten minutes is the longest that GitHub takes, and its clock may be behind.
    let claims = json!({"iat": seconds - 60, "exp": seconds + 300, "iss": id});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({"alg": "RS256", "typ": "JWT"})), part(&claims));
    let signature = signer.sign(text.as_bytes()).map_err(|_| wrong("does not sign"))?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
