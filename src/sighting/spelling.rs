//! How else MISP may have a value that the cache lists. The loader keeps a network
//! without its host bits, and an IPv4-mapped address or network also as plain IPv4; MISP
//! finds neither by these. Pure.

use crate::indicator::{MAPPED_BITS, mapped};
use ipnet::IpNet;
use std::net::IpAddr;

/// Another way to find the attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Other {
    /// It may have this value.
    Value(String),
    /// It is among those with values that end so, and is this network with host bits.
    Endings(Vec<String>, IpNet),
}

/// The other way, if there is one.
pub fn other(value: &str) -> Option<Other> {
    if let Ok(IpAddr::V4(address)) = value.parse::<IpAddr>() {
        return Some(Other::Value(format!("::ffff:{address}")));
    }
    let network: IpNet = value.parse().ok()?;
    let length = network.prefix_len();
    let mut endings = vec![format!("%/{length}")];
    if matches!(network, IpNet::V4(_)) {
        endings.push(format!("%/{}", MAPPED_BITS + length));
    }
    Some(Other::Endings(endings, network))
}

/// Whether MISP may have this listed value in other ways besides the one by which it finds it:
/// a network with host bits.
pub fn has_others(value: &str) -> bool {
    value.contains('/') && value.parse::<IpNet>().is_ok()
}

/// Whether MISP takes this listed value for a port as well, which it compares with the second
/// half of every composite.
pub fn is_port(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_digit()) && value.parse::<u16>().is_ok()
}

/// Whether this value of MISP is that network.
pub fn is_network(value: &str, network: &IpNet) -> bool {
    let Ok(other) = value.trim().parse::<IpNet>() else { return false };
    let plain = match other {
        IpNet::V6(v6) => mapped(v6).map(IpNet::V4),
        IpNet::V4(_) => None,
    };
    [Some(other), plain].into_iter().flatten().any(|other| other.trunc() == network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_way() {
        assert_eq!(other("203.0.113.7"), Some(Other::Value("::ffff:203.0.113.7".into())));
        let Some(Other::Endings(endings, network)) = other("10.0.0.0/8") else { panic!() };
        assert_eq!(endings, ["%/8", "%/104"]);
        assert!(is_network("::ffff:10.1.2.3/104", &network) && !is_network("::10.1.2.3/104", &network));
        let Some(Other::Endings(endings, network)) = other("2001:db8::/32") else { panic!() };
        assert_eq!(endings, ["%/32"]);
        assert!(is_network("2001:DB8::1/32", &network));
        let network = "10.0.0.0/8".parse().unwrap();
        assert!(is_network("10.1.2.3/8", &network) && !is_network("11.1.2.3/8", &network));
        assert!(!is_network("10.0.0.0/9", &network) && !is_network("x", &network));
        assert!(has_others("10.0.0.0/8") && !has_others("10.0.0.1") && !has_others("http://a/8"));
        assert!(is_port("9009") && !is_port("65546") && !is_port("+80") && !is_port(""));
        for none in ["2001:db8::1", "evil.example", "http://a/8", ""] {
            assert_eq!(other(none), None, "{none}");
        }
    }
}
