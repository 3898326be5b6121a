//! Where the keys are: a unix socket, all keys on two servers, a ring that Dalli reads.

use super::{DAY, HOUR, NOW, event};
use crate::support::cable::Cable;
use crate::support::config::Configuration;
use crate::support::memcached::Memcached;
use crate::support::model::expected;
use crate::support::sample;
use crate::support::site::{Held, Site};
use misp2memcached::demo::{Attribute, Event, Fault, Request, World};
use misp2memcached::ledger::{Chunks, Ledger};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Reads keys with real Dalli from all the servers it is given, as Logstash's filter does.
const DALLI: &str = r#"
require "dalli"
require "json"
clients = Hash.new { |all, namespace| all[namespace] = Dalli::Client.new(ARGV, namespace: namespace) }
puts JSON.generate(JSON.parse($stdin.read).map { |namespace, key| clients[namespace].get_multi([key])[key] })
"#;

#[test]
fn a_unix_socket() {
    let misp = sample(World::new());
    misp.world().add_event(event(&[("ip-dst", "198.51.100.1"), ("url", "http://a b/")]), NOW);
    misp.set_now(Some(NOW + 10));
    let directory = tempfile::tempdir().unwrap();
    let memcached = Memcached::start_unix(&directory.path().join("memcached.sock"));
    let config = Configuration::new(&misp, &memcached);
    let mut site = Site { misp, memcached, config };
    assert_eq!(site.pass(&[])["keys"], 2);
    let expected = ["misp-ip:198.51.100.1 1#ip-dst", "misp-url:http://a b/ 1#url"];
    assert_eq!(site.shown(), expected);
    site.memcached.restart();
    assert_eq!(site.pass(&[])["refilled"], 2);
    assert_eq!(site.shown(), expected);
}

/// Many events in one batch: far more replies than memcached keeps for a writer
/// that does not read them.
#[test]
fn a_unix_socket_and_keys_that_all_exist() {
    let misp = sample(World::new());
    for _ in 0..2 {
        let values = (0..5000).map(|n| Attribute::new("ip-dst", &format!("10.20.{}.{}", n / 250, n % 250)));
        misp.world().add_event(values.fold(Event::new("the same"), Event::with), NOW);
    }
    misp.set_now(Some(NOW + 10));
    let directory = tempfile::tempdir().unwrap();
    let memcached = Memcached::start_unix(&directory.path().join("memcached.sock"));
    let config = Configuration::new(&misp, &memcached);
    let site = Site { misp, memcached, config };
    assert_eq!(site.pass(&[])["keys"], 5000);
    assert_eq!(site.held().value("misp-ip:10.20.19.249"), Some("1#ip-dst,2#ip-dst"));
}

#[test]
fn each_server_holds_everything() {
    let mut site = Site::new(World::new());
    let mut second = Memcached::start(&[]);
    site.config.and(&second);
    site.misp.world().add_event(many(60), NOW);
    site.misp.set_now(Some(NOW + 10));
    site.pass(&[]);
    let held = |site: &Site, second: &Memcached| (site.held(), Held::of(second, "misp"));
    let (one, two) = held(&site, &second);
    assert_eq!((one.indicators.len(), &one), (60, &two));
    // One of them loses everything and is filled; the other is left alone.
    second.restart();
    let before = site.memcached.stats()["cmd_set"].clone();
    site.misp.set_now(Some(NOW + DAY));
    let report = site.pass(&[]);
    assert_eq!((&report["refilled"], &report["window"]), (&60.into(), &"initial".into()));
    let (one, two) = held(&site, &second);
    assert_eq!((one.indicators.len(), &one), (60, &two));
    // misp-networks, misp-namespaces, misp-last-load, misp-stats.
    let sets = |text: &str| text.parse::<u64>().unwrap();
    assert_eq!(sets(&site.memcached.stats()["cmd_set"]), sets(&before) + 4);
    // A third one is new.
    let third = Memcached::start(&[]);
    site.config.and(&third);
    assert_eq!(site.pass(&[])["refilled"], 60);
    assert_eq!(Held::of(&third, "misp"), site.held());
}

fn many(n: u64) -> Event {
    let kinds = ["domain", "hostname", "md5", "url"];
    let value = |n: u64| match n % 4 {
        0 | 1 => format!("d{n}.example"),
        2 => format!("{n:032x}"),
        _ => format!("http://a.example/with a blank/{n}"),
    };
    (0..n).map(|n| Attribute::new(kinds[n as usize % 4], &value(n))).fold(Event::new("many"), Event::with)
}

/// Compares all of a world's keys with what Dalli finds on these servers, and asks for
/// some that must be gone.
fn dalli_finds_all(site: &Site, servers: &[&Memcached], gone: &[&str]) {
    let mut keys: BTreeMap<String, Option<String>> = expected(&site.misp.world(), |_, _| true)
        .into_iter()
        .map(|(key, value)| (String::from_utf8(key).unwrap(), Some(String::from_utf8(value).unwrap())))
        .collect();
    keys.extend(gone.iter().map(|key| ((*key).to_owned(), None)));
    let asked: Vec<Value> = keys.keys().map(|key| key.split_once(':').unwrap()).map(|(n, k)| json!([n, k])).collect();
    let mut ruby = Command::new("ruby")
        .args(["-e", DALLI])
        .args(servers.iter().map(|memcached| memcached.server()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("ruby, which this test needs with ruby-dalli, does not start: {e}"));
    serde_json::to_writer(ruby.stdin.take().unwrap(), &asked).unwrap();
    let output = ruby.wait_with_output().unwrap();
    assert!(output.status.success(), "is ruby-dalli installed?");
    let found: Vec<Option<String>> = serde_json::from_slice(&output.stdout).unwrap();
    for ((key, value), found) in keys.iter().zip(found) {
        assert_eq!((key, value), (key, &found));
    }
}

#[test]
fn dalli_finds_every_key_of_a_ring() {
    let mut site = Site::new(World::new());
    let (second, third) = (Memcached::start(&[]), Memcached::start(&[]));
    site.config.and(&second).and(&third).memcached("distribution: ring\n");
    site.misp.world().add_event(many(300), NOW);
    site.misp.world().add_event(many(40), NOW);
    site.misp.set_now(Some(NOW + 10));
    site.pass(&[]);
    let servers = [&site.memcached, &second, &third];
    let holdings = servers.map(|server| Held::of(server, "misp"));
    let count: usize = holdings.iter().map(|held| held.indicators.len()).sum();
    assert_eq!(count, 300);
    for held in &holdings {
        assert!(held.indicators.len() > 30, "{}", held.indicators.len());
        assert_eq!((held.stats.as_deref(), held.networks.as_deref()), (Some("300"), Some("")));
    }
    dalli_finds_all(&site, &servers, &["misp-domain:d300.example"]);

    // An edit, deletions, a new event: each on its server.
    assert!(site.misp.world().edit_value(1, "new.example", NOW + 20));
    assert!(site.misp.world().hard_delete(5, NOW + 20));
    assert!(site.misp.world().delete_event(2));
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.1")]), NOW + 20);
    site.misp.set_now(Some(NOW + 2 * HOUR));
    site.pass(&[]);
    dalli_finds_all(&site, &servers, &["misp-domain:d0.example", "misp-domain:d4.example"]);
}

/// Servers come and go: a ring of other servers has its keys in other places.
#[test]
fn a_ring_that_changes() {
    let mut site = Site::new(World::new());
    let (second, third) = (Memcached::start(&[]), Memcached::start(&[]));
    site.config.and(&second).memcached("distribution: ring\n");
    site.misp.world().add_event(many(200), NOW);
    site.misp.set_now(Some(NOW + DAY));
    site.pass(&[]);
    dalli_finds_all(&site, &[&site.memcached, &second], &[]);
    // One more.
    site.config.and(&third);
    site.pass(&[]);
    dalli_finds_all(&site, &[&site.memcached, &second, &third], &[]);
    // Another one leaves, and takes its keys along; the event changes meanwhile.
    let mut smaller = Configuration::new(&site.misp, &site.memcached);
    smaller.and(&third).memcached("distribution: ring\n");
    let state = site.config.state();
    smaller.state_of(&state);
    let larger = std::mem::replace(&mut site.config, smaller);
    site.misp.world().hard_delete(1, NOW + 2 * DAY);
    site.misp.set_now(Some(NOW + 3 * DAY));
    site.pass(&[]);
    dalli_finds_all(&site, &[&site.memcached, &third], &["misp-domain:d0.example"]);
    // It comes back, empty.
    site.config = larger;
    second.flush_all();
    site.misp.set_now(Some(NOW + 4 * DAY));
    site.pass(&[]);
    dalli_finds_all(&site, &[&site.memcached, &second, &third], &["misp-domain:d0.example"]);
    // No ring any more: everything is everywhere.
    site.config.memcached("distribution: replicate\n");
    site.pass(&[]);
    for server in [&site.memcached, &second, &third] {
        assert_eq!(Held::of(server, "misp").indicators, expected(&site.misp.world(), |_, _| true));
    }
    // And a ring again: each key is on one server only.
    site.config.memcached("distribution: ring\n");
    site.pass(&[]);
    let counts = [&site.memcached, &second, &third].map(|server| Held::of(server, "misp").indicators.len());
    assert_eq!(counts.iter().sum::<usize>(), 199);
}

/// The old keys of a server that cannot be reached stay there until it is emptied.
#[test]
fn a_new_prefix_while_a_server_is_down() {
    let mut site = Site::new(World::new());
    let mut second = Memcached::start(&[]);
    let cable = Cable::to(&second.server());
    site.config.servers(&[site.memcached.server(), cable.server()]);
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.1"), ("domain", "a.example")]), NOW - DAY);
    site.misp.set_now(Some(NOW));
    site.pass(&[]);
    cable.break_after(0, || {});
    site.config.memcached("prefix: other\n");
    site.pass_with_code(&[], 69);
    assert!(cable.is_broken());
    assert_eq!(Held::of(&second, "misp").indicators.len(), 2);
    cable.mend();
    site.pass(&[]);
    let new = Held::of(&site.memcached, "other");
    assert_eq!((new.indicators.len(), &new), (2, &Held::of(&second, "other")));
    assert_eq!(site.shown(), [""; 0]);
    assert_eq!(Held::of(&second, "misp").indicators.len(), 2, "nobody may sweep what is under another prefix");
    second.restart();
    site.pass(&[]);
    assert_eq!(Held::of(&second, "other"), new);
    assert_eq!(Held::of(&second, "misp").indicators.len(), 0);
}

/// A server is filled while MISP does not answer: readers find networks there too.
#[test]
fn networks_are_found_on_a_server_that_was_filled_without_misp() {
    let mut site = Site::new(World::new());
    let mut second = Memcached::start(&[]);
    let cable = Cable::to(&second.server());
    site.config.servers(&[site.memcached.server(), cable.server()]);
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.0/24"), ("domain", "a.example")]), NOW - DAY);
    site.misp.set_now(Some(NOW));
    site.pass(&[]);
    let refused = || Box::new(|_: &Request, _: usize| Fault::Status(403, Vec::new(), Vec::new()));
    let told = |memcached: &Memcached| (Held::of(memcached, "misp").networks, Held::of(memcached, "misp").namespaces);
    // Both lose everything.
    second.restart();
    site.memcached.restart();
    site.misp.set_fault(refused());
    site.fails(&[], 77);
    for memcached in [&site.memcached, &second] {
        assert_eq!(Held::of(memcached, "misp").indicators.len(), 3);
        assert_eq!(told(memcached), (Some("4:24".into()), None));
    }
    site.misp.clear_fault();
    site.pass(&[]);
    // One misses a pass, and the ledger is not the one that was summed up when it is back.
    cable.break_after(0, || {});
    site.misp.world().add_event(event(&[("ip-dst", "2001:db8::/48")]), NOW - 10);
    site.pass_with_code(&[], 69);
    assert!(cable.is_broken());
    let ledger = Ledger::open(&site.config.state()).unwrap();
    let mut change = ledger.change().unwrap();
    change.finish(99, Chunks::default()).unwrap();
    change.commit().unwrap();
    drop(ledger);
    cable.mend();
    site.misp.set_fault(refused());
    site.fails(&[], 77);
    assert_eq!(Held::of(&second, "misp").indicators.len(), 5);
    assert_eq!(told(&second), (Some("4:24;6:48".into()), None));
}
