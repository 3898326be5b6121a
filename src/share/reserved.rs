//! Addresses that never leave a site: those that mean something only inside of it,
//! or nothing at all.
//!
//! By IANA's registries of special-purpose addresses (RFC 6890,
//! <https://www.iana.org/assignments/iana-ipv4-special-registry> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>) and of multicast
//! (RFC 5771, RFC 4291). Every entry counts, also those that are reachable
//! everywhere: they belong to a service of the network, never to an attacker.
//! For IPv6 what lies outside of 2000::/3 is not given to anybody. An IPv4 address
//! inside an IPv6 one is judged as itself.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// Networks and what they are for.
const SPECIAL: [(&str, &str); 33] = [
    ("0.0.0.0/8", "this network (RFC 791)"),
    ("10.0.0.0/8", "private (RFC 1918)"),
    ("100.64.0.0/10", "shared by carriers (RFC 6598)"),
    ("127.0.0.0/8", "loopback (RFC 1122)"),
    ("169.254.0.0/16", "link-local (RFC 3927)"),
    ("172.16.0.0/12", "private (RFC 1918)"),
    ("192.0.0.0/24", "protocol assignments (RFC 6890)"),
    ("192.0.2.0/24", "documentation (RFC 5737)"),
    ("192.31.196.0/24", "AS112 (RFC 7535)"),
    ("192.52.193.0/24", "AMT (RFC 7450)"),
    ("192.88.99.0/24", "6to4 relays (RFC 7526)"),
    ("192.168.0.0/16", "private (RFC 1918)"),
    ("192.175.48.0/24", "AS112 (RFC 7534)"),
    ("198.18.0.0/15", "benchmarks (RFC 2544)"),
    ("198.51.100.0/24", "documentation (RFC 5737)"),
    ("203.0.113.0/24", "documentation (RFC 5737)"),
    ("224.0.0.0/4", "multicast (RFC 5771)"),
    ("240.0.0.0/4", "reserved (RFC 1112)"),
    ("::/128", "unspecified (RFC 4291)"),
    ("::1/128", "loopback (RFC 4291)"),
    ("64:ff9b:1::/48", "local translation (RFC 8215)"),
    ("100::/64", "discarded (RFC 6666)"),
    ("100:0:0:1::/64", "dummy (RFC 9780)"),
    ("2001::/23", "protocol assignments (RFC 2928)"),
    ("2001:db8::/32", "documentation (RFC 3849)"),
    ("2620:4f:8000::/48", "AS112 (RFC 7534)"),
    ("3fff::/20", "documentation (RFC 9637)"),
    ("5f00::/16", "segment routing (RFC 9602)"),
    ("fc00::/7", "private (RFC 4193)"),
    ("fe80::/10", "link-local (RFC 4291)"),
    ("fec0::/10", "site-local (RFC 3879)"),
    ("ff00::/8", "multicast (RFC 4291)"),
    // The name is ours: these have no entry, but nobody has them either (RFC 4291, 2.4).
    ("::/8", "reserved (RFC 4291)"),
];

/// Why an address that no entry names does not leave: it is outside of 2000::/3.
const UNASSIGNED: &str = "outside of IPv6's global unicast addresses (RFC 4291)";

static NETWORKS: LazyLock<Vec<(IpNet, &str)>> =
    LazyLock::new(|| SPECIAL.iter().filter_map(|(net, why)| Some((net.parse().ok()?, *why))).collect());

/// Why no address of this network may leave; `None`: all of them may.
pub fn why(network: &IpNet) -> Option<&'static str> {
    let network = meant(network);
    let touches = |special: &IpNet| special.contains(&network) || network.contains(special);
    if let Some((_, why)) = NETWORKS.iter().find(|(special, _)| touches(special)) {
        return Some(why);
    }
    match network {
        IpNet::V4(_) => None,
        IpNet::V6(v6) if v6.addr().segments()[0] & 0xe000 != 0x2000 || v6.prefix_len() < 3 => Some(UNASSIGNED),
        IpNet::V6(v6) => carried(&v6).and_then(|v4| why(&v4.into())),
    }
}

/// The network that this one stands for: an IPv4-mapped address (RFC 4291) and one that
/// a translator made (64:ff9b::/96, RFC 6052) are written as the IPv4 address they mean.
/// Host bits are cleared.
pub fn meant(network: &IpNet) -> IpNet {
    let network = network.trunc();
    let IpNet::V6(v6) = network else { return network };
    let front = v6.addr().segments();
    let translated = front[..6] == [0, 0, 0, 0, 0, 0xffff] || front[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    match (translated, v6.prefix_len().checked_sub(96)) {
        (true, Some(prefix)) => low_v4(v6.addr(), prefix).map_or(network, IpNet::V4),
        _ => network,
    }
}

/// The IPv4 network inside an IPv6 one that is itself a network's or a host's address:
/// 6to4 (RFC 3056) behind its prefix, ISATAP (RFC 5214) at its end.
pub fn carried(v6: &Ipv6Net) -> Option<Ipv4Net> {
    let segments = v6.addr().segments();
    if segments[0] == 0x2002 && v6.prefix_len() >= 16 {
        let bits = (u32::from(segments[1]) << 16) | u32::from(segments[2]);
        return Ipv4Net::new(Ipv4Addr::from(bits), (v6.prefix_len() - 16).min(32)).ok();
    }
    if segments[4] & 0xfdff == 0 && segments[5] == 0x5efe {
        return low_v4(v6.addr(), v6.prefix_len().checked_sub(96)?);
    }
    None
}

fn low_v4(address: Ipv6Addr, prefix: u8) -> Option<Ipv4Net> {
    let low = (address.to_bits() & u128::from(u32::MAX)) as u32;
    Ipv4Net::new(Ipv4Addr::from(low), prefix).ok()
}

/// An address or a network as MISP takes it: `10.0.0.1`, `2001:db8::/32`, with or
/// without a zone, not with leading zeros.
pub fn parse(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    // The zone says on which of its links a machine saw the address.
    let address = address.split_once('%').map_or(address, |(a, _)| a);
    let address: IpAddr = address.parse().ok()?;
    match prefix {
        None => Some(IpNet::from(address)),
        Some(p) if p.len() <= 3 && p.bytes().all(|b| b.is_ascii_digit()) => IpNet::new(address, p.parse().ok()?).ok(),
        Some(_) => None,
    }
}

/// The network as an attribute holds it: a host without its prefix length.
pub fn written(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> Option<&'static str> {
        why(&parse(text).unwrap_or_else(|| panic!("{text} is no address")))
    }

    #[test]
    fn the_table_is_read_whole() {
        assert_eq!(NETWORKS.len(), SPECIAL.len());
        for (network, name) in SPECIAL {
            let network: IpNet = network.parse().unwrap();
            assert_eq!(network, network.trunc());
            for address in [network.network(), network.broadcast()] {
                assert!(why(&address.into()).is_some(), "{address} {name}");
            }
        }
    }

    #[test]
    fn what_leaves_and_what_does_not() {
        for leaves in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.0",
            "192.0.3.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "185.220.101.0/24",
            "2a0b:f4c2:2::12",
            "2001:200::1",
            "2001:db7:ffff::",
            "2620:4f:8001::",
            "2002:b9dc:652f::1",
            "::ffff:185.220.101.47",
            "64:ff9b::185.220.101.47",
            "2a0b::5efe:185.220.101.47",
            "2000::1",
            "3ffe::1",
        ] {
            assert_eq!(reason(leaves), None, "{leaves}");
        }
        for stays in [
            "10.0.0.0",
            "255.255.255.255",
            "239.1.2.3",
            "0.0.0.0/0",
            "8.0.0.0/5",
            "172.0.0.0/8",
            "::ffff:10.1.2.3",
            "::FFFF:0A01:0203",
            "::ffff:0:0/96",
            "::ffff:0:0/90",
            "64:ff9b::10.1.2.3",
            "64:ff9b:1::1",
            "64:ff9b::/96",
            "::10.1.2.3",
            "::ffff:0:10.1.2.3",
            "2002:0a01:0203::1",
            "2002:c0a8::/32",
            "2002::/16",
            "2001::1",
            "2a0b::5efe:10.1.2.3",
            "2a0b::200:5efe:192.168.1.1",
            "fe80::1%eth0",
            "ff02::1",
            "fd00::1",
            "2001:db8::1",
            "3fff:0fff::1",
            "4000::1",
            "1fff::1",
            "::/0",
            "2000::/3",
        ] {
            assert!(reason(stays).is_some(), "{stays}");
        }
    }

    #[test]
    fn what_is_meant() {
        let meant = |text: &str| written(&super::meant(&parse(text).unwrap()));
        assert_eq!(meant("::ffff:185.220.101.47"), "185.220.101.47");
        assert_eq!(meant("64:ff9b::b9dc:652f"), "185.220.101.47");
        assert_eq!(meant("::ffff:185.220.0.0/112"), "185.220.0.0/16");
        assert_eq!(meant("2A0B:F4C2:2:0::12"), "2a0b:f4c2:2::12");
        assert_eq!(meant("185.220.101.47/24"), "185.220.101.0/24");
    }

    #[test]
    fn what_is_no_address() {
        for text in ["", "x", "010.0.0.1", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/+8", "1.2.3.4/0008", "::1/129"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
