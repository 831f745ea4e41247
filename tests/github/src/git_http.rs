//! Repositories over HTTP, for who has the password: what `git http-backend` serves, behind Basic authentication.

use std::fs;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::{self, Reply, Request};

/// One request for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// `upload-pack` to fetch, `receive-pack` to push.
    pub service: String,
    /// Whether it came with the password.
    pub allowed: bool,
}

#[derive(Default)]
struct Shared {
    root: PathBuf,
    password: String,
    served: Mutex<Vec<Served>>,
    seen: Mutex<Vec<String>>,
    /// What everybody is answered; 0 when it works.
    broken: AtomicU16,
    over: AtomicBool,
}

/// A running server of repositories.
pub struct GitServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl GitServer {
    /// Serves the bare repositories in a directory to whoever has the password.
    pub fn start(root: &Path, password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let shared = Shared { root: root.to_owned(), password: password.to_owned(), ..Shared::default() };
        let shared = Arc::new(shared);
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Answers everything with this status from now on; with `None` it works again.
    pub fn break_with(&self, status: Option<u16>) {
        self.shared.broken.store(status.unwrap_or(0), Ordering::SeqCst);
    }

    /// All requests so far.
    pub fn served(&self) -> Vec<Served> {
        self.shared.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Command lines with the password in them, of all processes that there were while somebody asked for something.
    pub fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        let Ok(writer) = stream.try_clone() else { return };
        if let Ok(Some(request)) = http::read(&mut BufReader::new(stream)) {
            let mut reply = self.answer(&request);
            reply.headers.push(("connection", "close".to_owned()));
            http::write(&writer, &http::bytes(&reply));
        }
        let _ = writer.shutdown(std::net::Shutdown::Both);
    }

    fn answer(&self, request: &Request) -> Reply {
        // Whoever asks waits now: its processes are all there.
        self.look_for_the_password();
        let asked = request.query.iter().find(|(name, _)| name == "service").map(|(_, value)| value.as_str());
        let service = asked.unwrap_or_else(|| request.path.rsplit('/').next().unwrap_or_default());
        let service = service.trim_start_matches("git-").to_owned();
        let given = request.header("authorization").and_then(|given| given.strip_prefix("Basic "));
        let given = given.and_then(|given| String::from_utf8(STANDARD.decode(given).ok()?).ok()).unwrap_or_default();
        let allowed = given.split_once(':').is_some_and(|(_, password)| password == self.password);
        self.served.lock().unwrap_or_else(PoisonError::into_inner).push(Served { service, allowed });
        let broken = self.broken.load(Ordering::SeqCst);
        if broken != 0 {
            return Reply { status: broken, headers: Vec::new(), body: Vec::new() };
        }
        if !allowed {
            let headers = vec![("www-authenticate", "Basic realm=\"git\"".to_owned())];
            return Reply { status: 401, headers, body: Vec::new() };
        }
        self.backend(request)
    }

    fn look_for_the_password(&self) {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&self.password) {
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        }
    }

    /// What git itself answers, by CGI.
    fn backend(&self, request: &Request) -> Reply {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&request.query);
        let header = |name| request.header(name).unwrap_or_default().to_owned();
        let mut backend = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("REMOTE_USER", "x-access-token")
            .env("REQUEST_METHOD", &request.method)
            .env("PATH_INFO", &request.path)
            .env("QUERY_STRING", query.finish())
            .env("CONTENT_TYPE", header("content-type"))
            .env("CONTENT_LENGTH", request.body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("HTTP_GIT_PROTOCOL", header("git-protocol"))
            .env("GIT_PROTOCOL", header("git-protocol"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git starts");
        let mut stdin = backend.stdin.take().expect("it is piped");
        let body = request.body.clone();
        let writing = std::thread::spawn(move || stdin.write_all(&body));
        let output = backend.wait_with_output().expect("it ends");
        // It may end before it has read everything.
        let _ = writing.join();
        let end = output.stdout.windows(4).position(|four| four == b"\r\n\r\n").expect("headers end");
        let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
        let mut reply = Reply { status: 200, headers: Vec::new(), body: output.stdout[end + 4..].to_vec() };
        for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            match name.to_ascii_lowercase().as_str() {
                "status" => reply.status = value.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500),
                "content-type" => reply.headers.push(("content-type", value.to_owned())),
                _ => {}
            }
        }
        reply
    }
}
