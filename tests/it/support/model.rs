//! A second opinion: the keys and values that a world should give, by rules
//! written down again from the specification. Nothing of the crate's splitting,
//! key or value code is used here, so that a shared mistake cannot hide.
//!
//! It knows the types in its table, and what is no value of them: half composites,
//! hashes of the wrong length, addresses that are none. Other types give no keys.

use misp2memcached::demo::{Attribute, Event, World};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Types, and the namespace of their only or first part and of their second one (`-`: dropped).
const TABLE: &[(&str, &str, &str)] = &[
    ("ip-src", "ip", ""),
    ("ip-dst", "ip", ""),
    ("ip-src|port", "ip", "-"),
    ("ip-dst|port", "ip", "-"),
    ("domain", "domain", ""),
    ("hostname", "domain", ""),
    ("hostname|port", "domain", "-"),
    ("domain|ip", "domain", "ip"),
    ("url", "url", ""),
    ("uri", "url", ""),
    ("md5", "md5", ""),
    ("sha1", "sha1", ""),
    ("sha256", "sha256", ""),
    ("sha512", "sha512", ""),
    ("imphash", "imphash", ""),
    ("ssdeep", "ssdeep", ""),
    ("filename|md5", "-", "md5"),
    ("filename|sha1", "-", "sha1"),
    ("filename|sha256", "-", "sha256"),
    ("malware-sample", "-", "md5"),
    ("email-src", "email", ""),
    ("email-dst", "email", ""),
    ("user-agent", "user-agent", ""),
    ("filename", "filename", ""),
    ("mutex", "mutex", ""),
    ("regkey", "regkey", ""),
    ("regkey|value", "regkey", "-"),
];

/// memcached's longest key; one with blanks or control bytes grows by a third on the wire.
const LONGEST_KEY: usize = 250;

/// The indicator keys and values of a world's live attributes of the types in
/// the table, where `wanted` says so (published, to_ids, type ...).
pub fn expected(world: &World, wanted: impl Fn(&Event, &Attribute) -> bool) -> BTreeMap<Vec<u8>, Vec<u8>> {
    rendered(world.events().flat_map(|event| indicators(event, |a| wanted(event, a))))
}

/// One indicator: its key, and the event and type that list it.
pub type Indicator = (Vec<u8>, u64, String);

/// The indicators of one event's live attributes, where `wanted` says so.
pub fn indicators(event: &Event, wanted: impl Fn(&Attribute) -> bool) -> BTreeSet<Indicator> {
    let mut all = BTreeSet::new();
    for attribute in event.attributes.iter().filter(|a| !a.deleted && wanted(a)) {
        for (namespace, value) in parts(&attribute.kind, attribute.value.trim()) {
            all.insert((key(namespace, &value), event.id, attribute.kind.clone()));
        }
    }
    all
}

/// Keys and values of some indicators.
pub fn rendered(indicators: impl IntoIterator<Item = Indicator>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut tags: BTreeMap<Vec<u8>, BTreeSet<(u64, String)>> = BTreeMap::new();
    for (key, event, kind) in indicators {
        tags.entry(key).or_default().insert((event, kind));
    }
    let value = |tags: BTreeSet<(u64, String)>| {
        let tags: Vec<String> = tags.into_iter().map(|(event, kind)| format!("{event}#{kind}")).collect();
        tags.join(",").into_bytes()
    };
    tags.into_iter().map(|(key, tags)| (key, value(tags))).collect()
}

fn parts(kind: &str, value: &str) -> Vec<(&'static str, String)> {
    let Some((_, first, second)) = TABLE.iter().find(|row| row.0 == kind) else { return Vec::new() };
    let whole = second.is_empty();
    let halves: Vec<&str> = if whole { vec![value] } else { value.split('|').map(str::trim).collect() };
    if halves.len() != 2 - usize::from(whole) || halves.contains(&"") {
        return Vec::new();
    }
    let mut parts = Vec::new();
    for (namespace, text) in [*first, *second].into_iter().zip(halves) {
        if namespace == "-" || !good(namespace, text, whole) {
            continue;
        }
        parts.push((namespace, text.to_owned()));
        if namespace == "ip" {
            parts.extend(network(text).map(|network| ("cidr", network)));
            parts.extend(plain_v4_network(text).map(|network| ("cidr", network)));
            parts.extend(plain_v4(text).map(|address| ("ip", address)));
        }
    }
    parts
}

/// Whether a value is one of its namespace; networks are only where the type has no second part.
fn good(namespace: &str, text: &str, whole: bool) -> bool {
    let digits = |n| text.len() == n && text.chars().all(|c| c.is_ascii_hexdigit());
    match namespace {
        "md5" | "imphash" => digits(32),
        "sha1" => digits(40),
        "sha256" => digits(64),
        "sha512" => digits(128),
        "ip" => text.parse::<IpAddr>().is_ok() || whole && network(text).is_some(),
        "domain" => {
            let label = |l: &str| !l.is_empty() && l.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
            text.len() <= 253 && text.split('.').all(label)
        }
        _ => !text.contains(['\r', '\n']),
    }
}

/// The namespaces in use, as `misp-namespaces` shows them.
pub fn namespaces<'a>(keys: impl Iterator<Item = &'a Vec<u8>>) -> String {
    let names: BTreeSet<&str> = keys
        .filter_map(|key| std::str::from_utf8(key).ok()?.strip_prefix("misp-")?.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

/// The prefix lengths in use, as `misp-networks` shows them.
pub fn networks<'a>(keys: impl Iterator<Item = &'a Vec<u8>>) -> String {
    let mut lengths: [BTreeSet<u32>; 2] = Default::default();
    for network in keys.filter_map(|key| std::str::from_utf8(key).ok()?.strip_prefix("misp-cidr:")) {
        let (address, length) = network.split_once('/').expect("a network");
        lengths[usize::from(address.contains(':'))].insert(length.parse().expect("a length"));
    }
    let mut families = Vec::new();
    for (name, lengths) in ["4", "6"].into_iter().zip(lengths) {
        let list: Vec<String> = lengths.iter().rev().map(u32::to_string).collect();
        if !list.is_empty() {
            families.push(format!("{name}:{}", list.join(",")));
        }
    }
    families.join(";")
}

/// `10.1.2.3/8` as `10.0.0.0/8`.
fn network(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    let base = match address.parse().ok()? {
        IpAddr::V4(_) if length > 32 => return None,
        IpAddr::V6(_) if length > 128 => return None,
        IpAddr::V4(v4) => IpAddr::from((v4.to_bits() & u32::MAX.checked_shl(32 - length).unwrap_or(0)).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from((v6.to_bits() & u128::MAX.checked_shl(128 - length).unwrap_or(0)).to_be_bytes()),
    };
    Some(format!("{base}/{length}"))
}

/// `::ffff:192.0.2.1/120` as `192.0.2.0/24`.
fn plain_v4_network(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/')?;
    let length = length.parse::<u32>().ok().filter(|length| *length <= 128)?.checked_sub(96)?;
    network(&format!("{}/{length}", plain_v4(address)?))
}

/// `::ffff:192.0.2.1` as `192.0.2.1`.
fn plain_v4(text: &str) -> Option<String> {
    match text.parse().ok()? {
        IpAddr::V6(v6) if v6.to_bits() >> 32 == 0xffff => {
            Some(IpAddr::from((v6.to_bits() as u32).to_be_bytes()).to_string())
        }
        _ => None,
    }
}

fn key(namespace: &str, value: &str) -> Vec<u8> {
    let whole = format!("misp-{namespace}:{value}").into_bytes();
    let plain = whole.iter().all(|b| *b > b' ' && *b != 0x7f);
    let length = if plain { whole.len() } else { whole.len().div_ceil(3) * 4 };
    if length <= LONGEST_KEY {
        return whole;
    }
    let hash: String = Sha256::digest(value).iter().map(|b| format!("{b:02x}")).collect();
    format!("misp-{namespace}:sha256:{hash}").into_bytes()
}

#[test]
fn a_small_world_by_hand() {
    let long = format!("http://long.example/{}", "x".repeat(300));
    let mut world = World::new();
    for event in [
        Event::new("a")
            .with(Attribute::new("ip-dst", "10.1.2.3/8"))
            .with(Attribute::new("domain|ip", "bad.example|198.51.100.1"))
            .with(Attribute::new("url", &long))
            .with(Attribute::new("yara", "rule x {}")),
        Event::new("b")
            .with(Attribute::new("ip-src", "198.51.100.1"))
            .with(Attribute::new("ip-dst", "198.51.100.1"))
            .with(Attribute::new("ip-dst", "::ffff:192.0.2.1"))
            .with(Attribute::new("filename|md5", "a b.exe|e7d00812fcf0d4e11c1d088568cc2229"))
            .with(Attribute::new("mutex", "not wanted")),
    ] {
        world.add_event(event, 1);
    }
    world.add_event(Event::new("c").with(Attribute::new("domain", "gone.example")), 1);
    assert!(world.soft_delete(10, 2));
    let hash = key("url", &long);
    assert!(hash.starts_with(b"misp-url:sha256:") && hash.len() == 80);
    let by_hand: BTreeMap<Vec<u8>, Vec<u8>> = [
        ("misp-cidr:10.0.0.0/8", "1#ip-dst"),
        ("misp-domain:bad.example", "1#domain|ip"),
        ("misp-ip:10.1.2.3/8", "1#ip-dst"),
        ("misp-ip:192.0.2.1", "2#ip-dst"),
        ("misp-ip:198.51.100.1", "1#domain|ip,2#ip-dst,2#ip-src"),
        ("misp-ip:::ffff:192.0.2.1", "2#ip-dst"),
        ("misp-md5:e7d00812fcf0d4e11c1d088568cc2229", "2#filename|md5"),
        (std::str::from_utf8(&hash).unwrap(), "1#url"),
    ]
    .into_iter()
    .map(|(key, value)| (key.into(), value.into()))
    .collect();
    assert_eq!(expected(&world, |_, a| a.kind != "mutex"), by_hand);
    assert_eq!(network("2001:db8::ff/32").as_deref(), Some("2001:db8::/32"));
    assert_eq!(network("192.0.2.1/0").as_deref(), Some("0.0.0.0/0"));
}

#[test]
fn bad_values_by_hand() {
    for (kind, value) in [
        ("ip-dst", "192.0.2.0/33"),
        ("ip-dst", "x)or(evt.num>0)or(fd.sip=1.2.3.4"),
        ("ip-dst|port", "192.0.2.0/24|80"),
        ("ip-src|port", "192.0.2.1"),
        ("domain", "a..b"),
        ("filename|md5", "a|b|e7d00812fcf0d4e11c1d088568cc2229"),
        ("filename|md5", "|e7d00812fcf0d4e11c1d088568cc2229"),
        ("sha1", "e7d00812fcf0d4e11c1d088568cc2229"),
        ("url", "http://a/\r\ndelete misp-stats"),
        ("yara", "rule x {}"),
    ] {
        assert_eq!(parts(kind, value), [], "{kind} {value:?}");
    }
    assert_eq!(parts("domain|ip", "a.example|999.1.1.1"), [("domain", "a.example".to_owned())]);
    assert_eq!(parts("domain|ip", "a b|192.0.2.1"), [("ip", "192.0.2.1".to_owned())]);
    let keys = ["misp-cidr:10.0.0.0/8", "misp-cidr:192.0.2.0/24", "misp-cidr:2001:db8::/32", "misp-ip:10.0.0.0/9"];
    let keys: Vec<Vec<u8>> = keys.iter().map(|k| k.as_bytes().to_vec()).collect();
    assert_eq!((networks(keys.iter()).as_str(), networks([].iter()).as_str()), ("4:24,8;6:32", ""));
}
