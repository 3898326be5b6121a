//! Collects what goes into Falco's lists: fed one record of the ledger at a time,
//! it keeps the newest addresses and networks of each direction.
//!
//! Pure: knows neither files nor clock. What it gives does not depend on the
//! order it was fed in, so the same MISP gives the same bytes.

use super::newest::Newest;
use super::range::{Allowed, Item};
use crate::config;
use crate::indicator::types::Direction;
use ipnet::IpNet;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Networks remembered per network that may be listed: room for those that turn
/// out to lie within others. More would cost memory for the sake of lists that
/// are mostly overlap.
const NETWORKS_REMEMBERED: usize = 4;

/// Takes records and becomes [`Lists`].
#[derive(Debug, Clone)]
pub struct Selection {
    allowed: Allowed,
    max_networks: usize,
    cutoff: Option<u64>,
    outbound: Side,
    inbound: Side,
    left_out: BTreeMap<&'static str, u64>,
    older: u64,
}

#[derive(Debug, Clone)]
struct Side {
    ips: Newest<IpAddr>,
    networks: Newest<IpNet>,
}

/// What goes into the rules file, and what did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// Addresses our hosts must not connect to.
    pub outbound: DirectionLists,
    /// Addresses that must not connect to our hosts.
    pub inbound: DirectionLists,
    /// Records left out, by reason. Records, not addresses: one that MISP lists
    /// in two events counts twice.
    pub left_out: BTreeMap<&'static str, u64>,
    /// Records older than `falco.timeframe`.
    pub older: u64,
    /// What the caps of the configuration cut off.
    pub cut: Cut,
}

/// The lists of one direction, sorted. Only [`Selection`] makes them, so each
/// entry is one that Falco takes: no network of all addresses or of one, no host
/// bits, no IPv4-mapped IPv6.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectionLists {
    ips: Vec<IpAddr>,
    networks: Vec<IpNet>,
}

impl DirectionLists {
    /// The single addresses.
    pub fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    /// The networks, none within another.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }
}

/// Different addresses and networks beyond the caps, the oldest ones. Exact up to
/// about the size of the cap, then an estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Beyond `falco.max_addresses`.
    pub outbound_ips: u64,
    /// Beyond `falco.max_networks`.
    pub outbound_networks: u64,
    /// Beyond `falco.max_addresses`.
    pub inbound_ips: u64,
    /// Beyond `falco.max_networks`.
    pub inbound_networks: u64,
}

impl Cut {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.outbound_ips + self.outbound_networks + self.inbound_ips + self.inbound_networks
    }
}

impl Selection {
    /// An empty selection. Records whose timestamp is before `cutoff` (Unix
    /// seconds; from `falco.timeframe`) are left out.
    pub fn new(config: &config::Falco, cutoff: Option<u64>) -> Selection {
        let side = || Side {
            ips: Newest::new(config.max_addresses),
            networks: Newest::new(config.max_networks.saturating_mul(NETWORKS_REMEMBERED)),
        };
        Selection {
            allowed: Allowed::new(config),
            max_networks: config.max_networks,
            cutoff,
            outbound: side(),
            inbound: side(),
            left_out: BTreeMap::new(),
            older: 0,
        }
    }

    /// One record: an address or network as it is kept under `misp-ip` or
    /// `misp-cidr`, and the attribute's timestamp. Feeding `misp-ip` alone is
    /// enough (it has the networks too); feeding both gives the same lists, and
    /// counts what is left out twice.
    pub fn add(&mut self, direction: Direction, value: &str, timestamp: u64) {
        if self.cutoff.is_some_and(|cutoff| timestamp < cutoff) {
            self.older += 1;
            return;
        }
        let side = match direction {
            Direction::Outbound => &mut self.outbound,
            Direction::Inbound => &mut self.inbound,
        };
        match self.allowed.item(value) {
            Ok(Item::Address(ip)) => side.ips.add(ip, timestamp),
            Ok(Item::Network(network)) => side.networks.add(network, timestamp),
            Err(reason) => *self.left_out.entry(reason).or_default() += 1,
        }
    }

    /// The lists of what was fed.
    pub fn finish(self) -> Lists {
        let (outbound, outbound_ips, outbound_networks) = self.outbound.finish(self.max_networks, self.allowed);
        let (inbound, inbound_ips, inbound_networks) = self.inbound.finish(self.max_networks, self.allowed);
        Lists {
            outbound,
            inbound,
            left_out: self.left_out,
            older: self.older,
            cut: Cut { outbound_ips, outbound_networks, inbound_ips, inbound_networks },
        }
    }
}

impl Side {
    /// The lists, and how many addresses and networks the caps cut off.
    fn finish(self, max_networks: usize, allowed: Allowed) -> (DirectionLists, u64, u64) {
        let (ips, ips_cut) = self.ips.finish();
        let mut ips: Vec<IpAddr> = ips.into_iter().map(|(ip, _)| ip).collect();
        ips.sort_unstable();

        let (networks, networks_cut) = self.networks.finish();
        let mut networks = collapse(networks, allowed);
        networks.sort_unstable_by_key(|&(network, timestamp)| (Reverse(timestamp), network));
        let over = networks.len().saturating_sub(max_networks) as u64;
        networks.truncate(max_networks);
        let mut networks: Vec<IpNet> = networks.into_iter().map(|(network, _)| network).collect();
        networks.sort_unstable();

        (DirectionLists { ips, networks }, ips_cut, networks_cut + over)
    }
}

/// The same addresses in fewer networks, since Falco walks the list at every
/// event: a network within another goes, two halves become their whole where that
/// may be listed. What remains has the newest time of what it took in.
fn collapse(mut networks: Vec<(IpNet, u64)>, allowed: Allowed) -> Vec<(IpNet, u64)> {
    // By first address and then the widest first: what lies within a network
    // comes right behind it.
    networks.sort_unstable();
    let mut out: Vec<(IpNet, u64)> = Vec::new();
    for (network, timestamp) in networks {
        match out.last_mut() {
            Some((last, newest)) if last.contains(&network) => *newest = timestamp.max(*newest),
            _ => out.push((network, timestamp)),
        }
        while let [.., (left, left_time), (right, right_time)] = out[..]
            && left.is_sibling(&right)
            && let Some(whole) = left.supernet()
            && allowed.network(whole).is_ok()
        {
            out.truncate(out.len() - 2);
            out.push((whole, left_time.max(right_time)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::falco::range;
    use proptest::prelude::*;

    fn config() -> config::Falco {
        config::Falco::default()
    }

    fn shown<T: ToString>(items: &[T]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    fn outbound(config: &config::Falco, records: &[(&str, u64)]) -> Lists {
        let mut selection = Selection::new(config, None);
        for (value, timestamp) in records {
            selection.add(Direction::Outbound, value, *timestamp);
        }
        selection.finish()
    }

    fn networks(config: &config::Falco, values: &[&str]) -> Vec<String> {
        let records: Vec<(&str, u64)> = values.iter().map(|value| (*value, 1)).collect();
        shown(outbound(config, &records).outbound.networks())
    }

    #[test]
    fn directions_and_kinds_are_kept_apart() {
        let mut selection = Selection::new(&config(), None);
        for value in ["198.51.100.9", "2001:db8::1", "198.51.100.10", "::ffff:198.51.100.9", "203.0.113.4/24"] {
            selection.add(Direction::Outbound, value, 1);
        }
        selection.add(Direction::Inbound, "203.0.113.9/32", 1);
        let lists = selection.finish();
        assert_eq!(shown(lists.outbound.ips()), ["198.51.100.9", "198.51.100.10", "2001:db8::1"]);
        assert_eq!(shown(lists.outbound.networks()), ["203.0.113.0/24"]);
        assert_eq!(shown(lists.inbound.ips()), ["203.0.113.9"]);
        assert!(lists.inbound.networks().is_empty());
        assert_eq!((lists.left_out.len(), lists.older, lists.cut.total()), (0, 0, 0));
    }

    #[test]
    fn what_is_left_out_is_counted_by_reason() {
        let records = ["10.1.2.3", "192.168.0.0/24", "127.0.0.1", "x)or(evt.num>0)or(", "0.0.0.0/0", "2.0.0.0/7"];
        let records: Vec<(&str, u64)> = records.iter().map(|value| (*value, 1)).collect();
        let lists = outbound(&config(), &records);
        assert_eq!(lists.outbound, DirectionLists::default());
        let expected =
            [("loopback", 1), (range::EVERYTHING, 1), (range::TOO_WIDE, 1), (range::NOT_AN_ADDRESS, 1), ("private", 2)];
        assert_eq!(lists.left_out, BTreeMap::from(expected));
        let all = config::Falco { allow_private: true, allow_wide_networks: true, ..config() };
        let lists = outbound(&all, &records);
        assert_eq!(shown(lists.outbound.ips()), ["10.1.2.3", "127.0.0.1"]);
        assert_eq!(shown(lists.outbound.networks()), ["2.0.0.0/7", "192.168.0.0/24"]);
    }

    #[test]
    fn older_than_the_timeframe() {
        let mut selection = Selection::new(&config(), Some(100));
        for (value, timestamp) in [("198.51.100.1", 99), ("198.51.100.2", 100), ("198.51.100.3", 0), ("junk", 1)] {
            selection.add(Direction::Inbound, value, timestamp);
        }
        let lists = selection.finish();
        assert_eq!(shown(lists.inbound.ips()), ["198.51.100.2"]);
        assert_eq!((lists.older, lists.left_out.len()), (3, 0));
    }

    #[test]
    fn the_newest_are_kept() {
        let config = config::Falco { max_addresses: 2, max_networks: 1, ..config() };
        let records = [
            ("198.51.100.1", 5),
            ("198.51.100.2", 9),
            ("198.51.100.3", 5),
            ("198.51.100.4", 1),
            ("198.51.100.4", 7),
            ("203.0.113.0/25", 3),
            ("192.0.2.0/25", 8),
        ];
        let lists = outbound(&config, &records);
        assert_eq!(shown(lists.outbound.ips()), ["198.51.100.2", "198.51.100.4"]);
        assert_eq!(shown(lists.outbound.networks()), ["192.0.2.0/25"]);
        assert_eq!(lists.cut, Cut { outbound_ips: 2, outbound_networks: 1, ..Cut::default() });
        let none = config::Falco { max_addresses: 0, max_networks: 0, ..config };
        let lists = outbound(&none, &records);
        assert_eq!(lists.outbound, DirectionLists::default());
        assert_eq!(lists.cut, Cut { outbound_ips: 4, outbound_networks: 2, ..Cut::default() });
    }

    #[test]
    fn networks_collapse_before_the_cap() {
        let one = config::Falco { max_networks: 1, ..config() };
        assert_eq!(networks(&one, &["203.0.113.0/24", "203.0.113.128/25", "203.0.113.64/26"]), ["203.0.113.0/24"]);
        assert_eq!(networks(&one, &["203.0.113.0/26", "203.0.113.64/26", "203.0.113.128/25"]), ["203.0.113.0/24"]);
        // The whole has the time of its newest part, so it is not the one cut off.
        let records = [("203.0.113.0/25", 1), ("203.0.113.128/25", 9), ("192.0.2.0/25", 5)];
        let lists = outbound(&one, &records);
        assert_eq!(shown(lists.outbound.networks()), ["203.0.113.0/24"]);
        assert_eq!(lists.cut.outbound_networks, 1);
    }

    #[test]
    fn halves_that_must_not_become_one() {
        // Neighbours, but no two halves of one network.
        assert_eq!(networks(&config(), &["203.0.113.64/26", "203.0.113.128/26"]).len(), 2);
        // Each as wide as allowed.
        assert_eq!(networks(&config(), &["2.0.0.0/8", "3.0.0.0/8"]), ["2.0.0.0/8", "3.0.0.0/8"]);
        let all = config::Falco { allow_private: true, allow_wide_networks: true, ..config() };
        assert_eq!(networks(&all, &["2.0.0.0/8", "3.0.0.0/8"]), ["2.0.0.0/7"]);
        assert_eq!(networks(&all, &["0.0.0.0/1", "128.0.0.0/1"]), ["0.0.0.0/1", "128.0.0.0/1"]);
        assert_eq!(networks(&all, &["::/1", "8000::/1"]), ["::/1", "8000::/1"]);
    }

    prop_compose! {
        /// Networks that overlap often.
        fn network()(third in 112u8..116, fourth: u8, prefix in 20u8..=32, v6: bool) -> String {
            if v6 { format!("2001:db8:{third:x}:{fourth:x}00::/{}", prefix + 20) }
            else { format!("203.0.{third}.{fourth}/{prefix}") }
        }
    }

    proptest! {
        /// Not one address more or less than the records name, in networks apart from each other.
        #[test]
        fn collapsing_is_exact(values in proptest::collection::vec(network(), 0..60), probes in proptest::collection::vec(network(), 20)) {
            let given: Vec<IpNet> = values.iter().map(|value| value.parse().unwrap()).collect();
            let records: Vec<(&str, u64)> = values.iter().map(|value| (value.as_str(), 1)).collect();
            let lists = outbound(&config(), &records);
            let (ips, networks) = (lists.outbound.ips(), lists.outbound.networks());
            for probe in probes {
                let ip = probe.parse::<IpNet>().unwrap().addr();
                let listed = ips.contains(&ip) || networks.iter().any(|network| network.contains(&ip));
                prop_assert_eq!(listed, given.iter().any(|network| network.contains(&ip)));
            }
            for (i, network) in networks.iter().enumerate() {
                prop_assert_eq!(*network, network.trunc());
                prop_assert!(network.prefix_len() < network.max_prefix_len());
                prop_assert!(networks[i + 1..].iter().all(|other| !network.contains(other) && !network.is_sibling(other)));
            }
        }

        /// The order of the ledger does not show in the lists.
        #[test]
        fn any_order_gives_the_same(mut records in proptest::collection::vec((network(), 0u64..6), 0..80)) {
            let config = config::Falco { max_addresses: 3, max_networks: 5, ..config() };
            let all = |records: &[(String, u64)]| {
                outbound(&config, &records.iter().map(|(value, time)| (value.as_str(), *time)).collect::<Vec<_>>())
            };
            let lists = all(&records);
            prop_assert!(lists.outbound.ips().len() <= 3 && lists.outbound.networks().len() <= 5);
            records.reverse();
            prop_assert_eq!(&all(&records), &lists);
            records.sort();
            prop_assert_eq!(&all(&records), &lists);
        }

        /// Whatever strangers write, it is counted or it is an address.
        #[test]
        fn any_text(value in "(?s).{0,40}") {
            let lists = outbound(&config(), &[(&value, 1)]);
            let listed = lists.outbound.ips().len() + lists.outbound.networks().len();
            prop_assert_eq!(listed as u64 + lists.left_out.values().sum::<u64>(), 1);
        }
    }
}
