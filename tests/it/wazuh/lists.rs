//! The CDB lists that a pass writes, read back as Wazuh's documentation has their form,
//! against what is in MISP.

use crate::support::model::indicators;
use crate::support::program::{run, run_by};
use crate::support::random::{Random, attribute};
use crate::support::scene::now;
use crate::support::site::{Site, files};
use misp2memcached::demo::{Attribute, Event, World};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileTimes};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

const NOW: u64 = 1_795_300_000;
const DAY: u64 = 86_400;
/// Longer than the refresh window.
const STEP: u64 = 7200;

/// A list: keys, and the events of each.
type List = BTreeMap<String, BTreeSet<u64>>;

/// Keys and values of a list: a key in quotes ends at the next one, another at the first colon.
fn read(path: &Path) -> List {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut list = List::new();
    for line in text.split_terminator('\n') {
        let (key, value) = match line.strip_prefix('"') {
            Some(rest) => rest.split_once("\":").expect("an end of the key"),
            None => line.split_once(':').expect("a colon"),
        };
        assert!(!key.contains('"') && line.len() < 65_534, "{line}");
        let events = value.split(',').map(|id| id.parse().expect("an event id")).collect();
        assert!(list.insert(key.to_owned(), events).is_none(), "{key} twice");
    }
    list
}

/// The directory of the lists, switched on; `more` are further lines of the section.
fn lists(site: &mut Site, more: &str) -> PathBuf {
    let directory = site.config.directory().join("lists");
    let _ = fs::create_dir(&directory);
    site.config.extra(&format!("wazuh:\n  cdb_directory: {directory:?}\n{more}"));
    directory
}

fn list(directory: &Path, name: &str) -> List {
    read(&directory.join(format!("misp-{name}")))
}

/// The indicators of a namespace that the world has. A key that memcached does not take as
/// it is would be another text; these namespaces have none here.
fn held(world: &World, namespace: &str) -> List {
    let mut list = List::new();
    for (key, event, _) in world.events().flat_map(|event| indicators(event, |a| a.to_ids)) {
        if let Some(value) = String::from_utf8(key).unwrap().strip_prefix(&format!("misp-{namespace}:")) {
            list.entry(value.to_owned()).or_default().insert(event);
        }
    }
    list
}

/// First and last address of the IPv4 ranges that say nothing outside of their network.
const LOCAL: [(&str, &str); 8] = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("224.0.0.0", "255.255.255.255"),
];

/// First and last addresses.
type Ranges = Vec<(u32, u32)>;

fn number(address: &str) -> u32 {
    u32::from(address.parse::<Ipv4Addr>().unwrap())
}

/// Sorted and joined, so that the same addresses give the same ranges.
fn joined(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable();
    let mut out = Ranges::new();
    for (first, last) in ranges {
        match out.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out
}

/// Without the local ones.
fn less_local(mut ranges: Ranges) -> Ranges {
    for (first, last) in LOCAL.map(|(first, last)| (number(first), number(last))) {
        let part = |(a, b): (u32, u32)| {
            let left = (a < first).then(|| (a, b.min(first.wrapping_sub(1))));
            let right = (b > last).then(|| (a.max(last.wrapping_add(1)), b));
            [left, right].into_iter().flatten().filter(|(a, b)| a <= b)
        };
        ranges = ranges.into_iter().flat_map(part).collect();
    }
    ranges
}

/// The addresses that the prefixes of a list match.
fn matched(list: &List) -> (Ranges, BTreeSet<IpAddr>) {
    let (mut v4, mut v6) = (Ranges::new(), BTreeSet::new());
    for key in list.keys() {
        match key.parse() {
            Ok(IpAddr::V4(ip)) => v4.push((u32::from(ip), u32::from(ip))),
            Ok(ip) => drop(v6.insert(ip)),
            Err(_) => {
                let octets = key.strip_suffix('.').expect("an address or a prefix").split('.').count();
                let fill = |octet: &str| number(&format!("{key}{}", vec![octet; 4 - octets].join(".")));
                v4.push((fill("0"), fill("255")));
            }
        }
    }
    (joined(v4), v6)
}

/// Those that the world lists and a list can hold.
fn listed(world: &World) -> (Ranges, BTreeSet<IpAddr>) {
    let (mut v4, mut v6) = (Ranges::new(), BTreeSet::new());
    for value in held(world, "ip").keys().filter(|value| !value.contains('/')) {
        match value.parse().unwrap() {
            IpAddr::V4(ip) => v4.push((u32::from(ip), u32::from(ip))),
            IpAddr::V6(ip) => {
                let local = ["fe80:", "fd", "fc", "fec0:", "ff"].iter().any(|l| ip.to_string().starts_with(l));
                let plain = ip.to_ipv4_mapped().is_none_or(|v4| !less_local(vec![(v4.into(), v4.into())]).is_empty());
                if !local && plain && !ip.is_loopback() && !ip.is_unspecified() {
                    v6.insert(IpAddr::V6(ip));
                }
            }
        }
    }
    for value in held(world, "cidr").keys() {
        let (address, length) = value.split_once('/').unwrap();
        let length: u32 = length.parse().unwrap();
        let (first, bits) = match address.parse().unwrap() {
            IpAddr::V4(ip) => (u32::from(ip), 32 - length),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) if length >= 96 => (u32::from(ip), 128 - length),
                _ => continue,
            },
        };
        if bits <= 24 {
            v4.push((first, first | ((1u64 << bits) - 1) as u32));
        }
    }
    (joined(less_local(v4)), v6)
}

#[track_caller]
fn same(site: &Site, directory: &Path, what: &str) {
    let world = site.misp.world();
    for name in ["domain", "md5", "sha1", "sha256"] {
        assert_eq!(list(directory, name), held(&world, name), "{what}: {name}");
    }
    let mut urls = List::new();
    for event in world.events() {
        for a in event.attributes.iter().filter(|a| a.to_ids && !a.deleted && ["url", "uri"].contains(&&*a.kind)) {
            let value = a.value.trim();
            if !value.is_empty() && !value.contains(|c: char| c == '"' || c.is_control()) {
                urls.entry(value.to_owned()).or_default().insert(event.id);
            }
        }
    }
    assert_eq!(list(directory, "url"), urls, "{what}: url");
    let ip = list(directory, "ip");
    assert_eq!(matched(&ip), listed(&world), "{what}");
    // Who lists an address is said at it, where no network that became addresses says more.
    for (value, events) in held(&world, "ip") {
        if let Some(said) = ip.get(&value) {
            assert!(said.is_superset(&events), "{what}: {value}: {said:?}, {events:?}");
        }
    }
}

/// As random events come, change and go, the lists are what MISP has: what was removed
/// there is in none of them any more.
#[test]
fn lists_follow_misp() {
    for seed in 1..=4 {
        let mut random = Random::new(seed);
        let mut site = Site::new(World::new());
        site.config.misp("max_shrink_percent: 100\n");
        let directory = lists(&mut site, "  cdb_lists: [sha256, url, ip, domain, sha1, md5]\n");
        let mut keys = 0;
        for step in 0..10 {
            let at = NOW + step * STEP;
            site.misp.set_now(Some(at));
            {
                let mut world = site.misp.world();
                let ids: Vec<u64> = world.events().map(|e| e.id).collect();
                for _ in 0..=random.below(3) {
                    let event = (0..random.between(1, 40)).fold(Event::new("e"), |e, _| e.with(attribute(&mut random)));
                    world.add_event(event, at - 60);
                }
                for id in ids {
                    match random.below(5) {
                        0 => drop(world.delete_event(id)),
                        1 => drop(world.add_attribute(id, attribute(&mut random), at - 60)),
                        2 => {
                            let event = world.event_mut(id).unwrap();
                            event.timestamp = at - 60;
                            let which = random.below(event.attributes.len() as u64) as usize;
                            event.attributes[which].deleted ^= true;
                        }
                        _ => {}
                    }
                }
            }
            let report = site.pass(&[]);
            same(&site, &directory, &format!("seed {seed}, step {step}"));
            let names = ["ip", "domain", "url", "md5", "sha1", "sha256"];
            let lines: usize = names.iter().map(|name| list(&directory, name).len()).sum();
            assert_eq!(report["cdb"]["keys"], lines);
            keys = keys.max(lines);
        }
        assert!(keys > 100, "seed {seed}: {keys}");
        assert_eq!(files(&directory).len(), 6, "no other file stays");
    }
}

fn small() -> Site {
    let mut world = World::new();
    let of = |values: &[(&str, &str)]| values.iter().fold(Event::new("e"), |e, (k, v)| e.with(Attribute::new(k, v)));
    world.add_event(of(&[("ip-dst", "203.0.113.7"), ("ip-src", "2001:db8::7"), ("domain", "a.example")]), NOW - DAY);
    let hash = "a.exe|098f6bcd4621d373cade4e832627b4f6";
    world.add_event(of(&[("ip-src", "203.0.113.7"), ("filename|md5", hash), ("ip-dst", "10.0.0.1")]), NOW - DAY);
    let site = Site::new(world);
    site.misp.set_now(Some(NOW));
    site
}

fn text(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).unwrap()
}

/// The bytes, as Wazuh reads them.
#[test]
fn the_form_of_the_lists() {
    let mut site = small();
    let directory = lists(&mut site, "");
    let report = site.pass(&[]);
    let full = "2001:0db8:0000:0000:0000:0000:0000:0007";
    assert_eq!(
        text(&directory, "misp-ip"),
        format!("\"{full}\":1\n\"2001:db8:0:0:0:0:0:7\":1\n\"2001:db8::7\":1\n203.0.113.7:1,2\n")
    );
    assert_eq!(text(&directory, "misp-domain"), "a.example:1\n");
    assert_eq!(text(&directory, "misp-md5"), "098f6bcd4621d373cade4e832627b4f6:2\n");
    assert_eq!((text(&directory, "misp-sha1"), text(&directory, "misp-sha256")), (String::new(), String::new()));
    assert_eq!(report["cdb"]["keys"], 6);
    assert_eq!(report["cdb"]["left_out"], serde_json::json!({"private": 1}));
    assert_eq!(report["cdb"]["written"].as_array().unwrap().len(), 5);
    assert_eq!(fs::metadata(directory.join("misp-ip")).unwrap().mode() & 0o777, 0o644);
    // A key that stays is said to be of the events that are left.
    site.misp.world().delete_event(1);
    site.pass(&["--allow-shrink"]);
    assert_eq!(text(&directory, "misp-ip"), "203.0.113.7:2\n");
    assert_eq!(text(&directory, "misp-domain"), "");
}

/// Wazuh sees no new file, and nobody pays for reading a large one.
#[test]
fn without_news_nothing_is_written_or_read() {
    let mut site = small();
    let directory = lists(&mut site, "");
    site.pass(&[]);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    for path in files(&directory).keys() {
        File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_accessed(long_ago)).unwrap();
    }
    // Where the file system keeps such times; nearly all do.
    let read =
        || fs::read_dir(&directory).unwrap().any(|e| e.unwrap().metadata().unwrap().accessed().unwrap() != long_ago);
    let inode = |name: &str| fs::metadata(directory.join(name)).unwrap().ino();
    let before = ["misp-ip", "misp-md5"].map(inode);
    assert_eq!(site.pass(&[])["cdb"], serde_json::json!({"written": [], "keys": 6, "left_out": {"private": 1}}));
    assert!(!read());
    // Of lists that are made anew only those are replaced that have become others.
    site.misp.world().add_attribute(2, Attribute::new("ip-dst", "203.0.113.8"), NOW);
    let report = site.pass(&[]);
    assert_eq!(report["cdb"]["written"], serde_json::json!([directory.join("misp-ip")]));
    assert_eq!([before[0] == inode("misp-ip"), before[1] == inode("misp-md5")], [false, true]);
    println!("the file system shows that a list was read: {}", read());
}

/// Somebody's edit, a copy put back, a file taken away: the next pass has the ledger.
#[test]
fn what_somebody_did_to_a_list_is_put_right() {
    let mut site = small();
    let directory = lists(&mut site, "");
    site.pass(&[]);
    let good =
        |directory: &Path| files(directory).into_iter().map(|(path, (bytes, _))| (path, bytes)).collect::<Vec<_>>();
    let before = good(&directory);
    fs::write(directory.join("misp-ip"), "203.0.113.9:1\n").unwrap();
    fs::remove_file(directory.join("misp-md5")).unwrap();
    let report = site.pass(&[]);
    assert_eq!(report["cdb"]["written"].as_array().unwrap().len(), 2);
    assert_eq!(good(&directory), before);
    assert_eq!(site.pass(&[])["cdb"]["written"], serde_json::json!([]));
}

#[test]
fn a_directory_that_takes_no_list_fails_before_misp_is_asked() {
    let mut site = small();
    let directory = lists(&mut site, "");
    site.pass(&[]);
    let missing = directory.join("missing");
    // The last one refuses new files even to root, who passes every permission.
    for path in [missing.as_path(), Path::new("/dev/null"), Path::new("/proc")] {
        site.config.extra(&format!("wazuh:\n  cdb_directory: {path:?}\n"));
        site.misp.forget_requests();
        let message = site.fails(&[], 73);
        let shown = path.join("misp-ip");
        assert!(message.contains(&format!("wazuh.cdb_directory: cannot write {}", shown.display())), "{message}");
        assert_eq!(site.misp.requests().len(), 0);
        let file = site.config.write();
        let checked = run(&["--config", file.to_str().unwrap(), "check"], &[]);
        assert_eq!(checked.code, Some(73), "{}", checked.stdout);
        assert!(checked.stdout.contains("FAIL Wazuh's CDB lists: wazuh.cdb_directory"), "{}", checked.stdout);
    }
    lists(&mut site, "");
    let file = site.config.write();
    let checked = run(&["--config", file.to_str().unwrap(), "check"], &[]).stdout;
    assert!(checked.contains(&format!("ok   Wazuh's CDB lists: {} can be written", directory.display())), "{checked}");
}

/// A pass that ends between two lists leaves each of them whole, and the next one, though
/// it has no news, writes the rest.
#[test]
fn a_pass_that_ends_between_two_lists() {
    let mut site = small();
    let directory = lists(&mut site, "");
    site.pass(&[]);
    let pipe = directory.join("misp-md5");
    let old = fs::read(&pipe).unwrap();
    fs::remove_file(&pipe).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    site.misp.world().add_attribute(2, Attribute::new("ip-dst", "203.0.113.8"), NOW);
    site.misp.world().add_attribute(2, Attribute::new("sha1", &"a".repeat(40)), NOW);
    let message = site.fails(&[], 73);
    assert!(message.contains("misp-md5: it is no file"), "{message}");
    assert_eq!(list(&directory, "ip").len(), 5);
    assert_eq!(text(&directory, "misp-sha1"), "");
    fs::remove_file(&pipe).unwrap();
    site.pass(&[]);
    assert_eq!(fs::read(&pipe).unwrap(), old);
    assert_eq!(text(&directory, "misp-sha1"), format!("{}:2\n", "a".repeat(40)));
    assert_eq!(files(&directory).len(), 5);
}

/// No room, played by the limit that a process has on the size of its files. The ledger has
/// no news, so that it needs none.
#[test]
fn no_room_for_a_list() {
    let all = (0..100).fold(Event::new("e"), |e, n| e.with(Attribute::new("ip-dst", &format!("203.0.113.{n}"))));
    let mut world = World::new();
    world.add_event(all, NOW - DAY);
    let mut site = Site::new(world);
    site.misp.set_now(Some(NOW));
    let directory = lists(&mut site, "  cdb_lists: [ip]\n");
    site.pass(&[]);
    let good = text(&directory, "misp-ip");
    // The first half is the same, so that a new file begins with a copy.
    let edited = format!("{}192.0.2.1:\n", &good[..good.len() / 2]);
    fs::write(directory.join("misp-ip"), &edited).unwrap();
    let file = site.config.write();
    let limited = ["sh", "-c", "ulimit -f 1; exec \"$0\" \"$@\""];
    let finished = run_by(&limited, &["--config", file.to_str().unwrap(), "load"]);
    assert_eq!(finished.code, Some(73), "{}", finished.stderr);
    assert!(finished.stderr.contains("misp-ip: File too large"), "{}", finished.stderr);
    assert!(finished.stderr.contains("is there room on the file system"), "{}", finished.stderr);
    assert_eq!((text(&directory, "misp-ip"), files(&directory).len()), (edited, 1));
    site.pass(&[]);
    assert_eq!(text(&directory, "misp-ip"), good);
}

#[test]
fn a_dry_run_and_a_refused_pass_leave_the_lists() {
    let mut site = small();
    let directory = lists(&mut site, "");
    site.load(&["--dry-run"]);
    assert_eq!(files(&directory).len(), 0);
    site.pass(&[]);
    let before = files(&directory);
    site.misp.world().delete_event(1);
    site.load(&["--dry-run"]);
    assert_eq!(files(&directory), before);
    // Too much would go.
    site.fails(&[], 65);
    assert_eq!(files(&directory), before);
}

/// Rules would go on firing for it; and a list that `ossec.conf` names must not vanish.
#[test]
fn a_list_that_is_no_longer_named_is_emptied() {
    let mut site = small();
    let directory = lists(&mut site, "");
    site.pass(&[]);
    lists(&mut site, "  cdb_lists: [ip, md5]\n");
    let log = site.load(&[]).stderr;
    assert!(log.contains("misp-domain is no longer written, and was emptied"), "{log}");
    assert_eq!((text(&directory, "misp-domain"), list(&directory, "ip").len()), (String::new(), 4));
    // What somebody has made of it is theirs.
    fs::write(directory.join("misp-md5"), "mine:\n").unwrap();
    site.config.extra("");
    let log = site.load(&[]).stderr;
    assert!(log.contains("misp-md5 is no longer written; it was changed by somebody, so it is left to you"), "{log}");
    assert_eq!((text(&directory, "misp-ip"), text(&directory, "misp-md5")), (String::new(), "mine:\n".to_owned()));
    // Said once, and nothing more is done.
    let before = files(&directory);
    assert!(!site.load(&[]).stderr.contains("no longer written"));
    assert_eq!(files(&directory), before);
    // And on again.
    lists(&mut site, "");
    site.pass(&[]);
    assert_eq!((list(&directory, "ip").len(), list(&directory, "md5").len()), (4, 1));
}

/// Two MISPs in one memcached have a prefix each, and lists of their own.
#[test]
fn lists_are_called_as_keys_are() {
    let mut site = small();
    let directory = lists(&mut site, "  cdb_lists: [ip]\n");
    site.config.memcached("prefix: other\n");
    site.pass(&[]);
    assert_eq!(read(&directory.join("other-ip")).len(), 4);
    assert_eq!(files(&directory).len(), 1);
}

/// A key of many events names the newest: a line has an end.
#[test]
fn a_key_of_many_events() {
    let mut world = World::new();
    for _ in 0..60 {
        world.add_event(Event::new("e").with(Attribute::new("ip-dst", "203.0.113.7")), now());
    }
    let mut site = Site::new(world);
    let directory = lists(&mut site, "  cdb_lists: [ip]\n");
    site.pass(&[]);
    assert_eq!(list(&directory, "ip")["203.0.113.7"], (11..=60).collect());
}
