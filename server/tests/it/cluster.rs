//! PostgreSQL for tests: one server for all tests of a run, with a database for each, or a server of a test's own.
//!
//! Tests are processes of their own. The first one starts the server and a keeper beside it; every test holds a shared
//! lock while it lives, however it ends; the keeper stops the server when it could take that lock alone for some seconds.

#![expect(dead_code, reason = "two test programs share it, and neither needs all of it")]

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Stops the server when nobody needs it any more: `$1` the directory, `$2` the process of the server.
const KEEPER: &str = r#"
cd / && exec 9<>"$1/users" || exit 1
idle=0
while :; do
    sleep 1
    if flock --exclusive --nonblock 9; then
        idle=$((idle + 1))
        if [ $idle -ge 5 ]; then
            rm -f "$1/ready"
            kill -QUIT "$2" 2>/dev/null
            while kill -0 "$2" 2>/dev/null; do sleep 0.05; done
            rm -rf "$1/data"
            exit
        fi
        flock --unlock 9
    else
        idle=0
    fi
done
"#;

/// A server.
pub(crate) struct Cluster {
    /// Its directory.
    dir: PathBuf,
    port: u16,
    /// Of a test's own.
    own: Option<(Child, tempfile::TempDir)>,
    /// Held as long as the server is needed.
    _user: Option<File>,
}

/// A database in a cluster.
pub(crate) struct TestDatabase {
    pub(crate) cluster: Cluster,
    name: String,
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A program of PostgreSQL, by a user who is not root.
fn program(name: &str, more: &[&str]) -> Command {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .unwrap_or_else(|error| panic!("PostgreSQL is not installed, see scripts/setup: {error}"))
        .map(|entry| entry.unwrap().path().join("bin"))
        .collect();
    versions.sort();
    let path = versions.pop().unwrap().join(name);
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.args(more).arg("--").arg(path).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    command
}

fn initialise(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    if is_root() {
        let owner = Command::new("chown").arg("postgres").arg(dir).status().unwrap();
        assert!(owner.success());
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let data = dir.join("data");
    let made = program("initdb", &[])
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data)
        .status()
        .unwrap();
    assert!(made.success(), "initdb failed");
}

fn start(dir: &Path, port: u16, options: &[&str], more: &[&str]) -> Child {
    let mut command = program("postgres", more);
    command.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string(), "-k", ""]);
    for option in ["listen_addresses=127.0.0.1", "max_connections=300"].iter().chain(options) {
        command.args(["-c", option]);
    }
    command.process_group(0);
    command.spawn().unwrap()
}

/// Whether the server of this directory lives.
fn is_running(dir: &Path) -> bool {
    let Ok(file) = fs::read_to_string(dir.join("data/postmaster.pid")) else { return false };
    let Some(server) = file.lines().next() else { return false };
    let arguments = fs::read(format!("/proc/{server}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&arguments).split('\0').any(|argument| Path::new(argument) == dir.join("data"))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cluster {
    /// The server of this run.
    #[expect(clippy::zombie_processes, reason = "both outlive the test that starts them, and one ends the other")]
    pub(crate) fn shared() -> Self {
        let mark = fs::metadata("/proc/self").unwrap().uid();
        let mut tree = DefaultHasher::new();
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().hash(&mut tree);
        let dir = std::env::temp_dir().join(format!("atta-test-postgres-{mark}-{:016x}", tree.finish()));
        fs::create_dir_all(&dir).unwrap();
        let open = |name: &str| {
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(dir.join(name)).unwrap()
        };
        let user = open("users");
        // Waits for a keeper that is just stopping the last one.
        user.lock_shared().unwrap();
        let starting = open("starting");
        starting.lock().unwrap();
        let ready = dir.join("ready");
        // A machine that went down meanwhile took the server with it, and left its files.
        if !ready.exists() || !is_running(&dir) {
            let _ = fs::remove_file(&ready);
            let _ = fs::remove_dir_all(dir.join("data"));
            initialise(&dir);
            let port = free_port();
            let server = start(&dir, port, &["fsync=off", "synchronous_commit=off", "full_page_writes=off"], &[]);
            Command::new("sh")
                .args(["-c", KEEPER, "keeper"])
                .arg(&dir)
                .arg(server.id().to_string())
                .current_dir("/")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .unwrap();
            let cluster = Self { dir: dir.clone(), port, own: None, _user: None };
            cluster.wait_until_it_answers();
            fs::write(&ready, port.to_string()).unwrap();
        }
        let port = fs::read_to_string(&ready).unwrap().parse().unwrap();
        Self { dir, port, own: None, _user: Some(user) }
    }

    /// A server of a test's own that keeps what it says it keeps.
    pub(crate) fn own() -> Self {
        let dir = tempfile::Builder::new().prefix("atta-test-postgres-").tempdir().unwrap();
        initialise(dir.path());
        let port = free_port();
        let mut cluster = Self { dir: dir.path().to_owned(), port, own: None, _user: None };
        cluster.own = Some((cluster.start_own(), dir));
        cluster.wait_until_it_answers();
        cluster
    }

    fn start_own(&self) -> Child {
        start(&self.dir, self.port, &["fsync=on", "synchronous_commit=on"], &["--pdeathsig=KILL"])
    }

    /// Kills the server with all its sessions; nothing of it is left in memory.
    pub(crate) fn kill(&mut self) {
        let (server, _) = self.own.as_mut().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn restart(&mut self) {
        // Sessions end by themselves when their server is gone, and a new one starts only after the last of them.
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            let mut server = self.start_own();
            while server.try_wait().unwrap().is_none() {
                if self.answers() {
                    self.own.as_mut().unwrap().0 = server;
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
                assert!(Instant::now() < give_up, "the server does not start again");
            }
            assert!(Instant::now() < give_up, "the server ends when it is started again");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        program("pg_isready", &[]).args(["-h", "127.0.0.1", "-p", &self.port.to_string()]).status().unwrap().success()
    }

    fn wait_until_it_answers(&self) {
        let give_up = Instant::now() + Duration::from_mins(1);
        while !self.answers() {
            assert!(Instant::now() < give_up, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a statement says: each row a line, its columns with blanks between them; null is `-`.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        let done = program("psql", &[])
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-d", database])
            .args(["-q", "-A", "-t", "-F", " ", "-P", "null=-", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// A new database with nothing in it.
    pub(crate) fn database(self) -> TestDatabase {
        let unique = tempfile::Builder::new().prefix("").rand_bytes(12).tempfile().unwrap();
        let name = format!("t_{}", unique.path().file_name().unwrap().to_str().unwrap().to_lowercase());
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        TestDatabase { cluster: self, name }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((server, _)) = &mut self.own {
            // It may be dead already.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl TestDatabase {
    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.cluster.port, self.name)
    }

    /// All rows of a query.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        self.sql(sql).lines().map(str::to_owned).collect()
    }

    /// What a statement says.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.cluster.psql(&self.name, sql)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.cluster.own.is_none() && !std::thread::panicking() {
            self.cluster.psql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}
