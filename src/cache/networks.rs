//! The prefix lengths in use: the value of `PREFIX-networks`, `4:24,16;6:44`.
//!
//! An exact look-up finds no network. Knowing which lengths exist at all, a
//! reader masks an address to just these and asks for the handful of keys that
//! could hold it. Pure: who reads and who writes the key is not known here.

use ipnet::IpNet;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// The longest prefix of an IPv4 address.
const MAX_V4: u8 = 32;

/// The longest prefix of an IPv6 address.
const MAX_V6: u8 = 128;

/// The prefix lengths in use, per family, longest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<u8>,
    v6: Vec<u8>,
}

impl Networks {
    /// From the lengths of the networks that are held, in any order; a length
    /// that its family does not have is left out.
    pub fn from_lengths(v4: impl IntoIterator<Item = u8>, v6: impl IntoIterator<Item = u8>) -> Networks {
        Networks { v4: longest_first(v4, MAX_V4), v6: longest_first(v6, MAX_V6) }
    }

    /// From the text of the key. What cannot be read (another family, no number,
    /// a length that does not exist) is left out: half an answer beats none.
    pub fn parse(value: &[u8]) -> Networks {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for part in String::from_utf8_lossy(value).split(';') {
            let Some((family, lengths)) = part.split_once(':') else { continue };
            let list = match family.trim() {
                "4" => &mut v4,
                "6" => &mut v6,
                _ => continue,
            };
            list.extend(lengths.split(',').filter_map(|length| length.trim().parse::<u8>().ok()));
        }
        Networks::from_lengths(v4, v6)
    }

    /// Adds the length of a network.
    pub fn insert(&mut self, network: IpNet) {
        let list = if network.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let length = network.prefix_len();
        if let Err(at) = list.binary_search_by(|held| length.cmp(held)) {
            list.insert(at, length);
        }
    }

    /// Adds those of `others`; whether one of them was new.
    pub fn append(&mut self, others: &Networks) -> bool {
        let all = Networks::from_lengths(
            self.v4.iter().chain(&others.v4).copied(),
            self.v6.iter().chain(&others.v6).copied(),
        );
        let more = *self != all;
        *self = all;
        more
    }

    /// Whether no network is held at all.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The networks that contain `ip` and could be held, longest prefix first,
    /// host bits cleared.
    pub fn probes(&self, ip: IpAddr) -> impl Iterator<Item = IpNet> + '_ {
        let lengths = if ip.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().filter_map(move |length| IpNet::new(ip, *length).ok()).map(|network| network.trunc())
    }
}

fn longest_first(lengths: impl IntoIterator<Item = u8>, max: u8) -> Vec<u8> {
    let sorted: BTreeSet<u8> = lengths.into_iter().filter(|length| *length <= max).collect();
    sorted.into_iter().rev().collect()
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut family_separator = "";
        for (family, lengths) in [(4, &self.v4), (6, &self.v6)] {
            if lengths.is_empty() {
                continue;
            }
            write!(f, "{family_separator}{family}:")?;
            family_separator = ";";
            let mut separator = "";
            for length in lengths {
                write!(f, "{separator}{length}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn probes(networks: &Networks, ip: &str) -> Vec<String> {
        networks.probes(ip.parse().unwrap()).map(|n| n.to_string()).collect()
    }

    #[test]
    fn the_form_of_the_design() {
        let networks = Networks::from_lengths([16, 24, 16], [44]);
        assert_eq!(networks.to_string(), "4:24,16;6:44");
        assert_eq!(Networks::parse(b"4:24,16;6:44"), networks);
        assert_eq!(Networks::from_lengths([], [44]).to_string(), "6:44");
        assert_eq!(Networks::default().to_string(), "");
        assert!(Networks::parse(b"").is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(Networks::parse(b"4:24,x,33, 8 ;5:1;6:129,64,\xff;;4:16").to_string(), "4:24,16,8;6:64");
        assert_eq!(Networks::parse(b"hello"), Networks::default());
    }

    #[test]
    fn probes_are_the_networks_that_contain_it() {
        let networks = Networks::parse(b"4:8,32,0,24;6:44");
        assert_eq!(probes(&networks, "10.1.2.3"), ["10.1.2.3/32", "10.1.2.0/24", "10.0.0.0/8", "0.0.0.0/0"]);
        assert_eq!(probes(&networks, "2a0c:b641:57f:1::9"), ["2a0c:b641:570::/44"]);
    }

    proptest! {
        #[test]
        fn any_text(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let networks = Networks::parse(&value);
            prop_assert_eq!(&Networks::parse(networks.to_string().as_bytes()), &networks);
        }

        #[test]
        fn one_by_one_or_all_at_once(lengths in proptest::collection::vec((any::<bool>(), 0u8..=32), 0..20), cut in 0usize..20) {
            let network = |(v6, length): &(bool, u8)| {
                IpNet::new(if *v6 { IpAddr::from([0u8; 16]) } else { IpAddr::from([0u8; 4]) }, *length).unwrap()
            };
            let of = |some: &[(bool, u8)]| {
                let mut all = Networks::default();
                some.iter().for_each(|one| all.insert(network(one)));
                all
            };
            let side = |v6: bool| lengths.iter().filter(move |l| l.0 == v6).map(|l| l.1);
            prop_assert_eq!(of(&lengths), Networks::from_lengths(side(false), side(true)));
            let (first, second) = lengths.split_at(cut.min(lengths.len()));
            let mut joined = of(first);
            let more = joined.append(&of(second));
            prop_assert_eq!(&joined, &of(&lengths));
            prop_assert_eq!(more, joined != of(first));
        }

        #[test]
        fn each_probe_contains_the_address(bits: u128, v4: u32, lengths in proptest::collection::vec(0u8..=140, 0..20)) {
            let networks = Networks::from_lengths(lengths.clone(), lengths.clone());
            for (ip, max) in [(IpAddr::from(v4.to_be_bytes()), 32), (IpAddr::from(bits.to_be_bytes()), 128)] {
                let probes: Vec<IpNet> = networks.probes(ip).collect();
                prop_assert!(probes.iter().all(|n| n.contains(&ip) && n.trunc() == *n));
                prop_assert!(probes.is_sorted_by(|a, b| a.prefix_len() > b.prefix_len()));
                prop_assert!(lengths.iter().all(|l| *l > max || probes.iter().any(|n| n.prefix_len() == *l)));
            }
        }
    }
}
