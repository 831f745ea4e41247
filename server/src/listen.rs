//! The address that the server listens on, and the connections that come to it.

use std::io;
use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};

use crate::api::Peer;

/// An address that is listened on.
pub(crate) struct Listening {
    tcp: TcpListener,
}

impl Listening {
    pub(crate) fn new(tcp: TcpListener) -> Self {
        Self { tcp }
    }
}

impl Listener for Listening {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (connection, address) = Listener::accept(&mut self.tcp).await;
        prepare(&connection);
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
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
