//! What an attempt of a GITHUB task is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ant::RenderedPart;
use crate::definition::GithubOperation;

/// An operation with everything rendered but what only the environment holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GithubOrder {
    /// What to do.
    pub operation: GithubOperation,
    /// What it is given; each was checked ([`crate::definition::check_github_setting`]).
    pub settings: Map<String, Value>,
    /// Who asks.
    pub credential: GithubCredential,
    /// Whom GitHub knows the credential as, if that was said.
    pub login: Option<String>,
    /// Where the API is.
    pub api_url: String,
    /// How long one answer may take.
    pub request_timeout: Duration,
    /// Hosts, addresses and networks that the definition asks to be let through although they are private.
    pub allow: Vec<String>,
    /// The definition asks for all private addresses.
    pub allow_private: bool,
    /// Tells what this task writes from everything else, the same in each attempt of a visit: `atta:JOB:TASK:NONCE`.
    pub marker: String,
}

/// Who asks GitHub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GithubCredential {
    /// Whoever the token belongs to.
    Token(Vec<RenderedPart>),
    /// A GitHub App.
    App {
        /// Its id, or its client id.
        id: String,
        /// Its installation; without one, that of the repository.
        installation: Option<String>,
        /// Its private key, PEM.
        private_key: Vec<RenderedPart>,
    },
}
