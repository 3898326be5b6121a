//! What does not fit, and what is not written: memcached's limits, Falco's plain
//! lists, the dry run.

use super::{DAY, HOUR, NOW, event};
use crate::support::site::{Site, files};
use misp2memcached::demo::{Attribute, Event, World};
use misp2memcached::ledger::Ledger;
use std::path::PathBuf;

/// Keys of 600 events, where an item may have 4 KiB.
#[test]
fn a_value_near_the_item_limit_keeps_the_newest_events() {
    let site = Site::with(World::new(), &["-o", "slab_chunk_max=4096", "-I", "4k"]);
    for _ in 0..600 {
        site.misp.world().add_event(event(&[("domain", "everywhere.example"), ("ip-dst", "198.51.100.1")]), NOW - DAY);
    }
    site.misp.set_now(Some(NOW));
    let finished = site.load(&["--json"]);
    let report: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    let held = site.held();
    for (key, kind) in [("misp-domain:everywhere.example", "domain"), ("misp-ip:198.51.100.1", "ip-dst")] {
        let tags: Vec<&str> = held.value(key).unwrap().split(',').collect();
        assert!((300..600).contains(&tags.len()), "{}", tags.len());
        let newest: Vec<String> = (601 - tags.len()..=600).map(|id| format!("{id}#{kind}")).collect();
        assert_eq!(tags, newest);
    }
    assert!(report["tags_left_out"].as_u64().unwrap() > 0);
    assert_eq!(report["keys_refused"], 0);
    let log = finished.stderr;
    assert!(log.contains("did not fit below memcached's item limit: the newest events were kept"), "{log}");
    // The newest one goes: the key still holds events, and never one that is gone.
    site.misp.world().delete_event(600);
    site.pass(&[]);
    let value = site.held().value("misp-domain:everywhere.example").unwrap().to_owned();
    assert!(value.ends_with(",599#domain"), "{value}");
}

/// One value, listed by every one of 20,000 events: its key is merged as often as
/// there are lists of changes, not as often as there are events.
#[test]
fn a_key_in_twenty_thousand_events() {
    const EVENTS: u64 = 20_000;
    let site = Site::with(World::new(), &[]);
    for _ in 0..EVENTS {
        site.misp.world().add_event(event(&[("domain", "everywhere.example")]), NOW - DAY);
    }
    site.misp.set_now(Some(NOW));
    let report = site.pass(&[]);
    println!("first load: {} s", report["seconds"]);
    let all = |from: u64| (from..=EVENTS).map(|id| format!("{id}#domain")).collect::<Vec<_>>().join(",");
    assert_eq!(site.held().value("misp-domain:everywhere.example"), Some(&*all(1)));
    (1..=100).for_each(|id| assert!(site.misp.world().delete_event(id)));
    let report = site.pass(&[]);
    println!("100 of them go: {} s", report["seconds"]);
    assert_eq!(site.held().value("misp-domain:everywhere.example"), Some(&*all(101)));
}

/// The events that a value has room for go: those that it had no room for come in,
/// by the ledger's word; also where the pass that took them out was cut off.
#[test]
fn events_that_a_value_had_no_room_for_come_in_again() {
    let site = Site::with(World::new(), &["-o", "slab_chunk_max=4096", "-I", "4k"]);
    for _ in 0..600 {
        let unlike = event(&[("domain", "everywhere.example"), ("ip-dst", "198.51.100.1")]);
        site.misp.world().add_event(unlike, NOW - DAY);
    }
    let tags = |site: &Site| site.held().value("misp-domain:everywhere.example").map_or(0, |v| v.split(',').count());
    site.misp.set_now(Some(NOW));
    site.pass(&[]);
    let room = tags(&site);
    assert!((300..600).contains(&room), "{room}");
    // Far more than the value has room for, in a pass each.
    for (from, to, left) in [(101, 500, 200), (1, 100, 100)] {
        (from..=to).rev().for_each(|id| assert!(site.misp.world().delete_event(id)));
        site.misp.forget_requests();
        site.pass(&["--allow-shrink"]);
        assert_eq!(tags(&site), left);
        assert_eq!(site.misp.count("/attributes/restSearch"), 0);
    }
    // All have room now, so nothing is verified any more.
    site.misp.world().delete_event(600);
    assert_eq!(site.pass(&["--allow-shrink"])["mended"]["corrected"], 0);
    assert_eq!(tags(&site), 99);

    // Cut off behind the removal: the next pass owes it.
    site.memcached.set(b"misp-domain:everywhere.example", b"599#domain");
    assert_eq!((site.pass(&[])["mended"]["corrected"].clone(), tags(&site)), (0.into(), 1));
    let ledger = Ledger::open(&site.config.state()).unwrap();
    let mut change = ledger.change().unwrap();
    change.set_meta("left-out", b"due").unwrap();
    change.commit().unwrap();
    drop(ledger);
    assert_eq!((site.pass(&[])["mended"]["corrected"].clone(), tags(&site)), (1.into(), 99));
    // Once.
    site.memcached.set(b"misp-domain:everywhere.example", b"599#domain");
    assert_eq!(site.pass(&[])["mended"]["corrected"], 0);
}

/// What a value says of its events gets shorter: those that it had no room for come in again.
#[test]
fn room_that_a_shorter_context_leaves() {
    let mut site = Site::with(World::new(), &["-o", "slab_chunk_max=4096", "-I", "4k"]);
    site.config.memcached("context: [event_info]\n");
    for _ in 0..100 {
        let mut draft = event(&[("domain", "everywhere.example")]);
        draft.info = "x".repeat(100);
        site.misp.world().add_event(draft, NOW - DAY);
    }
    let value = |site: &Site| site.held().value("misp-domain:everywhere.example").unwrap().to_owned();
    site.misp.set_now(Some(NOW));
    site.pass(&[]);
    assert!((20..50).contains(&value(&site).split(',').count()), "{}", value(&site));
    (91..=100).for_each(|id| assert!(site.misp.world().edit_event(id, "short", 1, NOW + 10)));
    site.misp.set_now(Some(NOW + 20));
    site.pass(&[]);
    let now = value(&site);
    assert_eq!(site.pass(&["--full"])["mended"]["corrected"], 0);
    assert_eq!(value(&site), now);
}

/// One that refuses a value drops what the key held, which other events have put there.
#[test]
fn what_memcached_dropped_as_it_refused_comes_back() {
    let site = Site::with(World::new(), &["-M", "-m", "2"]);
    let shared: Vec<String> = (1..=20).map(|n| format!("f{n:031x}")).collect();
    let of_them = || event(&shared.iter().map(|value| ("md5", value.as_str())).collect::<Vec<_>>());
    site.misp.world().add_event(of_them(), NOW - DAY);
    site.misp.set_now(Some(NOW));
    site.pass(&[]);
    let values = (0..30_000).map(|n| Attribute::new("md5", &format!("{n:032x}")));
    let large = site.misp.world().add_event(values.fold(Event::new("large"), Event::with), NOW + 10);
    site.misp.set_now(Some(NOW + 20));
    site.pass_with_code(&[], 69);
    site.misp.world().add_event(of_them(), NOW + 30);
    site.misp.set_now(Some(NOW + 40));
    site.load(&[]);
    // Room at last, long after the refresh window.
    site.misp.world().delete_event(large);
    site.misp.set_now(Some(NOW + 2 * DAY));
    site.load(&["--allow-shrink"]);
    site.misp.set_now(Some(NOW + 3 * DAY));
    site.pass(&[]);
    let expected: Vec<String> = shared.iter().map(|value| format!("misp-md5:{value} 1#md5,3#md5")).collect();
    assert_eq!(site.shown(), expected);
}

/// Somebody lists the short form of a long value: two keys, as they are two values.
#[test]
fn a_value_that_is_the_short_form_of_another() {
    let site = Site::new(World::new());
    let long = format!("http://long.example/{}", "x".repeat(300));
    site.misp.world().add_event(event(&[("url", &long)]), NOW - DAY);
    site.misp.set_now(Some(NOW));
    site.pass(&[]);
    let key = site.held().indicators.into_keys().next().unwrap();
    let key = String::from_utf8(key).unwrap();
    let second = site.misp.world().add_event(event(&[("url", key.strip_prefix("misp-url:").unwrap())]), NOW + 10);
    site.misp.set_now(Some(NOW + 20));
    for flags in [&[][..], &["--full"]] {
        site.pass(flags);
        let held = site.held();
        assert_eq!((held.value(&key), held.stats.as_deref(), held.indicators.len()), (Some("1#url"), Some("2"), 2));
    }
    site.misp.world().delete_event(second);
    site.misp.set_now(Some(NOW + 2 * HOUR));
    site.pass(&["--allow-shrink"]);
    assert_eq!(site.held().value(&key), Some("1#url"));
}

/// Two megabytes for 30,000 keys: memcached throws out what it has just taken.
#[test]
fn a_memcached_that_is_too_small_is_reported() {
    let site = Site::with(World::new(), &["-m", "2"]);
    let values = (0..30_000).map(|n| Attribute::new("md5", &format!("{n:032x}")));
    site.misp.world().add_event(values.fold(Event::new("large"), Event::with), NOW - DAY);
    site.misp.set_now(Some(NOW));
    let finished = site.load(&["--json"]);
    assert_eq!(finished.code, Some(69), "{}", finished.stderr);
    let report: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    let server = &report["memcached"][0];
    assert_eq!(server["fits"], false);
    assert!(server["evicted_now"].as_u64().unwrap() > 1000, "{server}");
    assert!(server["needed_bytes"].as_u64().unwrap() > 3_000_000, "{server}");
    assert!(finished.stderr.contains("is too small: our keys take about"), "{}", finished.stderr);
    assert!(finished.stderr.contains("start it with -m 64"), "{}", finished.stderr);
}

/// One that rather refuses (`-M`): what it refused is tried again, also in an event
/// that loses something at the same time.
#[test]
fn what_memcached_refused_is_tried_again() {
    let site = Site::with(World::new(), &["-M", "-m", "2"]);
    // Of one size class, so that freed room can be used again.
    let values = (0..30_000).map(|n| Attribute::new("md5", &format!("{n:032x}")));
    site.misp.world().add_event(values.fold(Event::new("large"), Event::with), NOW - DAY);
    site.misp.world().add_event(event(&[("md5", &"c".repeat(32)), ("md5", &"d".repeat(32))]), NOW - DAY);
    site.misp.set_now(Some(NOW));
    let report = site.pass_with_code(&[], 69);
    assert!(report["keys_refused"].as_u64().unwrap() > 100, "{report}");
    // The second event loses one and gets another one, which finds no room either.
    site.misp.world().hard_delete(30_001, NOW + 10);
    site.misp.world().add_attribute(2, Attribute::new("md5", &"e".repeat(32)), NOW + 10);
    site.misp.set_now(Some(NOW + 20));
    site.pass_with_code(&[], 69);
    // Room at last, long after the refresh window.
    site.misp.world().delete_event(1);
    site.misp.set_now(Some(NOW + 2 * DAY));
    site.pass_with_code(&["--allow-shrink"], 69);
    site.misp.set_now(Some(NOW + 3 * DAY));
    site.pass(&[]);
    let expected = [format!("misp-md5:{} 2#md5", "d".repeat(32)), format!("misp-md5:{} 2#md5", "e".repeat(32))];
    assert_eq!(site.shown(), expected);
}

/// The same where the guard steps in: what it gives up are removals, not the mark.
#[test]
fn what_memcached_refused_is_tried_again_after_the_guard() {
    let site = Site::with(World::new(), &["-M", "-m", "2"]);
    let values = (0..30_000).map(|n| Attribute::new("md5", &format!("{n:032x}")));
    site.misp.world().add_event(values.fold(Event::new("large"), Event::with), NOW - DAY);
    site.misp.world().add_event(event(&[("md5", &"c".repeat(32)), ("md5", &"d".repeat(32))]), NOW - DAY);
    site.misp.set_now(Some(NOW));
    site.pass_with_code(&[], 69);
    // The second event loses one and gets another one, and a third of the first one goes.
    site.misp.world().hard_delete(30_001, NOW + 10);
    site.misp.world().add_attribute(2, Attribute::new("md5", &"e".repeat(32)), NOW + 10);
    site.misp.world().hard_delete(1, NOW + 10);
    site.misp.world().event_mut(1).unwrap().attributes.drain(..10_000);
    site.misp.set_now(Some(NOW + 20));
    site.fails(&[], 65);
    site.misp.world().delete_event(1);
    for (days, code) in [(2, 69), (3, 0)] {
        site.misp.set_now(Some(NOW + days * DAY));
        site.pass_with_code(&["--allow-shrink"], code);
    }
    let expected = [format!("misp-md5:{} 2#md5", "d".repeat(32)), format!("misp-md5:{} 2#md5", "e".repeat(32))];
    assert_eq!(site.shown(), expected);
}

fn falco(site: &mut Site) -> PathBuf {
    let directory = site.config.directory().join("falco");
    std::fs::create_dir(&directory).unwrap();
    let d = directory.display();
    site.config.extra(&format!(
        "falco:\n  enabled: true\n  directory: \"{d}\"\n  falco_binary: \"\"\n  hash_list: \"{d}/hashes.csv\"\n  domain_list: \"{d}/domains.txt\"\n"
    ));
    directory
}

#[test]
fn falcos_plain_lists() {
    let mut site = Site::new(World::new());
    let directory = falco(&mut site);
    let hash = |c: &str| c.repeat(64);
    let (a, b, c) = (hash("a"), hash("b"), hash("c"));
    site.misp.world().add_event(
        event(&[
            ("sha256", &a),
            ("filename|sha256", &format!("x, \"y\".exe|{a}")),
            ("sha256", &b),
            ("filename|sha256", &format!("evil\u{1b}[2J.dll|{c}")),
            ("domain", "b.example"),
            ("hostname|port", "a.example|80"),
            ("domain|ip", "c.example|198.51.100.1"),
            ("domain", "bad name\r\ninjected.example"),
        ]),
        NOW - DAY,
    );
    site.misp.set_now(Some(NOW));
    let report = site.pass(&[]);
    assert_eq!(report["falco"]["written"].as_array().unwrap().len(), 3);
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    assert_eq!(read("hashes.csv"), format!("{a},\"x, \"\"y\"\".exe\"\n{b},\n{c},evil[2J.dll\n"));
    assert_eq!(read("domains.txt"), "a.example\nb.example\nc.example\n");
    // File names are for Falco's list only: neither keys nor counted.
    assert_eq!(site.shown().len(), 7);
    assert_eq!(site.held().stats.as_deref(), Some("7"));
    let before = files(&directory);
    site.misp.set_now(Some(NOW + 2 * HOUR));
    assert_eq!(site.pass(&[])["falco"]["written"].as_array().unwrap().len(), 0);
    assert_eq!(files(&directory), before);
    // One list changes: one file is written.
    site.misp.world().soft_delete(2, NOW + 3 * HOUR);
    site.misp.set_now(Some(NOW + 3 * HOUR + 10));
    let report = site.pass(&[]);
    assert_eq!(report["falco"]["written"].as_array().unwrap().len(), 1);
    assert_eq!(read("hashes.csv"), format!("{a},\n{b},\n{c},evil[2J.dll\n"));
    // A file that somebody removed or changed is put right, without a fetch.
    std::fs::write(directory.join("domains.txt"), "").unwrap();
    std::fs::remove_file(directory.join("misp2memcached.yaml")).unwrap();
    site.misp.set_now(Some(NOW + 6 * HOUR));
    let report = site.pass(&[]);
    assert_eq!((&report["events"]["fetched"], report["falco"]["written"].as_array().unwrap().len()), (&0.into(), 2));
    assert_eq!(read("domains.txt").lines().count(), 3);
}

/// Attributes of the last ten days only.
#[test]
fn falcos_lists_forget_with_time() {
    let mut site = Site::new(World::new());
    let directory = falco(&mut site);
    let yaml = format!(
        "falco:\n  enabled: true\n  directory: \"{}\"\n  falco_binary: \"\"\n  timeframe: 10d\n  max_addresses: 2\n",
        directory.display()
    );
    site.config.extra(&yaml);
    for (days, n) in [(9, 1), (5, 2), (4, 3), (20, 4)] {
        site.misp.world().add_event(event(&[("ip-dst", &format!("198.51.100.{n}"))]), NOW - days * DAY);
    }
    let listed = |site: &Site| {
        let text = std::fs::read_to_string(directory.join("misp2memcached.yaml")).unwrap();
        assert_eq!(site.shown().len(), 4, "memcached has them all");
        crate::support::falco_lists::read(&text).0.ips.into_iter().collect::<Vec<_>>()
    };
    site.misp.set_now(Some(NOW));
    let report = site.pass(&[]);
    // Three are young enough, two may be listed: the newest.
    assert_eq!(report["falco"]["cut"], 1);
    assert_eq!(listed(&site), ["198.51.100.2", "198.51.100.3"]);
    site.misp.set_now(Some(NOW + 6 * DAY - HOUR));
    assert_eq!(site.pass(&[])["events"]["fetched"], 0);
    assert_eq!(listed(&site), ["198.51.100.3"]);
}

#[test]
fn a_dry_run_prints_and_writes_nothing() {
    let mut site = Site::new(World::new());
    let directory = falco(&mut site);
    let a = "a".repeat(64);
    let first =
        event(&[("filename|sha256", &format!("x.exe|{a}")), ("ip-dst", "10.1.2.3/8"), ("url", "http://a b/\t")]);
    site.misp.world().add_event(first, NOW - DAY);
    site.misp.world().add_event(event(&[("domain", "gone.example")]), NOW - DAY);
    site.misp.set_now(Some(NOW));
    let dry = |site: &Site, flags: &[&str]| {
        let finished = site.load(&[&["--dry-run"], flags].concat());
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert!(finished.stderr.contains("nothing written"), "{}", finished.stderr);
        let mut lines: Vec<String> = finished.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    // Before the first pass there is not even a ledger.
    let expected = [
        "+ misp-cidr:10.0.0.0/8 1#ip-dst".to_owned(),
        "+ misp-domain:gone.example 2#domain".to_owned(),
        "+ misp-ip:10.1.2.3/8 1#ip-dst".to_owned(),
        format!("+ misp-sha256:{a} 1#filename|sha256"),
        "+ misp-url:http://a b/ 1#url".to_owned(),
    ];
    assert_eq!(dry(&site, &[]), expected);
    assert_eq!((site.memcached.keys().len(), files(&directory).len()), (0, 0));
    assert_eq!(std::fs::read_dir(site.config.state()).unwrap().count(), 0);

    site.pass(&[]);
    let (held, written) = (site.held(), files(&directory));
    assert_eq!(held.indicators.len(), 5);
    site.misp.world().delete_event(2);
    site.misp.world().hard_delete(2, NOW + 10);
    site.misp.world().add_attribute(1, Attribute::new("domain", "new.example"), NOW + 10);
    site.misp.set_now(Some(NOW + 20));
    let expected = [
        "+ misp-domain:new.example 1#domain",
        "- misp-cidr:10.0.0.0/8 1#ip-dst",
        "- misp-domain:gone.example 2#domain",
        "- misp-ip:10.1.2.3/8 1#ip-dst",
    ];
    assert_eq!(dry(&site, &[]), expected);
    assert_eq!(dry(&site, &["--full"]), expected);
    assert_eq!((site.held(), files(&directory)), (held, written));
    // As JSON: the figures alone.
    let report = site.pass(&["--dry-run"]);
    assert_eq!((&report["dry_run"], &report["namespaces"]["domain"]["added"]), (&true.into(), &1.into()));
    // What it said is what happens then.
    site.pass(&["--allow-shrink"]);
    assert_eq!(dry(&site, &[]), [] as [&str; 0]);
    // Under another prefix everything goes and comes.
    site.config.memcached("prefix: other\n");
    let lines = dry(&site, &[]);
    assert_eq!(lines.iter().filter(|l| l.starts_with("+ other-")).count(), 3, "{lines:#?}");
    assert_eq!(lines.iter().filter(|l| l.starts_with("- misp-")).count(), 3, "{lines:#?}");
}
