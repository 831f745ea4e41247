//! One schedule: jobs, and what goes wrong while they run, all of it drawn from one seed.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use atta_core::protocol::JobId;
use atta_core::protocol::api::SubmitRequest;
use atta_server::scheduler::JobCommand;
use atta_server::simulation::{self as server, Point, Sabotage};
use atta_worker::simulation as worker;
use tokio::time::{Instant, sleep};

use super::checks;
use super::colony::{AntHouse, QueenHouse, REST, TYPES};
use super::world::{Machines, World, scratch};

/// What became of a schedule.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) hash: String,
    pub(super) violations: Vec<String>,
    pub(super) trace: String,
}

/// Everybody in one world.
pub(super) struct Colony {
    pub(super) world: Arc<World>,
    pub(super) house: QueenHouse,
    pub(super) ants: Vec<AntHouse>,
    jobs: Vec<JobId>,
}

/// Plays a schedule on this thread.
pub(super) fn play(seed: u64, sabotage: Option<Sabotage>, loud: bool) -> Outcome {
    in_a_world(sabotage, async move |dir| {
        let mut colony = Colony::new(seed, &dir, loud);
        colony.run().await;
        colony.outcome().await
    })
}

/// Runs something in virtual time, alone on this thread.
pub(super) fn in_a_world<T>(sabotage: Option<Sabotage>, work: impl AsyncFnOnce(std::path::PathBuf) -> T) -> T {
    let dir = scratch();
    for entry in fs::read_dir(&dir).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    server::enter(sabotage);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let done = runtime.block_on(work(dir));
    drop(runtime);
    worker::leave();
    server::leave();
    done
}

/// What the queen answers; nothing is heard of one that has stopped where she was told to.
async fn heard<T>(answer: impl Future<Output = T>) -> Option<T> {
    let stopped = async {
        while !server::has_crashed() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = stopped => None,
    }
}

impl Colony {
    pub(super) fn new(seed: u64, dir: &std::path::Path, loud: bool) -> Self {
        let many = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 62;
        let world = World::new(seed, dir, 1 + usize::try_from(many.min(2)).unwrap(), loud);
        Machines::enter(&world);
        let house = QueenHouse::new(&world, seed);
        let ants = (0..world.ant_clocks.len()).map(|number| AntHouse::new(&world, number, seed)).collect();
        Self { world, house, ants, jobs: Vec::new() }
    }

    pub(super) async fn submit(&mut self, job_type: &str) {
        let Some(queen) = self.house.queen.clone() else { return };
        let request = SubmitRequest { job_type: job_type.to_owned(), ..SubmitRequest::default() };
        match queen.submit(request, "test", None).await {
            Ok(accepted) => {
                self.world.say(&format!("{} is a {job_type}", accepted.job_id));
                self.jobs.push(accepted.job_id);
            }
            Err(refusal) => self.world.say(&format!("a {job_type} is refused: {refusal}")),
        }
    }

    async fn run(&mut self) {
        let world = self.world.clone();
        self.house.start();
        for ant in &mut self.ants {
            ant.start(&self.house.address).await;
        }
        for _ in 0..=world.below(3) {
            let job_type = TYPES[usize::try_from(world.below(3)).unwrap()];
            let files = world.has_files() && job_type != "fan";
            self.submit(if files { "handover" } else { job_type }).await;
        }
        if self.jobs.is_empty() {
            return;
        }
        let violence = [0, 20, 100, 300][usize::try_from(world.below(4)).unwrap()];
        let pause = [1_000, 10_000, 60_000][usize::try_from(world.below(3)).unwrap()];
        {
            let mut weather = world.weather();
            (weather.loss, weather.again, weather.late) =
                (world.below(1 + violence), world.below(1 + violence), world.below(1 + violence / 2));
        }
        for _ in 0..world.below(24) {
            sleep(world.millis(pause)).await;
            self.trouble().await;
        }
        self.calm_down().await;
        self.end().await;
    }

    /// Something goes wrong, or gets better.
    async fn trouble(&mut self) {
        let world = self.world.clone();
        let number = usize::try_from(world.below(self.ants.len() as u64)).unwrap();
        let ant = &mut self.ants[number];
        self.house.notice_crash().await;
        match world.below(16) {
            0 | 1 => self.house.kill().await,
            2 => self.house.start(),
            3 => {
                let point = if world.chance(500) { Point::BeforeCommit } else { Point::AfterCommit };
                world.say(&format!("the queen will die {point:?}"));
                server::crash_at(Some(point));
            }
            4 | 5 => ant.kill(world.chance(300)).await,
            6 | 7 => ant.start(&self.house.address).await,
            8 => {
                let shims = worker::shims(&world.ant_dir(number));
                if !shims.is_empty() {
                    let one = &shims[usize::try_from(world.below(shims.len() as u64)).unwrap()];
                    world.say(&format!("the shim of {one} is killed"));
                    world.hearings().killed(one.clone());
                    worker::kill_shim(&world.ant_dir(number), one);
                }
            }
            9 => {
                let mut weather = world.weather();
                if !weather.cut_off.remove(&number) {
                    weather.cut_off.insert(number);
                }
                drop(weather);
                world.say(&format!("the line of ant{number} is cut or mended"));
            }
            10 => {
                let most = if world.chance(100) { 8_000_000 } else { 120_000 };
                let time = world.millis(most);
                world.say(&format!("nobody is answered for {time:?}"));
                world.weather().stalled_until = Some(Instant::now() + time);
            }
            11 => {
                let full = world.chance(600);
                if let Some(queen) = &self.house.queen {
                    world.say(&format!("the queen's disk is full: {full}"));
                    let _ = heard(queen.limit_database_pages(full.then_some(1))).await;
                }
                world.weather().logs_full = full;
            }
            12 => {
                world.may_be("INVALID");
                let mut weather = world.weather();
                if !weather.full_disks.remove(&number) {
                    weather.full_disks.insert(number);
                }
                drop(weather);
                world.say(&format!("the disk of ant{number} is full or has room"));
            }
            13 => {
                let millis = i64::try_from(world.millis(7_200_000).as_millis()).unwrap();
                let millis = if world.chance(500) { -millis } else { millis };
                let clock = if world.chance(500) { &world.queen_clock } else { &world.ant_clocks[number] };
                clock.jump(millis);
                world.say(&format!("a clock is set by {millis}"));
                if let Some(queen) = &self.house.queen {
                    queen.clock_changed();
                }
            }
            14 => {
                world.may_be("TIMED_OUT");
                let time = world.millis(600_000);
                let clock = if world.chance(500) { &world.queen_clock } else { &world.ant_clocks[number] };
                clock.sleep(time);
                world.say(&format!("a machine has slept {time:?}"));
            }
            _ => self.command().await,
        }
    }

    /// Somebody says something about a job.
    async fn command(&mut self) {
        let world = self.world.clone();
        let job = self.jobs[usize::try_from(world.below(self.jobs.len() as u64)).unwrap()].clone();
        let command = match world.below(5) {
            0 => JobCommand::Cancel { reason: "it is enough".to_owned(), force: world.chance(300) },
            1 => JobCommand::Pause,
            2 | 3 => JobCommand::Resume,
            _ => JobCommand::RetryFailed,
        };
        if let Some(queen) = self.house.queen.clone() {
            world.may_be("CANCELLED");
            let answer = match heard(queen.command(&job, command.clone())).await {
                Some(Ok(state)) => format!("{state:?}"),
                Some(Err(refusal)) => refusal.to_string(),
                None => "nothing is heard".to_owned(),
            };
            world.say(&format!("{command:?} of {job}: {answer}"));
        }
    }

    /// Nothing goes wrong any more.
    pub(super) async fn calm_down(&mut self) {
        let world = self.world.clone();
        world.say("all is well again");
        self.house.notice_crash().await;
        server::crash_at(None);
        *world.weather() = super::world::Weather::default();
        if self.house.queen.as_ref().is_some_and(|queen| queen.health().is_err()) {
            self.house.kill().await;
        }
        self.house.start();
        if let Some(queen) = &self.house.queen {
            let _ = queen.limit_database_pages(None).await;
        }
        for ant in &mut self.ants {
            ant.start(&self.house.address).await;
        }
        for job in &self.jobs {
            if let Some(queen) = &self.house.queen {
                let _ = queen.command(job, JobCommand::Resume).await;
            }
        }
    }

    /// Waits until all jobs have ended and nobody does anything any more.
    pub(super) async fn end(&mut self) {
        let began = Instant::now();
        let mut pause = Duration::from_millis(500);
        while self.house.open_jobs() > 0 || !self.is_at_rest() {
            if began.elapsed() > REST {
                self.say_what_does_not_end();
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_mins(2));
        }
    }

    fn is_at_rest(&self) -> bool {
        self.ants.iter().all(|ant| {
            ant.ant.as_ref().is_some_and(|ant| ant.running().is_empty())
                && ant.left().is_empty()
                && worker::shims(&self.world.ant_dir(ant.number)).is_empty()
        })
    }

    fn say_what_does_not_end(&mut self) {
        let jobs = self.house.rows("SELECT id, state, reason FROM jobs ORDER BY id");
        let left: Vec<_> = self.ants.iter().map(|ant| (ant.id.to_string(), ant.left())).collect();
        let open =
            "SELECT job_id || '-' || number, task, state, ant FROM attempts WHERE state <> 'FINISHED' ORDER BY 1";
        let (attempts, tasks) = (self.house.rows(open), self.house.rows("SELECT name, state, attempts FROM tasks"));
        self.world.violated(format!("it does not end: {jobs:?}, {tasks:?}, {attempts:?}, on the machines {left:?}"));
    }

    pub(super) async fn outcome(mut self) -> Outcome {
        if self.world.violations().is_empty() && !self.jobs.is_empty() {
            checks::check(&mut self).await;
        }
        for ant in &mut self.ants {
            ant.kill(false).await;
        }
        self.house.kill().await;
        Outcome { hash: self.world.hash(), violations: self.world.violations(), trace: self.world.trace() }
    }
}
