//! Who may do what: roles, tokens, and the certificate that a server is known by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::secret::SecretText;

/// What a token lets its holder do. For people each role includes those before it; `ant` stands apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything but secrets.
    Viewer,
    /// Submit jobs and check definitions.
    Submitter,
    /// Cancel, pause, retry, approve.
    Operator,
    /// Change definitions, configs, secrets and tokens.
    Admin,
    /// Run tasks; nothing else.
    Ant,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Submitter, Self::Operator, Self::Admin, Self::Ant];

    /// The name that it has everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Ant => "ant",
        }
    }

    /// Whether who has this role may do what `needed` may.
    pub fn covers(self, needed: Self) -> bool {
        let rank = |role| match role {
            Self::Viewer => 0,
            Self::Submitter => 1,
            Self::Operator => 2,
            Self::Admin => 3,
            Self::Ant => 4,
        };
        self == needed || (self != Self::Ant && needed != Self::Ant && rank(self) > rank(needed))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| "viewer, submitter, operator, admin or ant is expected".to_owned())
    }
}

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What it is called; no other token that can still be used has the same name.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// In whose name its holder acts, e.g. votes; the token's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// For how many seconds it is good; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// With the role `ant`: the only ant that may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ant: Option<String>,
    /// With the role `ant`: the only tags that the ant may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// Who asks, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallerResource {
    /// In whose name they act; absent on a server that asks for no tokens.
    pub user: Option<String>,
    /// The name of the token; absent when none was given.
    pub token: Option<String>,
    /// What they may do.
    pub role: Role,
}

/// A token as it is shown: never with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenResource {
    /// Its id.
    pub token_id: String,
    /// What it is called.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// In whose name its holder acts.
    pub user: String,
    /// The only ant that may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ant: Option<String>,
    /// The only tags that the ant may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// When it was made.
    pub created_at: String,
    /// Who made it.
    pub created_by: String,
    /// Until when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was last used, to a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// Whether it can be used now.
    pub live: bool,
}

/// A token that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// The value, which is never shown again.
    #[schema(value_type = String)]
    pub value: SecretText,
    /// What is known of it from now on.
    pub token: TokenResource,
}

/// A change that somebody made with a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Grows with each entry.
    pub sequence: i64,
    /// When.
    pub at: String,
    /// In whose name.
    pub user: String,
    /// The name of the token.
    pub token: String,
    /// What: the operation of the API; of a terminal `terminal.open`, `terminal.take_over`, `terminal.input` or
    /// `terminal.close`.
    pub action: String,
    /// On what: the path of the request.
    pub target: String,
    /// What the server answered.
    pub status: u16,
    /// The id of the request.
    pub request_id: String,
    /// What else there is to say: of a terminal, what was typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// SHA-256 of a certificate: what a server with a certificate of its own is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// `sha256:` and 64 hex digits, with colons between them or without.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "sha256: and 64 hex digits are expected, as the server prints them when it starts".to_owned();
        let text = text.trim().to_ascii_lowercase();
        let digits: String = text.strip_prefix("sha256:").ok_or_else(wrong)?.replace(':', "");
        let bytes = hex::decode(digits).map_err(|_| wrong())?;
        bytes.try_into().map(Self).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_of_people_includes_those_before_it_and_ants_stand_apart() {
        for (index, role) in Role::ALL.into_iter().enumerate() {
            for (other, needed) in Role::ALL.into_iter().enumerate() {
                let expected = if role == Role::Ant || needed == Role::Ant { role == needed } else { index >= other };
                assert_eq!(role.covers(needed), expected, "{role} for {needed}");
            }
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let print = Fingerprint::of(b"a certificate");
        let text = print.to_string();
        assert_eq!(text.parse(), Ok(print));
        let spaced: Vec<String> =
            text.as_bytes()[7..].chunks(2).map(|two| String::from_utf8_lossy(two).into()).collect();
        assert_eq!(format!("SHA256:{}", spaced.join(":").to_uppercase()).parse(), Ok(print));
        for wrong in ["", "sha256:", "sha256:00", &text[7..], &format!("{text}0")] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_value_of_a_new_token_is_not_shown_by_debug() {
        let value = SecretText::new("atta_x".to_owned());
        assert!(!format!("{value:?}").contains("atta_x"));
    }
}
