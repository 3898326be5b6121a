//! Addresses that say nothing outside the network they are used in. A MISP that lists
//! `192.168.1.1` means another one than the alert's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the address is private, loopback, link-local, multicast or otherwise no
/// address of the internet. IPv4-mapped IPv6 is taken as IPv4. Addresses that are
/// reserved for documentation are not left out: nobody has them, so nobody lists
/// them by accident.
pub fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => v6(ip),
    }
}

fn v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let carrier = a == 100 && (64..128).contains(&b);
    // 240.0.0.0/4 with the broadcast address was never given to anybody.
    let reserved = a == 0 || a >= 240;
    ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || carrier || reserved
}

fn v6(ip: Ipv6Addr) -> bool {
    // fec0::/10: site-local, deprecated but in use.
    let site = ip.segments()[0] & 0xffc0 == 0xfec0;
    ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_unique_local()
        || ip.is_unicast_link_local()
        || ip.is_multicast()
        || site
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_and_not() {
        for text in [
            "10.1.2.3",
            "127.0.0.1",
            "169.254.1.1",
            "172.31.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.251",
            "255.255.255.255",
            "::",
            "::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::fb",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_local(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "203.0.113.7", "2001:db8::1", "::ffff:1.1.1.1"] {
            assert!(!is_local(text.parse().unwrap()), "{text}");
        }
    }
}
