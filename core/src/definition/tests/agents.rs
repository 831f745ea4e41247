//! AGENT tasks.

use std::time::Duration;

use super::{definition, problems};
use crate::definition::*;
use crate::engine::AgentClass;
use crate::protocol::agent::{AgentCli, AgentPermission, MicroUsd};

fn agent(keys: &str) -> String {
    let keys = keys.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!("job_type: a\ntasks:\n- task_type: t\n  agent:\n{keys}")
}

/// A task with a prompt, and these keys from line 7.
fn told(keys: &str) -> String {
    agent(&format!("cli: claude\nprompt: Go on.\n{keys}"))
}

#[track_caller]
fn only(source: &str, expected: &str) {
    assert_eq!(problems(source), [expected]);
}

fn options(job: &JobDefinition, task: usize) -> &AgentOptions {
    job.tasks[task].method.agent().expect("an agent")
}

#[test]
fn an_agent_is_read_with_all_its_keys() {
    let job = definition(
        "job_type: a
workspace: {scope: job}
job_variables: {Model: big}
tasks:
- task_type: plan
  agent: {cli: codex, prompt_file: \"$JOB_WORKSPACE/{{ TaskType }}.md\", permission: read, vote: 3, verdict: {schema: {type: object, properties: {ok: {}}}, asks: 2, required: false, vote_fields: [ok]}}
  on_completed: work
- task_type: work
  method: AGENT
  retry: 2
  retry_on: [RATE_LIMITED, 12]
  idle_timeout: 5m
  agent:
    cli: \"{{ Model }}\"
    command: [/opt/agent, 7]
    prompt: \"{{ tasks.plan.outputs.verdict | tojson }}\"
    system: Be brief.
    skills: [plan, two-pass]
    model: \"{{ Model }}\"
    max_turns: 20
    max_tokens: 500000
    max_usd: 1.5
    allowed_tools: [\"Bash(git:*)\"]
    permission: full
    resume: work
    fallback: [{model: small}, {cli: gemini, on: [CONTEXT, ERROR]}]
    directory: $JOB_WORKSPACE
    start_timeout: 1m
    after_result: 0s
    expect_changes: true
  on_exit_code: {DONE: END_COMPLETED, 4: FATAL, \"5-8\": FAILED, STALLED: RESTART_TASK}
",
    );
    let plan = options(&job, 0);
    assert_eq!((plan.cli.value(), plan.permission, plan.vote), (Some(&AgentCli::Codex), AgentPermission::Read, 3));
    assert!(matches!(&plan.prompt, PromptSource::File(_)));
    let verdict = plan.verdict.as_ref().unwrap();
    assert_eq!((verdict.asks, verdict.required, verdict.vote_fields.as_slice()), (2, false, &["ok".to_owned()][..]));
    assert_eq!((plan.start_timeout.value(), plan.track_changes), (Some(&Duration::from_mins(2)), true));
    let work = options(&job, 1);
    assert!(work.cli.value().is_none());
    assert_eq!(work.command, ["/opt/agent", "7"]);
    assert_eq!(work.max_usd, Some(Field::Value(MicroUsd(1_500_000))));
    assert_eq!(work.resume.as_ref().unwrap().task, "work");
    assert_eq!(work.fallback[0].on, [AgentClass::RateLimited, AgentClass::Auth]);
    assert_eq!(work.fallback[1].on, [AgentClass::Context, AgentClass::Error]);
    assert_eq!(work.templates().count(), 5);
    let task = &job.tasks[1];
    assert_eq!(task.routes[0].matches, RouteMatch::Agent(AgentClass::Done));
    assert_eq!(task.routes[1].matches, RouteMatch::Code(4));
    assert_eq!(task.retry.retry_on[0], RouteMatch::Agent(AgentClass::RateLimited));
    assert!(task.output_names().any(|name| name == "verdict"));

    let resolved = job.resolve_fields(&mut |_| Ok("aider".to_owned())).unwrap();
    assert_eq!(options(&resolved, 1).cli, Field::Value(AgentCli::Aider));
    let problems = job.resolve_fields(&mut |_| Ok("aidr".to_owned())).unwrap_err();
    assert!(problems[0].message.starts_with("`agent.cli of the task work`: it must be claude, codex,"), "{problems:?}");
}

#[test]
fn what_an_agent_lacks_is_said() {
    only(
        "job_type: a\ntasks:\n- task_type: t\n  method: AGENT\n",
        "3:3 E-MISSING-KEY: this AGENT task has no `agent` (write `agent: {cli: claude, prompt: \"Make the tests pass.\"}`)",
    );
    only(
        &agent("prompt: x"),
        "4:3 E-MISSING-KEY: `agent` does not say which program it is: it needs `cli` (write claude, codex, gemini, opencode, goose, copilot, cursor, aider or custom)",
    );
    only(
        &agent("cli: claude"),
        "4:3 E-MISSING-KEY: this agent is not told what to do: it needs `prompt` or `prompt_file` (write `prompt: \"Make the tests pass.\"`)",
    );
    only(&agent("cli: claude\nprompt: \" \""), "6:13 E-VALUE: `prompt` is empty: the agent has nothing to do");
    only(
        &told("prompt_file: b"),
        "7:5 E-CONFLICT: `prompt` and `prompt_file` exclude each other: an agent is told one thing (keep one; a prompt can name files that the agent is to read)",
    );
    only(
        &agent("cli: custom\nprompt: x"),
        "4:3 E-MISSING-KEY: `cli: custom` needs `command`: there is no usual program of that name (name the program and its arguments: `command: [./my-agent, --json]`)",
    );
    only(
        &agent("cli: cloude\nprompt: x"),
        "5:10 E-VALUE: `cli` must be claude, codex, gemini, opencode, goose, copilot, cursor, aider or custom, and this is the text \"cloude\" (did you mean claude?)",
    );
    only(
        &told("command: [\"{{ TaskType }}\"]"),
        "7:14 E-VALUE: `agent.command` cannot hold a template (values reach the program by the prompt or by `environment`)",
    );
    only(&told("command: []"), "7:14 E-VALUE: `agent.command` names no program");
    only(&told("instructions: x"), "7:5 E-UNKNOWN-KEY: agent has no key `instructions` (did you mean `prompt`?)");
}

#[test]
fn limits_of_an_agent_are_amounts() {
    only(
        &told("max_usd: 0"),
        "7:14 E-RANGE: `max_usd` must be more than 0 and at most 1000000 US dollars, and 0 is not",
    );
    only(
        &told("max_usd: \"$5\""),
        "7:14 E-TYPE: `max_usd` must be an amount of US dollars, and this is the text \"$5\" (write dollars as a number: 2.50)",
    );
    only(&told("max_turns: 0"), "7:16 E-RANGE: `max_turns` must be between 1 and 100000, and 0 is not");
    only(
        &told("skills: [\"../x\"]"),
        "7:13 E-NAME: \"../x\" cannot be the name of a skill (names take letters, digits, `_` and `-`, at most 100)",
    );
    let source = "job_type: a\nparams: {Most: {}}\ntasks:\n- task_type: t\n  agent: {cli: claude, prompt: x, max_usd: \"{{ Most }}\"}\n";
    let job = definition(source);
    let usd = |text: &str| job.resolve_fields(&mut |_| Ok(text.to_owned()));
    assert_eq!(options(&usd("0.1").unwrap(), 0).max_usd, Some(Field::Value(MicroUsd(100_000))));
    assert_eq!(usd("much").unwrap_err()[0].message, "`agent.max_usd of the task t`: \"much\" is no number");
    let message = &usd("-1").unwrap_err()[0].message;
    assert!(message.ends_with("it must be more than 0 and at most 1000000 US dollars, and -1 is not"), "{message}");
}

#[test]
fn verdicts_and_votes_are_checked_when_they_arrive() {
    only(
        &told("verdict: {required: true}"),
        "7:14 E-MISSING-KEY: `verdict` does not say what a verdict looks like: it needs `schema` (write `schema: {type: object, required: [ok], properties: {ok: {type: boolean}}}`)",
    );
    let found = problems(&told("verdict: {schema: {type: objekt}}"));
    assert!(found[0].starts_with("7:23 E-SCHEMA: the schema of the verdict is not valid: at `type`: "), "{found:?}");
    assert!(found[0].ends_with("(it is a JSON Schema of the draft 2020-12, written as YAML)"), "{found:?}");
    only(
        &told("vote: 3"),
        "7:5 E-CONFLICT: `vote` needs `verdict`: what is counted are verdicts (say what a verdict looks like: `verdict: {schema: {…}}`)",
    );
    only(&told("vote: 10"), "7:11 E-RANGE: `vote` must be between 1 and 9, and 10 is not");
    only(
        &told("vote: 3\nresume: t\nverdict: {schema: {}}"),
        "8:13 E-CONFLICT: `resume` and `vote` exclude each other: voters must not know of one another (let one task go on with the session, and another one vote)",
    );
    only(
        &told("vote: 3\nverdict: {schema: {properties: {okay: {}}}, vote_fields: [okey]}"),
        "8:62 E-VALUE: `vote_fields` names okey, which the schema of the verdict does not have (did you mean okay?)",
    );
    only(
        &told("verdict: {schema: {}, vote_fields: [a]}"),
        "4:3 E-CONFLICT: `vote_fields` has no effect without `vote` (say how many sessions vote: `vote: 3`)",
    );
}

#[test]
fn a_session_comes_from_an_agent_that_ran_before() {
    let with = |tasks: &str, resume: &str| {
        format!(
            "job_type: a\ntasks:\n- task_type: t\n  dependencies: []\n  agent: {{cli: claude, prompt: x, resume: {resume}}}\n{tasks}"
        )
    };
    only(&with("", "tt"), "5:43 E-VALUE: `resume` names the task tt, which there is not (did you mean t?)");
    only(
        &with("- {task_type: s, dependencies: [], script: [x]}\n", "s"),
        "5:43 E-VALUE: `resume` names the task s, which is no AGENT task: it has no session (name an AGENT task that comes before this one, or this one)",
    );
    only(
        &with("- {task_type: s, dependencies: [], agent: {cli: claude, prompt: x}}\n", "s"),
        "5:43 E-VALUE: no path leads from s to t: there would be no session to go on with (add s to the dependencies of t)",
    );
    only(
        "job_type: a\ntasks:\n- {task_type: s, agent: {cli: codex, prompt: x}}\n- {task_type: t, dependencies: [s], agent: {cli: claude, prompt: x, resume: s}}\n",
        "4:77 E-CONFLICT: the session of s is one of codex, and claude cannot go on with it (let both tasks have the same `cli`, or pass on what matters by an artifact or an output)",
    );
}

#[test]
fn expected_changes_need_a_place_to_change() {
    only(
        &told("expect_changes: true"),
        "4:3 E-CONFLICT: `expect_changes` has nothing to look at: the job has no `workspace`, and the agent no `directory` (say where the checkout is: `directory: repository`, or give the job a `workspace`)",
    );
    only(
        &told("expect_changes: true\ndirectory: a\ntrack_changes: false"),
        "7:5 E-CONFLICT: `expect_changes` needs `track_changes`: nobody would know whether something changed (remove `track_changes: false`)",
    );
    only(
        &told("expect_changes: true\ndirectory: a\npermission: read"),
        "7:5 E-CONFLICT: `expect_changes` and `permission: read` exclude each other: this agent may change nothing (allow it: `permission: edit`)",
    );
    only(
        &told("directory: $JOB_WORKSPACE"),
        "7:16 E-PATH: `directory` is in `$JOB_WORKSPACE`, and the job has no `workspace` (give the job one: `workspace: {scope: job}`)",
    );
    only(
        &told("directory: ../x"),
        "7:16 E-PATH: the path \"../x\" in `directory` leads out of the task's directory (paths are relative to the directory in which the task runs, without `..`)",
    );
    only(
        &told("directory: $HOME/x"),
        "7:16 E-PATH: the path \"$HOME/x\" in `directory` begins with a variable other than $JOB_WORKSPACE (paths are relative to TASK_DIR, or begin with `$JOB_WORKSPACE/`)",
    );
}

#[test]
fn a_fallback_is_something_else_for_what_did_not_work_out() {
    only(
        &told("fallback: [{on: [ERROR]}]"),
        "7:16 E-MISSING-KEY: this fallback is the same again: it names neither `cli` nor `command` nor `model` (name another model or program; the same again is what `retry` does)",
    );
    only(
        &told("fallback: [{model: m, on: [DONE]}]"),
        "7:32 E-ROUTE-RESULT: a fallback is for what did not work out, and DONE did (name classes such as RATE_LIMITED, AUTH or STALLED)",
    );
    only(
        &told("fallback: [{model: m, on: [STALED]}]"),
        "7:32 E-ROUTE-RESULT: \"STALED\" is no class of an agent's work (did you mean STALLED?)",
    );
    only(
        &told("fallback: [{cli: custom}]"),
        "7:16 E-MISSING-KEY: `cli: custom` needs `command`: there is no usual program of that name (name the program and its arguments: `command: [./my-agent, --json]`)",
    );
}

#[test]
fn only_agents_have_classes_and_their_own_outputs() {
    let shell = |keys: &str| format!("job_type: a\ntasks:\n- task_type: t\n  script: [x]\n  {keys}\n");
    let help = "(other tasks have exit codes, COMPLETED, FAILED and results such as TIMED_OUT)";
    only(
        &shell("on_exit_code: {NO_VERDICT: FATAL}"),
        &format!("5:18 E-ROUTE-RESULT: NO_VERDICT is a class of an agent's work, and this is no AGENT task {help}"),
    );
    only(
        &shell("retry_on: [RATE_LIMITED]"),
        &format!("5:14 E-ROUTE-RESULT: RATE_LIMITED is a class of an agent's work, and this is no AGENT task {help}"),
    );
    let task =
        |keys: &str| format!("job_type: a\ntasks:\n- task_type: t\n  agent: {{cli: claude, prompt: x}}\n  {keys}\n");
    only(
        &task("on_exit_code: {13: FATAL}"),
        "5:18 E-RANGE: the number of an agent's class is between 0 and 12, and 13 is not (the exit code of its program is no result; see the classes in docs/reference/routes.md)",
    );
    only(
        &task("on_exit_code: {4: FATAL, NO_VERDICT: FAILED}"),
        "5:28 E-ROUTE-OVERLAP: 4 is the number of NO_VERDICT, so the results have two routes (each result can have one route of each kind: remove one or make the ranges meet without overlap)",
    );
    only(
        &task("outputs: [verdict]"),
        "5:13 E-RESERVED-NAME: an output of an AGENT task cannot be named verdict: every AGENT task has that one (choose another name)",
    );
    only(
        &task("script: [x]"),
        "5:3 E-OPTION: `script` is an option of SHELL, and this is a task of the method AGENT (AGENT has agent)",
    );
    let found =
        problems(&task("environment: {A: \"{{ secrets.T }}\"}").replace("prompt: x", "prompt: \"{{ secrets.T }}\""));
    assert!(found.iter().any(|one| one.contains("E-SECRET-PLACE")), "{found:?}");
}
