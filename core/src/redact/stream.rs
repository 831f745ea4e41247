//! Redaction of what comes piece by piece.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::{MARK, Redactor};

/// What takes a secret's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// `***`, whatever its length.
    Mark,
    /// As many `*` as it has bytes: offsets stay.
    SameLength,
}

/// A stream of bytes whose secrets are replaced. What may be the beginning of one is held back until it is known.
#[derive(Clone)]
pub struct Stream {
    redactor: Redactor,
    mask: Mask,
    /// What is held back.
    carry: Vec<u8>,
    /// So many bytes of it belong to a secret that began before.
    covered: usize,
    /// The byte in front of the carry, as it was.
    before: Option<u8>,
    /// What was written last is the place of a secret.
    masking: bool,
}

/// Where a stream is: what is needed to go on with it elsewhere. It may hold parts of secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    carry: Vec<u8>,
    covered: usize,
    before: Option<u8>,
    masking: bool,
}

impl std::fmt::Debug for StreamState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamState").field("held", &self.carry.len()).finish_non_exhaustive()
    }
}

impl Drop for StreamState {
    fn drop(&mut self) {
        self.carry.zeroize();
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("mask", &self.mask).field("held", &self.carry.len()).finish_non_exhaustive()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.carry.zeroize();
    }
}

impl Stream {
    /// At the beginning of a stream.
    pub fn new(redactor: &Redactor, mask: Mask) -> Self {
        Self { redactor: redactor.clone(), mask, carry: Vec::new(), covered: 0, before: None, masking: false }
    }

    /// Where it is.
    pub fn state(&self) -> StreamState {
        let Self { carry, covered, before, masking, .. } = self;
        StreamState { carry: carry.clone(), covered: *covered, before: *before, masking: *masking }
    }

    /// Goes on with a stream of the same secrets.
    pub fn resume(redactor: &Redactor, mask: Mask, state: &StreamState) -> Self {
        let StreamState { carry, covered, before, masking } = state;
        let redactor = redactor.clone();
        Self { redactor, mask, carry: carry.clone(), covered: *covered, before: *before, masking: *masking }
    }

    /// Something is missing here. What is held back may be the first half of a secret: it is replaced by the mask.
    pub fn gap(&mut self, out: &mut Vec<u8>) {
        if !self.carry.is_empty() {
            match self.mask {
                Mask::SameLength => out.resize(out.len() + self.carry.len(), b'*'),
                Mask::Mark if !self.masking => out.extend_from_slice(MARK.as_bytes()),
                Mask::Mark => {}
            }
        }
        self.carry.zeroize();
        self.carry.clear();
        self.covered = 0;
        self.before = None;
        self.masking = false;
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.carry.len()
    }

    /// Takes bytes and appends to `out` what is known to hold no secret.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.carry.extend_from_slice(bytes);
        self.advance(false, out);
    }

    /// Nothing follows: appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(true, out);
        self.before = None;
        self.masking = false;
    }

    fn advance(&mut self, ends: bool, out: &mut Vec<u8>) {
        let (found, hold) = self.redactor.scan(&self.carry, self.before, ends);
        if hold == 0 {
            // Everything waits, what is covered too.
            return;
        }
        let mut at = 0;
        let mut covered = 0;
        let begun = (self.covered > 0).then_some((0, self.covered));
        let mut pieces = begun.into_iter().chain(found.iter().map(|found| (found.start, found.end))).peekable();
        while let Some((start, mut end)) = pieces.next() {
            // Those that touch or overlap are one.
            while let Some((_, other)) = pieces.next_if(|(next, _)| *next <= end) {
                end = end.max(other);
            }
            if start >= hold {
                break;
            }
            if start > at {
                out.extend_from_slice(&self.carry[at..start]);
                self.masking = false;
            }
            let visible = end.min(hold);
            match self.mask {
                Mask::SameLength => out.resize(out.len() + visible - start, b'*'),
                Mask::Mark if !self.masking => out.extend_from_slice(MARK.as_bytes()),
                Mask::Mark => {}
            }
            self.masking = true;
            at = visible;
            covered = end - visible;
        }
        if at < hold {
            out.extend_from_slice(&self.carry[at..hold]);
            self.masking = false;
        }
        self.before = Some(self.carry[hold - 1]);
        self.covered = covered;
        self.carry.drain(..hold);
    }
}

/// Looks for secrets in what comes piece by piece.
#[derive(Debug)]
pub struct Search {
    redactor: Redactor,
    carry: Vec<u8>,
    before: Option<u8>,
}

impl Search {
    /// At the beginning.
    pub fn new(redactor: &Redactor) -> Self {
        Self { redactor: redactor.clone(), carry: Vec::new(), before: None }
    }

    /// The name of a secret that the bytes so far hold.
    pub fn push(&mut self, bytes: &[u8]) -> Option<&str> {
        self.look(bytes, false)
    }

    /// The same, when nothing follows.
    pub fn finish(&mut self) -> Option<&str> {
        self.look(&[], true)
    }

    fn look(&mut self, bytes: &[u8], ends: bool) -> Option<&str> {
        self.carry.extend_from_slice(bytes);
        let (found, hold) = self.redactor.scan(&self.carry, self.before, ends);
        if hold > 0 {
            self.before = Some(self.carry[hold - 1]);
        }
        self.carry.drain(..hold);
        found.first().map(|found| self.redactor.name(*found))
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.carry.zeroize();
    }
}
