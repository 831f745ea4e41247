//! Which addresses requests may go to.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use atta_core::definition::parse_address_rule;
use atta_core::engine::{AttemptResult, ResultName};
use atta_worker::{AntConfig, HostResolver, PrivateAddresses};

use crate::harness::{Launchers, tests};
use crate::requests::{ask, open_world, request};
use crate::web::{Reply, Web, answer};
use crate::world::World;

tests![
    private_addresses_are_refused_however_they_are_spelled,
    a_redirect_cannot_lead_to_a_private_address,
    a_name_that_changes_its_address_is_checked_again,
    definitions_widen_only_where_the_ant_lets_them,
    the_metadata_of_clouds_needs_a_rule_everywhere,
];

/// Answers from a script: each host's addresses, one list for each question, the last one for all others.
struct Scripted(Mutex<HashMap<&'static str, Vec<Vec<IpAddr>>>>);

impl Scripted {
    fn new(hosts: &[(&'static str, &[&str])]) -> Arc<Self> {
        let addresses = |list: &[&str]| {
            list.iter().map(|line| line.split(' ').map(|address| address.parse().unwrap()).collect()).collect()
        };
        Arc::new(Self(Mutex::new(hosts.iter().map(|(host, list)| (*host, addresses(list))).collect())))
    }
}

#[async_trait::async_trait]
impl HostResolver for Scripted {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut hosts = self.0.lock().unwrap();
        let answers = hosts.get_mut(host).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))?;
        Ok(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
    }
}

async fn private_addresses_are_refused_however_they_are_spelled(mut launchers: Launchers) {
    let resolver = Scripted::new(&[
        ("inside.test", &["10.1.2.3"]),
        ("mapped.test", &["::ffff:127.0.0.1"]),
        ("localhost", &["127.0.0.1"]),
    ]);
    let world = World::with(launchers.take(), |config: &mut AntConfig| config.http.resolver = resolver).await;
    let web = Web::new(|_| answer("200 OK", "", "")).await;
    let port = web.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "[::]",
        "10.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "localhost",
        "LOCALHOST",
        "inside.test",
        "mapped.test",
        "１２７.０.０.１",
    ] {
        let done = ask(&world, request("GET", &format!("http://{host}:{port}/"))).await;
        assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid), "{host}: {}", done.message());
        assert_eq!(done.code(), "ADDRESS_REFUSED", "{host}: {}", done.message());
        assert!(done.message().ends_with(": requests to it are not allowed on this ant"), "{}", done.message());
    }
    let done = ask(&world, request("GET", "http://inside.test/")).await;
    assert!(
        done.message().starts_with("inside.test has the address 10.1.2.3, which is a private address: "),
        "{}",
        done.message()
    );
    let done = ask(&world, request("GET", "http://nowhere.test/")).await;
    assert_eq!((done.result(), done.code()), (AttemptResult::Named(ResultName::StartFailed), "CANNOT_CONNECT"));
    assert!(done.message().contains("no such host"), "{}", done.message());
    assert_eq!(web.asked().len(), 0);
    world.end().await;
}

async fn a_redirect_cannot_lead_to_a_private_address(mut launchers: Launchers) {
    let inner = Web::new(|_| answer("200 OK", "", "inside")).await;
    let resolver = Scripted::new(&[("outside.test", &["127.0.0.1"]), ("inside.test", &["127.0.0.2"])]);
    let world = World::with(launchers.take(), |config: &mut AntConfig| {
        config.http.resolver = resolver;
        config.http.allow = vec![parse_address_rule("outside.test").unwrap()];
    })
    .await;
    for target in ["127.0.0.1", "inside.test", "[::ffff:127.0.0.1]", "169.254.169.254"] {
        let location = format!("Location: http://{target}:{}/\r\n", inner.address.port());
        let web = Web::new(move |_| answer("307 Moved", &location, "")).await;
        let mut asked = request("GET", &format!("http://outside.test:{}/", web.address.port()));
        asked.follow_redirects = 5;
        let done = ask(&world, asked).await;
        assert_eq!((web.asked().len(), done.code()), (1, "ADDRESS_REFUSED"), "{target}: {}", done.message());
    }
    assert_eq!(inner.asked().len(), 0);
    world.end().await;
}

async fn a_name_that_changes_its_address_is_checked_again(mut launchers: Launchers) {
    let resolver =
        Scripted::new(&[("rebind.test", &["127.0.0.1", "127.0.0.2"]), ("both.test", &["127.0.0.2 127.0.0.1"])]);
    let world = World::with(launchers.take(), |config: &mut AntConfig| {
        config.http.resolver = resolver;
        config.http.allow = vec![parse_address_rule("127.0.0.1").unwrap()];
    })
    .await;
    let web = Web::new(|_| {
        Reply::Last(
            b"HTTP/1.1 302 Found\r\nLocation: /again\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(),
        )
    })
    .await;
    let mut asked = request("GET", &format!("http://rebind.test:{}/", web.address.port()));
    asked.follow_redirects = 5;
    let done = ask(&world, asked).await;
    assert_eq!((web.asked().len(), done.code()), (1, "ADDRESS_REFUSED"), "{}", done.message());
    // Of several addresses only those that are allowed are used.
    let done = ask(&world, request("GET", &format!("http://both.test:{}/", web.address.port()))).await;
    assert_eq!(done.result(), AttemptResult::Http(302), "{}", done.message());
    world.end().await;
}

async fn definitions_widen_only_where_the_ant_lets_them(mut launchers: Launchers) {
    let web = Web::new(|_| answer("200 OK", "", "")).await;
    let closed = World::new(launchers.take()).await;
    let mut asked = request("GET", &web.url("/"));
    asked.allow = vec!["127.0.0.0/8".to_owned()];
    let done = ask(&closed, asked.clone()).await;
    assert_eq!(
        done.message(),
        "127.0.0.1 is a loopback address: this ant does not let definitions choose such addresses (its --http-private is \
         deny)"
    );
    closed.end().await;

    let listed = World::with(launchers.take(), |config| config.http.private = PrivateAddresses::Listed).await;
    assert_eq!(ask(&listed, asked.clone()).await.result(), AttemptResult::Http(200));
    asked.allow.clear();
    let done = ask(&listed, asked.clone()).await;
    assert_eq!(done.message(), "127.0.0.1 is a loopback address: add it to `http.allow` if it is meant");
    asked.allow_private = true;
    assert_eq!(ask(&listed, asked).await.result(), AttemptResult::Http(200));
    listed.end().await;
}

async fn the_metadata_of_clouds_needs_a_rule_everywhere(mut launchers: Launchers) {
    let world = open_world(&mut launchers).await;
    for host in ["169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "169.254.7.7", "[fe80::1]", "0.0.0.0"] {
        let mut asked = request("GET", &format!("http://{host}/latest/meta-data/"));
        asked.allow_private = true;
        let done = ask(&world, asked).await;
        assert_eq!(done.code(), "ADDRESS_REFUSED", "{host}: {}", done.message());
        assert!(done.message().ends_with(": add it to `http.allow` if it is meant"), "{}", done.message());
    }
    world.end().await;
}
