//! What jobs cost and achieve, asked of a real server.

use std::process::Output;

use serde_json::json;

use crate::live_server::{LiveServer, path, repository};
use crate::scratch::Scratch;

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_shipped_example_is_counted_with_its_rework() {
    let scratch = Scratch::new();
    let server = LiveServer::start(scratch.root(), &path());
    let nothing = text(&server.client(&["outcomes"]));
    assert_eq!(nothing, "No jobs with agents, or with an `outcome`, were submitted in this time.\n");
    let file = repository().join("workflows/examples").join("outcome.yaml");
    text(&server.client(&["definitions", "upload", &file.display().to_string()]));
    let job = server.json(&["submit", "example-outcome", "--json"])["job_id"].as_str().expect("an id").to_owned();
    assert_eq!(server.finished(&job)["state"], "COMPLETED");

    let found = server.json(&["outcomes", "--json", "--by", "repository", "--since", "1h"]);
    let figures = &found["groups"][0];
    assert_eq!(figures["key"], "acme/shop", "{found:#}");
    for (name, wanted) in [
        ("jobs", json!(1)),
        ("merged", json!(1)),
        ("pull_requests", json!(1)),
        ("attempts", json!(0)),
        ("first_time_right", json!(0.0)),
        ("cost_per_merged_usd", json!(0.0)),
    ] {
        assert_eq!(figures[name], wanted, "{name}: {found:#}");
    }
    assert_eq!(figures["rework"], json!({"count": 1, "median": 1.0, "mean": 1.0}));
    let lines = text(&server.client(&["outcomes", "--csv", "--all"]));
    assert_eq!(lines.lines().nth(1).map(|line| line.starts_with(",1,0,1,1,0,")), Some(true), "{lines}");
    let shown = text(&server.client(&["outcomes", "--by", "definition"]));
    assert!(shown.contains("right the first time    0 %\n") && shown.contains("example-outcome"), "{shown}");

    let wrong = server.client(&["outcomes", "--by", "colour"]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("one of definition, repository, agent, model, day, job is expected"), "{said}");
    let wrong = server.client(&["outcomes", "--since", "soon"]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("--since \"soon\" is neither a duration nor an instant."), "{said}");
}
