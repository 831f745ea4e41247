//! A web server of the tests, which can also misbehave.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Counts connections.
    pub(crate) connection: usize,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What is done about it.
pub(crate) enum Reply {
    /// These bytes, and the connection stays open.
    Bytes(Vec<u8>),
    /// These bytes, then the connection is closed.
    Last(Vec<u8>),
    /// These bytes, then nothing for ever.
    Hang(Vec<u8>),
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

impl Web {
    pub(crate) async fn new(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(None, Arc::new(reply)).await
    }

    pub(crate) async fn secure(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let chain = CertificateDer::pem_file_iter(tls_file("server.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(tls_file("server.key")).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        Self::serve(Some(TlsAcceptor::from(Arc::new(config))), Arc::new(reply)).await
    }

    async fn serve(tls: Option<TlsAcceptor>, reply: Arc<dyn Fn(&Asked) -> Reply + Send + Sync>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let record = asked.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            let mut count = 0;
            while let Ok((stream, _)) = listener.accept().await {
                count += 1;
                let (tls, reply, record) = (tls.clone(), reply.clone(), record.clone());
                connections.spawn(async move {
                    match tls {
                        None => talk(stream, count, &*reply, &record).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                talk(stream, count, &*reply, &record).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, asked, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    reply: &(dyn Fn(&Asked) -> Reply + Send + Sync),
    record: &Mutex<Vec<Asked>>,
) {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break at;
            }
            if !matches!(stream.read_buf(&mut buffer).await, Ok(count) if count > 0) {
                return;
            }
        };
        let text = String::from_utf8(buffer[..head].to_vec()).unwrap();
        let mut lines = text.lines();
        let line = lines.next().unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .and_then(|(_, value)| value.parse::<usize>().ok())
            .unwrap_or(0);
        while buffer.len() < head + 4 + length {
            if !matches!(stream.read_buf(&mut buffer).await, Ok(count) if count > 0) {
                return;
            }
        }
        let body = String::from_utf8(buffer[head + 4..head + 4 + length].to_vec()).unwrap();
        buffer.drain(..head + 4 + length);
        let asked = Asked { line, headers, body, connection };
        record.lock().unwrap().push(asked.clone());
        let (bytes, then) = match reply(&asked) {
            Reply::Bytes(bytes) => (bytes, Some(true)),
            Reply::Last(bytes) => (bytes, Some(false)),
            Reply::Hang(bytes) => (bytes, None),
        };
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        match then {
            Some(true) => {}
            Some(false) => {
                let _ = stream.shutdown().await;
                return;
            }
            None => std::future::pending().await,
        }
    }
}
