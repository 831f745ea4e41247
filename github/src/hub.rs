//! What an ant remembers of GitHub from one attempt to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atta_core::resilience::{Backoff, Breaker, BreakerPolicy, RetryBudget};
use atta_core::time::{Clock, Entropy, UnixMillis};
use sha2::{Digest as _, Sha256};

use crate::cache::Cache;
use crate::credential::Minted;

/// Hosts, credentials and tokens that are remembered; beyond that one begins anew.
const MOST: usize = 1_000;

/// How long an attempt waits by itself.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// A wait that GitHub asks for and that is no longer is waited out; of a longer one the attempt ends, and says when to
    /// come back.
    pub wait: Duration,
    /// After a write of which nobody knows whether it takes effect, so long is waited before one looks.
    pub look: Duration,
    /// Pauses before what failed is tried again.
    pub pauses: Backoff,
    /// So often it is tried in all.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        let pauses = Backoff { first: Duration::from_millis(500), factor: 3, cap: Duration::from_secs(10) };
        Self { wait: Duration::from_secs(5), look: Duration::from_secs(3), pauses, tries: 4 }
    }
}

/// What an ant remembers of GitHub: answers, limits, tokens of Apps, and how each host is.
pub struct Hub {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) patience: Patience,
    cache: Mutex<Cache>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    /// Until when a credential has used up a limit, by monotonic time, and the sentence that says so.
    blocked: Mutex<HashMap<(String, String), Blocked>>,
    logins: Mutex<HashMap<String, Login>>,
    tokens: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Minted>>>>>,
}

/// How one host is.
pub(crate) struct Host {
    pub(crate) breaker: Breaker,
    pub(crate) budget: RetryBudget,
}

#[derive(Debug, Clone)]
pub(crate) struct Blocked {
    pub(crate) until: Duration,
    pub(crate) why: String,
}

/// Whom GitHub knows a credential as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) name: String,
    /// Nobody else writes under this name.
    pub(crate) is_bot: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// One that remembers nothing yet.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, patience: Patience) -> Self {
        Self {
            clock,
            entropy,
            patience,
            cache: Mutex::default(),
            hosts: Mutex::default(),
            blocked: Mutex::default(),
            logins: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, Cache> {
        locked(&self.cache)
    }

    pub(crate) fn host(&self, name: &str) -> Arc<Host> {
        let open = Backoff { first: Duration::from_secs(2), factor: 2, cap: Duration::from_mins(1) };
        let new =
            || Host { breaker: Breaker::new(BreakerPolicy { failures: 5, open }), budget: RetryBudget::new(20, 20) };
        Arc::clone(bounded(&mut locked(&self.hosts)).entry(name.to_owned()).or_insert_with(|| Arc::new(new())))
    }

    pub(crate) fn block(&self, who: &str, resource: &str, wait: Duration, why: String) {
        let until = self.clock.monotonic() + wait;
        let mut blocked = locked(&self.blocked);
        let block = bounded(&mut blocked).entry((who.to_owned(), resource.to_owned()));
        // An answer to an earlier request may come later, and ask for less.
        let known = block.or_insert_with(|| Blocked { until, why: why.clone() });
        if known.until < until {
            *known = Blocked { until, why };
        }
    }

    /// How long this credential is to leave a resource alone, and why.
    pub(crate) fn blocked(&self, who: &str, resource: &str) -> Option<(Duration, String)> {
        let now = self.clock.monotonic();
        let mut blocked = locked(&self.blocked);
        blocked.retain(|_, block| block.until > now);
        // What has no resource concerns them all.
        let concerning = blocked.iter().filter(|((of, what), _)| of == who && (what.is_empty() || what == resource));
        let found = concerning.max_by_key(|(_, block)| block.until);
        found.map(|(_, block)| (block.until.saturating_sub(now), block.why.clone()))
    }

    pub(crate) fn login(&self, who: &str) -> Option<Login> {
        locked(&self.logins).get(who).cloned()
    }

    pub(crate) fn know_login(&self, who: &str, login: Login) {
        bounded(&mut locked(&self.logins)).insert(who.to_owned(), login);
    }

    pub(crate) fn minted(&self, installation: &str) -> Arc<tokio::sync::Mutex<Option<Minted>>> {
        Arc::clone(bounded(&mut locked(&self.tokens)).entry(installation.to_owned()).or_default())
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }
}

fn bounded<K, V>(map: &mut HashMap<K, V>) -> &mut HashMap<K, V> {
    if map.len() >= MOST {
        map.clear();
    }
    map
}

/// Stands for a secret where one is told from another.
pub(crate) fn fingerprint(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_le_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}
