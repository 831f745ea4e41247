//! Which orders have been obeyed, so that none is twice.

use std::collections::BTreeSet;

use atta_core::protocol::ant::{Heard, Orders};

/// The orders that have reached this ant.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    epoch: u64,
    upto: u64,
    also: BTreeSet<u64>,
}

impl Hearing {
    /// Whether orders are to be obeyed: not those that were, nor those of a queen that was followed by another one.
    pub(crate) fn is_news(&self, orders: &Orders) -> bool {
        if orders.epoch != self.epoch {
            return orders.epoch > self.epoch || orders.epoch == 0;
        }
        orders.serial == 0 || (orders.serial > self.upto && !self.also.contains(&orders.serial))
    }

    /// They have been obeyed.
    pub(crate) fn note(&mut self, epoch: u64, serial: u64) {
        if epoch > self.epoch {
            *self = Self { epoch, ..Self::default() };
        }
        if epoch != self.epoch || serial <= self.upto {
            return;
        }
        self.also.insert(serial);
        while self.also.remove(&(self.upto + 1)) {
            self.upto += 1;
        }
    }

    /// For the queen.
    pub(crate) fn heard(&self) -> Heard {
        Heard { epoch: self.epoch, upto: self.upto, also: self.also.iter().copied().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(epoch: u64, serial: u64) -> Orders {
        Orders { epoch, serial, ..Orders::default() }
    }

    #[test]
    fn orders_are_news_once_in_whatever_order_they_come() {
        let mut hearing = Hearing::default();
        for serial in [2, 1, 4, 3, 6] {
            assert!(hearing.is_news(&orders(1, serial)));
            hearing.note(1, serial);
            assert!(!hearing.is_news(&orders(1, serial)));
        }
        assert_eq!(hearing.heard(), Heard { epoch: 1, upto: 4, also: vec![6] });
        assert!(hearing.is_news(&orders(1, 5)) && hearing.is_news(&orders(1, 0)));
    }

    #[test]
    fn a_new_queen_counts_anew_and_the_old_one_is_not_obeyed_any_more() {
        let mut hearing = Hearing::default();
        hearing.note(1, 1);
        assert!(hearing.is_news(&orders(2, 1)));
        hearing.note(2, 1);
        assert!(!hearing.is_news(&orders(2, 1)));
        assert!(!hearing.is_news(&orders(1, 2)));
        hearing.note(1, 2);
        assert_eq!(hearing.heard(), Heard { epoch: 2, upto: 1, also: vec![] });
    }
}
