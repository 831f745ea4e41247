//! A proxy that cuts connections at random places, the same in every run of a seed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Bytes that come through at most before a connection is cut.
const MOST: u64 = 6 << 20;

/// The proxy.
pub(crate) struct CuttingProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    cuts: AtomicU64,
    /// Nothing is passed on.
    held: AtomicBool,
    /// All connections of before are cut.
    generation: AtomicU64,
}

impl CuttingProxy {
    pub(crate) fn start(to: SocketAddr, seed: u64) -> Self {
        Self::with(to, seed, None)
    }

    /// Lets so many bytes through each connection, then cuts it.
    pub(crate) fn start_narrow(to: SocketAddr, bytes: u64) -> Self {
        Self::with(to, 0, Some(bytes))
    }

    fn with(to: SocketAddr, seed: u64, bytes: Option<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be listened on");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared::default());
        let given = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            let mut state = seed;
            for connection in listener.incoming() {
                if given.stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let Ok(target) = TcpStream::connect(to) else { continue };
                // A small generator: the order of connections is not ours, the budgets are.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let budget = bytes.unwrap_or(4096 + (state >> 33) % MOST);
                pump(&connection, &target, budget, &given);
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Passes nothing on, or goes on.
    pub(crate) fn hold(&self, hold: bool) {
        self.shared.held.store(hold, Ordering::SeqCst);
    }

    /// Cuts all connections as soon as something is to be passed on.
    pub(crate) fn cut_all(&self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Both directions share the budget.
fn pump(one: &TcpStream, other: &TcpStream, budget: u64, shared: &Arc<Shared>) {
    let left = Arc::new(AtomicU64::new(budget));
    let generation = shared.generation.load(Ordering::SeqCst);
    for (from, to) in [(one, other), (other, one)] {
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
        let (left, shared) = (Arc::clone(&left), Arc::clone(shared));
        std::thread::spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let read = match from.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => read,
                };
                while shared.held.load(Ordering::SeqCst) && !shared.stop.load(Ordering::SeqCst) {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                if shared.generation.load(Ordering::SeqCst) != generation {
                    left.store(0, Ordering::SeqCst);
                    shared.cuts.fetch_add(1, Ordering::SeqCst);
                }
                let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(read as u64));
                if taken.is_err() {
                    if left.swap(0, Ordering::SeqCst) > 0 {
                        shared.cuts.fetch_add(1, Ordering::SeqCst);
                    }
                    break;
                }
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
