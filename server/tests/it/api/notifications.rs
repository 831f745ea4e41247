//! What is told to whom: over real connections, to receivers that fail in every way.

use std::fmt::Write as _;

use std::time::Duration;

use atta_server::notify::{Mailer, NotifyConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};

use super::receivers::{Answer, MailServer, Passing, Receiver, Recipient, config as quick};
use super::rig::{LOOPBACK, TestServer, config};
use crate::queen::rig::{Ant, definition};

async fn with(notify: NotifyConfig) -> TestServer {
    on(tempfile::tempdir().unwrap(), notify).await
}

async fn on(dir: tempfile::TempDir, notify: NotifyConfig) -> TestServer {
    let mut config = config(dir.path(), Some(LOOPBACK));
    config.clock = Passing::from_now();
    config.notify = Some(notify);
    TestServer::with(dir, config).await.unwrap()
}

/// Uploads a job with these keys and one task, and runs it; exit code 3 fails it.
async fn run(server: &TestServer, keys: &str, code: u16) -> String {
    let uploaded = server.upload(&definition(keys, &[("work", "")])).await;
    assert!(uploaded.status.is_success(), "{}", String::from_utf8_lossy(&uploaded.body));
    let job = server.submit("flow").await;
    let mut ant = Ant::new("ant", 1).with_code("work", &[code]);
    ant.work(server.server.queen()).await;
    job.0
}

/// Waits until a notification of the job has come so far.
async fn settled(server: &TestServer, query: &str, state: &str) -> Value {
    for _ in 0..6_000 {
        let page = server.get(&format!("/api/v1/notifications?{query}")).await.json();
        let items = page["items"].as_array().unwrap();
        if !items.is_empty() && items.iter().all(|one| one["state"] == state) {
            return page["items"].clone();
        }
        assert!(
            state == "PENDING" || items.iter().all(|one| one["state"] == "PENDING" || one["state"] == state),
            "{page:#}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not become {state}");
}

#[tokio::test]
async fn a_webhook_gets_a_signed_document_once() {
    let receiver = Receiver::start([]).await;
    let server = with(quick()).await;
    let keys = format!(
        "description: \"Fix #7\"\nparams: {{Team: {{default: blue}}}}\nnotify:\n- message: \"{{{{ tasks.work.exit_code }}}}\"\n  webhook:\n    url: \"{}/hook/{{{{ Team }}}}?x=1\"\n    secret: s3cret\n    headers: {{X-Team: \"{{{{ Team }}}}\"}}",
        receiver.url()
    );
    let job = run(&server, &keys, 3).await;
    let seen = receiver.arrived(1).await.remove(0);
    assert_eq!(seen.uri.to_string(), "/hook/blue?x=1");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"s3cret").unwrap();
    mac.update(&seen.body);
    assert_eq!(seen.header("x-atta-signature-256"), format!("sha256={}", hex::encode(mac.finalize().into_bytes())));
    let told = seen.json();
    assert_eq!((seen.header("x-team"), seen.header("x-atta-event")), ("blue", "job.failed"));
    assert_eq!(
        (seen.header("content-type"), told["id"].as_str().unwrap()),
        ("application/json", seen.header("x-atta-delivery"))
    );
    assert!(seen.header("user-agent").starts_with("atta/") && seen.header("x-atta-timestamp").starts_with("17675712"));
    assert_eq!(
        (&told["event"], &told["title"], &told["message"], &told["job"]["state"], &told["job"]["error"]["code"]),
        (
            &json!("job.failed"),
            &json!(format!("flow {job} FAILED")),
            &json!("3"),
            &json!("FAILED"),
            &json!("EXIT_CODE")
        )
    );
    assert_eq!(told["job"]["description"], "Fix #7");
    assert_eq!(told["url"], server.url(&format!("/api/v1/jobs/{job}")));
    let sent = settled(&server, &format!("job={job}"), "SENT").await;
    assert_eq!((&sent[0]["attempts"], &sent[0]["channel"]), (&json!(1), &json!("webhook")));
    assert_eq!(sent[0]["destination"], format!("{}/hook/{{{{ Team }}}}?x=1", receiver.url()));
    let id = sent[0]["notification_id"].as_str().unwrap();
    let again = server.post(&format!("/api/v1/notifications/{id}/retry"), &json!({})).await.problem();
    assert_eq!(again, format!("409 ALREADY_SENT: the notification {id} has arrived: it is not sent twice"));
    assert_eq!(receiver.seen(), 1);
}

#[tokio::test]
async fn everybody_is_told_of_what_he_asked_for_and_never_means_never() {
    let receiver = Receiver::start([]).await;
    let server = with(quick()).await;
    let url = receiver.url();
    let mut keys = "notify:\n".to_owned();
    for when in ["on_success", "on_failure", "on_blocked", "on_approval", "on_paused", "never", "always"] {
        writeln!(keys, "- {{when: {when}, webhook: {{url: \"{url}/{when}\"}}}}").unwrap();
    }
    write!(keys, "webhook: {{url: \"{url}/short\", when: [on_success, on_skipped]}}").unwrap();
    run(&server, &keys, 0).await;
    run(&server, &keys, 1).await;
    let mut paths: Vec<String> = receiver.arrived(5).await.iter().map(|seen| seen.uri.path().to_owned()).collect();
    paths.sort();
    assert_eq!(paths, ["/always", "/always", "/on_failure", "/on_success", "/short"]);
    settled(&server, "", "SENT").await;
    assert_eq!(receiver.seen(), 5);
}

#[tokio::test]
async fn a_failed_delivery_is_repeated_with_the_same_id_as_late_as_the_receiver_wants() {
    let receiver =
        Receiver::start([Answer::Status(500), Answer::Busy("1"), Answer::Redirect("/elsewhere".to_owned())]).await;
    let server = with(quick()).await;
    run(&server, &format!("webhook: {{url: \"{}/\"}}", receiver.url()), 0).await;
    let seen = receiver.arrived(4).await;
    let ids: Vec<&str> = seen.iter().map(|one| one.header("x-atta-delivery")).collect();
    assert!(ids.iter().all(|id| *id == ids[0] && id.starts_with("ntf_")), "{ids:?}");
    assert!(seen.iter().all(|one| one.uri.path() == "/"), "redirects are not followed");
    let sent_at = |at: usize| seen[at].json()["sent_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(sent_at(2).duration_since(sent_at(1)).as_millis() >= 1_000, "Retry-After is honoured");
    let sent = settled(&server, "", "SENT").await;
    assert_eq!(sent[0]["attempts"], 4);
    assert!(sent[0]["last_error"].as_str().unwrap().contains("302 Found, and redirects are not followed"));
}

#[tokio::test]
async fn what_was_tried_too_often_is_given_up_listed_and_sent_on_request() {
    let receiver = Receiver::start(vec![Answer::Status(503); 4]).await;
    let server = with(quick()).await;
    let job = run(&server, &format!("webhook: {{url: \"{}\"}}", receiver.url()), 0).await;
    let dead = settled(&server, "", "DEAD").await;
    assert_eq!((&dead[0]["attempts"], &dead[0]["next_at"]), (&json!(4), &Value::Null));
    assert_eq!(dead[0]["last_error"], "it answered 503 Service Unavailable; given up after 4 tries");
    assert_eq!(server.get("/api/v1/notifications?state=dead").await.json()["items"][0]["job_id"], job);
    assert!(
        server
            .get("/api/v1/notifications?state=lost")
            .await
            .problem()
            .contains("one of PENDING, SENT, DEAD is expected")
    );
    let id = dead[0]["notification_id"].as_str().unwrap();
    let again = server.post(&format!("/api/v1/notifications/{id}/retry"), &json!({})).await;
    assert_eq!(again.status, 202, "{again:?}");
    settled(&server, "", "SENT").await;
    assert_eq!(receiver.seen(), 5);
    let gone = server.post("/api/v1/notifications/ntf_none/retry", &json!({})).await.problem();
    assert_eq!(gone, "404 NOT_FOUND: notification ntf_none not found");
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_nobody_else_up() {
    let hanging = Receiver::start(vec![Answer::Hang; 10]).await;
    let other = Receiver::start([]).await;
    let server = with(quick()).await;
    let keys =
        format!("notify: [{{webhook: {{url: \"{}\"}}}}, {{webhook: {{url: \"{}\"}}}}]", hanging.url(), other.url());
    for _ in 0..3 {
        run(&server, &keys, 0).await;
    }
    other.arrived(3).await;
    assert!(hanging.arrived(1).await.len() <= 3);
    // It ends while a delivery hangs.
    server.server.shutdown().await;
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_in_time_is_tried_again() {
    let receiver = Receiver::start([Answer::Hang]).await;
    let server = with(NotifyConfig { timeout: Duration::from_millis(50), ..quick() }).await;
    run(&server, &format!("webhook: {{url: \"{}\"}}", receiver.url()), 0).await;
    let sent = settled(&server, "", "SENT").await;
    assert_eq!(sent[0]["last_error"], "it did not answer in time");
}

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let receiver = Receiver::start([]).await;
    let server = with(NotifyConfig { allow_private: false, ..quick() }).await;
    let port = receiver.url().rsplit(':').next().unwrap().to_owned();
    let mut keys = "notify:\n".to_owned();
    for host in ["127.0.0.1", "localhost", "[::ffff:7f00:1]", "2130706433", "{{ Host }}"] {
        writeln!(keys, "- {{webhook: {{url: \"http://{host}:{port}/\"}}}}").unwrap();
    }
    keys.push_str("params: {Host: {default: \"127.1\"}}");
    run(&server, &keys, 0).await;
    let dead = settled(&server, "", "DEAD").await;
    for one in dead.as_array().unwrap() {
        let error = one["last_error"].as_str().unwrap();
        assert!(error.contains("loopback or private address") && error.contains("--allow-private-webhooks"), "{error}");
        assert_eq!(one["attempts"], 1);
    }
    assert_eq!((dead.as_array().unwrap().len(), receiver.seen()), (5, 0));
}

#[tokio::test]
async fn what_was_not_sent_is_sent_by_the_next_process() {
    let receiver = Receiver::start([Answer::Hang]).await;
    let server = with(quick()).await;
    run(&server, &format!("webhook: {{url: \"{}\"}}", receiver.url()), 0).await;
    let first = receiver.arrived(1).await.remove(0);
    server.server.shutdown().await;
    let TestServer { dir, .. } = server;
    let server = on(dir, quick()).await;
    let second = receiver.arrived(2).await.remove(1);
    assert_eq!(first.header("x-atta-delivery"), second.header("x-atta-delivery"));
    settled(&server, "", "SENT").await;
}

#[tokio::test]
async fn a_destination_that_cannot_be_made_is_given_up_with_the_reason() {
    let server = with(quick()).await;
    let keys = "params: {Host: {}}\nnotify:\n- {webhook: {url: \"{{ Host }}\"}}\n- {email: {to: a@example.org}}";
    run(&server, keys, 0).await;
    let dead = settled(&server, "", "DEAD").await.to_string();
    assert!(dead.contains("the url is no URL") && dead.contains("--smtp-url"), "{dead}");
}

#[tokio::test]
async fn secrets_are_filled_in_for_each_try_and_stand_nowhere_else() {
    let receiver = Receiver::start([Answer::Status(500)]).await;
    let server = with(NotifyConfig { attempts: 1_000_000, ..quick() }).await;
    let host = receiver.url();
    let keys = format!(
        "params: {{Host: {{}}, Trick: {{default: \"{{{{ secrets.HookKey }}}}\"}}}}\njob_variables: {{H: \"{host}\"}}\nwebhook:\n  url: \"{{{{ H }}}}/{{{{ secrets.HookPath }}}}?t={{{{ Trick }}}}\"\n  secret: \"{{{{ secrets.HookKey }}}}\"\n  headers: {{Authorization: \"Bearer {{{{secrets.HookKey}}}}\"}}"
    );
    run(&server, &keys, 0).await;
    let dead = settled(&server, "", "PENDING").await;
    assert_eq!(receiver.seen(), 0);
    drop(dead);
    for name in ["HookKey", "HookPath"] {
        let put = server.request(Method::PUT, &format!("/api/v1/configs/{name}"));
        let put = server.send(put.json(&json!({"value": format!("very-secret-{name}"), "secret": true}))).await;
        assert!(put.status.is_success(), "{put:?}");
    }
    let seen = receiver.arrived(2).await;
    for one in &seen {
        assert_eq!(one.uri.path(), "/very-secret-HookPath");
        // A value that looks like a secret stays what it is.
        assert!(one.uri.query().unwrap().contains("secrets.HookKey"), "{:?}", one.uri);
        assert_eq!(one.header("authorization"), "Bearer very-secret-HookKey");
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"very-secret-HookKey").unwrap();
        mac.update(&one.body);
        mac.verify_slice(&hex::decode(one.header("x-atta-signature-256").strip_prefix("sha256=").unwrap()).unwrap())
            .unwrap();
    }
    let sent = settled(&server, "", "SENT").await.to_string();
    assert!(!sent.contains("very-secret"), "{sent}");
    server.server.shutdown().await;
    for file in std::fs::read_dir(server.dir.path()).unwrap().flatten().filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(11).any(|window| window == b"very-secret"), "{:?}", file.path());
    }
}

#[tokio::test]
async fn slack_gets_text_and_blocks_without_mentions() {
    let receiver = Receiver::start([]).await;
    let server = with(quick()).await;
    let keys = format!(
        "description: \"<!channel> & co\"\nnotify: [{{slack: {{url: \"{}/services/T/B/x\"}}}}]",
        receiver.url()
    );
    let job = run(&server, &keys, 1).await;
    let told = receiver.arrived(1).await.remove(0).json();
    assert_eq!(
        told["text"],
        format!("flow {job} FAILED\nEXIT_CODE: task \"work\" failed with exit code 1 and no route matched")
    );
    let blocks = told["blocks"].to_string();
    assert!(blocks.contains("&lt;!channel&gt; &amp; co") && !blocks.contains("<!channel>"), "{blocks}");
}

fn mailer(server: &MailServer) -> NotifyConfig {
    let mailer = Mailer::new(&server.url(), "Atta <atta@example.org>").unwrap();
    NotifyConfig { mailer: Some(mailer), ..quick() }
}

#[tokio::test]
async fn an_email_goes_to_each_address_in_a_letter_of_its_own() {
    let mail = MailServer::start([]).await;
    let server = with(mailer(&mail)).await;
    let keys = "params: {Who: {default: team}}\ndescription: \"Line\\r\\n.\\r\\nMAIL FROM:<evil@example.org>\"\nnotify:\n- email:\n    to: [\"{{ Who }}@example.org\", \"Bob <bob@example.org>\"]\n    subject: \"{{ JobType }} is over\\r\\nBcc: evil@example.org\"";
    let job = run(&server, keys, 0).await;
    let mut letters = mail.arrived(2).await;
    letters.sort_by(|a, b| a.to.cmp(&b.to));
    let (bob, team) = (&letters[0], &letters[1]);
    assert_eq!((&*bob.to[0], &*team.to[0]), ("TO:<bob@example.org>", "TO:<team@example.org>"));
    assert_eq!((bob.to.len(), &*bob.from), (1, "FROM:<atta@example.org>"));
    assert_eq!(bob.login.as_deref(), Some("atta hunter 2"));
    assert!(bob.data.contains("Subject: flow is over  Bcc: evil@example.org\r\n"), "{}", bob.data);
    assert!(!bob.data.contains("\r\nBcc:"), "{}", bob.data);
    let text = bob.text();
    assert!(text.contains(&format!("flow {job} COMPLETED")) && text.contains("\r\n.\r\nMAIL FROM"), "{text}");
    settled(&server, "", "SENT").await;
    assert_eq!(mail.arrived(2).await.len(), 2);
}

#[tokio::test]
async fn a_mail_server_may_say_later_or_never() {
    let mail = MailServer::start([Recipient::Later, Recipient::Welcome, Recipient::Unknown]).await;
    let server = with(mailer(&mail)).await;
    let job = run(&server, "notify: [{email: {to: a@example.org}}]", 0).await;
    let sent = settled(&server, &format!("job={job}"), "SENT").await;
    assert!(sent[0]["last_error"].as_str().unwrap().contains("greylisted"), "{sent:#}");
    let job = run(&server, "notify: [{email: {to: a@example.org}}]", 0).await;
    let dead = settled(&server, &format!("job={job}"), "DEAD").await;
    let error = dead[0]["last_error"].as_str().unwrap();
    assert!(error.contains("no such user here") && dead[0]["attempts"] == 1, "{dead:#}");
}

#[tokio::test]
async fn mailboxes_that_take_nothing_for_now_hold_up_no_other_letter() {
    let mail = MailServer::start([Recipient::Later; 5]).await;
    let hour = std::time::Duration::from_hours(1);
    let server = with(NotifyConfig { first_delay: hour, longest_delay: hour, ..mailer(&mail) }).await;
    let to: Vec<String> = (0..6).map(|n| format!("p{n}@example.org")).collect();
    run(&server, &format!("notify: [{{email: {{to: [{}]}}}}]", to.join(", ")), 0).await;
    assert_eq!(mail.arrived(1).await[0].to.len(), 1, "the sixth, at once");
}

const ASK: &str = "job_type: ask\nnotify:\n- {when: on_approval, email: {to: voters}}\ntasks:\n- task_type: ask\n  approval: {users: [alice, erin], roles: [release], min_approvals: 2, message: \"Ship it?\"}\n";

#[tokio::test]
async fn who_may_vote_gets_a_link_and_votes_by_it() {
    let mail = MailServer::start([]).await;
    let server = with(mailer(&mail)).await;
    assert_eq!(server.upload(ASK).await.status, 201);
    let job = server.submit("ask").await;
    // Of alice, bob, carol and erin one has an address.
    let letter = mail.arrived(1).await.remove(0);
    assert_eq!(letter.to, ["TO:<alice@example.org>"]);
    let text = letter.text();
    assert!(text.contains("Ship it?") && text.contains("waits for an approval: ask"), "{text}");
    let link = text.lines().find(|line| line.contains("/api/v1/approvals/apr_")).unwrap();
    let path = link.strip_prefix(&server.url("")).unwrap();
    let page = server.send(server.request(Method::GET, path).header("accept", "text/html")).await;
    assert!(String::from_utf8(page.body).unwrap().contains("Ship it?"));
    let (path, token) = path.split_once('?').unwrap();
    let voted = server.post(&format!("{path}/votes?{token}"), &json!({"decision": "approve"})).await;
    assert_eq!(voted.status, 200, "{voted:?}");
    let vote = &voted.json()["votes"][0];
    assert_eq!((&vote["voter"], &vote["via"]), (&json!("alice"), &json!("link")));
    let sent = settled(&server, &format!("job={job}"), "SENT").await;
    // The link stands nowhere but in the letter.
    assert!(!sent.to_string().contains("token="), "{sent:#}");
}

#[tokio::test]
async fn an_approval_is_told_of_when_it_is_asked_and_when_nobody_answers() {
    let receiver = Receiver::start([]).await;
    let server = with(quick()).await;
    let source = format!(
        "job_type: ask\nwebhook: {{when: on_approval, url: \"{}\"}}\ntasks:\n- task_type: ask\n  approval: {{users: [alice], timeout: 100ms, timeout_action: escalate}}\n",
        receiver.url()
    );
    assert_eq!(server.upload(&source).await.status, 201);
    let job = server.submit("ask").await;
    let seen = receiver.arrived(2).await;
    let (asked, late) = (seen[0].json(), seen[1].json());
    assert_eq!((&asked["event"], &late["event"]), (&json!("approval.requested"), &json!("approval.timed_out")));
    assert_eq!((&asked["approval"]["task"], &asked["approval"]["users"]), (&json!("ask"), &json!(["alice"])));
    assert!(asked["approval"]["deadline"].is_string());
    assert_eq!(asked["job"]["job_id"], json!(job.0));
}
