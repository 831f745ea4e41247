//! Budgets over the whole program: fifty agents at once under one budget, each with a journal of its own.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::live_server::{LiveServer, wait_for};

const AGENTS: u64 = 50;
/// Turns that the work of each takes.
const TURNS: u64 = 8;
/// What a turn of the first agent costs; of each other one a millionth more than of the one before.
const TURN: u64 = 10_007;
/// For about half of the work.
const BUDGET: u64 = 2_000_000;

/// Speaks the line protocol. What it pays stands in its journal before anybody is told. Nobody begins before all are there,
/// and the next turn begins, as with a model, some time after the last one was heard.
fn stand_in(shared: &Path) -> String {
    let shared = shared.display();
    format!(
        r#"cat >/dev/null
journal={shared}/journal-$ITEM
: >>"$journal"
echo '{{"type":"session","id":"'"${{ATTA_AGENT_SESSION:-session-$ITEM}}"'"}}'
echo "${{ATTA_AGENT_SESSION:-new}}" >>{shared}/sessions-$ITEM
set -- {shared}/journal-*
while [ $# -lt {AGENTS} ]; do sleep 0.5; set -- {shared}/journal-*; done
turns=$(wc -l <"$journal"); own=0
while [ "$turns" -lt {TURNS} ]; do
  turns=$((turns + 1)); own=$((own + 1)); cost=$(({TURN} + ITEM))
  echo "$cost" >>"$journal"
  echo '{{"type":"turn"}}'
  echo '{{"type":"usage","input":100,"output":10,"usd":0.0'"$cost"'}}'
  tries=0
  while ! grep -q '"turns": *'"$own"'[,}}]' ../agent/record.json && [ "$tries" -lt 200 ]; do tries=$((tries + 1)); sleep 0.3; done
  sleep 0.7
done
echo '{{"type":"result","text":"Done."}}'
"#
    )
}

fn definition(agent: &Path) -> String {
    let items: Vec<String> = (1..=AGENTS).map(|item| item.to_string()).collect();
    format!(
        "job_type: many\nbudget: {{usd: {}}}\ntasks:\n  - task_type: work\n    fan_out: {{items: [{}]}}\n    environment: {{ITEM: \"{{{{ item \
         }}}}\"}}\n    agent: {{cli: custom, command: [sh, {}], prompt: Work.}}\n",
        as_dollars(BUDGET),
        items.join(", "),
        agent.display()
    )
}

fn as_dollars(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// What each agent has paid, by its own journal.
fn journals(shared: &Path) -> Vec<u64> {
    let of = |item: u64| {
        let text = fs::read_to_string(shared.join(format!("journal-{item}"))).unwrap_or_default();
        text.lines().map(|line| line.parse::<u64>().expect("a number")).sum()
    };
    (1..=AGENTS).map(of).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "amounts are small and positive")]
fn micros(value: &Value) -> u64 {
    (value.as_f64().unwrap_or_else(|| panic!("{value} is no amount")) * 1e6).round() as u64
}

fn in_state(server: &LiveServer, job: &str, state: &str) -> Value {
    wait_for(&format!("the job to be {state}"), || {
        let shown = server.job(job);
        let now = shown["state"].as_str().unwrap_or_default().to_owned();
        assert!(
            now == state || !matches!(now.as_str(), "FAILED" | "COMPLETED"),
            "{now}: {:#}",
            shown["tasks"][0]["error"]
        );
        (now == state && shown["budget"]["open"] == 0).then_some(shown)
    })
}

#[test]
fn fifty_agents_at_once_never_overspend_a_budget_by_more_than_a_turn_each_and_all_sums_agree() {
    let directory = TempDir::with_prefix("atta-test-").expect("a directory");
    let shared = directory.path().join("shared");
    fs::create_dir(&shared).expect("it is writable");
    let agent = directory.path().join("agent.sh");
    fs::write(&agent, stand_in(&shared)).expect("it is writable");
    let file = directory.path().join("many.yaml");
    fs::write(&file, definition(&agent)).expect("it is writable");
    let server = LiveServer::start_as(crate::live_server::atta(), directory.path(), &["--slots", "50"]);
    let done = server.client(&["definitions", "upload", file.to_str().expect("UTF-8")]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let submitted = server.json(&["submit", "many", "--json"]);
    let job = submitted["job_id"].as_str().expect("an id").to_owned();

    // Each has used up its part, and one turn more at most.
    let paused = in_state(&server, &job, "PAUSED");
    let reason = paused["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("BUDGET: ") && reason.contains(" of 2.00 USD are used"), "{reason}");
    let paid = journals(&shared);
    let (part, turn) = (BUDGET / AGENTS, TURN + AGENTS);
    assert!(paid.iter().all(|paid| *paid > part && *paid <= part + 1 + turn), "{paid:?}");
    let total: u64 = paid.iter().sum();
    assert!(total <= BUDGET + AGENTS * turn, "{total}");
    assert_eq!((micros(&paused["agents"]["cost_usd"]), micros(&paused["budget"]["used"]["usd"])), (total, total));
    assert_eq!(paused["agents"]["attempts"], AGENTS);

    // With more they go on in their sessions, to the end.
    let done = server.client(&["resume", &job, "--budget", "usd=6"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let completed = in_state(&server, &job, "COMPLETED");
    let paid = journals(&shared);
    let expected: Vec<u64> = (1..=AGENTS).map(|item| TURNS * (TURN + item)).collect();
    assert_eq!(paid, expected, "no turn was paid for twice");
    let total: u64 = paid.iter().sum();
    assert_eq!((micros(&completed["agents"]["cost_usd"]), micros(&completed["budget"]["used"]["usd"])), (total, total));
    let sessions = fs::read_to_string(shared.join("sessions-7")).expect("it was there");
    assert_eq!(sessions, "new\nsession-7\n");
    let report = server.json(&["budget", "--json"]);
    assert_eq!(micros(&report["budgets"][0]["used"]["usd"]), total, "{report:#}");
    server.stop();
}
