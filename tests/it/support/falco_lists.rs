//! A second opinion on Falco's lists: what `facts` say of them, worked out with
//! plain numbers, and a reader of the rules file that knows nothing of its writer.

use misp2memcached::demo::{Attribute, Event};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses and networks of one direction, as text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lists {
    pub ips: BTreeSet<String>,
    pub networks: BTreeSet<String>,
}

/// A network: IPv6 or not, its first address, its prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Net {
    v6: bool,
    base: u128,
    length: u32,
}

/// What is not listed, nor anything that holds a part of it: private, loopback,
/// link-local, multicast, broadcast and unspecified addresses.
const LEFT_OUT: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

impl Net {
    fn read(text: &str) -> Option<Net> {
        let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let (v6, bits, widest) = match address.parse().ok()? {
            IpAddr::V4(v4) => (false, u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (true, v6.to_bits(), 128),
        };
        let length = length.map_or(Some(widest), |l| l.parse().ok())?;
        if length > widest {
            return None;
        }
        // An IPv4-mapped address is the IPv4 address.
        let net = Net { v6, base: bits, length }.cleared();
        let mapped = v6 && length >= 96 && net.base >> 32 == 0xffff;
        Some(if mapped { Net { v6: false, base: net.base & 0xffff_ffff, length: length - 96 } } else { net })
    }

    fn widest(self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    fn cleared(self) -> Net {
        let host = self.widest() - self.length;
        let base = self.base.checked_shr(host).unwrap_or(0).checked_shl(host).unwrap_or(0);
        Net { base, ..self }
    }

    fn holds(self, other: Net) -> bool {
        self.v6 == other.v6 && self.length <= other.length && Net { length: self.length, ..other }.cleared() == self
    }

    fn is_allowed(self) -> bool {
        let least = if self.v6 { 16 } else { 8 };
        let left_out = |text: &str| {
            let range = Net::read(text).expect("a network");
            range.holds(self) || self.holds(range)
        };
        self.length >= least && !LEFT_OUT.iter().any(|text| left_out(text))
    }

    /// The network of which this is a half.
    fn parent(self) -> Option<Net> {
        Some(Net { length: self.length.checked_sub(1)?, ..self }.cleared())
    }

    fn address(self) -> String {
        match self.v6 {
            false => Ipv4Addr::from_bits(self.base as u32).to_string(),
            true => Ipv6Addr::from_bits(self.base).to_string(),
        }
    }
}

/// The lists of some events' attributes of these two types (`ip-dst` and `ip-dst|port`).
pub fn expected<'a>(
    events: impl Iterator<Item = &'a Event>,
    types: [&str; 2],
    wanted: impl Fn(&Attribute) -> bool,
) -> Lists {
    let mut ips = BTreeSet::new();
    let mut networks = BTreeSet::new();
    let attributes = events.flat_map(|event| &event.attributes);
    for attribute in attributes.filter(|a| !a.deleted && types.contains(&a.kind.as_str()) && wanted(a)) {
        let value = attribute.value.trim();
        let value = if attribute.kind.contains('|') {
            match value.split('|').map(str::trim).collect::<Vec<_>>()[..] {
                [address, port] if !port.is_empty() && !address.contains('/') => address,
                _ => continue,
            }
        } else {
            value
        };
        let Some(net) = Net::read(value).filter(|net| net.is_allowed()) else { continue };
        if net.length == net.widest() {
            ips.insert(net)
        } else {
            networks.insert(net)
        };
    }
    while let Some((gone, whole)) = reducible(&networks) {
        networks.retain(|net| !gone.contains(net));
        networks.extend(whole);
    }
    Lists {
        ips: ips.into_iter().map(Net::address).collect(),
        networks: networks.into_iter().map(|net| format!("{}/{}", net.address(), net.length)).collect(),
    }
}

/// A network within another, or two halves of one that may be listed.
fn reducible(networks: &BTreeSet<Net>) -> Option<(Vec<Net>, Option<Net>)> {
    for a in networks {
        for b in networks.iter().filter(|b| a != *b) {
            if a.holds(*b) {
                return Some((vec![*b], None));
            }
            if a.length == b.length && a.parent() == b.parent() {
                let whole = a.parent().filter(|whole| whole.is_allowed());
                if whole.is_some() {
                    return Some((vec![*a, *b], whole));
                }
            }
        }
    }
    None
}

/// What a rules file says: outbound, inbound, and its text without the items.
pub fn read(file: &str) -> (Lists, Lists, String) {
    let (mut outbound, mut inbound) = (Lists::default(), Lists::default());
    let mut rest = String::new();
    let mut list = "";
    for line in file.lines() {
        if let Some(name) = line.strip_prefix("- list: ") {
            list = name;
        }
        let Some(item) = line.strip_prefix("    - \"") else {
            rest.push_str(line.strip_suffix(" []").unwrap_or(line));
            rest.push('\n');
            continue;
        };
        let item = item.strip_suffix('"').expect("a quoted item").to_owned();
        let fresh = match list {
            "misp_outbound_ips" => outbound.ips.insert(item),
            "misp_inbound_ips" => inbound.ips.insert(item),
            "misp_outbound_networks_1" => outbound.networks.insert(item),
            "misp_inbound_networks_1" => inbound.networks.insert(item),
            other => panic!("a list named {other}"),
        };
        assert!(fresh, "listed twice: {line}");
    }
    (outbound, inbound, rest)
}

#[test]
fn by_hand() {
    let event = |values: &[(&str, &str)]| {
        values.iter().fold(Event::new("e"), |event, (kind, value)| event.with(Attribute::new(kind, value)))
    };
    let event = event(&[
        ("ip-dst", "198.51.100.7"),
        ("ip-dst", "::ffff:198.51.100.8"),
        ("ip-dst|port", "2001:db8::1|443"),
        ("ip-dst|port", "198.51.100.9"),
        ("ip-src", "192.0.2.99"),
        ("ip-dst", "203.0.113.5/25"),
        ("ip-dst", "203.0.113.128/25"),
        ("ip-dst", "203.0.113.64/26"),
        ("ip-dst", "198.51.100.10/32"),
        ("ip-dst", "10.0.0.1"),
        ("ip-dst", "8.0.0.0/7"),
        ("ip-dst", "192.0.0.0/8"),
        ("ip-dst", "0.0.0.0/0"),
        ("ip-dst", "fe80::1"),
        ("ip-dst", "x)or(evt.num>0)or(fd.sip=1.2.3.4"),
    ]);
    let lists = expected([&event].into_iter(), ["ip-dst", "ip-dst|port"], |_| true);
    let text = |items: &[&str]| items.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
    assert_eq!(lists.ips, text(&["198.51.100.7", "198.51.100.8", "198.51.100.10", "2001:db8::1"]));
    assert_eq!(lists.networks, text(&["203.0.113.0/24"]));
    let (outbound, inbound, rest) = read(include_str!("../../golden/falco/rules.yaml"));
    assert_eq!((outbound.ips.len(), outbound.networks.len()), (3, 2));
    assert_eq!((inbound.ips, inbound.networks.len()), (text(&["192.0.2.99"]), 0));
    assert!(rest.contains("- rule: MISP inbound connection") && !rest.contains("198.51.100"));
}
