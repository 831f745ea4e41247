//! The environment of an attempt: built from nothing.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use atta_core::definition::InheritEnv;
use atta_core::secret::{SecretText, SecretValue};
use indexmap::IndexMap;

/// What every attempt sees of the ant's environment; `LC_*` too.
const ALLOWED: [&str; 8] = ["PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR"];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest `NAME=value` with its NUL that the kernel passes on.
const LONGEST: usize = 128 << 10;

/// Names and values.
#[derive(Clone, Default)]
pub(super) struct Environment(IndexMap<OsString, OsString>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the values.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The allow-list, what is inherited, then what is given.
    pub(super) fn compose(
        ant: &[(OsString, OsString)],
        inherit: &InheritEnv,
        given: &IndexMap<String, String>,
        secrets: &IndexMap<String, SecretText>,
    ) -> Result<Self, String> {
        let mut values: IndexMap<OsString, OsString> =
            ant.iter().filter(|(name, _)| is_allowed(name) || is_inherited(inherit, name)).cloned().collect();
        values.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
        let given = given.iter().map(|(name, value)| (name, value.as_str()));
        let secrets = secrets.iter().map(|(name, value)| (name, value.reveal()));
        for (name, value) in given.chain(secrets) {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(format!("{name:?} is no valid name of an environment variable"));
            }
            if value.contains('\0') {
                return Err(format!("the environment variable `{name}` has a NUL byte in its value"));
            }
            values.insert(name.into(), value.into());
        }
        let environment = Self(values);
        environment.check()?;
        Ok(environment)
    }

    fn check(&self) -> Result<(), String> {
        match self.0.iter().find(|(name, value)| name.len() + value.len() + 2 > LONGEST) {
            None => Ok(()),
            Some((name, value)) => Err(format!(
                "the environment variable `{}` is {} bytes long; a value must be shorter than 128 KiB ({LONGEST} bytes \
                 with its name): pass it in a file",
                name.to_string_lossy(),
                value.len()
            )),
        }
    }

    /// Adds or replaces a variable.
    pub(super) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.insert(name.into(), value.as_ref().to_owned());
    }

    /// Takes a variable away.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.shift_remove(OsStr::new(name));
    }

    /// All of them.
    pub(super) fn pairs(&self) -> Vec<(OsString, OsString)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The value of `PATH`.
    pub(super) fn path(&self) -> &OsStr {
        self.0.get(OsStr::new("PATH")).map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str)
    }

    /// `NAME=value`; variables of the ant that cannot be passed on were refused before.
    pub(super) fn strings(&self) -> Vec<CString> {
        self.0
            .iter()
            .filter_map(|(name, value)| {
                let mut text = name.as_bytes().to_vec();
                text.push(b'=');
                text.extend_from_slice(value.as_bytes());
                CString::new(text).ok()
            })
            .collect()
    }
}

/// What is inherited and is a secret by its name: nobody set it as one, and it must not be shown any more than those.
pub(super) fn inherited_secrets(ant: &[(OsString, OsString)], inherit: &InheritEnv) -> Vec<SecretValue> {
    let found = ant.iter().filter_map(|(name, value)| {
        let (text, value) = (name.to_str()?, value.to_str()?);
        let secret = is_inherited(inherit, name) && is_secret_by_name(text) && value.len() >= SHORTEST_SECRET;
        secret.then(|| SecretValue { name: text.to_owned(), value: SecretText::new(value.to_owned()) })
    });
    found.collect()
}

/// What is shorter may be anything, and would be taken out of every text.
const SHORTEST_SECRET: usize = 12;

fn is_secret_by_name(name: &str) -> bool {
    let last = name.rsplit('_').next().unwrap_or(name).to_ascii_uppercase();
    ["KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PAT"].contains(&last.as_str())
}

fn is_inherited(inherit: &InheritEnv, name: &OsStr) -> bool {
    match inherit {
        InheritEnv::All => true,
        InheritEnv::None => false,
        InheritEnv::Names(names) => names.iter().any(|named| OsStr::new(named) == name),
    }
}

fn is_allowed(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"LC_") || ALLOWED.iter().any(|allowed| OsStr::new(allowed) == name)
}

/// A path for a program.
pub(super) fn c_path(path: &Path) -> Result<CString, String> {
    CString::new(path.as_os_str().to_owned().into_vec()).map_err(|_| "the path has a NUL byte".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ant() -> Vec<(OsString, OsString)> {
        [("PATH", "/bin"), ("HOME", "/h"), ("LC_ALL", "C"), ("SECRET", "s"), ("GH_TOKEN", "t")]
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec()
    }

    fn composed(inherit: &InheritEnv, given: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Environment::compose(&ant(), inherit, &given, &IndexMap::new())
            .map(|env| env.strings().into_iter().map(|text| text.into_string().unwrap()).collect())
    }

    #[test]
    fn only_the_allow_list_and_what_is_named_is_inherited() {
        assert_eq!(composed(&InheritEnv::None, &[("A", "1")]).unwrap(), ["PATH=/bin", "HOME=/h", "LC_ALL=C", "A=1"]);
        let named = InheritEnv::Names(vec!["GH_TOKEN".to_owned(), "ABSENT".to_owned()]);
        assert_eq!(composed(&named, &[("HOME", "/x")]).unwrap(), ["PATH=/bin", "HOME=/x", "LC_ALL=C", "GH_TOKEN=t"]);
        assert_eq!(composed(&InheritEnv::All, &[]).unwrap().len(), 5);
    }

    #[test]
    fn what_is_inherited_and_is_a_secret_by_its_name_is_known_as_one() {
        let ant = [
            ("ANTHROPIC_API_KEY", "sk-ant-0123456789"),
            ("CODEX_HOME", "/home/ada/.codex-of-hers"),
            ("GH_TOKEN", "gho_0123456789"),
            ("SHORT_TOKEN", "t"),
        ];
        let ant = ant.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let found = |inherit: &InheritEnv| -> Vec<String> {
            inherited_secrets(&ant, inherit).into_iter().map(|secret| secret.name).collect()
        };
        assert_eq!(found(&InheritEnv::All), ["ANTHROPIC_API_KEY", "GH_TOKEN"]);
        assert_eq!(found(&InheritEnv::Names(vec!["GH_TOKEN".to_owned(), "CODEX_HOME".to_owned()])), ["GH_TOKEN"]);
        assert_eq!(found(&InheritEnv::None), Vec::<String>::new());
    }

    #[test]
    fn values_that_no_program_can_get_are_refused_by_name() {
        let long = "x".repeat(128 << 10);
        let message = composed(&InheritEnv::None, &[("BIG", &long)]).unwrap_err();
        assert!(message.starts_with("the environment variable `BIG` is 131072 bytes long"), "{message}");
        let message = composed(&InheritEnv::None, &[("N", "a\0b")]).unwrap_err();
        assert_eq!(message, "the environment variable `N` has a NUL byte in its value");
        assert!(composed(&InheritEnv::None, &[("A=B", "")]).is_err());
    }
}
