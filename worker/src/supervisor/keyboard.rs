//! What is typed into a program's terminal, until the program reads it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes that wait for a program that does not read. What is typed beyond them is not taken.
const MOST: usize = 64 << 10;
/// What was not taken is said at most so often.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Keyboard {
    /// The newest line on which something came, and the position on it before which everything was taken or refused.
    typed: Option<(u64, u64)>,
    waiting: VecDeque<u8>,
    /// Bytes that were not taken, and not yet said so.
    refused: u64,
    said_at: Option<Instant>,
}

impl Keyboard {
    /// For the next ant: how far it has come.
    pub(super) fn typed(&self) -> Option<(u64, u64)> {
        self.typed
    }

    /// Takes bytes that begin at a position of a line. Those that came before are not typed a second time, and what comes
    /// on an older line is late.
    pub(super) fn take(&mut self, line: u64, position: u64, bytes: &[u8]) {
        let upto = match self.typed {
            Some((of, _)) if of > line => return,
            Some((of, upto)) if of == line => upto,
            _ => position,
        };
        let known = usize::try_from(upto.saturating_sub(position)).unwrap_or(usize::MAX).min(bytes.len());
        let new = &bytes[known..];
        self.typed = Some((line, upto.max(position + bytes.len() as u64)));
        let (taken, refused) = new.split_at(new.len().min(MOST.saturating_sub(self.waiting.len())));
        self.waiting.extend(taken);
        self.refused += refused.len() as u64;
    }

    /// Whether something waits for the program.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What comes next.
    pub(super) fn next(&self) -> &[u8] {
        self.waiting.as_slices().0
    }

    /// The program's terminal has taken so many bytes.
    pub(super) fn written(&mut self, count: usize) {
        self.waiting.drain(..count);
        if self.waiting.is_empty() {
            // Somebody who typed much does not type for ever.
            self.waiting.shrink_to(0);
        }
    }

    /// Nothing can be typed any more.
    pub(super) fn close(&mut self) {
        self.waiting = VecDeque::new();
    }

    /// A line about bytes that were not taken, when it is time to say it: at once `at_last`.
    pub(super) fn complaint(&mut self, now: Instant, at_last: bool) -> Option<String> {
        let early = self.said_at.is_some_and(|at| now.duration_since(at) < SAY_EVERY);
        if self.refused == 0 || (early && !at_last) {
            return None;
        }
        self.said_at = Some(now);
        let refused = std::mem::take(&mut self.refused);
        Some(format!(
            "\u{2026} {refused} bytes that were typed were not taken here: the program does not read what waits for it \u{2026}\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keyboard: &mut Keyboard) -> Vec<u8> {
        let mut all = Vec::new();
        while keyboard.is_waiting() {
            let count = keyboard.next().len();
            all.extend_from_slice(keyboard.next());
            keyboard.written(count);
        }
        all
    }

    #[test]
    fn what_is_said_again_is_typed_once() {
        let mut keyboard = Keyboard::default();
        keyboard.take(5, 0, b"abc");
        keyboard.take(5, 0, b"abc");
        keyboard.take(5, 0, b"abcde");
        keyboard.take(5, 4, b"ef");
        keyboard.take(4, 0, b"late");
        assert_eq!((typed(&mut keyboard), keyboard.typed()), (b"abcdef".to_vec(), Some((5, 6))));
        keyboard.take(6, 0, b"new");
        keyboard.take(5, 6, b"late");
        assert_eq!((typed(&mut keyboard), keyboard.typed()), (b"new".to_vec(), Some((6, 3))));
    }

    #[test]
    fn a_line_may_begin_anywhere_for_the_shim_may_be_new() {
        let mut keyboard = Keyboard::default();
        keyboard.take(1, 100, b"x");
        assert_eq!((typed(&mut keyboard), keyboard.typed()), (b"x".to_vec(), Some((1, 101))));
    }

    #[test]
    fn the_newest_is_refused_and_told_in_bounds() {
        let mut keyboard = Keyboard::default();
        let now = Instant::now();
        keyboard.take(1, 0, &vec![b'a'; MOST - 1]);
        assert_eq!(keyboard.complaint(now, true), None);
        keyboard.take(1, MOST as u64 - 1, b"bcd");
        let first = keyboard.complaint(now, false).unwrap();
        assert!(first.contains(" 2 bytes that were typed were not taken"), "{first}");
        keyboard.take(1, MOST as u64 + 2, b"e");
        assert_eq!(keyboard.complaint(now, false), None, "a moment ago");
        assert!(keyboard.complaint(now, true).unwrap().contains(" 1 bytes"));
        keyboard.written(MOST);
        // What was refused is not typed later, when there is room.
        keyboard.take(1, MOST as u64 - 1, b"bcdef");
        assert_eq!(typed(&mut keyboard), b"f");
    }
}
