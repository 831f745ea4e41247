//! `env_from`: secrets and configs that become environment variables.

use std::collections::HashSet;

use super::keys::ENV_FROM;
use super::tree::Node;
use super::walk::{Keys, Walk};
use super::{EnvReference, code};

impl Walk {
    pub(super) fn env_from(&mut self, node: &Node<'_>) -> Vec<EnvReference> {
        let mut references: Vec<EnvReference> = Vec::new();
        let mut names = HashSet::new();
        for item in self.list("env_from", node).unwrap_or_default() {
            let Some(entries) = self.mapping("an entry of env_from", item) else { continue };
            let mut keys = Keys::new(entries);
            for (key, secret) in [("secrets", true), ("configs", false)] {
                let Some(entry) = keys.take(key) else { continue };
                for named in self.list(key, &entry.value).unwrap_or_default() {
                    let Some(name) = self.text(&format!("an entry of {key}"), named) else { continue };
                    self.check_variable_name(&name, named.span);
                    if !names.insert(name.clone()) {
                        self.problems.error(
                            code::CONFLICT,
                            named.span,
                            format!("the environment variable {name} comes from two entries of `env_from`"),
                        );
                        continue;
                    }
                    references.push(EnvReference { name, secret, span: named.span });
                }
            }
            self.unknown_keys(&keys, &ENV_FROM);
        }
        references
    }
}
