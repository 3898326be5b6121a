//! `share`: detections on standard input, what MISP then has, and what is said.

mod delivery;
mod golden;
mod packaging;

use crate::support::program::{Finished, command};
use crate::support::{KEY, sample};
use misp2memcached::demo::{Event, Fault, Request, Response, SampleMisp, World};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const ADD: &str = "/events/add";
const VERSION: &str = "/servers/getVersion";

/// The longest wait for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A MISP, and a sensor's machine with a state directory.
struct Site {
    misp: SampleMisp,
    directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        Site { misp: sample(World::new()), directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Files that wait.
    fn waiting(&self) -> usize {
        fs::read_dir(self.path("state/share")).map_or(0, Iterator::count)
    }

    /// `share` with its input and output to be set; the key comes from the environment.
    fn command(&self, flags: &[&str]) -> Command {
        let state = self.path("state").display().to_string();
        let server = self.misp.url();
        let environment = [("MISP_KEY", KEY), ("STATE_DIRECTORY", &state)];
        let mut command = command(&[&["share", "--server", &server], flags].concat(), &environment);
        command.current_dir(self.directory.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn share(&self, flags: &[&str], input: &str) -> Finished {
        let file = self.path("input");
        fs::write(&file, input).unwrap();
        finish(self.command(flags).stdin(File::open(&file).unwrap()))
    }

    /// Shares generic JSON lines; it must end with this code. Gives what was done.
    fn json(&self, code: i32, flags: &[&str], lines: &[Value]) -> (Vec<Value>, String) {
        let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let finished = self.share(&[&["--from", "json", "--json"], flags].concat(), &input);
        assert_eq!(finished.code, Some(code), "{}", finished.stderr);
        (finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), finished.stderr)
    }

    /// The one event that MISP has.
    fn event(&self) -> Event {
        let world = self.misp.world();
        assert_eq!(world.events().count(), 1);
        world.events().next().unwrap().clone()
    }

    /// Methods and paths of the requests since the last call, numbers left out.
    fn requests(&self) -> Vec<String> {
        let all = self.misp.requests();
        self.misp.forget_requests();
        all.iter().map(|r| format!("{} {}", r.method, short(&r.path))).collect()
    }
}

/// A path without what stands for one event.
fn short(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').take(3).collect();
    parts.join("/")
}

fn finish(command: &mut Command) -> Finished {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let finished = Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!format!("{finished:?}").contains(KEY));
    finished
}

/// A detection of generic JSON with these domains.
fn detection(id: &str, domains: &[&str]) -> Value {
    let attributes: Vec<Value> = domains.iter().map(|d| json!({"type": "domain", "value": d})).collect();
    json!({"id": id, "info": format!("detection {id}"), "attributes": attributes})
}

fn values(event: &Event) -> Vec<&str> {
    event.attributes.iter().map(|a| a.value.as_str()).collect()
}

fn only(path: &'static str, status: u16, body: Value) -> impl Fn(&Request, usize) -> Fault + Send + Sync {
    move |request, _| {
        if short(&request.path) != path {
            return Fault::None;
        }
        let headers = vec![("Content-Type".into(), "application/json".into())];
        Fault::Replace(Response { status, headers, body: body.to_string().into_bytes() })
    }
}

#[test]
fn the_same_detection_is_one_event_and_an_update_adds_to_it() {
    let site = Site::new();
    let (done, _) = site.json(0, &["--tag", "sensor:a"], &[detection("1", &["a.org", "b.org"])]);
    assert_eq!(
        (&done[0]["result"], &done[0]["attributes"], &done[0]["published"]),
        (&json!("added"), &json!(2), &json!(true))
    );
    assert_eq!(site.requests(), ["POST /events/add", "POST /events/publish"]);
    assert_eq!((site.event().published, site.event().tags), (true, vec!["sensor:a".to_owned()]));

    let (done, _) = site.json(0, &[], &[detection("1", &["B.org", "a.org"])]);
    assert_eq!(done[0]["result"], "unchanged");
    assert_eq!(site.requests(), ["POST /events/add", "GET /events/view"], "nothing was written");

    let (done, _) = site.json(0, &[], &[detection("1", &["c.org"]), detection("1", &["a.org", "c.org"])]);
    assert_eq!((done.len(), &done[0]["result"], &done[0]["attributes"]), (1, &json!("updated"), &json!(1)));
    let expected = ["POST /events/add", "GET /events/view", "POST /attributes/add", "POST /events/publish"];
    assert_eq!(site.requests(), expected);
    assert_eq!((values(&site.event()), site.event().published), (vec!["a.org", "b.org", "c.org"], true));
}

/// What people did in MISP stays done.
#[test]
fn what_was_taken_back_in_misp_is_left_alone() {
    let site = Site::new();
    let line = detection("1", &["a.org", "b.org"]);
    site.json(0, &[], std::slice::from_ref(&line));
    let now = site.event().timestamp;
    site.misp.world().soft_delete(1, now + 5);
    site.misp.world().publish(1, now + 9);
    let (done, _) = site.json(0, &[], std::slice::from_ref(&line));
    assert_eq!(
        (&done[0]["result"], site.event().published),
        (&json!("unchanged"), true),
        "the deleted one stays deleted"
    );
    assert!(site.event().attributes[0].deleted && values(&site.event()).len() == 2);

    site.misp.world().unpublish(1);
    let (done, _) = site.json(0, &[], &[detection("1", &["c.org"])]);
    assert_eq!((&done[0]["result"], site.event().published), (&json!("withdrawn"), false));
    assert_eq!(values(&site.event()), ["a.org", "b.org"]);

    assert!(site.misp.world().delete_event(1));
    let (done, stderr) = site.json(65, &[], &[line, detection("2", &["d.org"])]);
    assert_eq!((&done[0]["result"], &done[1]["result"]), (&json!("refused"), &json!("added")));
    assert!(stderr.contains("on the event blocklist") && stderr.contains("detection 1"), "{stderr}");
    assert_eq!(values(&site.event()), ["d.org"]);
}

/// A run that ended between adding and publishing is made good by the next one.
#[test]
fn what_was_not_published_is_published_next_time() {
    let site = Site::new();
    let line = [detection("1", &["a.org"])];
    site.misp.set_fault(Box::new(only(
        "/events/publish",
        403,
        json!({"message": "You do not have permission to use this functionality."}),
    )));
    let (done, stderr) = site.json(65, &[], &line);
    assert_eq!((&done[0]["result"], &done[0]["published"]), (&json!("added"), &json!(false)));
    assert!(stderr.contains("publishing: You do not have permission"), "{stderr}");
    site.misp.clear_fault();
    site.json(0, &["--no-publish"], &line);
    assert!(!site.event().published);
    let (done, _) = site.json(0, &[], &line);
    assert_eq!((&done[0]["result"], site.event().published), (&json!("unchanged"), true));
}

#[test]
fn silent_drops_are_named() {
    let site = Site::new();
    let line = json!({"info": "x", "attributes": [{"type": "md5", "value": "zz"}, {"type": "domain", "value": "ok.org"},
        {"type": "no-such-type", "value": "x"}]});
    let (done, stderr) = site.json(65, &[], &[line]);
    assert_eq!((&done[0]["result"], &done[0]["attributes"]), (&json!("added"), &json!(1)));
    assert_eq!(done[0]["problems"][0]["what"], "md5 zz");
    for words in ["md5 zz: value: Checksum has an invalid length", "no-such-type x: type: Invalid type."] {
        assert!(stderr.contains(words), "{stderr}");
    }
    assert_eq!((values(&site.event()), site.event().published), (vec!["ok.org"], true));

    // A MISP that says nothing at the second time either.
    let site = Site::new();
    site.misp.set_fault(Box::new(only("/attributes/add", 200, json!({"Attribute": []}))));
    let (_, stderr) = site.json(
        65,
        &[],
        &[json!({"info": "x", "attributes": [{"type": "ip-dst", "value": "185.220.101.47"},
        {"type": "sha1", "value": "zz"}]})],
    );
    assert!(stderr.contains("sha1 zz: MISP dropped it without a word"), "{stderr}");
}

/// A user without the right to make tags: MISP leaves them out of the event.
#[test]
fn a_tag_that_misp_leaves_out_is_named() {
    let site = Site::new();
    let uuid = "7f1d6c1e-6a52-4a0e-9c0e-3a8a7d1f0b11";
    let stored = json!({"Event": {"id": "1", "Attribute": [{"type": "domain", "value": "a.org"}], "Tag": [{"name": "TLP:Green"}]}});
    let added = only(ADD, 200, stored);
    let why = json!({"saved": false, "message": "Failed to attach 1 tags. Reasons: Tag not found and insufficient privileges to create it."});
    let attached = only("/tags/attachTagToObject", 403, why);
    site.misp.set_fault(Box::new(move |request, nth| match added(request, nth) {
        Fault::None => attached(request, nth),
        fault => fault,
    }));
    let line = json!({"uuid": uuid, "info": "x", "attributes": [{"type": "domain", "value": "a.org"}]});
    let (_, stderr) = site.json(65, &["--tag", "new", "--tag", "tlp:green", "--tag", "12", "--no-publish"], &[line]);
    assert!(stderr.contains("tag new: Failed to attach 1 tags. Reasons: Tag not found"), "{stderr}");
    assert!(stderr.contains("tag 12: ") && !stderr.contains("tag tlp:green"), "{stderr}");
    assert_eq!(site.requests(), ["POST /events/add", "POST /tags/attachTagToObject"]);
}

/// A beacon: one detection, updated a hundred thousand times. Two requests.
#[test]
fn hundred_thousand_detections_of_a_beacon() {
    let site = Site::new();
    let line = |i: usize| {
        format!(
            "532028\t2026-11-20 10:{:02}:00\t1795169580\tBPATTERNS\tFlow-based behavior patterns\t \t \tSecurity Issues\tHigh\t\
             Beacon detected, attempts to access: {i}, DNS server: 192.168.10.254.\t443\tTCP\t10.1.2.3\t \t185.220.101.47\tLAN\tn/a\n",
            i % 60
        )
    };
    let input: String = (0..100_000).map(line).collect();
    let finished = site.share(&["--from", "flowmon"], &input);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("100000 detections: 99999 seen before"), "{}", finished.stderr);
    assert_eq!(site.requests(), ["POST /events/add", "POST /events/publish"]);
    assert_eq!(values(&site.event()), ["185.220.101.47"]);
}

/// A thousand numbers a day for one beacon: one event, if the site wants that.
#[test]
fn an_event_a_day() {
    let site = Site::new();
    let line = |i: usize| {
        format!("{i}\t2026-11-20 10:13:00\t \tX\tBeacon\tp\tHigh\td\t \t \t10.1.2.3\t \t185.220.{}.1\t \t \n", i % 100)
    };
    let input: String = (0..1000).map(line).collect();
    assert_eq!(site.share(&["--from", "flowmon", "--event-per", "day"], &input).code, Some(0));
    assert_eq!(site.requests(), ["POST /events/add", "POST /events/publish"]);
    assert_eq!((site.event().info.as_str(), values(&site.event()).len()), ("Flowmon ADS: Beacon (X), 2026-11-20", 100));
}

#[test]
fn many_targets_go_in_pieces() {
    let site = Site::new();
    let targets: Vec<String> = (0..1200).map(|i| format!("185.{}.{}.1", i / 250, i % 250)).collect();
    let line = json!({"id": "1", "type": "SCANS", "source": "10.0.0.1", "targets": targets.join(", ")});
    let finished = site.share(&["--from", "flowmon"], &line.to_string());
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let expected = ["POST /events/add", "POST /attributes/add", "POST /attributes/add", "POST /events/publish"];
    assert_eq!(site.requests(), expected);
    assert_eq!(values(&site.event()).len(), 1200);
}

#[test]
fn a_dry_run_needs_nothing_and_shows_what_would_be_sent() {
    let site = Site::new();
    let run = |line: &Value| {
        let file = site.path("input");
        fs::write(&file, line.to_string()).unwrap();
        let mut command = command(&["share", "--from", "json", "--dry-run", "--tag", "x"], &[("HOME", "/nonexistent")]);
        finish(command.current_dir(site.directory.path()).stdin(File::open(&file).unwrap()))
    };
    let line = detection("1", &["a.org", "printer.local"]);
    let dry = run(&line);
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    site.json(0, &["--tag", "x"], &[line]);
    let sent = site.misp.requests().remove(0).body;
    assert_eq!(dry.stdout, String::from_utf8(sent).unwrap() + "\n");
    assert_eq!(run(&json!({"info": "x"})).code, Some(65));
}

#[test]
fn wrong_usage_is_told_before_anything_is_read() {
    let site = Site::new();
    for (flags, code, why) in [
        (&["--exclude", "10.0.0.0/8,LAN"][..], 64, "--exclude: found \"LAN\"; allowed: addresses"),
        (&["--exclude-file", "/nonexistent/f"], 64, "--exclude-file /nonexistent/f: No such file"),
        (&["--distribution", "4"], 2, "--distribution"),
        (&["--distribution", "1", "--sharing-group", "3"], 2, "cannot be used with"),
        (&["--server", "misp.example"], 2, "cannot be used multiple times"),
    ] {
        let finished = site.share(&[&["--from", "json"], flags].concat(), "{}");
        assert_eq!(finished.code, Some(code), "{flags:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(why), "{}", finished.stderr);
    }
    let finished = finish(&mut command(&["share", "--from", "json", "--server", "misp.example"], &[("MISP_KEY", KEY)]));
    assert_eq!(finished.code, Some(78));
    assert!(finished.stderr.contains("--server: MISP_URL: found \"misp.example\""), "{}", finished.stderr);
    assert!(site.misp.requests().is_empty());
}

#[test]
fn a_line_that_is_none_is_named_and_the_rest_goes_on() {
    let site = Site::new();
    let input = format!("hello\n\n{}\n", detection("1", &["a.org"]));
    let finished = site.share(&["--from", "json"], &input);
    assert_eq!(finished.code, Some(65));
    assert!(
        finished.stderr.contains("line 1 is no detection: ") && finished.stderr.contains(": hello"),
        "{}",
        finished.stderr
    );
    assert!(
        finished.stdout.contains("(event 1): added, 1 attributes added, published: detection 1"),
        "{}",
        finished.stdout
    );
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/share").join(name)
}
