//! The address that the server listens on, and the connections that come to it.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::middleware::AddExtension;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Layer as _, Service};

use crate::api::Peer;
use crate::tls::Tls;

/// To agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that may be agreeing on TLS at once; others wait.
const HANDSHAKES: usize = 256;
/// When nothing came for so long, the kernel asks whether the other side is still there, and again after each pause.
const ASK_AFTER: Duration = Duration::from_mins(1);
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// Milliseconds after which the kernel gives a connection up whose other side takes nothing, or does not answer. Somebody
/// who only reads slowly (a pager) is waited for so long too.
const GONE_MILLIS: u32 = 5 * 60 * 1000;

/// How long a connection is kept on which nothing is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until the first request has come, and with HTTP/1 until each next one has come: its whole header.
    header: Duration,
    /// With HTTP/2, until the other side is asked whether it is still there.
    ping: Duration,
    /// And until it has to have answered.
    pong: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        // Longer than what ants and proxies in front keep connections for that they do not use at present.
        Self { header: Duration::from_secs(100), ping: Duration::from_mins(1), pong: Duration::from_mins(1) }
    }
}

impl Patience {
    fn builder(self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        // Without a timer there are no limits.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.header);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(self.ping).keep_alive_timeout(self.pong);
        builder
    }
}

/// A connection, encrypted or not.
type Connection = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// An address that is listened on.
pub(crate) struct Listening {
    address: SocketAddr,
    source: Source,
}

enum Source {
    Plain(TcpListener),
    Tls { ready: mpsc::Receiver<(Connection, SocketAddr)>, accepting: JoinHandle<()> },
}

impl Listening {
    pub(crate) fn new(tcp: TcpListener, tls: Option<&Tls>) -> io::Result<Self> {
        let address = tcp.local_addr()?;
        let source = match tls {
            None => Source::Plain(tcp),
            Some(tls) => {
                let (sender, ready) = mpsc::channel(1);
                let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
                Source::Tls { ready, accepting: tokio::spawn(accept(tcp, acceptor, sender)) }
            }
        };
        Ok(Self { address, source })
    }

    /// Answers until it is told to stop. Then nobody can connect any more, connections on which nothing is asked are
    /// closed, and it ends when everything that was asked before is answered.
    pub(crate) async fn serve(mut self, router: Router, stop: CancellationToken, patience: Patience) {
        // Its routes are made ready here and not for each request.
        let router: Router = router.with_state(());
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        // With this future all of them end.
        let _cut = cut.clone().drop_guard();
        loop {
            let (connection, peer) = tokio::select! {
                next = self.accept() => next,
                () = stop.cancelled() => break,
            };
            let service = Extension(ConnectInfo(Peer(peer))).layer(router.clone());
            let answers = answer(connection, peer, service, stop.clone(), patience);
            connections.spawn(cut.clone().run_until_cancelled_owned(answers));
        }
        connections.close();
        tracing::debug!(address = %self.address, connections = connections.len(), "takes no more connections");
        drop(self);
        connections.wait().await;
    }

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match &mut self.source {
            Source::Plain(tcp) => {
                let (connection, address) = Listener::accept(tcp).await;
                prepare(&connection);
                (Either::Left(connection), address)
            }
            Source::Tls { ready, .. } => match ready.recv().await {
                Some(next) => next,
                // Nobody accepts any more: the server stops.
                None => std::future::pending().await,
            },
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Source::Tls { accepting, .. } = &self.source {
            accepting.abort();
        }
    }
}

/// Agrees on TLS with whoever comes; nobody waits for somebody who is slow.
async fn accept(mut tcp: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<(Connection, SocketAddr)>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let (connection, address) = Listener::accept(&mut tcp).await;
        prepare(&connection);
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            match timeout(HANDSHAKE, acceptor.accept(connection)).await {
                Ok(Ok(connection)) => {
                    drop(permit);
                    // An error says that the server stops.
                    let _ = ready.send((Either::Right(Box::new(connection)), address)).await;
                }
                Ok(Err(error)) => tracing::debug!(peer = %address, %error, "no TLS was agreed on"),
                Err(_) => tracing::debug!(peer = %address, "no TLS was agreed on in time"),
            }
        });
    }
}

/// Answers on one connection until it is closed.
async fn answer(
    connection: Connection,
    peer: SocketAddr,
    service: AddExtension<Router, ConnectInfo<Peer>>,
    stop: CancellationToken,
    patience: Patience,
) {
    let asked = Arc::new(AtomicBool::new(false));
    let service = TowerToHyperService::new(Noting { service, asked: Arc::clone(&asked) });
    let builder = patience.builder();
    let mut serving = pin!(builder.serve_connection(TokioIo::new(connection), service));
    let mut first = pin!(tokio::time::sleep(patience.header));
    let (mut waiting, mut stopping) = (true, false);
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%peer, %error, "a connection has ended");
                }
                return;
            }
            // Before it is known which version of HTTP is spoken, no other limit counts.
            () = first.as_mut(), if waiting => {
                waiting = false;
                if !asked.load(Ordering::Relaxed) {
                    tracing::debug!(%peer, "nothing was asked in time");
                    return;
                }
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Notes that there was a request.
#[derive(Clone)]
struct Noting<S> {
    service: S,
    asked: Arc<AtomicBool>,
}

impl<R, S: Service<R>> Service<R> for Noting<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.asked.store(true, Ordering::Relaxed);
        self.service.call(request)
    }
}

/// A message of a stream is a small write of its own: without `set_nodelay` it would wait for the client's delayed
/// acknowledgement of the one before, some 40 ms. The rest finds out that somebody is gone who could not say so.
fn prepare(connection: &TcpStream) {
    let prepared = connection.set_nodelay(true).and_then(|()| {
        sockopt::set_socket_keepalive(connection, true)?;
        sockopt::set_tcp_keepidle(connection, ASK_AFTER)?;
        sockopt::set_tcp_keepintvl(connection, ASK_AGAIN)?;
        sockopt::set_tcp_user_timeout(connection, GONE_MILLIS)?;
        Ok(())
    });
    if let Err(error) = prepared {
        tracing::debug!(%error, "a connection cannot be set up as it should be");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::tls::{self, TlsSource};

    const SHORT: Duration = Duration::from_millis(30);
    const NEVER: Duration = Duration::from_hours(1);

    struct Served {
        address: SocketAddr,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Served {
        async fn new(router: Router, tls: Option<&Tls>, patience: Patience) -> Self {
            let listening = Listening::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), tls).unwrap();
            let (address, stop) = (listening.address, CancellationToken::new());
            let task = tokio::spawn(listening.serve(router, stop.clone(), patience));
            Self { address, stop, task }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    fn whoami() -> Router {
        Router::new().route("/", get(|ConnectInfo(Peer(peer)): ConnectInfo<Peer>| async move { peer.to_string() }))
    }

    /// What still comes on a connection until the server closes it, in whichever way.
    async fn rest(mut connection: impl AsyncRead + Unpin) -> String {
        let mut read = Vec::new();
        let end = timeout(Duration::from_mins(1), connection.read_to_end(&mut read)).await;
        assert!(end.is_ok(), "the connection is still open: {}", String::from_utf8_lossy(&read));
        String::from_utf8_lossy(&read).into_owned()
    }

    #[tokio::test]
    async fn a_connection_on_which_no_whole_request_comes_is_closed() {
        let served = Served::new(whoami(), None, Patience { header: SHORT, ..Patience::default() }).await;
        for said in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n", "PRI * HTTP/2.0\r\n"] {
            let mut connection = served.connect().await;
            // It fails when the connection is closed already.
            let _ = connection.write_all(said.as_bytes()).await;
            assert_eq!(rest(connection).await, "", "{said:?}");
        }
        // After a request that was answered too. On a slow machine the first one comes too late.
        loop {
            let mut connection = served.connect().await;
            let own = connection.local_addr().unwrap().to_string();
            let _ = connection.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT").await;
            if rest(connection).await.ends_with(&own) {
                break;
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_agrees_on_tls_and_says_nothing_more_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let source = TlsSource::Generated { names: vec!["localhost".to_owned()] };
        let tls = tls::open(&source, dir.path()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(dir.path().join(tls::FILE)).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let served = Served::new(whoami(), Some(&tls), Patience { header: SHORT, ..Patience::default() }).await;
        let name = ServerName::try_from("localhost").unwrap();
        let connection = TlsConnector::from(Arc::new(client)).connect(name, served.connect().await).await.unwrap();
        assert_eq!(rest(connection).await, "");
    }

    #[tokio::test]
    async fn a_connection_with_http_2_whose_other_side_answers_no_ping_is_closed() {
        let served = Served::new(whoami(), None, Patience { header: NEVER, ping: SHORT, pong: SHORT }).await;
        let mut connection = served.connect().await;
        let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // No settings, then GET / with http in stream 1, and nothing ever after.
        said.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        said.extend([0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84]);
        let _ = connection.write_all(&said).await;
        rest(connection).await;
    }

    #[tokio::test]
    async fn at_the_stop_what_was_asked_is_answered_and_what_is_idle_is_closed() {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, waits) = (Arc::clone(&begun), Arc::clone(&go_on));
        let slow = get(move || async move {
            begins.notify_one();
            waits.notified().await;
            "answered"
        });
        let patience = Patience { header: NEVER, ping: NEVER, pong: NEVER };
        let served = Served::new(whoami().route("/slow", slow), None, patience).await;
        let silent = served.connect().await;
        let mut idle = served.connect().await;
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let own = idle.local_addr().unwrap().to_string();
        let mut answer = Vec::new();
        while !answer.ends_with(own.as_bytes()) {
            assert_ne!(idle.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
        }
        let mut asking = served.connect().await;
        asking.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        begun.notified().await;
        served.stop.cancel();
        assert_eq!((rest(silent).await, rest(idle).await), (String::new(), String::new()));
        assert!(!served.task.is_finished());
        go_on.notify_one();
        let answer = rest(asking).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("answered"), "{answer}");
        served.task.await.unwrap();
    }

    #[tokio::test]
    async fn the_kernel_finds_out_when_the_other_side_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (_client, (connection, _)) = (client.unwrap(), accepted.unwrap());
        prepare(&connection);
        assert!(connection.nodelay().unwrap() && sockopt::socket_keepalive(&connection).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&connection).unwrap(), ASK_AFTER);
        assert_eq!(sockopt::tcp_user_timeout(&connection).unwrap(), GONE_MILLIS);
    }
}
