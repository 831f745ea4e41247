//! HTTP tasks against real servers on loopback.

use std::time::Duration;

use atta_core::definition::{OutputSource, OutputSpec, ParamType, Span};
use atta_core::engine::{AttemptResult, ResultName};
use atta_core::protocol::ant::{
    Action, ArtifactFile, ArtifactInput, Assignment, HttpRequest, RenderedPart, RequestBody,
};
use atta_worker::{AntConfig, PrivateAddresses};
use serde_json::json;

use crate::harness::{Launchers, tests};
use crate::web::{Reply, Web, answer, tls_file};
use crate::world::{Done, World};

tests![
    an_answer_becomes_result_outputs_and_artifacts,
    every_verb_sends_its_body_in_its_form,
    a_status_of_400_and_more_is_a_failure_with_its_status,
    redirects_are_followed_as_the_status_says,
    what_opens_doors_does_not_go_to_another_host,
    redirects_end,
    clocks_and_orders_end_a_request,
    what_cannot_be_reached_did_not_start,
    bodies_have_a_bound,
    certificates_are_checked,
    answers_that_are_no_http_are_invalid,
    bytes_that_are_no_text_are_an_artifact_only,
    retry_after_is_reported_with_failures,
    headers_cannot_be_broken_and_values_are_not_expanded,
    declared_outputs_of_a_body_are_checked,
];

pub(crate) fn request(verb: &str, url: &str) -> HttpRequest {
    HttpRequest {
        verb: verb.to_owned(),
        url: url.to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: RequestBody::None,
        follow_redirects: 0,
        max_body: 1 << 20,
        connect_timeout: Duration::from_secs(10),
        allow: Vec::new(),
        allow_private: false,
        ca_file: None,
        save_as: None,
    }
}

/// An ant that lets requests go to this machine.
pub(crate) async fn open_world(launchers: &mut Launchers) -> World {
    World::with(launchers.take(), |config: &mut AntConfig| config.http.private = PrivateAddresses::Allow).await
}

pub(crate) fn attempt(world: &World, request: HttpRequest) -> Assignment {
    let mut assignment = world.assignment("");
    assignment.action = Action::Http(Box::new(request));
    assignment
}

pub(crate) async fn ask(world: &World, request: HttpRequest) -> Done {
    world.run(attempt(world, request)).await
}

fn text(text: &str) -> Vec<RenderedPart> {
    vec![RenderedPart::Text(text.to_owned())]
}

fn named(name: ResultName) -> AttemptResult {
    AttemptResult::Named(name)
}

async fn an_answer_becomes_result_outputs_and_artifacts(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|_| {
        let headers = "Content-Type: application/json; charset=utf-8\r\nX-Two: a\r\nX-Two: b\r\nSet-Cookie: s=1\r\n";
        answer("200 OK", headers, r#"{"items": [{"id": 7}]}"#)
    })
    .await;
    let mut asked = request("GET", &web.url("/items?fixed=1"));
    asked.query = vec![("q".to_owned(), "a b&c=ü".to_owned()), ("page".to_owned(), "2".to_owned())];
    asked.headers = vec![("Accept".to_owned(), text("application/json"))];
    let done = ask(&world, asked).await;
    assert_eq!(done.result(), AttemptResult::Http(200));
    assert_eq!(web.asked()[0].line, "GET /items?fixed=1&q=a+b%26c%3D%C3%BC&page=2 HTTP/1.1");
    assert_eq!(done.report.outputs["status"], 200);
    assert_eq!(done.report.outputs["json"], json!({"items": [{"id": 7}]}));
    assert_eq!(done.report.outputs["body"], r#"{"items": [{"id": 7}]}"#);
    assert_eq!(done.report.outputs["headers"]["x-two"], "a, b");
    assert_eq!(done.report.outputs["headers"].get("set-cookie"), None, "a cookie opens doors");
    let paths: Vec<_> = done.report.artifacts.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["response/body", "response/headers.json"]);
    assert_eq!(world.queen.content(&done.report.artifacts[0].digest), br#"{"items": [{"id": 7}]}"#);
    assert!(done.log.contains("> accept: application/json\n"), "{}", done.log);
    assert!(done.log.contains("200 OK"), "{}", done.log);
    assert!(done.log.contains("< set-cookie: ***\n"), "{}", done.log);
    assert_eq!(done.isolation.as_deref(), Some("none"));
    world.end().await;
}

async fn every_verb_sends_its_body_in_its_form(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|_| answer("204 No Content", "", "")).await;
    let form = RequestBody::Form(vec![("a b".to_owned(), text("ü&=")), ("c".to_owned(), text(""))]);
    let bodies = [
        ("GET", RequestBody::None, None, ""),
        (
            "POST",
            RequestBody::Json(json!({"n": 1, "b": [true, null]})),
            Some("application/json"),
            r#"{"n":1,"b":[true,null]}"#,
        ),
        ("PUT", RequestBody::Text("plain\ntext".to_owned()), Some("text/plain; charset=utf-8"), "plain\ntext"),
        ("PATCH", form, Some("application/x-www-form-urlencoded"), "a+b=%C3%BC%26%3D&c="),
        ("DELETE", RequestBody::None, None, ""),
    ];
    for (verb, body, kind, sent) in bodies {
        let mut asked = request(verb, &web.url("/x"));
        asked.body = body;
        let done = ask(&world, asked).await;
        assert_eq!(done.result(), AttemptResult::Http(204), "{verb}");
        let got = web.asked().pop().unwrap();
        assert_eq!(got.line, format!("{verb} /x HTTP/1.1"));
        assert_eq!((got.header("content-type"), got.body.as_str()), (kind, sent), "{verb}");
    }
    let mut asked = request("POST", &web.url("/x"));
    asked.body = RequestBody::Text("<a/>".to_owned());
    asked.headers = vec![("Content-Type".to_owned(), text("application/xml"))];
    ask(&world, asked).await;
    assert_eq!(web.asked().pop().unwrap().header("content-type"), Some("application/xml"));
    world.end().await;
}

async fn a_status_of_400_and_more_is_a_failure_with_its_status(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|asked| {
        let path = asked.line.split(' ').nth(1).unwrap_or_default();
        answer(&format!("{} Something", &path[1..]), "", "why")
    })
    .await;
    for (status, success) in [(200, true), (302, true), (304, true), (400, false), (404, false), (599, false)] {
        let done = ask(&world, request("GET", &web.url(&format!("/{status}")))).await;
        assert_eq!((done.result(), done.result().is_success()), (AttemptResult::Http(status), success));
        assert_eq!(done.report.outputs["status"], status);
        if !success {
            assert_eq!(done.code(), "HTTP_STATUS");
            assert!(
                done.message().starts_with(&format!("was answered with the status {status}")),
                "{}",
                done.message()
            );
            assert_eq!(done.report.artifacts.len(), 2, "a failure has an answer too");
        }
    }
    let done = ask(&world, request("GET", &web.url("/799"))).await;
    assert_eq!((done.result(), done.code()), (named(ResultName::Invalid), "BAD_ANSWER"));
    world.end().await;
}

async fn redirects_are_followed_as_the_status_says(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|asked| match asked.line.split(' ').nth(1) {
        Some("/end") => answer("200 OK", "", "there"),
        Some(path) => answer(&format!("{} Moved", &path[1..]), "Location: end\r\n", ""),
        None => answer("400 Bad", "", ""),
    })
    .await;
    for (status, verb, sent) in
        [(301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "x"), (308, "POST", "x")]
    {
        let mut asked = request("POST", &web.url(&format!("/{status}")));
        asked.body = RequestBody::Text("x".to_owned());
        asked.follow_redirects = 1;
        let done = ask(&world, asked).await;
        assert_eq!((done.result(), &done.report.outputs["body"]), (AttemptResult::Http(200), &json!("there")));
        let last = web.asked().pop().unwrap();
        assert_eq!((last.line, last.body.as_str()), (format!("{verb} /end HTTP/1.1"), sent), "{status}");
    }
    let connections: Vec<_> = web.asked().iter().map(|asked| asked.connection).collect();
    assert!(connections.chunks(2).all(|pair| pair[0] == pair[1]), "one connection serves a whole attempt");
    let done = ask(&world, request("GET", &web.url("/302"))).await;
    assert_eq!(done.result(), AttemptResult::Http(302), "a redirect that is not followed is the answer");
    world.end().await;
}

async fn what_opens_doors_does_not_go_to_another_host(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let other = Web::new(|_| answer("200 OK", "", "")).await;
    let target = other.url("/");
    let web = Web::new(move |asked| match asked.line.split(' ').nth(1) {
        Some("/away") => answer("302 Found", &format!("Location: {target}\r\n"), ""),
        Some("/user") => answer("302 Found", &format!("Location: {}\r\n", target.replace("//", "//u:p@")), ""),
        _ => answer("302 Found", "Location: /away\r\n", ""),
    })
    .await;
    let mut asked = request("GET", &web.url("/start"));
    asked.follow_redirects = 5;
    asked.headers = vec![
        ("Authorization".to_owned(), text("Bearer abc")),
        ("Cookie".to_owned(), text("c=d")),
        ("X-Key".to_owned(), vec![RenderedPart::Text("k-".to_owned()), RenderedPart::Variable("KEY".to_owned())]),
        ("X-Plain".to_owned(), text("plain")),
    ];
    let mut assignment = attempt(&world, asked.clone());
    assignment.environment.insert("KEY".to_owned(), "hidden-key".to_owned());
    let done = world.run(assignment).await;
    assert_eq!(done.result(), AttemptResult::Http(200));
    let (near, far) = (web.asked().pop().unwrap(), other.asked().pop().unwrap());
    assert_eq!((near.header("authorization"), near.header("x-key")), (Some("Bearer abc"), Some("k-hidden-key")));
    for name in ["authorization", "cookie", "x-key"] {
        assert_eq!(far.header(name), None, "{name}");
    }
    assert_eq!(far.header("x-plain"), Some("plain"));
    assert!(!done.log.contains("hidden-key") && !done.log.contains("Bearer abc") && !done.log.contains("c=d"));

    asked.url = web.url("/user");
    asked.headers.clear();
    ask(&world, asked).await;
    assert_eq!(other.asked().pop().unwrap().header("authorization"), None, "a redirect cannot log in");
    world.end().await;
}

async fn redirects_end(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|asked| match asked.line.split(' ').nth(1) {
        Some("/file") => answer("302 Found", "Location: file:///etc/passwd\r\n", ""),
        Some("/bad") => answer("302 Found", "Location: http://[\r\n", ""),
        _ => answer("302 Found", "Location: /again\r\n", ""),
    })
    .await;
    for (path, message) in [
        ("/again", "was redirected more than 3 times"),
        ("/file", "was redirected to \"file:///etc/passwd\", and only http and https can be asked"),
        ("/bad", "was redirected to \"http://[\", which is no URL: invalid IPv6 address"),
    ] {
        let mut asked = request("GET", &web.url(path));
        asked.follow_redirects = 3;
        let done = ask(&world, asked).await;
        assert_eq!((done.result(), done.message()), (named(ResultName::Invalid), message));
    }
    world.end().await;
}

async fn clocks_and_orders_end_a_request(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|asked| match asked.line.split(' ').nth(1) {
        Some("/body") => Reply::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin".to_vec()),
        _ => Reply::Hang(b"HTTP/1.1 200 OK\r\nX-Slow: ".to_vec()),
    })
    .await;
    for path in ["/head", "/body"] {
        let mut assignment = attempt(&world, request("GET", &web.url(path)));
        assignment.timeout = Duration::from_millis(200);
        let done = world.run(assignment).await;
        assert_eq!(done.result(), named(ResultName::TimedOut), "{path}");
        assert_eq!(done.message(), "took longer than its timeout of 200ms");

        let mut assignment = attempt(&world, request("GET", &web.url(path)));
        assignment.idle_timeout = Some(Duration::from_millis(200));
        let done = world.run(assignment).await;
        assert_eq!((done.result(), done.message()), (named(ResultName::IdleTimedOut), "nothing came for 200ms"));

        let id = world.begin(attempt(&world, request("GET", &web.url(path))));
        world.log_has(&id, "> GET").await;
        world.stop(&id, "enough");
        let done = world.done(&id).await;
        assert_eq!((done.result(), done.message()), (named(ResultName::Cancelled), "was stopped: enough"));
    }
    world.end().await;
}

async fn what_cannot_be_reached_did_not_start(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let done = ask(&world, request("GET", &format!("http://{free}/"))).await;
    assert_eq!((done.result(), done.code()), (named(ResultName::StartFailed), "CANNOT_CONNECT"));
    assert!(done.message().starts_with(&format!("cannot connect to {free}: ")), "{}", done.message());
    assert!(done.message().contains("refused"), "{}", done.message());
    world.end().await;
}

async fn bodies_have_a_bound(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|asked| match asked.line.split(' ').nth(1) {
        Some("/announced") => Reply::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n".to_vec()),
        Some("/exact") => answer("200 OK", "", &"x".repeat(1000)),
        _ => Reply::Last([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 5000]].concat()),
    })
    .await;
    let bounded = |path: &str| {
        let mut asked = request("GET", &web.url(path));
        asked.max_body = 1000;
        asked
    };
    let done = ask(&world, bounded("/announced")).await;
    assert_eq!((done.result(), done.code()), (named(ResultName::Invalid), "BODY_TOO_LARGE"));
    assert_eq!(done.message(), "the body of the answer has 953.6 MiB, and `max_body` is 1000 B");
    let done = ask(&world, bounded("/streamed")).await;
    assert_eq!(done.message(), "the body of the answer is longer, and `max_body` is 1000 B");
    assert_eq!(ask(&world, bounded("/exact")).await.result(), AttemptResult::Http(200));
    let mut asked = request("GET", &web.url("/long"));
    asked.max_body = 1 << 20;
    asked.save_as = Some("data/page*.txt".to_owned());
    let done = ask(&world, asked).await;
    assert_eq!(done.report.artifacts[0].path, "data/page*.txt");
    world.end().await;
}

async fn certificates_are_checked(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::secure(|_| answer("200 OK", "", "private")).await;
    let url = |host: &str| format!("https://{host}:{}/", web.address.port());
    let done = ask(&world, request("GET", &url("localhost"))).await;
    assert_eq!((done.result(), done.code()), (named(ResultName::StartFailed), "CANNOT_CONNECT"));
    assert!(done.message().to_lowercase().contains("certificate"), "{}", done.message());

    let authority = std::fs::read(tls_file("ca.pem")).unwrap();
    let trusting = |host: &str| {
        let mut asked = request("GET", &url(host));
        asked.ca_file = Some("ca.pem".to_owned());
        let mut assignment = attempt(&world, asked);
        let digest = world.queen.blob(&authority);
        let file = ArtifactFile { path: "ca.pem".to_owned(), digest, size: authority.len() as u64, executable: false };
        assignment.inputs = vec![ArtifactInput { task: "setup".to_owned(), files: vec![file] }];
        assignment
    };
    let done = world.run(trusting("localhost")).await;
    assert_eq!(
        (done.result(), &done.report.outputs["body"]),
        (AttemptResult::Http(200), &json!("private")),
        "{}",
        done.log
    );
    let done = world.run(trusting("127.0.0.2")).await;
    assert_eq!(done.code(), "CANNOT_CONNECT", "the certificate is for another name: {}", done.message());

    let mut asked = request("GET", &url("localhost"));
    asked.ca_file = Some("missing.pem".to_owned());
    let done = ask(&world, asked).await;
    assert!(done.message().starts_with("`ca_file` missing.pem cannot be read: "), "{}", done.message());
    world.end().await;
}

async fn answers_that_are_no_http_are_invalid(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|asked| match asked.line.split(' ').nth(1) {
        Some("/short") => Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin".to_vec()),
        Some("/nothing") => Reply::Last(Vec::new()),
        _ => Reply::Last(b"220 mail.example.com ESMTP\r\n\r\n".to_vec()),
    })
    .await;
    let done = ask(&world, request("GET", &web.url("/short"))).await;
    assert_eq!((done.result(), done.code()), (named(ResultName::Invalid), "BAD_ANSWER"));
    assert!(
        done.message().starts_with("the answer of 127.0.0.1 broke off after 5 B of its body: "),
        "{}",
        done.message()
    );
    for path in ["/nothing", "/mail"] {
        let done = ask(&world, request("GET", &web.url(path))).await;
        assert_eq!((done.result(), done.code()), (named(ResultName::Invalid), "BAD_ANSWER"), "{path}");
        assert!(done.message().contains("did not answer as HTTP says: "), "{}", done.message());
    }
    world.end().await;
}

async fn bytes_that_are_no_text_are_an_artifact_only(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|asked| match asked.line.split(' ').nth(1) {
        Some("/json") => answer("200 OK", "Content-Type: application/json\r\n", "{broken"),
        Some("/long") => answer("200 OK", "Content-Type: text/plain\r\n", &"x".repeat(70_000)),
        _ => Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na\xff\xfe".to_vec()),
    })
    .await;
    let done = ask(&world, request("GET", &web.url("/"))).await;
    assert_eq!((done.result(), done.report.outputs.get("body")), (AttemptResult::Http(200), None));
    assert_eq!(world.queen.content(&done.report.artifacts[0].digest), b"a\xff\xfe");
    let done = ask(&world, request("GET", &web.url("/json"))).await;
    assert_eq!((done.report.outputs.get("json"), &done.report.outputs["body"]), (None, &json!("{broken")));
    let done = ask(&world, request("GET", &web.url("/long"))).await;
    assert_eq!((done.report.outputs.get("body"), done.report.artifacts[0].size), (None, 70_000));
    world.end().await;
}

async fn retry_after_is_reported_with_failures(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|asked| match asked.line.split(' ').nth(1) {
        Some("/fine") => answer("200 OK", "Retry-After: 5\r\n", ""),
        _ => answer("503 Busy", "Retry-After: 90\r\n", ""),
    })
    .await;
    let done = ask(&world, request("GET", &web.url("/"))).await;
    assert_eq!((done.result(), done.report.retry_after), (AttemptResult::Http(503), Some(Duration::from_secs(90))));
    let done = ask(&world, request("GET", &web.url("/fine"))).await;
    assert_eq!(done.report.retry_after, None);
    world.end().await;
}

async fn headers_cannot_be_broken_and_values_are_not_expanded(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|_| answer("200 OK", "", "")).await;
    for hostile in ["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\x1b[2J"] {
        let mut asked = request("GET", &web.url("/"));
        asked.headers = vec![("X-Name".to_owned(), text(hostile))];
        let done = ask(&world, asked).await;
        assert_eq!(done.result(), named(ResultName::Invalid));
        assert_eq!(
            done.message(),
            "headers.X-Name: the value has a line break or another control character, which no header can have"
        );
    }
    for (url, message) in [
        ("gopher://x/", "`url` must begin with http:// or https://, and it begins with gopher:"),
        ("http://me:pw@x/", "`url` names a user: what is in a URL is shown and logged; send it in a header"),
        ("http://x/a b", "`url` has a blank or a control character in it; use `| urlencode` for values"),
        ("nowhere", "`url` is \"nowhere\", which is no URL: relative URL without a base"),
    ] {
        assert_eq!(ask(&world, request("GET", url)).await.message(), message);
    }
    assert_eq!(web.asked().len(), 0);
    let mut asked = request("GET", &web.url("/"));
    asked.headers = vec![("X-Value".to_owned(), text("${TOKEN}"))];
    let mut assignment = attempt(&world, asked.clone());
    assignment.environment.insert("TOKEN".to_owned(), "secret".to_owned());
    world.run(assignment).await;
    assert_eq!(web.asked()[0].header("x-value"), Some("${TOKEN}"), "a value names no variable");
    asked.headers = vec![("X-Value".to_owned(), vec![RenderedPart::Variable("NONE".to_owned())])];
    let done = ask(&world, asked).await;
    assert_eq!(done.message(), "headers.X-Value: the environment of the task has no variable NONE");
    world.end().await;
}

async fn declared_outputs_of_a_body_are_checked(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    let web = Web::new(|asked| {
        let status = if asked.line.contains("bad") { "500 Bad" } else { "200 OK" };
        answer(status, "", r#"{"a": {"n": 5}, "list": ["x", 3]}"#)
    })
    .await;
    let output = |name: &str, path: Option<&str>, output_type, schema| OutputSpec {
        name: name.to_owned(),
        source: OutputSource::Body,
        json_path: path.map(str::to_owned),
        output_type,
        schema,
        span: Span::default(),
    };
    let mut assignment = attempt(&world, request("GET", &web.url("/")));
    assignment.outputs = vec![
        output("n", Some("a.n"), Some(ParamType::Integer), None),
        output("whole", None, Some(ParamType::Object), Some(json!({"required": ["a"]}))),
    ];
    let done = world.run(assignment.clone()).await;
    assert_eq!((&done.report.outputs["n"], &done.report.outputs["whole"]["a"]["n"]), (&json!(5), &json!(5)));

    let wrong = output("list", Some("list"), None, Some(json!({"items": {"type": "string"}})));
    for (path, result) in [("/", named(ResultName::Invalid)), ("/bad", AttemptResult::Http(500))] {
        let mut assignment = attempt(&world, request("GET", &web.url(path)));
        assignment.outputs = vec![wrong.clone()];
        let done = world.run(assignment).await;
        assert_eq!(done.result(), result);
        let sentence = "the output `list` does not match its schema: at `1`: 3 is not of type \"string\"";
        if result == named(ResultName::Invalid) {
            assert_eq!(done.message(), sentence);
        } else {
            assert_eq!(done.report.warnings, [sentence], "a failure keeps its result");
        }
        assert_eq!(done.report.outputs.get("list"), None);
    }
    world.end().await;
}
