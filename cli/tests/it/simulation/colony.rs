//! The parts that live and die: the queen on her database, and the ants on their machines.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use atta_core::protocol::ant::DEFAULT_LEASE;
use atta_core::protocol::{AntId, AttemptId};
use atta_core::time::Clock as _;
use atta_server::AntLine;
use atta_server::artifacts::LocalArtifacts;
use atta_server::directory::StaticDirectory;
use atta_server::logs::LogStore;
use atta_server::scheduler::{Database, Queen, QueenConfig};
use atta_server::secrets::KeySource;
use atta_server::simulation as server;
use atta_worker::{Ant, AntConfig, Launcher};

use super::files::Contents;
use super::network::{Address, SimLink};
use super::records::Records;
use super::world::{SimEntropy, World};

const DEFINITIONS: [&str; 5] = [
    r#"
job_type: diamond
tasks:
  - {task_type: a, script: ["a"], retry: 6, delay_between_retries: 0s}
  - {task_type: b, script: ["b"], retry: 6, delay_between_retries: 5s, after_script: ["after"]}
  - {task_type: c, script: ["c"], retry: 6, dependencies: [a, b], timeout: 60s}
"#,
    r#"
job_type: fan
params: {Items: {type: array, default: [1, 2, 3]}}
tasks:
  - task_type: each
    fan_out: {items: "{{ Items }}"}
    script: ["each"]
    retry: 4
    delay_between_retries: 1s
  - {task_type: last, script: ["last"], dependencies: [each], retry: 3}
"#,
    r#"
job_type: once
tasks:
  - {task_type: only, script: ["only"]}
"#,
    r#"
job_type: hours
tasks:
  - task_type: each
    fan_out: {items: [1, 2, 3, 4]}
    script: ["each"]
    timeout: 12h
    artifacts: {paths: ["out/*"]}
"#,
    r#"
job_type: handover
tasks:
  - task_type: a
    script: ["a"]
    retry: 6
    delay_between_retries: 0s
    artifacts: {paths: ["out/*"]}
  - task_type: b
    script: ["b"]
    after_script: ["after"]
    retry: 6
    delay_between_retries: 5s
    artifacts: {paths: ["out/*"]}
  - {task_type: c, script: ["c"], retry: 6, dependencies: [a, b], timeout: 60s}
"#,
];

/// The types of the definitions that schedules draw from; see [`World::has_files`] for the one that hands over files.
pub(super) const TYPES: [&str; 3] = ["diamond", "fan", "once"];

/// A database with the definitions in it, made once.
fn template() -> &'static [u8] {
    static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        // On a thread and a runtime of its own: the caller's are simulated.
        let made = std::thread::spawn(|| {
            let dir = tempfile::tempdir().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::time::pause();
                let world = World::new(0, dir.path(), 0, false);
                tokio::time::resume();
                let queen = Queen::open(config(&world, dir.path(), 0)).await.unwrap();
                for definition in DEFINITIONS {
                    queen.upload_definition("test.yaml", definition).await.unwrap();
                }
                queen.shutdown().await;
            });
            fs::read(dir.path().join("atta.db")).unwrap()
        });
        made.join().unwrap()
    })
}

fn config(world: &Arc<World>, dir: &Path, start: u64) -> QueenConfig {
    QueenConfig {
        data_dir: dir.to_owned(),
        database: Database::File,
        on_standby: None,
        clock: world.queen_clock.clone(),
        entropy: SimEntropy::new(start.wrapping_mul(0x517c_c1b7_2722_0a95)),
        schedules: false,
        secrets_key: KeySource::default(),
        directory: Arc::new(StaticDirectory::default()),
        lease: DEFAULT_LEASE,
        budget_per_day: atta_core::budget::Caps::default(),
        terminal_sessions: 16,
    }
}

/// The queen, or the place where she was.
pub(super) struct QueenHouse {
    world: Arc<World>,
    dir: PathBuf,
    pub(super) address: Arc<Address>,
    pub(super) queen: Option<Queen>,
    pub(super) logs: Option<LogStore>,
    pub(super) records: Arc<Records>,
    starts: u64,
    seed: u64,
}

impl QueenHouse {
    pub(super) fn new(world: &Arc<World>, seed: u64) -> Self {
        let dir = world.dir.join("queen");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("atta.db"), template()).unwrap();
        let records = Arc::new(Records::new(&dir));
        let address = Arc::new(Address::new(records.clone()));
        Self { world: world.clone(), dir, address, queen: None, logs: None, records, starts: 0, seed }
    }

    pub(super) fn start(&mut self) {
        if self.queen.is_some() {
            return;
        }
        self.starts += 1;
        server::crash_at(None);
        let config = config(&self.world, &self.dir, self.seed ^ self.starts << 32);
        match server::now(Queen::open(config)) {
            Some(Ok(queen)) => {
                let logs = LogStore::open(&self.dir.join("logs")).unwrap();
                let artifacts = Arc::new(Contents(LocalArtifacts::open(&self.dir.join("artifacts")).unwrap()));
                self.address.set(Some(AntLine::new(queen.clone(), logs.clone(), artifacts)));
                self.queen = Some(queen);
                self.logs = Some(logs);
                self.world.hearings().queen_begins(self.world.queen_clock.monotonic());
                self.world.say("the queen is there");
            }
            Some(Err(error)) => self.world.violated(format!("the queen does not start: {error}")),
            None => self.world.say("the queen was killed while she started"),
        }
    }

    /// Kills her at once.
    pub(super) async fn kill(&mut self) {
        self.address.set(None);
        self.logs = None;
        if let Some(queen) = self.queen.take() {
            self.world.say("the queen is killed");
            self.world.hearings().queen_ends(self.world.queen_clock.monotonic());
            queen.abandon().await;
        }
    }

    /// Whether she has stopped where she was told to.
    pub(super) async fn notice_crash(&mut self) -> bool {
        let crashed = server::has_crashed();
        if crashed {
            self.kill().await;
            server::crash_at(None);
        }
        crashed
    }

    /// See [`Records::rows`].
    pub(super) fn rows(&self, sql: &str) -> Vec<String> {
        self.records.rows(sql)
    }

    pub(super) fn open_jobs(&self) -> u64 {
        let states = "('COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED')";
        self.rows(&format!("SELECT count(*) FROM jobs WHERE state NOT IN {states}")).concat().parse().unwrap()
    }
}

/// A machine with an ant on it, or without.
pub(super) struct AntHouse {
    world: Arc<World>,
    pub(super) number: usize,
    pub(super) id: AntId,
    pub(super) slots: u32,
    pub(super) spool: u64,
    pub(super) spool_age: Duration,
    boots: u32,
    starts: u64,
    pub(super) ant: Option<Ant>,
    seed: u64,
}

impl AntHouse {
    pub(super) fn new(world: &Arc<World>, number: usize, seed: u64) -> Self {
        let slots = 1 + u32::try_from(world.below(3)).unwrap();
        let id = AntId(format!("ant{number}"));
        // Some leave output out after an absence as short as those that the schedules have.
        let spool_age = if seed.is_multiple_of(3) { Duration::from_secs(30) } else { Duration::from_hours(7 * 24) };
        Self {
            world: world.clone(),
            number,
            id,
            slots,
            spool: 1 << 30,
            spool_age,
            boots: 1,
            starts: 0,
            ant: None,
            seed,
        }
    }

    pub(super) async fn start(&mut self, address: &Arc<Address>) {
        if self.ant.is_some() {
            return;
        }
        self.starts += 1;
        let dir = self.world.ant_dir(self.number);
        let entropy =
            SimEntropy::new(self.seed ^ ((self.starts << 16) | (self.number as u64 + 1)).wrapping_mul(0x9e37_79b9));
        let clock = self.world.ant_clocks[self.number].clone();
        let mut config = AntConfig::new(self.id.clone(), dir, self.slots, clock, entropy);
        config.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
        config.boot_id = Some(format!("boot{}", self.boots));
        config.spool_limit = self.spool;
        config.spool_age = self.spool_age;
        let link =
            SimLink { world: self.world.clone(), address: address.clone(), number: self.number, ant: self.id.clone() };
        match Ant::start(config, Launcher::simulated(), Arc::new(link)).await {
            Ok(ant) => {
                self.world.say(&format!("{} is there", self.id));
                self.ant = Some(ant);
            }
            Err(error) => self.world.violated(format!("{} does not start: {error}", self.id)),
        }
    }

    /// Kills the ant at once; what runs goes on, unless the machine stops.
    pub(super) async fn kill(&mut self, reboot: bool) {
        if let Some(ant) = self.ant.take() {
            self.world.say(&format!("{} is killed, the machine too: {reboot}", self.id));
            ant.hand_over().await;
        }
        if reboot {
            self.boots += 1;
            for attempt in self.left() {
                self.world.hearings().killed(AttemptId(attempt));
            }
            atta_worker::simulation::stop_machine(&self.world.ant_dir(self.number));
        }
    }

    /// What is left of attempts on this machine.
    pub(super) fn left(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.world.ant_dir(self.number).join("ant/attempts")) else {
            return Vec::new();
        };
        let mut left: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        left.sort();
        left
    }
}

/// How long ants and queen may take to come to rest.
pub(super) const REST: Duration = Duration::from_hours(8);
