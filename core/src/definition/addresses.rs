//! Which addresses are private, and rules that name hosts, addresses and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a rule names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AddressRule {
    /// A host by its name, lower-case.
    Host(String),
    /// Addresses that begin with these bits.
    Network(IpAddr, u8),
}

/// Reads `db.internal`, `10.1.2.3`, `10.1.0.0/16`, `fd00::/8`. An error is a sentence.
pub fn parse_rule(text: &str) -> Result<AddressRule, String> {
    let text = text.trim();
    let shown = super::scalar::shortened(text);
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(AddressRule::Network(plain(address), width(plain(address))));
    }
    if let Some((address, bits)) = text.split_once('/') {
        let address: IpAddr = address.parse().map_err(|_| format!("\"{shown}\" is no network"))?;
        let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= width(address));
        let bits = bits.ok_or_else(|| format!("\"{shown}\" is no network: it takes 0 to {} bits", width(address)))?;
        return Ok(AddressRule::Network(address, bits));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let valid = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
        && !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if valid { Ok(AddressRule::Host(name)) } else { Err(format!("\"{shown}\" is no host, address or network")) }
}

impl AddressRule {
    /// Whether the rule names the host that was asked for, or the address that it has.
    pub fn names(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Host(name) => host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case(name),
            Self::Network(network, bits) => match (*network, plain(address)) {
                (IpAddr::V4(network), IpAddr::V4(address)) => {
                    same_bits(u128::from(network.to_bits()) << 96, u128::from(address.to_bits()) << 96, *bits)
                }
                (IpAddr::V6(network), IpAddr::V6(address)) => same_bits(network.to_bits(), address.to_bits(), *bits),
                _ => false,
            },
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn same_bits(a: u128, b: u128, bits: u8) -> bool {
    bits == 0 || (a ^ b) >> (128 - u32::from(bits)) == 0
}

/// The address that a packet to it reaches: IPv4 inside of IPv6 is IPv4.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => embedded(six).map_or(address, IpAddr::V4),
    }
}

/// IPv4 in IPv6: mapped (`::ffff:0:0/96`), compatible (`::/96`), NAT64 (`64:ff9b::/96`, RFC 6052), 6to4 (`2002::/16`).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        // `::` and `::1` are what they are.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(four(high, low)),
        _ => None,
    }
}

/// Why an address is none of the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// Anybody can reach it.
    Public,
    /// This machine.
    Loopback,
    /// A network of one's own (RFC 1918, RFC 4193, carrier-grade NAT, benchmarks).
    Private,
    /// The machine's own link, where clouds offer credentials to their machines.
    LinkLocal,
    /// An address at which a cloud offers credentials to its machines.
    Metadata,
    /// No address of one machine: unspecified, multicast, broadcast, reserved.
    Special,
}

impl AddressKind {
    /// Which kind an address is of.
    pub fn of(address: IpAddr) -> Self {
        match plain(address) {
            IpAddr::V4(four) => Self::of_four(four),
            IpAddr::V6(six) => Self::of_six(six),
        }
    }

    fn of_four(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        match (a, b, c, d) {
            // AWS, GCP, Azure and others; Alibaba; Oracle; Azure's own.
            (169, 254, 169, 254) | (100, 100, 100, 200) | (192, 0, 0, 192) | (168, 63, 129, 16) => Self::Metadata,
            (127, ..) => Self::Loopback,
            (169, 254, ..) => Self::LinkLocal,
            (10, ..) | (192, 168, ..) | (172, 16..=31, ..) | (100, 64..=127, ..) | (198, 18 | 19, ..) => Self::Private,
            (0 | 224..=255, ..) | (192, 0, 0 | 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => Self::Special,
            _ => Self::Public,
        }
    }

    fn of_six(address: Ipv6Addr) -> Self {
        let segments = address.segments();
        match segments {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Self::Metadata,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Self::Private,
            // Teredo carries an IPv4 address that the sender chooses; documentation and discard prefixes lead nowhere.
            [0x2001, 0 | 0xdb8, ..] | [0x100, 0, 0, 0, ..] | [0xff00..=0xffff, ..] => Self::Special,
            // Global unicast is 2000::/3 (RFC 4291); the rest is not assigned.
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Special,
        }
    }

    /// In words, as in "127.0.0.1 is …".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud's metadata service",
            Self::Special => "a reserved or multicast address",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> AddressKind {
        AddressKind::of(text.parse().unwrap())
    }

    #[test]
    fn addresses_that_are_not_public_are_recognised_in_every_clothing() {
        for text in
            ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"]
        {
            assert_eq!(kind(text), AddressKind::Loopback, "{text}");
        }
        for text in
            ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.1.1.1"]
        {
            assert_eq!(kind(text), AddressKind::Private, "{text}");
        }
        for text in
            ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "100.100.100.200"]
        {
            assert_eq!(kind(text), AddressKind::Metadata, "{text}");
        }
        for text in ["169.254.1.1", "fe80::1"] {
            assert_eq!(kind(text), AddressKind::LinkLocal, "{text}");
        }
        for text in
            ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "2001:db8::1", "4000::1", "2001::1"]
        {
            assert_eq!(kind(text), AddressKind::Special, "{text}");
        }
        for text in ["8.8.8.8", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "100.128.0.1"] {
            assert_eq!(kind(text), AddressKind::Public, "{text}");
        }
    }

    #[test]
    fn rules_name_hosts_addresses_and_networks() {
        let names =
            |rule: &str, host: &str, address: &str| parse_rule(rule).unwrap().names(host, address.parse().unwrap());
        assert!(names("db.Internal", "DB.internal.", "10.0.0.1"));
        assert!(!names("internal", "db.internal", "10.0.0.1"));
        assert!(names("10.1.0.0/16", "x", "10.1.255.1") && !names("10.1.0.0/16", "x", "10.2.0.1"));
        assert!(names("127.0.0.1", "x", "::ffff:127.0.0.1") && names("::1", "x", "::1") && names("[::1]", "x", "::1"));
        assert!(names("fd00::/8", "x", "fd12::1") && !names("fd00::/8", "x", "10.0.0.1"));
        assert!(names("0.0.0.0/0", "x", "10.0.0.1"));
        for text in ["", "10.0.0.0/33", "http://x", "a b", "10.0.0", "x/8", "*"] {
            assert!(parse_rule(text).is_err(), "{text}");
        }
    }
}
