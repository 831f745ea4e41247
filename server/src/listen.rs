//! The address that the server listens on, and the connections that come to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::api::Peer;
use crate::tls::Tls;

/// To agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that may be agreeing on TLS at once; others wait.
const HANDSHAKES: usize = 256;

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

impl Listener for Listening {
    type Io = Connection;
    type Addr = SocketAddr;

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

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Connected<IncomingStream<'_, Listening>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listening>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A message of a stream is a small write of its own: without this it would wait for the client's delayed acknowledgement
/// of the one before, some 40 ms.
fn prepare(connection: &TcpStream) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps collecting small writes");
    }
}
