//! The tokens in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use atta_core::protocol::access::{Role, TokenResource};
use atta_core::time::{Clock, UnixMillis};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use super::value;
use crate::store::TokenRow;

/// Uses of a token that are closer together than this are one, in milliseconds.
const ONE_USE: i64 = 60_000;
/// The wall clock may be set: look at least so often whether a token has expired.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// Who asks, by their token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's id.
    pub token_id: String,
    /// The token's name.
    pub token: String,
    /// In whose name they act.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// The only ant that may use the token.
    pub ant: Option<String>,
    /// The only tags that the ant may have.
    pub tags: Option<Vec<String>>,
}

/// Why a token is no good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It is no token, or only a part of one.
    #[error("this is not a whole token of Atta: was it copied whole?")]
    Damaged,
    /// Nobody has it.
    #[error("this token is not one of this server")]
    Unknown,
    /// It was taken back.
    #[error("this token was revoked")]
    Revoked,
    /// Its time is over.
    #[error("this token was good until {0}")]
    Expired(String),
}

impl Denied {
    /// Stable machine code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Damaged => "TOKEN_DAMAGED",
            Self::Unknown => "TOKEN_UNKNOWN",
            Self::Revoked => "TOKEN_REVOKED",
            Self::Expired(_) => "TOKEN_EXPIRED",
        }
    }
}

struct Entry {
    row: TokenRow,
    last_used: AtomicI64,
    /// The last use is not stored yet.
    used: AtomicBool,
}

impl Entry {
    fn new(row: TokenRow) -> Self {
        let last_used = AtomicI64::new(row.last_used_at.map_or(i64::MIN, |at| at.0));
        Self { row, last_used, used: AtomicBool::new(false) }
    }

    /// The row with its newest use.
    fn current(&self) -> TokenRow {
        let at = self.last_used.load(Ordering::Relaxed);
        TokenRow { last_used_at: (at != i64::MIN).then_some(UnixMillis(at)), ..self.row.clone() }
    }

    fn check(&self, now: UnixMillis) -> Result<(), Denied> {
        if self.row.revoked_at.is_some() {
            return Err(Denied::Revoked);
        }
        match self.row.expires_at {
            Some(at) if at <= now => Err(Denied::Expired(at.to_rfc3339())),
            _ => Ok(()),
        }
    }
}

/// All tokens.
pub struct Tokens {
    /// By the hash of their value.
    entries: RwLock<HashMap<String, Arc<Entry>>>,
    changed: watch::Sender<()>,
    /// Some last use is not stored yet: nobody looks through all of them otherwise.
    used: AtomicBool,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    pub(crate) fn new(rows: Vec<TokenRow>) -> Self {
        let tokens = Self { entries: RwLock::default(), changed: watch::Sender::new(()), used: AtomicBool::new(false) };
        tokens.reset(rows);
        tokens
    }

    /// Replaces all with what is stored.
    pub(crate) fn reset(&self, rows: Vec<TokenRow>) {
        let entries = rows.into_iter().map(|row| (row.hash.clone(), Arc::new(Entry::new(row)))).collect();
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
        self.changed.send_replace(());
    }

    /// Sets or replaces one.
    pub(crate) fn put(&self, row: TokenRow) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.insert(row.hash.clone(), Arc::new(Entry::new(row)));
        drop(entries);
        self.changed.send_replace(());
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn by_id(&self, id: &str) -> Option<Arc<Entry>> {
        self.all().into_iter().find(|entry| entry.row.id == id)
    }

    /// Who holds this token.
    pub fn check(&self, text: &str, now: UnixMillis) -> Result<Caller, Denied> {
        if !value::is_whole(text) {
            return Err(Denied::Damaged);
        }
        let hash = value::hash(text);
        // The table is asked for a hash, about which a caller can choose nothing; what is found is compared in constant
        // time all the same.
        let entry = self.entries.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let entry = entry
            .filter(|entry| bool::from(entry.row.hash.as_bytes().ct_eq(hash.as_bytes())))
            .ok_or(Denied::Unknown)?;
        entry.check(now)?;
        if now.0.saturating_sub(entry.last_used.load(Ordering::Relaxed)) >= ONE_USE {
            entry.last_used.store(now.0, Ordering::Relaxed);
            entry.used.store(true, Ordering::Relaxed);
            self.used.store(true, Ordering::Release);
        }
        let row = &entry.row;
        Ok(Caller {
            token_id: row.id.clone(),
            token: row.name.clone(),
            user: row.user.clone(),
            role: row.role,
            ant: row.ant.clone(),
            tags: row.tags.clone(),
        })
    }

    /// Returns when a token is no good any more.
    pub async fn ended(&self, id: &str, clock: &dyn Clock) {
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            let Some(entry) = self.by_id(id) else { return };
            let now = clock.now();
            if entry.check(now).is_err() {
                return;
            }
            let expiry = async {
                match entry.row.expires_at {
                    Some(at) => tokio::time::sleep(at.since(now).min(LONGEST_SLEEP)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = expiry => {}
            }
        }
    }

    /// Whether an admin has a token that is good.
    pub fn has_admin(&self, now: UnixMillis) -> bool {
        self.all().iter().any(|entry| entry.row.role == Role::Admin && entry.check(now).is_ok())
    }

    /// A token by its id, or the one of this name that is good.
    pub(crate) fn find(&self, name_or_id: &str, now: UnixMillis) -> Option<TokenRow> {
        let found = |entry: &Arc<Entry>| {
            entry.row.id == name_or_id || (entry.row.name == name_or_id && entry.check(now).is_ok())
        };
        self.all().iter().find(|entry| found(entry)).map(|entry| entry.current())
    }

    /// All tokens as they are shown, in order of their ids behind one of them.
    pub(crate) fn list(&self, after: &str, limit: u32, now: UnixMillis) -> Vec<TokenResource> {
        let mut entries = self.all();
        entries.retain(|entry| entry.row.id.as_str() > after);
        entries.sort_by(|a, b| a.row.id.cmp(&b.row.id));
        entries.iter().take(limit as usize).map(|entry| shown(&entry.current(), now)).collect()
    }

    /// The tokens whose last use is not stored yet; it counts as stored from now on.
    pub(crate) fn take_uses(&self) -> Vec<TokenRow> {
        if !self.used.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let used = |entry: &Arc<Entry>| entry.used.swap(false, Ordering::Relaxed);
        self.all().into_iter().filter(used).map(|entry| entry.current()).collect()
    }
}

/// A token as it is shown.
pub(crate) fn shown(row: &TokenRow, now: UnixMillis) -> TokenResource {
    let text = |at: Option<UnixMillis>| at.map(UnixMillis::to_rfc3339);
    TokenResource {
        token_id: row.id.clone(),
        name: row.name.clone(),
        role: row.role,
        user: row.user.clone(),
        ant: row.ant.clone(),
        tags: row.tags.clone(),
        created_at: row.created_at.to_rfc3339(),
        created_by: row.created_by.clone(),
        expires_at: text(row.expires_at),
        last_used_at: text(row.last_used_at),
        revoked_at: text(row.revoked_at),
        live: row.revoked_at.is_none() && row.expires_at.is_none_or(|at| at > now),
    }
}
