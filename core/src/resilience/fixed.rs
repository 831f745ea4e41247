//! Entropy for tests that is always the same.

use crate::time::Entropy;

/// Says this number for ever.
pub(super) struct Fixed(pub(super) u64);

impl Entropy for Fixed {
    fn next_u64(&self) -> u64 {
        self.0
    }
}
