//! The command line as users meet it: what each command prints, and its exit code.
//!
//! What goes wrong is in `messages`.

use crate::support::program::{Finished, command, run};
use crate::support::scene::{Scene, now};
use misp2memcached::demo::{Attribute, Event, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

/// A URL whose key is a hash of it.
fn long_url() -> String {
    format!("http://long.example/{}", "x".repeat(300))
}

/// What the tests look up, in two events.
fn world() -> World {
    let mut world = World::new();
    let at = now() - 2 * 86_400;
    let one = Event::new("one")
        .with(Attribute::new("ip-dst", "198.51.100.7"))
        .with(Attribute::new("ip-dst", "203.0.113.0/24"))
        .with(Attribute::new("domain", "bad.example"))
        .with(Attribute::new("url", &long_url()))
        .with(Attribute::new("ip-dst", "no address"))
        .with(Attribute::new("md5", "e7d00812fcf0d4e11c1d088568cc2229"));
    let two = Event::new("two")
        .with(Attribute::new("ip-src", "198.51.100.7"))
        .with(Attribute::new("filename|md5", "a.exe|e7d00812fcf0d4e11c1d088568cc2229"));
    world.add_event(one, at);
    world.add_event(two, at);
    world
}

fn loaded() -> Scene {
    let scene = Scene::new(world(), "");
    let finished = scene.run(&["load"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    scene
}

/// Standard output of a run that has to go well and say nothing on standard error.
fn output(finished: Finished) -> String {
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(without_warning(&finished.stderr), "");
    finished.stdout
}

/// The log but for the word on the configuration file's permissions.
fn without_warning(log: &str) -> String {
    log.lines().filter(|line| !line.contains("everybody on this machine may read")).map(|l| format!("{l}\n")).collect()
}

fn match_of(event: &str, kind: &str, key: &str) -> Value {
    json!({"event_id": event, "type": kind, "key": key})
}

#[test]
fn lookup_prints_a_table() {
    let scene = loaded();
    let table = output(scene.run(&["lookup", "198.51.100[.]7", "www.bad.example", "nothing.example"]));
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let link = |event: u64| format!("{}/events/view/{event}", scene.misp.url());
    assert_eq!(rows[0], ["value", "event", "type", "key", "link"]);
    assert_eq!(rows[1], ["198.51.100[.]7", "1", "ip-dst", "misp-ip:198.51.100.7", &link(1)]);
    assert_eq!(rows[2], ["198.51.100[.]7", "2", "ip-src", "misp-ip:198.51.100.7", &link(2)]);
    assert_eq!(rows[3], ["www.bad.example", "1", "domain", "misp-domain:bad.example", &link(1)]);
    assert_eq!(rows.len(), 4, "{table}");
}

#[test]
fn lookup_prints_json_lines_in_order() {
    let scene = loaded();
    let hash = "E7D00812FCF0D4E11C1D088568CC2229";
    let url = long_url();
    let values = ["nothing.example", hash, "203.0.113.77", &url, "deep.www.bad.example", "198.51.100.7:443", "example"];
    let finished = scene.run(&[&["lookup", "--json"], &values[..]].concat());
    let lines: Vec<Value> =
        output(finished).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let md5 = "misp-md5:e7d00812fcf0d4e11c1d088568cc2229";
    let long = scene.wanted().into_keys().find(|key| key.starts_with("misp-url:sha256:")).unwrap();
    let ip = "misp-ip:198.51.100.7";
    let expected = [
        json!([]),
        json!([match_of("1", "md5", md5), match_of("2", "filename|md5", md5)]),
        json!([match_of("1", "ip-dst", "misp-cidr:203.0.113.0/24")]),
        json!([match_of("1", "url", &long)]),
        json!([match_of("1", "domain", "misp-domain:bad.example")]),
        json!([match_of("1", "ip-dst", ip), match_of("2", "ip-src", ip)]),
        json!([]),
    ];
    let expected: Vec<Value> =
        values.iter().zip(expected).map(|(value, matches)| json!({"value": value, "matches": matches})).collect();
    assert_eq!(lines, expected);
    // The order of a line's keys is fixed too.
    let one = output(scene.run(&["lookup", "--json", "bad.example"]));
    assert_eq!(
        one,
        "{\"value\":\"bad.example\",\"matches\":[{\"event_id\":\"1\",\"type\":\"domain\",\"key\":\"misp-domain:bad.example\"}]}\n"
    );
}

#[test]
fn lookup_exits_as_grep() {
    let scene = loaded();
    let none = scene.run(&["lookup", "nothing.example"]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), "no event lists this value\n"));
    let none = scene.run(&["lookup", "--json", "nothing.example"]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), "{\"value\":\"nothing.example\",\"matches\":[]}\n"));
    assert_eq!(scene.run(&["lookup", "nothing.example", "bad.example"]).code, Some(0));
    let bare = scene.run(&["lookup"]);
    assert_eq!((bare.code, bare.stderr.contains("<VALUE>")), (Some(2), true));
}

#[test]
fn lookup_in_a_namespace() {
    let scene = loaded();
    let of = |namespace, value| scene.run(&["lookup", "-n", namespace, "--json", value]);
    assert!(output(of("domain", "bad.example")).contains("misp-domain:bad.example"));
    assert_eq!(of("ip", "bad.example").code, Some(1));
    let wrong = of("dns", "bad.example");
    assert_eq!(wrong.code, Some(64));
    assert!(wrong.stderr.contains("--namespace dns: there is none of this name; there are "), "{}", wrong.stderr);
    let near = of("sha265", "bad.example").stderr;
    assert!(near.contains("of this name; did you mean `sha256`?; there are "), "{near}");
}

/// The answer to a line comes before the next line does.
#[test]
fn lookup_streams() {
    let scene = loaded();
    let mut child = command(&["--config", &scene.file(), "lookup", "--json", "-"], &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut input, mut answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for value in ["bad.example", "nothing.example", "203.0.113.1", "nothing.example"] {
        writeln!(input, "{value}").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert!(line.starts_with(&format!("{{\"value\":\"{value}\",")), "{line}");
        assert_eq!(line.contains("event_id"), value != "nothing.example", "{line}");
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// `lookup - | head -1`: the reader has seen enough, which is no failure.
#[test]
fn a_reader_that_goes_away() {
    let scene = loaded();
    for json in [&["--json"][..], &[]] {
        let mut child = command(&[&["--config", &scene.file(), "lookup", "-"], json].concat(), &[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            // It ends where the program does.
            while input.write_all("bad.example\n".repeat(1000).as_bytes()).is_ok() {}
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let finished = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let log = without_warning(&String::from_utf8(finished.stderr).unwrap());
        assert_eq!((finished.status.code(), log.as_str()), (Some(0), ""));
        assert!(line.contains("value"), "{line}");
    }
    let load = format!("{} --config {} load --json | head -c 1", env!("CARGO_BIN_EXE_misp2memcached"), scene.file());
    let shell = std::process::Command::new("bash").args(["-o", "pipefail", "-c", &load]).output().unwrap();
    assert_eq!(shell.status.code(), Some(0), "{}", String::from_utf8_lossy(&shell.stderr));
}

#[test]
fn status_before_and_after_a_load() {
    let scene = Scene::new(world(), "");
    let table = output(scene.run(&["status"]));
    assert!(table.contains("\nLast load   never: run `misp2memcached load`\n"), "{table}");
    assert!(table.starts_with(&format!("memcached   {} (version ", scene.memcached.server())), "{table}");
    let before: Value = serde_json::from_str(&output(scene.run(&["status", "--json"]))).unwrap();
    let server = &before["memcached"][0];
    assert_eq!((&server["stats"], &server["last_load"], &server["keys"]), (&Value::Null, &Value::Null, &json!(0)));

    assert_eq!(scene.run(&["load"]).code, Some(0));
    let table = output(scene.run(&["status"]));
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [["cidr", "1"], ["domain", "1"], ["ip", "2"], ["md5", "1"], ["url", "1"], ["total", "6"]] {
        assert!(rows.iter().any(|r| r[..] == row), "{row:?} in {table}");
    }
    assert!(table.contains("s ago\n"), "{table}");
    let after: Value = serde_json::from_str(&output(scene.run(&["status", "--json"]))).unwrap();
    let server = &after["memcached"][0];
    assert_eq!(server["namespaces"], json!({"cidr": 1, "domain": 1, "ip": 2, "md5": 1, "url": 1}));
    assert_eq!((&server["stats"], &server["keys"], &server["networks"]), (&json!(6), &json!(6), &json!("4:24")));
    assert_eq!(server["address"], json!(scene.memcached.server()));
    assert!(server["age_seconds"].as_u64() < Some(600) && server["fits"] == true, "{server}");

    // Half of the keys go behind the program's back.
    for key in scene.wanted().into_keys().take(3) {
        assert!(scene.memcached.delete(key.as_bytes()));
    }
    let table = output(scene.run(&["status"]));
    assert!(table.contains("3 keys of the last pass have expired or were deleted since"), "{table}");
}

#[test]
fn check_tries_everything_and_changes_nothing() {
    let mut scene = Scene::new(world(), "");
    let (url, server) = (scene.misp.url(), scene.memcached.server());
    let good = output(scene.run(&["check"]));
    let lines: Vec<&str> = good.lines().collect();
    assert_eq!(lines.len(), 5, "{good}");
    assert_eq!(lines[0], format!("ok   configuration: read from {}", scene.file()));
    assert!(
        lines[1].starts_with(&format!("ok   MISP {url}: version 2.5.1, user admin@admin.test, role User")),
        "{good}"
    );
    assert!(lines[2].starts_with(&format!("ok   memcached {server}: version 1.")), "{good}");
    assert!(lines[2].ends_with(" 0 evicted, 0 of our keys"), "{good}");
    assert_eq!(lines[3], format!("ok   state directory: {} can be written", scene.configuration.state().display()));
    assert_eq!(lines[4], format!("ok   Falco's files: {} can be written", scene.rules().display()));
    let json: Value = serde_json::from_str(&output(scene.run(&["check", "--json"]))).unwrap();
    assert_eq!((&json["ok"], json["tried"].as_array().unwrap().len()), (&json!(true), 5));
    assert!(scene.held().is_empty() && scene.falco().is_empty());
    assert_eq!(fs::read_dir(scene.configuration.state()).unwrap().count(), 0);

    // Each thing that fails is told, the others are tried all the same.
    scene.configuration.token("AnotherKey").write();
    let refused = scene.run(&["check"]);
    assert_eq!(refused.code, Some(77));
    assert!(
        refused.stdout.contains("\nFAIL MISP ") && refused.stdout.contains("check misp.token"),
        "{}",
        refused.stdout
    );
    assert!(!refused.stdout.contains("AnotherKey"));
    drop(std::mem::replace(&mut scene.misp, crate::support::sample(World::new())));
    let down = scene.run(&["check"]);
    assert_eq!(down.code, Some(69));
    assert!(down.stdout.contains(&format!("\nFAIL MISP {url}: MISP at {url} cannot be reached: ")), "{}", down.stdout);
    assert!(down.stdout.contains("\nok   memcached "), "{}", down.stdout);
    drop(std::mem::replace(&mut scene.memcached, crate::support::memcached::Memcached::start(&[])));
    let down: Value = serde_json::from_str(&scene.run(&["check", "--json"]).stdout).unwrap();
    assert_eq!((&down["ok"], &down["tried"][2]["ok"]), (&json!(false), &json!(false)));
    assert_eq!(down["tried"][2]["what"], json!(format!("memcached {server}")));
}

#[test]
fn demo_needs_nothing() {
    let finished = run(&["demo"], &[("HOME", "/nonexistent")]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for number in 1..=7 {
        assert!(finished.stdout.contains(&format!("\n==> {number}. ")), "step {number}: {}", finished.stdout);
    }
    for line in ["Window      initial (365d)", "Window      refresh (1h)", "- list: misp_outbound_ips", "refilled "] {
        assert!(finished.stdout.contains(line), "{line}: {}", finished.stdout);
    }
    assert!(finished.stdout.ends_with("misp2memcached.example.yaml says how.\n"), "{}", finished.stdout);
}

#[test]
fn completions_manual_and_help() {
    let plain = |arguments: &[&str]| output(run(arguments, &[]));
    for (shell, words) in [("bash", "complete -F"), ("zsh", "#compdef misp2memcached"), ("fish", "complete -c")] {
        let script = plain(&["completions", shell]);
        assert!(script.contains(words) && script.contains("lookup") && script.contains("allow-shrink"), "{shell}");
    }
    let page = plain(&["man"]);
    assert!(page.contains(".TH misp2memcached 1") && page.contains("75  another run holds the lock"), "{page}");
    let commands = ["load", "follow", "lookup", "status", "check", "kibana", "wazuh", "demo", "completions", "man"];
    let all = plain(&["--help"]);
    for name in commands {
        assert!(all.contains(&format!("\n  {name} ")), "{name}: {all}");
        let help = plain(&[name, "--help"]);
        assert!(help.contains(&format!("Usage: misp2memcached {name}")) && help.lines().count() > 5, "{help}");
        assert_eq!(help, plain(&["help", name]));
    }
    assert!(plain(&["--version"]).starts_with("misp2memcached "));
    assert_eq!(run(&["nosuch"], &[]).code, Some(2));
}

/// What cron runs: no argument, one line, and nothing on standard output.
#[test]
fn without_a_command_it_loads() {
    let scene = Scene::new(world(), "");
    let finished = run::<&str>(&[], &[("MISP2MEMCACHED_CONFIG", &scene.file())]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""), "{}", finished.stderr);
    let log = without_warning(&finished.stderr);
    let (first, rest) = log.split_once('\n').unwrap();
    assert_eq!(rest, "");
    let told = "INFO pass done: window initial (365d), events 2 listed 2 fetched 0 gone, attributes 8, \
                indicators +8 -0 =0, skipped 1, keys 6, ";
    assert!(first.contains(told), "{first}");
    assert_eq!(scene.held().get("misp-stats").map(String::as_str), Some("6"));
    let quiet = scene.run(&["-q"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""));
    let dry = scene.run(&["load", "--dry-run"]);
    assert_eq!((dry.code, dry.stdout.as_str()), (Some(0), ""), "{}", dry.stderr);
    assert!(dry.stderr.contains("dry run, nothing written; pass done: "), "{}", dry.stderr);
}

/// On a terminal the report is a table.
#[test]
fn a_table_on_a_terminal() {
    let scene = Scene::new(world(), "");
    let load = format!("{} --config {} load", env!("CARGO_BIN_EXE_misp2memcached"), scene.file());
    let shown = std::process::Command::new("script").args(["-qec", &load, "/dev/null"]).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap().replace('\r', "");
    assert_eq!(shown.status.code(), Some(0), "{text}");
    for line in ["Window      initial (365d)", "Attributes  8 received", "total              8          0", "Skipped"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains("event 1, attribute 5 (ip-dst): "), "{text}");
    assert!(text.contains("2/2 events") && !text.contains("0/0"), "the progress before: {text}");
}

/// The keys of `load --json` are the fields of `Report`, each of which is described there.
#[test]
fn the_report_for_programs() {
    const REPORT: &str = include_str!("../../src/report.rs");
    let scene = Scene::new(world(), "");
    let text = output(scene.run(&["load", "--json"]));
    assert_eq!(text.matches('\n').count(), 1, "one object, one line: {text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let mut keys = BTreeSet::new();
    names(&report, &mut keys);
    let top: BTreeSet<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "attributes",
        "cdb",
        "dry_run",
        "events",
        "falco",
        "full",
        "keys",
        "keys_refused",
        "memcached",
        "mended",
        "misp_time",
        "namespaces",
        "refilled",
        "seconds",
        "skipped",
        "skipped_attributes",
        "tags_left_out",
        "unreachable",
        "window",
        "window_seconds",
    ];
    assert_eq!(top, expected.into());
    // These are data, not fields.
    for data in ["cidr", "domain", "ip", "md5", "url", "bad address"] {
        keys.remove(data);
    }
    assert!(keys.len() > 35, "{keys:?}");
    let lines: Vec<&str> = REPORT.lines().map(str::trim).collect();
    for key in keys {
        let field = if key == "type" { "kind" } else { &key };
        let at = lines.iter().position(|line| line.starts_with(&format!("pub {field}: ")));
        let at = at.unwrap_or_else(|| panic!("{key} is no field of the report"));
        let before = lines[..at].iter().rev().find(|line| !line.starts_with("#["));
        assert!(before.is_some_and(|line| line.starts_with("///")), "{key} is not described");
    }
    assert_eq!(report["events"], json!({"listed": 2, "wanted": 2, "fetched": 2, "gone": 0, "unpublished": 0}));
    assert_eq!(report["namespaces"]["ip"], json!({"added": 3, "removed": 0, "unchanged": 0, "keys": 2}));
    assert_eq!(report["skipped_attributes"][0]["attribute"], json!(5));
    assert_eq!((&report["keys"], &report["window"]), (&json!(6), &json!("initial")));
}

/// The names of all members, however deep.
fn names(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, inner)| {
            into.insert(name.clone());
            names(inner, into);
        }),
        Value::Array(items) => items.iter().for_each(|item| names(item, into)),
        _ => {}
    }
}
