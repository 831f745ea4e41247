//! The configs in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use atta_core::protocol::api::{ConfigResource, ConfigScope, SecretsStatus};
use atta_core::secret::SecretText;
use atta_core::template::ConfigValues;
use atta_core::time::{Entropy, random_bytes};
use serde_json::Value;

use super::cipher;
use super::held::HeldSecrets;
use super::keyring::{KeyRing, KeySource};
use crate::store::{ConfigContent, ConfigKey, ConfigRow};

/// Why a secret cannot be had. Each is a sentence that may be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nobody has set it.
    #[error("there is no secret {name}: set it with `atta secret set {name}`{hint}")]
    Missing {
        /// Its name.
        name: String,
        /// What else there is.
        hint: String,
    },
    /// There is no usable key at all.
    #[error("the secret {name} cannot be opened: {problem}")]
    NoKeys {
        /// Its name.
        name: String,
        /// What is wrong with the keys.
        problem: String,
    },
    /// It was encrypted with a key that is not there.
    #[error(
        "the secret {name} was encrypted with the key {key_id}, which {origin} does not have: put that key back, or set the secret again"
    )]
    OtherKey {
        /// Its name.
        name: String,
        /// The key's id.
        key_id: String,
        /// Where the keys come from.
        origin: String,
    },
    /// What is stored is not what was stored.
    #[error("the secret {name} cannot be opened: what is stored was changed or belongs to another name; set it again")]
    Damaged {
        /// Its name.
        name: String,
    },
}

/// All configs and the keys of the secret ones.
pub struct Secrets {
    rows: RwLock<BTreeMap<ConfigKey, ConfigRow>>,
    keys: RwLock<Result<KeyRing, String>>,
    /// What templates of a definition see, until something changes.
    views: Mutex<HashMap<String, ConfigValues>>,
    /// Stands for a secret while a template is rendered. Nobody outside of this process knows it.
    mark: String,
    held: HeldSecrets,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

fn organisation(name: &str) -> ConfigKey {
    ConfigKey { scope: String::new(), name: name.to_owned() }
}

fn of_definition(job_type: &str, name: &str) -> ConfigKey {
    ConfigKey { scope: job_type.to_owned(), name: name.to_owned() }
}

/// `None` when there is none; a value that is no JSON is shown as text, for it was stored by a program like this one.
fn plain(row: &ConfigRow) -> Option<Value> {
    match &row.content {
        ConfigContent::Plain(json) => Some(serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.clone()))),
        ConfigContent::Secret(_) => None,
    }
}

/// A row as the API shows it: never with the value of a secret.
fn resource(row: &ConfigRow) -> ConfigResource {
    let of_definition = !row.key.scope.is_empty();
    ConfigResource {
        name: row.key.name.clone(),
        scope: if of_definition { ConfigScope::Definition } else { ConfigScope::Organisation },
        job_type: of_definition.then(|| row.key.scope.clone()),
        secret: row.is_secret(),
        value: plain(row),
        created_at: row.created_at.to_rfc3339(),
        updated_at: row.updated_at.to_rfc3339(),
    }
}

impl Secrets {
    /// Takes the stored configs over and opens the keys. What is wrong with the keys is said by [`Self::problem`]:
    /// everything that needs no secret goes on.
    pub(crate) fn open(rows: Vec<ConfigRow>, source: &KeySource, data_dir: &Path, entropy: &dyn Entropy) -> Self {
        let in_use = rows.iter().any(ConfigRow::is_secret);
        let keys = KeyRing::open(source, data_dir, entropy, in_use);
        if let Err(problem) = &keys {
            tracing::error!(%problem, "secrets cannot be used");
        }
        let mark = hex::encode(random_bytes::<16>(entropy));
        let secrets = Self {
            rows: RwLock::default(),
            keys: RwLock::new(keys),
            views: Mutex::default(),
            mark,
            held: HeldSecrets::default(),
        };
        secrets.reset(rows);
        secrets
    }

    /// Replaces all configs with what is stored.
    pub(crate) fn reset(&self, rows: Vec<ConfigRow>) {
        *self.rows_mut() = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        self.views().clear();
    }

    fn rows(&self) -> RwLockReadGuard<'_, BTreeMap<ConfigKey, ConfigRow>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<ConfigKey, ConfigRow>> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> RwLockReadGuard<'_, Result<KeyRing, String>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys_mut(&self) -> RwLockWriteGuard<'_, Result<KeyRing, String>> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn views(&self) -> MutexGuard<'_, HashMap<String, ConfigValues>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of a secret: the definition's own, else the organisation's. `None`: only the organisation's.
    pub fn secret(&self, job_type: Option<&str>, name: &str) -> Result<SecretText, SecretError> {
        // Always the keys before the rows: two orders could wait for each other.
        let keys = self.keys();
        let rows = self.rows();
        let own = job_type.and_then(|job_type| rows.get(&of_definition(job_type, name)));
        let shared = rows.get(&organisation(name));
        let Some((row, sealed)) = [own, shared].into_iter().flatten().find_map(|row| match &row.content {
            ConfigContent::Secret(sealed) => Some((row, sealed)),
            ConfigContent::Plain(_) => None,
        }) else {
            let hint = if own.or(shared).is_some() {
                format!("; {name} is a config that is not secret: configs.{name}")
            } else {
                String::new()
            };
            return Err(SecretError::Missing { name: name.to_owned(), hint });
        };
        let ring = match &*keys {
            Ok(ring) => ring,
            Err(problem) => {
                return Err(SecretError::NoKeys { name: name.to_owned(), problem: problem.clone() });
            }
        };
        let key = ring.get(&sealed.key_id).ok_or_else(|| SecretError::OtherKey {
            name: name.to_owned(),
            key_id: sealed.key_id.clone(),
            origin: ring.origin().to_owned(),
        })?;
        cipher::open(key, &row.key.scope, &row.key.name, sealed)
            .ok_or_else(|| SecretError::Damaged { name: name.to_owned() })
    }

    /// Whether there is a secret of this name for a definition.
    pub fn has_secret(&self, job_type: &str, name: &str) -> bool {
        self.has(job_type, name, true)
    }

    /// Whether there is a config of this name for a definition that is not secret.
    pub fn has_config(&self, job_type: &str, name: &str) -> bool {
        self.has(job_type, name, false)
    }

    fn has(&self, job_type: &str, name: &str, secret: bool) -> bool {
        let rows = self.rows();
        [of_definition(job_type, name), organisation(name)]
            .iter()
            .any(|key| rows.get(key).is_some_and(|row| row.is_secret() == secret))
    }

    /// The configs that templates of a definition see: not the secret ones. Its own come before the organisation's.
    pub(crate) fn values(&self, job_type: &str) -> ConfigValues {
        // Held until the view is entered, so that no change comes between.
        let mut views = self.views();
        if let Some(view) = views.get(job_type) {
            return view.clone();
        }
        let rows = self.rows();
        let mut values = indexmap::IndexMap::new();
        for scope in ["", job_type] {
            for (key, row) in rows.range(of_definition(scope, "")..).take_while(|(key, _)| key.scope == scope) {
                if let Some(value) = plain(row) {
                    values.insert(key.name.clone(), value);
                }
            }
        }
        drop(rows);
        let view = ConfigValues::new(&values);
        views.insert(job_type.to_owned(), view.clone());
        view
    }

    /// The secrets of attempts that run.
    pub fn held(&self) -> &HeldSecrets {
        &self.held
    }

    /// The mark that stands for a secret while a template is rendered.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// One config.
    pub fn get(&self, scope: &str, name: &str) -> Option<ConfigResource> {
        self.rows().get(&of_definition(scope, name)).map(resource)
    }

    /// Configs of a scope (empty: the organisation) by name, those after `after`.
    pub fn list(&self, scope: &str, after: &str, limit: u32) -> Vec<ConfigResource> {
        let rows = self.rows();
        let from = std::ops::Bound::Excluded(of_definition(scope, after));
        let found = rows.range((from, std::ops::Bound::Unbounded)).take_while(|(key, _)| key.scope == scope);
        found.take(limit as usize).map(|(_, row)| resource(row)).collect()
    }

    /// What keeps secrets from being used, in a sentence.
    pub fn problem(&self) -> Option<String> {
        let keys = self.keys();
        let ring = match &*keys {
            Ok(ring) => ring,
            Err(problem) => return Some(problem.clone()),
        };
        let mut unknown: BTreeSet<String> = BTreeSet::new();
        let mut count = 0;
        for id in self.rows().values().filter_map(ConfigRow::key_id).filter(|id| ring.get(id).is_none()) {
            count += 1;
            unknown.insert(id.to_owned());
        }
        (count > 0).then(|| {
            let ids: Vec<String> = unknown.into_iter().collect();
            format!(
                "{count} secret(s) were encrypted with the key {}, which {} does not have: put that key back, or set \
                 them again",
                ids.join(", "),
                ring.origin()
            )
        })
    }

    /// How the keys and the secrets stand.
    pub fn status(&self) -> SecretsStatus {
        let problem = self.problem();
        let keys = self.keys();
        let newest = keys.as_ref().ok().map(|ring| ring.newest().id().to_owned());
        let (mut secrets, mut outdated) = (0, 0);
        for id in self.rows().values().filter_map(ConfigRow::key_id) {
            secrets += 1;
            outdated += u32::from(newest.as_deref() != Some(id));
        }
        SecretsStatus {
            key_id: newest,
            keys: keys.as_ref().map_or(0, |ring| u32::try_from(ring.len()).unwrap_or(u32::MAX)),
            secrets,
            outdated,
            problem,
        }
    }

    /// A row, as it is to be stored.
    pub(crate) fn row(&self, key: &ConfigKey) -> Option<ConfigRow> {
        self.rows().get(key).cloned()
    }

    /// Enters a row.
    pub(crate) fn put(&self, row: ConfigRow) -> ConfigResource {
        let shown = resource(&row);
        self.rows_mut().insert(row.key.clone(), row);
        self.views().clear();
        shown
    }

    /// Removes a row.
    pub(crate) fn remove(&self, key: &ConfigKey) -> Option<ConfigRow> {
        let row = self.rows_mut().remove(key);
        self.views().clear();
        row
    }

    /// Encrypts a value for its place, with the newest key.
    pub(crate) fn seal(
        &self,
        key: &ConfigKey,
        value: &SecretText,
        entropy: &dyn Entropy,
    ) -> Result<ConfigContent, String> {
        let keys = self.keys();
        let ring = keys.as_ref().map_err(Clone::clone)?;
        cipher::seal(ring.newest(), &key.scope, &key.name, value, entropy)
            .map(ConfigContent::Secret)
            .ok_or_else(|| "the value is too long to be encrypted".to_owned())
    }

    /// Secrets that are encrypted with another key than the newest and can be opened, a few at a time.
    pub(crate) fn outdated(&self, most: usize) -> Vec<ConfigRow> {
        let keys = self.keys();
        let Ok(ring) = &*keys else { return Vec::new() };
        let rows = self.rows();
        let outdated = rows
            .values()
            .filter(|row| row.key_id().is_some_and(|id| id != ring.newest().id() && ring.get(id).is_some()));
        outdated.take(most).cloned().collect()
    }

    /// Encrypts a row's value anew with the newest key; a sentence when it cannot be opened.
    pub(crate) fn reseal(&self, row: &ConfigRow, entropy: &dyn Entropy) -> Result<ConfigRow, String> {
        let ConfigContent::Secret(sealed) = &row.content else { return Ok(row.clone()) };
        let value = {
            let keys = self.keys();
            let ring = keys.as_ref().map_err(Clone::clone)?;
            ring.get(&sealed.key_id).and_then(|key| cipher::open(key, &row.key.scope, &row.key.name, sealed))
        };
        let value = value.ok_or_else(|| SecretError::Damaged { name: row.key.name.clone() }.to_string())?;
        Ok(ConfigRow { content: self.seal(&row.key, &value, entropy)?, ..row.clone() })
    }

    /// Makes a new key, which everything is encrypted with from now on. Writes the key file: not on a thread that
    /// others wait for.
    pub(crate) fn add_key(&self, entropy: &dyn Entropy) -> Result<(), String> {
        match &mut *self.keys_mut() {
            Ok(ring) => ring.add_key(entropy),
            Err(problem) => Err(problem.clone()),
        }
    }

    /// Forgets keys that no stored secret needs. Writes the key file.
    pub(crate) fn drop_unused_keys(&self) -> Result<usize, String> {
        let needed: BTreeSet<String> = self.rows().values().filter_map(ConfigRow::key_id).map(str::to_owned).collect();
        match &mut *self.keys_mut() {
            Ok(ring) => ring.retain(|id| needed.contains(id)),
            Err(problem) => Err(problem.clone()),
        }
    }
}
