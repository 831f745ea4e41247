//! Which addresses a request may go to: checked on what a name resolves to, right before the connection is made to
//! exactly that.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use atta_core::definition::{AddressKind, AddressRule, parse_address_rule};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// What an ant lets requests reach.
#[derive(Clone)]
pub struct HttpPolicy {
    /// Addresses that are not public.
    pub private: PrivateAddresses,
    /// Hosts, addresses and networks that every definition may reach, whatever they are.
    pub allow: Vec<AddressRule>,
    /// Turns names into addresses.
    pub resolver: Arc<dyn HostResolver>,
}

/// Whether requests may go to addresses of this machine and of private networks. Link-local addresses, those of cloud
/// metadata services, multicast and reserved ones are let through by a rule only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrivateAddresses {
    /// Never: for definitions that come from others.
    #[default]
    Deny,
    /// Where the definition lists them (`http.allow`, `http.allow_private`).
    Listed,
    /// Yes: for one's own definitions on one's own machine.
    Allow,
}

/// Turns names into addresses.
#[async_trait::async_trait]
pub trait HostResolver: Send + Sync + 'static {
    /// All addresses of a host.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait::async_trait]
impl HostResolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

impl Default for HttpPolicy {
    fn default() -> Self {
        Self { private: PrivateAddresses::default(), allow: Vec::new(), resolver: Arc::new(SystemResolver) }
    }
}

/// An address that a request may not go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// The policy together with what one request asks for.
#[derive(Clone)]
pub(super) struct Guard {
    policy: HttpPolicy,
    asked: Vec<AddressRule>,
    asked_private: bool,
}

impl Guard {
    /// An error is a sentence.
    pub(super) fn new(policy: &HttpPolicy, allow: &[String], allow_private: bool) -> Result<Self, String> {
        let asked = allow.iter().map(|text| parse_address_rule(text)).collect::<Result<_, _>>()?;
        Ok(Self { policy: policy.clone(), asked, asked_private: allow_private })
    }

    /// The refusal, if that is why a request got no answer.
    pub(super) fn refusal(error: &reqwest::Error) -> Option<&Refused> {
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(refused) = inner.downcast_ref::<Refused>() {
                return Some(refused);
            }
            source = inner.source();
        }
        None
    }

    /// An address in the URL never meets a resolver.
    pub(super) fn check_url(&self, url: &Url) -> Result<(), Refused> {
        match url.host() {
            Some(Host::Ipv4(four)) => self.check(&four.to_string(), four.into()),
            Some(Host::Ipv6(six)) => self.check(&six.to_string(), six.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    fn check(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        let kind = AddressKind::of(address);
        if kind == AddressKind::Public || self.policy.allow.iter().any(|rule| rule.names(host, address)) {
            return Ok(());
        }
        let ordinary = matches!(kind, AddressKind::Loopback | AddressKind::Private);
        let listed = self.asked.iter().any(|rule| rule.names(host, address)) || (self.asked_private && ordinary);
        let allowed = match self.policy.private {
            PrivateAddresses::Deny => false,
            PrivateAddresses::Listed => listed,
            PrivateAddresses::Allow => listed || ordinary,
        };
        if allowed {
            return Ok(());
        }
        let what = if host == address.to_string() {
            format!("{host} is {}", kind.in_words())
        } else {
            format!("{host} has the address {address}, which is {}", kind.in_words())
        };
        let help = match self.policy.private {
            PrivateAddresses::Deny if listed => {
                "this ant does not let definitions choose such addresses (its --http-private is deny)"
            }
            PrivateAddresses::Deny => "requests to it are not allowed on this ant",
            PrivateAddresses::Listed | PrivateAddresses::Allow => "add it to `http.allow` if it is meant",
        };
        Err(Refused(format!("{what}: {help}")))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found = guard.policy.resolver.resolve(host).await?;
            let mut refused = None;
            let mut addresses = Vec::with_capacity(found.len());
            for address in found {
                match guard.check(host, address) {
                    Ok(()) => addresses.push(SocketAddr::new(address, 0)),
                    Err(error) => {
                        refused.get_or_insert(error);
                    }
                }
            }
            match refused {
                Some(error) if addresses.is_empty() => Err(error.into()),
                _ if addresses.is_empty() => {
                    Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")).into())
                }
                _ => Ok(Box::new(addresses.into_iter()) as Addrs),
            }
        })
    }
}
