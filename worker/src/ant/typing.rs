//! What people type into an attempt, from the queen's orders until its shim has it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use atta_core::protocol::terminal::TerminalOrder;
use tokio::sync::Notify;

/// Orders that the attempt's shim has not been told yet, in order.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    orders: Mutex<VecDeque<TerminalOrder>>,
    more: Notify,
}

impl Typing {
    /// Puts an order at the end.
    pub(super) fn push(&self, order: TerminalOrder) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.more.notify_one();
    }

    /// Takes the first one.
    pub(crate) fn pop(&self) -> Option<TerminalOrder> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Returns when there may be one.
    pub(crate) async fn more(&self) {
        self.more.notified().await;
    }
}
