//! Addresses and networks, in the spellings of logs, mail headers and MISP.

use super::Forms;
use super::refang::starts_with;
use crate::indicator::Namespace;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest text that can be an address: `[IPv6:...%zone]:port` with room for the
/// zone's name, which has 15 characters at most on Linux.
const MAX_TEXT: usize = 80;

impl Forms<'_> {
    /// An address in any spelling; false if it is none.
    pub(super) fn host(&mut self, plain: &str) -> bool {
        let Some(ip) = parse(plain) else { return false };
        self.address(ip);
        true
    }

    /// An address and the networks around it. The loader keeps a mapped address as
    /// plain IPv4 too, so what is typed as IPv4 needs to be asked for only as such.
    pub(super) fn address(&mut self, ip: IpAddr) {
        self.push(Namespace::Ip, &ip.to_string());
        let mapped = match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => {
                if let Some(v4) = compatible(v6) {
                    self.push(Namespace::Ip, &format!("::{v4}"));
                }
                v6.to_ipv4_mapped().map(IpAddr::V4)
            }
        };
        if let Some(v4) = mapped {
            self.push(Namespace::Ip, &v4.to_string());
            self.networks_of(v4, u8::MAX);
        }
        self.networks_of(ip, u8::MAX);
    }

    /// The networks in use that contain `ip` and are shorter than `below`.
    fn networks_of(&mut self, ip: IpAddr, below: u8) {
        let held = self.held;
        for network in held.networks().probes(ip).filter(|n| n.prefix_len() < below) {
            self.push(Namespace::Cidr, &network.to_string());
        }
    }

    /// A network: itself, as MISP writes it (host bits stay), and the wider ones
    /// around it. One of full length is an address, as in MISP. False if it is none.
    pub(super) fn network(&mut self, plain: &str) -> bool {
        if plain.len() > MAX_TEXT || !plain.contains('/') {
            return false;
        }
        let Ok(network) = plain.parse::<IpNet>() else { return false };
        if network.prefix_len() == network.max_prefix_len() {
            self.address(network.addr());
        }
        self.push(Namespace::Cidr, &network.trunc().to_string());
        self.push(Namespace::Ip, &network.to_string());
        self.push(Namespace::Ip, plain);
        self.networks_of(network.addr(), network.prefix_len());
        true
    }
}

/// The IPv4 address in the last 32 bits where all others are zero. MISP (through
/// the C library) writes such an address `::1.2.3.4`, Rust writes `::102:304`.
fn compatible(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = v6.to_bits();
    // Up to ::ffff both write hexadecimal.
    (bits > 0xffff).then(|| u32::try_from(bits).ok()).flatten().map(Ipv4Addr::from_bits)
}

/// An address in any spelling: upper case, long, in brackets, with zone or port.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    let first = *text.as_bytes().first()?;
    if text.len() > MAX_TEXT || !(first.is_ascii_hexdigit() || matches!(first, b':' | b'[')) {
        return None;
    }
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, tail) = rest.split_once(']')?;
        let port = tail.is_empty() || tail.strip_prefix([':', '|']).is_some_and(is_port);
        // Mail servers write `[IPv6:...]`.
        let inner = if starts_with(inner, "ipv6:") { &inner[5..] } else { inner };
        return port.then(|| without_zone(inner).parse().ok()).flatten();
    }
    if !text.contains(':') {
        let dotted = text.strip_suffix('.').unwrap_or(text);
        // BIND writes `1.2.3.4#53`.
        let (address, port) = dotted.split_once(['|', '#']).unwrap_or((dotted, "1"));
        return is_port(port).then(|| address.parse::<Ipv4Addr>().ok()).flatten().map(IpAddr::V4);
    }
    if let Some((address, port)) = text.rsplit_once(':')
        && is_port(port)
        && let Ok(ip) = address.parse()
    {
        return Some(ip);
    }
    if let Ok(v6) = without_zone(text).parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(v6));
    }
    // How MISP lets people write an IPv6 address with a port, and how it shows it.
    [" port ", "|", "#", "p", "."].iter().find_map(|separator| {
        let (address, port) = text.rsplit_once(separator)?;
        is_port(port).then(|| address.parse::<Ipv6Addr>().ok()).flatten().map(IpAddr::V6)
    })
}

fn without_zone(text: &str) -> &str {
    text.split_once('%').map_or(text, |(address, _)| address)
}

/// Whether the text is a port: digits, up to 65535.
pub(super) fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}
