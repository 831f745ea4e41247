use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use atta_core::budget::{Caps, Measure};
use atta_core::definition::KnownConfigs;
use atta_core::engine::{AttemptResult, JobRun, JobState};
use atta_core::protocol::JobId;
use atta_core::protocol::ant::{Assignment, Heard};
use atta_core::protocol::api::SubmitRequest;
use atta_core::secret::{SecretText, SecretValue};
use atta_core::time::{Clock, Entropy, UnixMillis};
use tokio::sync::oneshot;

use super::super::JobCommand;
use super::super::command::Submission;
use super::super::definitions::LoadedVersion;
use super::*;
use crate::directory::StaticDirectory;
use crate::secrets::{KeySource, Secrets};
use crate::store::Store;

/// It stands still, but for whole days.
#[derive(Default)]
struct Still {
    days: AtomicI64,
}

impl Clock for Still {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_767_571_200_000 + self.days.load(Ordering::SeqCst) * 86_400_000)
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst)
    }
}

struct Rig {
    _dir: tempfile::TempDir,
    _store: Store,
    database: StoreWriter,
    state: State,
    clock: Arc<Still>,
}

impl Rig {
    async fn new(definition: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut database) = Store::open(dir.path(), UnixMillis(0)).await.unwrap();
        let entropy = Arc::new(Counting::default());
        let secrets = Arc::new(Secrets::open(Vec::new(), &KeySource::default(), dir.path(), &*entropy));
        let directory = Arc::new(StaticDirectory::default());
        let clock = Arc::new(Still::default());
        let mut state =
            State::open(&mut database, clock.clone(), entropy, false, secrets, directory, Duration::from_mins(1))
                .await
                .unwrap();
        let version = LoadedVersion::parse("flow.yaml", definition, KnownConfigs::Any).unwrap();
        state.upload(&mut database, Arc::new(version)).await.unwrap();
        Self { _dir: dir, _store: store, database, state, clock }
    }

    async fn submit(&mut self) -> JobId {
        let request = SubmitRequest { job_type: "flow".to_owned(), ..SubmitRequest::default() };
        let submission = Submission { request, submitted_by: "test".to_owned(), idempotency_key: None };
        self.state.submit(&mut self.database, submission).await.unwrap().job_id
    }

    /// Everything that the ant is given.
    async fn dispatch(&mut self, ant: &AntId) -> Vec<Assignment> {
        self.dispatch_to(ant, Heard::default()).await
    }

    /// The same to one that says what it has heard.
    async fn dispatch_to(&mut self, ant: &AntId, heard: Heard) -> Vec<Assignment> {
        let request = serde_json::from_value(serde_json::json!({
            "ant": ant, "session": 1, "slots": 2, "free_slots": 2, "tags": [], "methods": ["AGENT"], "workspaces": [],
            "heard": heard,
        }));
        let (reply, _answer) = oneshot::channel();
        let deadline = Instant::now() + Duration::from_mins(1);
        self.state.poll(&mut self.database, request.unwrap(), deadline, reply).await;
        self.state.dispatch(&BTreeSet::from([ant.clone()]));
        self.state.staged.orders.get(ant).map(|orders| orders.assignments.clone()).unwrap_or_default()
    }

    async fn commit(&mut self) {
        self.database.write(&self.state.changes()).await.unwrap();
        self.state.committed();
    }

    async fn stored(&mut self, job: &JobId) -> JobState {
        self.database.job_state(job).await.unwrap().unwrap()
    }
}

fn finished(assignment: &Assignment) -> Report {
    let end = AttemptReport {
        result: AttemptResult::Exit(0),
        failure: None,
        outputs: IndexMap::new(),
        artifacts: Vec::new(),
        warnings: Vec::new(),
        log_bytes: 0,
        retry_after: None,
        agent: None,
    };
    Report {
        attempt_id: assignment.attempt_id.clone(),
        token: assignment.token,
        sequence: 2,
        at: Still::default().now(),
        body: ReportBody::Finished(Box::new(end)),
    }
}

#[tokio::test]
async fn a_report_that_the_engine_refuses_sets_aside_its_job_and_the_others_count() {
    let keys = "user_key: \"{{ JobType }}-{{ count_jobs('flow') }}\"";
    let mut rig = Rig::new(&format!("job_type: flow\n{keys}\ntasks: [{{task_type: a, script: [echo]}}]\n")).await;
    let (bad, good) = (rig.submit().await, rig.submit().await);
    let ant = AntId("ant".to_owned());
    let work = rig.dispatch(&ant).await;
    assert_eq!(work.len(), 2);
    rig.commit().await;
    // As if the engine had a defect.
    let live = rig.state.jobs.get_mut(&bad).unwrap();
    live.run = JobRun::new(&live.plan);

    let reports = work.iter().map(finished).collect();
    let batch = ReportBatch { ant: ant.clone(), session: 1, reports, heard: Heard::default() };
    assert_eq!(rig.state.report(&mut rig.database, batch).await.unwrap().stale, []);
    rig.commit().await;
    assert_eq!(rig.stored(&good).await, JobState::Completed);
    let reason = &rig.state.damaged[&bad];
    assert!(reason.starts_with("the engine refused the report of attempt 1: attempt 1 is not known"), "{reason}");
    assert!(rig.state.ants[&ant].held.is_empty(), "both slots are free");

    let cancel = JobCommand::Cancel { reason: "stuck".to_owned(), force: false };
    assert_eq!(rig.state.command(&mut rig.database, &bad, cancel).await.unwrap(), JobState::Cancelled);
    rig.commit().await;
    assert_eq!(rig.stored(&bad).await, JobState::Cancelled);
    assert!(rig.state.user_keys.is_empty() && rig.state.jobs.is_empty() && rig.state.damaged.is_empty());
}

#[tokio::test]
async fn a_job_that_was_set_aside_gives_its_places_back_when_it_is_cancelled() {
    let keys = "max_concurrency: 1\nconcurrency: {key: one}\ntimeout: 1h";
    let mut rig = Rig::new(&format!("job_type: flow\n{keys}\ntasks: [{{task_type: a, script: [echo]}}]\n")).await;
    let (bad, next) = (rig.submit().await, rig.submit().await);
    let work = rig.dispatch(&AntId("ant".to_owned())).await;
    assert_eq!(work.len(), 1);
    rig.commit().await;
    assert_eq!(rig.stored(&next).await, JobState::Pending);
    rig.state.set_aside(&bad, "a test says so".to_owned());
    let cancel = JobCommand::Cancel { reason: "stuck".to_owned(), force: false };
    rig.state.command(&mut rig.database, &bad, cancel).await.unwrap();
    let stops = &rig.state.staged.orders[&AntId("ant".to_owned())].stops;
    assert_eq!(stops[0].attempt_id, work[0].attempt_id);
    rig.commit().await;
    assert_eq!(rig.stored(&bad).await, JobState::Cancelled);
    assert_eq!(rig.stored(&next).await, JobState::Running);
    let of_bad = |(_, job, _): &&(UnixMillis, JobId, _)| *job == bad;
    assert_eq!(rig.state.timers.iter().find(of_bad), None, "its timers are gone");
    assert_eq!(rig.dispatch(&AntId("ant".to_owned())).await[0].job_id, next, "and so is the slot that it took");
}

#[tokio::test]
async fn a_job_that_was_set_aside_gives_back_what_its_agents_had_reserved_when_it_is_cancelled() {
    let agent = |name| format!("  - task_type: {name}\n    agent: {{cli: claude, prompt: x, max_usd: 1}}\n");
    let tasks = [agent("a"), agent("b")].concat();
    let mut rig = Rig::new(&format!("job_type: flow\nbudget: {{per_day: {{usd: 10}}}}\ntasks:\n{tasks}")).await;
    let bad = rig.submit().await;
    let ant = AntId("ant".to_owned());
    let work = rig.dispatch(&ant).await;
    assert_eq!(work.len(), 2);
    rig.commit().await;
    let started = Report { body: ReportBody::Started { isolation: String::new() }, sequence: 1, ..finished(&work[0]) };
    let batch = ReportBatch { ant: ant.clone(), session: 1, reports: vec![started], heard: Heard::default() };
    rig.state.report(&mut rig.database, batch).await.unwrap();
    rig.commit().await;
    let purse = rig.state.budgets.all();
    assert_eq!((purse.open, purse.reserved.get(Measure::Usd)), (2, 2_000_000));

    rig.state.set_aside(&bad, "a test says so".to_owned());
    let cancel = JobCommand::Cancel { reason: "stuck".to_owned(), force: false };
    rig.state.command(&mut rig.database, &bad, cancel).await.unwrap();
    rig.commit().await;
    let (all, definition) = (rig.state.budgets.all(), rig.state.budgets.definition("flow", Caps::default()));
    for purse in [all, definition] {
        // The one that had begun counts as lost: with what it might use.
        assert_eq!((purse.open, purse.reserved.get(Measure::Usd)), (0, 0));
        assert_eq!(purse.used.get(Measure::Usd), 1_000_000);
    }
}

#[tokio::test]
async fn a_day_that_begins_while_nothing_is_given_out_does_not_have_the_writer_look_again_and_again() {
    let agent = |name| format!("  - task_type: {name}\n    agent: {{cli: claude, prompt: x, max_usd: 1}}\n");
    let tasks = [agent("a"), agent("b")].concat();
    let mut rig = Rig::new(&format!("job_type: flow\nbudget: {{per_day: {{usd: 1}}}}\ntasks:\n{tasks}")).await;
    rig.submit().await;
    let ant = AntId("ant".to_owned());
    assert_eq!(rig.dispatch(&ant).await.len(), 1);
    rig.commit().await;
    let tomorrow = rig.state.budgets.next_look().unwrap();
    assert!(tomorrow > rig.clock.now());
    rig.clock.days.store(1, Ordering::SeqCst);
    rig.state.tier.tier = atta_core::resilience::Tier::ReadOnly;
    rig.state.dispatch(&BTreeSet::from([ant]));
    assert_eq!(rig.state.budgets.next_look(), None, "it has been called, and is in the queue");
    assert_eq!(rig.state.ready.len(), 1);
}

#[tokio::test]
async fn an_attempt_whose_ant_is_gone_keeps_no_secrets_in_memory() {
    let mut rig = Rig::new("job_type: flow\ntasks: [{task_type: a, script: [echo]}]\n").await;
    rig.submit().await;
    let work = rig.dispatch(&AntId("ant".to_owned())).await.remove(0);
    let secret = SecretValue { name: "Key".to_owned(), value: SecretText::new("a secret".to_owned()) };
    rig.state.secrets.held().hold(&work.attempt_id, &[secret]);
    rig.state.lose(&work.attempt_id, "nothing was heard of it".to_owned());
    assert!(!rig.state.secrets.held().any());
}

/// The database has stored a batch, and its answer came too late: memory is read again.
async fn learn_late(rig: &mut Rig) {
    rig.database.write(&rig.state.changes()).await.unwrap();
    rig.state.reload(&mut rig.database).await.unwrap();
    assert!(rig.state.staged.orders.is_empty(), "nobody was told anything");
}

#[tokio::test]
async fn an_order_that_was_stored_and_not_given_is_given_afterwards() {
    let mut rig = Rig::new("job_type: flow\ntasks: [{task_type: a, script: [echo]}]\n").await;
    let ant = AntId("ant".to_owned());
    assert_eq!(rig.dispatch(&ant).await, []);
    rig.commit().await;
    let job = rig.submit().await;
    assert_eq!(rig.dispatch(&ant).await.len(), 1);
    learn_late(&mut rig).await;
    let heard = Heard { epoch: u64::from(rig.state.epoch), ..Heard::default() };
    let given = rig.dispatch_to(&ant, heard).await;
    assert_eq!(given.iter().map(|one| &one.job_id).collect::<Vec<_>>(), [&job]);
    rig.commit().await;

    let cancel = JobCommand::Cancel { reason: "not wanted".to_owned(), force: false };
    rig.state.command(&mut rig.database, &job, cancel).await.unwrap();
    learn_late(&mut rig).await;
    let stops = &rig.state.ants[&ant].notices.stops;
    assert_eq!(stops.iter().map(|stop| &stop.attempt_id).collect::<Vec<_>>(), [&given[0].attempt_id]);
}
