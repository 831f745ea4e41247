//! READY attempts in the order in which they are given out.
//!
//! # Order
//! An attempt's rank is `ready_at + priority × AGEING_STEP` (CRITICAL is 0, LOW is 3), the least first. So among attempts
//! that became ready at the same time the more urgent goes first, and an attempt that has waited for `AGEING_STEP` goes
//! before fresh ones of the next higher priority: a LOW attempt is overtaken by attempts that become ready up to
//! 3 × `AGEING_STEP` after it, and by no later one. Nothing starves, and a rank never changes, so that the queue needs no
//! re-sorting. Jobs that wait for `max_concurrency` are ranked the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atta_core::definition::Priority;
use atta_core::engine::AttemptNumber;
use atta_core::protocol::JobId;
use atta_core::time::UnixMillis;

/// How long one has to wait to go before fresh ones of the next higher priority.
pub(super) const AGEING_STEP: Duration = Duration::from_mins(10);

/// Place in an order: the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(i64);

impl Rank {
    /// The rank of what waits since `since`.
    pub(super) fn new(priority: Priority, since: UnixMillis) -> Self {
        let steps = match priority {
            Priority::Critical => 0,
            Priority::High => 1,
            Priority::Normal => 2,
            Priority::Low => 3,
        };
        Self(since.plus(AGEING_STEP * steps).0)
    }
}

/// A queued attempt. Ties go to the older job, then to the lower number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueueKey {
    pub(super) rank: Rank,
    pub(super) job: JobId,
    pub(super) attempt: AttemptNumber,
}

/// A method that not every ant has is needed like a tag; no tag has a comma.
pub(super) fn needed_method(method: &str) -> String {
    format!("method,{method}")
}

/// The method, when it is one that is needed.
pub(super) fn method_needed(tag: &str) -> Option<&str> {
    tag.strip_prefix("method,")
}

/// READY attempts, apart by the tags that they need.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    by_tags: BTreeMap<Vec<String>, BTreeSet<QueueKey>>,
}

impl ReadyQueue {
    /// Queues an attempt for ants that have all of `tags` (sorted).
    pub(super) fn push(&mut self, tags: Vec<String>, key: QueueKey) {
        self.by_tags.entry(tags).or_default().insert(key);
    }

    /// Takes an attempt out, if it is in.
    pub(super) fn remove(&mut self, tags: &[String], key: &QueueKey) {
        if let Some(queue) = self.by_tags.get_mut(tags) {
            queue.remove(key);
            if queue.is_empty() {
                self.by_tags.remove(tags);
            }
        }
    }

    /// Takes the first attempt that an ant with these tags can have.
    pub(super) fn pop(&mut self, tags: &BTreeSet<String>) -> Option<QueueKey> {
        let (needs, _) = self
            .by_tags
            .iter()
            .filter(|(needs, _)| needs.iter().all(|tag| tags.contains(tag)))
            .filter_map(|(needs, queue)| Some((needs, queue.first()?)))
            .min_by(|(_, a), (_, b)| a.cmp(b))?;
        let needs = needs.clone();
        let queue = self.by_tags.get_mut(&needs)?;
        let key = queue.pop_first();
        if queue.is_empty() {
            self.by_tags.remove(&needs);
        }
        key
    }

    /// The first of all, whatever it needs.
    pub(super) fn first(&self) -> Option<&QueueKey> {
        self.by_tags.values().filter_map(BTreeSet::first).min()
    }

    /// All that wait.
    pub(super) fn keys(&self) -> impl Iterator<Item = &QueueKey> {
        self.by_tags.values().flatten()
    }

    /// The first that wait, at most so many of those that need the same.
    pub(super) fn firsts(&self, most: usize) -> impl Iterator<Item = &QueueKey> {
        self.by_tags.values().flat_map(move |queue| queue.iter().take(most))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.by_tags.values().map(BTreeSet::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(priority: Priority, at: i64, number: u32) -> QueueKey {
        QueueKey {
            rank: Rank::new(priority, UnixMillis(at)),
            job: JobId("job_a".to_owned()),
            attempt: AttemptNumber(number),
        }
    }

    fn drain(queue: &mut ReadyQueue, tags: &[&str]) -> Vec<u32> {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        std::iter::from_fn(|| queue.pop(&tags)).map(|key| key.attempt.0).collect()
    }

    #[test]
    fn the_more_urgent_goes_first_and_equals_keep_their_order() {
        let mut queue = ReadyQueue::default();
        for (number, priority) in
            [Priority::Low, Priority::Normal, Priority::Critical, Priority::High, Priority::Normal].iter().enumerate()
        {
            queue.push(Vec::new(), key(*priority, 1000, u32::try_from(number).unwrap()));
        }
        assert_eq!(drain(&mut queue, &[]), [2, 3, 1, 4, 0]);
    }

    #[test]
    fn a_low_attempt_that_waited_three_steps_goes_before_fresh_critical_ones() {
        let step = i64::try_from(AGEING_STEP.as_millis()).unwrap();
        let mut queue = ReadyQueue::default();
        queue.push(Vec::new(), key(Priority::Critical, 3 * step - 1, 1));
        queue.push(Vec::new(), key(Priority::Critical, 3 * step + 1, 3));
        queue.push(Vec::new(), key(Priority::Low, 0, 2));
        assert_eq!(drain(&mut queue, &[]), [1, 2, 3]);
    }

    #[test]
    fn an_ant_gets_only_what_its_tags_cover() {
        let mut queue = ReadyQueue::default();
        queue.push(vec!["gpu".to_owned()], key(Priority::Critical, 0, 1));
        queue.push(Vec::new(), key(Priority::Low, 0, 2));
        queue.push(vec!["gpu".to_owned(), "linux".to_owned()], key(Priority::Critical, 0, 3));
        assert_eq!(drain(&mut queue, &["linux"]), [2]);
        assert_eq!(drain(&mut queue, &["linux", "gpu"]), [1, 3]);
        assert_eq!(queue.len(), 0);
    }
}
