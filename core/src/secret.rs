//! Values that nobody may see: never shown by `Debug`, wiped from memory when they are dropped.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// Text that is not shown and does not stay in memory.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// Takes the text over: no copy of it is left behind.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for those who must have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A secret with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretValue {
    /// What it is called in the store: may be shown.
    pub name: String,
    /// What it is.
    pub value: SecretText,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let secret = SecretValue { name: "Token".to_owned(), value: SecretText::new("hunter2".to_owned()) };
        let shown = format!("{secret:?}");
        assert!(shown.contains("Token") && !shown.contains("hunter2"), "{shown}");
    }
}
