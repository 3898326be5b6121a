//! Several memcacheds: all complete, or on Dalli's ring; one down, broken off in the
//! middle, hanging, back with what it held before, back empty, new, or gone for a while.

use crate::support::cable::Cable;
use crate::support::config::Configuration;
use crate::support::memcached::Memcached;
use crate::support::model::expected;
use crate::support::program::{Finished, run};
use crate::support::random::Random;
use crate::support::sample;
use misp2memcached::demo::{Attribute, Event, SampleMisp, World};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The sample's clock at the first pass.
const START: u64 = 1_795_000_000;

type Keys = BTreeMap<Vec<u8>, Vec<u8>>;

/// A MISP, and the configuration that loads from it.
struct Site {
    misp: SampleMisp,
    configuration: Configuration,
    random: Random,
    now: u64,
}

impl Site {
    fn new(seed: u64, servers: &[String], section: &str) -> Site {
        let misp = sample(World::new());
        // Of no consequence: the servers are named below.
        let mut configuration = Configuration::new(&misp, &Memcached::start(&[]));
        configuration.servers(servers).memcached(&format!("timeout: 3s\n{section}"));
        configuration.misp("max_shrink_percent: 100\n");
        let mut site = Site { misp, configuration, random: Random::new(seed), now: START };
        for _ in 0..6 {
            site.add_event();
        }
        site
    }

    fn attribute(&mut self) -> Attribute {
        let n = self.random.below(60);
        match self.random.below(5) {
            0 => Attribute::new("domain", &format!("d{n}.example")),
            1 => Attribute::new("url", &format!("http://u.example/a b?{n}")),
            2 => Attribute::new("md5", &format!("{n:032x}")),
            3 => Attribute::new("ip-src", &format!("198.51.100.{n}")),
            _ => Attribute::new("ip-dst", &format!("198.51.100.{n}")),
        }
    }

    fn add_event(&mut self) {
        let mut event = Event::new("an event");
        for _ in 0..self.random.between(5, 40) {
            let new = self.attribute();
            if !event.attributes.iter().any(|a| a.kind == new.kind && a.value == new.value) {
                event = event.with(new);
            }
        }
        self.misp.world().add_event(event, self.now - 7200);
    }

    /// Some time goes by: indicators come and go, events too.
    fn change(&mut self) {
        self.now += 7300;
        let attributes: Vec<u64> = self.misp.world().events().flat_map(|e| e.attributes.iter().map(|a| a.id)).collect();
        for _ in 0..self.random.between(3, 12) {
            let attribute = *self.random.pick(&attributes);
            self.misp.world().soft_delete(attribute, self.now - 3700);
        }
        for _ in 0..self.random.between(1, 3) {
            self.add_event();
        }
        let events: Vec<u64> = self.misp.world().events().map(|e| e.id).collect();
        if events.len() > 4 {
            let event = *self.random.pick(&events);
            self.misp.world().delete_event(event);
        }
    }

    fn load(&self, flags: &[&str]) -> Finished {
        self.misp.set_now(Some(self.now));
        let file = self.configuration.write().display().to_string();
        run(&[&["--config", &file, "load", "--json"], flags].concat(), &[])
    }

    /// A pass that must exit so; its report.
    fn pass(&self, code: i32) -> Value {
        let done = self.load(&[]);
        assert_eq!(done.code, Some(code), "{}", done.stderr);
        serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("no report: {}", done.stderr))
    }

    fn model(&self) -> Keys {
        expected(&self.misp.world(), |_, a| a.to_ids)
    }

    /// Each of these servers is complete by itself, and says so.
    fn complete(&self, servers: &[&Memcached], story: &str) {
        let model = self.model();
        for memcached in servers {
            differs(&held(memcached), &model, &format!("{story}: {}", memcached.server()));
            let stats = memcached.get(b"misp-stats").expect("misp-stats");
            assert_eq!(stats, model.len().to_string().into_bytes(), "{story}");
            assert_eq!(memcached.get(b"misp-last-load"), Some(self.now.to_string().into_bytes()), "{story}");
        }
    }

    /// Each key is on one of these servers.
    fn spread(&self, servers: &[&Memcached], story: &str) {
        let mut union = Keys::new();
        for memcached in servers {
            for (key, value) in held(memcached) {
                let twice = union.insert(key.clone(), value).is_some();
                assert!(!twice, "{story}: {} is on two servers", String::from_utf8_lossy(&key));
            }
        }
        differs(&union, &self.model(), story);
    }

    /// Dalli, over these servers as Logstash's `hosts` has them, finds every key.
    fn dalli_finds_all(&self, hosts: &[String]) {
        self.dalli_reads(hosts, &self.model().into_iter().map(|(k, v)| (k, Some(v))).collect());
    }

    fn dalli_reads(&self, hosts: &[String], keys: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let one = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
            let key = text(key);
            let (namespace, key) = key.split_once(':').unwrap();
            json!({ "namespace": namespace, "key": key, "value": value.as_deref().map(text) })
        };
        let file = self.configuration.directory().join("expectations.json");
        std::fs::write(&file, Value::from(keys.iter().map(one).collect::<Vec<_>>()).to_string()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dalli/read_back.rb");
        // Dalli takes several hosts in one text.
        let mut ruby = Command::new("ruby");
        ruby.arg(script).arg(hosts.join(",")).arg(&file).stdin(Stdio::null());
        let done = ruby.output().expect("ruby is on the PATH");
        assert!(
            done.status.success(),
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

fn held(memcached: &Memcached) -> Keys {
    memcached.dump("misp-").into_iter().filter(|(key, _)| key.contains(&b':')).collect()
}

fn differs(found: &Keys, model: &Keys, story: &str) {
    let show = |keys: BTreeSet<&Vec<u8>>| {
        let text = |k: &&Vec<u8>| String::from_utf8_lossy(k).into_owned();
        keys.iter().take(5).map(text).collect::<Vec<_>>().join(", ")
    };
    let missing = model.keys().filter(|k| !found.contains_key(*k)).collect();
    let beyond = found.keys().filter(|k| !model.contains_key(*k)).collect();
    let other = model.iter().filter(|(k, v)| found.get(*k).is_some_and(|f| f != *v)).map(|(k, _)| k).collect();
    assert!(
        found == model,
        "{story}: missing {}; unbacked {}; with another value {}",
        show(missing),
        show(beyond),
        show(other)
    );
}

fn names(report: &Value) -> Vec<&str> {
    report["unreachable"].as_array().unwrap().iter().map(|s| s["address"].as_str().unwrap()).collect()
}

fn servers(all: &[&Memcached]) -> Vec<String> {
    all.iter().map(|m| m.server()).collect()
}

#[test]
fn one_that_is_down_does_not_stop_the_others() {
    let (a, mut b, c) = (Memcached::start(&[]), Memcached::start(&[]), Memcached::start(&[]));
    let mut site = Site::new(1, &servers(&[&a, &b, &c]), "");
    let rules = site.configuration.directory().join("rules");
    std::fs::create_dir(&rules).unwrap();
    site.configuration.extra(&format!("falco: {{enabled: true, directory: {rules:?}, falco_binary: \"\"}}\n"));
    let report = site.pass(0);
    assert_eq!(report["unreachable"], json!([]));
    site.complete(&[&a, &b, &c], "at first");

    b.kill();
    site.change();
    site.misp.world().add_event(Event::new("x").with(Attribute::new("ip-dst", "203.0.113.99")), site.now - 7200);
    let done = site.load(&[]);
    assert_eq!(done.code, Some(69), "{}", done.stderr);
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(names(&report), [b.server()]);
    assert!(done.stderr.contains(&format!("memcached {} cannot be reached", b.server())), "{}", done.stderr);
    site.complete(&[&a, &c], "one is down");
    let written = std::fs::read_to_string(rules.join("misp2memcached.yaml")).unwrap();
    assert!(written.contains("203.0.113.99"), "Falco's rules are written too");
    // Readers are told, and look-ups go to another server.
    let file = site.configuration.write().display().to_string();
    let status = run(&["--config", &file, "status"], &[]);
    assert!(status.code == Some(69) && status.stdout.contains("CANNOT BE REACHED"), "{}", status.stdout);
    a.signal("STOP");
    let lookup = run(&["--config", &file, "lookup", "203.0.113.99"], &[]);
    a.signal("CONT");
    assert_eq!(lookup.code, Some(0), "{}", lookup.stderr);

    b.restart();
    let report = site.pass(0);
    assert!(report["refilled"].as_u64().unwrap() > 0, "{report}");
    site.complete(&[&a, &b, &c], "back, empty");
    assert_eq!(site.pass(0)["refilled"], 0);
}

#[test]
fn none_at_all_changes_nothing() {
    let (mut a, mut b) = (Memcached::start(&[]), Memcached::start(&[]));
    let mut site = Site::new(2, &servers(&[&a, &b]), "");
    site.pass(0);
    let ledger = site.configuration.state().join("ledger.redb");
    let before = std::fs::read(&ledger).unwrap();
    a.kill();
    b.kill();
    site.change();
    site.misp.forget_requests();
    let done = site.load(&[]);
    assert_eq!(done.code, Some(69), "{}", done.stderr);
    for server in [&a, &b] {
        assert!(done.stderr.contains(&format!("memcached {} cannot be reached", server.server())), "{}", done.stderr);
    }
    assert!(site.misp.requests().is_empty() && std::fs::read(&ledger).unwrap() == before);
    a.restart();
    b.restart();
    site.pass(0);
    site.complete(&[&a, &b], "both back");
}

#[test]
fn one_that_hangs_is_exact_again_though_it_kept_its_data() {
    let (a, b, c) = (Memcached::start(&[]), Memcached::start(&[]), Memcached::start(&[]));
    let mut site = Site::new(3, &servers(&[&a, &b, &c]), "");
    site.pass(0);
    // Before a pass, twice in a row.
    b.signal("STOP");
    for _ in 0..2 {
        site.change();
        assert_eq!(names(&site.pass(69)), [b.server()]);
        site.complete(&[&a, &c], "one hangs");
    }
    b.signal("CONT");
    let report = site.pass(0);
    assert!(report["mended"]["swept"].as_u64().unwrap() > 0 && report["mended"]["corrected"].as_u64().unwrap() > 0);
    site.complete(&[&a, &b, &c], "goes on with its old data");

    // In the middle: when the first attributes are asked for.
    site.change();
    let stop = format!("kill -STOP {}", b.stats()["pid"]);
    site.misp.set_fault(Box::new(move |request, _| {
        if request.path.contains("restSearch") {
            assert!(Command::new("sh").args(["-c", &stop]).status().unwrap().success());
        }
        misp2memcached::demo::Fault::None
    }));
    assert_eq!(names(&site.pass(69)), [b.server()]);
    site.misp.clear_fault();
    site.complete(&[&a, &c], "one hangs in the middle");
    b.signal("CONT");
    site.change();
    site.pass(0);
    site.complete(&[&a, &b, &c], "goes on after the middle");

    // It is remembered also while MISP does not answer, and mended before it is asked.
    b.signal("STOP");
    site.change();
    site.pass(69);
    b.signal("CONT");
    site.misp.set_fault(Box::new(|_, _| misp2memcached::demo::Fault::Status(403, Vec::new(), Vec::new())));
    assert_eq!(site.load(&[]).code, Some(77));
    site.misp.clear_fault();
    differs(&held(&b), &site.model(), "mended without MISP");
    assert_eq!(site.pass(0)["mended"], json!({ "restored": 0, "corrected": 0, "swept": 0 }));
    site.complete(&[&a, &b, &c], "at last");
}

/// The cable to one server breaks after any number of bytes: in a first load, among
/// additions, removals, while it is mended, in its last keys.
#[test]
fn one_that_breaks_off_anywhere_is_exact_at_the_next_pass() {
    for seed in 0..3 {
        let (a, b) = (Memcached::start(&[]), Memcached::start(&[]));
        let cable = Cable::to(&b.server());
        let mut site = Site::new(seed, &[a.server(), cable.server()], "");
        let mut broken = 0;
        for round in 0..18 {
            let bytes = match round % 3 {
                0 => site.random.below(400),
                1 => site.random.below(4_000),
                _ => site.random.below(20_000),
            };
            let story = format!("seed {seed}, round {round}, {bytes} bytes");
            cable.break_after(bytes as i64, || ());
            let done = site.load(&[]);
            let expected = if cable.is_broken() { 69 } else { 0 };
            assert_eq!(done.code, Some(expected), "{story}: {}", done.stderr);
            site.complete(&[&a], &story);
            broken += u64::from(cable.is_broken());
            cable.mend();
            // Sometimes it misses another pass, or the next one begins with other news.
            if site.random.percent(30) {
                site.change();
                cable.break_after(0, || ());
                assert_eq!(site.load(&[]).code, Some(69), "{story}");
                site.complete(&[&a], &story);
                cable.mend();
            }
            if site.random.percent(50) {
                site.change();
            }
            site.pass(0);
            site.complete(&[&a, &b], &story);
            site.change();
        }
        assert!(broken >= 9, "{broken}");
    }
}

/// The program is killed when the cable breaks, and a little later: what the ledger
/// says of the server must be true at any moment.
#[test]
fn what_a_server_missed_survives_the_programs_death() {
    let (a, b) = (Memcached::start(&[]), Memcached::start(&[]));
    let cable = Cable::to(&b.server());
    let mut site = Site::new(11, &[a.server(), cable.server()], "");
    let mut killed = 0;
    for round in 0..40 {
        site.misp.set_now(Some(site.now));
        let bytes = site.random.below(6_000) as i64;
        let delay = Duration::from_micros(site.random.below(30_000));
        let file = site.configuration.write();
        let mut program = Command::new(env!("CARGO_BIN_EXE_misp2memcached"));
        program.arg("--config").arg(file).arg("load").stdout(Stdio::null()).stderr(Stdio::null());
        let (sender, receiver) = std::sync::mpsc::channel();
        cable.break_after(bytes, move || {
            let _ = sender.send(());
        });
        let mut program = program.spawn().unwrap();
        if receiver.recv_timeout(Duration::from_secs(2)).is_ok() {
            std::thread::sleep(delay);
            killed += u64::from(program.try_wait().unwrap().is_none());
            program.kill().unwrap();
        }
        program.wait().unwrap();
        cable.mend();
        if site.random.percent(50) {
            site.change();
        }
        site.pass(0);
        site.complete(&[&a, &b], &format!("round {round}, {bytes} bytes, {delay:?}"));
        site.change();
    }
    println!("killed {killed} of 40");
    assert!(killed >= 10, "{killed}");
}

#[test]
fn servers_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (Memcached::start(&[]), Memcached::start_unix(&directory.path().join("m.sock")));
    let mut site = Site::new(4, &servers(&[&a, &b]), "");
    site.pass(0);
    site.complete(&[&a, &b], "tcp and unix");
    // Out of the configuration for a while, and back with what it held then.
    site.configuration.servers(&servers(&[&a]));
    site.change();
    site.pass(0);
    site.configuration.servers(&servers(&[&a, &b]));
    let report = site.pass(0);
    assert!(report["mended"]["swept"].as_u64().unwrap() > 0, "{report}");
    site.complete(&[&a, &b], "back in the configuration");
    // A new one, empty; and one that an older tool has filled.
    let (c, d) = (Memcached::start(&[]), Memcached::start(&[]));
    d.set(b"misp-stats", b"7");
    d.set(b"misp-ip:192.0.2.200", b"9#ip-dst");
    d.set(b"other:1", b"stays");
    site.configuration.servers(&servers(&[&a, &b, &c, &d]));
    site.pass(0);
    site.complete(&[&a, &b, &c, &d], "new ones");
    assert_eq!(d.get(b"other:1").unwrap(), b"stays");
    // Nothing to do: nothing is written, the ledger neither.
    let ledger = site.configuration.state().join("ledger.redb");
    let before = std::fs::read(&ledger).unwrap();
    site.pass(0);
    assert!(std::fs::read(&ledger).unwrap() == before);
}

#[test]
fn a_missed_expiry_is_made_up_for() {
    let (a, b) = (Memcached::start(&[]), Memcached::start(&[]));
    let mut site = Site::new(5, &servers(&[&a, &b]), "");
    site.now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    site.configuration.extra("network: {expires: 10d}\n");
    let key = b"misp-ip:203.0.113.7";
    site.misp.world().add_event(Event::new("x").with(Attribute::new("ip-dst", "203.0.113.7")), site.now - 7200);
    site.pass(0);
    b.signal("STOP");
    site.configuration.extra("network: {expires: 20d}\n");
    site.pass(69);
    b.signal("CONT");
    site.pass(0);
    for memcached in [&a, &b] {
        let ttl = memcached.item(key).unwrap().ttl;
        assert!((20 * 86_400 - 300..=20 * 86_400).contains(&ttl), "{ttl}");
    }
}

#[test]
fn a_ring_is_dallis_whatever_becomes_of_its_servers() {
    let (a, mut b, c, d) = (Memcached::start(&[]), Memcached::start(&[]), Memcached::start(&[]), Memcached::start(&[]));
    let ring = "distribution: ring\n";
    let three = [a.server(), format!("{}:2", b.server()), c.server()];
    let mut site = Site::new(6, &three, ring);
    site.pass(0);
    site.spread(&[&a, &b, &c], "at first");
    assert!([&a, &b, &c].iter().all(|m| !held(m).is_empty()));
    site.dalli_finds_all(&three);

    // One is down: nothing of its share goes elsewhere, and Dalli finds nothing old.
    let shares = [&a, &c].map(|m| held(m).into_keys().collect::<BTreeSet<_>>());
    let of_b = held(&b);
    b.kill();
    let report = site.pass(69);
    assert_eq!(names(&report), [b.server()]);
    assert_eq!([&a, &c].map(|m| held(m).into_keys().collect::<BTreeSet<_>>()), shares);
    site.dalli_reads(&three, &of_b.into_keys().map(|key| (key, None)).collect());
    let file = site.configuration.write().display().to_string();
    // So many that some of their keys are its share, wherever the servers' ports put it in the ring.
    let values: Vec<String> = (1..=60).map(|n| format!("198.51.100.{n}")).collect();
    let typed = ["--config", &file, "lookup"].into_iter().chain(values.iter().map(String::as_str));
    let lookup = run(&typed.collect::<Vec<_>>(), &[]);
    assert_eq!(lookup.code, Some(69), "a server that may hold it is missing");
    site.change();
    site.pass(69);
    let model = site.model();
    for memcached in [&a, &c] {
        assert!(held(memcached).iter().all(|(k, v)| model.get(k) == Some(v)), "the others go on");
    }
    b.restart();
    site.pass(0);
    site.spread(&[&a, &b, &c], "back, empty");
    site.dalli_finds_all(&three);

    // One hangs, and comes back with what it held.
    b.signal("STOP");
    site.change();
    site.pass(69);
    b.signal("CONT");
    site.pass(0);
    site.spread(&[&a, &b, &c], "back with its old data");
    site.dalli_finds_all(&three);

    // Another ring: keys move, and go where they were. Then another, and none.
    let four = [three.as_slice(), &[d.server()]].concat();
    site.configuration.servers(&four);
    site.pass(0);
    site.spread(&[&a, &b, &c, &d], "one more server");
    site.dalli_finds_all(&four);
    let two = [four[1].clone(), four[3].clone()];
    site.configuration.servers(&two);
    site.change();
    site.pass(0);
    site.spread(&[&b, &d], "two servers less");
    site.dalli_finds_all(&two);
    site.configuration.memcached("timeout: 1s\n");
    site.pass(0);
    site.complete(&[&b, &d], "replicated");
    site.configuration.memcached(&format!("timeout: 1s\n{ring}"));
    site.pass(0);
    site.spread(&[&b, &d], "a ring again");
}
