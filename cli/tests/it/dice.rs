//! Numbers that look random and are the same each time.

/// SplitMix64: the same numbers in every run with the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number from 0 to `bound`, which is not among them.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}
