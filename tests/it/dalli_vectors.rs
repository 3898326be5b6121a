//! What real Dalli (the client inside Logstash) sends and where, recorded in
//! `../shared/dalli-vectors`, against our ring and our keys. Where that directory
//! does not exist nothing is compared, which is said.

use misp2memcached::cache::address::Address;
use misp2memcached::cache::encode;
use misp2memcached::cache::fleet::{addresses, ring};
use misp2memcached::cache::key::{Keys, MAX_WIRE_KEY, wire_len};
use misp2memcached::config::{Distribution, Memcached};
use misp2memcached::indicator::Namespace;
use serde_json::Value;
use sha1::{Digest, Sha1};
use std::fmt::Write;
use std::path::Path;

fn vectors(name: &str) -> Option<Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/dalli-vectors");
    if !directory.exists() {
        eprintln!("{} does not exist: nothing is compared", directory.display());
        return None;
    }
    let text = std::fs::read_to_string(directory.join(name)).expect("the vectors");
    Some(serde_json::from_str(&text).expect("vectors are JSON"))
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

/// Where each key is, by name: of two servers with one name either is right.
fn compare(name: &str, servers: &[String], indices: &Value, at: impl Fn(usize) -> usize) -> usize {
    for (i, expected) in list(indices).iter().enumerate() {
        let expected = &servers[expected.as_u64().unwrap() as usize];
        assert_eq!(&servers[at(i)], expected, "{name}: key {i}");
    }
    list(indices).len()
}

#[test]
fn every_ring_is_dallis() {
    let Some(vectors) = vectors("ring.json") else { return };
    let decoded = |k: &Value, name: &str| k[name].as_str().map(unbase64);
    let keys: Vec<Vec<u8>> = list(&vectors["keys"]).iter().map(|k| decoded(k, "wire_b64").unwrap()).collect();
    let old: Vec<Option<Vec<u8>>> = list(&vectors["keys"]).iter().map(|k| decoded(k, "wire_27_b64")).collect();
    let (mut sets, mut placed, mut placed_by_old) = (0, 0, 0);
    for set in list(&vectors["sets"]) {
        let name = set["name"].as_str().unwrap();
        let config =
            Memcached { servers: texts(&set["hosts"]), distribution: Distribution::Ring, ..Memcached::default() };
        let addresses = addresses(&config).unwrap();
        let names = texts(&set["servers"]);
        assert_eq!(addresses.iter().map(Address::ring_name).collect::<Vec<_>>(), names, "{name}");
        let weights: Vec<u64> = addresses.iter().map(|a| u64::from(a.weight)).collect();
        assert_eq!(Value::from(weights), set["weights"], "{name}");
        sets += 1;
        let Some(ring) = ring(&config, &addresses) else {
            assert_eq!((set["points"].as_u64(), set["all_keys_on"].as_u64()), (Some(0), Some(0)), "{name}");
            placed += keys.len();
            continue;
        };
        assert_eq!(ring.points().len() as u64, set["points"].as_u64().unwrap(), "{name}");
        let lines = ring.points().iter().fold(String::new(), |mut all, (value, server)| {
            let _ = writeln!(all, "{value}:{server}");
            all
        });
        let sha1 = Sha1::digest(lines).iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
        assert_eq!(set["continuum_sha1"].as_str(), Some(sha1.as_str()), "{name}");
        placed += compare(name, &names, &set["server_index"], |i| ring.server(&keys[i]));
        // A key that Dalli 2.7 sends otherwise: the ring places those bytes where 2.7 does.
        for (index, server) in set["server_index_27"].as_object().into_iter().flatten() {
            let key = old[index.parse::<usize>().unwrap()].as_ref().expect("bytes of 2.7");
            assert_eq!(names[ring.server(key)], names[server.as_u64().unwrap() as usize], "{name}: 2.7's key {index}");
            placed_by_old += 1;
        }
    }
    assert_eq!(sets, list(&vectors["sets"]).len());
    println!(
        "{sets} sets and {placed} placed keys agree with Dalli, and {placed_by_old} more as Dalli 2.7 writes them"
    );
}

#[test]
fn every_key_we_write_is_dallis() {
    let Some(vectors) = vectors("keys.json") else { return };
    let (mut agree, mut built, mut shortened, mut silent) = (0, 0, 0, 0);
    let mut too_long = Vec::new();
    for case in list(&vectors["cases"]) {
        let id = case["id"].as_str().unwrap();
        let Some(wire) = case["wire_b64"].as_str().map(unbase64) else {
            silent += 1;
            continue;
        };
        let value = unbase64(case["key_b64"].as_str().unwrap());
        let namespace = case["namespace_b64"].as_str().map(unbase64);
        let mut key = namespace.clone().map(|n| [n, b":".to_vec()].concat()).unwrap_or_default();
        key.extend_from_slice(&value);
        if case["truncated"].as_bool().unwrap() {
            // Dalli shortens it, and no filter finds it: we never write such bytes.
            assert!(wire != key && key.len() > MAX_WIRE_KEY, "{id}");
            shortened += 1;
            continue;
        }
        assert_eq!(key, wire, "{id}");
        let ours = namespace.as_deref().and_then(|n| n.strip_prefix(b"misp-"));
        let ours = ours.and_then(|n| Namespace::from_name(std::str::from_utf8(n).unwrap()));
        let fits = wire_len(&key) <= MAX_WIRE_KEY;
        if let (Some(namespace), Ok(value)) = (ours, std::str::from_utf8(&value)) {
            let key = Keys::new("misp").indicator(namespace, value);
            if fits {
                assert_eq!(key, wire, "{id}");
                built += 1;
            } else {
                assert!(key.starts_with(format!("misp-{}:sha256:", namespace.name()).as_bytes()), "{id}");
            }
        }
        if !fits || key.is_empty() {
            // Dalli's binary protocol takes such a key; memcached's meta commands do not.
            assert!(encode::get(&mut Vec::new(), &key, 0).is_err(), "{id}");
            too_long.push(id);
            continue;
        }
        assert_eq!(sent(&key), wire, "{id}");
        agree += 1;
    }
    println!(
        "{agree} keys agree with Dalli byte by byte ({built} of them built for a namespace of ours); {shortened} Dalli \
         shortens, {silent} it does not send, and {} need more than {MAX_WIRE_KEY} bytes on our wire: {too_long:?}",
        too_long.len()
    );
}

/// The key that memcached sees when we store it, cut out of the command.
fn sent(key: &[u8]) -> Vec<u8> {
    let (mut add, mut get) = (Vec::new(), Vec::new());
    encode::add(&mut add, key, b"1#ip-dst", 0, 0).unwrap();
    encode::get(&mut get, key, 0).unwrap();
    let [added, got] = [add, get].map(|command| {
        let line = command.split(|b| *b == b'\r').next().unwrap();
        let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
        let base64 = words[2..].contains(&&b"b"[..]);
        if base64 { unbase64(std::str::from_utf8(words[1]).unwrap()) } else { words[1].to_vec() }
    });
    assert_eq!(added, got);
    added
}

fn unbase64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("no base64: {text}"),
    };
    let mut out = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().enumerate().fold(0u32, |bits, (i, b)| bits | u32::from(digit(*b)) << (18 - 6 * i));
        out.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    out
}
