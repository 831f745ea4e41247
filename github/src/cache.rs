//! Answers that GitHub confirms with 304, which costs nothing of a rate limit.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

/// Bytes of all answers.
const MOST: usize = 32 << 20;
/// Bytes that each answer takes besides, which bounds their number.
const EACH: usize = 512;
/// A longer answer is not kept.
const LONGEST: usize = 4 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) etag: String,
    pub(crate) body: Arc<Value>,
    /// The value of `Link`.
    pub(crate) link: Option<String>,
    /// Bytes of the body.
    pub(crate) size: usize,
    /// All that it takes, about.
    cost: usize,
    used: u64,
}

/// By who asks and what for.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    kept: HashMap<(String, String), Kept>,
    size: usize,
    uses: u64,
}

impl Cache {
    pub(crate) fn get(&mut self, who: &str, url: &str) -> Option<Kept> {
        self.uses += 1;
        let kept = self.kept.get_mut(&(who.to_owned(), url.to_owned()))?;
        kept.used = self.uses;
        Some(kept.clone())
    }

    pub(crate) fn put(
        &mut self,
        (who, url): (&str, &str),
        etag: String,
        body: Arc<Value>,
        link: Option<String>,
        size: usize,
    ) {
        if size > LONGEST {
            return;
        }
        self.uses += 1;
        let cost = size + who.len() + url.len() + etag.len() + link.as_ref().map_or(0, String::len) + EACH;
        let kept = Kept { etag, body, link, size, cost, used: self.uses };
        self.size += cost;
        if let Some(old) = self.kept.insert((who.to_owned(), url.to_owned()), kept) {
            self.size -= old.cost;
        }
        while self.size > MOST {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone());
            let Some(old) = oldest.and_then(|key| self.kept.remove(&key)) else { break };
            self.size -= old.cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_lately_makes_room() {
        let mut cache = Cache::default();
        let put = |cache: &mut Cache, url: &str, size| {
            cache.put(("me", url), "e".to_owned(), Arc::new(Value::Null), None, size);
        };
        for number in 0..8 {
            put(&mut cache, &number.to_string(), LONGEST - 1_024);
        }
        assert!(cache.get("me", "0").is_some());
        put(&mut cache, "8", LONGEST - 1_024);
        assert!(cache.get("me", "1").is_none() && cache.get("me", "0").is_some());
        put(&mut cache, "big", LONGEST + 1);
        assert!(cache.get("me", "big").is_none());
        put(&mut cache, "0", 1);
        assert_eq!(cache.size, 7 * (LONGEST - 1_024) + 1 + 8 * (EACH + "me0e".len()));
        assert!(cache.get("you", "0").is_none(), "each sees what is meant for him");
    }
}
