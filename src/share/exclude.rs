//! What a site withholds besides the reserved addresses: its own addresses, networks,
//! ranges and names, as an argument or a file lists them.
//!
//! It takes the notations of Flowmon's filters too. It knows no file.

use super::reserved::{carried, meant, parse};
use ipnet::IpNet;
use std::net::IpAddr;

/// One list, made of any number of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclude {
    networks: Vec<IpNet>,
    ranges: Vec<(IpAddr, IpAddr)>,
    patterns: Vec<[Vec<(u8, u8)>; 4]>,
    names: Vec<String>,
}

impl Exclude {
    /// Adds the entries of a text: separated by commas or line ends, `#` begins a comment.
    ///
    /// # Errors
    /// The first entry that is none of those it knows: one that is left out of the list
    /// would leave the site.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            for entry in entries(line) {
                self.add_entry(entry).ok_or_else(|| {
                    format!(
                        "found {entry:?}; allowed: addresses, networks (10.0.0.0/8), ranges (10.0.0.1-10.0.0.9), \
                         10.0.0.*, 10.0.0.[1-9], 10.0.0.{{1,2}}, and names with a dot before them (.corp.example)"
                    )
                })?;
            }
        }
        Ok(())
    }

    fn add_entry(&mut self, entry: &str) -> Option<()> {
        if let Some(name) = entry.strip_prefix('.') {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b) || b >= 0x80;
            (!name.is_empty() && name.bytes().all(plain)).then_some(())?;
            self.names.push(in_ascii(name));
        } else if entry.contains(['[', '{', '*']) {
            self.patterns.push(pattern(entry)?);
        } else if let Some((first, last)) = entry.split_once('-') {
            let first: IpAddr = first.trim().parse().ok()?;
            let last: IpAddr = last.trim().parse().ok()?;
            (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(())?;
            self.ranges.push((first, last));
        } else {
            self.networks.push(meant(&parse(entry)?));
        }
        Some(())
    }

    /// Whether an address of this network is on the list, in this form or as the IPv4
    /// address inside of it.
    pub fn covers(&self, network: &IpNet) -> bool {
        let network = meant(network);
        let inner = match &network {
            IpNet::V6(v6) => carried(v6).map(IpNet::V4),
            IpNet::V4(_) => None,
        };
        self.lists(&network) || inner.is_some_and(|inner| self.lists(&inner))
    }

    fn lists(&self, network: &IpNet) -> bool {
        let (first, last) = (network.network(), network.broadcast());
        self.networks.iter().any(|n| n.contains(network) || network.contains(n))
            || self.ranges.iter().any(|(from, to)| from.is_ipv4() == first.is_ipv4() && *from <= last && first <= *to)
            || self.patterns.iter().any(|pattern| meets(pattern, first, last))
    }

    /// Whether this name, or one that it is below, is on the list.
    pub fn covers_name(&self, name: &str) -> bool {
        let name = in_ascii(name);
        self.names
            .iter()
            .any(|n| name.strip_suffix(n.as_str()).is_some_and(|front| front.is_empty() || front.ends_with('.')))
    }
}

/// A name in the one form that all of its spellings have: punycode in lower case, without
/// the dot at its end.
pub fn in_ascii(name: &str) -> String {
    let ascii = idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_lowercase());
    ascii.trim_end_matches('.').to_owned()
}

/// The parts between commas that are in no brackets.
fn entries(line: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = line.split(|c| {
        depth += i32::from(matches!(c, '{' | '[')) - i32::from(matches!(c, '}' | ']'));
        c == ',' && depth <= 0
    });
    parts.map(str::trim).filter(|entry| !entry.is_empty()).collect()
}

/// An IPv4 address whose parts may be `*`, `[a-b]` or `{a,b}`.
fn pattern(entry: &str) -> Option<[Vec<(u8, u8)>; 4]> {
    let parts: Vec<Vec<(u8, u8)>> = entry.split('.').map(octets).collect::<Option<_>>()?;
    parts.try_into().ok()
}

fn octets(part: &str) -> Option<Vec<(u8, u8)>> {
    if part == "*" {
        return Some(vec![(0, 255)]);
    }
    if let Some(inner) = part.strip_prefix('[').and_then(|p| p.strip_suffix(']')) {
        let (first, last) = inner.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        return (first <= last).then(|| vec![(first, last)]);
    }
    let list = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')).unwrap_or(part);
    list.split(',').map(|n| n.trim().parse().ok().map(|n| (n, n))).collect()
}

/// Whether a network has an address that the pattern takes. A network's parts are free
/// of each other, so they can be compared one by one.
fn meets(pattern: &[Vec<(u8, u8)>; 4], first: IpAddr, last: IpAddr) -> bool {
    let (IpAddr::V4(first), IpAddr::V4(last)) = (first, last) else { return false };
    let bounds = first.octets().into_iter().zip(last.octets());
    pattern.iter().zip(bounds).all(|(parts, (low, high))| parts.iter().any(|(from, to)| *from <= high && low <= *to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Exclude {
        let mut exclude = Exclude::default();
        exclude.add(text).unwrap();
        exclude
    }

    #[test]
    fn every_notation() {
        let list = list(
            "# ours\n45.155.205.0/24, 45.1.1.1\n2a0b:f4c2::/32 # v6\n46.0.0.250-46.0.1.5\n47.1.*.[10-20]\n\
             48.0.0.{1,3},49.0.0.1\n.corp.example.\n2a0c::1-2a0c::9\n",
        );
        let covers = |text: &str| list.covers(&parse(text).unwrap());
        for text in [
            "45.155.205.9",
            "::ffff:45.155.205.9",
            "64:ff9b::45.155.205.9",
            "2002:2d9b:cd09::1",
            "45.155.0.0/16",
            "45.1.1.1",
            "2a0b:f4c2:1::1",
            "46.0.0.255",
            "46.0.1.0/24",
            "47.1.77.15",
            "47.1.0.0/16",
            "48.0.0.3",
            "49.0.0.1",
            "2a0c::5",
        ] {
            assert!(covers(text), "{text}");
        }
        for text in
            ["45.155.206.1", "46.0.1.6", "46.0.0.249", "47.1.1.21", "47.2.1.15", "48.0.0.2", "2a0c::a", "2a0d::"]
        {
            assert!(!covers(text), "{text}");
        }
        assert!(list.covers_name("a.Corp.example") && list.covers_name("corp.example."));
        assert!(!list.covers_name("acorp.example") && !list.covers_name("example"));
        // A name in other letters is the same name.
        let list = self::list(".b\u{fc}cher.example,.xn--caf-dma.example");
        for name in [
            "xn--bcher-kva.example",
            "a.B\u{dc}CHER.example",
            "caf\u{e9}.example.",
            "www\u{3002}caf\u{e9}\u{3002}example",
        ] {
            assert!(list.covers_name(name), "{name}");
        }
        assert_eq!(Exclude::default(), self::list(" ,\n#\n"));
    }

    /// A name of a Flowmon filter, a typing error: nothing is left out in silence.
    #[test]
    fn what_is_not_understood_is_named() {
        for text in [
            "LAN",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.9-10.0.0.1",
            "10.0.0.[9-1]",
            "10.0.0.1-::1",
            "10.0.*",
            ".",
            "1.2.3.{4,x}",
        ] {
            let mut exclude = Exclude::default();
            let error = exclude.add(&format!("45.1.1.1,{text}")).unwrap_err();
            assert!(error.starts_with(&format!("found {text:?}; allowed: ")), "{error}");
        }
    }
}
