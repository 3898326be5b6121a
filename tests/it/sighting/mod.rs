//! `sighting` against the sample MISP and a memcached that the loader has filled: what
//! arrives, how often, with how many requests, and what is said of the rest.

mod faults;
mod listen;
mod packaging;

use crate::support::program::{Finished, command};
use crate::support::scene::{INDEX, SEARCH, now};
use crate::support::site::Site;
use misp2memcached::demo::{Attribute, Event, Fault, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Stdio};

/// Where sightings are added.
pub const ADD: &str = "/sightings/add";

/// Requests are made as fast as can be unless a test is about their rate.
pub const FAST: &str = "sighting:\n  rate: 1000\n";

/// A few events: an address in two of them, halves, a network, a long URL.
fn world() -> World {
    let mut world = World::new();
    let long = format!("http://evil.example/{}", "x".repeat(300));
    let events: [&[(&str, &str)]; 3] = [
        &[
            ("ip-dst", "203.0.113.7"),
            ("domain|ip", "drop.example|198.51.100.23"),
            ("url", "http://a.example/?a=1&&b=2"),
        ],
        &[("ip-src", "203.0.113.7"), ("domain", "evil.example"), ("ip-dst", "192.0.2.0/24")],
        &[("url", &long), ("filename|md5", "a.exe|098f6bcd4621d373cade4e832627b4f6")],
    ];
    for (i, attributes) in events.into_iter().enumerate() {
        let event = Event::new(&format!("event {i}"));
        let event = attributes.iter().fold(event, |event, (kind, value)| event.with(Attribute::new(kind, value)));
        world.add_event(event, now());
    }
    world
}

/// A world of so many domains, `d0.example` and so on.
pub fn domains(count: usize) -> World {
    let mut world = World::new();
    for first in (0..count).step_by(1000) {
        let all = (first..count.min(first + 1000)).map(|n| Attribute::new("domain", &format!("d{n}.example")));
        world.add_event(all.fold(Event::new("many"), Event::with), now());
    }
    world
}

/// A site with this world and fast requests; nothing is loaded yet.
pub fn site(world: World) -> Site {
    let mut site = Site::new(world);
    site.config.extra(FAST);
    site.config.write();
    site
}

/// Starts `sighting` with these arguments.
pub fn start(site: &Site, arguments: &[&str]) -> Child {
    let file = site.config.directory().join("misp2memcached.yaml").display().to_string();
    let mut command = command(&[&["--config", &file, "sighting"], arguments].concat(), &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// Runs `sighting` with these arguments and this text on its standard input.
pub fn sight(site: &Site, arguments: &[&str], input: &str) -> Finished {
    let mut child = start(site, arguments);
    let mut stdin = child.stdin.take().expect("an input");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let finished = finish(child);
    writer.join().expect("the input is written");
    finished
}

pub fn finish(child: Child) -> Finished {
    let output = child.wait_with_output().expect("the program ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The same with `--json`: the report, where the code is this.
pub fn report(site: &Site, arguments: &[&str], input: &str, code: i32) -> Value {
    let finished = sight(site, &[&["--json"], arguments].concat(), input);
    assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.stderr);
    serde_json::from_str(&finished.stdout).expect("a report")
}

/// The sightings that MISP has, as `VALUE SOURCE TYPE`, each with how often.
pub fn noted(site: &Site) -> BTreeMap<String, usize> {
    let world = site.misp.world();
    let values: BTreeMap<u64, &str> =
        world.events().flat_map(|e| &e.attributes).map(|a| (a.id, a.value.as_str())).collect();
    let mut all = BTreeMap::new();
    for noted in world.sightings() {
        *all.entry(format!("{} {} {}", values[&noted.attribute], noted.source, noted.kind)).or_default() += 1;
    }
    all
}

/// Counts of the report, in the order read, sent, folded, unlisted, refused, waiting.
fn counts(report: &Value) -> [u64; 6] {
    ["read", "sent", "folded", "unlisted", "refused", "waiting"].map(|name| report[name].as_u64().unwrap())
}

#[test]
fn only_what_the_cache_lists_and_as_misp_has_it() {
    let site = site(world());
    site.pass(&[]);
    let long = format!("http://evil.example/{}", "x".repeat(300));
    let input = [
        "203.0.113[.]7:443",
        "WWW.Evil.Example.",
        "192.0.2.200",
        "198.51.100.23",
        "http://a.example/?a=1&&b=2",
        "098F6BCD4621D373CADE4E832627B4F6",
        "nothing.example.invalid",
        "10.0.0.1",
    ];
    let report = report(&site, &["--source", "sensor", "-"], &(input.join("\n") + "\n"), 0);
    assert_eq!(counts(&report), [8, 6, 0, 2, 0, 0]);
    let expected = [
        ("203.0.113.7 sensor 0", 2),
        ("192.0.2.0/24 sensor 0", 1),
        ("a.exe|098f6bcd4621d373cade4e832627b4f6 sensor 0", 1),
        ("drop.example|198.51.100.23 sensor 0", 1),
        ("evil.example sensor 0", 1),
        ("http://a.example/?a=1&&b=2 sensor 0", 1),
    ];
    assert_eq!(noted(&site), expected.map(|(name, count)| (name.to_owned(), count)).into());
    // A value too long for a key is found by its hash, and reported as itself.
    let more = sight(&site, &["--type", "false-positive", &long], "");
    assert_eq!(more.code, Some(0), "{}", more.stderr);
    assert_eq!(noted(&site).get(&format!("{long} misp2memcached 1")), Some(&1));
}

/// The cache has these in a plain form by which MISP does not find them.
#[test]
fn host_bits_and_mapped_addresses() {
    let mut world = World::new();
    let event = Event::new("odd").with(Attribute::new("ip-dst", "10.1.2.3/8"));
    let event = event.with(Attribute::new("ip-src", "::ffff:203.0.113.9")).with(Attribute::new("ip-dst", "11.0.0.0/8"));
    let event = event.with(Attribute::new("ip-dst", "::ffff:198.51.100.1/120"));
    world.add_event(event, now());
    let site = site(world);
    site.pass(&[]);
    for at in [1_795_200_000, 1_795_210_000] {
        let line = json!({"values": ["10.9.9.9", "203.0.113.9", "198.51.100.77"], "timestamp": at}).to_string();
        let report = report(&site, &["--source", "s", "-"], &line, 0);
        assert_eq!(counts(&report)[1], 3, "{report}");
    }
    let expected = ["10.1.2.3/8 s 0", "::ffff:203.0.113.9 s 0", "::ffff:198.51.100.1/120 s 0"];
    let expected = expected.map(|name| (name.to_owned(), 2)).into();
    assert_eq!(noted(&site), expected);
}

/// MISP finds one of the two by the value, and says nothing of the other.
#[test]
fn a_network_with_host_bits_beside_one_without() {
    let mut world = World::new();
    for network in ["10.1.2.3/8", "10.0.0.0/8", "11.0.0.0/8", "192.0.2.0/24", "198.51.100.9/24"] {
        world.add_event(Event::new(network).with(Attribute::new("ip-dst", network)), now());
    }
    let site = site(world);
    site.pass(&[]);
    // Alone, and in a list.
    for (at, values) in
        [(1_795_200_000, &["10.9.9.9"][..]), (1_795_210_000, &["10.9.9.9", "192.0.2.1", "198.51.100.1"])]
    {
        let line = json!({"values": values, "timestamp": at}).to_string();
        assert_eq!(counts(&report(&site, &["--source", "s", "-"], &line, 0))[1], values.len() as u64);
    }
    let expected = [("10.1.2.3/8", 2), ("10.0.0.0/8", 2), ("192.0.2.0/24", 1), ("198.51.100.9/24", 1)];
    assert_eq!(noted(&site), expected.map(|(network, count)| (format!("{network} s 0"), count)).into());
}

/// MISP compares with ports as well, which say nothing of an AS.
#[test]
fn a_number_is_no_port() {
    let mut world = World::new();
    for (kind, value) in [
        ("AS", "9009"),
        ("AS", "64496"),
        ("ip-dst|port", "203.0.113.7|9009"),
        ("port", "9009"),
        ("domain", "evil.example"),
    ] {
        world.add_event(Event::new(value).with(Attribute::new(kind, value)), now());
    }
    let mut site = site(world);
    site.config.extra(&format!("{FAST}other:\n  enabled: true\n")).write();
    site.pass(&[]);
    let line = json!({"values": ["AS9009", "64496", "evil.example"], "timestamp": 1_795_200_000}).to_string();
    assert_eq!(counts(&report(&site, &["--source", "s", "-"], &line, 0))[1], 3);
    let expected = ["9009 s 0", "64496 s 0", "evil.example s 0"].map(|name| (name.to_owned(), 1));
    assert_eq!(noted(&site), expected.into());
}

/// MISP says nothing of an unknown value beside known ones, so we ask.
#[test]
fn mixed_known_and_unknown_values() {
    let site = site(domains(50));
    let known = (0..50).map(|n| format!("D{n}.Example"));
    let unknown = (0..7).map(|n| format!("unknown{n}.example.invalid"));
    let values: Vec<String> = known.chain(unknown).collect();
    let line = json!({"values": values, "source": "s", "type": 1, "timestamp": 1_795_200_000}).to_string();
    let found = report(&site, &["--unlisted", "-"], &line, 65);
    assert_eq!(counts(&found), [57, 50, 0, 0, 7, 0]);
    let refusals = found["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 7);
    for refusal in refusals {
        assert!(refusal["what"].as_str().unwrap().starts_with("unknown"), "{refusal}");
        assert_eq!(refusal["why"], "No valid attributes found that match the criteria.");
    }
    // One search, one list, and each unknown value by itself.
    assert_eq!((site.misp.count(SEARCH), site.misp.count(ADD)), (1, 8));
    let expected: BTreeMap<String, usize> = (0..50).map(|n| (format!("d{n}.example s 1"), 1)).collect();
    assert_eq!(noted(&site), expected);
    assert!(site.misp.world().sightings().iter().all(|noted| noted.at == "1795200000"));
    // What was refused is no sighting that others could be folded into, but for some
    // minutes MISP is not asked again.
    site.misp.forget_requests();
    assert_eq!(counts(&report(&site, &["--unlisted", "-"], &line, 65)), [57, 0, 50, 0, 7, 0]);
    assert_eq!(site.misp.requests().len(), 0);
}

#[test]
fn a_hundred_thousand_duplicates_of_one_beacon() {
    let site = site(world());
    site.pass(&[]);
    site.misp.forget_requests();
    let beacon = "203.0.113.7\n".repeat(100_000);
    let report = report(&site, &["--source", "fw", "-"], &beacon, 0);
    assert_eq!(counts(&report), [100_000, 1, 99_999, 0, 0, 0]);
    assert_eq!(site.misp.requests().len(), 1);
    println!("100,000 duplicates: {} request", site.misp.requests().len());
    assert_eq!(noted(&site), BTreeMap::from([("203.0.113.7 fw 0".to_owned(), 2)]));
    // A run for each line, as cron or Logstash's exec make them, knows of the others.
    for _ in 0..10 {
        assert_eq!(sight(&site, &["--source", "fw", "203.0.113.7"], "").code, Some(0));
    }
    assert_eq!(site.misp.requests().len(), 1);
    // Another source, another type, a smaller window are other things.
    assert_eq!(sight(&site, &["--source", "dns", "203.0.113.7"], "").code, Some(0));
    assert_eq!(sight(&site, &["--source", "fw", "--type", "2", "203.0.113.7"], "").code, Some(0));
    let earlier = json!({"value": "203.0.113.7", "timestamp": now() - 600}).to_string();
    assert_eq!(sight(&site, &["--source", "fw", "--window", "1m", &earlier], "").code, Some(0));
    assert_eq!(noted(&site).values().sum::<usize>(), 8);
}

#[test]
fn windows_go_by_the_time_of_the_sighting() {
    let site = site(domains(1));
    let line = |at: u64| json!({"value": "d0.example", "timestamp": at}).to_string() + "\n";
    let times = [1_795_200_000, 1_795_203_599, 1_795_196_401, 1_795_203_600, 1_795_196_400];
    let input: String = times.into_iter().map(line).collect();
    assert_eq!(counts(&report(&site, &["--unlisted", "-"], &input, 0)), [5, 3, 2, 0, 0, 0]);
    assert_eq!(counts(&report(&site, &["--unlisted", "-"], &input, 0)), [5, 0, 5, 0, 0, 0]);
}

#[test]
fn every_form_of_input() {
    let site = site(world());
    site.pass(&[]);
    let uuid = site.misp.world().event(2).unwrap().attributes[1].uuid.clone();
    let stix = |n: u64| {
        json!({"type": "sighting", "spec_version": "2.1", "id": "sighting--1", "created": "2026-11-20T18:40:00Z",
            "x_threatbus_source": format!("stix{n}"), "sighting_of_ref": format!("indicator--{uuid}")})
    };
    let bundle = json!({"type": "bundle", "objects": [stix(1), {"type": "indicator"}, stix(2)]});
    let event = json!({"@timestamp": "2026-11-20T18:40:00.5Z", "misp": {"event_id": ["1"], "match": ["203.0.113.7"]}});
    let input = [
        "evil.example".to_owned(),
        json!({"value": "evil.example", "source": "json", "type": "expiration"}).to_string(),
        json!({"uuid": uuid, "source": "uuid"}).to_string(),
        serde_json::to_string_pretty(&bundle).unwrap(),
        event.to_string(),
        "{\"value\": \"cut off".to_owned(),
        json!({"misp": {"match": "evil.example"}, "source": {"ip": "192.0.2.1"}}).to_string(),
        json!({"neither": 1}).to_string(),
    ];
    let report = report(&site, &["-"], &(input.join("\n") + "\n"), 65);
    assert_eq!(counts(&report), [9, 6, 1, 0, 2, 0]);
    let first = report["refusals"][0].clone();
    assert!(first["what"].as_str().unwrap().starts_with("line ") && first["why"].as_str().unwrap().contains("JSON"));
    let names =
        ["evil.example json 2", "evil.example misp2memcached 0", "evil.example stix1 0", "evil.example stix2 0"];
    let more = ["evil.example uuid 0", "203.0.113.7 misp2memcached 0"];
    let expected = names.into_iter().chain(more).map(|name| (name.to_owned(), 1 + usize::from(name.starts_with('2'))));
    assert_eq!(noted(&site), expected.collect());
    // The same as an argument.
    assert_eq!(sight(&site, &[&json!({"value": "evil.example", "source": "argument"}).to_string()], "").code, Some(0));
    assert_eq!(noted(&site).get("evil.example argument 0"), Some(&1));
}

#[test]
fn a_dry_run_sends_and_writes_nothing() {
    let site = site(world());
    site.pass(&[]);
    site.misp.forget_requests();
    let before = crate::support::site::files(&site.config.state());
    let input = "www.evil.example\nevil.example\nnothing.example\n{\"value\": 7}\n";
    let finished = sight(&site, &["--dry-run", "--source", "s", "-"], input);
    assert_eq!(finished.code, Some(65), "{}", finished.stderr);
    let lines: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{}", finished.stdout);
    assert_eq!(
        (&lines[0]["value"], &lines[0]["source"], &lines[0]["type"]),
        (&json!("evil.example"), &json!("s"), &json!("sighting"))
    );
    assert!(site.misp.requests().is_empty());
    assert_eq!(crate::support::site::files(&site.config.state()), before);
    // What a dry run prints is what a run takes.
    assert_eq!(sight(&site, &["-"], &finished.stdout).code, Some(0));
    assert_eq!(noted(&site), BTreeMap::from([("evil.example s 0".to_owned(), 1)]));
}

#[test]
fn wrong_usage() {
    let site = site(World::new());
    for (arguments, code) in [
        (&["--type", "seen", "x"][..], 2),
        (&["--window", "soon", "x"], 2),
        (&["--listen", "127.0.0.1:0", "x"], 2),
        (&["--listen", "nowhere"], 64),
        (&["--listen", "unix:/nonexistent/socket"], 64),
        (&["--source", &"x".repeat(256), "x"], 64),
        (&["--unlisted", "%"], 65),
        (&["--unlisted", " "], 0),
    ] {
        let finished = sight(&site, arguments, "");
        assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.stderr);
    }
    assert_eq!((site.misp.requests().len(), site.misp.count(INDEX)), (0, 0));
}

#[test]
fn the_rate_is_bounded() {
    let mut site = site(domains(30));
    site.config.extra("sighting:\n  rate: 20\n").write();
    let input: String =
        (0..30).map(|n| json!({"value": format!("d{n}.example"), "timestamp": 1000 + n}).to_string() + "\n").collect();
    let begun = std::time::Instant::now();
    assert_eq!(counts(&report(&site, &["--unlisted", "-"], &input, 0))[1], 30);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(1400), "{:?}", begun.elapsed());
}

/// What is said of each recorded answer: the recording, the exit code, sent, refused and
/// waiting, and the reason. After a change on purpose, `UPDATE_GOLDEN=1 cargo test --test
/// it sighting::` writes the table anew.
#[test]
fn what_is_said_of_every_recording() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let recordings = root.join("../shared/misp-recordings/rest");
    if !recordings.is_dir() {
        println!("no recordings in {}: nothing compared", recordings.display());
        return;
    }
    let mut names: Vec<_> = std::fs::read_dir(&recordings).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("sightings_"));
    names.sort();
    let mut table = String::new();
    for path in names {
        let recording: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let answer = &recording["response"];
        let status = answer["status"].as_u64().unwrap() as u16;
        let body = answer["body"].as_str().unwrap().as_bytes().to_vec();
        let site = site(domains(1));
        site.misp.set_fault(Box::new(move |request, nth| match request.path.starts_with(ADD) {
            // One that is no answer to an addition is tried again; the second try has an end.
            true if nth <= 1 => Fault::Status(status, Vec::new(), body.clone()),
            _ => Fault::None,
        }));
        let finished = sight(&site, &["--json", "--unlisted", "d0.example"], "");
        let said = serde_json::from_str(&finished.stdout).map_or([0; 6], |report| counts(&report));
        let [_, sent, _, _, refused, waiting] = said;
        let why = finished.stderr.lines().find_map(|line| {
            let (_, why) =
                line.split_once("refused: d0.example: ").or_else(|| line.split_once("MISP refuses the key"))?;
            Some(why.replace(&site.misp.url(), "MISP"))
        });
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let code = finished.code.unwrap();
        let line =
            format!("{name}: {code}, sent {sent}, refused {refused}, waiting {waiting} {}", why.unwrap_or_default());
        table += &format!("{}\n", line.trim_end());
    }
    let golden = root.join("tests/golden/sightings_recorded.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &table).unwrap();
    }
    assert_eq!(table, std::fs::read_to_string(&golden).unwrap_or_default());
}
