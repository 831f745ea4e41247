//! Accounts of agents: whose limits they meet.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::keys::ACCOUNT;
use super::scalar::shortened;
use super::tree::{Kind, Node};
use super::walk::{Keys, Walk};
use super::{Span, TemplateText, code};

/// The most accounts of one task.
const MOST_ACCOUNTS: usize = 50;

/// An account, and what an agent needs to use it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentAccount {
    /// Its name on the server.
    pub name: String,
    /// Set for agents that use it.
    pub environment: IndexMap<String, TemplateText>,
}

/// Which of several accounts is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// The first that can be used.
    #[default]
    InOrder,
    /// Of those that can be used, the one whose limit was met the longest ago.
    LeastRecentlyLimited,
}

impl Walk {
    /// `account` or `accounts`.
    pub(super) fn accounts(&mut self, keys: &mut Keys<'_, '_>) -> (Vec<AgentAccount>, Rotation) {
        let (one, several, rotation) = (keys.take("account"), keys.take("accounts"), keys.take("rotation"));
        let choices = [("in_order", Rotation::InOrder), ("least_recently_limited", Rotation::LeastRecentlyLimited)];
        let policy = rotation.and_then(|entry| self.choice("rotation", &entry.value, &choices)).unwrap_or_default();
        let mut accounts = Vec::new();
        match (one, several) {
            (Some(_), Some(several)) => self.problems.error_with_help(
                code::CONFLICT,
                several.key_span,
                "`account` and `accounts` exclude each other",
                "name all of them in `accounts`",
            ),
            (Some(entry), None) => accounts.extend(self.account(&entry.value)),
            (None, Some(entry)) => {
                let items = self.list("accounts", &entry.value).unwrap_or_default();
                if items.is_empty() || items.len() > MOST_ACCOUNTS {
                    let message =
                        format!("`accounts` has between 1 and {MOST_ACCOUNTS} entries, and this has {}", items.len());
                    self.problems.error(code::RANGE, entry.value.span, message);
                }
                for item in items.iter().take(MOST_ACCOUNTS) {
                    let Some(account) = self.account(item) else { continue };
                    if accounts.iter().any(|other: &AgentAccount| other.name == account.name) {
                        let message = format!("the account {} is named twice", account.name);
                        self.problems.error(code::VALUE, item.span, message);
                    }
                    accounts.push(account);
                }
            }
            (None, None) => {}
        }
        if let Some(rotation) = rotation.filter(|_| accounts.len() < 2) {
            self.problems.error_with_help(
                code::CONFLICT,
                rotation.key_span,
                "`rotation` has no effect without several `accounts`",
                "name them: `accounts: [a, b]`",
            );
        }
        (accounts, policy)
    }

    fn account(&mut self, node: &Node<'_>) -> Option<AgentAccount> {
        if !matches!(node.kind, Kind::Mapping(_)) {
            let name = self.spelling("account", node)?;
            return self.account_named(name, node.span, IndexMap::new());
        }
        let entries = self.mapping("an account", node)?;
        let mut keys = Keys::new(entries);
        let name = keys.take("name");
        let environment = keys.take("environment").map(|entry| self.environment(&entry.value)).unwrap_or_default();
        self.unknown_keys(&keys, &ACCOUNT);
        let Some(name) = name else {
            self.problems.error_with_help(
                code::MISSING_KEY,
                node.span,
                "this account has no `name`",
                "give it one: `{name: team-a, environment: {…}}`",
            );
            return None;
        };
        let span = name.value.span;
        let name = self.spelling("name", &name.value)?;
        self.account_named(name, span, environment)
    }

    fn account_named(
        &mut self,
        name: String,
        span: Span,
        environment: IndexMap<String, TemplateText>,
    ) -> Option<AgentAccount> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if !begins || name.len() > 100 || !name.bytes().all(valid) {
            self.problems.error_with_help(
                code::NAME,
                span,
                format!("\"{}\" cannot be the name of an account", shortened(&name)),
                "names take letters, digits, `_`, `.` and `-`, at most 100, and begin with a letter or digit",
            );
            return None;
        }
        Some(AgentAccount { name, environment })
    }
}
