//! The line to remote ants, message by message.

use atta_core::protocol::access::{Role, TokenRequest};
use atta_server::auth::AuthMode;
use reqwest::Method;
use serde_json::{Value, json};

use super::rig::{Answer, LOOPBACK, TestServer, config};

async fn say(server: &TestServer, path: &str, protocol: &str, body: &Value) -> Answer {
    let request = server.request(Method::POST, &format!("/api/v1/ant/{path}"));
    server.send(request.header("atta-protocol", protocol.to_owned()).json(body)).await
}

fn poll() -> Value {
    json!({
        "ant": "far", "session": 1, "slots": 2, "free_slots": 2, "tags": ["linux"], "workspaces": [],
        "roster": {"held": [], "lost": []}, "heard": {"epoch": 0, "upto": 0, "also": []}
    })
}

#[tokio::test]
async fn protocols_may_differ_by_one_and_the_older_side_is_named() {
    let server = TestServer::start().await;
    for spoken in ["0", "1", "2"] {
        assert_eq!(say(&server, "poll?wait=0", spoken, &poll()).await.status, 200, "{spoken}");
    }
    assert_eq!(
        say(&server, "poll?wait=0", "3", &poll()).await.problem(),
        "426 PROTOCOL: the ant speaks protocol 3 and this server 1, and they may differ by one: upgrade the server"
    );
    let answer = server.post("/api/v1/ant/poll", &poll()).await;
    assert_eq!(answer.problem(), "400 BAD_REQUEST: the header atta-protocol must say which protocol the ant speaks");
}

#[tokio::test]
async fn messages_of_the_program_before_and_after_are_understood() {
    let server = TestServer::start().await;
    // The one before said nothing of rosters; the one after says something that is not known here.
    let before = json!({"ant": "old", "session": 7, "slots": 1, "free_slots": 1, "tags": [], "workspaces": []});
    assert_eq!(say(&server, "poll?wait=0", "1", &before).await.status, 200);
    let mut after = poll();
    after["mood"] = json!("fine");
    after["roster"]["shape"] = json!(1);
    assert_eq!(say(&server, "poll?wait=0", "2", &after).await.status, 200);
    let report = json!({"ant": "old", "session": 7, "reports": []});
    assert_eq!(say(&server, "report", "1", &report).await.status, 200);
    // And an ant of ours understands a queen that says less, or more.
    let less = json!({"assignments": [], "stops": [], "stale": [], "releases": []});
    let more = json!({"epoch": 1, "serial": 2, "assignments": [], "stops": [], "stale": [], "releases": [], "news": 1});
    for orders in [less, more] {
        serde_json::from_value::<atta_core::protocol::ant::Orders>(orders).unwrap();
    }
}

#[tokio::test]
async fn a_token_speaks_for_its_ant_and_its_tags_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), Some(LOOPBACK));
    config.auth = AuthMode::Required;
    let server = TestServer::with(dir, config).await.unwrap();
    let request = TokenRequest {
        name: "builder".to_owned(),
        role: Role::Ant,
        user: None,
        expires_in: None,
        ant: Some("far".to_owned()),
        tags: Some(vec!["linux".to_owned()]),
    };
    let token = server.server.queen().create_token(request, "the test").await.unwrap().value;
    let ask = async |ant: &str, tag: &str| {
        let mut body = poll();
        body["ant"] = json!(ant);
        body["tags"] = json!([tag]);
        let request = server.request(Method::POST, "/api/v1/ant/poll?wait=0").bearer_auth(token.reveal());
        server.send(request.header("atta-protocol", "1").json(&body)).await
    };
    assert_eq!(ask("far", "linux").await.status, 200);
    assert_eq!(
        ask("near", "linux").await.problem(),
        "403 ANT_OF_ANOTHER: the token builder is for the ant far, not for near"
    );
    assert_eq!(
        ask("far", "gpu").await.problem(),
        "403 TAG_NOT_ALLOWED: the token builder does not allow the tag gpu; it allows: linux"
    );
    assert_eq!(
        ask("local", "linux").await.problem(),
        "403 ANT_RESERVED: local is the ant inside of the server: choose another id"
    );
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_and_is_checked() {
    let server = TestServer::start().await;
    let content: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = blake3::hash(&content).to_hex().to_string();
    let path = format!("/api/v1/ant/blobs/{digest}");
    let ask =
        |method: Method, query: String| server.request(method, &format!("{path}{query}")).header("atta-protocol", "1");
    let head = async || server.send(ask(Method::HEAD, String::new())).await;
    let uploaded = head().await;
    assert_eq!((uploaded.status.as_u16(), uploaded.header("atta-uploaded")), (404, "0"));

    let part = ask(Method::PUT, "?size=600000".to_owned()).body(content[..250_000].to_vec());
    let answer = server.send(part).await;
    assert_eq!((answer.status.as_u16(), answer.header("atta-uploaded")), (409, "250000"));
    assert_eq!(head().await.header("atta-uploaded"), "250000");
    let gap = ask(Method::PUT, "?size=600000&offset=250001".to_owned()).body(content[250_001..].to_vec());
    assert!(server.send(gap).await.problem().starts_with("409 UPLOAD_OFFSET: 250000 bytes have come"));
    let rest = ask(Method::PUT, "?size=600000&offset=250000".to_owned()).body(content[250_000..].to_vec());
    assert_eq!(server.send(rest).await.status, 201);
    let stored = head().await;
    assert_eq!((stored.status.as_u16(), stored.header("content-length")), (200, "600000"));

    let whole = server.send(ask(Method::GET, String::new())).await;
    assert!(whole.status == 200 && whole.body == content);
    let rest = server.send(ask(Method::GET, String::new()).header("range", "bytes=599990-")).await;
    assert_eq!((rest.status.as_u16(), rest.header("content-range")), (206, "bytes 599990-599999/600000"));
    assert_eq!(rest.body, content[599_990..]);
    let beyond = server.send(ask(Method::GET, String::new()).header("range", "bytes=600000-")).await;
    assert_eq!(beyond.status, 416);

    // What is not what it says is not kept.
    let other = format!("/api/v1/ant/blobs/{}?size=3", "0".repeat(64));
    let put = server.request(Method::PUT, &other).header("atta-protocol", "1").body("abc");
    assert!(server.send(put).await.problem().starts_with("422 BLOB_REFUSED"));
    let wrong = server.request(Method::HEAD, &format!("/api/v1/ant/blobs/{}", "0".repeat(64)));
    assert_eq!(server.send(wrong.header("atta-protocol", "1")).await.header("atta-uploaded"), "0");
    let traversal =
        server.request(Method::PUT, "/api/v1/ant/blobs/..%2f..%2fatta.db?size=1").header("atta-protocol", "1");
    assert_eq!(server.send(traversal.body("x")).await.status, 422);
}

#[tokio::test]
async fn a_piece_of_a_log_that_is_not_leased_or_not_whole_is_refused() {
    let server = TestServer::start().await;
    let send = async |body: Vec<u8>, encoding: Option<&str>| {
        let request =
            server.request(Method::POST, "/api/v1/ant/log").header("atta-protocol", "1").header("atta-ant", "far");
        let request =
            if let Some(encoding) = encoding { request.header("content-encoding", encoding) } else { request };
        server.send(request.body(body)).await.problem()
    };
    let header = json!({
        "attempt_id": "job_00000000000000000000000000000001-1", "token": 1, "offset": 0,
        "segments": [{"stream": "stdout", "at": 1, "len": 3}]
    })
    .to_string();
    let length = u32::try_from(header.len()).unwrap().to_be_bytes();
    let body = [&length[..], header.as_bytes(), b"abc"].concat();
    assert!(send(body.clone(), None).await.starts_with("409 STALE_TOKEN"));
    let packed = zstd::bulk::compress(&body, 1).unwrap();
    assert!(send(packed, Some("zstd")).await.starts_with("409 STALE_TOKEN"));
    assert!(send(body.clone(), Some("zstd")).await.starts_with("400 BAD_REQUEST: the body is not valid zstd"));
    assert!(send(body, Some("br")).await.starts_with("415 UNSUPPORTED_MEDIA_TYPE"));
    let short = "400 BAD_REQUEST: the body is shorter than its header says";
    assert_eq!(send(vec![0, 0], None).await, short);
    assert_eq!(send(vec![255, 0, 0, 0, 1], None).await, short);
    // A bomb: 64 MiB of zeros in a few kilobytes.
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    assert!(send(bomb, Some("zstd")).await.starts_with("413 TOO_LARGE"));
}
