//! Which addresses and networks may go into a rule, and why others may not.
//!
//! Pure, and about one value at a time: age, order and number are other files' duty.

use crate::config;
use crate::indicator::mapped;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The widest networks listed without `falco.allow_wide_networks`. No indicator
/// is wider than what one registry was given; a wider one is a slip or a prank,
/// and would alert on a good part of all traffic.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

/// Text that is neither an address nor a network.
pub const NOT_AN_ADDRESS: &str = "not an address";
/// A network of prefix length 0.
pub const EVERYTHING: &str = "matches every address";
/// A network beyond the widest allowed.
pub const TOO_WIDE: &str = "network too wide";
/// A network that has one of the ranges below as a part: the rule would alert on
/// the host's own neighbours.
pub const COVERS_PRIVATE: &str = "network covers private addresses";

/// Ranges that say nothing beyond the network they are used in, each with the
/// reason under which it is left out.
const RANGES: [(IpNet, &str); 13] = [
    (v4([0, 0, 0, 0], 8), "unspecified"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([255, 255, 255, 255], 32), "broadcast"),
    (v6([0; 8], 128), "unspecified"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "private"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
];

const fn v4(octets: [u8; 4], prefix: u8) -> IpNet {
    let [a, b, c, d] = octets;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(segments: [u16; 8], prefix: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = segments;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix))
}

/// What may be listed wherever the configuration says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    private: bool,
    wide: bool,
}

/// An address or a network, in the one form that Falco takes: IPv4-mapped IPv6
/// is IPv4 (Falco loads the hexadecimal form and never matches it), host bits
/// are clear, and a network of one address is that address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Address(IpAddr),
    Network(IpNet),
}

impl Allowed {
    pub(super) fn new(config: &config::Falco) -> Allowed {
        Allowed { private: config.allow_private, wide: config.allow_wide_networks }
    }

    /// The item that `value` writes, or the reason why it is left out.
    pub(super) fn item(self, value: &str) -> Result<Item, &'static str> {
        let item = parse(value).ok_or(NOT_AN_ADDRESS)?;
        match item {
            Item::Address(ip) => self.network(IpNet::from(ip)),
            Item::Network(network) => self.network(network),
        }
        .map(|()| item)
    }

    /// Whether a network may be listed; an address is asked about as /32 or /128.
    pub(super) fn network(self, network: IpNet) -> Result<(), &'static str> {
        if network.prefix_len() == 0 {
            return Err(EVERYTHING);
        }
        if !self.private
            && let Some((_, reason)) = RANGES.iter().find(|(range, _)| range.contains(&network))
        {
            return Err(reason);
        }
        let widest = if matches!(network, IpNet::V4(_)) { WIDEST_V4 } else { WIDEST_V6 };
        if !self.wide && network.prefix_len() < widest {
            return Err(TOO_WIDE);
        }
        if !self.private && RANGES.iter().any(|(range, _)| network.contains(range)) {
            return Err(COVERS_PRIVATE);
        }
        Ok(())
    }
}

fn parse(value: &str) -> Option<Item> {
    let Some((address, prefix)) = value.split_once('/') else {
        return Some(Item::Address(value.parse::<IpAddr>().ok()?.to_canonical()));
    };
    // The standard library's parser, since that of ipnet takes 010.0.0.0 for 10.0.0.0.
    let address: IpAddr = address.parse().ok()?;
    let prefix: u8 = prefix.bytes().all(|b| b.is_ascii_digit()).then(|| prefix.parse().ok())??;
    let network = canonical(IpNet::new(address, prefix).ok()?);
    if network.prefix_len() == network.max_prefix_len() {
        Some(Item::Address(network.addr()))
    } else {
        Some(Item::Network(network))
    }
}

/// Host bits clear; a network of IPv4-mapped addresses is one of IPv4 addresses.
fn canonical(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(v6) => mapped(v6).map_or(network, IpNet::V4),
        IpNet::V4(_) => network,
    }
    .trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Allowed = Allowed { private: false, wide: false };
    const PRIVATE: Allowed = Allowed { private: true, wide: false };
    const WIDE: Allowed = Allowed { private: false, wide: true };
    const ANY: Allowed = Allowed { private: true, wide: true };

    fn shown(allowed: Allowed, value: &str) -> String {
        match allowed.item(value) {
            Ok(Item::Address(ip)) => ip.to_string(),
            Ok(Item::Network(network)) => network.to_string(),
            Err(reason) => reason.to_owned(),
        }
    }

    #[test]
    fn one_form_of_each() {
        for (value, form) in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7/32", "198.51.100.7"),
            ("198.51.100.7/24", "198.51.100.0/24"),
            ("198.51.100.7/024", "198.51.100.0/24"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("::ffff:c633:6407", "198.51.100.7"),
            ("::ffff:198.51.100.7/128", "198.51.100.7"),
            ("::ffff:198.51.100.7/120", "198.51.100.0/24"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("2001:db8::1/128", "2001:db8::1"),
            ("2001:db8::1/44", "2001:db8::/44"),
        ] {
            assert_eq!(shown(STRICT, value), form, "{value}");
        }
    }

    #[test]
    fn text_that_is_no_address() {
        for value in [
            "",
            "/",
            "1.2.3.4/",
            "/24",
            "1.2.3.4 ",
            "01.2.3.4",
            "012.34.56.78/24",
            "1.2.3.4:80",
            "1.2.3.0/33",
            "1.2.3.0/+24",
            "1.2.3.0/256",
            "1.2.3.0/24/24",
            "2001:db8::/129",
            "fe80::1%eth0",
            "[2001:db8::1]",
            "host.example",
            "x)or(evt.num>0)or(fd.sip=1.2.3.4",
            "1.2.3.4\"\n- rule: x",
        ] {
            assert_eq!(shown(ANY, value), NOT_AN_ADDRESS, "{value:?}");
        }
    }

    #[test]
    fn ranges_of_no_meaning_elsewhere() {
        for (value, reason) in [
            ("10.1.2.3", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.0/24", "private"),
            ("192.168.0.0/16", "private"),
            ("10.0.0.0/8", "private"),
            ("fd00::1", "private"),
            ("fc00::/7", "private"),
            ("127.0.0.1", "loopback"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("169.254.169.254", "link-local"),
            ("fe80::/64", "link-local"),
            ("224.0.0.0/4", "multicast"),
            ("239.1.2.3", "multicast"),
            ("ff02::1", "multicast"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("0.0.0.0/8", "unspecified"),
            ("::", "unspecified"),
            ("255.255.255.255", "broadcast"),
        ] {
            assert_eq!(shown(STRICT, value), reason, "{value}");
            assert!(ANY.item(value).is_ok(), "{value}");
        }
        // Their neighbours.
        for value in ["9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.0.0/16", "223.255.255.255"]
        {
            assert!(STRICT.item(value).is_ok(), "{value}");
        }
        for value in ["::2", "fbff::1", "fe00::1", "fec0::1", "255.255.255.254", "1.0.0.0/8"] {
            assert!(STRICT.item(value).is_ok(), "{value}");
        }
    }

    #[test]
    fn networks_that_match_too_much() {
        assert_eq!(shown(STRICT, "2.0.0.0/7"), TOO_WIDE);
        assert_eq!(shown(STRICT, "2000::/15"), TOO_WIDE);
        assert_eq!(shown(PRIVATE, "2000::/15"), TOO_WIDE);
        assert_eq!(shown(WIDE, "2.0.0.0/7"), "2.0.0.0/7");
        assert_eq!(shown(WIDE, "2000::/15"), "2000::/15");
        assert_eq!(shown(STRICT, "2001::/16"), "2001::/16");
        for value in ["0.0.0.0/0", "1.2.3.4/0", "::/0", "::ffff:1.2.3.4/96"] {
            assert_eq!(shown(ANY, value), EVERYTHING, "{value}");
        }
    }

    #[test]
    fn a_network_with_private_addresses_in_it() {
        for value in ["192.0.0.0/8", "192.168.0.0/15", "172.16.0.0/11", "::/64", "::/80"] {
            assert_eq!(shown(STRICT, value), COVERS_PRIVATE, "{value}");
            assert!(PRIVATE.item(value).is_ok(), "{value}");
        }
        assert_eq!(shown(WIDE, "0.0.0.0/1"), COVERS_PRIVATE);
        assert_eq!(shown(ANY, "0.0.0.0/1"), "0.0.0.0/1");
        // What is wider than the IPv4-mapped block is IPv6, and prints as such.
        assert_eq!(shown(ANY, "::ffff:0:0/95"), "::fffe:0:0/95");
    }
}
