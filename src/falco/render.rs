//! The rules file as text: lists, macros and one rule a direction, in one file
//! that needs no other.
//!
//! Pure. Falco pastes list items into the condition as text, and one bad item
//! rejects the whole file; so every item is printed from a parsed address or
//! network and from nothing else, and nothing here depends on the time: the bytes
//! change only when the lists or the configuration do.

use super::select::{DirectionLists, Lists};
use crate::config::FalcoPriority;
use ipnet::IpNet;
use std::fmt::{Display, Write};

/// Networks in one list at most. Falco counts the networks of a list in 16 bits:
/// with more than 65,535 it never ends the search that finds none.
pub const MAX_NETWORKS_IN_LIST: usize = 50_000;

/// The oldest engine the file needs (Falco 0.37: `override`, with which users
/// append exceptions).
const REQUIRED_ENGINE: &str = "0.31.0";

const HEADER: &str = "\
# Addresses that MISP lists, as Falco rules. Made by misp2memcached.
# Do not edit: the file is replaced whenever MISP's indicators change. To silence
# a false positive append to the rules' exceptions from a file of your own.
";

/// Everything that tells the two directions apart.
struct Rule {
    name: &'static str,
    desc: &'static str,
    /// The macro's name, and the beginning of the lists' names.
    stem: &'static str,
    /// What the macro says. Not the stock `inbound` and `outbound`: Falco's default
    /// rules lack the one, and the other misses UDP and private servers.
    connection: &'static str,
    /// The other end's address, and the field that takes networks: `fd.net` looks
    /// at the first network of a list only, and `fd.rip` is wrong in containers.
    ip: &'static str,
    net: &'static str,
}

const OUTBOUND: Rule = Rule {
    name: "MISP outbound connection",
    desc: "Connection to an address that MISP lists",
    stem: "misp_outbound",
    connection: "(evt.type in (connect, sendto, sendmsg) and fd.typechar in (4, 6) and fd.is_server = false
     and (evt.rawres >= 0 or evt.res = EINPROGRESS))",
    ip: "fd.sip",
    net: "fd.snet",
};

const INBOUND: Rule = Rule {
    name: "MISP inbound connection",
    desc: "Connection from an address that MISP lists",
    stem: "misp_inbound",
    connection: "(evt.type in (accept, accept4) and fd.typechar in (4, 6) and evt.rawres >= 0)",
    ip: "fd.cip",
    net: "fd.cnet",
};

/// The rules file of these lists.
pub fn render(lists: &Lists, priority: FalcoPriority) -> String {
    let mut out = String::from(HEADER);
    line(&mut out, format_args!("- required_engine_version: {REQUIRED_ENGINE}"));
    for (rule, lists) in [(&OUTBOUND, &lists.outbound), (&INBOUND, &lists.inbound)] {
        rule.render(lists, priority, &mut out);
    }
    out
}

impl Rule {
    fn render(&self, lists: &DirectionLists, priority: FalcoPriority, out: &mut String) {
        let Rule { name, desc, stem, connection, ip, net } = self;
        list(&format!("{stem}_ips"), lists.ips(), out);
        let mut matches = format!("{ip} in ({stem}_ips)");
        for (i, networks) in chunks(lists.networks()).enumerate() {
            let list_name = format!("{stem}_networks_{}", i + 1);
            list(&list_name, networks, out);
            let _ = write!(matches, " or {net} in ({list_name})");
        }
        line(out, format_args!("\n- macro: {stem}\n  condition: >\n    {connection}"));
        // No %container fields: they need a plugin, and Falco appends them by itself.
        line(
            out,
            format_args!(
                "
- rule: {name}
  desc: {desc}
  condition: {stem} and ({matches})
  exceptions:
    - name: remote_ips
      fields: {ip}
      comps: in
  output: >
    {name} | indicator=%{ip} connection=%fd.name process=%proc.name cmdline=%proc.cmdline pid=%proc.pid parent=%proc.pname user=%user.name
  priority: {}
  source: syscall
  tags: [misp, network]",
                falco_name(priority)
            ),
        );
    }
}

/// At least one list, since a rule that names a list that is not there is fatal.
fn chunks(networks: &[IpNet]) -> impl Iterator<Item = &[IpNet]> {
    let empty: Option<&[IpNet]> = networks.is_empty().then_some(&[]);
    empty.into_iter().chain(networks.chunks(MAX_NETWORKS_IN_LIST))
}

/// One list; every item quoted, since YAML reads `2001:db8::` as a mapping. An
/// empty `items:` would reject the file.
fn list(name: &str, items: &[impl Display], out: &mut String) {
    line(out, format_args!("\n- list: {name}"));
    if items.is_empty() {
        out.push_str("  items: []\n");
        return;
    }
    out.push_str("  items:\n");
    for item in items {
        line(out, format_args!("    - \"{item}\""));
    }
}

fn line(out: &mut String, text: impl Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

fn falco_name(priority: FalcoPriority) -> &'static str {
    match priority {
        FalcoPriority::Emergency => "EMERGENCY",
        FalcoPriority::Alert => "ALERT",
        FalcoPriority::Critical => "CRITICAL",
        FalcoPriority::Error => "ERROR",
        FalcoPriority::Warning => "WARNING",
        FalcoPriority::Notice => "NOTICE",
        FalcoPriority::Informational => "INFORMATIONAL",
        FalcoPriority::Debug => "DEBUG",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::falco::Selection;
    use crate::indicator::types::Direction;
    use proptest::prelude::*;
    use serde_yaml::Value;
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::IpAddr;

    const GOLDEN: &str = include_str!("../../tests/golden/falco/rules.yaml");

    fn any() -> config::Falco {
        config::Falco { allow_private: true, allow_wide_networks: true, max_networks: 200_000, ..Default::default() }
    }

    fn lists<'a>(config: &config::Falco, records: impl IntoIterator<Item = (Direction, &'a str)>) -> Lists {
        let mut selection = Selection::new(config, None);
        for (direction, value) in records {
            selection.add(direction, value, 1);
        }
        selection.finish()
    }

    /// What each list has; every item must be text.
    fn items(yaml: &str) -> BTreeMap<String, Vec<String>> {
        let documents: Vec<Value> = serde_yaml::from_str(yaml).unwrap();
        let lists = documents.iter().filter(|entry| entry.get("list").is_some());
        lists
            .map(|entry| {
                let items = entry["items"].as_sequence().unwrap().iter();
                (entry["list"].as_str().unwrap().to_owned(), items.map(|i| i.as_str().unwrap().to_owned()).collect())
            })
            .collect()
    }

    #[test]
    fn golden() {
        let lists = lists(
            &config::Falco::default(),
            [
                (Direction::Outbound, "198.51.100.7"),
                (Direction::Outbound, "2001:db8:bad::1"),
                (Direction::Outbound, "::ffff:198.51.100.8"),
                (Direction::Outbound, "203.0.113.0/25"),
                (Direction::Outbound, "203.0.113.128/25"),
                (Direction::Outbound, "2001:db8:bad:1::/64"),
                (Direction::Outbound, "192.168.0.1"),
                (Direction::Inbound, "192.0.2.99"),
            ],
        );
        assert_eq!(render(&lists, FalcoPriority::Critical), GOLDEN);
    }

    /// Rules, macros and lists: what is used is defined before, once, and only `_1` is always there.
    #[test]
    fn empty_lists_are_written() {
        let text = render(&Lists::default(), FalcoPriority::Debug);
        let expected = ["misp_inbound_ips", "misp_inbound_networks_1", "misp_outbound_ips", "misp_outbound_networks_1"];
        let items = items(&text);
        assert!(items.keys().eq(expected));
        assert!(items.values().all(Vec::is_empty));
        assert_eq!(text.matches("  items: []\n").count(), 4);
        assert_eq!(text.matches("  priority: DEBUG\n").count(), 2);
    }

    /// Falco never ends the search through more than 65,535 networks in one list.
    #[test]
    fn long_network_lists_are_split() {
        // Every other /24, so that nothing collapses.
        let values: Vec<String> =
            (0..120_000u32).map(|i| format!("{}.{}.{}.0/25", 20 + i / 65_536, i / 256 % 256, i % 256)).collect();
        let lists = lists(&any(), values.iter().map(|value| (Direction::Inbound, value.as_str())));
        let text = render(&lists, FalcoPriority::Error);
        let items = items(&text);
        let sizes: Vec<usize> = (1..=3).map(|i| items[&format!("misp_inbound_networks_{i}")].len()).collect();
        assert_eq!(sizes, [50_000, 50_000, 20_000]);
        assert!(text.contains(
            "condition: misp_inbound and (fd.cip in (misp_inbound_ips) or fd.cnet in (misp_inbound_networks_1) \
             or fd.cnet in (misp_inbound_networks_2) or fd.cnet in (misp_inbound_networks_3))\n"
        ));
    }

    #[test]
    fn every_priority_is_spelt_as_falco_does() {
        for name in ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"] {
            let priority: FalcoPriority = serde_yaml::from_str(name).unwrap();
            assert_eq!(falco_name(priority), name.to_uppercase());
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            any_ip().prop_map(|ip| ip.to_string()),
            (any_ip(), 0u8..=130).prop_map(|(ip, prefix)| format!("{ip}/{prefix}")),
            (any_ip(), "(?s).{0,12}").prop_map(|(ip, tail)| format!("{ip}{tail}")),
            "[0-9a-f.:/)( \"'\n\\[\\]#-]{0,30}",
            "(?s).{0,30}",
        ]
    }

    fn any_ip() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            proptest::arbitrary::any::<[u8; 4]>().prop_map(IpAddr::from),
            proptest::arbitrary::any::<[u16; 8]>().prop_map(IpAddr::from),
            proptest::arbitrary::any::<[u8; 4]>()
                .prop_map(|v4| IpAddr::V6(std::net::Ipv4Addr::from(v4).to_ipv6_mapped())),
        ]
    }

    proptest! {
        /// The lines of the lists are addresses and networks in the one form Falco
        /// takes, the other lines those of the file without any.
        #[test]
        fn hostile_text_never_gets_in(values in proptest::collection::vec(hostile(), 0..40)) {
            let lists = lists(&any(), values.iter().map(|value| (Direction::Outbound, value.as_str())));
            let text = render(&lists, FalcoPriority::Critical);
            let frame = render(&Lists::default(), FalcoPriority::Critical);
            let frame: BTreeSet<&str> = frame.lines().chain(["  items:"]).collect();
            let mut read = 0;
            for line in text.lines() {
                let Some(item) = line.strip_prefix("    - \"").and_then(|rest| rest.strip_suffix('"')) else {
                    prop_assert!(frame.contains(line), "{}", line);
                    continue;
                };
                read += 1;
                if item.contains('/') {
                    let network: IpNet = item.parse().unwrap();
                    prop_assert!(network.prefix_len() > 0 && network.prefix_len() < network.max_prefix_len());
                    prop_assert_eq!(network.trunc().to_string(), item);
                    prop_assert_eq!(network.addr().to_canonical(), network.addr());
                } else {
                    let ip: IpAddr = item.parse().unwrap();
                    prop_assert_eq!(ip.to_canonical().to_string(), item);
                }
            }
            let items = items(&text);
            prop_assert_eq!(read, items.values().map(Vec::len).sum::<usize>());
            prop_assert!(items["misp_outbound_ips"].iter().all(|item| item.parse::<IpAddr>().is_ok()));
            prop_assert!(items["misp_outbound_networks_1"].iter().all(|item| item.parse::<IpNet>().is_ok()));
        }
    }
}
