//! Any text as an address of the ledger: the rules file is YAML, and each item of
//! its lists is one address or network, in quotes, whatever MISP listed. One bad
//! item would make Falco refuse the whole file.

#![no_main]

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use misp2memcached::config::{Falco, FalcoPriority};
use misp2memcached::falco::{Selection, plain, render};
use misp2memcached::indicator::types::Direction;
use serde_yaml::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

fn lists(yaml: &str) -> BTreeMap<String, Vec<String>> {
    let entries: Vec<Value> = serde_yaml::from_str(yaml).expect("the rules are YAML");
    let mut lists = BTreeMap::new();
    for entry in &entries {
        let Some(name) = entry.get("list").and_then(Value::as_str) else { continue };
        let items = entry["items"].as_sequence().expect("items");
        let items = items.iter().map(|item| item.as_str().expect("an item is text").to_owned()).collect();
        assert!(lists.insert(name.to_owned(), items).is_none(), "{name} twice");
    }
    lists
}

// One value a line; the first byte sets the configuration.
fuzz_target!(|input: (u8, &str)| {
    let (switches, text) = input;
    let config = Falco {
        allow_private: switches & 1 != 0,
        allow_wide_networks: switches & 2 != 0,
        max_addresses: if switches & 4 != 0 { 3 } else { 100 },
        max_networks: if switches & 8 != 0 { 2 } else { 100 },
        ..Falco::default()
    };
    let values: Vec<&str> = text.split('\n').collect();
    let select = |values: &mut dyn Iterator<Item = (usize, &&str)>| {
        let mut selection = Selection::new(&config, (switches & 16 != 0).then_some(1));
        for (i, value) in values {
            let direction = if i % 2 == 0 { Direction::Outbound } else { Direction::Inbound };
            selection.add(direction, value, i as u64);
        }
        selection.finish()
    };
    let chosen = select(&mut values.iter().enumerate());
    assert_eq!(select(&mut values.iter().enumerate().rev()), chosen, "the order of the records matters");

    let yaml = render(&chosen, FalcoPriority::Critical);
    let lists = lists(&yaml);
    let named = |start: &str| -> Vec<&String> {
        lists.iter().filter(|(name, _)| name.starts_with(start)).flat_map(|(_, items)| items).collect()
    };
    let mut listed = 0;
    for (start, side) in [("misp_outbound", &chosen.outbound), ("misp_inbound", &chosen.inbound)] {
        let addresses = named(&format!("{start}_ips"));
        let networks = named(&format!("{start}_networks_"));
        for item in &addresses {
            let address: IpAddr = item.parse().expect("an address");
            assert_eq!(address.to_string(), **item);
        }
        for item in &networks {
            let network: IpNet = item.parse().expect("a network");
            assert_eq!(network, network.trunc(), "host bits");
            assert_eq!(network.to_string(), **item);
        }
        assert!(addresses.len() <= config.max_addresses && networks.len() <= config.max_networks);
        assert_eq!((addresses.len(), networks.len()), (side.ips().len(), side.networks().len()));
        listed += addresses.len() + networks.len();
    }
    assert_eq!(listed, lists.values().map(Vec::len).sum::<usize>(), "a list that no rule has");

    // The plain lists: no value begins a line of its own.
    let names: BTreeSet<String> = values.iter().map(|v| (*v).to_owned()).collect();
    let domains = String::from_utf8(plain::domain_list(&names)).expect("text");
    assert!(domains.lines().count() <= names.len());
    assert!(domains.lines().all(|line| names.contains(line)));
    let hash = "0".repeat(64);
    let pairs = names.iter().map(|name| (hash.clone(), name.clone())).collect();
    let hashes = String::from_utf8(plain::hash_list(pairs)).expect("text");
    assert!(hashes.lines().count() <= names.len());
    assert!(hashes.lines().all(|line| line.starts_with(&format!("{hash},"))));
});
