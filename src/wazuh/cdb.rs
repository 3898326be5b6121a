//! CDB lists: which keys stand for an indicator in a list that Wazuh compiles, and how
//! a line is written. Pure: which indicators there are, and files, are others' duty.
//!
//! A key is looked up as it stands. Of an address also the text up to each of its dots
//! is, which is how a list holds networks: by whole octets, IPv4 only. Other prefix
//! lengths are so many of these as they take.

use super::local::is_local;
use crate::indicator::{Namespace, mapped};
use ipnet::{IpNet, Ipv4Net};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most events of a line: the newest. Nobody reads more, and a line has an end (below).
pub const MAX_EVENTS: usize = 50;

/// Longest key. Wazuh reads a line into 65,534 bytes; `MAX_EVENTS` ids of 20 digits with
/// commas, quotes and colon leave more than this.
const MAX_KEY: usize = 64_000;

/// The widest network that is listed, as in Falco's lists: a wider one is a slip or a
/// prank, and would match a good part of all addresses.
const WIDEST: u8 = 8;

/// An address or a network of the private, loopback, link-local ... ones.
pub const LOCAL: &str = "private";
/// A network that no prefix of text stands for.
pub const IPV6_NETWORK: &str = "IPv6 network";
/// A network beyond the widest that is listed.
pub const TOO_WIDE: &str = "network too wide";
/// A quotation mark or a control character would end the key or the line.
pub const NO_KEY: &str = "not possible in a CDB list";

/// Hands each key that stands for a value of this namespace in its list to `each`.
///
/// # Errors
/// The reason why none does.
pub fn keys(namespace: Namespace, value: &str, mut each: impl FnMut(&str)) -> Result<(), &'static str> {
    match namespace {
        // A network as MISP writes it; it comes once more as what it is.
        Namespace::Ip if value.contains('/') => Ok(()),
        Namespace::Ip => address(value.parse().map_err(|_| NO_KEY)?, each),
        Namespace::Cidr => match value.parse().map_err(|_| NO_KEY)? {
            IpNet::V4(network) => v4_network(network, each),
            IpNet::V6(network) => v4_network(mapped(network).ok_or(IPV6_NETWORK)?, each),
        },
        _ if value.is_empty() || value.len() > MAX_KEY || value.contains(|c: char| c == '"' || c.is_control()) => {
            Err(NO_KEY)
        }
        Namespace::Url => {
            each(value);
            Ok(())
        }
        // Wazuh's own hashes are in lower case, and so are names as a rule.
        _ => {
            each(&value.to_ascii_lowercase());
            Ok(())
        }
    }
}

fn address(ip: IpAddr, mut each: impl FnMut(&str)) -> Result<(), &'static str> {
    if is_local(ip) {
        return Err(LOCAL);
    }
    let text = ip.to_string();
    each(&text);
    if let IpAddr::V6(ip) = ip {
        // Sysmon writes every group, Suricata every digit, and no other form is looked for.
        let (groups, digits) = (in_groups(ip, 1), in_groups(ip, 4));
        for other in [&groups, &digits].into_iter().filter(|other| **other != text) {
            each(other);
        }
    }
    Ok(())
}

/// All eight groups, each with so many digits at least.
fn in_groups(ip: Ipv6Addr, digits: usize) -> String {
    let groups: Vec<String> = ip.segments().iter().map(|group| format!("{group:0digits$x}")).collect();
    groups.join(":")
}

fn v4_network(network: Ipv4Net, mut each: impl FnMut(&str)) -> Result<(), &'static str> {
    if network.prefix_len() < WIDEST {
        return Err(TOO_WIDE);
    }
    let mut listed = false;
    let octets = network.prefix_len().div_ceil(8);
    for block in network.subnets(8 * octets).into_iter().flatten() {
        blocks_without_local(block, |block| {
            listed = true;
            each(&prefix(block));
        });
    }
    if listed { Ok(()) } else { Err(LOCAL) }
}

/// The block of whole octets, or its parts where some of them are local: these all begin
/// and end with a second octet.
fn blocks_without_local(block: Ipv4Net, mut each: impl FnMut(Ipv4Net)) {
    let local = |part: &Ipv4Net| is_local(IpAddr::V4(part.network()));
    if block.prefix_len() > 8 {
        if !local(&block) {
            each(block);
        }
        return;
    }
    let parts: Vec<Ipv4Net> = block.subnets(16).into_iter().flatten().collect();
    if parts.iter().any(local) {
        parts.into_iter().filter(|part| !local(part)).for_each(each);
    } else {
        each(block);
    }
}

/// `192.0.2.` for 192.0.2.0/24; the whole address for a /32.
fn prefix(block: Ipv4Net) -> String {
    let octets = block.network().octets();
    match usize::from(block.prefix_len() / 8) {
        4 => Ipv4Addr::from(octets).to_string(),
        n => octets[..n].iter().map(|octet| format!("{octet}.")).collect(),
    }
}

/// Appends a key's line. The value is the ids of events, parted by commas.
pub fn line(out: &mut String, key: &str, events: impl IntoIterator<Item = u64>) {
    let quote = if key.contains(':') { "\"" } else { "" };
    out.extend([quote, key, quote, ":"]);
    for (i, event) in events.into_iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        // Writing to a String does not fail.
        let _ = write!(out, "{comma}{event}");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn of(namespace: Namespace, value: &str) -> Result<Vec<String>, &'static str> {
        let mut all = Vec::new();
        keys(namespace, value, |key| all.push(key.to_owned())).map(|()| all)
    }

    #[test]
    fn addresses() {
        assert_eq!(of(Namespace::Ip, "203.0.113.7"), Ok(vec!["203.0.113.7".into()]));
        assert_eq!(
            of(Namespace::Ip, "2001:DB8::BAD"),
            Ok(vec![
                "2001:db8::bad".into(),
                "2001:db8:0:0:0:0:0:bad".into(),
                "2001:0db8:0000:0000:0000:0000:0000:0bad".into()
            ])
        );
        let all = "2001:1111:2222:3333:4444:5555:6666:7777";
        assert_eq!(of(Namespace::Ip, all), Ok(vec![all.into()]));
        let short = "2001:1:2222:3333:4444:5555:6666:7777";
        assert_eq!(of(Namespace::Ip, short).map(|keys| keys.len()), Ok(2));
        for local in ["10.1.2.3", "::1", "fe80::1", "::ffff:192.168.0.1"] {
            assert_eq!(of(Namespace::Ip, local), Err(LOCAL), "{local}");
        }
        assert_eq!(of(Namespace::Ip, "203.0.113.0/24"), Ok(Vec::new()));
        assert_eq!(of(Namespace::Ip, "203.0.113"), Err(NO_KEY));
    }

    #[test]
    fn networks() {
        let of = |value| of(Namespace::Cidr, value);
        assert_eq!(of("203.0.0.0/8"), Ok(vec!["203.".into()]));
        assert_eq!(of("203.0.0.0/16"), Ok(vec!["203.0.".into()]));
        assert_eq!(of("203.0.113.0/24"), Ok(vec!["203.0.113.".into()]));
        assert_eq!(of("203.0.113.7/32"), Ok(vec!["203.0.113.7".into()]));
        assert_eq!(of("203.0.112.0/23"), Ok(vec!["203.0.112.".into(), "203.0.113.".into()]));
        assert_eq!(of("203.0.113.6/31"), Ok(vec!["203.0.113.6".into(), "203.0.113.7".into()]));
        assert_eq!(of("203.0.113.128/25").unwrap().len(), 128);
        // Less 192.168.
        assert_eq!(of("192.0.0.0/8").unwrap().len(), 255);
        for local in ["10.0.0.0/8", "10.1.0.0/16", "192.168.4.0/22", "127.0.0.1/32"] {
            assert_eq!(of(local), Err(LOCAL), "{local}");
        }
        assert_eq!(of("202.0.0.0/7"), Err(TOO_WIDE));
        assert_eq!(of("0.0.0.0/0"), Err(TOO_WIDE));
        for v6 in ["2001:db8::/32", "::/0", "::ffff:0.0.0.0/95"] {
            assert_eq!(of(v6), Err(IPV6_NETWORK), "{v6}");
        }
        assert_eq!(of("::ffff:203.0.113.0/120"), Ok(vec!["203.0.113.".into()]));
        assert_eq!(of("::ffff:0.0.0.0/96"), Err(TOO_WIDE));
    }

    #[test]
    fn texts() {
        assert_eq!(of(Namespace::Domain, "WWW.Evil.example"), Ok(vec!["www.evil.example".into()]));
        assert_eq!(of(Namespace::Url, "http://a/B"), Ok(vec!["http://a/B".into()]));
        for value in ["", "a\"b", "a\nb:", "a\rb", "a\0b", &"x".repeat(MAX_KEY + 1)] {
            assert_eq!(of(Namespace::Url, value), Err(NO_KEY), "{value:?}");
        }
        let mut longest = String::new();
        line(&mut longest, &"x:".repeat(MAX_KEY / 2), [u64::MAX; MAX_EVENTS]);
        assert!(longest.len() < 65_534, "{}", longest.len());
    }

    /// Keys and values as Wazuh's documentation reads a list: a key in quotes ends at the
    /// second one, another at the first colon.
    fn read(text: &str) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for line in text.lines() {
            let (key, value) = match line.strip_prefix('"') {
                Some(rest) => rest.split_once("\":").expect("an end of the key"),
                None => line.split_once(':').expect("a colon"),
            };
            assert!(all.insert(key.to_owned(), value.to_owned()).is_none(), "{key} twice");
        }
        all
    }

    /// How Wazuh looks an address up: as it is, then each part that ends in a dot.
    fn address_match(list: &BTreeMap<String, String>, address: &str) -> bool {
        let parts = address.match_indices('.').map(|(at, _)| &address[..=at]);
        parts.chain([address]).any(|key| list.contains_key(key))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            entries in proptest::collection::btree_map("[a-c:./ é\"\\n]{1,6}", proptest::collection::vec(any::<u64>(), 0..4), 0..20),
        ) {
            let (mut text, mut expected) = (String::new(), BTreeMap::new());
            for (value, events) in &entries {
                if let Ok(list) = of(Namespace::Url, value) {
                    prop_assert_eq!(&list, &vec![value.clone()]);
                    line(&mut text, value, events.iter().copied());
                    expected.insert(value.clone(), events.iter().map(u64::to_string).collect::<Vec<_>>().join(","));
                }
            }
            prop_assert_eq!(read(&text), expected);
        }

        /// A list matches the addresses of a network that mean something outside, and no other.
        #[test]
        fn networks_match_their_addresses(
            first in prop::sample::select(vec![9u8, 10, 100, 169, 172, 192, 203]),
            rest in any::<[u8; 3]>(),
            length in 8u8..=32,
            probes in proptest::collection::vec((any::<u32>(), 0u32..=32), 30),
        ) {
            let network = Ipv4Net::new(Ipv4Addr::new(first, rest[0], rest[1], rest[2]), length).unwrap().trunc();
            let mut text = String::new();
            let listed = keys(Namespace::Cidr, &network.to_string(), |key| line(&mut text, key, [1]));
            let list = read(&text);
            prop_assert_eq!(listed.is_err(), list.is_empty());
            for (bits, shift) in probes {
                // From far away to just beside it.
                let near = u32::from(network.network()) ^ bits.checked_shr(shift).unwrap_or(0);
                let probe = Ipv4Addr::from(near);
                let wanted = network.contains(&probe) && !is_local(probe.into());
                prop_assert_eq!(address_match(&list, &probe.to_string()), wanted, "{} {}", network, probe);
            }
        }
    }
}
