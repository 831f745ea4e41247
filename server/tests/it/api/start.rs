//! Starting, and refusing to start.

use std::net::TcpListener;

use atta_core::protocol::JobId;
use atta_server::{Server, StartError};

use super::rig::{LOOPBACK, TestServer, config};

async fn refused(config: atta_server::ServerConfig) -> StartError {
    match Server::start(config).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(LOOPBACK).unwrap();
    let address = taken.local_addr().unwrap();
    let error = refused(config(dir.path(), Some(address))).await;
    assert_eq!(
        error.to_string(),
        format!(
            "{address} is already in use; stop the program that listens there or choose another address with --listen"
        )
    );
}

#[tokio::test]
async fn an_address_that_others_can_reach_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let error = refused(config(dir.path(), Some(address.parse().unwrap()))).await.to_string();
        assert_eq!(
            error,
            format!(
                "{address} is not a loopback address, so others can reach it: give it TLS by --tls-generate, or by \
                 --tls-cert and --tls-key, and let it ask for tokens by --auth required, or listen on 127.0.0.1 or [::1]"
            )
        );
    }
    assert!(!dir.path().join("atta.db").exists(), "nothing was made");
}

#[tokio::test]
async fn a_second_server_on_a_data_directory_is_refused() {
    let first = TestServer::start().await;
    let error = refused(config(first.dir.path(), Some(LOOPBACK))).await.to_string();
    assert!(error.contains("is in use by another server (process "), "{error}");
}

#[tokio::test]
async fn without_an_address_there_is_no_http_but_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config(dir.path(), None)).await.unwrap();
    assert_eq!(server.local_addr(), None);
    assert_eq!(server.reads().job(&JobId("job_none".to_owned())).await.unwrap(), None);
    server.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_frees_directory_and_port() {
    let server = TestServer::start().await;
    let stream = server.request(reqwest::Method::GET, "/api/v1/events/stream").send().await.unwrap();
    let address = server.server.local_addr().unwrap();
    server.server.shutdown().await;
    assert_eq!(stream.text().await.unwrap(), "");
    let again = Server::start(config(server.dir.path(), Some(address))).await.unwrap();
    again.shutdown().await;
}

#[tokio::test]
async fn health_and_version_answer() {
    let server = TestServer::start().await;
    for path in ["/health/live", "/health/ready", "/health/deep"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (200, Some("ok")), "{path}");
    }
    assert_eq!(server.get("/api/v1/version").await.json(), serde_json::json!({"version": "0.0.0-test", "api": "v1"}));
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    server.server.shutdown().await;
}
