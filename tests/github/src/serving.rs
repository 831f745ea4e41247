//! A server of a fake: connections, faults, and a log of what was asked.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::faults::{Fault, Rule};
use crate::http::{self, Reply, Request};

/// How often an idle connection looks whether the fake is still there.
const TICK: Duration = Duration::from_millis(100);

/// One request that came.
#[derive(Debug, Clone)]
pub struct Logged {
    /// `GET`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// In order.
    pub query: Vec<(String, String)>,
    /// What was sent, if it was JSON.
    pub body: Value,
    /// What was answered; 0 when the connection was cut.
    pub status: u16,
    /// The word after `Bearer`.
    pub token: String,
}

/// What is served.
pub trait Site: Send + Sync + 'static {
    /// Whose description it is held against, for messages.
    const NAME: &'static str;
    /// Does what is asked; what is not as described is added to the breaches.
    fn perform(&self, request: &Request, breaches: &mut Vec<String>) -> Reply;
    /// An answer that nothing was done for.
    fn broken(&self, fault: &Fault) -> Reply;
}

struct Shared<S> {
    site: S,
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<Logged>>,
    breaches: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// A site that answers on loopback. It panics when it is dropped if something was not as described.
pub struct Service<S: Site> {
    address: SocketAddr,
    shared: Arc<Shared<S>>,
    accepting: Option<JoinHandle<()>>,
}

/// What is behind the lock, also when a test that had it has failed.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Site> Service<S> {
    /// Serves on this address what is made for it.
    pub fn start(address: &str, site: impl FnOnce(SocketAddr) -> S) -> Self {
        let listener = TcpListener::bind(address).expect("the port is free");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared {
            site: site(address),
            rules: Mutex::default(),
            log: Mutex::default(),
            breaches: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What is served.
    pub fn site(&self) -> &S {
        &self.shared.site
    }

    /// Lets something go wrong.
    pub fn inject(&self, rule: Rule) {
        locked(&self.shared.rules).push(rule);
    }

    /// How many rules have not met all of their requests yet.
    pub fn unmet(&self) -> usize {
        locked(&self.shared.rules).iter().filter(|rule| rule.waits()).count()
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        locked(&self.shared.rules).clear();
    }

    /// All requests so far.
    pub fn log(&self) -> Vec<Logged> {
        locked(&self.shared.log).clone()
    }

    /// How many requests of this method had this in their path.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.log().iter().filter(|asked| asked.method == method && asked.path.contains(path)).count()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        locked(&self.shared.log).clear();
    }

    /// What was not as described, so far.
    pub fn breaches(&self) -> Vec<String> {
        locked(&self.shared.breaches).clone()
    }
}

impl<S: Site> Drop for Service<S> {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        let breaches = self.breaches();
        let failing = std::thread::panicking();
        assert!(failing || breaches.is_empty(), "not as {} describes it:\n{}", S::NAME, breaches.join("\n"));
    }
}

fn serve<S: Site>(shared: &Shared<S>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while !shared.over.load(Ordering::SeqCst) {
        // Nothing is read by waiting: what has begun to come is read whole.
        let _ = reader.get_ref().set_read_timeout(Some(TICK));
        let waiting = if reader.buffer().is_empty() { reader.get_ref().peek(&mut [0]) } else { Ok(1) };
        match waiting {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => return,
        }
        let _ = reader.get_ref().set_read_timeout(Some(Duration::from_secs(10)));
        let Ok(Some(request)) = http::read(&mut reader) else { return };
        if !answer(shared, &request, &writer) {
            let _ = writer.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// Whether the connection goes on.
fn answer<S: Site>(shared: &Shared<S>, request: &Request, writer: &TcpStream) -> bool {
    let fault = locked(&shared.rules).iter_mut().find_map(|rule| rule.meets(&request.method, &request.path));
    let mut reply = match fault {
        None | Some(Fault::CutAfter | Fault::CutWithin | Fault::Silent(_) | Fault::Slow(_) | Fault::DoneBut(_)) => {
            let mut breaches = Vec::new();
            let reply = shared.site.perform(request, &mut breaches);
            locked(&shared.breaches).append(&mut breaches);
            reply
        }
        Some(ref fault) => shared.site.broken(fault),
    };
    let mut bytes = None;
    let mut goes_on = true;
    match fault {
        Some(Fault::DoneBut(status)) => reply = shared.site.broken(&Fault::Status(status)),
        Some(Fault::CutBefore | Fault::CutAfter) => {
            (reply.status, goes_on, bytes) = (0, false, Some(Vec::new()));
        }
        Some(Fault::CutWithin) => {
            let whole = http::bytes(&reply);
            // An answer without a body loses the end of its headers.
            let kept = whole.len() - (reply.body.len() / 2).max(2);
            (reply.status, goes_on, bytes) = (0, false, Some(whole[..kept].to_vec()));
        }
        Some(Fault::Silent(time) | Fault::Slow(time)) => {
            let until = std::time::Instant::now() + time;
            while std::time::Instant::now() < until && !shared.over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        _ => {}
    }
    locked(&shared.log).push(Logged {
        method: request.method.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        body: serde_json::from_slice(&request.body).unwrap_or(Value::Null),
        status: reply.status,
        token: request.token().to_owned(),
    });
    http::write(writer, &bytes.unwrap_or_else(|| http::bytes(&reply)));
    goes_on
}
