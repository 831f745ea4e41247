//! Who holds which role, and how people are reached.
//!
//! It says nothing about who somebody *is*: there is no authentication yet, and a name is believed.

use std::collections::BTreeMap;

use atta_core::definition::is_person_name;
use serde::Deserialize;

/// Looks people and roles up.
pub trait Directory: Send + Sync + 'static {
    /// The roles that a person holds.
    fn roles_of(&self, user: &str) -> Vec<String>;
    /// Who holds a role.
    fn holders(&self, role: &str) -> Vec<String>;
    /// The e-mail address of a person.
    fn email(&self, user: &str) -> Option<String>;
}

/// A directory that was read from a file.
///
/// ```yaml
/// roles:
///   release: [alice, bob]
/// users:
///   alice: {email: alice@example.org}
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticDirectory {
    #[serde(default)]
    roles: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    users: BTreeMap<String, Person>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    #[serde(default)]
    email: Option<String>,
}

impl StaticDirectory {
    /// Checks the names; the text says which one cannot be a name.
    pub fn checked(self) -> Result<Self, String> {
        let names = self.roles.iter().flat_map(|(role, users)| std::iter::once(role).chain(users));
        for name in names.chain(self.users.keys()) {
            if !is_person_name(name) {
                return Err(format!(
                    "{name:?} cannot be the name of a user or role: letters, digits, `.`, `_`, `@`, `+` and `-` are allowed, \
                     a letter or digit first"
                ));
            }
        }
        for (name, person) in &self.users {
            if let Some(email) = &person.email
                && (!email.contains('@') || email.chars().any(char::is_control))
            {
                return Err(format!("{email:?} of {name} is no e-mail address"));
            }
        }
        Ok(self)
    }
}

impl Directory for StaticDirectory {
    fn roles_of(&self, user: &str) -> Vec<String> {
        let holds = |users: &[String]| users.iter().any(|name| name == user);
        self.roles.iter().filter(|(_, users)| holds(users)).map(|(role, _)| role.clone()).collect()
    }

    fn holders(&self, role: &str) -> Vec<String> {
        self.roles.get(role).cloned().unwrap_or_default()
    }

    fn email(&self, user: &str) -> Option<String> {
        self.users.get(user).and_then(|person| person.email.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(json: &str) -> Result<StaticDirectory, String> {
        serde_json::from_str::<StaticDirectory>(json).map_err(|error| error.to_string())?.checked()
    }

    #[test]
    fn roles_and_addresses_are_found() {
        let found = directory(
            r#"{"roles": {"ops": ["alice"], "release": ["alice", "bob"]}, "users": {"alice": {"email": "a@example.org"}}}"#,
        )
        .unwrap();
        assert_eq!(found.roles_of("alice"), ["ops", "release"]);
        assert_eq!(found.roles_of("Alice"), [""; 0]);
        assert_eq!(found.holders("release"), ["alice", "bob"]);
        assert_eq!((found.email("alice"), found.email("bob")), (Some("a@example.org".to_owned()), None));
    }

    #[test]
    fn names_that_nobody_can_have_are_refused() {
        assert!(directory(r#"{"roles": {"ops": ["a b"]}}"#).unwrap_err().contains("\"a b\" cannot be the name"));
        assert!(directory(r#"{"users": {"a": {"email": "x"}}}"#).unwrap_err().contains("is no e-mail address"));
        assert!(directory(r#"{"groups": {}}"#).unwrap_err().contains("unknown field"));
    }
}
