//! Keys that memcached lost, that somebody changed, and that no event backs: found
//! and put right by a full pass, and lost ones also after evictions, without MISP.

use crate::support::config::Configuration;
use crate::support::memcached::Memcached;
use crate::support::model::expected;
use crate::support::program::run;
use crate::support::sample;
use crate::support::scene::now;
use misp2memcached::demo::{Attribute, Event, SampleMisp, World};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

const ATTRIBUTES: &str = "/attributes/restSearch";

/// Two weeks before the sample's clock: outside the refresh window.
const OLD: u64 = 1_795_000_000;

fn world(events: u64, attributes: u64) -> World {
    let mut world = World::new();
    for event in 0..events {
        let mut draft = Event::new(&format!("event {event}"));
        for i in 0..attributes {
            draft = draft.with(Attribute::new("ip-dst", &format!("198.18.{event}.{i}")));
            draft = draft.with(Attribute::new("url", &format!("http://host{i}.example/a b?{event}")));
        }
        world.add_event(draft.with(Attribute::new("domain", "shared.example")), OLD);
    }
    world
}

fn load(file: &Path, flags: &[&str]) -> serde_json::Value {
    let file = file.display().to_string();
    let arguments: Vec<&str> = ["--config", &file, "load", "--json"].iter().chain(flags).copied().collect();
    let done = run(&arguments, &[]);
    let report: serde_json::Value = serde_json::from_str(&done.stdout).expect(&done.stderr);
    // A server that throws keys out during a pass is told by the exit code.
    let fits = report["memcached"][0]["fits"] == true;
    assert_eq!(done.code, Some(if fits { 0 } else { 69 }), "{}", done.stderr);
    report
}

fn exact(misp: &SampleMisp, memcached: &Memcached) {
    let ours: BTreeMap<Vec<u8>, Vec<u8>> =
        memcached.dump("misp-").into_iter().filter(|(key, _)| key.contains(&b':')).collect();
    assert!(ours == expected(&misp.world(), |_, a| a.to_ids), "memcached differs from the model");
}

#[test]
fn a_full_pass_mends_every_key() {
    let misp = sample(world(5, 20));
    misp.set_now(Some(OLD + 14 * 86_400));
    let memcached = Memcached::start(&[]);
    let configuration = Configuration::new(&misp, &memcached);
    let file = configuration.write();
    // What an older tool left, before there was a ledger.
    memcached.set(b"misp-ip:192.0.2.250", b"77#ip-dst");
    memcached.set(b"misp-domain:shared.example", b"77#domain");
    memcached.set(b"misp-stats", b"9");
    memcached.set(b"other-program:misp-ip:1.2.3.4", b"stays");
    let report = load(&file, &["--full"]);
    assert_eq!(report["mended"]["swept"], 1, "{report}");
    assert_eq!(report["mended"]["corrected"], 1, "{report}");
    exact(&misp, &memcached);

    assert!(memcached.delete(b"misp-ip:198.18.2.3"));
    assert!(memcached.delete(b"misp-url:http://host4.example/a b?1"));
    memcached.set(b"misp-ip:198.18.0.1", b"garbage");
    memcached.set(b"misp-md5:d41d8cd98f00b204e9800998ecf8427e", b"3#md5");
    // An ordinary pass has no reason to look.
    assert_eq!(load(&file, &[])["mended"]["restored"], 0);
    let report = load(&file, &["--full"]);
    assert_eq!(report["mended"]["restored"], 2, "{report}");
    assert_eq!(report["mended"]["swept"], 1, "{report}");
    exact(&misp, &memcached);
    assert_eq!(memcached.get(b"other-program:misp-ip:1.2.3.4").unwrap(), b"stays");
}

/// Another program, which stores values in memcached.
struct Tenant(TcpStream, u64);

impl Tenant {
    fn new(memcached: &Memcached) -> Tenant {
        Tenant(TcpStream::connect(memcached.server()).unwrap(), 0)
    }

    /// Items of every size that ours have, so that all their slab classes fill up.
    fn fill(&mut self, items: u64) {
        for i in self.1..self.1 + items {
            let value = "x".repeat(1 + (i % 80) as usize);
            let set = format!("set tenant{i:06} 0 0 {} noreply\r\n{value}\r\n", value.len());
            self.0.write_all(set.as_bytes()).unwrap();
        }
        self.1 += items;
        self.0.write_all(b"version\r\n").unwrap();
        assert!(self.0.read(&mut [0; 64]).unwrap() > 0);
    }
}

#[test]
fn evicted_keys_come_back_without_misp() {
    let misp = sample(world(8, 40));
    misp.set_now(Some(OLD + 14 * 86_400));
    // Small enough that a foreign program's values push ours out.
    let memcached = Memcached::start(&["-m", "8", "-o", "no_lru_crawler,no_lru_maintainer"]);
    let configuration = Configuration::new(&misp, &memcached);
    let file = configuration.write();
    load(&file, &[]);
    exact(&misp, &memcached);
    let mut tenant = Tenant::new(&memcached);
    tenant.fill(150_000);
    let held = memcached.keys().iter().filter(|key| key.starts_with(b"misp-")).count();
    assert!(held < 641, "{held}");
    memcached.set(b"misp-stats", b"600");
    misp.forget_requests();
    let report = load(&file, &[]);
    assert!(report["mended"]["restored"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(misp.count(ATTRIBUTES), 0);
    exact(&misp, &memcached);
}

/// `stats reset` sets memcached's counters to zero, also that of what it has thrown out.
#[test]
fn evicted_keys_come_back_although_the_counters_were_reset() {
    let misp = sample(world(8, 40));
    misp.set_now(Some(OLD + 14 * 86_400));
    let memcached = Memcached::start(&["-m", "8", "-o", "no_lru_crawler,no_lru_maintainer"]);
    let configuration = Configuration::new(&misp, &memcached);
    let file = configuration.write();
    let mut tenant = Tenant::new(&memcached);
    tenant.fill(300_000);
    load(&file, &[]);
    load(&file, &[]);
    let before: u64 = memcached.stats()["evictions"].parse().unwrap();
    assert_eq!(memcached.command(b"stats reset\r\n").trim(), "RESET");
    tenant.fill(150_000);
    let evicted: u64 = memcached.stats()["evictions"].parse().unwrap();
    assert!((1..before).contains(&evicted), "{evicted}, {before} before");
    memcached.set(b"misp-stats", b"600");
    assert!(load(&file, &[])["mended"]["restored"].as_u64().unwrap() > 0);
    exact(&misp, &memcached);
}

/// A restart that takes the memory along (`-e`) takes misp-stats along too, but no counter.
#[test]
fn evicted_keys_come_back_although_the_memory_outlived_its_process() {
    let misp = sample(world(2, 10));
    misp.set_now(Some(OLD + 14 * 86_400));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("memory");
    let mut memcached = Memcached::start(&["-m", "64", "-e", file.to_str().unwrap()]);
    let configuration = Configuration::new(&misp, &memcached);
    let file = configuration.write();
    load(&file, &[]);
    // As if it had been thrown out.
    assert!(memcached.delete(b"misp-ip:198.18.1.3"));
    memcached.signal("USR1");
    memcached.wait();
    // In the second in which it ended it does not take the memory for its own.
    let ended = now();
    while now() < ended + 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    memcached.restart();
    assert!(memcached.get(b"misp-stats").is_some());
    misp.forget_requests();
    assert_eq!(load(&file, &[])["mended"]["restored"], 1);
    assert_eq!(misp.count(ATTRIBUTES), 0);
    exact(&misp, &memcached);
    assert_eq!(load(&file, &[])["mended"]["restored"], 0);
}
