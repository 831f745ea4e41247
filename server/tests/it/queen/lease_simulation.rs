//! Ants that keep the protocol, on a network that loses, repeats, delays and reorders what they say, with a queen and
//! ants that are killed and sleep. Whatever happens: every job ends, nothing is begun twice, nothing stays leased.
//!
//! A seed replays exactly: `ATTA_LEASE_SEED=n` runs that one, `ATTA_LEASE_SEEDS=n` runs so many instead of a few.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use atta_core::engine::AttemptResult;
use atta_core::protocol::ant::{
    AttemptReport, Heard, Heartbeat, HeldAttempt, LostAttempt, Orders, PollRequest, Report, ReportBatch, ReportBody,
    Roster,
};
use atta_core::protocol::{AntId, AttemptId};
use atta_core::time::UnixMillis;
use atta_server::scheduler::Refusal;
use indexmap::IndexMap;

use super::rig::{Rig, START, definition};

const JOBS: usize = 4;
const STEPS: u32 = 220;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % bound as u64).unwrap()
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

#[derive(Clone)]
enum Message {
    Poll(PollRequest),
    Report(ReportBatch),
    Heartbeat(Heartbeat),
}

/// An answer, and which process of which ant waits for it. With `acked`, those reports have been heard.
#[derive(Clone)]
struct Answer {
    ant: usize,
    session: u64,
    orders: Orders,
    acked: Vec<(AttemptId, u64)>,
    lost: bool,
}

/// An attempt that an ant has.
#[derive(Clone)]
struct Has {
    token: u64,
    /// The sequence of its latest report; 2 is its end.
    said: u64,
}

struct SimAnt {
    id: AntId,
    session: u64,
    slots: usize,
    has: BTreeMap<AttemptId, Has>,
    lost: BTreeSet<AttemptId>,
    outbox: Vec<Report>,
    epoch: u64,
    heard: BTreeSet<u64>,
    /// It does nothing before this step.
    away_until: u32,
}

struct World {
    rig: Rig,
    dice: Dice,
    ants: Vec<SimAnt>,
    messages: Vec<(usize, u64, Message)>,
    answers: Vec<Answer>,
    begun: HashMap<AttemptId, Vec<String>>,
    faults: bool,
    log: Vec<String>,
}

impl SimAnt {
    fn new(number: usize) -> Self {
        Self {
            id: AntId(format!("ant{number}")),
            session: 1,
            slots: 2,
            has: BTreeMap::new(),
            lost: BTreeSet::new(),
            outbox: Vec::new(),
            epoch: 0,
            heard: BTreeSet::new(),
            away_until: 0,
        }
    }

    fn heard(&self) -> Heard {
        let upto = (1..u64::MAX).take_while(|serial| self.heard.contains(serial)).last().unwrap_or(0);
        Heard { epoch: self.epoch, upto, also: self.heard.iter().copied().filter(|serial| *serial > upto).collect() }
    }

    fn poll(&self) -> PollRequest {
        let held = |(id, has): (&AttemptId, &Has)| HeldAttempt { attempt_id: id.clone(), token: has.token };
        let reason = "the machine was started again".to_owned();
        PollRequest {
            ant: self.id.clone(),
            session: self.session,
            slots: u32::try_from(self.slots).unwrap(),
            free_slots: u32::try_from(self.slots.saturating_sub(self.has.len())).unwrap(),
            tags: Vec::new(),
            workspaces: Vec::new(),
            roster: Roster {
                held: self.has.iter().map(held).collect(),
                lost: self
                    .lost
                    .iter()
                    .map(|id| LostAttempt { attempt_id: id.clone(), reason: reason.clone() })
                    .collect(),
            },
            heard: self.heard(),
        }
    }

    fn forget(&mut self, attempt: &AttemptId) {
        self.has.remove(attempt);
        self.outbox.retain(|report| report.attempt_id != *attempt);
    }

    /// Does what the queen says, each serial once; returns what it begins.
    fn obey(&mut self, orders: Orders) -> Vec<(AttemptId, u64)> {
        if orders.epoch < self.epoch {
            return Vec::new();
        }
        if orders.epoch > self.epoch {
            self.epoch = orders.epoch;
            self.heard.clear();
        }
        if orders.serial > 0 && !self.heard.insert(orders.serial) {
            return Vec::new();
        }
        for attempt in &orders.stale {
            self.forget(attempt);
        }
        let mut begins = Vec::new();
        for assignment in orders.assignments {
            let (id, token) = (assignment.attempt_id, assignment.token);
            if self.has.get(&id).is_some_and(|has| has.token >= token) {
                continue;
            }
            self.forget(&id);
            self.has.insert(id.clone(), Has { token, said: 0 });
            begins.push((id, token));
        }
        begins
    }

    /// Its process is killed and started again; after a reboot nothing runs any more.
    fn restart(&mut self, reboot: bool) {
        self.session += 1;
        self.epoch = 0;
        self.heard.clear();
        // What was only in memory is said again.
        self.outbox.retain(|report| matches!(report.body, ReportBody::Finished(_)));
        if reboot {
            let running = self.has.extract_if(.., |_, has| has.said < 2);
            self.lost.extend(running.map(|(id, _)| id));
        }
    }
}

impl World {
    async fn new(seed: u64) -> Self {
        let rig = Rig::new().await;
        let keys = "retry: 50\ndelay_between_retries: 0s";
        let last = format!("dependencies: [a, b]\n{keys}");
        rig.upload(&definition("", &[("a", keys), ("b", keys), ("c", &last)])).await;
        for _ in 0..JOBS {
            rig.submit("flow").await;
        }
        let ants = (0..3).map(SimAnt::new).collect();
        let (messages, answers) = (Vec::new(), Vec::new());
        Self { rig, dice: Dice(seed), ants, messages, answers, begun: HashMap::new(), faults: true, log: Vec::new() }
    }

    fn note(&mut self, text: String) {
        self.log.push(text);
    }

    /// One thing that an ant does by itself.
    fn act(&mut self, step: u32) {
        let number = self.dice.below(self.ants.len());
        let choice = self.dice.below(8);
        let ant = &mut self.ants[number];
        if self.faults && ant.away_until > step {
            return;
        }
        let session = ant.session;
        let message = match choice {
            0..=2 => Message::Poll(ant.poll()),
            3 => Message::Heartbeat(Heartbeat { ant: ant.id.clone(), session, heard: ant.heard() }),
            4 | 5 => {
                let going: Vec<AttemptId> =
                    ant.has.iter().filter(|(_, has)| has.said < 2).map(|(id, _)| id.clone()).collect();
                if going.is_empty() {
                    return;
                }
                let id = going[self.dice.below(going.len())].clone();
                let ends = self.dice.one_in(2);
                let ant = &mut self.ants[number];
                let Some(has) = ant.has.get_mut(&id) else { return };
                has.said = if ends { 2 } else { 1 };
                let body = if ends {
                    ReportBody::Finished(Box::new(AttemptReport {
                        result: AttemptResult::Exit(0),
                        failure: None,
                        outputs: IndexMap::new(),
                        artifacts: Vec::new(),
                        warnings: Vec::new(),
                        log_bytes: 0,
                        retry_after: None,
                    }))
                } else {
                    ReportBody::Started { isolation: "subreaper".to_owned() }
                };
                let (token, sequence) = (has.token, has.said);
                ant.outbox.push(Report { attempt_id: id, token, sequence, at: UnixMillis(START), body });
                return;
            }
            _ if ant.outbox.is_empty() => return,
            _ => {
                let heard = ant.heard();
                Message::Report(ReportBatch { ant: ant.id.clone(), session, heard, reports: ant.outbox.clone() })
            }
        };
        self.messages.push((number, session, message));
    }

    /// A message arrives.
    async fn deliver(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let at = if self.faults { self.dice.below(self.messages.len()) } else { 0 };
        let (number, session, message) =
            if self.faults && self.dice.one_in(8) { self.messages[at].clone() } else { self.messages.remove(at) };
        if self.faults && self.dice.one_in(10) {
            return;
        }
        let (acked, lost, answer) = match message {
            Message::Poll(request) => {
                let lost = !request.roster.lost.is_empty();
                (Vec::new(), lost, self.rig.queen.poll(request, Duration::ZERO).await)
            }
            Message::Heartbeat(heartbeat) => (Vec::new(), false, self.rig.queen.heartbeat(heartbeat).await),
            Message::Report(batch) => {
                let acked = batch.reports.iter().map(|one| (one.attempt_id.clone(), one.sequence)).collect();
                (acked, false, self.rig.queen.report(batch).await)
            }
        };
        match answer {
            Ok(orders) => self.answers.push(Answer { ant: number, session, orders, acked, lost }),
            Err(Refusal::Conflict { code: "SESSION_REPLACED", .. }) => {}
            Err(refusal) => panic!("{refusal}"),
        }
    }

    /// An answer arrives.
    fn hear(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let at = if self.faults { self.dice.below(self.answers.len()) } else { 0 };
        let answer =
            if self.faults && self.dice.one_in(10) { self.answers[at].clone() } else { self.answers.remove(at) };
        if self.faults && self.dice.one_in(10) {
            return;
        }
        let ant = &mut self.ants[answer.ant];
        if ant.session != answer.session {
            return;
        }
        for (attempt, sequence) in answer.acked {
            ant.outbox.retain(|report| report.attempt_id != attempt || report.sequence > sequence);
            if sequence == 2 && ant.has.get(&attempt).is_some_and(|has| has.said == 2) {
                ant.has.remove(&attempt);
            }
        }
        if answer.lost {
            ant.lost.clear();
        }
        let id = ant.id.clone();
        for (attempt, token) in ant.obey(answer.orders) {
            let begun = self.begun.entry(attempt.clone()).or_default();
            begun.push(format!("{id} with {token}"));
            assert!(begun.len() < 2, "{attempt} was begun twice: {begun:?}\n{}", self.log.join("\n"));
        }
    }

    async fn fault(&mut self, step: u32) {
        match self.dice.below(40) {
            0 => {
                let settled = self.dice.one_in(2);
                if settled {
                    self.rig.settle().await;
                }
                self.note(format!("{step}: the queen is killed"));
                self.rig.restart().await;
            }
            1 => {
                self.note(format!("{step}: the queen sleeps"));
                self.rig.advance(Duration::from_mins(3)).await;
            }
            2 | 3 => {
                let (number, reboot) = (self.dice.below(self.ants.len()), self.dice.one_in(2));
                self.note(format!("{step}: ant {number} is started again, reboot: {reboot}"));
                self.ants[number].restart(reboot);
            }
            4 => {
                let number = self.dice.below(self.ants.len());
                self.note(format!("{step}: ant {number} is away"));
                self.ants[number].away_until = step + 60;
            }
            _ => {}
        }
    }

    async fn open(&self) -> usize {
        let states = "('COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED')";
        let sql = format!("SELECT count(*) FROM jobs WHERE state NOT IN {states}");
        self.rig.rows(&sql).await.concat().parse().unwrap()
    }

    async fn check(&self) {
        let story = self.log.join("\n");
        assert_eq!(self.rig.rows("SELECT DISTINCT state FROM attempts").await, ["FINISHED"], "{story}");
        let ends = "SELECT count(*) FROM events WHERE event LIKE '%\"attempt_finished\"%'";
        let attempts = "SELECT count(*) FROM attempts";
        assert_eq!(self.rig.rows(ends).await, self.rig.rows(attempts).await, "each attempt ends once\n{story}");
        assert_eq!(self.rig.rows("SELECT DISTINCT state FROM jobs").await, ["COMPLETED"], "{story}");
        let begun: BTreeSet<String> = self.begun.keys().map(|id| id.0.clone()).collect();
        let completed = self.rig.rows("SELECT job_id || '-' || number FROM attempts WHERE result = 'COMPLETED'").await;
        assert!(completed.iter().all(|id| begun.contains(id)), "{story}");
    }
}

async fn play(seed: u64) {
    let mut world = World::new(seed).await;
    for step in 0..STEPS {
        match world.dice.below(10) {
            0..=3 => world.act(step),
            4..=6 => world.deliver().await,
            7 | 8 => world.hear(),
            _ => {
                let millis = 200 + world.dice.below(2_500) as u64;
                world.rig.advance(Duration::from_millis(millis)).await;
            }
        }
        world.fault(step).await;
    }
    // From now on nothing fails any more, and what is on its way arrives.
    world.faults = false;
    for round in 0.. {
        assert!(round < 400, "seed {seed}: {} jobs do not end\n{}", world.open().await, world.log.join("\n"));
        for _ in 0..12 {
            world.act(u32::MAX);
        }
        while !world.messages.is_empty() {
            world.deliver().await;
        }
        while !world.answers.is_empty() {
            world.hear();
        }
        world.rig.advance(Duration::from_millis(800)).await;
        if round % 4 == 3 && world.open().await == 0 {
            break;
        }
    }
    world.check().await;
}

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name)?.to_str()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_lost_late_or_killed_every_job_ends_and_nothing_is_begun_twice() {
    if let Some(seed) = number("ATTA_LEASE_SEED") {
        return play(seed).await;
    }
    let seeds = number("ATTA_LEASE_SEEDS").unwrap_or(48);
    let mut running = tokio::task::JoinSet::new();
    for seed in 0..seeds {
        if running.len() >= 16 {
            running.join_next_with_id().await.unwrap().unwrap();
        }
        running.spawn(async move {
            let failed = tokio::spawn(play(seed)).await.is_err();
            assert!(!failed, "seed {seed} failed: ATTA_LEASE_SEED={seed} replays it");
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}
