//! `wazuh` as Wazuh runs it: alert files in, datagrams out at a socket in the place of
//! Wazuh's queue, with a real memcached. The alerts of `tests/golden/wazuh` have the
//! datagram beside them (none: an empty file); after a change on purpose,
//! `UPDATE_GOLDEN=1 cargo test --test it wazuh::` writes them anew.

mod checked;
mod lists;
mod manager;
mod packaging;

use crate::support::memcached::Memcached;
use crate::support::program::{command, run};
use crate::support::scene::now;
use manager::{Manager, REDIRECTION, answer, listed, section};
use misp2memcached::demo::{Attribute, Event, World};
use misp2memcached::wazuh::fields;
use packaging::Rules;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const MD5: &str = "098f6bcd4621d373cade4e832627b4f6";
const IMPHASH: &str = "f34d5f2d4577ed6d9ceec516c1f5a744";

fn world() -> World {
    let mut world = World::new();
    let file = format!("a.exe|{SHA256}");
    let events: [&[(&str, &str)]; 4] = [
        &[("filename|sha256", file.as_str()), ("md5", MD5), ("imphash", IMPHASH)],
        &[("ip-dst", "2001:db8::bad"), ("ip-dst", "198.51.100.23"), ("ip-src", "203.0.113.7"), ("ip-dst", "10.0.0.1")],
        &[
            ("domain", "evil.example"),
            ("url", "http://evil.example/Ünï?a=\"b\""),
            ("url", "http://evil.example:8080/gate.php"),
            ("ip-src", "203.0.113.7"),
        ],
        &[("ip-dst", "192.0.2.128/25"), ("ip-dst", "10.0.0.0/8")],
    ];
    for (i, attributes) in events.into_iter().enumerate() {
        let event = Event::new(&format!("event {i}"));
        let event = attributes.iter().fold(event, |event, (kind, value)| event.with(Attribute::new(kind, value)));
        world.add_event(event, now());
    }
    world
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wazuh")
}

/// The alerts of the golden files that are hits, and the values that must be among the
/// matches; the others have no answer.
const HITS: [(&str, &[&str]); 13] = [
    ("sysmon_1", &["098F6BCD4621D373CADE4E832627B4F6", "F34D5F2D4577ED6D9CEEC516C1F5A744"]),
    ("sysmon_3", &["2001:DB8:0:0:0:0:0:BAD"]),
    ("sysmon_6", &["9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"]),
    ("sysmon_7", &["098F6BCD4621D373CADE4E832627B4F6"]),
    ("sysmon_15", &["F34D5F2D4577ED6D9CEEC516C1F5A744"]),
    ("sysmon_22", &["WWW.Evil.Example."]),
    ("syscheck_entry_added", &[SHA256]),
    ("linux_sysmon_3", &["198.51.100.23"]),
    ("groups_elsewhere", &["::ffff:203.0.113.7"]),
    ("windows_logon", &["203.0.113.7"]),
    (
        "suricata_alert",
        &["198.51.100.23", "www.evil.example", "evil.example:8080", "EVIL.EXAMPLE", "evil.example:8080/gate.php", MD5],
    ),
    ("network", &["192.0.2.200"]),
    ("url", &["hxxp://Evil[.]example/Ünï?a=\"b\""]),
];

#[test]
fn golden_datagrams() {
    let manager = Manager::new(world());
    manager.site.pass(&[]);
    let rules = Rules::read();
    let hits: BTreeMap<&str, &[&str]> = HITS.into();
    let (mut seen, mut differences) = (BTreeSet::new(), Vec::new());
    let entries = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.filter(|path| path.extension().is_some_and(|e| e == "json")) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (finished, datagrams) = manager.run(&path);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""), "{name}: {}", finished.stderr);
        assert_eq!(datagrams.len(), usize::from(hits.contains_key(name.as_str())), "{name}: {datagrams:?}");
        for datagram in &datagrams {
            let answer = answer(datagram);
            let matches = answer["misp"]["matches"].as_array().unwrap();
            for value in hits[name.as_str()] {
                assert!(matches.iter().any(|m| m["value"] == *value), "{name}: {value}: {datagram}");
            }
            for old in ["event_id", "category", "value", "type"] {
                assert_eq!(answer["misp"][old], matches[0][old], "{name}");
            }
            assert_eq!(rules.fires(&answer).as_deref(), Some("100622"), "{name}");
        }
        seen.insert(name);
        let golden = path.with_extension("txt");
        let text: String = datagrams.iter().map(|d| format!("{d}\n")).collect();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if text != expected {
            differences.push(format!("{}\n  sent:     {text}  expected: {expected}", golden.display()));
        }
    }
    assert!(hits.keys().all(|name| seen.contains(*name)) && seen.len() > hits.len(), "{seen:?}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The type to look for in a field, and a value as such fields have it.
fn example(field: &str) -> (&'static str, &'static str) {
    let name = field.rsplit('.').next().unwrap();
    match name {
        "hashes" | "hash" => {
            ("misp-imphash:f34d5f2d4577ed6d9ceec516c1f5a744", "IMPHASH=F34D5F2D4577ED6D9CEEC516C1F5A744")
        }
        "sha256_after" | "sha256" => {
            ("misp-sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", SHA256)
        }
        "sha1_after" | "sha1" => {
            ("misp-sha1:a94a8fe5ccb19ba61c4c0873d391e987982fbbd3", "A94A8FE5CCB19BA61C4C0873D391E987982FBBD3")
        }
        "md5_after" | "md5" => ("misp-md5:098f6bcd4621d373cade4e832627b4f6", MD5),
        "url" => ("misp-url:http://evil.example/a", "http://evil.example/a"),
        "destAddress" | "sourceAddress" => ("misp-ip:2001:db8::7", "2001:db8::7"),
        _ if name.to_lowercase().contains("ip") => ("misp-ip:2001:db8::7", "2001:0DB8::7"),
        _ => ("misp-domain:evil.example", "www.EVIL.example"),
    }
}

#[test]
fn every_field_of_the_default() {
    let keys: BTreeSet<&str> = fields::DEFAULT.iter().map(|field| example(field).0).collect();
    let held: Vec<(&str, &str)> = keys.into_iter().map(|key| (key, "7#x")).collect();
    let manager = Manager::holding(&held);
    for field in fields::DEFAULT {
        let (key, value) = example(field);
        let alert = field.rsplit('.').fold(json!(value), |inner, name| json!({name: inner}));
        let (finished, datagrams) = manager.look_up(&alert);
        assert_eq!(finished.code, Some(0), "{field}: {}", finished.stderr);
        let first = &answer(datagrams.first().unwrap_or_else(|| panic!("{field}: no answer")))["misp"]["matches"][0];
        assert_eq!((&first["field"], &first["key"]), (&json!(field), &json!(key)));
    }
}

#[test]
fn fields_of_the_configuration_take_the_default_s_place() {
    let mut manager = Manager::holding(&[("misp-ip:203.0.113.7", "7#ip-dst")]);
    let queue = manager.site.config.directory().join("queue");
    let yaml = section(&queue, "60s") + "  fields: [\"data.mine.ip\"]\n";
    manager.site.config.extra(&yaml).write();
    assert!(manager.look_up(&json!({"data": {"srcip": "203.0.113.7"}})).1.is_empty());
    let (_, datagrams) = manager.look_up(&json!({"data": {"mine": {"ip": "203.0.113.7"}}}));
    assert_eq!(answer(&datagrams[0])["misp"]["matches"][0]["field"], "data.mine.ip");
}

#[test]
fn an_answer_that_is_too_large_is_cut() {
    let events: Vec<String> = (1..=2000).map(|id| format!("{id}#ip-dst")).collect();
    let manager = Manager::holding(&[("misp-ip:203.0.113.7", &events.join(","))]);
    let agent = json!({"id": "004", "name": "six", "ip": "2001:db8::5"});
    let long = format!("http://203.0.113.7/{}", "\"".repeat(60_000));
    let (finished, datagrams) =
        manager.look_up(&json!({"agent": agent, "data": {"url": long, "srcip": "203.0.113.7"}}));
    assert_eq!((finished.code, datagrams.len()), (Some(0), 1), "{}", finished.stderr);
    let length = datagrams[0].len();
    assert!(length <= 65_535 && length > 50_000, "{length}");
    let misp = &answer(&datagrams[0])["misp"];
    let shown = misp["matches"].as_array().unwrap().len() as u64;
    let left_out = misp["matches_left_out"].as_u64().unwrap();
    assert!(shown > 0 && shown + left_out >= 2000, "{shown} {left_out}");
}

#[test]
fn exit_codes_of_files_and_arguments() {
    let manager = Manager::holding(&[("misp-ip:203.0.113.7", "7#ip-dst")]);
    let none = run(&["--config", &manager.file(), "wazuh"], &[]);
    assert_eq!(none.code, Some(2), "{}", none.stderr);
    let (finished, _) = manager.run(Path::new("/nonexistent/alert"));
    assert_eq!(finished.code, Some(6), "{}", finished.stderr);
    assert!(finished.stderr.contains("/nonexistent/alert"), "{}", finished.stderr);
    let path = manager.site.config.directory().join("plain");
    for (text, said) in
        [("alertdate='x'\nalertlocation='y'\n", "<alert_format>json"), ("{\"a\": ", "not JSON"), ("", "empty")]
    {
        fs::write(&path, text).unwrap();
        let (finished, datagrams) = manager.run(&path);
        assert_eq!((finished.code, datagrams.len()), (Some(7), 0), "{text}: {}", finished.stderr);
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
    // What newer managers pass, and what else may come.
    let alert = manager.alert(&listed()).display().to_string();
    let file = manager.file();
    for more in [&[][..], &["key", "https://hook.example", "debug", "/tmp/options.json"], &["-x", "--config", "no"]] {
        let finished = run(&[&["--config", &file, "wazuh", &alert][..], more].concat(), &[]);
        assert_eq!((finished.code, manager.received().len()), (Some(0), 1), "{more:?}: {}", finished.stderr);
        assert_eq!(finished.stderr.contains("203.0.113.7"), more.contains(&"debug"), "{}", finished.stderr);
        assert!(!finished.stderr.contains("hook.example"));
    }
}

#[test]
fn exit_code_of_the_queue() {
    let mut manager = Manager::holding(&[("misp-ip:203.0.113.7", "7#ip-dst")]);
    let queue = manager.site.config.directory().join("queue");
    let alert = manager.alert(&listed());
    // Nobody reads: the kernel takes so many and no more.
    manager.configure("1s");
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"x", &queue).is_ok() {}
    let (full, _) = manager.run(&alert);
    assert_eq!(full.code, Some(5), "{}", full.stderr);
    assert!(full.stderr.contains("it is full"), "{}", full.stderr);
    let Manager { queue: socket, site } = manager;
    drop(socket);
    let file = site.config.directory().join("misp2memcached.yaml").display().to_string();
    let look_up = || run(&["--config", &file, "wazuh", alert.to_str().unwrap()], &[]);
    let refused = look_up();
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("is the Wazuh manager running?"), "{}", refused.stderr);
    fs::remove_file(&queue).unwrap();
    let missing = look_up();
    assert_eq!(missing.code, Some(5), "{}", missing.stderr);
    assert!(missing.stderr.contains("wazuh.queue"), "{}", missing.stderr);
}

/// An error is answered, exits 4, and fires the rule of errors.
fn fails(manager: &Manager, said: &str) {
    let (finished, datagrams) = manager.look_up(&listed());
    assert_eq!((finished.code, datagrams.len()), (Some(4), 1), "{}", finished.stderr);
    let answer = answer(&datagrams[0]);
    assert!(answer["misp"]["error"].as_str().unwrap().contains(said), "{answer}");
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["integration", "misp"]);
    assert_eq!(answer["misp"].as_object().unwrap().len(), 1);
    assert_eq!(Rules::read().fires(&answer).as_deref(), Some("100621"));
}

#[test]
fn a_memcached_that_is_silent_gone_or_empty() {
    let mut manager = Manager::holding(&[("misp-ip:203.0.113.7", "7#ip-dst")]);
    manager.configure("1s");
    manager.site.memcached.signal("STOP");
    let begun = Instant::now();
    fails(&manager, "within 1s (wazuh.timeout)");
    // memcached.timeout, 10 s, does not count.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    manager.site.memcached.signal("CONT");
    manager.configure("60s");
    let nothing = json!({"data": {"srcip": "10.0.0.1"}});
    assert_eq!(manager.look_up(&listed()).1.len(), 1);
    manager.site.memcached.flush_all();
    fails(&manager, "no complete load");
    manager.site.memcached.kill();
    fails(&manager, "cannot be reached");
    // What has nothing to be looked up needs no memcached.
    assert_eq!(manager.look_up(&nothing).0.code, Some(0));
}

#[test]
fn of_two_servers_one_may_be_gone_or_silent() {
    let mut manager = Manager::holding(&[]);
    let second = Memcached::start(&[]);
    second.set(b"misp-ip:203.0.113.7", b"7#ip-dst");
    manager.site.config.and(&second);
    manager.configure("60s");
    // The first one answers, and lists nothing.
    assert!(manager.look_up(&listed()).1.is_empty());
    manager.configure("6s");
    manager.site.memcached.signal("STOP");
    let (finished, datagrams) = manager.look_up(&listed());
    assert_eq!((finished.code, datagrams.len()), (Some(0), 1), "{}", finished.stderr);
    // What one does not use is the other's.
    manager.configure("2s");
    second.signal("STOP");
    fails(&manager, "within 1.0 s (its share of wazuh.timeout)");
    fails(&manager, &format!("memcached {}: it gave no answer", second.server()));
    second.signal("CONT");
    manager.site.memcached.signal("CONT");
    manager.configure("60s");
    manager.site.memcached.kill();
    assert_eq!(manager.look_up(&listed()).1.len(), 1);
    manager.configure("2s");
    second.signal("STOP");
    fails(&manager, "cannot be reached");
    let (_, datagrams) = manager.look_up(&listed());
    let error = answer(&datagrams[0])["misp"]["error"].as_str().unwrap().to_owned();
    let share = error.split_once("within ").unwrap().1.split_once(" s").unwrap().0;
    assert!(share.parse::<f64>().unwrap() > 1.0, "{error}");
}

/// Printed, not judged: the machine may be busy.
#[test]
fn thousand_alerts_in_a_row() {
    const ALERTS: u32 = 1000;
    let manager = Manager::holding(&[("misp-ip:203.0.113.7", "7#ip-dst")]);
    let (file, alert) = (manager.file(), manager.alert(&listed()).display().to_string());
    let begun = Instant::now();
    for n in 0..ALERTS {
        let arguments = [&["--config", &file, "wazuh", &alert, "", "", ""][..], &REDIRECTION].concat();
        assert!(command(&arguments, &[]).stderr(Stdio::null()).status().unwrap().success());
        assert_eq!(manager.received().len(), 1, "alert {n}");
    }
    let each = begun.elapsed() / ALERTS;
    println!("{ALERTS} alerts in {:?}, {each:?} each with the start of the process", begun.elapsed());
}
