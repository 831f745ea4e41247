//! Jobs over HTTP.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use super::rig::TestServer;
use crate::queen::rig::{Ant, definition};

async fn with_flow() -> TestServer {
    let server = TestServer::start().await;
    let source = definition(
        "params:\n  Issue: {type: string, default: none}",
        &[
            ("first", "on_completed: second"),
            ("second", "on_completed: third"),
            ("third", ""),
            ("never", "dependencies: [third]"),
        ],
    );
    assert_eq!(server.upload(&source).await.status, 201);
    server
}

#[tokio::test]
async fn a_submitted_job_is_accepted_and_found() {
    let server = with_flow().await;
    for path in ["/api/v1/jobs", "/api/jobs/requests"] {
        let answer = server.post(path, &json!({"job_type": "flow", "params": {"Issue": "7"}})).await;
        assert_eq!(answer.status, 202);
        let id = answer.json()["job_id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("/api/v1/jobs/{id}"));
        assert_eq!(answer.json()["href"], answer.header("location"));
        let job = server.get(answer.header("location")).await.json();
        assert_eq!(
            (&job["job_id"], &job["params"]["Issue"], &job["submitted_by"]),
            (&json!(id), &json!("7"), &json!("api"))
        );
    }
    let found = server.post("/api/v1/jobs", &json!({"job_type": "flow", "params": {"Isue": 1}})).await.problem();
    assert!(found.starts_with("422 ") && found.contains("params.Isue"), "{found}");
    assert_eq!(
        server.post("/api/v1/jobs", &json!({"job_type": "none"})).await.problem(),
        "404 NOT_FOUND: definition none not found"
    );
}

#[tokio::test]
async fn an_idempotency_key_gives_the_same_job_again() {
    let server = with_flow().await;
    let submit = |key: &str, issue: &str| {
        let body = json!({"job_type": "flow", "params": {"Issue": issue}});
        server.request(Method::POST, "/api/v1/jobs").header("idempotency-key", key.to_owned()).json(&body)
    };
    let first = server.send(submit("k1", "1")).await.json();
    assert_eq!(server.send(submit("k1", "1")).await.json()["job_id"], first["job_id"]);
    assert_ne!(server.send(submit("k2", "1")).await.json()["job_id"], first["job_id"]);
    let other = server.send(submit("k1", "2")).await;
    assert_eq!(other.status, 422, "{other:?}");
    for bad in ["", "a b", &"k".repeat(256)] {
        assert_eq!(
            server.send(submit(bad, "1")).await.problem(),
            "400 BAD_REQUEST: Idempotency-Key must be 1 to 255 visible ASCII characters"
        );
    }
}

#[tokio::test]
async fn a_job_shows_tasks_in_order_of_first_start_with_attempts_and_routes() {
    let server = with_flow().await;
    let id = server.submit("flow").await;
    let before = server.get(&format!("/api/v1/jobs/{id}")).await;
    let names = |job: &Value| {
        job["tasks"].as_array().unwrap().iter().map(|t| t["task_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&before.json()), ["first", "second", "third", "never"]);
    let mut ant = Ant::new("ant", 1).with_code("third", &[3]);
    ant.outputs.insert("first".to_owned(), [("answer".to_owned(), json!(42))].into_iter().collect());
    ant.artifacts.insert("first".to_owned(), vec![server.blob("plan.md", b"# plan").await]);
    ant.work(server.server.queen()).await;

    let job = server.get(&format!("/api/v1/jobs/{id}")).await.json();
    assert_eq!(job["state"], "FAILED", "{job:#}");
    assert_eq!(names(&job), ["first", "second", "third", "never"]);
    let first = &job["tasks"][0];
    assert_eq!(
        (&first["state"], &first["result"], &first["exit_code"], &first["route"], &first["outputs"]["answer"]),
        (&json!("COMPLETED"), &json!("COMPLETED"), &json!(0), &json!("second"), &json!(42))
    );
    assert_eq!(first["artifacts"][0]["name"], "plan.md");
    assert_eq!(first["attempt_list"][0]["number"], 1);
    let second = &job["tasks"][1];
    assert_eq!(second["attempt_list"][0]["routed_from"][0]["task"], "first");
    let third = &job["tasks"][2];
    assert_eq!((&third["state"], &third["exit_code"]), (&json!("FAILED"), &json!(3)));
    assert_eq!(third["error"]["code"], "EXIT_CODE");
    let never = &job["tasks"][3];
    assert_eq!(
        (&never["state"], &never["result"], &never["skip_reason"], &never["started_at"]),
        (&json!("SKIPPED"), &json!("upstream_failed"), &json!("upstream_failed"), &Value::Null)
    );
    let again = server.request(Method::GET, &format!("/api/v1/jobs/{id}"));
    let changed = server.send(again.header("if-none-match", before.header("etag"))).await;
    assert_eq!(changed.status, 200);
    for hostile in ["job_none", "..%2f..%2fetc", "%00", "a'%20OR%201=1"] {
        let answer = server.get(&format!("/api/v1/jobs/{hostile}")).await;
        assert!(answer.problem().starts_with("404 NOT_FOUND: job "), "{hostile}");
    }
}

#[tokio::test]
async fn jobs_are_listed_newest_first_filtered_and_in_pages() {
    let server = with_flow().await;
    server.upload(&definition("", &[("a", "")]).replace("flow", "other")).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(server.submit("flow").await.0);
    }
    let other = server.post("/api/v1/jobs", &json!({"job_type": "other", "user_key": "K-1"})).await.json();
    ids.push(other["job_id"].as_str().unwrap().to_owned());
    ids.reverse();
    let listed = async |query: &str| -> Vec<String> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = server.get(&format!("/api/v1/jobs?{query}{cursor}")).await.json();
            found.extend(page["items"].as_array().unwrap().iter().map(|j| j["job_id"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    assert_eq!(listed("limit=2").await, ids);
    assert_eq!(listed("limit=3").await, ids);
    assert_eq!(listed("job_type=flow&limit=1").await, ids[1..]);
    assert_eq!(listed("user_key=K-1").await, ids[..1]);
    assert_eq!(listed("text=k-1").await, ids[..1]);
    assert_eq!(listed("text=100%25%27").await, [""; 0]);
    let oldest = &ids[5];
    server.post(&format!("/api/v1/jobs/{oldest}/cancel"), &json!({})).await;
    assert_eq!(listed("state=CANCELLED&state=COMPLETED").await, ids[5..]);
    assert_eq!(listed("state=CANCELLED,COMPLETED").await, ids[5..]);
    let at = server.get(&format!("/api/v1/jobs/{}", ids[3])).await.json()["created_at"].as_str().unwrap().to_owned();
    assert_eq!(listed(&format!("created_after={at}&limit=2")).await, ids[..4]);
    assert_eq!(listed(&format!("created_before={at}")).await, ids[4..]);
}

#[tokio::test]
async fn commands_answer_with_the_state_afterwards() {
    let server = with_flow().await;
    let id = server.submit("flow").await;
    let command = async |verb: &str, body: Value| server.post(&format!("/api/v1/jobs/{id}/{verb}"), &body).await;
    let paused = command("pause", json!({})).await;
    assert_eq!((paused.status.as_u16(), &paused.json()["state"]), (202, &json!("PAUSED")));
    assert_ne!(command("resume", json!({})).await.json()["state"], "PAUSED");
    let found = command("retry", json!({})).await.problem();
    assert!(found.starts_with("409 "), "{found}");
    let bare = server.send(server.request(Method::POST, &format!("/api/v1/jobs/{id}/cancel"))).await;
    assert_eq!((bare.status.as_u16(), &bare.json()["state"]), (202, &json!("CANCELLED")));
    assert_eq!(command("cancel", json!({"reason": "again", "force": true})).await.status, 202, "cancel is idempotent");
    assert!(command("cancel", json!({"why": 1})).await.problem().contains("unknown field `why`"));
    assert!(command("pause", json!({"x": 1})).await.problem().contains("unknown field `x`"));
    assert!(command("rerun", json!({})).await.problem().contains("missing field `from`"));
    let unknown = command("rerun", json!({"from": "nowhere"})).await.problem();
    assert!(unknown.contains("nowhere"), "{unknown}");
    let rerun = command("rerun", json!({"from": "first"})).await;
    assert_eq!(rerun.status, 202, "{rerun:?}");
    assert_eq!(
        server.post("/api/v1/jobs/job_none/cancel", &json!({})).await.problem(),
        "404 NOT_FOUND: job job_none not found"
    );
}

#[tokio::test]
async fn a_job_shows_the_latest_attempts_and_says_where_all_are() {
    let server = TestServer::start().await;
    let items: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    let fan_out = format!("fan_out: {{items: [{}]}}", items.join(", "));
    assert_eq!(
        server.upload(&definition("", &[("many", &fan_out), ("one", "dependencies: [many]")])).await.status,
        201
    );
    let id = server.submit("flow").await;
    Ant::new("ant", 30).work(server.server.queen()).await;
    let job = server.get(&format!("/api/v1/jobs/{id}")).await.json();
    assert_eq!(job["state"], "COMPLETED");
    let (many, one) = (&job["tasks"][0], &job["tasks"][1]);
    let numbers = |list: &Value| list.as_array().unwrap().iter().map(|a| a["number"].clone()).collect::<Vec<_>>();
    assert_eq!(numbers(&many["attempt_list"]), (11..=30).map(Value::from).collect::<Vec<_>>());
    assert_eq!((&many["attempts"], &one["attempts"]), (&json!(30), &json!(1)));
    assert_eq!(many["outputs"]["results"].as_array().unwrap().len(), 30);
    assert_eq!(job["attempts_href"], format!("/api/v1/jobs/{id}/attempts"));

    let href = job["attempts_href"].as_str().unwrap();
    let all = async |query: &str| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("{href}?limit=7{query}{cursor}")).await.json();
            found.extend(page["items"].as_array().unwrap().iter().map(|one| {
                format!("{} {} {}", one["number"], one["task_type"].as_str().unwrap(), one["state"].as_str().unwrap())
            }));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    let mut expected: Vec<String> = (1..=30).map(|number| format!("{number} many FINISHED")).collect();
    assert_eq!(all("&task=many").await, expected);
    expected.push("31 one FINISHED".to_owned());
    assert_eq!(all("").await, expected);
    assert_eq!(all("&order=oldest").await, expected);
    expected.reverse();
    assert_eq!(all("&order=newest").await, expected);
    assert_eq!(all("&order=newest&task=many").await, expected[1..]);
    let page = server.get(&format!("{href}?order=newest&limit=7")).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let problem = server.get(&format!("{href}?limit=7&cursor={cursor}")).await.problem();
    assert!(problem.starts_with("400 BAD_CURSOR: "), "{problem}");
    let problem = server.get(&format!("{href}?order=last")).await.problem();
    assert!(problem.ends_with("(order: order \"last\": oldest or newest is expected)"), "{problem}");
    let problem = server.get(&format!("{href}?task=none")).await.problem();
    assert_eq!(problem, format!("404 NOT_FOUND: task none of the job {id} not found"));
    assert_eq!(server.get("/api/v1/jobs/job_0/attempts").await.problem(), "404 NOT_FOUND: job job_0 not found");
}

#[tokio::test]
async fn a_text_is_looked_for_in_so_many_jobs_at_a_time() {
    let server = with_flow().await;
    let needle = server.post("/api/v1/jobs", &json!({"job_type": "flow", "user_key": "needle"})).await.json();
    let options = SqliteConnectOptions::new().filename(server.dir.path().join("atta.db"));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001)
         INSERT INTO jobs (id, job_type, version, state, priority, params, submitted_by, created_at, finished_at)
         SELECT 'job_z' || printf('%05d', i), job_type, version, 'SKIPPED', 2, '{}', 'test', created_at + i, 1
         FROM n, (SELECT job_type, version, created_at FROM jobs)",
    )
    .execute(&mut other)
    .await
    .unwrap();
    other.close().await.unwrap();
    let first = server.get("/api/v1/jobs?text=needle").await.json();
    assert_eq!(first["items"], json!([]));
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = server.get(&format!("/api/v1/jobs?text=needle&cursor={cursor}")).await.json();
    assert_eq!((&second["items"][0]["job_id"], &second["next_cursor"]), (&needle["job_id"], &Value::Null));
    // Counting looks at as many of each state, and says where there may be more.
    let counts = server.get("/api/v1/jobs/counts?text=needle").await.json();
    assert_eq!((&counts["total"], &counts["at_least"]), (&json!(1), &json!(["SKIPPED"])));
    let counts = server.get("/api/v1/jobs/counts").await.json();
    assert_eq!((&counts["states"]["SKIPPED"], &counts["at_least"]), (&json!(10_000), &json!(["SKIPPED"])));
    // Several states together keep the order.
    let mixed =
        server.get("/api/v1/jobs?state=SKIPPED,RUNNING&created_before=2999-01-01T00:00:00Z&limit=2").await.json();
    assert_eq!(mixed["items"][1]["job_id"], "job_z10000");
}

#[tokio::test]
async fn jobs_are_counted_with_the_filters_of_the_list() {
    let server = with_flow().await;
    server.upload(&definition("labels: {team: core, \"a b\": x}", &[("a", "")]).replace("flow", "other")).await;
    for _ in 0..3 {
        server.submit("flow").await;
    }
    let other = server.submit("other").await;
    server.post(&format!("/api/v1/jobs/{other}/cancel"), &json!({})).await;
    let counts = async |query: &str| server.get(&format!("/api/v1/jobs/counts{query}")).await.json();
    let needs = json!({"approvals": 0, "budgets": 0, "paused": 0, "blocked": 0});
    assert_eq!(
        counts("").await,
        json!({"states": {"RUNNING": 3, "CANCELLED": 1}, "total": 4, "at_least": [], "needs": needs})
    );
    for (query, total) in [
        ("?state=RUNNING,PAUSED", 3),
        ("?job_type=other", 1),
        ("?text=OTHER", 1),
        ("?label=team:core", 1),
        ("?label=team&label=a%20b:x", 1),
        ("?label=team:web", 0),
        ("?user_key=none", 0),
        ("?created_after=2999-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(counts(query).await["total"], total, "{query}");
    }
    let listed = server.get("/api/v1/jobs?label=team:core").await.json();
    assert_eq!(listed["items"][0]["labels"], json!({"team": "core", "a b": "x"}));
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let job = server.get(&format!("/api/v1/jobs/{other}")).await.json();
    assert_eq!(job["labels"], json!({"team": "core", "a b": "x"}));
    assert_eq!(server.get("/api/v1/definitions/other").await.json()["labels"], job["labels"]);
    let ended = server.get("/api/v1/jobs?order=finished").await.json();
    assert_eq!((&ended["items"][0]["job_id"], ended["items"].as_array().unwrap().len()), (&json!(other), 1));

    let refused = async |query: &str| server.get(&format!("/api/v1/jobs{query}")).await.problem();
    let begin = "400 BAD_QUERY: the request's query is not valid";
    assert_eq!(
        refused("?label=:core").await,
        format!("{begin} (label: label \":core\": `name:value` is expected, or a name alone)")
    );
    assert_eq!(
        refused(&format!("/counts?{}", "label=a&".repeat(11))).await,
        format!("{begin} (label: at most 10 labels may be asked for at once)")
    );
    assert_eq!(
        refused("?order=finished&state=RUNNING").await,
        format!(
            "{begin} (order: order \"finished\" is one of jobs that have ended, and a job that is RUNNING has not)"
        )
    );
    assert_eq!(
        refused("?order=newest").await,
        format!("{begin} (order: order \"newest\": created or finished is expected)")
    );
    assert!(refused("/counts?limit=3").await.contains("there is no such query parameter"));
    assert!(refused("/counts?state=ALL").await.contains("one of PENDING, RUNNING"));
}

#[tokio::test]
async fn the_command_of_an_attempt_is_answered_or_it_is_said_why_not() {
    let server = TestServer::start().await;
    server
        .send(
            server
                .request(Method::PUT, "/api/v1/configs/Token")
                .json(&json!({"value": "canary-98765", "secret": true})),
        )
        .await;
    let keys = "environment: {TOKEN: \"{{ secrets.Token }}\"}";
    server.upload(&definition("", &[("first", keys), ("second", "dependencies: [first]\ntags: [none]")])).await;
    let id = server.submit("flow").await;
    let get = async |number: &str| server.get(&format!("/api/v1/jobs/{id}/attempts/{number}/command")).await;
    assert_eq!(
        get("1").await.problem(),
        "404 COMMAND_NOT_GIVEN: no ant was told anything in attempt 1: it waits for one, ended before, or the server itself does what it is about"
    );
    Ant::new("ant", 1).work(server.server.queen()).await;
    let answer = get("1").await;
    let command = answer.json();
    assert!(!String::from_utf8_lossy(&answer.body).contains("canary"), "{command:#}");
    assert_eq!(
        (&command["action"]["method"], &command["action"]["script"]["text"]),
        (&json!("SHELL"), &json!("echo first\n"))
    );
    let environment = command["environment"].as_array().unwrap();
    assert!(environment.contains(&json!({"name": "TOKEN", "value": "***", "secret": true})), "{command:#}");
    assert_eq!((&command["secrets"], &command["directory"]), (&json!(["Token"]), &json!("TASK_DIR")));
    let again = server.request(Method::GET, &format!("/api/v1/jobs/{id}/attempts/1/command"));
    assert_eq!(server.send(again.header("if-none-match", answer.header("etag"))).await.status, 304);
    assert!(get("2").await.problem().starts_with("404 COMMAND_NOT_GIVEN: no ant was told anything in attempt 2: "));
    assert_eq!(get("3").await.problem(), format!("404 NOT_FOUND: attempt 3 of the job {id} not found"));
    assert_eq!(
        server.get("/api/v1/jobs/job_0/attempts/1/command").await.problem(),
        "404 NOT_FOUND: job job_0 not found"
    );
    let options = SqliteConnectOptions::new().filename(server.dir.path().join("atta.db"));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("DELETE FROM attempt_commands").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    assert_eq!(
        get("1").await.problem(),
        "404 COMMAND_NOT_KEPT: what the ant was told in attempt 1 is not kept: an earlier version of the server gave it out, or it could not be told without a secret"
    );
}
