//! Any text as what a person or a log line shows: the candidates are few, each one
//! once, and each can be asked for; where the cache has only some namespaces they are
//! the same without the others.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache::exp::{MetaCommand, MetaOp};
use misp2memcached::cache::key::Keys;
use misp2memcached::indicator::Namespace;
use misp2memcached::lookup::form::{Candidate, MAX_CANDIDATES, candidates, candidates_in};
use misp2memcached::lookup::held::Held;
use misp2memcached::cache::networks::Networks;
use std::collections::BTreeSet;

fn check(list: &[Candidate], keys: &Keys) {
    assert!(list.len() <= MAX_CANDIDATES, "{} candidates", list.len());
    let mut seen = BTreeSet::new();
    for Candidate { namespace, value } in list {
        assert!(!value.is_empty());
        assert!(namespace.is_cached(), "never a key of memcached: {namespace:?}");
        assert!(seen.insert((*namespace, value.as_str())), "twice: {namespace:?} {value:?}");
        let key = keys.indicator(*namespace, value);
        assert!(MetaCommand::new(MetaOp::Get, key.as_slice()).encode().is_ok());
    }
}

// The first byte names a namespace; the first line is the text of `misp-networks`.
fuzz_target!(|input: (u8, &str)| {
    let (code, text) = input;
    let (networks, value) = text.split_once('\n').unwrap_or(("", text));
    let keys = Keys::new("misp");
    let parsed = Networks::parse(networks.as_bytes());
    assert_eq!(Networks::parse(parsed.to_string().as_bytes()), parsed);
    let every = Networks::from_lengths(0..=32, 0..=128);
    let namespaces = Namespace::ALL;
    let namespace = namespaces[usize::from(code) % namespaces.len()];
    for networks in [parsed, every] {
        let text = networks.to_string();
        let list = candidates(value, &Held::with_networks(networks));
        check(&list, &keys);
        let one = candidates(value, &Held::parse(Some(text.as_bytes()), Some(namespace.name().as_bytes())));
        check(&one, &keys);
        let mut same = list.iter().filter(|c| c.namespace == namespace);
        assert!(list.len() == MAX_CANDIDATES || one.iter().all(|c| same.next() == Some(c)) && same.next().is_none());
    }
    if namespace.is_cached() {
        let within = candidates_in(namespace, value);
        check(&within, &keys);
        assert!(within.iter().all(|c| c.namespace == namespace));
    }
});
