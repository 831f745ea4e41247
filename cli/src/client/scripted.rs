//! A server for tests that says little and then nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::Server;
use crate::args::{ServerArgs, TokenFileArgs};

/// Each connection is given the next of these answers, and is kept open in silence; and how many connections there were.
pub(super) async fn scripted(answers: &'static [&'static str]) -> (Server, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        let mut open = Vec::new();
        for answer in answers {
            let (mut line, _) = listener.accept().await.expect("a connection");
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(line.read_u8().await.expect("a request"));
            }
            // In one piece: head and body arrive together, however busy the machine is.
            line.write_all(answer.as_bytes()).await.expect("the client listens");
            open.push(line);
        }
        std::future::pending::<()>().await;
    });
    let mut server =
        Server::new(&ServerArgs { server: url, token: TokenFileArgs::default() }).expect("the URL can be used");
    server.idle = Duration::from_millis(100);
    (server, connections)
}
