//! Who may do what: every route of the description is asked, without a token and with all kinds of tokens.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use atta_core::protocol::access::{Role, TokenRequest};
use atta_core::time::{Clock, UnixMillis};
use atta_server::auth::AuthMode;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::rig::{Answer, LOOPBACK, TestServer, config};

/// Method, path, the least role, and whether the route proves its caller otherwise.
type Described = (String, String, Option<Role>, bool);

/// Stands still until it is moved.
struct Set(AtomicI64);

impl Clock for Set {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

struct Rig {
    server: TestServer,
    clock: Arc<Set>,
}

impl Rig {
    async fn start(auth: AuthMode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Set(AtomicI64::new(1_767_571_200_000)));
        let mut config = config(dir.path(), Some(LOOPBACK));
        config.auth = auth;
        config.clock = clock.clone();
        Self { server: TestServer::with(dir, config).await.unwrap(), clock }
    }

    async fn token(&self, name: &str, role: Role) -> String {
        self.made(TokenRequest { name: name.to_owned(), role, user: None, expires_in: None, ant: None, tags: None })
            .await
    }

    async fn made(&self, request: TokenRequest) -> String {
        let made = self.server.server.queen().create_token(request, "the test").await.unwrap();
        made.value.reveal().to_owned()
    }

    async fn send(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let mut request = self.server.request(method, path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.server.send(request).await
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send(Method::GET, path, token, None).await
    }
}

/// A token that has the right form and that nobody has.
fn foreign() -> String {
    let text = format!("atta_admin_{}", "0".repeat(64));
    let checksum = blake3::hash(text.as_bytes()).to_hex()[..8].to_owned();
    format!("{text}{checksum}")
}

fn below(role: Role) -> Role {
    match role {
        Role::Viewer => Role::Ant,
        Role::Submitter => Role::Viewer,
        Role::Operator => Role::Submitter,
        Role::Admin => Role::Operator,
        // Not even an admin is an ant.
        Role::Ant => Role::Admin,
    }
}

#[tokio::test]
async fn every_route_asks_for_a_token_of_the_least_role() {
    let rig = Rig::start(AuthMode::Required).await;
    let mut tokens = std::collections::HashMap::new();
    for role in Role::ALL {
        tokens.insert(role, rig.token(role.as_str(), role).await);
    }
    let short = TokenRequest {
        name: "short".to_owned(),
        role: Role::Admin,
        user: None,
        expires_in: Some(1),
        ant: None,
        tags: None,
    };
    let expired = rig.made(short).await;
    rig.clock.0.fetch_add(1000, Ordering::SeqCst);
    let revoked = rig.token("revoked", Role::Admin).await;
    rig.server.server.queen().revoke_token("revoked").await.unwrap();
    let foreign = foreign();

    let api = serde_json::to_value(atta_server::api::openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array().unwrap_or_else(|| panic!("{method} {path} says nothing"));
            let role = security[0]["token"][0].as_str().map(|role| role.parse::<Role>().unwrap());
            routes.push((method.to_uppercase(), path.clone(), role, security.len() > 1));
        }
    }
    for path in ["/api/v1/openapi.json", "/api/v1/schema/job-definition.json"] {
        routes.push(("GET".to_owned(), path.to_owned(), Some(Role::Viewer), false));
    }
    let named = |wanted: &dyn Fn(&Described) -> bool| -> Vec<String> {
        routes.iter().filter(|route| wanted(route)).map(|(method, path, ..)| format!("{method} {path}")).collect()
    };
    assert_eq!(
        named(&|route| route.2.is_none()),
        ["POST /api/v1/hooks/{job_type}/{name}", "GET /health/live", "GET /health/ready"],
        "these need no token"
    );
    assert_eq!(
        named(&|route| route.3),
        ["GET /api/v1/approvals/{id}", "POST /api/v1/approvals/{id}/votes"],
        "these can be asked with a signed link"
    );

    for (index, (method, path, role, linked)) in routes.iter().enumerate() {
        let method: Method = method.parse().unwrap();
        let path = path.replace("{number}", "1").replace("{digest}", &"0".repeat(64));
        let path: String =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/");
        // Each route from an address of its own: so many failures in one minute are too many for one.
        let octets = u16::try_from(index + 2).unwrap().to_be_bytes();
        let client = reqwest::Client::builder()
            .no_proxy()
            // Reading the system's authorities takes longer than all the requests.
            .tls_certs_only([])
            .local_address(IpAddr::V4(Ipv4Addr::new(127, 0, octets[0], octets[1])))
            .build()
            .unwrap();
        let ask = async |token: Option<&str>, query: &str| {
            let request = client.request(method.clone(), rig.server.url(&format!("{path}{query}")));
            let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status(), response.headers().clone());
            let challenge = headers.get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
            if headers.get("content-type").is_some_and(|kind| kind == "text/event-stream") {
                return (status, String::new(), challenge);
            }
            let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default();
            // The answer to HEAD has no body.
            let code = if method == Method::HEAD { "unsaid" } else { body["code"].as_str().unwrap_or_default() };
            (status, code.to_owned(), challenge)
        };
        let Some(role) = role else {
            let (status, code, _) = ask(None, "").await;
            assert!(!code.starts_with("TOKEN") && code != "ROLE_NEEDED", "{method} {path}: {status} {code}");
            continue;
        };
        for (token, expected) in [
            (None, "TOKEN_MISSING"),
            (Some("Zm9vOmJhcg=="), "TOKEN_DAMAGED"),
            (Some(foreign.as_str()), "TOKEN_UNKNOWN"),
            (Some(expired.as_str()), "TOKEN_EXPIRED"),
            (Some(revoked.as_str()), "TOKEN_REVOKED"),
        ] {
            let (status, code, challenge) = ask(token, "").await;
            let expected = if method == Method::HEAD { "unsaid" } else { expected };
            assert_eq!((status, code.as_str()), (StatusCode::UNAUTHORIZED, expected), "{method} {path}");
            assert!(challenge.unwrap().starts_with("Bearer realm=\"atta\""), "{method} {path}");
        }
        let (status, code, challenge) = ask(Some(&tokens[&below(*role)]), "").await;
        let expected = if method == Method::HEAD { "unsaid" } else { "ROLE_NEEDED" };
        assert_eq!((status, code.as_str()), (StatusCode::FORBIDDEN, expected), "{method} {path}");
        assert!(challenge.unwrap().contains(&format!("scope=\"{role}\"")));
        let (status, code, _) = ask(Some(&tokens[role]), "").await;
        assert!(
            ![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status)
                && code != "ROLE_NEEDED"
                && !code.starts_with("TOKEN_"),
            "{method} {path} with the least role: {status} {code}"
        );
        // No token of the query counts, but for signed links, whose signature is checked.
        let (status, code, _) = ask(None, &format!("?token={}", tokens[role])).await;
        if *linked {
            assert_eq!(code, "LINK_DAMAGED", "{method} {path}: {status}");
        } else {
            let expected = if method == Method::HEAD { "unsaid" } else { "TOKEN_MISSING" };
            assert_eq!((status, code.as_str()), (StatusCode::UNAUTHORIZED, expected), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn what_does_not_exist_is_not_told_to_strangers() {
    let rig = Rig::start(AuthMode::Required).await;
    let viewer = rig.token("viewer", Role::Viewer).await;
    for (method, path) in [(Method::GET, "/api/v1/nothing"), (Method::DELETE, "/api/v1/jobs"), (Method::OPTIONS, "/")] {
        assert_eq!(rig.send(method.clone(), path, None, None).await.status, 401, "{method} {path}");
        assert!([404, 405].contains(&rig.send(method, path, Some(&viewer), None).await.status.as_u16()));
    }
    assert_eq!(rig.send(Method::HEAD, "/api/v1/version", None, None).await.status, 401);
    assert_eq!(rig.send(Method::HEAD, "/api/v1/version", Some(&viewer), None).await.status, 200);
    // With tokens, a server may have any name.
    let request =
        rig.server.request(Method::GET, "/api/v1/version").bearer_auth(&viewer).header("host", "atta.example");
    assert_eq!(rig.server.send(request).await.status, 200);
}

#[tokio::test]
async fn a_refusal_says_what_is_missing() {
    let rig = Rig::start(AuthMode::Required).await;
    let viewer = rig.token("viewer", Role::Viewer).await;
    let answer = rig.get("/api/v1/jobs", None).await;
    assert_eq!(
        answer.problem(),
        "401 TOKEN_MISSING: this server answers only requests with a token: Authorization: Bearer atta_… (atta: \
         --token-file, ATTA_TOKEN_FILE or ATTA_TOKEN)"
    );
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"atta\"");
    let answer = rig.get("/api/v1/jobs", Some(&viewer[..30])).await;
    assert_eq!(answer.problem(), "401 TOKEN_DAMAGED: this is not a whole token of Atta: was it copied whole?");
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"atta\", error=\"invalid_token\"");
    let answer = rig.send(Method::POST, "/api/v1/jobs", Some(&viewer), Some(&json!({"job_type": "x"}))).await;
    assert_eq!(
        answer.problem(),
        "403 ROLE_NEEDED: this needs the role submitter, and the token viewer has the role viewer"
    );
}

#[tokio::test]
async fn whoever_is_wrong_too_often_waits_and_a_right_token_never_does() {
    let rig = Rig::start(AuthMode::Required).await;
    let viewer = rig.token("viewer", Role::Viewer).await;
    let foreign = foreign();
    for _ in 0..20 {
        assert_eq!(rig.get("/api/v1/jobs", Some(&foreign)).await.status, 401);
    }
    let answer = rig.get("/api/v1/jobs", Some(&foreign)).await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (429, Some("TOO_MANY_FAILURES")));
    assert!((1..=60).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(rig.get("/api/v1/jobs", Some(&viewer)).await.status, 200);
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked_and_their_value_is_shown_once() {
    let rig = Rig::start(AuthMode::Required).await;
    let admin = rig.token("root", Role::Admin).await;
    let body = json!({"name": "ci", "role": "submitter", "user": "alice", "expires_in": 3600});
    let made = rig.send(Method::POST, "/api/v1/tokens", Some(&admin), Some(&body)).await;
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, "no-store"));
    let value = made.json()["value"].as_str().unwrap().to_owned();
    assert!(value.starts_with("atta_submitter_"), "{value}");
    assert_eq!(rig.get("/api/v1/jobs", Some(&value)).await.status, 200);
    let again = rig.send(Method::POST, "/api/v1/tokens", Some(&admin), Some(&body)).await;
    assert!(again.problem().starts_with("409 TOKEN_EXISTS: there is a token ci already (tok_"), "{again:?}");

    let listed = rig.get("/api/v1/tokens", Some(&admin)).await;
    let text = String::from_utf8(listed.body.clone()).unwrap();
    assert!(!text.contains(&value) && !text.contains(&value[20..60]));
    let list = listed.json()["items"].clone();
    let ci = list.as_array().unwrap().iter().find(|token| token["name"] == "ci").unwrap().clone();
    assert_eq!(
        (&ci["user"], &ci["created_by"], &ci["live"], &ci["last_used_at"], &ci["expires_at"]),
        (
            &json!("alice"),
            &json!("root"),
            &json!(true),
            &json!("2026-01-05T00:00:00.000Z"),
            &json!("2026-01-05T01:00:00.000Z")
        )
    );

    let revoked = rig.send(Method::DELETE, "/api/v1/tokens/ci", Some(&admin), None).await;
    assert_eq!((revoked.status.as_u16(), &revoked.json()["live"]), (200, &json!(false)));
    let answer = rig.get("/api/v1/jobs", Some(&value)).await;
    assert_eq!(answer.problem(), "401 TOKEN_REVOKED: this token was revoked");
    // Its name is free, and it can still be found by its id.
    assert_eq!(rig.send(Method::POST, "/api/v1/tokens", Some(&admin), Some(&body)).await.status, 201);
    let path = format!("/api/v1/tokens/{}", ci["token_id"].as_str().unwrap());
    assert_eq!(rig.send(Method::DELETE, &path, Some(&admin), None).await.status, 200);
    let unknown = rig.send(Method::DELETE, "/api/v1/tokens/nobody", Some(&admin), None).await;
    assert_eq!(unknown.problem(), "404 NOT_FOUND: token nobody not found");

    let audit = rig.get("/api/v1/audit", Some(&admin)).await.json();
    let lines: Vec<String> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let word = |key: &str| entry[key].as_str().unwrap().to_owned();
            format!("{} {} {} {}", word("user"), word("action"), word("target"), entry["status"])
        })
        .collect();
    assert!(lines.contains(&"root revoke_token /api/v1/tokens/ci 200".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"root create_token /api/v1/tokens 201".to_owned()), "{lines:#?}");
}

#[tokio::test]
async fn who_asks_is_told_who_they_are() {
    let rig = Rig::start(AuthMode::Required).await;
    let ada = rig.token("ada", Role::Operator).await;
    let answer = rig.get("/api/v1/whoami", Some(&ada)).await.json();
    assert_eq!((&answer["token"], &answer["role"]), (&json!("ada"), &json!("operator")), "{answer}");
    let open = Rig::start(AuthMode::Open).await;
    let answer = open.get("/api/v1/whoami", None).await.json();
    assert_eq!(answer, json!({"user": null, "token": null, "role": "admin"}));
}

#[tokio::test]
async fn what_cannot_be_a_token_is_refused_with_the_reason() {
    let rig = Rig::start(AuthMode::Open).await;
    for (body, expected) in [
        (json!({"name": "a b", "role": "viewer"}), "name \"a b\" is not possible"),
        (json!({"name": "a", "role": "viewer", "user": ""}), "user \"\" is not possible"),
        (json!({"name": "a", "role": "viewer", "ant": "x"}), "ant and tags are for tokens of ants, not of a viewer"),
        (json!({"name": "a", "role": "viewer", "expires_in": 0}), "a token is good for at least a second"),
        (json!({"name": "a", "role": "ant", "tags": ["a,b"]}), "\"a,b\" cannot be a tag"),
    ] {
        let answer = rig.server.post("/api/v1/tokens", &body).await;
        assert!(answer.problem().starts_with("422 INVALID_TOKEN: "), "{answer:?}");
        assert!(answer.problem().contains(expected), "{answer:?}");
    }
}

#[tokio::test]
async fn tokens_and_their_uses_survive_a_restart() {
    let rig = Rig::start(AuthMode::Required).await;
    let admin = rig.token("root", Role::Admin).await;
    assert_eq!(rig.get("/api/v1/jobs", Some(&admin)).await.status, 200);
    // A use is stored with the next change.
    rig.token("other", Role::Viewer).await;
    rig.server.server.shutdown().await;
    let mut again = config(rig.server.dir.path(), Some(LOOPBACK));
    again.auth = AuthMode::Required;
    again.clock = rig.clock.clone();
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::with(dir, again).await.unwrap();
    let request = server.request(Method::GET, "/api/v1/tokens").bearer_auth(&admin);
    let list = server.send(request).await.json();
    let root = list["items"].as_array().unwrap().iter().find(|token| token["name"] == "root").unwrap().clone();
    assert_eq!(root["last_used_at"], "2026-01-05T00:00:00.000Z");
    server.server.shutdown().await;
}

#[tokio::test]
async fn a_server_that_answers_everybody_checks_a_token_that_is_shown() {
    let rig = Rig::start(AuthMode::Open).await;
    let viewer = rig.token("viewer", Role::Viewer).await;
    assert_eq!(rig.get("/api/v1/tokens", None).await.status, 200);
    assert_eq!(rig.get("/api/v1/jobs", Some(&viewer)).await.status, 200);
    assert_eq!(rig.get("/api/v1/tokens", Some(&viewer)).await.status, 403);
    assert_eq!(rig.get("/api/v1/jobs", Some(&foreign())).await.status, 401);
    // Who is nobody's admin leaves no trace, as before.
    assert_eq!(rig.get("/api/v1/audit", None).await.json()["items"], json!([]));
}

#[tokio::test]
async fn the_voter_is_the_user_of_the_token() {
    let rig = Rig::start(AuthMode::Required).await;
    let admin = rig.token("root", Role::Admin).await;
    let dave = TokenRequest {
        name: "daves-laptop".to_owned(),
        role: Role::Operator,
        user: Some("dave".to_owned()),
        expires_in: None,
        ant: None,
        tags: None,
    };
    let dave = rig.made(dave).await;
    let source = "job_type: ask\ntasks:\n- task_type: ask\n  approval: {users: [dave]}\n";
    let upload = rig.server.request(Method::POST, "/api/v1/definitions").bearer_auth(&admin);
    let upload = upload.header("content-type", "application/yaml").body(source);
    assert_eq!(rig.server.send(upload).await.status, 201);
    let submitted = rig.send(Method::POST, "/api/v1/jobs", Some(&dave), Some(&json!({"job_type": "ask"}))).await;
    let job = submitted.json()["job_id"].as_str().unwrap().to_owned();
    let shown = rig.get(&format!("/api/v1/jobs/{job}"), Some(&dave)).await.json();
    assert_eq!(shown["submitted_by"], "dave");
    let path = format!("/api/v1/jobs/{job}/tasks/ask/votes");
    let body = json!({"decision": "approve"});
    let as_other =
        rig.server.request(Method::POST, &path).bearer_auth(&dave).header("x-atta-user", "carol").json(&body);
    assert_eq!(
        rig.server.send(as_other).await.problem(),
        "403 TOKEN_OF_ANOTHER: the token is that of dave, and the header X-Atta-User names carol"
    );
    let root = rig.send(Method::POST, &path, Some(&admin), Some(&body)).await;
    assert!(root.problem().starts_with("403 MAY_NOT_VOTE"), "{root:?}");
    let voted = rig.send(Method::POST, &path, Some(&dave), Some(&body)).await;
    assert_eq!((voted.status.as_u16(), &voted.json()["votes"][0]["voter"]), (200, &json!("dave")));
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let rig = Rig::start(AuthMode::Required).await;
    let viewer = rig.token("viewer", Role::Viewer).await;
    let request = rig.server.request(Method::GET, "/api/v1/events/stream").bearer_auth(&viewer);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    rig.server.server.queen().revoke_token("viewer").await.unwrap();
    response.text().await.unwrap();
}

#[tokio::test]
async fn what_only_asks_is_for_viewers_and_in_no_audit() {
    let rig = Rig::start(AuthMode::Required).await;
    let (viewer, admin) = (rig.token("v", Role::Viewer).await, rig.token("a", Role::Admin).await);
    let body = json!({"source": "job_type: a\ntasks: [{task_type: t, script: [x]}]\n"});
    let told = rig.send(Method::POST, "/api/v1/definitions:rehearse", Some(&viewer), Some(&body)).await;
    assert_eq!((told.status.as_u16(), &told.json()["verdict"]), (200, &json!("COMPLETED")));
    let request = rig.server.request(Method::POST, "/api/v1/definitions:validate").bearer_auth(&admin);
    let checked = rig.server.send(request.body("job_type: a\ntasks: [{task_type: t, script: [x]}]\n")).await;
    assert_eq!(checked.json()["valid"], true);
    assert_eq!(rig.get("/api/v1/audit", Some(&admin)).await.json()["items"], json!([]));
}
