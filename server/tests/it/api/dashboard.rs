//! The page at `/`.

use atta_server::auth::AuthMode;
use reqwest::Method;

use super::rig::{LOOPBACK, TestServer, config};

/// "body" compressed by gzip would be other bytes: the server only passes them on.
const SCRIPT: &[u8] = b"\x1f\x8b script";

fn built(path: &str) -> Option<&'static [u8]> {
    match path {
        "index.html" => Some(b"<meta name=\"csp-nonce\" content=\"__NONCE__\">"),
        "assets/index-1a2b.js" => Some(SCRIPT),
        _ => None,
    }
}

async fn server(auth: AuthMode) -> TestServer {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), Some(LOOPBACK));
    config.auth = auth;
    config.dashboard = built;
    TestServer::with(dir, config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_is_answered_without_a_token_under_a_policy_with_a_nonce_of_its_own() {
    let server = server(AuthMode::Required).await;
    let mut nonces = Vec::new();
    for path in ["/", "/jobs", "/jobs/job_1", "/definitions/gh-implement", "/audit"] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "text/html; charset=utf-8"),
            "{path}"
        );
        assert_eq!((answer.header("cache-control"), answer.header("x-frame-options")), ("no-store", "DENY"));
        let text = String::from_utf8(answer.body.clone()).unwrap();
        let nonce = text.split('"').nth(3).unwrap().to_owned();
        let policy = answer.header("content-security-policy");
        assert!(policy.contains(&format!("style-src 'self' 'nonce-{nonce}'")), "{policy}: {text}");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        nonces.push(nonce);
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 5, "{nonces:?}");
    assert_eq!(server.get("/api/v1/jobs").await.status, 401, "what the page shows needs a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_kept_by_browsers_and_sent_as_they_lie_in_the_program() {
    let server = server(AuthMode::Open).await;
    let path = "/assets/index-1a2b.js";
    let answer = server.send(server.request(Method::GET, path).header("accept-encoding", "br, gzip")).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, SCRIPT));
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert_eq!(answer.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
    let again = server.request(Method::GET, path).header("if-none-match", answer.header("etag"));
    assert_eq!(server.send(again).await.status, 304);
    let plain = server.send(server.request(Method::GET, path).header("accept-encoding", "identity")).await;
    assert_eq!(
        plain.problem(),
        "406 GZIP_NEEDED: assets/index-1a2b.js is sent compressed by gzip, and Accept-Encoding does not allow that"
    );
    assert_eq!(server.get("/assets/gone.js").await.problem(), "404 NO_ROUTE: there is nothing at /assets/gone.js");
    assert_eq!(server.get("/nowhere").await.problem(), "404 NO_ROUTE: there is nothing at /nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_without_a_dashboard_says_so() {
    let server = TestServer::start().await;
    let answer = server.get("/").await;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains("This program was built without its dashboard."), "{text}");
    server.server.shutdown().await;
}
