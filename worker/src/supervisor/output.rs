//! A program's output on its way into the spool: what waits when there is no room, and what is left out while nobody is
//! there to take it.

use atta_core::protocol::ant::LogStream;
use atta_core::time::UnixMillis;
use nix::errno::Errno;
use std::collections::VecDeque;
use std::ffi::CString;

use super::spool::{HEADER, SpoolWriter};
use super::wire::FromShim;

/// A longer one is none.
const LONGEST_LINE: usize = 64 << 10;

/// In the line about a gap, behind the number: what outputs are read from is not whole.
pub(crate) const OF_STDOUT: &str = " of them of stdout, for ";

/// See the module.
pub(crate) struct Output {
    spool: SpoolWriter,
    /// Pieces that the disk had no room for, in order: what is said of a gap, and what follows it.
    stuck: VecDeque<(LogStream, Vec<u8>)>,
    /// The last message was not answered.
    announced: bool,
    /// What comes from here on no ant has heard of.
    told: u64,
    /// Output is left out when the spool is full; nobody waits.
    thin: bool,
    /// Bytes of stdout and stderr that were left out, and not yet said so.
    left_out: [u64; 2],
    /// After a gap a stream goes on with a whole line: the rest of one could be the rest of a secret. So many bytes are
    /// looked through for its end.
    in_line: [usize; 2],
    /// Nobody will ask for the output.
    abandoned: bool,
    /// What was stored last does not end with the end of a line.
    mid_line: bool,
    /// Why no more of it can be stored, and none is: a piece of it is gone.
    failed: Option<Errno>,
    /// That was said.
    failure_said: bool,
}

impl Output {
    /// Into a new file that may grow to `bound` bytes.
    pub(crate) fn new(file: CString, bound: u64) -> Self {
        Self {
            spool: SpoolWriter::new(file, bound),
            stuck: VecDeque::new(),
            announced: false,
            told: 0,
            thin: false,
            left_out: [0; 2],
            in_line: [0; 2],
            abandoned: false,
            mid_line: false,
            failed: None,
            failure_said: false,
        }
    }

    /// Whether the program waits for the ant, or for room on the disk.
    pub(crate) fn throttled(&self) -> bool {
        !self.abandoned && (!self.stuck.is_empty() || (self.spool.is_full() && !self.thin))
    }

    /// Nobody will ask for it.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
        self.stuck.clear();
    }

    /// Whether nobody will ask for it.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// The ant is gone, and another one is waited for.
    pub(crate) fn go_on_alone(&mut self, bound: u64) {
        self.announced = false;
        self.set_bound(bound, true);
    }

    /// The spool's bound, and whether output beyond it is left out.
    pub(crate) fn set_bound(&mut self, bytes: u64, thin: bool) {
        self.spool.set_bound(bytes);
        self.thin = thin;
    }

    /// The ant has taken the output up to here.
    pub(crate) fn take(&mut self, position: u64, now: UnixMillis) {
        self.spool.taken(position);
        self.announced = false;
        self.retry_stuck(now);
    }

    /// The same, and nobody will ask for it again.
    pub(crate) fn settle(&mut self, position: u64, now: UnixMillis) {
        self.spool.settled(position);
        if self.thin {
            self.spool.free();
        }
        self.take(position, now);
    }

    /// Why the output cannot be stored any more: said once.
    pub(crate) fn take_failure(&mut self) -> Option<Errno> {
        if std::mem::replace(&mut self.failure_said, self.failed.is_some()) { None } else { self.failed }
    }

    /// Tries again to store what the disk had no room for; when there is nothing left to free, it fails.
    fn retry_stuck(&mut self, now: UnixMillis) {
        if self.stuck.is_empty() {
            return;
        }
        let cut = self.spool.cut();
        while let Some((stream, mut piece)) = self.stuck.pop_front() {
            if let Err(error) = self.spool.append(stream, now, &mut piece) {
                if cut || self.spool.is_settled() {
                    self.failed.get_or_insert(Errno::from_raw(error.raw_os_error().unwrap_or(0)));
                    self.stuck.clear();
                } else {
                    self.stuck.push_front((stream, piece));
                }
                return;
            }
        }
    }

    /// Puts a piece of a stream (0: stdout) into the spool; in front of it there are [`HEADER`] bytes of room.
    pub(crate) fn store(&mut self, index: usize, piece: &mut [u8], now: UnixMillis) {
        if self.abandoned || self.failed.is_some() {
            return;
        }
        let count = piece.len() - HEADER;
        if self.thin && self.spool.is_full() {
            self.left_out[index] += count as u64;
            self.in_line[index] = if piece.ends_with(b"\n") { 0 } else { LONGEST_LINE };
            return;
        }
        let mut from = HEADER;
        if self.in_line[index] > 0 {
            let skipped = match piece[from..].iter().position(|byte| *byte == b'\n') {
                Some(end) => end + 1,
                None => count,
            };
            let ended = piece[from + skipped - 1] == b'\n';
            self.in_line[index] = if ended { 0 } else { self.in_line[index].saturating_sub(skipped) };
            self.left_out[index] += skipped as u64;
            from += skipped;
            if from == piece.len() {
                return;
            }
        }
        self.tell_gap(now);
        let stream = if index == 0 { LogStream::Stdout } else { LogStream::Stderr };
        self.mid_line = !piece.ends_with(b"\n");
        self.append(stream, &mut piece[from - HEADER..], now);
    }

    /// Says what was left out before this. False while there is no room.
    pub(crate) fn finish(&mut self, now: UnixMillis) -> bool {
        if !self.throttled() {
            self.tell_gap(now);
        }
        !self.throttled()
    }

    /// Whether [`Self::say`] finds room now. Only between two lines, or `at_last`: whoever reads the log takes a line of Atta's
    /// own for the end of what stands before it, and could not know the two halves of a secret.
    pub(crate) fn can_say(&self, at_last: bool) -> bool {
        let open = !self.abandoned && self.failed.is_none() && self.stuck.is_empty() && !self.spool.is_full();
        open && (at_last || !self.mid_line)
    }

    /// A line of Atta's own among the output.
    pub(crate) fn say(&mut self, line: &str, now: UnixMillis) {
        let mut record = vec![0; HEADER];
        record.extend_from_slice(line.as_bytes());
        self.append(LogStream::System, &mut record, now);
    }

    fn tell_gap(&mut self, now: UnixMillis) {
        let [stdout, stderr] = std::mem::take(&mut self.left_out);
        let of_stdout = match (stdout, stdout + stderr) {
            (_, 0) => return,
            (0, _) => String::new(),
            _ => format!("{stdout}{OF_STDOUT}"),
        };
        let line = format!(
            "\u{2026} {} bytes of output were left out here: {of_stdout}the queen was away and the spool was full \u{2026}\n",
            stdout + stderr
        );
        self.say(&line, now);
    }

    fn append(&mut self, stream: LogStream, record: &mut [u8], now: UnixMillis) {
        if !self.stuck.is_empty() {
            self.stuck.push_back((stream, record.to_vec()));
        } else if self.spool.append(stream, now, record).is_err() {
            // Why it does not go in is said when it does not the second time either.
            self.stuck.push_back((stream, record.to_vec()));
            self.retry_stuck(now);
        }
    }

    /// What to tell the ant about the output; one message at a time, the answer makes room for the next.
    pub(crate) fn announcement(&mut self) -> Option<FromShim> {
        let checkpoint = !self.spool.is_settled() && (!self.stuck.is_empty() || self.spool.wants_checkpoint());
        if self.announced || (self.spool.is_taken() && !checkpoint) {
            return None;
        }
        let (base, end) = self.spool.range();
        self.announced = true;
        self.told = end;
        Some(FromShim::Output { base, end, checkpoint })
    }

    /// What comes from here on no ant has heard of.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// Position of the file's first byte, and of the end.
    pub(crate) fn range(&self) -> (u64, u64) {
        self.spool.range()
    }
}
