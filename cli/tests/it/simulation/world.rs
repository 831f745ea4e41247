//! What is the same for all parts of a simulated world: one dice, one time, one trace, and what programs have done.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use atta_core::protocol::AttemptId;
use atta_core::time::{Clock, Entropy, UnixMillis};
use atta_worker::simulation::{Ended, Program, Step, World as Programs};
use tokio::time::Instant;

use super::files::{self, Listing};
use super::hearings::Hearings;
use crate::dice::Dice;

/// 2026-01-05T00:00:00Z.
pub(super) const START: i64 = 1_767_571_200_000;

/// What goes wrong now.
#[derive(Debug, Default)]
pub(super) struct Weather {
    /// In a thousand.
    pub(super) loss: u64,
    /// In a thousand.
    pub(super) again: u64,
    /// In a thousand: a message or an answer takes seconds.
    pub(super) late: u64,
    /// Ants that reach nobody.
    pub(super) cut_off: BTreeSet<usize>,
    /// Nobody is answered before.
    pub(super) stalled_until: Option<Instant>,
    /// The queen's logs have no room.
    pub(super) logs_full: bool,
    /// Machines without room for output.
    pub(super) full_disks: BTreeSet<usize>,
}

/// What a program has done.
#[derive(Debug, Default)]
pub(super) struct Ran {
    pub(super) begun: u32,
    /// What it writes when it runs to its end.
    pub(super) lines: Vec<String>,
    pub(super) ended: Option<Ended>,
    /// The files that it found; `None`: nobody looked, or its directory was gone.
    pub(super) read: Option<Listing>,
    /// The files that it left.
    pub(super) wrote: Listing,
}

/// What programs do when it is not drawn.
pub(super) type Author = Box<dyn Fn(&AttemptId) -> Program + Send>;

/// One world.
pub(super) struct World {
    pub(super) dir: PathBuf,
    pub(super) start: Instant,
    dice: Mutex<Dice>,
    trace: Mutex<Trace>,
    pub(super) weather: Mutex<Weather>,
    pub(super) ran: Mutex<BTreeMap<(AttemptId, String), Ran>>,
    pub(super) queen_clock: Arc<SimClock>,
    pub(super) ant_clocks: Vec<Arc<SimClock>>,
    violations: Mutex<Vec<String>>,
    /// Results that attempts may have, however their program ended: something that leads to them has happened.
    excuses: Mutex<BTreeSet<&'static str>>,
    /// What attempts may be lost for.
    hearings: Mutex<Hearings>,
    files: AtomicBool,
    pub(super) author: Mutex<Option<Author>>,
    /// How long programs take at most, in milliseconds.
    pub(super) longest: u64,
}

/// What has happened, in words.
#[derive(Default)]
struct Trace {
    hasher: blake3::Hasher,
    lines: String,
    loud: bool,
}

/// A wall clock that can be set, over the virtual time.
#[derive(Debug)]
pub(super) struct SimClock {
    start: Instant,
    wall: AtomicI64,
    /// The machine has slept so long.
    slept: AtomicU64,
    /// When it was set, and by how much it was wrong from then on.
    jumps: Mutex<Vec<(Duration, i64)>>,
}

impl SimClock {
    fn new(start: Instant) -> Arc<Self> {
        Arc::new(Self { start, wall: AtomicI64::new(0), slept: AtomicU64::new(0), jumps: Mutex::default() })
    }

    /// Somebody sets it.
    pub(super) fn jump(&self, millis: i64) {
        let wrong = self.wall.fetch_add(millis, Ordering::Relaxed) + millis;
        locked(&self.jumps).push((self.monotonic(), wrong));
    }

    /// When it showed this time, by its monotonic time. `None`: never, or it was set back and who writes its times down
    /// may have written a later one.
    pub(super) fn when(&self, shown: i64) -> Option<Duration> {
        let mut settings = vec![(Duration::ZERO, 0)];
        settings.extend(locked(&self.jumps).iter());
        if !settings.is_sorted_by_key(|(_, wrong)| *wrong) {
            return None;
        }
        let of = |(from, wrong): (Duration, i64)| {
            let time = u64::try_from(shown - START - wrong).ok().map(Duration::from_millis)?;
            // What it shows is in whole milliseconds.
            (time + Duration::from_millis(1) > from).then_some(time)
        };
        settings.into_iter().rev().find_map(of)
    }

    /// The machine sleeps, and its clocks go on.
    pub(super) fn sleep(&self, time: Duration) {
        self.slept.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(START + self.wall.load(Ordering::Relaxed)).plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed() + Duration::from_millis(self.slept.load(Ordering::Relaxed))
    }
}

/// Entropy of one part of the world.
#[derive(Debug)]
pub(super) struct SimEntropy(Mutex<u64>);

impl SimEntropy {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(seed)))
    }
}

impl Entropy for SimEntropy {
    fn next_u64(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        let mut dice = Dice(*state);
        let bits = dice.below(1 << 32) << 32 | dice.below(1 << 32);
        *state = dice.0;
        bits
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl World {
    pub(super) fn new(seed: u64, dir: &Path, ants: usize, loud: bool) -> Arc<Self> {
        let start = Instant::now();
        let mut dice = Dice(seed);
        let longest = [200, 3_000, 30_000, 120_000][usize::try_from(dice.below(4)).unwrap()];
        // The limit of a task is a minute.
        let excuses = if longest < 5_000 { BTreeSet::new() } else { BTreeSet::from(["TIMED_OUT"]) };
        Arc::new(Self {
            dir: dir.to_owned(),
            start,
            dice: Mutex::new(dice),
            trace: Mutex::new(Trace { loud, ..Trace::default() }),
            weather: Mutex::default(),
            ran: Mutex::default(),
            queen_clock: SimClock::new(start),
            ant_clocks: (0..ants).map(|_| SimClock::new(start)).collect(),
            violations: Mutex::default(),
            excuses: Mutex::new(excuses),
            hearings: Mutex::default(),
            // Without a draw, and for none of the seeds that were remembered before: their stories stay what they were.
            files: AtomicBool::new(seed % 4 == 2),
            author: Mutex::default(),
            longest,
        })
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        locked(&self.dice).below(bound)
    }

    /// So many times in a thousand.
    pub(super) fn chance(&self, in_a_thousand: u64) -> bool {
        in_a_thousand > 0 && self.below(1000) < in_a_thousand
    }

    /// Mostly short, seldom up to `most` milliseconds.
    pub(super) fn millis(&self, most: u64) -> Duration {
        let most = most.max(1);
        let bits = 64 - most.leading_zeros();
        let bound = 1_u64 << (1 + self.below(u64::from(bits)));
        Duration::from_millis(self.below(bound.min(most) + 1))
    }

    /// Whether programs of this world leave and find files.
    pub(super) fn has_files(&self) -> bool {
        self.files.load(Ordering::Relaxed)
    }

    pub(super) fn give_files(&self, files: bool) {
        self.files.store(files, Ordering::Relaxed);
    }

    pub(super) fn hearings(&self) -> MutexGuard<'_, Hearings> {
        locked(&self.hearings)
    }

    pub(super) fn weather(&self) -> MutexGuard<'_, Weather> {
        locked(&self.weather)
    }

    /// Something has happened.
    pub(super) fn note(&self, what: impl FnOnce(&mut String)) {
        let mut trace = locked(&self.trace);
        let trace = &mut *trace;
        let from = trace.lines.len();
        let _ = write!(trace.lines, "{:>10} ", self.start.elapsed().as_millis());
        what(&mut trace.lines);
        trace.lines.push('\n');
        trace.hasher.update(&trace.lines.as_bytes()[from..]);
        if trace.loud {
            eprint!("{}", &trace.lines[from..]);
        }
    }

    pub(super) fn say(&self, what: &str) {
        self.note(|line| line.push_str(what));
    }

    pub(super) fn violated(&self, what: String) {
        self.say(&format!("VIOLATED: {what}"));
        locked(&self.violations).push(what);
    }

    /// From now on an attempt may end so, although its program does not. Whether one may be lost is a matter of itself:
    /// see [`Hearings`].
    pub(super) fn may_be(&self, result: &'static str) {
        locked(&self.excuses).insert(result);
    }

    pub(super) fn is_excused(&self, result: &str) -> bool {
        locked(&self.excuses).contains(result)
    }

    pub(super) fn violations(&self) -> Vec<String> {
        locked(&self.violations).clone()
    }

    pub(super) fn trace(&self) -> String {
        locked(&self.trace).lines.clone()
    }

    pub(super) fn hash(&self) -> String {
        locked(&self.trace).hasher.finalize().to_hex()[..16].to_owned()
    }

    pub(super) fn ant_dir(&self, number: usize) -> PathBuf {
        self.dir.join(format!("ant{number}"))
    }

    fn machine_of(&self, path: &Path) -> usize {
        (0..self.ant_clocks.len()).find(|number| path.starts_with(self.ant_dir(*number))).unwrap_or(0)
    }

    fn program(&self, attempt: &AttemptId, name: &str) -> (Program, Vec<String>) {
        if let Some(author) = &*locked(&self.author) {
            let program = author(attempt);
            let lines = program.steps.iter().filter_map(|step| match step {
                Step::Sleep(_) => None,
                Step::Write { bytes, .. } => Some(String::from_utf8(bytes.clone()).unwrap()),
            });
            let lines = lines.collect();
            return (program, lines);
        }
        let mut steps = Vec::new();
        let mut lines = Vec::new();
        for number in 0..self.below(6) {
            steps.push(Step::Sleep(self.millis(self.longest)));
            if self.chance(700) {
                let padding = "x".repeat(usize::try_from(self.below(60)).unwrap());
                let line = format!("{attempt} {name} {number} {padding}\n");
                steps.push(Step::Write { to_stderr: self.chance(300), bytes: line.clone().into_bytes() });
                lines.push(line);
            }
        }
        steps.push(Step::Sleep(self.millis(self.longest)));
        let code = if self.chance(120) { 1 + u8::try_from(self.below(3)).unwrap() } else { 0 };
        let obeys_after = (!self.chance(250)).then(|| self.millis(5_000));
        (Program { steps, code, obeys_after }, lines)
    }
}

/// The world as machines see it.
pub(super) struct Machines(pub(super) Arc<World>);

impl Machines {
    pub(super) fn enter(world: &Arc<World>) {
        atta_worker::simulation::enter(Rc::new(Self(world.clone())));
    }
}

impl Programs for Machines {
    fn begin(&self, attempt: &AttemptId, name: &str) -> Program {
        let world = &self.0;
        let (program, lines) = world.program(attempt, name);
        world.say(&format!("begin {attempt} {name}"));
        let read = if world.has_files() && name == "script" { files::read(world, attempt) } else { None };
        if let Some(read) = read.as_ref().filter(|read| !read.is_empty()) {
            world.say(&format!("{attempt} finds {:?}", read.keys().collect::<Vec<_>>()));
        }
        let begun = {
            let mut ran = locked(&world.ran);
            let entry = ran.entry((attempt.clone(), name.to_owned())).or_default();
            entry.begun += 1;
            entry.lines = lines;
            if read.is_some() {
                entry.read = read;
            }
            entry.begun
        };
        if begun > 1 {
            world.violated(format!("the {name} of {attempt} was begun {begun} times"));
        }
        program
    }

    fn end(&self, attempt: &AttemptId, name: &str, how: Ended) {
        self.0.say(&format!("end {attempt} {name} {how:?}"));
        let leaves = self.0.has_files() && name == "script" && matches!(how, Ended::Code(_));
        let wrote = if leaves { files::write(&self.0, attempt) } else { Listing::new() };
        if let Some(ran) = locked(&self.0.ran).get_mut(&(attempt.clone(), name.to_owned())) {
            ran.ended = Some(how);
            ran.wrote = wrote;
        }
    }

    fn now(&self, path: &Path) -> UnixMillis {
        self.0.ant_clocks[self.0.machine_of(path)].now()
    }

    fn disk_is_full(&self, path: &Path) -> bool {
        self.0.weather().full_disks.contains(&self.0.machine_of(path))
    }
}

thread_local! {
    /// One directory per thread: made once, filled anew for each schedule.
    static DIRECTORY: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// A directory of this thread, in memory where there is such a thing.
pub(super) fn scratch() -> PathBuf {
    DIRECTORY.with_borrow_mut(|dir| {
        let dir = dir.get_or_insert_with(|| {
            let memory = Path::new("/dev/shm");
            let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
            tempfile::Builder::new().prefix("atta-simulation").tempdir_in(place).unwrap()
        });
        dir.path().to_owned()
    })
}
