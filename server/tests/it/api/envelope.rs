//! What every request goes through.

use reqwest::Method;
use serde_json::json;

use super::rig::TestServer;

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/api/v1/nothing").await.problem(), "404 NO_ROUTE: there is nothing at /api/v1/nothing");
    assert_eq!(server.get("/nowhere").await.problem(), "404 NO_ROUTE: there is nothing at /nowhere");
    assert_eq!(
        server.get("/api/v1/definitions/%ff").await.problem(),
        "404 NO_ROUTE: there is nothing at /api/v1/definitions/%ff"
    );
    let answer = server.send(server.request(Method::DELETE, "/api/v1/jobs")).await;
    assert_eq!(answer.problem(), "405 METHOD_NOT_ALLOWED: DELETE is not allowed on /api/v1/jobs: see the header Allow");
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
}

#[tokio::test]
async fn a_request_keeps_its_id_if_that_is_a_sane_one() {
    let server = TestServer::start().await;
    let with = |id: &str| server.request(Method::GET, "/api/v1/version").header("x-request-id", id.to_owned());
    assert_eq!(server.send(with("my-id.1")).await.header("x-request-id"), "my-id.1");
    for hostile in ["a b", "<script>", &"x".repeat(200)] {
        let answer = server.send(with(hostile)).await;
        assert_eq!(answer.header("x-request-id").len(), 16, "{answer:?}");
    }
    assert_eq!(server.get("/api/v1/version").await.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn another_host_name_is_refused() {
    let server = TestServer::start().await;
    for host in ["evil.example", "localhost.evil.example:7777", "10.0.0.1"] {
        for (method, path) in [(Method::GET, "/api/v1/jobs"), (Method::POST, "/api/v1/jobs"), (Method::GET, "/x")] {
            let answer = server.send(server.request(method, path).header("host", host)).await;
            assert_eq!(
                answer.problem(),
                format!("421 FOREIGN_HOST: this server is not called {host:?}: use localhost or a loopback address")
            );
        }
    }
    for host in ["localhost", "localhost:1", "[::1]:7777", "127.0.0.2"] {
        let answer = server.send(server.request(Method::GET, "/api/v1/jobs").header("host", host)).await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_cannot_give_orders() {
    let server = TestServer::start().await;
    let post = |name: &str, value: &str| {
        let request = server.request(Method::POST, "/api/v1/jobs").json(&json!({"job_type": "x"}));
        request.header(name.to_owned(), value.to_owned())
    };
    for origin in ["http://evil.example", "null", "http://localhost:1", "http://127.0.0.1"] {
        assert_eq!(
            server.send(post("origin", origin)).await.problem(),
            format!("403 CROSS_ORIGIN: a page of {origin} may not change anything on this server")
        );
    }
    assert_eq!(server.send(post("sec-fetch-site", "cross-site")).await.status, 403);
    let own = server.url("");
    assert_eq!(server.send(post("origin", &own)).await.problem(), "404 NOT_FOUND: definition x not found");
    let read = server.request(Method::GET, "/api/v1/jobs").header("origin", "http://evil.example");
    let answer = server.send(read).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, ""));
}

#[tokio::test]
async fn bodies_are_limited_typed_and_explained() {
    let server = TestServer::start().await;
    let jobs = |kind: &str, body: Vec<u8>| {
        server.request(Method::POST, "/api/v1/jobs").header("content-type", kind.to_owned()).body(body)
    };
    let problem = async |request| server.send(request).await.problem();
    assert_eq!(
        problem(jobs("text/plain", b"{}".to_vec())).await,
        "415 UNSUPPORTED_MEDIA_TYPE: a body of type \"text/plain\" is not understood: send Content-Type: application/json"
    );
    assert_eq!(
        problem(jobs("application/json", b"{\"job_type\": \"a\",}".to_vec())).await,
        "400 BAD_REQUEST: the request's body is not valid JSON: trailing comma at line 1 column 18"
    );
    assert_eq!(
        problem(jobs("application/json", Vec::new())).await,
        "400 BAD_REQUEST: the request has no body: JSON is expected"
    );
    assert_eq!(
        problem(jobs("application/json; charset=utf-8", b"{}".to_vec())).await,
        "422 INVALID_REQUEST: the request's body does not have the form that is expected \
         (body: missing field `job_type` at line 1 column 2)"
    );
    let unknown = problem(jobs("application/json", br#"{"job_type":"a","parms":{}}"#.to_vec())).await;
    assert!(unknown.contains("unknown field `parms`, expected one of `job_type`"), "{unknown}");
    assert_eq!(
        problem(jobs("application/json", vec![b' '; 4 * 1024 * 1024 + 1])).await,
        "413 TOO_LARGE: the request's body may have 4194304 bytes"
    );
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert!(problem(jobs("application/json", deep)).await.starts_with('4'));
    let xml = server.request(Method::POST, "/api/v1/definitions").header("content-type", "text/xml").body("<a/>");
    assert!(problem(xml).await.contains("send Content-Type: application/yaml"));
}

#[tokio::test]
async fn queries_are_checked_name_by_name() {
    let server = TestServer::start().await;
    let problem = async |query: &str| server.get(&format!("/api/v1/jobs?{query}")).await.problem();
    let bad = "400 BAD_QUERY: the request's query is not valid";
    assert_eq!(
        problem("statee=RUNNING").await,
        format!(
            "{bad} (statee: there is no such query parameter; known: state, label, job_type, parent, user_key, \
             created_after, created_before, text, order, limit, cursor)"
        )
    );
    assert_eq!(problem("limit=0").await, format!("{bad} (limit: limit \"0\": a number from 1 to 500 is expected)"));
    assert_eq!(problem("limit=501").await, format!("{bad} (limit: limit \"501\": a number from 1 to 500 is expected)"));
    assert_eq!(problem("limit=1&limit=2").await, format!("{bad} (limit: limit may be given once)"));
    assert!(problem("state=DONE").await.contains("state \"DONE\": one of PENDING, RUNNING"));
    assert!(problem("created_after=yesterday").await.contains("an instant such as 2026-01-31T12:00:00Z is expected"));
    let cursor = "400 BAD_CURSOR: the cursor is not valid (cursor: it is not a next_cursor of this server)";
    for hostile in ["x", "AAAA", "%00", "AQ", &"A".repeat(5000)] {
        let found = problem(&format!("cursor={hostile}")).await;
        assert!(found == cursor || found.contains("another list"), "{hostile}: {found}");
    }
}
