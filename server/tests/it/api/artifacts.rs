//! Artifacts over HTTP.

use reqwest::Method;
use serde_json::json;

use super::rig::TestServer;
use crate::queen::rig::{Ant, definition};

const HOSTILE: &str = "out dir/<script>\"ä%2e%2e;\\.html";

fn escaped(path: &str) -> String {
    path.bytes()
        .map(|b| match b {
            b'/' | b'a'..=b'z' => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

async fn with_artifacts() -> (TestServer, String) {
    let server = TestServer::start().await;
    server.upload(&definition("", &[("a", "retry: 1\ndelay_between_retries: 0s"), ("b", "dependencies: [a]")])).await;
    let id = server.submit("flow").await.0;
    let mut ant = Ant::new("ant", 1);
    let files = vec![server.blob("plan.md", b"# plan").await, server.blob(HOSTILE, b"<script>alert(1)</script>").await];
    ant.artifacts.insert("a".to_owned(), files);
    ant.artifacts.insert("b".to_owned(), vec![server.blob("empty", b"").await]);
    ant.work(server.server.queen()).await;
    (server, id)
}

#[tokio::test]
async fn artifacts_are_listed_by_attempt_and_name_in_pages() {
    let (server, id) = with_artifacts().await;
    let all = server.get(&format!("/api/v1/jobs/{id}/artifacts")).await.json();
    let names: Vec<&str> = all["items"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, [HOSTILE, "plan.md", "empty"]);
    assert_eq!(all["items"][1]["task_type"], "a");
    assert_eq!(all["items"][1]["size"], 6);
    let page = server.get(&format!("/api/v1/jobs/{id}/artifacts?limit=2")).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("/api/v1/jobs/{id}/artifacts?limit=2&cursor={cursor}")).await.json();
    assert_eq!(rest, json!({"items": [all["items"][2]]}));
    let of_task = server.get(&format!("/api/v1/jobs/{id}/artifacts?task=b")).await.json();
    assert_eq!(of_task["items"], json!([all["items"][2]]));
    let of_attempt = server.get(&format!("/api/v1/jobs/{id}/attempts/2/artifacts")).await.json();
    assert_eq!(of_attempt["items"], json!([all["items"][2]]));
    assert_eq!(server.get("/api/v1/jobs/x/artifacts").await.problem(), "404 NOT_FOUND: job x not found");
    let missing = server.get(&format!("/api/v1/jobs/{id}/attempts/9/artifacts")).await;
    assert_eq!(missing.problem(), format!("404 NOT_FOUND: attempt 9 of job {id} not found"));
}

#[tokio::test]
async fn a_download_is_a_file_and_never_a_page() {
    let (server, id) = with_artifacts().await;
    for base in [format!("/api/v1/jobs/{id}/attempts/1/artifacts"), format!("/api/v1/jobs/{id}/tasks/a/artifacts")] {
        let answer = server.get(&format!("{base}/{}", escaped(HOSTILE))).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"<script>alert(1)</script>"[..]));
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; sandbox");
        assert_eq!(answer.header("content-length"), "25");
        assert_eq!(
            answer.header("content-disposition"),
            "attachment; filename=\"_script____2e_2e__.html\"; \
             filename*=UTF-8''%3Cscript%3E%22%C3%A4%252e%252e%3B%5C.html"
        );
        let tag = answer.header("etag").to_owned();
        assert_eq!(tag, format!("\"{}\"", blake3::hash(&answer.body).to_hex()));
        let again = server.request(Method::GET, &format!("{base}/{}", escaped(HOSTILE))).header("if-none-match", tag);
        assert_eq!(server.send(again).await.status, 304);
        for hostile in ["..%2f..%2fatta.db", "../../atta.db", "%2fetc%2fpasswd", "plan.md%00", "PLAN.MD", "%ff", ""] {
            let answer = server.get(&format!("{base}/{hostile}")).await;
            assert!(answer.problem().starts_with("404 "), "{hostile}: {answer:?}");
        }
    }
    assert_eq!(server.get(&format!("/api/v1/jobs/{id}/tasks/b/artifacts/empty")).await.body, b"");
    assert_eq!(
        server.get(&format!("/api/v1/jobs/{id}/attempts/x/artifacts/plan.md")).await.problem(),
        format!("404 NOT_FOUND: artifact \"plan.md\" of attempt x of job {id} not found")
    );
}

#[tokio::test]
async fn a_content_that_was_changed_on_disk_is_not_a_complete_download() {
    let (server, id) = with_artifacts().await;
    let digest = blake3::hash(b"# plan").to_hex().to_string();
    let file = server.dir.path().join("artifacts").join(&digest[..2]).join(&digest[2..]);
    std::fs::write(&file, b"# evil").unwrap();
    let path = format!("/api/v1/jobs/{id}/attempts/1/artifacts/plan.md");
    // Whether the head gets through before the connection breaks is a matter of timing.
    let download = async { server.request(Method::GET, &path).send().await?.bytes().await };
    assert!(download.await.is_err(), "the download breaks off");
    std::fs::write(&file, b"# longer").unwrap();
    assert!(server.get(&path).await.problem().starts_with("500 INTERNAL: "));
    std::fs::remove_file(&file).unwrap();
    let gone = server.get(&path).await.problem();
    assert_eq!(gone, format!("410 ARTIFACT_GONE: the content of this artifact ({digest}) is not stored any more"));
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_was() {
    let (server, id) = with_artifacts().await;
    let path = format!("/api/v1/jobs/{id}/attempts/1/artifacts/plan.md");
    let whole = server.get(&path).await;
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let tag = whole.header("etag").to_owned();
    let part = async |range: &str, tag: &str| {
        server.send(server.request(Method::GET, &path).header("range", range).header("if-range", tag)).await
    };
    let rest = part("bytes=2-", &tag).await;
    assert_eq!((rest.status.as_u16(), &rest.body[..]), (206, &b"plan"[..]));
    assert_eq!((rest.header("content-range"), rest.header("content-length")), ("bytes 2-5/6", "4"));
    // Of another content, or in a form that is not understood: everything.
    for (range, tag) in [("bytes=2-", "\"other\""), ("bytes=2-3", tag.as_str()), ("bytes=0-", tag.as_str())] {
        let answer = part(range, tag).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"# plan"[..]), "{range} {tag}");
    }
    let beyond = part("bytes=6-", &tag).await.problem();
    assert_eq!(beyond, "416 RANGE: the artifact \"plan.md\" has 6 bytes: nothing is left at 6");
}
