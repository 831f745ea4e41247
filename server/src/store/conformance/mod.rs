//! The same cases on both databases: the schema, every method that reads, every method that writes.

mod binding;
#[path = "../../../tests/it/cluster.rs"]
mod cluster;
mod dump;
mod outcomes;
mod silence;

use std::collections::BTreeSet;
use std::fmt::Debug;

use atta_core::budget::{Caps, Measure, Part, Sums};
use atta_core::definition::Retention;
use atta_core::engine::{AttemptNumber, Event, JobState, Stamped, TaskIndex, TaskState, Timer};
use atta_core::protocol::agent::AgentRecord;
use atta_core::protocol::{AntId, Digest, JobId};
use atta_core::time::UnixMillis;

use self::cluster::{Cluster, TestDatabase};
use super::sql::{Dialect, query};
use super::*;

const ROWS: &str = include_str!("rows.sql");

/// A database of either kind with the same rows.
struct Case {
    store: Store,
    writer: StoreWriter,
    reads: Reads,
    dir: tempfile::TempDir,
    server: Option<TestDatabase>,
}

impl Case {
    async fn new(dialect: Dialect) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = (dialect == Dialect::Postgres).then(|| Cluster::shared().database());
        let database = match &server {
            Some(server) => Database::Postgres(server.url().parse().unwrap()),
            None => Database::File,
        };
        let (store, mut writer) = Store::open_in(dir.path(), &database, UnixMillis(0), None).await.unwrap();
        let bytes = if server.is_some() { ("'\\x", "'") } else { ("x'", "'") };
        let rows = ROWS.replace("BYTES(0102)", &format!("{}0102{}", bytes.0, bytes.1));
        let rows = rows.replace("BYTES(00ff)", &format!("{}00ff{}", bytes.0, bytes.1));
        let rows = rows.replace("BYTES(6162ff)", &format!("{}6162ff{}", bytes.0, bytes.1));
        // The text {} in a frame of zstd.
        let rows = rows.replace("BYTES({})", &format!("{}28b52ffd20021100007b7d{}", bytes.0, bytes.1));
        let connection = writer.connection().await.unwrap();
        connection.run_script(rows.leak()).await.unwrap();
        let reads = Reads::new(store.clone());
        Self { store, writer, reads, dir, server }
    }

    async fn both() -> [Self; 2] {
        [Self::new(Dialect::Sqlite).await, Self::new(Dialect::Postgres).await]
    }

    /// The columns of all tables: `table.column type null`, in the words of SQLite.
    async fn schema(&mut self) -> BTreeSet<String> {
        let text = match self.store.dialect() {
            Dialect::Sqlite => {
                "SELECT t.name || '.' || c.name || ' ' || c.type || ' ' ||
                    (c.\"notnull\" = 0 AND c.pk = 0) FROM sqlite_schema t JOIN pragma_table_info(t.name) c
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'"
            }
            Dialect::Postgres => {
                "SELECT table_name || '.' || column_name || ' ' || CASE data_type WHEN 'text' THEN 'TEXT'
                    WHEN 'bytea' THEN 'BLOB' WHEN 'boolean' THEN 'INTEGER' WHEN 'bigint' THEN 'INTEGER' ELSE data_type END
                    || ' ' || CASE is_nullable WHEN 'YES' THEN 1 ELSE 0 END
                 FROM information_schema.columns WHERE table_schema = current_schema()"
            }
        };
        let rows = query(text).fetch_all(self.writer.connection().await.unwrap()).await.unwrap();
        rows.iter().map(|row| row.try_get(0).unwrap()).collect()
    }

    /// The names of indexes that were made by name.
    async fn indexes(&mut self) -> BTreeSet<String> {
        let text = match self.store.dialect() {
            Dialect::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL",
            Dialect::Postgres => {
                // The key of artifacts is an index, because their paths may be long.
                "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                 JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
                 WHERE NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = c.oid) AND c.relname <> 'artifacts_key'"
            }
        };
        let rows = query(text).fetch_all(self.writer.connection().await.unwrap()).await.unwrap();
        rows.iter().map(|row| row.try_get(0).unwrap()).collect()
    }

    /// What every method says that reads.
    async fn answers(&mut self) -> Vec<(&'static str, String)> {
        fn text<T: Debug>(name: &'static str, result: Result<T, StoreError>) -> (&'static str, String) {
            (name, format!("{:?}", result.unwrap_or_else(|error| panic!("{name}: {error}"))))
        }
        let (job1, job2) = (JobId("job_1".to_owned()), JobId("job_2".to_owned()));
        let none = JobId("job_0".to_owned());
        let keep = Retention { failed: Some(std::time::Duration::from_millis(5)), ..Retention::default() };
        let (writer, reads, store) = (&mut self.writer, &self.reads, &self.store);
        let mut found = vec![
            text("load_ants", writer.load_ants().await),
            text("load_spend_of", writer.load_spend_of(3).await),
            text("load_accounts", writer.load_accounts().await),
            text("load_open_approvals", writer.load_open_approvals().await),
            text("load_approval", writer.load_approval("apr_2").await),
            text("latest_approval", writer.latest_approval(&job1, "one").await),
            text("load_configs", writer.load_configs().await),
            text("job_row", writer.job_row(&job2).await),
            text("open_leases", writer.open_leases(&job2).await),
            text("load_definitions", writer.load_definitions().await),
            text("load_version", writer.load_version("flow", "1.2.0").await),
            text("load_idempotency", writer.load_idempotency("idem").await),
            text("delivered_before", writer.delivered_before("flow", "push", "s1").await),
            text("overdue_jobs", writer.overdue_jobs(UnixMillis(1_000), &keep, 10).await),
            text("overdue_artifacts", writer.overdue_artifacts(UnixMillis(1_000), 10).await),
            text("artifacts_before", writer.artifacts_before(UnixMillis(1_000), &["flow".to_owned()], 10).await),
            text("forked_job", writer.forked_job(&job1, AttemptNumber(3)).await),
            text("jobs_by_origin", writer.jobs_by_origin(&job1).await),
            text("last_with_user_key", writer.last_with_user_key("key").await),
            text("last_with_user_key", writer.last_with_user_key("none").await),
            text("ancestor", writer.ancestor(&job2).await),
            text("ancestor", writer.ancestor(&none).await),
            text("load_jobs", writer.load_jobs(Which::Live).await),
            text("load_jobs", writer.load_jobs(Which::Job(&job1)).await),
            text("latest_sequence", writer.latest_sequence().await),
            text("attempt_lease", writer.attempt_lease(&job2, AttemptNumber(1)).await),
            text("job_state", writer.job_state(&job2).await),
            text("tick_exists", writer.tick_exists("flow", UnixMillis(700)).await),
            text("delivery_state", writer.delivery_state("ntf_1").await),
            text("load_restored", writer.load_restored().await),
            text("load_tokens", writer.load_tokens().await),
            text("version_names", writer.version_names().await),
            text("lacks_labels", writer.lacks_labels().await),
            text("reassure", writer.reassure().await),
            text("next_expiry", store.next_expiry(&keep).await),
            text("oldest_lease", store.oldest_lease().await),
            text("is_named", store.is_named(&Digest("d1".to_owned())).await),
            text("is_named", store.is_named(&Digest("d2".to_owned())).await),
            text("approval", reads.approval("apr_1").await),
            text("deliveries", reads.deliveries(&DeliveryFilter::default(), None, 10).await),
            text("delivery", reads.delivery("dlv_1").await),
            text("notifications", reads.notifications(&NotificationFilter::default(), Some("ntf_3"), 10).await),
            text("notification", reads.notification("ntf_2").await),
            text("pending_deliveries", reads.pending_deliveries([(Channel::Slack, "c".to_owned())].iter(), 5).await),
            text("pending_deliveries", reads.pending_deliveries([].iter(), 5).await),
            text("job_with_source", reads.job_with_source(&job1).await),
            text("definitions", reads.definitions("", 10).await),
            text("definition", reads.definition("flow").await),
            text("versions", reads.versions("flow", None, 10).await),
            text("versions", reads.versions("flow", Some((5, "aaaa")), 10).await),
            text("version", reads.version("flow", "bbbb").await),
            text("knows_source", reads.knows_source("job_type: flow").await),
            text("ping", reads.ping().await),
            text("job", reads.job(&job1).await),
            text("job", reads.job(&job2).await),
            text("job", reads.job(&none).await),
            text("artifacts", reads.artifacts(&job1, None, None, (0, ""), 10).await),
            text("artifacts", reads.artifacts(&job1, Some(1), Some("one"), (1, "Out/b"), 10).await),
            text("artifact", reads.artifact(&job1, 1, "out/a").await),
            text("artifact_of_task", reads.artifact_of_task(&job1, "two", "two/k0/x").await),
            text("artifact_of_task", reads.artifact_of_task(&job2, "one", "kept").await),
            text("events", reads.events(None, 1, 10).await.map(|e| serde_json::to_string(&e).unwrap())),
            text("events", reads.events(Some(&job1), 0, 10).await.map(|e| serde_json::to_string(&e).unwrap())),
            text("events_before", reads.events_before(&job1, 9, 10).await.map(|e| serde_json::to_string(&e).unwrap())),
            text("instances", reads.instances(&job1, "two", &[TaskState::Completed], Some(0), 10).await),
            text("job_exists", reads.job_exists(&job1).await),
            text("job_is_terminal", reads.job_is_terminal(&job1).await),
            text("attempt_state", reads.attempt_state(&job2, 1).await),
            text("attempt_command", reads.attempt_command(&job1, 1).await),
            text("attempt_command", reads.attempt_command(&job2, 1).await),
            text("attempt_command", reads.attempt_command(&JobId("job_3".to_owned()), 1).await),
            text("attempt_command", reads.attempt_command(&none, 1).await),
            text("latest_attempt", reads.latest_attempt(&job2, "one").await),
            text("webhook", reads.webhook("flow", "push").await),
            text("attempts", reads.attempts(&job1, Some("two"), HistoryOrder::Oldest, None, 10).await),
            text("attempts", reads.attempts(&job1, None, HistoryOrder::Newest, Some(3), 10).await),
            text("has_task", reads.has_task(&job1, "two").await),
            text("audit", reads.audit(None, 10).await),
            text("outcome", reads.outcome(&job1).await),
            text("outcome", reads.outcome(&job2).await),
        ];
        let (all, some) = (OutcomeFilter::default(), outcomes::filter_of_everything());
        for filter in [&all, &some] {
            found.push(text("task_retries", reads.task_retries(filter, 10).await));
            for by_agent in [false, true] {
                let mut rows = Vec::new();
                reads.outcomes(filter, by_agent, |row| rows.push(row)).await.unwrap();
                found.push(("outcomes", format!("{rows:?}")));
            }
        }
        let mut counts = writer.count_jobs().await.unwrap();
        counts.sort_by_key(|(job_type, state, _)| (job_type.clone(), state.as_str()));
        found.push(("count_jobs", format!("{counts:?}")));
        let mut garbage = store.garbage(10, true).await.unwrap();
        garbage.sort_by_key(|(garbage, _)| format!("{garbage:?}"));
        found.push(("garbage", format!("{garbage:?}")));
        let place: JobPlace = serde_json::from_str(r#"[40, "job_3"]"#).unwrap();
        for filter in job_filters() {
            found.push(text("jobs", reads.jobs(&filter, None, 10).await.map(|found| found.jobs)));
            found.push(text("jobs", reads.jobs(&filter, Some(&place), 1).await));
            found.push(text("job_counts", reads.job_counts(&filter).await));
        }
        for voter in [("alice", vec![]), ("eve", vec!["release".to_owned()]), ("eve", vec!["none".to_owned()])] {
            let voter = Some((voter.0.to_owned(), voter.1));
            let filter = ApprovalFilter { voter, job_type: Some("flow".to_owned()), ..ApprovalFilter::default() };
            found.push(text("approvals", reads.approvals(&filter, None, 10).await));
        }
        found
    }
}

fn label(name: &str, value: Option<&str>) -> LabelFilter {
    LabelFilter { name: name.to_owned(), value: value.map(str::to_owned) }
}

fn job_filters() -> Vec<JobFilter> {
    let all = JobFilter::default();
    vec![
        JobFilter { states: vec![JobState::Running, JobState::Failed], ..all.clone() },
        JobFilter { job_type: Some("flow".to_owned()), parent: Some("job_1".to_owned()), ..all.clone() },
        JobFilter {
            user_key: Some("key".to_owned()),
            created_after: Some(10),
            created_before: Some(30),
            ..all.clone()
        },
        JobFilter { text: Some("ALLES".to_owned()), ..all.clone() },
        JobFilter { text: Some("über".to_owned()), ..all.clone() },
        JobFilter { labels: vec![label("team", Some("core"))], ..all.clone() },
        JobFilter {
            labels: vec![label("team", None), label("ünï", Some("a:b"))],
            states: vec![JobState::Running, JobState::Failed],
            ..all.clone()
        },
        JobFilter { labels: vec![label("team", Some("none"))], ..all.clone() },
        JobFilter { labels: vec![label("tier", None)], text: Some("me".to_owned()), ..all.clone() },
        JobFilter { order: JobOrder::Finished, ..all.clone() },
        JobFilter {
            order: JobOrder::Finished,
            states: vec![JobState::Completed],
            job_type: Some("flow".to_owned()),
            labels: vec![label("team", None)],
            ..all.clone()
        },
        JobFilter { states: vec![JobState::Paused], ..all.clone() },
        all,
    ]
}

fn assert_same(answers: &[Vec<(&'static str, String)>; 2]) {
    assert_eq!(answers[0].len(), answers[1].len());
    for (one, other) in answers[0].iter().zip(&answers[1]) {
        assert_eq!(one, other);
    }
}

#[tokio::test]
async fn both_databases_have_the_same_tables_columns_and_indexes() {
    let [mut file, mut server] = Case::both().await;
    assert_eq!(file.schema().await, server.schema().await);
    assert_eq!(file.indexes().await, server.indexes().await);
}

#[tokio::test]
async fn every_method_that_reads_says_the_same_of_both() {
    let [mut file, mut server] = Case::both().await;
    let answers = [file.answers().await, server.answers().await];
    assert_same(&answers);
    // What is empty on both proves nothing.
    for (name, answer) in &answers[0] {
        let empty = answer == "[]" && !["jobs", "approvals"].contains(name);
        assert!(!empty, "{name} finds nothing among the rows of the test");
    }
}

#[tokio::test]
async fn whatever_is_written_is_the_same_on_both() {
    let [mut file, mut server] = Case::both().await;
    let mut answers = Vec::new();
    for case in [&mut file, &mut server] {
        write_everything(&mut case.writer).await;
        case.writer.forget_idempotency(UnixMillis(5)).await.unwrap();
        answers.push(case.answers().await);
        assert!(case.writer.load_idempotency("idem").await.unwrap().is_none());
    }
    assert_same(&[answers.remove(0), answers.remove(0)]);
}

#[tokio::test]
async fn all_versions_are_labelled_once_and_together() {
    for mut case in Case::both().await {
        assert!(case.writer.lacks_labels().await.unwrap());
        let of = |version: &str, labels: &[(&str, &str)]| LabelRows {
            job_type: "flow".to_owned(),
            version: version.to_owned(),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        // Of a version that there is not nothing can be said, and of the others neither.
        let wrong = [of("bbbb", &[("team", "b")]), of("none", &[("team", "c")])];
        case.writer.label_all(&wrong).await.unwrap_err();
        assert!(case.writer.lacks_labels().await.unwrap());
        let long = "n".repeat(5_000);
        case.writer.label_all(&[of("aaaa", &[("b", "1"), ("a", "2"), (&long, &long)])]).await.unwrap();
        assert!(!case.writer.lacks_labels().await.unwrap());
        let filter = JobFilter { labels: vec![label(&long, Some(&long))], ..JobFilter::default() };
        let jobs = case.reads.jobs(&filter, None, 10).await.unwrap().jobs;
        let names: Vec<&str> = jobs[0].labels.keys().map(String::as_str).collect();
        assert_eq!((jobs.len(), names), (3, vec!["b", "a", long.as_str()]), "in the order of the definition");
    }
}

#[tokio::test]
async fn contradictions_are_told_apart_from_other_errors_and_leave_nothing_behind() {
    for mut case in Case::both().await {
        let job = case.writer.job_row(&JobId("job_2".to_owned())).await.unwrap().unwrap();
        let twin = JobRow { id: JobId("job_9".to_owned()), ..job.clone() };
        let before = Case::answers(&mut case).await;
        let ant = AntRow { id: AntId("new".to_owned()), ..case.writer.load_ants().await.unwrap().remove(0) };
        let changes = Changes { new_jobs: vec![&twin], ants: vec![&ant], ..Changes::default() };
        let error = case.writer.write(&changes).await.unwrap_err();
        assert!(error.is_constraint() && !error.is_unreachable(), "{error}");
        assert!(error.to_string().contains("contradicts what is stored"), "{error}");
        let gone = JobRow { id: JobId("job_0".to_owned()), ..job };
        let error = case.writer.write(&Changes { jobs: vec![&gone], ..Changes::default() }).await.unwrap_err();
        assert!(error.is_constraint(), "{error}");
        assert_eq!(case.answers().await, before);
    }
}

#[tokio::test]
async fn texts_that_an_index_or_a_column_cannot_hold_are_stored_all_the_same() {
    let long: String = (0..4_000_u32).map(|n| char::from(b'a' + u8::try_from(n * n % 7 + n % 19).unwrap())).collect();
    for mut case in Case::both().await {
        let job = case.writer.job_row(&JobId("job_2".to_owned())).await.unwrap().unwrap();
        let new = JobRow {
            id: JobId("job_9".to_owned()),
            user_key: Some(long.clone()),
            description: Some("a\0b".to_owned()),
            ..job
        };
        let origin = JobOrigin { key: Some(long.clone()), ..new.origin.clone() };
        let new = JobRow { origin, ..new };
        case.writer.write(&Changes { new_jobs: vec![&new], ..Changes::default() }).await.unwrap();
        let stored = case.writer.job_row(&new.id).await.unwrap().unwrap();
        assert_eq!((stored.user_key, stored.origin.key), (Some(long.clone()), Some(long.clone())));
        let wanted = if case.store.dialect() == Dialect::Sqlite { "a\0b" } else { "a\u{2400}b" };
        assert_eq!(stored.description.as_deref(), Some(wanted));
    }
}

/// A batch with one of everything.
async fn write_everything(writer: &mut StoreWriter) {
    let (job1, job2) = (JobId("job_1".to_owned()), JobId("job_2".to_owned()));
    let version =
        VersionRow { version: "dddd".to_owned(), ..writer.load_version("flow", "aaaa").await.unwrap().unwrap() };
    let labels = LabelRows {
        job_type: "flow".to_owned(),
        version: "dddd".to_owned(),
        labels: [("team".to_owned(), "new".to_owned())].into(),
    };
    let mut definition = writer.load_definitions().await.unwrap().remove(1).0;
    (definition.latest_version, definition.enabled) = ("dddd".to_owned(), false);
    let mut stored = writer.load_jobs(Which::Job(&job2)).await.unwrap().remove(0);
    let other = writer.load_jobs(Which::Job(&job1)).await.unwrap().remove(0);
    let new =
        JobRow { id: JobId("job_4".to_owned()), user_key: None, origin: JobOrigin::default(), ..stored.row.clone() };
    stored.row.reason = Some("changed".to_owned());
    stored.tasks[0].visits = 9;
    stored.attempts[0].log_bytes = 1 << 40;
    let instance = InstanceRow {
        task: TaskIndex(1),
        instance: 0,
        visit: 2,
        key: "new".to_owned(),
        state: TaskState::Ready,
        attempts: 0,
        last_attempt: None,
        result: None,
        failure: None,
    };
    let artifacts = ArtifactRows { job: job2.clone(), attempt: AttemptNumber(1), ..other.artifacts[0].clone() };
    let adopted =
        AdoptedRow { job: new.id.clone(), task: TaskIndex(0), source_job: job1.clone(), outputs: "{}".to_owned() };
    let event = EventRow {
        sequence: 4,
        job: job2.clone(),
        stamped: Stamped { at: UnixMillis(60), entropy: u64::MAX, event: Event::Admitted },
        effects: "[]".to_owned(),
    };
    let timer = |job_attempt, due| TimerChange { job: job2.clone(), timer: Timer::JobTimeout { job_attempt }, due };
    let idempotency =
        IdempotencyRow { key: "n".to_owned(), ..writer.load_idempotency("later").await.unwrap().unwrap() };
    let mut config = writer.load_configs().await.unwrap();
    let removed = ConfigChange { key: config[0].key.clone(), row: None };
    config[1].updated_at = UnixMillis(66);
    let config = ConfigChange { key: config[1].key.clone(), row: Some(config.remove(1)) };
    let asked = writer.load_approval("apr_1").await.unwrap().unwrap();
    let vote = VoteRow { voter: "dora".to_owned(), ..asked.votes[0].clone() };
    let approval = ApprovalRow { deadline: None, id: "apr_3".to_owned(), attempt: AttemptNumber(2), ..asked.row };
    let outbox = OutboxRow {
        id: "ntf_4".to_owned(),
        job: job1.clone(),
        event: "job.completed",
        rule: 0,
        channel: Channel::Email,
        recipient: 2,
        voter: None,
        destination: "d".to_owned(),
        content: "{}".to_owned(),
        created_at: UnixMillis(61),
    };
    let outcome = |id: &str, outcome| DeliveryChange { id: id.to_owned(), outcome, at: UnixMillis(62) };
    let outcomes = [
        outcome("ntf_1", DeliveryOutcome::Again { at: UnixMillis(70), error: "e".to_owned() }),
        outcome("ntf_2", DeliveryOutcome::Anew),
        outcome("ntf_3", DeliveryOutcome::Dead { error: "dead".to_owned() }),
    ];
    let delivery = DeliveryRow {
        id: "dlv_2".to_owned(),
        job_type: "flow".to_owned(),
        trigger: "push".to_owned(),
        sender_id: "s2".to_owned(),
        event: None,
        headers: "{}".to_owned(),
        body: vec![0, 255],
        outcome: atta_core::protocol::api::DeliveryOutcome::Ping,
        job: None,
        message: Some("m".to_owned()),
        redelivery_of: None,
        received_at: UnixMillis(63),
    };
    let mut token = writer.load_tokens().await.unwrap().remove(0);
    token.revoked_at = Some(UnixMillis(64));
    let audit = AuditRow {
        at: UnixMillis(65),
        user: "ci".to_owned(),
        token: "tok_1".to_owned(),
        action: "cancel".to_owned(),
        target: "job_2".to_owned(),
        status: 200,
        request_id: "req_2".to_owned(),
        detail: Some("ls\\r".to_owned()),
    };
    let ants = writer.load_ants().await.unwrap();
    let directory = Some("0123".to_owned());
    let ant = AntRow { session: Some(u64::MAX), directory, ..ants[0].clone() };
    let expiring = writer.overdue_artifacts(UnixMillis(1_000), 10).await.unwrap();
    let agent = AgentRow { job: job2.clone(), attempt: AttemptNumber(7), record: Box::new(agent_record()) };
    let frame = zstd::encode_all(&b"{\"a\":1}"[..], 1).unwrap();
    let command = CommandRow { job: job2.clone(), attempt: AttemptNumber(1), command: frame.clone() };
    let again = CommandRow { job: job1.clone(), attempt: AttemptNumber(1), command: frame };
    let achieved = outcomes::change_of_everything();
    let spend = spend_row(&job2);
    let day = DaySum { attempts: 1, counted: spend.settled.unwrap().counted, unknown: 1 };
    let account = AccountRow {
        name: "team".to_owned(),
        parked_until: Some(UnixMillis(80)),
        reason: "later".to_owned(),
        limited_at: UnixMillis(79),
        strikes: 2,
    };
    let changes = Changes {
        versions: vec![&version],
        labels: vec![&labels],
        definitions: vec![&definition],
        new_jobs: vec![&new],
        jobs: vec![&stored.row],
        abandoned: vec![(&new.id, UnixMillis(67))],
        params: vec![&stored.row],
        tasks: vec![(&job2, &stored.tasks[0])],
        attempts: vec![(&job2, &stored.attempts[0])],
        instances: vec![(&job1, &instance)],
        instances_removed: vec![(&job1, TaskIndex(1), 1)],
        artifacts: vec![&artifacts],
        agents: vec![&agent],
        commands: vec![&command, &again],
        achieved: vec![&achieved, &achieved],
        spend: vec![(&job2, AttemptNumber(7), Some(&spend)), (&job2, AttemptNumber(8), None)],
        spend_days: vec![(3, "flow", &day), (3, "flow", &day)],
        job_budgets: vec![(&job2, &spend.part.caps)],
        accounts: vec![&account],
        adopted: vec![&adopted],
        events: vec![&event],
        timers: vec![timer(2, None), timer(3, Some(UnixMillis(600)))],
        idempotency: vec![&idempotency],
        configs: vec![removed, config],
        expiry: ExpiryChange {
            jobs: vec![JobId("job_3".to_owned())],
            artifacts: expiring.into_iter().map(|key| (key, UnixMillis(68))).collect(),
            cleared: vec![Garbage::Artifact(Digest("d9".to_owned()))],
        },
        deliveries: vec![&delivery],
        approvals: vec![&approval],
        votes: vec![&vote],
        outbox: vec![&outbox],
        outcomes: outcomes.iter().collect(),
        tokens: vec![&token],
        audit: vec![&audit],
        ants: vec![&ant],
        ants_removed: vec![&ants[1].id],
        restored_done: true,
        probe: Some(UnixMillis(69)),
    };
    writer.write(&changes).await.unwrap();
}

/// With a value in every column.
fn spend_row(job: &JobId) -> SpendRow {
    let (mut caps, mut counted) = (Caps::default(), Sums::default());
    for (measure, amount) in Measure::ALL.into_iter().zip(1_u64..) {
        caps.set(measure, Some(amount * 1_000));
        counted.set(measure, amount);
    }
    let part = Part::stored(caps, "usd=job,minutes=day").unwrap();
    let settled = Settled { day: 3, counted, unknown_usd: true, unknown_tokens: true };
    SpendRow { job: job.clone(), attempt: AttemptNumber(7), account: "team".to_owned(), part, settled: Some(settled) }
}

/// With a value in every column.
fn agent_record() -> AgentRecord {
    let usage = serde_json::json!({
        "turns": 4, "cost": 1_300, "cost_source": "mixed", "by_model": {},
        "tokens": {"input": 1, "output": 2, "cache_read": 3, "cache_write": 4},
    });
    let choice = serde_json::json!({"cli": "gemini", "command": [], "model": "m"});
    serde_json::from_value(serde_json::json!({
        "class": "DONE", "message": "why", "usage": usage, "session": {"cli": "gemini", "id": "s3"},
        "limit": {"resets_at": 77, "message": "later"}, "verdict": {"ok": true},
        "runs": [{"choice": choice, "purpose": "work", "usage": usage, "started_at": 5}],
    }))
    .unwrap()
}

/// Methods that are not asked by name above: they are parts of others, or open and close.
const ELSEWHERE: [&str; 49] = [
    "begin",
    "roll_back",
    "write_labels",
    "add_labels",
    "labels_of",
    "job_budget",
    "write_achieved",
    "write_agents",
    "write_spending",
    "write_ant",
    "remove_ant",
    "write_approval",
    "write_vote",
    "write_config",
    "write_abandoned",
    "write_delivery",
    "write_expiry",
    "forget_restored",
    "write_outbox",
    "write_outcome",
    "write_token",
    "write_audit",
    "instances_by_task",
    "outline",
    "outline_of_job",
    "set_meta",
    "limit_pages",
    "close",
    "next_epoch",
    "migrate",
    "migrate_inside",
    "inspect_file",
    "wait_for_turn",
    "try_lock",
    "take",
    "renew",
    "enter",
    "has_stored",
    "share",
    "attempts_by_task",
    "ask",
    "goes_with",
    "id",
    "check",
    "bind",
    "is_of",
    "new",
    "store",
    "read_again",
];

#[test]
fn no_method_of_the_store_is_forgotten_here() {
    let own = include_str!("mod.rs");
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for line in source.lines().map(str::trim_start).filter(|line| line.starts_with("pub")) {
            let Some((_, rest)) = line.split_once("async fn ") else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !own.contains(&format!(".{name}("))
                && !ELSEWHERE.contains(&name.as_str())
                && name != "open"
                && name != "open_in"
            {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "no case asks {missing:?} of both databases");
}
