//! The way to MISP: refused, down, slow input, signals, and what waits meanwhile.

use super::{ADD, PATIENCE, Site, VERSION, detection, finish, only, values};
use misp2memcached::demo::Fault;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Waits for a condition.
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_key_that_misp_refuses_loses_nothing() {
    let site = Site::new();
    let input = format!("{}\n", detection("1", &["a.org"]));
    let file = site.path("input");
    fs::write(&file, &input).unwrap();
    let mut wrong = site.command(&["--from", "json"]);
    let finished = finish(wrong.env("MISP_KEY", "wrong").stdin(File::open(&file).unwrap()));
    assert_eq!((finished.code, site.waiting()), (Some(77), 1), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("check misp.token") && finished.stderr.contains("1 events wait in "),
        "{}",
        finished.stderr
    );
    site.misp.set_fault(Box::new(only(
        ADD,
        403,
        json!({"message": "You do not have permission to use this functionality."}),
    )));
    let finished = site.share(&["--from", "json"], "");
    assert_eq!((finished.code, site.waiting()), (Some(77), 1), "{}", finished.stderr);
    site.misp.clear_fault();
    assert_eq!(site.share(&["--from", "json"], "").code, Some(0));
    assert_eq!((values(&site.event()), site.waiting()), (vec!["a.org"], 0));
}

/// Values that cannot be what they are called are named; a beacon that goes on while MISP
/// is down waits once.
#[test]
fn what_waits_waits_once() {
    let site = Site::new();
    site.misp.set_fault(Box::new(only(ADD, 403, json!({"message": "Authentication failed."}))));
    for (line, waiting) in [
        (detection("1", &["a.org", "b.org"]), 1),
        (detection("1", &["b.org"]), 1),
        (detection("1", &["c.org"]), 2),
        (detection("2", &["a.org"]), 3),
    ] {
        site.json(77, &[], &[line]);
        assert_eq!(site.waiting(), waiting);
    }
    site.misp.clear_fault();
    let line = json!({"info": "x", "attributes": [{"type": "ip-dst", "value": "185.220.101.47:443"}]});
    let (done, stderr) = site.json(65, &[], &[line]);
    assert_eq!((done.len(), site.waiting()), (3, 0));
    assert!(stderr.contains("line 1: ip-dst \"185.220.101.47:443\" is left out: it is no address"), "{stderr}");
}

/// One that MISP chokes on waits and is named; the others arrive. A MISP that is down is
/// tried for one event, not for all.
#[test]
fn misp_down_or_choking_on_one_event() {
    let site = Site::new();
    site.misp.set_fault(Box::new(|request, _| {
        let chokes = request.path == ADD && String::from_utf8_lossy(&request.body).contains("detection 2");
        if chokes { Fault::Status(500, Vec::new(), b"{}".to_vec()) } else { Fault::None }
    }));
    let lines = [detection("1", &["a.org"]), detection("2", &["b.org"]), detection("3", &["c.org"])];
    let (done, stderr) = site.json(69, &[], &lines);
    assert_eq!((done.len(), site.waiting(), site.misp.count(VERSION)), (2, 1, 1), "{stderr}");

    site.misp.set_fault(Box::new(|_, _| Fault::Reset));
    site.requests();
    let (done, stderr) = site.json(69, &[], &[detection("4", &["d.org"]), detection("1", &["a.org", "e.org"])]);
    assert_eq!((done.len(), site.waiting(), site.misp.count(ADD)), (0, 3, 6), "one event was tried, six times");
    assert!(stderr.contains("3 events wait in "), "{stderr}");

    site.misp.clear_fault();
    site.requests();
    let (done, _) = site.json(0, &[], &[]);
    let results: Vec<&str> = done.iter().map(|d| d["result"].as_str().unwrap()).collect();
    assert_eq!((results, site.waiting()), (vec!["added", "added", "updated"], 0), "oldest first");
    let world = site.misp.world();
    let all: Vec<Vec<&str>> = world.events().map(values).collect();
    assert_eq!(all, [vec!["a.org", "e.org"], vec!["c.org"], vec!["b.org"], vec!["d.org"]]);
    assert!(world.events().all(|event| event.published));
}

fn spawn(site: &Site) -> Child {
    site.command(&["--from", "json"]).stdin(Stdio::piped()).spawn().unwrap()
}

fn write(child: &mut Child, line: &Value) {
    let mut input = child.stdin.as_ref().unwrap();
    input.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// A pipe that stays open, as from a syslog daemon.
#[test]
fn input_that_pauses_is_sent() {
    let site = Site::new();
    let mut child = spawn(&site);
    write(&mut child, &detection("1", &["a.org"]));
    wait_for("the event", || site.misp.count(ADD) == 1);
    write(&mut child, &detection("1", &["a.org"]));
    write(&mut child, &detection("2", &["b.org"]));
    wait_for("the second event", || site.misp.count(ADD) == 2);
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((site.misp.count(ADD), site.misp.count("/events/view")), (2, 0), "what was sent is remembered");
}

#[test]
fn a_signal_keeps_what_is_not_sent() {
    let site = Site::new();
    site.misp.set_fault(Box::new(|_, _| Fault::Status(503, Vec::new(), Vec::new())));
    let mut child = spawn(&site);
    write(&mut child, &detection("1", &["a.org"]));
    wait_for("a request", || site.misp.count(ADD) >= 1);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert_eq!(site.waiting(), 1);
}

/// Neither way out: every event that is lost is named.
#[test]
fn nowhere_to_wait() {
    let site = Site::new();
    fs::write(site.path("state"), "a file where the directory should be").unwrap();
    site.misp.set_fault(Box::new(only(ADD, 403, json!({"message": "Authentication failed."}))));
    let (_, stderr) = site.json(73, &[], &[detection("1", &["a.org"])]);
    assert!(stderr.contains("(detection 1) is lost: state.directory"), "{stderr}");
}
