//! What can go wrong, on purpose.

use std::time::Duration;

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, and nothing is done.
    Status(u16),
    /// It is done, and this status is the answer all the same.
    DoneBut(u16),
    /// 403: the limit of requests is used up, for so many seconds.
    PrimaryLimit(u64),
    /// 403, with `Retry-After` if it is said.
    SecondaryLimit(Option<u64>),
    /// 429 with `Retry-After`.
    TooMany(u64),
    /// The connection ends and nothing is done.
    CutBefore,
    /// It is done, and the connection ends before the answer.
    CutAfter,
    /// It is done, and the connection ends in the middle of the answer.
    CutWithin,
    /// It is done, and nothing is answered for so long.
    Silent(Duration),
    /// It is answered late.
    Slow(Duration),
    /// A JSON document that ends too early.
    Malformed,
    /// A page for people.
    Html,
    /// This body, as JSON.
    Body(&'static str),
}

/// When something goes wrong.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) method: Option<&'static str>,
    pub(crate) path: String,
    pub(crate) after: usize,
    pub(crate) times: usize,
    pub(crate) fault: Fault,
}

impl Rule {
    /// Requests of this method (`*`: of all) whose path has this in it: none yet.
    pub fn on(method: &'static str, path: &str) -> Self {
        let method = (method != "*").then_some(method);
        Self { method, path: path.to_owned(), after: 0, times: 0, fault: Fault::CutBefore }
    }

    /// Lets so many through first.
    #[must_use]
    pub fn after(mut self, count: usize) -> Self {
        self.after = count;
        self
    }

    /// The next one.
    #[must_use]
    pub fn once(self, fault: Fault) -> Self {
        self.times(1, fault)
    }

    /// So many.
    #[must_use]
    pub fn times(mut self, times: usize, fault: Fault) -> Self {
        self.times = times;
        self.fault = fault;
        self
    }

    /// All of them.
    #[must_use]
    pub fn always(self, fault: Fault) -> Self {
        self.times(usize::MAX, fault)
    }

    /// Whether it has still to go wrong, a counted number of times.
    pub(crate) fn waits(&self) -> bool {
        self.times > 0 && self.times < usize::MAX
    }

    pub(crate) fn meets(&mut self, method: &str, path: &str) -> Option<Fault> {
        if self.times == 0 || self.method.is_some_and(|wanted| wanted != method) || !path.contains(&self.path) {
            return None;
        }
        if self.after > 0 {
            self.after -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.fault.clone())
    }
}
