//! A queen with an ant inside, an ant near her and an ant beyond a bad line: real processes, TLS, tokens, small disks.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::disk::Disk;
use super::line::{Line, Namespaces};
use crate::cluster::TestDatabase;
use crate::live_server::{kill_processes_of, wait_for};
use crate::scratch::{Done, Scratch};

/// One of the processes that are started, killed and started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Queen,
    Near,
    Far,
}

impl Who {
    pub(super) const ALL: [Self; 3] = [Self::Queen, Self::Near, Self::Far];

    fn name(self) -> &'static str {
        match self {
            Self::Queen => "queen",
            Self::Near => "near",
            Self::Far => "far",
        }
    }
}

/// A disk that was full for a while.
pub(super) struct Full {
    /// The ant that works there.
    pub(super) ant: &'static str,
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
}

/// Everything.
pub(super) struct World {
    children: [Option<Child>; 3],
    /// How many processes have ended by themselves, with the reason that they gave.
    pub(super) ended: Vec<String>,
    starts: usize,
    /// When disks were full.
    pub(super) full: Vec<Full>,
    /// Shims that were killed.
    pub(super) shims_killed: usize,
    /// Where she keeps what she knows, when that is a PostgreSQL of our own.
    pub(super) database: Option<TestDatabase>,
    fingerprint: String,
    url: String,
    line: Option<Line>,
    disks: Vec<(Who, Disk)>,
    token: PathBuf,
    pub(super) scratch: Scratch,
}

impl World {
    /// `namespaces`: the far ant is on a network of its own, where that can be.
    pub(super) fn start(namespaces: bool, seed: u64, database: Option<TestDatabase>) -> Self {
        let scratch = Scratch::new();
        let line = if namespaces {
            match Namespaces::make() {
                Ok(spaces) => Some(Line::Namespaces(spaces)),
                Err(why) => {
                    eprintln!("no network namespaces can be used here ({why}): a proxy cuts the line instead");
                    None
                }
            }
        } else {
            None
        };
        let token = scratch.path("root.token");
        let mut world = Self {
            children: [None, None, None],
            ended: Vec::new(),
            starts: 0,
            full: Vec::new(),
            shims_killed: 0,
            database,
            fingerprint: String::new(),
            url: String::new(),
            line,
            disks: Vec::new(),
            token,
            scratch,
        };
        for (who, size) in [(Who::Queen, "192m"), (Who::Far, "64m")] {
            match Disk::mount(&world.data(who), size) {
                Ok(disk) => world.disks.push((who, disk)),
                Err(why) => eprintln!("{why}: the disk of {} is not filled", who.name()),
            }
        }
        let (data, file) = (world.data(Who::Queen), world.token.clone());
        let mut make = world.scratch.command(&["token", "create", "root", "--role", "admin"]);
        make.arg("--data-dir").arg(data).arg("-o").arg(file).envs(world.database_url());
        let made = Done::from(make.output().expect("atta starts"));
        assert_eq!(made.code, 0, "{made:#?}");
        world.serve();
        if world.line.is_none() {
            let address = world.url.trim_start_matches("https://").parse().expect("an address");
            world.line = Some(Line::proxy(address, seed));
        }
        for who in [Who::Near, Who::Far] {
            let token = world.scratch.path(&format!("{}.token", who.name()));
            let file = token.to_str().expect("the path is text").to_owned();
            let made = world.atta(&["token", "create", who.name(), "--role", "ant", "--ant", who.name(), "-o", &file]);
            assert_eq!(made.code, 0, "{made:#?}");
            world.start_ant(who);
        }
        world
    }

    fn database_url(&self) -> Option<(&'static str, String)> {
        self.database.as_ref().map(|database| ("ATTA_DATABASE_URL", database.url()))
    }

    pub(super) fn data(&self, who: Who) -> PathBuf {
        self.scratch.path(match who {
            Who::Queen => "data",
            Who::Near => "near.ant",
            Who::Far => "far.ant",
        })
    }

    fn disk(&self, which: usize) -> Option<(Who, &Disk)> {
        self.disks.get(which).map(|(who, disk)| (*who, disk))
    }

    /// What time it is, as the kernel writes it on files.
    fn now(&self) -> SystemTime {
        let file = self.scratch.path("clock");
        fs::write(&file, "now").expect("the directory is writable");
        fs::metadata(file).and_then(|metadata| metadata.modified()).expect("it was written")
    }

    /// Fills a disk for a while; whose.
    pub(super) fn fill(&mut self, which: usize, a_while: Duration) -> Option<Who> {
        let from = self.now();
        let (who, disk) = self.disk(which)?;
        let ballast = disk.fill();
        std::thread::sleep(a_while);
        drop(ballast);
        let (ant, until) = (if who == Who::Queen { "local" } else { who.name() }, self.now());
        self.full.push(Full { ant, from, until });
        Some(who)
    }

    pub(super) fn line(&self) -> &Line {
        self.line.as_ref().expect("it was made at the start")
    }

    fn wrapped(&self, who: Who, command: Command) -> Command {
        match &self.line {
            Some(line) => line.wrap(who == Who::Far, command),
            None => command,
        }
    }

    fn spawn(&mut self, who: Who, command: Command) -> PathBuf {
        self.starts += 1;
        let output = self.scratch.path(&format!("{}-{}.log", who.name(), self.starts));
        let file = File::create(&output).expect("the directory is writable");
        let mut command = self.wrapped(who, command);
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a file handle can be duplicated")).stderr(file);
        self.children[who as usize] = Some(command.spawn().expect("atta starts"));
        output
    }

    fn serve(&mut self) {
        let listen = match &self.line {
            Some(line @ Line::Namespaces(_)) => line.listen(),
            // At the same address, or the proxy does not find it.
            _ if !self.url.is_empty() => self.url.trim_start_matches("https://").to_owned(),
            _ => "127.0.0.1:0".to_owned(),
        };
        let mut command = self.scratch.command(&[
            "serve",
            "--listen",
            &listen,
            "--slots",
            "2",
            "--auth",
            "required",
            "--tls-generate",
        ]);
        command.arg("--data-dir").arg(self.data(Who::Queen)).envs(self.database_url());
        let output = self.spawn(Who::Queen, command);
        let line = self.wait_for_line(Who::Queen, &output, "Atta is ready at ");
        let word = |before: &str, end: char| {
            let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("{line}"));
            rest.split(end).next().unwrap_or_default().to_owned()
        };
        self.url = word("ready at ", ' ');
        self.fingerprint = word("certificate ", ')');
    }

    fn start_ant(&mut self, who: Who) {
        let url = if who == Who::Far { self.line().url() } else { self.url.clone() };
        let arguments = ["ant", "--queen", &url, "--id", who.name(), "--queen-fingerprint", &self.fingerprint];
        let mut command = self.scratch.command(&arguments);
        command.args(["--tags", who.name(), "--slots", "2", "--token-file"]);
        command.arg(self.scratch.path(&format!("{}.token", who.name()))).arg("--data-dir").arg(self.data(who));
        let output = self.spawn(who, command);
        self.wait_for_line(who, &output, "is ready for");
    }

    fn wait_for_line(&mut self, who: Who, output: &Path, needle: &str) -> String {
        let child = self.children[who as usize].as_mut().expect("it was started");
        wait_for("a process to be ready", || {
            let text = fs::read_to_string(output).unwrap_or_default();
            if let Some(status) = child.try_wait().expect("a child can be asked for its state") {
                panic!("{} ended ({status}): {text}", who.name());
            }
            let start = text.find(needle)?;
            text[start..].split_once('\n').map(|(line, _)| line.to_owned())
        })
    }

    /// `kill -9`, if it runs.
    pub(super) fn kill(&mut self, who: Who) {
        if let Some(mut child) = self.children[who as usize].take() {
            child.kill().expect("it can be killed");
            child.wait().expect("a killed child can be waited for");
        }
    }

    pub(super) fn start_again(&mut self, who: Who) {
        match who {
            Who::Queen => self.serve(),
            Who::Near | Who::Far => self.start_ant(who),
        }
    }

    pub(super) fn pid(&self, who: Who) -> Option<Pid> {
        let child = self.children[who as usize].as_ref()?;
        Some(Pid::from_raw(i32::try_from(child.id()).expect("a pid is an i32")))
    }

    pub(super) fn signal(&self, who: Who, signal: Signal) {
        if let Some(pid) = self.pid(who) {
            // It may have ended by itself.
            let _ = kill(pid, signal);
        }
    }

    /// Starts again what has ended by itself, as a service manager would. Whatever ends has to say why.
    pub(super) fn revive(&mut self) {
        for who in Who::ALL {
            let child = self.children[who as usize].as_mut();
            if let Some(child) = child
                && let Some(status) = child.try_wait().expect("a child can be asked for its state")
            {
                let log = self.scratch.read(&self.newest_log(who));
                assert!(!log.contains("panicked"), "{} panicked: {log}", who.name());
                let why = log.lines().rev().find(|line| line.contains("error:")).unwrap_or_else(|| {
                    panic!("{} ended ({status}) without a reason: {log}", who.name());
                });
                self.ended.push(format!("{} ({status}): {why}", who.name()));
                self.children[who as usize] = None;
                self.start_again(who);
            }
        }
    }

    fn newest_log(&self, who: Who) -> String {
        let number = |name: &str| -> Option<usize> {
            name.strip_prefix(who.name())?.strip_prefix('-')?.strip_suffix(".log")?.parse().ok()
        };
        let names = fs::read_dir(self.scratch.root()).expect("it is there").flatten();
        let newest = names.filter_map(|entry| number(entry.file_name().to_str()?)).max().expect("it was started");
        format!("{}-{newest}.log", who.name())
    }

    /// A client's command, as the admin, near the queen.
    pub(super) fn atta(&self, arguments: &[&str]) -> Done {
        let mut command = self.scratch.command(arguments);
        command
            .env("ATTA_SERVER", &self.url)
            .env("ATTA_TOKEN_FILE", &self.token)
            .env("ATTA_QUEEN_FINGERPRINT", &self.fingerprint);
        self.wrapped(Who::Near, command).output().expect("atta starts").into()
    }

    /// Asks until there is an answer.
    pub(super) fn ask(&mut self, arguments: &[&str]) -> Value {
        let start = std::time::Instant::now();
        loop {
            let done = self.atta(arguments);
            if done.code == 0 {
                return done.json();
            }
            assert!(start.elapsed() < Duration::from_mins(2), "no answer: {done:#?}");
            self.revive();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let done = self.atta(arguments);
        assert_eq!(done.code, 0, "{done:#?}");
        done.json()
    }

    /// SIGTERM for each, and waits for their ends.
    pub(super) fn stop(&mut self) {
        for who in [Who::Far, Who::Near, Who::Queen] {
            self.signal(who, Signal::SIGTERM);
            let mut child = self.children[who as usize].take().expect("it runs");
            let status = wait_for("a process to stop", || child.try_wait().expect("a child can be asked"));
            assert!(
                status.success(),
                "{} ended with {status}: {}",
                who.name(),
                self.scratch.read(&self.newest_log(who))
            );
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for who in Who::ALL {
            self.kill(who);
        }
        if std::thread::panicking() {
            kill_processes_of(self.scratch.root());
        }
    }
}
