//! What a job would do, over HTTP.

use serde_json::{Value, json};

use super::rig::TestServer;
use crate::queen::rig::definition;

const LOOP: &str = "job_type: green
params: {Publish: {type: boolean, default: true}}
tasks:
  - task_type: test
    max_visits: 4
    script: [./test]
    outputs: [verdict]
    on_exit_code: {COMPLETED: publish, 3: {goto: fix, max: 2}, FAILED: ERR_STILL_RED}
  - {task_type: fix, script: [./fix], on_completed: test}
  - task_type: publish
    when: \"{{ Publish and tasks.test.outputs.verdict == 'fine' }}\"
    script: [./publish]
";

async fn rehearse(server: &TestServer, body: &Value) -> Value {
    let answer = server.post("/api/v1/definitions:rehearse", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn refused(server: &TestServer, body: &Value) -> String {
    server.post("/api/v1/definitions:rehearse", body).await.problem()
}

/// `task text` of each step.
fn story(rehearsal: &Value) -> Vec<String> {
    let steps = rehearsal["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| format!("{} {}", step["task"].as_str().unwrap_or("-"), step["text"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_text_and_a_stored_version_are_played_with_what_is_assumed() {
    let server = TestServer::start().await;
    let plain = rehearse(&server, &json!({"source": LOOP})).await;
    assert_eq!(story(&plain), ["test COMPLETED", "test COMPLETED → publish", "fix not_reached", "publish COMPLETED"]);
    let assumed = plain["assumed"][0].as_str().unwrap();
    assert!(assumed.starts_with("the condition of publish holds, because it cannot be known here: "), "{assumed}");
    assert_eq!(server.get("/api/v1/definitions").await.json()["items"], json!([]), "nothing was stored");
    let version = server.upload(&format!("version: 1.0.0\n{LOOP}")).await.json()["version"].clone();
    server.upload(&LOOP.replace("./publish", "./other")).await;
    let outputs = json!({"test": {"results": ["3", "0"], "outputs": {"verdict": "bad"}}});
    for (stored, assume) in [
        (json!({"job_type": "green"}), &outputs),
        (json!({"job_type": "green", "version": "1.0.0"}), &outputs),
        (json!({"job_type": "green", "version": version}), &outputs),
    ] {
        let mut body = stored;
        body["assume"] = assume.clone();
        let told = rehearse(&server, &body).await;
        assert_eq!((&told["verdict"], &told["assumed"]), (&json!("COMPLETED"), &json!([])), "{told:#}");
        assert_eq!(
            story(&told),
            [
                "test exit 3",
                "test 3 → fix",
                "fix COMPLETED",
                "fix COMPLETED → test",
                "test COMPLETED",
                "test COMPLETED → publish",
                "publish when"
            ]
        );
    }
    let off = json!({"source": LOOP, "params": {"Publish": false}, "assume": {"test": {"results": ["FAILED"]}}});
    let told = rehearse(&server, &off).await;
    assert_eq!((&told["verdict"], &told["error_code"]), (&json!("FAILED"), &json!("ERR_STILL_RED")), "{told:#}");
    let when = json!({"source": LOOP, "assume": {"publish": {"when": false}}});
    assert_eq!(rehearse(&server, &when).await["tasks"][2]["state"], "SKIPPED");
}

#[tokio::test]
async fn neither_configs_nor_secrets_are_told() {
    let server = TestServer::start().await;
    for (name, body) in
        [("Plain", json!({"value": "canary-config"})), ("Hidden", json!({"value": "canary-secret-1", "secret": true}))]
    {
        let request = server.request(reqwest::Method::PUT, &format!("/api/v1/configs/{name}"));
        assert_eq!(server.send(request.json(&body)).await.status, 200);
    }
    let source = definition(
        "skip_if: \"{{ configs.Plain == 'canary-config' }}\"",
        &[
            ("a", "when: \"{{ configs.Plain == 'x' }}\"\nenvironment: {A: \"{{ secrets.Hidden }}\"}"),
            ("b", "fan_out: {items: \"{{ configs.Plain }}\"}"),
        ],
    );
    let told = rehearse(&server, &json!({"source": source})).await;
    let text = told.to_string();
    assert!(!text.contains("canary"), "{text}");
    assert_eq!(told["assumed"].as_array().unwrap().len(), 3, "{told:#}");
}

#[tokio::test]
async fn what_cannot_be_played_is_explained() {
    let server = TestServer::start().await;
    server.upload(LOOP).await;
    let which = "422 INVALID_REQUEST: the request does not name one definition (source: either `source` is expected, or `job_type` and perhaps `version`)";
    for body in [json!({}), json!({"source": LOOP, "job_type": "green"}), json!({"source": LOOP, "version": "1"})] {
        assert_eq!(refused(&server, &body).await, which);
    }
    assert_eq!(refused(&server, &json!({"job_type": "none"})).await, "404 NOT_FOUND: definition none not found");
    assert_eq!(
        refused(&server, &json!({"job_type": "green", "version": "9"})).await,
        "404 NOT_FOUND: version 9 of definition green not found"
    );
    let bad = refused(&server, &json!({"source": "job_type: a\ntasks: []\n", "file": "a.yaml"})).await;
    assert!(
        bad.starts_with("422 INVALID_DEFINITION: a.yaml has 1 problem(s); so nothing can be said (a.yaml:2:"),
        "{bad}"
    );
    let params = refused(&server, &json!({"job_type": "green", "params": {"Publsh": 1, "Publish": "maybe"}})).await;
    assert!(params.starts_with("422 INVALID_PARAMS: the params do not fit the definition (params.Publ"), "{params}");
    let assume = json!({"tst": {"when": true}, "test": {"results": ["900"]}, "fix": {"items": 4_000_000}});
    let found = refused(&server, &json!({"job_type": "green", "assume": assume})).await;
    assert!(found.starts_with("422 INVALID_ASSUMPTION: what is assumed does not fit green (assume.tst: this assumes something of the task tst, which the definition does not have; did you mean test?; assume.test.results: \"900\" is no result"), "{found}");
    assert!(found.contains("assume.fix.items: 4000000 is no number of items: a fan_out may have "), "{found}");
    let unknown = refused(&server, &json!({"job_type": "green", "assume": {"test": {"result": []}}})).await;
    assert!(unknown.contains("unknown field `result`"), "{unknown}");
    // The clock of these tests moves on whenever it is looked at.
    let long = definition("", &[("many", "fan_out: {items: [1]}")]);
    let found = refused(&server, &json!({"source": long, "assume": {"many": {"items": 3_000}}})).await;
    assert_eq!(
        found,
        "422 REHEARSAL_TOO_LONG: it takes too long to find out what the job does: assume results that lead to its end sooner, or fewer items"
    );
}
