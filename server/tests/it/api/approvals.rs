//! Approvals over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use super::rig::{Answer, TestServer};

const ASK: &str = "job_type: ask\ntasks:\n- task_type: ask\n  approval: {users: [dave], roles: [release], min_approvals: 2, message: \"<script>alert(1)</script> & more\"}\n  on_exit_code: {REJECTED: END_BLOCKED}\n";

/// A server with one job that asks, and its approval's id.
async fn asking() -> (TestServer, String, String) {
    let server = TestServer::start().await;
    assert_eq!(server.upload(ASK).await.status, 201);
    let job = server.submit("ask").await.0;
    let open = server.get("/api/v1/approvals").await.json();
    let id = open["items"][0]["approval_id"].as_str().unwrap().to_owned();
    (server, job, id)
}

async fn vote(server: &TestServer, path: &str, user: Option<&str>, body: &Value) -> Answer {
    let mut request = server.request(Method::POST, path).json(body);
    if let Some(user) = user {
        request = request.header("x-atta-user", user);
    }
    server.send(request).await
}

async fn link(server: &TestServer, id: &str, voter: &str) -> String {
    let made = server.post(&format!("/api/v1/approvals/{id}/links"), &json!({"voter": voter})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("cache-control"), "no-store");
    made.json()["url"].as_str().unwrap().strip_prefix(&server.url("")).unwrap().to_owned()
}

fn yes() -> Value {
    json!({"decision": "approve"})
}

#[tokio::test]
async fn approvals_are_listed_and_voted_on() {
    let (server, job, id) = asking().await;
    let one = server.get(&format!("/api/v1/approvals/{id}")).await.json();
    assert_eq!(
        (&one["job_id"], &one["task"], &one["state"], &one["min_approvals"], &one["roles"][0]),
        (&json!(job), &json!("ask"), &json!("OPEN"), &json!(2), &json!("release"))
    );
    assert_eq!(server.get(&format!("/api/v1/jobs/{job}/approvals")).await.json()["items"][0], one);
    let listed = async |query: &str| {
        let page = server.get(&format!("/api/v1/approvals?{query}")).await.json();
        page["items"].as_array().unwrap().len()
    };
    for (query, count) in [
        ("voter=dave", 1),
        ("voter=carol", 1),
        ("voter=mallory", 0),
        ("job_type=ask", 1),
        ("job_type=other", 0),
        ("state=APPROVED", 0),
        ("state=all", 1),
    ] {
        assert_eq!(listed(query).await, count, "{query}");
    }
    assert!(server.get("/api/v1/approvals?state=open").await.problem().contains("one of OPEN, APPROVED"));
    let by_task = format!("/api/v1/jobs/{job}/tasks/ask/votes");
    assert_eq!(vote(&server, &by_task, Some("dave"), &yes()).await.json()["votes"][0]["via"], "api");
    let by_id = format!("/api/v1/approvals/{id}/votes");
    let comment = json!({"decision": "reject", "comment": "not today"});
    let rejected = vote(&server, &by_id, Some("alice"), &comment).await.json();
    assert_eq!(
        rejected["votes"][1],
        json!({"voter": "alice", "decision": "reject", "comment": "not today", "at": rejected["votes"][1]["at"], "via": "api"})
    );
    assert_eq!(server.get(&format!("/api/v1/approvals/{id}")).await.json()["state"], "REJECTED");
    assert_eq!(server.get(&format!("/api/v1/jobs/{job}")).await.json()["state"], "BLOCKED");
    assert_eq!((listed("").await, listed("state=REJECTED").await), (0, 1));
}

#[tokio::test]
async fn a_vote_that_does_not_count_says_why() {
    let (server, job, id) = asking().await;
    let path = format!("/api/v1/approvals/{id}/votes");
    let refused = async |user: Option<&str>, body: Value| vote(&server, &path, user, &body).await.problem();
    assert!(refused(None, yes()).await.starts_with("400 BAD_REQUEST: the header X-Atta-User must say who votes"));
    assert!(refused(Some("a b"), yes()).await.starts_with("400 BAD_REQUEST: X-Atta-User must be a name"));
    assert_eq!(
        refused(Some("mallory"), yes()).await,
        "403 MAY_NOT_VOTE: mallory may not vote here; asked are dave and holders of the role release"
    );
    assert_eq!(
        refused(Some("dave"), json!({"decision": "reject", "comment": " "})).await,
        "422 INVALID_REQUEST: a rejection needs a comment that says why (comment: a rejection needs a comment that says why)"
    );
    assert!(refused(Some("dave"), json!({"decision": "maybe"})).await.contains("unknown variant `maybe`"));
    assert!(refused(Some("dave"), json!({"vote": "approve"})).await.contains("unknown field `vote`"));
    assert_eq!(vote(&server, &path, Some("dave"), &yes()).await.status, 200);
    assert!(refused(Some("dave"), yes()).await.starts_with("409 ALREADY_VOTED: dave approved this at 2026-01-05T"));
    assert_eq!(vote(&server, &path, Some("bob"), &yes()).await.status, 200);
    let late = refused(Some("carol"), yes()).await;
    assert!(late.starts_with("409 APPROVAL_DECIDED") && late.contains("was approved by dave and bob at "), "{late}");
    for (path, what) in [
        ("/api/v1/approvals/apr_none/votes".to_owned(), "404 NOT_FOUND: approval apr_none not found".to_owned()),
        ("/api/v1/jobs/job_none/tasks/ask/votes".to_owned(), "404 NOT_FOUND: job job_none not found".to_owned()),
        (
            format!("/api/v1/jobs/{job}/tasks/none/votes"),
            format!("404 NOT_FOUND: approval asked for by the task none of the job {job} not found"),
        ),
    ] {
        assert_eq!(vote(&server, &path, Some("dave"), &yes()).await.problem(), what);
    }
    assert_eq!(server.get("/api/v1/approvals/apr_none").await.problem(), "404 NOT_FOUND: approval apr_none not found");
    assert_eq!(server.get("/api/v1/jobs/job_none/approvals").await.problem(), "404 NOT_FOUND: job job_none not found");
}

#[tokio::test]
async fn a_link_shows_what_is_asked_and_looking_changes_nothing() {
    let (server, _, id) = asking().await;
    let path = link(&server, &id, "dave").await;
    for _ in 0..3 {
        let page = server.send(server.request(Method::GET, &path).header("accept", "text/html,*/*")).await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert_eq!((page.header("cache-control"), page.header("referrer-policy")), ("no-store", "no-referrer"));
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
        let text = String::from_utf8(page.body).unwrap();
        assert!(
            text.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; more") && !text.contains("<script"),
            "{text}"
        );
        assert!(server.send(server.request(Method::HEAD, &path)).await.status.is_success());
    }
    assert_eq!(server.get(&path).await.json()["votes"], json!([]));
    let (page, token) = path.split_once('?').unwrap();
    let form = |fields: &'static str| {
        server
            .request(Method::POST, &format!("{page}/votes?{token}"))
            .header("accept", "text/html")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(fields)
    };
    let refused = String::from_utf8(server.send(form("comment=&decision=reject")).await.body).unwrap();
    assert!(refused.contains("The vote does not count") && refused.contains("needs a comment"), "{refused}");
    let thanks = String::from_utf8(server.send(form("comment=a+%3Cb%3E&decision=approve")).await.body).unwrap();
    assert!(thanks.contains("dave approved this."), "{thanks}");
    let shown = server.get(&format!("/api/v1/approvals/{id}")).await.json();
    assert_eq!((&shown["votes"][0]["comment"], &shown["votes"][0]["via"]), (&json!("a <b>"), &json!("link")));
    // Used: said on the page, and refused when it is tried.
    let page = server.send(server.request(Method::GET, &path).header("accept", "text/html")).await;
    assert!(String::from_utf8(page.body).unwrap().contains("You have voted."));
    let again = String::from_utf8(server.send(form("comment=&decision=approve")).await.body).unwrap();
    assert!(again.contains("dave approved this at"), "{again}");
}

#[tokio::test]
async fn a_link_is_good_for_nothing_else() {
    let (server, _, id) = asking().await;
    let path = link(&server, &id, "dave").await;
    let token = path.split_once("token=").unwrap().1.to_owned();
    let (claims, signature) = token.split_once('.').unwrap();
    let other = server.submit("ask").await;
    let page = server.get(&format!("/api/v1/jobs/{other}/approvals")).await.json();
    let other_id = page["items"][0]["approval_id"].as_str().unwrap().to_owned();
    let mut flipped = signature.to_owned();
    let last = if flipped.ends_with('A') { 'B' } else { 'A' };
    flipped.replace_range(0..1, &last.to_string());
    for (id, token, code) in [
        (&other_id, token.clone(), "403 LINK_INVALID"),
        (&id, format!("{claims}.{flipped}"), "403 LINK_INVALID"),
        (&id, "x".to_owned(), "403 LINK_DAMAGED"),
        (&id, String::new(), "403 LINK_DAMAGED"),
        (&id, claims.to_owned(), "403 LINK_DAMAGED"),
    ] {
        let seen = server.get(&format!("/api/v1/approvals/{id}?token={token}")).await.problem();
        assert!(seen.starts_with(code), "{seen}");
        let voted = vote(&server, &format!("/api/v1/approvals/{id}/votes?token={token}"), None, &yes()).await.problem();
        assert!(voted.starts_with(code), "{voted}");
    }
    // In somebody else's name.
    let path = format!("/api/v1/approvals/{id}/votes?token={token}");
    let voted = vote(&server, &path, Some("alice"), &yes()).await.problem();
    assert!(voted.starts_with("403 LINK_OF_ANOTHER: the link is for dave"), "{voted}");
    // A form without a link could come from any page.
    let bare = server.request(Method::POST, &format!("/api/v1/approvals/{id}/votes")).header("x-atta-user", "dave");
    let bare = bare.header("content-type", "application/x-www-form-urlencoded").body("decision=approve");
    assert!(server.send(bare).await.problem().starts_with("415 "));
    let foreign = server.request(Method::POST, &path).json(&yes()).header("origin", "http://evil.example");
    assert!(server.send(foreign).await.problem().starts_with("403 CROSS_ORIGIN"));
    let denied = server.post(&format!("/api/v1/approvals/{id}/links"), &json!({"voter": "mallory"})).await.problem();
    assert_eq!(denied, format!("403 MAY_NOT_VOTE: mallory may not vote on {id}, and gets no link"));
    assert_eq!(server.get(&format!("/api/v1/approvals/{id}")).await.json()["votes"], json!([]));
}
