//! MISP, memcached, the disk and the process itself fail while sightings are on their
//! way: all arrive, and each once.

use super::{ADD, FAST, counts, domains, finish, noted, report, sight, site, start};
use crate::support::scene::{Random, SEARCH};
use crate::support::site::Site;
use misp2memcached::demo::{Fault, World};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Lines with one sighting each, of the domains of these numbers.
fn lines(numbers: std::ops::Range<usize>, time: impl Fn(usize) -> usize) -> String {
    let line =
        |n: usize| json!({"value": format!("d{n}.example"), "source": "s", "timestamp": 1_795_200_000 + time(n)});
    numbers.map(|n| line(n).to_string() + "\n").collect()
}

fn once_each(count: usize) -> BTreeMap<String, usize> {
    (0..count).map(|n| (format!("d{n}.example s 0"), 1)).collect()
}

#[test]
fn misp_is_down_for_a_while_with_ten_thousand_sightings() {
    const ALL: usize = 10_000;
    let mut site = site(domains(ALL));
    let there = site.misp.url();
    // Most are alike in time, as those that a sensor writes in one go; some are not.
    let time = |n: usize| if n.is_multiple_of(50) { n } else { n / 2500 };
    site.config.url(&nobody()).write();
    let found = report(&site, &["--unlisted", "-"], &lines(0..6000, time), 69);
    assert_eq!(counts(&found)[5], 6000, "{found}");
    // Back, but ill: answers are lost after MISP has acted, and others never come.
    site.config.url(&there).write();
    site.misp.set_fault(Box::new(|request, nth| match nth % 47 {
        _ if !request.path.starts_with(ADD) => Fault::None,
        13 => Fault::TruncateBody(5),
        16 => Fault::Status(503, Vec::new(), b"{\"name\":\"busy\"}".to_vec()),
        19 => Fault::Reset,
        _ => Fault::None,
    }));
    let found = report(&site, &["--unlisted", "-"], &lines(6000..ALL, time), 0);
    assert_eq!(counts(&found), [4000, ALL as u64, 0, 0, 0, 0]);
    assert_eq!(noted(&site), once_each(ALL));
    println!("{ALL} sightings: {} additions, {} searches", site.misp.count(ADD), site.misp.count(SEARCH));
    assert!(site.misp.count(ADD) < 1000);
    // Nothing is left, and nothing goes twice.
    let all = lines(0..ALL, time);
    assert_eq!(counts(&report(&site, &["--unlisted", "-"], &all, 0)), [ALL as u64, 0, ALL as u64, 0, 0, 0]);
    assert_eq!(noted(&site), once_each(ALL));
}

#[test]
fn oldest_first() {
    let mut site = site(domains(3));
    let there = site.misp.url();
    site.config.url(&nobody()).write();
    for n in [2, 0, 1] {
        assert_eq!(sight(&site, &["--unlisted", "-"], &lines(n..n + 1, |n| n)).code, Some(69));
    }
    site.config.url(&there).write();
    let quiet = sight(&site, &[], "");
    assert_eq!(quiet.code, Some(0), "{}", quiet.stderr);
    let order: Vec<u64> = site.misp.world().sightings().iter().map(|noted| noted.attribute).collect();
    assert_eq!(order, [3, 1, 2]);
}

/// Killed again and again while it sends, and finished by one that is not.
#[test]
fn killed_in_the_middle() {
    const ALL: usize = 600;
    let seed = 7;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let site = site(domains(ALL));
    site.misp.set_fault(Box::new(|_, _| Fault::Delay(Duration::from_millis(3))));
    for round in 0..6 {
        let mut child = start(&site, &["--unlisted", "-"]);
        let mut stdin = child.stdin.take().unwrap();
        // The first line with them all; each later one with what may have been lost.
        let time = |n: usize| n / 7;
        stdin.write_all(lines(0..ALL, time).as_bytes()).unwrap();
        drop(stdin);
        if round < 5 {
            let sent = site.misp.world().sightings().len();
            let enough = sent + 1 + random.below(60) as usize;
            while site.misp.world().sightings().len() < enough && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(2));
            }
            child.kill().unwrap();
            child.wait().unwrap();
        } else {
            let finished = finish(child);
            assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        }
    }
    assert_eq!(noted(&site), once_each(ALL));
}

/// An answer that is lost behind an addition to two attributes, of which MISP wrote one.
#[test]
fn what_misp_did_by_half_is_completed() {
    let site = site(domains(1));
    {
        let mut world = site.misp.world();
        let second = misp2memcached::demo::Event::new("second");
        world.add_event(second.with(misp2memcached::demo::Attribute::new("domain", "d0.example")), 1);
    }
    site.misp.set_fault(Box::new(|request, nth| {
        if request.path.starts_with(ADD) && nth == 1 { Fault::TruncateBody(1) } else { Fault::None }
    }));
    let file = site.config.state().join("sightings.jsonl");
    let line = lines(0..1, |n| n);
    assert_eq!(sight(&site, &["--unlisted", "-"], &line).code, Some(0));
    assert_eq!((noted(&site)["d0.example s 0"], site.misp.count(ADD)), (2, 1));
    // As if it had been killed behind the first of two.
    let text = std::fs::read_to_string(&file).unwrap();
    let begun: String = text.lines().filter(|l| !l.contains("sent")).map(|l| format!("{l}\n")).collect();
    std::fs::write(&file, begun).unwrap();
    let mut half = World::clone(&site.misp.world());
    let first = half.sightings()[0].clone();
    half = domains(1);
    half.add_event(
        misp2memcached::demo::Event::new("second").with(misp2memcached::demo::Attribute::new("domain", "d0.example")),
        1,
    );
    half.note(first);
    *site.misp.world() = half;
    site.misp.forget_requests();
    assert_eq!(sight(&site, &[], "").code, Some(0));
    assert_eq!(noted(&site)["d0.example s 0"], 2);
    assert_eq!((site.misp.count(ADD), site.misp.count("/sightings/add/2")), (0, 1));
}

#[test]
fn one_that_misp_fails_on_holds_nobody_up() {
    let site = site(domains(11));
    site.misp.set_fault(Box::new(|request, _| {
        let poison = String::from_utf8_lossy(&request.body).contains("d3.example");
        if poison { Fault::Status(500, Vec::new(), b"{\"name\":\"An Internal Error\"}".to_vec()) } else { Fault::None }
    }));
    // Alone it tells nothing, MISP may be ill: it waits, and no failure is counted.
    assert_eq!(sight(&site, &["--unlisted", "-"], &lines(3..4, |_| 0)).code, Some(69));
    let found = report(&site, &["--unlisted", "-"], &lines(0..10, |_| 0), 69);
    assert_eq!((counts(&found)[1], counts(&found)[5]), (9, 1), "{found}");
    // As if there had been three more such runs; the next is the last.
    let journal = site.config.state().join("sightings.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(text.matches("{\"failed\":[1]}").count(), 1, "{text}");
    std::fs::write(&journal, text + &"{\"failed\":[1]}\n".repeat(3)).unwrap();
    let found = report(&site, &["--unlisted", "-"], &lines(10..11, |_| 0), 65);
    assert_eq!(counts(&found), [1, 1, 0, 0, 1, 0], "{found}");
    let refusal = &found["refusals"][0];
    assert_eq!(refusal["what"], "d3.example");
    assert!(refusal["why"].as_str().unwrap().starts_with("MISP failed on it in 5 runs: "), "{refusal}");
    let mut expected = once_each(11);
    expected.remove("d3.example s 0");
    assert_eq!(noted(&site), expected);
}

#[test]
fn a_key_that_is_refused_keeps_everything() {
    let mut site = site(domains(3));
    site.config.token("WrongKeyWrongKeyWrongKeyWrongKeyWrong012").write();
    let finished = sight(&site, &["--unlisted", "-"], &lines(0..3, |n| n));
    assert_eq!(finished.code, Some(77), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("3 sightings wait") && !finished.stderr.contains("WrongKey"),
        "{}",
        finished.stderr
    );
    // A user without the right to sightings, as recorded.
    site.config.token(crate::support::KEY).write();
    let body = br#"{"name":"You do not have permission to use this functionality.","message":"You do not have permission to use this functionality.","url":"\/sightings\/add"}"#;
    site.misp.set_fault(Box::new(|request, _| {
        if request.path.starts_with(ADD) { Fault::Status(403, Vec::new(), body.to_vec()) } else { Fault::None }
    }));
    let finished = sight(&site, &[], "");
    assert_eq!(finished.code, Some(77), "{}", finished.stderr);
    assert!(finished.stderr.contains("You do not have permission"), "{}", finished.stderr);
    site.misp.clear_fault();
    assert_eq!(sight(&site, &[], "").code, Some(0));
    assert_eq!(noted(&site), once_each(3));
}

#[test]
fn memcached_is_away_for_a_while() {
    let mut site = site(domains(3));
    site.pass(&[]);
    site.misp.forget_requests();
    site.memcached.kill();
    let input = lines(0..2, |n| n) + "nothing.example\n" + &lines(0..1, |n| n);
    let found = report(&site, &["-"], &input, 69);
    assert_eq!((counts(&found)[2], counts(&found)[5]), (1, 3), "{found}");
    assert!(site.misp.requests().is_empty());
    site.memcached.restart();
    // Restarted and not filled: nothing can be told yet.
    assert_eq!(sight(&site, &[], "").code, Some(69));
    site.pass(&[]);
    let found = report(&site, &[], "", 0);
    assert_eq!((counts(&found)[1], counts(&found)[3], counts(&found)[5]), (2, 1, 0), "{found}");
    assert_eq!(noted(&site), once_each(2));
}

#[test]
fn a_full_spool_says_so() {
    let mut site = site(domains(1));
    site.config.url(&nobody()).extra("sighting:\n  spool_mib: 1\n").write();
    let long = "x".repeat(60_000);
    let input: String = (0..30).map(|n| format!("http://d{n}.example/{long}\n")).collect();
    let finished = sight(&site, &["--unlisted", "--json", "-"], &input);
    assert_eq!(finished.code, Some(73), "{}", finished.stderr);
    assert!(finished.stderr.contains("the spool is full (sighting.spool_mib)"), "{}", finished.stderr);
    let found: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    let (lost, waiting) = (found["lost"].as_u64().unwrap(), found["waiting"].as_u64().unwrap());
    assert_eq!((lost + waiting, lost > 10, waiting > 10), (30, true, true), "{found}");
}

#[test]
fn two_runs_at_once() {
    const ALL: usize = 400;
    let site = site(domains(ALL));
    site.misp.set_fault(Box::new(|_, _| Fault::Delay(Duration::from_millis(2))));
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut child = start(&site, &["--unlisted", "-"]);
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(lines(0..ALL, |n| n / 2).as_bytes()).unwrap();
            child
        })
        .collect();
    for child in children {
        let finished = finish(child);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    }
    assert_eq!(noted(&site), once_each(ALL));
}

/// A rate limit is waited for; one that asks for too long leaves everything in the spool.
#[test]
fn misp_limits_the_rate() {
    let site = site(domains(2));
    let limit =
        |seconds: &str| Fault::Status(429, vec![("X-Rate-Limit-Reset".to_owned(), seconds.to_owned())], b"{}".to_vec());
    let long = limit("90000");
    site.misp.set_fault(Box::new(move |_, _| long.clone()));
    assert_eq!(sight(&site, &["--unlisted", "-"], &lines(0..2, |n| n)).code, Some(69));
    let short = limit("1");
    site.misp.forget_requests();
    site.misp.set_fault(Box::new(move |_, nth| if nth == 1 { short.clone() } else { Fault::None }));
    assert_eq!(sight(&site, &[], "").code, Some(0));
    assert_eq!(noted(&site), once_each(2));
}

#[test]
fn the_key_is_nowhere() {
    let mut site: Site = site(domains(1));
    site.config.url(&nobody()).extra(FAST).write();
    let finished = sight(&site, &["-vv", "--unlisted", "d0.example"], "");
    let journal = std::fs::read_to_string(site.config.state().join("sightings.jsonl")).unwrap();
    for text in [finished.stdout, finished.stderr, journal] {
        assert!(!text.contains("SampleKey"), "{text}");
    }
}
