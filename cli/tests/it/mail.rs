//! E-mail by a server that asks for encryption (STARTTLS), with a certificate of an authority of one's own.

use std::process::Command;
use std::sync::{Arc, mpsc};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::live_server::{LIMIT, LiveServer, repository, wait_for};

/// A certificate for localhost and the authority that signed it, the same as those of the ants' tests.
fn certificate(name: &str) -> std::path::PathBuf {
    repository().join("worker/tests/it/tls").join(name)
}

/// Everything that one connection said, in order; what came encrypted begins with `TLS `.
type Heard = Vec<String>;

/// Talks SMTP until the client has enough or asks for encryption; says whether it did.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, encrypted: bool, offers: &str, heard: &mut Heard) -> bool {
    let mut stream = BufReader::new(stream);
    if !encrypted && stream.write_all(b"220 test ESMTP\r\n").await.is_err() {
        return false;
    }
    let mut in_data = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        let line = line.trim_end();
        heard.push(format!("{}{line}", if encrypted { "TLS " } else { "" }));
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            _ if in_data && line != "." => continue,
            _ if in_data => {
                in_data = false;
                "250 queued".to_owned()
            }
            "EHLO" => format!("250-test\r\n{offers}250 8BITMIME"),
            "AUTH" => "235 welcome".to_owned(),
            "DATA" => {
                in_data = true;
                "354 go on".to_owned()
            }
            "STARTTLS" => "220 go ahead".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        };
        if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() || verb == "QUIT" {
            return false;
        }
        if verb == "STARTTLS" {
            return true;
        }
    }
}

/// A mail server on a thread of its own; each connection's words arrive when it is over.
fn mail_server(with_encryption: bool) -> (u16, mpsc::Receiver<Heard>) {
    let (sender, heard) = mpsc::channel();
    let (port_sender, port) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async move {
            let chain = CertificateDer::pem_file_iter(certificate("server.pem")).expect("it is there");
            let chain = chain.collect::<Result<Vec<_>, _>>().expect("it is a certificate");
            let key = PrivateKeyDer::from_pem_file(certificate("server.key")).expect("it is a key");
            let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("they fit");
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            port_sender.send(listener.local_addr().expect("it has an address").port()).expect("somebody waits");
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut heard = Heard::new();
                let offers = if with_encryption { "250-STARTTLS\r\n" } else { "250-AUTH PLAIN\r\n" };
                if talk(&mut stream, false, offers, &mut heard).await {
                    match acceptor.accept(stream).await {
                        Ok(stream) => {
                            talk(stream, true, "250-AUTH PLAIN\r\n", &mut heard).await;
                        }
                        Err(_) => heard.push("the client did not trust".to_owned()),
                    }
                }
                if sender.send(heard).is_err() {
                    return;
                }
            }
        });
    });
    (port.recv_timeout(LIMIT).expect("the mail server starts"), heard)
}

/// Starts a server that sends e-mails there, and runs the example that sends one.
fn send(directory: &TempDir, port: u16, authority: Option<&str>) -> LiveServer {
    let path = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("PATH is text");
    let url = format!("smtp://atta:hunter2@localhost:{port}?tls=required");
    let mut variables = vec![("ATTA_SMTP_URL", url.as_str()), ("ATTA_SMTP_FROM", "atta@example.org")];
    variables.extend(authority.map(|file| ("SSL_CERT_FILE", file)));
    let server = LiveServer::start_with(directory.path(), &path, &variables);
    let example = repository().join("workflows/examples/notify-email.yaml");
    let job = server.json(&["submit", example.to_str().expect("the path is text"), "--json"]);
    let job = job["job_id"].as_str().expect("a job has an id").to_owned();
    assert_eq!(server.finished(&job)["state"], "COMPLETED");
    server
}

fn says(heard: &[String], what: &str) -> bool {
    heard.iter().any(|line| line.contains(what))
}

#[test]
fn an_email_and_its_password_go_encrypted_to_a_server_that_is_trusted() {
    let directory = TempDir::with_prefix("atta-mail-").expect("a temporary directory can be made");
    let (port, heard) = mail_server(true);
    let authority = certificate("ca.pem");
    let server = send(&directory, port, authority.to_str());
    let heard = heard.recv_timeout(LIMIT).expect("a letter arrives");
    for words in ["TLS AUTH PLAIN ", "TLS RCPT TO:<team@example.org>", "TLS Subject: "] {
        assert!(says(&heard, words), "{words}: {heard:#?}");
    }
    let plain: Vec<&String> = heard.iter().filter(|line| !line.starts_with("TLS ")).collect();
    assert!(plain.iter().all(|line| line.starts_with("EHLO ") || *line == "STARTTLS"), "{plain:?}");
    wait_for("the letter to be sent", || {
        let listed = server.json(&["notifications", "--state", "sent", "--json"]);
        listed.as_array().filter(|all| !all.is_empty()).map(|_| ())
    });
    server.stop();
}

#[test]
fn nothing_is_told_to_a_mail_server_that_is_not_trusted_or_does_not_encrypt() {
    for (encrypts, reason) in [(true, "certificate"), (false, "STARTTLS")] {
        let directory = TempDir::with_prefix("atta-mail-").expect("a temporary directory can be made");
        let (port, heard) = mail_server(encrypts);
        let server = send(&directory, port, None);
        let heard = heard.recv_timeout(LIMIT).expect("somebody connects");
        assert!(!says(&heard, "AUTH ") && !says(&heard, "RCPT") && !says(&heard, "Subject"), "{heard:#?}");
        let error = wait_for("the refusal to be noted", || {
            let listed = server.json(&["notifications", "--json"]);
            listed[0]["last_error"].as_str().map(str::to_owned)
        });
        assert!(error.contains(reason) && !error.contains("hunter2"), "{error}");
        let log = std::fs::read_to_string(directory.path().join("server.log")).expect("there is a log");
        assert!(!log.contains("hunter2"), "{log}");
        server.kill();
    }
    // What the operator sees of the process tells no password either.
    let output = Command::new(crate::live_server::atta())
        .args(["serve", "--smtp-url", "smtp://atta:hunter2@localhost?tls=perhaps"])
        .output()
        .expect("atta starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && !said.contains("hunter2"), "{said}");
}
