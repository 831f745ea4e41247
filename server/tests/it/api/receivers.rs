//! What the tests of notifications send to: a web receiver and a mail server, both on loopback.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use atta_core::time::{Clock, UnixMillis};
use atta_server::notify::NotifyConfig;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Quick tries, to loopback.
pub(super) fn config() -> NotifyConfig {
    NotifyConfig {
        allow_private: true,
        attempts: 4,
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(5),
        ..NotifyConfig::default()
    }
}

/// Time that passes as it does.
#[derive(Debug)]
pub(super) struct Passing(Instant);

impl Passing {
    pub(super) fn from_now() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for Passing {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_767_571_200_000).plus(self.0.elapsed())
    }
}

/// How a receiver answers.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Status(u16),
    /// 429 with Retry-After.
    Busy(&'static str),
    Redirect(String),
    /// Never.
    Hang,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) headers: HeaderMap,
    pub(super) uri: Uri,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

struct Shared {
    script: Mutex<VecDeque<Answer>>,
    seen: watch::Sender<Vec<Seen>>,
}

/// A web server that records what arrives, and answers as its script has it; 200 afterwards.
pub(super) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, uri: Uri, body: Bytes) -> Response {
    let answer = shared.script.lock().unwrap().pop_front().unwrap_or(Answer::Status(200));
    shared.seen.send_modify(|seen| seen.push(Seen { headers, uri, body: body.to_vec() }));
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Busy(wait) => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", wait)]).into_response(),
        Answer::Redirect(to) => (StatusCode::FOUND, [("location", to)]).into_response(),
        Answer::Hang => std::future::pending().await,
    }
}

impl Receiver {
    pub(super) async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { script: Mutex::new(script.into_iter().collect()), seen: watch::Sender::new(Vec::new()) });
        let router = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until so many requests have arrived.
    pub(super) async fn arrived(&self, count: usize) -> Vec<Seen> {
        let mut seen = self.shared.seen.subscribe();
        let wait = seen.wait_for(|seen| seen.len() >= count);
        tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap().unwrap().clone()
    }

    pub(super) fn seen(&self) -> usize {
        self.shared.seen.borrow().len()
    }
}

/// A letter that arrived.
#[derive(Debug, Clone, Default)]
pub(super) struct Letter {
    pub(super) login: Option<String>,
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) data: String,
}

impl Letter {
    /// The body, decoded.
    pub(super) fn text(&self) -> String {
        let (head, body) = self.data.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        if head.contains("content-transfer-encoding: quoted-printable") {
            body.replace("=\r\n", "").replace("=3D", "=")
        } else {
            assert!(head.contains("content-transfer-encoding: 7bit"), "{head}");
            body.to_owned()
        }
    }
}

/// How a mail server takes a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipient {
    Welcome,
    Later,
    Unknown,
}

/// A mail server that speaks as much SMTP as a client needs.
pub(super) struct MailServer {
    address: SocketAddr,
    letters: watch::Sender<Vec<Letter>>,
    task: JoinHandle<()>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MailServer {
    /// Recipients are taken as the script has it, and are welcome afterwards.
    pub(super) async fn start(script: impl IntoIterator<Item = Recipient>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let letters = watch::Sender::new(Vec::new());
        let sink = letters.clone();
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(converse(connection, Arc::clone(&script), sink.clone()));
            }
        });
        Self { address, letters, task }
    }

    pub(super) fn url(&self) -> String {
        format!("smtp://atta:hunter%202@{}", self.address)
    }

    pub(super) async fn arrived(&self, count: usize) -> Vec<Letter> {
        let mut letters = self.letters.subscribe();
        let wait = letters.wait_for(|letters| letters.len() >= count);
        tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap().unwrap().clone()
    }
}

async fn converse(connection: TcpStream, script: Arc<Mutex<VecDeque<Recipient>>>, letters: watch::Sender<Vec<Letter>>) {
    use base64::Engine as _;
    let (read, mut write) = connection.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut letter = Letter::default();
    let mut answer = "220 test ESMTP".to_owned();
    loop {
        if write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
        let Ok(Some(line)) = lines.next_line().await else { return };
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN".to_owned(),
            "AUTH" => {
                let plain =
                    base64::engine::general_purpose::STANDARD.decode(rest.trim_start_matches("PLAIN ")).unwrap();
                letter.login = Some(String::from_utf8(plain).unwrap().replace('\0', " ").trim().to_owned());
                "235 welcome".to_owned()
            }
            "MAIL" => {
                rest.clone_into(&mut letter.from);
                "250 ok".to_owned()
            }
            "RCPT" => match script.lock().unwrap().pop_front().unwrap_or(Recipient::Welcome) {
                Recipient::Welcome => {
                    letter.to.push(rest.to_owned());
                    "250 ok".to_owned()
                }
                Recipient::Later => "451 greylisted, come back".to_owned(),
                Recipient::Unknown => "550 no such user here".to_owned(),
            },
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.unwrap();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "." {
                        break;
                    }
                    letter.data.push_str(line.strip_prefix('.').unwrap_or(&line));
                    letter.data.push_str("\r\n");
                }
                letters.send_modify(|letters| letters.push(std::mem::take(&mut letter)));
                "250 queued".to_owned()
            }
            "RSET" | "NOOP" => "250 ok".to_owned(),
            "QUIT" => {
                let _ = write.write_all(b"221 bye\r\n").await;
                return;
            }
            _ => "500 what?".to_owned(),
        };
    }
}
