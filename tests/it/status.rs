//! `status` as the place to look first: what it says of passes that are good, fail, are
//! under way or were killed, and of what waits for MISP.

use crate::support::scene::{Scene, now};
use misp2memcached::demo::{Attribute, Event, Fault, World};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ATTRIBUTES: &str = "/attributes/restSearch";

fn world() -> World {
    let mut world = World::new();
    let event =
        Event::new("one").with(Attribute::new("ip-dst", "198.51.100.7")).with(Attribute::new("domain", "bad.example"));
    world.add_event(event, now() - 86_400);
    world
}

fn table(scene: &Scene) -> String {
    let done = scene.run(&["status"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout
}

fn json(scene: &Scene) -> Value {
    serde_json::from_str(&scene.run(&["status", "--json"]).stdout).unwrap()
}

/// The line below this heading.
fn said<'a>(table: &'a str, heading: &str) -> Option<&'a str> {
    table.lines().find_map(|line| line.strip_prefix(heading))
}

#[test]
fn good_and_failed_passes() {
    let scene = Scene::new(world(), "");
    let none = table(&scene);
    assert!(none.trim_end().ends_with("evicted since its start"), "no pass yet: {none}");

    scene.good("load");
    let good = table(&scene);
    let last = said(&good, "Last change").expect(&good);
    assert!(last.contains(" ago: initial, 1 of 1 events fetched, indicators +2 -0 =0, "), "{good}");
    assert!(said(&good, "Ledger").expect(&good).contains(&scene.configuration.state().display().to_string()), "{good}");
    assert!(said(&good, "Last error").is_none() && said(&good, "Waiting").is_none(), "{good}");

    scene.misp.set_fault(Box::new(|_, _| Fault::Status(403, Vec::new(), Vec::new())));
    assert_eq!((scene.run(&["load"]).code, scene.run(&["load"]).code), (Some(77), Some(77)));
    let failed = table(&scene);
    let last = said(&failed, "Last pass   FAILED ").expect(&failed);
    assert!(last.contains(" ago with 77: MISP") && last.contains("; 2 in a row, since "), "{failed}");
    let passes = &json(&scene)["passes"];
    assert_eq!((&passes["failing"], &passes["last_error"]["code"]), (&json!(2), &json!(77)));

    scene.misp.clear_fault();
    scene.good("load");
    let after = table(&scene);
    let error = said(&after, "Last error").expect(&after);
    assert!(error.contains(" ago, with 77: MISP") && error.ends_with("; passes are good again"), "{after}");
    assert!(said(&after, "Last change").expect(&after).contains("+2 -0 =0"), "the last one changed nothing: {after}");
    assert_eq!(json(&scene)["passes"]["failing"], 0);

    let file = scene.configuration.state().join("passes.json");
    let before = std::fs::read(&file).unwrap();
    assert_eq!((scene.run(&["load"]).code, scene.run(&["load", "--dry-run"]).code), (Some(0), Some(0)));
    assert_eq!(std::fs::read(&file).unwrap(), before, "nothing new, nothing written");
}

#[test]
fn a_pass_under_way_and_one_that_was_killed() {
    let scene = Scene::new(world(), "");
    scene.misp.set_fault(Box::new(|request, _| {
        if request.path == ATTRIBUTES { Fault::Hang(Duration::from_secs(60)) } else { Fault::None }
    }));
    let mut child = Command::new(env!("CARGO_BIN_EXE_misp2memcached"))
        .args(["--config", &scene.file(), "load"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while scene.misp.count(ATTRIBUTES) == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "MISP was not asked");
        thread::sleep(Duration::from_millis(5));
    }
    let during = table(&scene);
    assert!(said(&during, "Pass ").expect(&during).contains("under way for "), "{during}");
    assert!(json(&scene)["passes"]["under_way_since"].is_u64());

    child.kill().unwrap();
    child.wait().unwrap();
    let killed = table(&scene);
    assert!(said(&killed, "Pass ").expect(&killed).contains("WAS CUT OFF: it began "), "{killed}");
    let passes = &json(&scene)["passes"];
    assert!(passes["cut_off_since"].is_u64() && passes["under_way_since"].is_null(), "{passes}");

    scene.misp.clear_fault();
    scene.good("after the kill");
    assert_eq!(said(&table(&scene), "Pass "), None);
    scene.exact("after the kill");
}

#[test]
fn what_waits_for_misp() {
    let scene = Scene::new(world(), "");
    scene.good("load");
    scene.misp.set_fault(Box::new(|_, _| Fault::Reset));
    assert_eq!(scene.run(&["sighting", "198.51.100.7", "bad.example"]).code, Some(69));
    let waiting = table(&scene);
    assert!(said(&waiting, "Waiting").expect(&waiting).contains("for MISP: 2 sightings, 0 shared events"), "{waiting}");
    assert_eq!(json(&scene)["waiting"], json!({"sightings": 2, "shared_events": 0}));
    scene.misp.clear_fault();
    assert_eq!(scene.run(&["sighting"]).code, Some(0));
    assert_eq!(said(&table(&scene), "Waiting"), None);
}

#[test]
fn a_reader_on_another_machine() {
    let scene = Scene::new(world(), "");
    scene.good("load");
    std::fs::remove_dir_all(scene.configuration.state()).unwrap();
    let table = table(&scene);
    assert!(said(&table, "Ledger").expect(&table).contains(": there is none, but memcached was loaded"), "{table}");
    assert!(!scene.configuration.state().exists(), "status makes nothing");
}
