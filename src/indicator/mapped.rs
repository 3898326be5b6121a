//! IPv4 in the form of IPv6 (`::ffff:192.0.2.0/120`), which every reader takes for what it
//! means. For single addresses the standard library knows it.

use ipnet::{Ipv4Net, Ipv6Net};

/// The bits that all IPv4-mapped addresses share.
pub const MAPPED_BITS: u8 = 96;

/// The IPv4 network that one of IPv4-mapped addresses stands for.
pub fn mapped(network: Ipv6Net) -> Option<Ipv4Net> {
    let length = network.prefix_len().checked_sub(MAPPED_BITS)?;
    Ipv4Net::new(network.network().to_ipv4_mapped()?, length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let of = |text: &str| mapped(text.parse().unwrap()).map(|network| network.to_string());
        assert_eq!(of("::ffff:192.0.2.77/120").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(of("::ffff:192.0.2.77/128").as_deref(), Some("192.0.2.77/32"));
        assert_eq!(of("::ffff:0:0/96").as_deref(), Some("0.0.0.0/0"));
        for other in ["::ffff:0:0/95", "::192.0.2.0/120", "2001:db8::/120", "::/0"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
