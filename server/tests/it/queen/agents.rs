//! AGENT tasks: what agents are told, and what becomes of what is known of them.
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use atta_core::engine::{AgentClass, AttemptResult, Failure};
use atta_core::protocol::agent::{
    AgentCli, AgentOrder, AgentPrompt, AgentRecord, AgentSession, AgentTokens, CostSource, MicroUsd,
};
use atta_core::protocol::ant::{Action, Assignment, AttemptReport, ReportBody};
use atta_core::protocol::api::SubmitRequest;
use serde_json::json;

use super::rig::{Ant, Rig, report};

const PIPELINE: &str = r#"
job_type: flow
params: {Task: {}}
workspace: {scope: job}
tasks:
  - task_type: plan
    idle_timeout: 3m
    kill_grace: 5s
    agent:
      cli: codex
      prompt: "Plan this: {{ Task }}"
      system: "Visit {{ TaskVisit }}"
      permission: read
      max_usd: 0.5
      verdict: {schema: {type: object}}
    on_exit_code: {BLOCKED: END_BLOCKED, DONE: work}
  - task_type: work
    retry: 2
    delay_between_retries: 1s
    agent:
      cli: codex
      model: " {{ tasks.plan.outputs.verdict.model }} "
      command: [/opt/codex]
      prompt_file: $JOB_WORKSPACE/{{ TaskType }}.md
      directory: $JOB_WORKSPACE
      resume: plan
      fallback: [{model: small}, {cli: claude, on: [ERROR]}]
      expect_changes: true
    on_completed: review
  - task_type: review
    agent: {cli: claude, prompt: "{{ tasks.work.outputs.message }}", resume: review}
    retry: 1
    delay_between_retries: 1s
"#;

pub(super) fn order(assignment: &Assignment) -> &AgentOrder {
    let Action::Agent(order) = &assignment.action else { panic!("{:?}", assignment.action) };
    order
}

pub(super) fn record(class: AgentClass, session: Option<(AgentCli, &str)>) -> AgentRecord {
    let mut record = AgentRecord::empty();
    record.class = Some(class);
    record.session = session.map(|(cli, id)| AgentSession { cli, id: id.to_owned() });
    record.usage.turns = 2;
    record
}

/// Says that an attempt ended so; the answer may carry the next one.
pub(super) async fn end(
    rig: &Rig,
    ant: &mut Ant,
    assignment: &Assignment,
    record: AgentRecord,
    wait: Option<Duration>,
) -> Option<Assignment> {
    ant.start(&rig.queen, assignment).await;
    let class = record.class.expect("a class");
    let failure = (class != AgentClass::Done)
        .then(|| Failure { code: class.as_str().to_owned(), message: class.sentence().to_owned() });
    let body = ReportBody::Finished(Box::new(AttemptReport {
        result: AttemptResult::Agent(class),
        failure,
        outputs: record.outputs(),
        artifacts: Vec::new(),
        warnings: Vec::new(),
        log_bytes: 0,
        retry_after: wait,
        agent: Some(Box::new(record)),
    }));
    ant.held -= 1;
    let batch = ant.batch(vec![report(assignment, 2, body)]);
    let next = rig.queen.report(batch).await.expect("the report is taken").assignments.pop();
    ant.held += u32::from(next.is_some());
    next
}

pub(super) async fn next(rig: &Rig, ant: &mut Ant) -> Assignment {
    ant.poll(&rig.queen).await.assignments.pop().expect("something to do")
}

async fn submit(rig: &Rig) -> atta_core::protocol::JobId {
    let params = json!({"Task": "it's {{ 7 * 7 }}"}).as_object().cloned().unwrap_or_default();
    let request = SubmitRequest { job_type: "flow".to_owned(), params, ..SubmitRequest::default() };
    rig.queen.submit(request, "test", None).await.expect("the job is taken").job_id
}

#[tokio::test]
pub(crate) async fn agents_are_told_all_and_what_is_known_of_them_is_kept() {
    let mut rig = Rig::new().await;
    rig.upload(PIPELINE).await;
    let job = submit(&rig).await;
    let mut ant = Ant::new("ant", 1);
    let plan = next(&rig, &mut ant).await;
    let told = order(&plan);
    assert_eq!(told.prompt, AgentPrompt::Text("Plan this: it's {{ 7 * 7 }}".to_owned()));
    assert_eq!(told.system.as_deref(), Some("Visit 1"));
    assert_eq!((told.limits.usd, told.resume.as_ref()), (Some(MicroUsd(500_000)), None));
    assert_eq!((told.watch.idle, told.watch.kill_grace), (Some(Duration::from_mins(3)), Duration::from_secs(5)));
    assert_eq!((plan.idle_timeout, plan.workspace.is_some()), (None, true), "the runner watches");
    let mut known = record(AgentClass::Done, Some((AgentCli::Codex, "s-1")));
    known.verdict = Some(json!({"model": "big"}));
    known.usage.cost = Some(MicroUsd(1_250_000));
    known.usage.cost_source = Some(CostSource::Priced("2026-11-01".to_owned()));
    known.usage.tokens = Some(AgentTokens { input: 10, output: 5, ..AgentTokens::default() });
    end(&rig, &mut ant, &plan, known, None).await;

    // A restart forgets nothing of it.
    rig.restart().await;
    let mut ant = Ant::new("ant", 1);
    ant.session = 2;
    let work = next(&rig, &mut ant).await;
    let told = order(&work);
    assert_eq!(told.resume, Some(AgentSession { cli: AgentCli::Codex, id: "s-1".to_owned() }));
    assert_eq!(told.choice.model.as_deref(), Some("big"));
    assert_eq!(told.prompt, AgentPrompt::File("$JOB_WORKSPACE/work.md".to_owned()));
    assert_eq!((told.directory.as_deref(), told.expect_changes), (Some("$JOB_WORKSPACE"), true));
    let fallback: Vec<_> = told.fallback.iter().map(|one| (one.choice.cli, one.choice.command.len())).collect();
    assert_eq!(fallback, [(AgentCli::Codex, 1), (AgentCli::Claude, 0)]);
    // The next attempt goes on with the session of `plan`, as ordered, not with its own.
    end(
        &rig,
        &mut ant,
        &work,
        record(AgentClass::RateLimited, Some((AgentCli::Codex, "s-2"))),
        Some(Duration::from_mins(30)),
    )
    .await;
    rig.advance(Duration::from_mins(29)).await;
    assert!(ant.poll(&rig.queen).await.assignments.is_empty(), "the account is not free yet");
    rig.advance(Duration::from_mins(2)).await;
    let work = next(&rig, &mut ant).await;
    assert_eq!(order(&work).resume.as_ref().map(|session| session.id.as_str()), Some("s-1"));
    let review = end(&rig, &mut ant, &work, record(AgentClass::Done, None), None).await.expect("the review");
    assert_eq!(order(&review).resume, None);
    end(&rig, &mut ant, &review, record(AgentClass::Error, Some((AgentCli::Claude, "r-1"))), None).await;
    rig.restart().await;
    let mut ant = Ant::new("ant", 1);
    ant.session = 3;
    rig.advance(Duration::from_secs(2)).await;
    let review = next(&rig, &mut ant).await;
    assert_eq!(order(&review).resume.as_ref().map(|session| session.id.as_str()), Some("r-1"), "its own of this visit");
    end(&rig, &mut ant, &review, record(AgentClass::Done, None), None).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");

    let rows = "SELECT attempt, class, session_id, turns, input_tokens, cost_micros, cost_source FROM agent_attempts ORDER BY attempt";
    assert_eq!(
        rig.rows(rows).await,
        [
            "1 DONE s-1 2 10 1250000 priced:2026-11-01",
            "2 RATE_LIMITED s-2 2 - - -",
            "3 DONE - 2 - - -",
            "4 ERROR r-1 2 - - -",
            "5 DONE - 2 - - -"
        ]
    );
}

#[tokio::test]
pub(crate) async fn an_attempt_that_goes_on_with_its_own_session_need_not_change_anything_more() {
    let mut rig = Rig::new().await;
    rig.upload(
        "job_type: flow\nworkspace: {scope: job}\ntasks:\n  - task_type: work\n    retry: 1\n    \
         delay_between_retries: 1s\n    agent: {cli: codex, prompt: x, resume: work, expect_changes: true}\n    \
         on_completed: polish\n  - task_type: polish\n    agent: {cli: codex, prompt: x, resume: work, expect_changes: true}\n",
    )
    .await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let session = || Some((AgentCli::Codex, "s-1"));
    let work = next(&rig, &mut ant).await;
    assert_eq!((order(&work).resume.as_ref(), order(&work).expect_changes), (None, true));
    end(&rig, &mut ant, &work, record(AgentClass::Error, session()), None).await;

    // What the first attempt committed lies there, and so does its session; a restart does not change that.
    rig.restart().await;
    let mut ant = Ant::new("ant", 1);
    ant.session = 2;
    rig.advance(Duration::from_secs(2)).await;
    let work = next(&rig, &mut ant).await;
    let known = order(&work).resume.as_ref().map(|session| session.id.as_str());
    assert_eq!((known, order(&work).expect_changes), (Some("s-1"), false));

    // With another task's session something is still to be changed.
    let polish = end(&rig, &mut ant, &work, record(AgentClass::Done, session()), None).await.expect("the next task");
    let known = order(&polish).resume.as_ref().map(|session| session.id.as_str());
    assert_eq!((known, order(&polish).expect_changes), (Some("s-1"), true));
    end(&rig, &mut ant, &polish, record(AgentClass::Done, None), None).await;
    assert_eq!(rig.state(&job).await, "COMPLETED");
}

#[tokio::test]
pub(crate) async fn what_agents_say_is_from_outside() {
    let rig = Rig::new().await;
    rig.upload(
        "job_type: flow\ntasks:\n  - task_type: a\n    agent: {cli: claude, prompt: x}\n    on_completed: b\n  - task_type: b\n    \
         script: [\"eval {{ tasks.a.outputs.message }}\"]\n",
    )
    .await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let assignment = next(&rig, &mut ant).await;
    let mut known = record(AgentClass::Done, None);
    known.final_message = "rm -rf /".to_owned();
    end(&rig, &mut ant, &assignment, known, None).await;
    ant.work(&rig.queen).await;
    assert_eq!(rig.tasks(&job).await, ["a COMPLETED 1 1 0", "b FAILED 1 1 -"]);
    let why = rig.rows("SELECT error_message FROM tasks WHERE name = 'b'").await.concat();
    assert!(why.contains("comes from outside") || why.contains("from outside"), "{why}");
}

#[tokio::test]
pub(crate) async fn classes_are_routed_by_name_and_by_number() {
    for (class, state) in
        [(AgentClass::Blocked, "BLOCKED"), (AgentClass::Stalled, "COMPLETED"), (AgentClass::Error, "FAILED")]
    {
        let rig = Rig::new().await;
        rig.upload(
            "job_type: flow\ntasks:\n  - task_type: a\n    agent: {cli: claude, prompt: x}\n    on_exit_code: {BLOCKED: END_BLOCKED, 12: END_COMPLETED}\n",
        )
        .await;
        let job = rig.submit("flow").await;
        let mut ant = Ant::new("ant", 1);
        let assignment = next(&rig, &mut ant).await;
        end(&rig, &mut ant, &assignment, record(class, None), None).await;
        assert_eq!(rig.state(&job).await, state, "{class:?}");
    }
}

#[tokio::test]
pub(crate) async fn what_cannot_be_told_to_an_agent_is_invalid_and_says_so() {
    for (keys, sentence) in [
        (
            "directory: \"{{ Task }}\"",
            "agent.directory: \"../../etc\" must be a path inside TASK_DIR or `$JOB_WORKSPACE/`",
        ),
        ("model: \"-{{ Task }}\"", "agent.model: \"-../../etc\" cannot be the name of a model"),
    ] {
        let rig = Rig::new().await;
        rig.upload(&format!(
            "job_type: flow\nparams: {{Task: {{}}}}\ntasks:\n  - task_type: a\n    agent:\n      cli: claude\n      prompt: x\n      {keys}\n"
        ))
        .await;
        let params = json!({"Task": "../../etc"}).as_object().cloned().unwrap_or_default();
        let request = SubmitRequest { job_type: "flow".to_owned(), params, ..SubmitRequest::default() };
        rig.queen.submit(request, "test", None).await.expect("the job is taken");
        let mut ant = Ant::new("ant", 1);
        assert!(ant.poll(&rig.queen).await.assignments.is_empty());
        assert_eq!(rig.rows("SELECT result, error_message FROM attempts").await, [format!("INVALID {sentence}")]);
    }
}

#[tokio::test]
pub(crate) async fn an_ant_of_an_older_version_is_given_nothing_that_it_cannot_read() {
    let rig = Rig::new().await;
    rig.upload("job_type: flow\ntasks: [{task_type: think, agent: {cli: claude, prompt: Think.}}]").await;
    let mut old = Ant::new("old", 1);
    old.methods.clear();
    old.poll(&rig.queen).await;
    let job = rig.submit("flow").await;
    assert!(old.poll(&rig.queen).await.assignments.is_empty());
    let reason = rig.rows(&format!("SELECT reason FROM attempts WHERE job_id = '{job}'")).await.concat();
    assert_eq!(reason, "waits for an ant that can do AGENT tasks: no connected ant can; older versions cannot");
    assert_eq!(rig.queen.ants().await.unwrap()[0].tags, Vec::<String>::new());
    let mut new = Ant::new("new", 1);
    assert_eq!(new.poll(&rig.queen).await.assignments[0].task, "think");
}
