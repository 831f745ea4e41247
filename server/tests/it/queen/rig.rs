//! What the tests of the queen share.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use atta_core::definition::Method;
use atta_core::engine::{AttemptResult, Failure};
use atta_core::protocol::ant::{
    Action, AntCondition, Assignment, AttemptReport, Heard, HeldAttempt, Orders, PollRequest, Report, ReportBatch,
    ReportBody, Roster, WorkspaceId,
};
use atta_core::protocol::api::SubmitRequest;
use atta_core::protocol::terminal::TypedInput;
use atta_core::protocol::{AntId, JobId};
use atta_core::time::{Clock, Entropy, UnixMillis};
use atta_server::directory::StaticDirectory;
use atta_server::scheduler::{Database, Queen, QueenConfig, Refusal};
use atta_server::secrets::KeySource;
use indexmap::IndexMap;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

use crate::cluster::{Cluster, TestDatabase};

/// 2026-01-05T00:00:00Z, a Monday.
pub(crate) const START: i64 = 1_767_571_200_000;

#[derive(Debug)]
pub(crate) struct MockClock(AtomicI64);

impl Clock for MockClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        // splitmix64
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

thread_local! {
    /// Whether rigs of this thread's test stand on PostgreSQL.
    static ON_POSTGRES: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test with rigs that stand on PostgreSQL.
pub(crate) fn on_postgres(test: fn()) {
    ON_POSTGRES.set(true);
    test();
}

/// A queen on a directory of its own.
pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) postgres: Option<TestDatabase>,
    pub(crate) clock: Arc<MockClock>,
    entropy: Arc<Counting>,
    pub(crate) queen: Queen,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(MockClock(AtomicI64::new(START)));
        let entropy = Arc::new(Counting::default());
        let postgres = ON_POSTGRES.get().then(|| Cluster::shared().database());
        let config = config(dir.path(), postgres.as_ref(), &clock, &entropy);
        let queen = Box::pin(Queen::open(config)).await.unwrap();
        Self { dir, postgres, clock, entropy, queen }
    }

    pub(crate) fn config(&self) -> QueenConfig {
        config(self.dir.path(), self.postgres.as_ref(), &self.clock, &self.entropy)
    }

    /// Kills the queen and starts another one on the same directory.
    pub(crate) async fn restart(&mut self) {
        self.queen.abandon().await;
        self.queen = Box::pin(Queen::open(self.config())).await.unwrap();
    }

    /// Sets the clock without telling anybody.
    pub(crate) fn set_clock(&self, millis: i64) {
        self.clock.0.store(millis, Ordering::SeqCst);
    }

    /// Lets time pass, and waits until the queen has done what is due.
    pub(crate) async fn advance(&self, duration: Duration) {
        let millis = i64::try_from(duration.as_millis()).unwrap();
        self.set_clock(self.clock.now().0 + millis);
        self.settle().await;
    }

    /// Waits until the queen has done what is due now: it does so before it answers anything.
    pub(crate) async fn settle(&self) {
        self.queen.clock_changed();
        let mut observer = Ant::new("observer", 0);
        assert!(observer.poll(&self.queen).await.assignments.is_empty());
    }

    /// Lets time pass as it does for a queen who is awake all the time.
    pub(crate) async fn pass(&self, duration: Duration) {
        let step = Duration::from_millis(500);
        let mut rest = duration;
        while !rest.is_zero() {
            let now = rest.min(step);
            self.set_clock(self.clock.now().0 + i64::try_from(now.as_millis()).unwrap());
            self.settle().await;
            rest -= now;
        }
    }

    pub(crate) async fn upload(&self, source: &str) {
        match self.queen.upload_definition("test.yaml", source).await {
            Ok(_) => {}
            Err(Refusal::Invalid { message, violations, .. }) => panic!("{message}: {violations:#?}"),
            Err(refusal) => panic!("{refusal}"),
        }
    }

    pub(crate) async fn submit(&self, job_type: &str) -> JobId {
        self.queen.submit(request(job_type), "test", None).await.unwrap().job_id
    }

    async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join("atta.db")).read_only(true);
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// All rows of a query, each as its columns' texts joined with blanks; null is `-`.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        if let Some(postgres) = &self.postgres {
            return postgres_rows(postgres, sql).await;
        }
        let mut connection = self.connection().await;
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap();
        let text = |row: &sqlx::sqlite::SqliteRow, at: usize| {
            row.try_get::<Option<String>, _>(at)
                .or_else(|_| row.try_get::<Option<i64>, _>(at).map(|n| n.map(|n| n.to_string())))
                .unwrap()
                .unwrap_or_else(|| "-".to_owned())
        };
        rows.iter().map(|row| (0..row.len()).map(|at| text(row, at)).collect::<Vec<_>>().join(" ")).collect()
    }

    /// Changes the database behind the queen's back, also against what it holds together.
    pub(crate) async fn change(&self, sql: &str) {
        if let Some(postgres) = &self.postgres {
            postgres.sql(&format!("SET session_replication_role = replica; {sql}"));
            return;
        }
        let options = SqliteConnectOptions::new().filename(self.dir.path().join("atta.db")).foreign_keys(false);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Lets the database refuse what is written, e.g. `INSERT ON jobs`, until [`Self::accept`]; only rows for which `when`
    /// holds, if it says anything.
    pub(crate) async fn refuse(&self, what: &str, when: &str) {
        let sql = if self.postgres.is_some() {
            let when = if when.is_empty() { String::new() } else { format!("WHEN ({when})") };
            format!(
                "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
                    'BEGIN RAISE EXCEPTION ''no'' USING ERRCODE = ''check_violation''; END';
                 CREATE TRIGGER no BEFORE {what} FOR EACH ROW {when} EXECUTE FUNCTION no()"
            )
        } else {
            let when = if when.is_empty() { String::new() } else { format!("WHEN {when}") };
            format!("CREATE TRIGGER no BEFORE {what} {when} BEGIN SELECT raise(ABORT, 'no'); END")
        };
        self.change(&sql).await;
    }

    /// Ends [`Self::refuse`].
    pub(crate) async fn accept(&self) {
        let sql = if self.postgres.is_some() { "DROP FUNCTION no() CASCADE" } else { "DROP TRIGGER no" };
        self.change(sql).await;
    }

    pub(crate) async fn state(&self, job: &JobId) -> String {
        self.rows(&format!("SELECT state FROM jobs WHERE id = '{job}'")).await.concat()
    }

    pub(crate) async fn reason(&self, job: &JobId) -> String {
        self.rows(&format!("SELECT reason FROM jobs WHERE id = '{job}'")).await.concat()
    }

    /// `name STATE visits attempts exit_code` of each task that has a row.
    pub(crate) async fn tasks(&self, job: &JobId) -> Vec<String> {
        self.rows(&format!(
            "SELECT name, state, visits, attempts, exit_code FROM tasks WHERE job_id = '{job}' ORDER BY task"
        ))
        .await
    }

    /// Submits, works until nothing is left to do, and says how the job ended.
    pub(crate) async fn run(&self, job_type: &str, ant: &mut Ant) -> (JobId, String) {
        let job = self.submit(job_type).await;
        ant.work(&self.queen).await;
        let state = self.state(&job).await;
        (job, state)
    }
}

/// As [`Rig::rows`] does it for a file.
async fn postgres_rows(database: &TestDatabase, sql: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let text = |row: &sqlx::postgres::PgRow, at: usize| {
        let number = || row.try_get::<Option<i64>, _>(at).map(|n| n.map(|n| n.to_string()));
        let truth = |_| row.try_get::<Option<bool>, _>(at).map(|b| b.map(|b| i64::from(b).to_string()));
        let text = row.try_get::<Option<String>, _>(at).or_else(|_| number()).or_else(truth);
        text.unwrap().unwrap_or_else(|| "-".to_owned())
    };
    rows.iter().map(|row| (0..row.len()).map(|at| text(row, at)).collect::<Vec<_>>().join(" ")).collect()
}

fn config(dir: &Path, postgres: Option<&TestDatabase>, clock: &Arc<MockClock>, entropy: &Arc<Counting>) -> QueenConfig {
    QueenConfig {
        data_dir: dir.to_owned(),
        database: postgres.map_or(Database::File, |database| Database::Postgres(database.url().parse().unwrap())),
        on_standby: None,
        clock: clock.clone(),
        entropy: entropy.clone(),
        schedules: true,
        secrets_key: KeySource::default(),
        directory: crate::queen::rig::people(),
        lease: atta_core::protocol::ant::DEFAULT_LEASE,
        budget_per_day: atta_core::budget::Caps::default(),
        terminal_sessions: 2,
    }
}

/// alice, bob and carol hold the role release; alice and dave have addresses.
pub(crate) fn people() -> Arc<StaticDirectory> {
    let text = r#"{"roles": {"release": ["alice", "bob", "carol"]},
        "users": {"alice": {"email": "alice@example.org"}, "dave": {"email": "dave@example.org"}}}"#;
    Arc::new(serde_json::from_str::<StaticDirectory>(text).unwrap().checked().unwrap())
}

pub(crate) fn request(job_type: &str) -> SubmitRequest {
    SubmitRequest { job_type: job_type.to_owned(), ..SubmitRequest::default() }
}

/// The text of a definition whose tasks are given as `name: keys`.
pub(crate) fn definition(job_keys: &str, tasks: &[(&str, &str)]) -> String {
    let mut text = format!("job_type: flow\n{job_keys}\ntasks:\n");
    for (name, keys) in tasks {
        writeln!(text, "  - task_type: {name}\n    script: [\"echo {name}\"]").unwrap();
        for line in keys.lines().filter(|line| !line.trim().is_empty()) {
            writeln!(text, "    {line}").unwrap();
        }
    }
    text
}

/// An ant that runs nothing: exit codes come from a script.
pub(crate) struct Ant {
    pub(crate) id: AntId,
    pub(crate) session: u64,
    /// The data directory that its polls name.
    pub(crate) directory: Option<String>,
    pub(crate) slots: u32,
    pub(crate) tags: Vec<String>,
    pub(crate) methods: Vec<String>,
    /// Exit codes by task, first to last; 0 when there is none left.
    pub(crate) codes: HashMap<String, Vec<u16>>,
    pub(crate) outputs: HashMap<String, IndexMap<String, serde_json::Value>>,
    pub(crate) artifacts: HashMap<String, Vec<atta_core::protocol::ant::ArtifactFile>>,
    /// What it was given, in order.
    pub(crate) seen: Vec<Assignment>,
    pub(crate) held: u32,
    /// What its polls say it has: only what a test puts in.
    pub(crate) roster: Roster,
    /// Which orders its messages say it has heard: likewise.
    pub(crate) heard: Heard,
    /// Workspaces that its polls name.
    pub(crate) workspaces: Vec<WorkspaceId>,
    /// How far attempts have come with what was typed, as its polls say.
    pub(crate) typed: Vec<TypedInput>,
    /// How it is, as its polls say.
    pub(crate) condition: Option<AntCondition>,
}

impl Ant {
    pub(crate) fn new(id: &str, slots: u32) -> Self {
        Self {
            id: AntId(id.to_owned()),
            session: 1,
            directory: None,
            slots,
            tags: Vec::new(),
            methods: Method::BEYOND_EVERY_ANT.map(str::to_owned).to_vec(),
            codes: HashMap::new(),
            outputs: HashMap::new(),
            artifacts: HashMap::new(),
            seen: Vec::new(),
            held: 0,
            roster: Roster::default(),
            heard: Heard::default(),
            workspaces: Vec::new(),
            typed: Vec::new(),
            condition: None,
        }
    }

    pub(crate) fn with_code(mut self, task: &str, codes: &[u16]) -> Self {
        self.codes.insert(task.to_owned(), codes.to_vec());
        self
    }

    pub(crate) fn poll_request(&self) -> PollRequest {
        PollRequest {
            ant: self.id.clone(),
            session: self.session,
            directory: self.directory.clone(),
            slots: self.slots,
            free_slots: self.slots.saturating_sub(self.held),
            tags: self.tags.clone(),
            methods: self.methods.clone(),
            workspaces: self.workspaces.clone(),
            roster: self.roster.clone(),
            heard: self.heard.clone(),
            typed: self.typed.clone(),
            condition: self.condition.clone(),
        }
    }

    /// Its polls say from now on that it has these.
    pub(crate) fn hold(&mut self, assignments: &[Assignment]) {
        let held = |one: &Assignment| HeldAttempt { attempt_id: one.attempt_id.clone(), token: one.token };
        self.roster.held = assignments.iter().map(held).collect();
        self.held = u32::try_from(assignments.len()).unwrap();
    }

    /// What there is to do right now.
    pub(crate) async fn poll(&mut self, queen: &Queen) -> Orders {
        let orders = queen.poll(self.poll_request(), Duration::ZERO).await.unwrap();
        self.take(&orders);
        orders
    }

    fn take(&mut self, orders: &Orders) {
        self.held += u32::try_from(orders.assignments.len()).unwrap();
        self.seen.extend(orders.assignments.iter().cloned());
    }

    pub(crate) fn report_of(&mut self, assignment: &Assignment) -> ReportBody {
        let codes = self.codes.get_mut(&assignment.task).filter(|codes| !codes.is_empty());
        let code = codes.map_or(0, |codes| codes.remove(0));
        ReportBody::Finished(Box::new(AttemptReport {
            result: AttemptResult::Exit(code),
            failure: (code != 0)
                .then(|| Failure { code: "EXIT_CODE".to_owned(), message: format!("exit code {code}") }),
            outputs: self.outputs.get(&assignment.task).cloned().unwrap_or_default(),
            artifacts: self.artifacts.get(&assignment.task).cloned().unwrap_or_default(),
            warnings: Vec::new(),
            log_bytes: 0,
            retry_after: None,
            agent: None,
        }))
    }

    pub(crate) fn batch(&self, reports: Vec<Report>) -> ReportBatch {
        ReportBatch { ant: self.id.clone(), session: self.session, heard: self.heard.clone(), reports }
    }

    /// Says that an attempt started.
    pub(crate) async fn start(&mut self, queen: &Queen, assignment: &Assignment) {
        let body = ReportBody::Started { isolation: "subreaper".to_owned() };
        queen.report(self.batch(vec![report(assignment, 1, body)])).await.unwrap();
    }

    /// Says that an attempt ended as the script has it.
    pub(crate) async fn finish(&mut self, queen: &Queen, assignment: &Assignment) -> Orders {
        let body = self.report_of(assignment);
        self.held -= 1;
        let orders = queen.report(self.batch(vec![report(assignment, 2, body)])).await.unwrap();
        self.take(&orders);
        orders
    }

    /// Works until nothing is left to do.
    pub(crate) async fn work(&mut self, queen: &Queen) {
        let mut todo = self.poll(queen).await.assignments;
        while !todo.is_empty() {
            for assignment in std::mem::take(&mut todo) {
                self.start(queen, &assignment).await;
                todo.extend(self.finish(queen, &assignment).await.assignments);
            }
            if todo.is_empty() {
                todo = self.poll(queen).await.assignments;
            }
        }
    }

    pub(crate) fn tasks_seen(&self) -> Vec<&str> {
        self.seen.iter().map(|assignment| assignment.task.as_str()).collect()
    }
}

pub(crate) fn report(assignment: &Assignment, sequence: u64, body: ReportBody) -> Report {
    Report { attempt_id: assignment.attempt_id.clone(), token: assignment.token, sequence, at: UnixMillis(START), body }
}

pub(crate) fn script_of(assignment: &Assignment) -> &str {
    let Action::Shell { script, .. } = &assignment.action else { panic!("this is no script") };
    &script.text
}
