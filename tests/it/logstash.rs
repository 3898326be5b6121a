//! The look-ups of `logstash/` with the real Dalli, against a memcached that the
//! program has filled. The scripts and their tests are Ruby (`tests/logstash`); this
//! brings the world, the servers and their accidents, and runs them on MRI, and on
//! JRuby where it is installed.

use crate::support::memcached::Memcached;
use crate::support::scene::now;
use crate::support::site::Site;
use misp2memcached::demo::{Attribute, Event, World};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Everything that the tests' events look for is loaded.
const ALL: &str = "other:\n  enabled: true\n";

pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/logstash")
}

/// One event for each indicator of `world.json`, in its order.
fn world() -> World {
    let text = std::fs::read_to_string(directory().join("world.json")).unwrap();
    let indicators: Vec<(String, String)> = serde_json::from_str(&text).unwrap();
    let mut world = World::new();
    for (kind, value) in indicators {
        world.add_event(Event::new(&value).with(Attribute::new(&kind, &value)), now());
    }
    world
}

/// The Ruby interpreters that there are, with what they need to find Dalli.
pub fn rubies() -> Vec<Vec<String>> {
    let mut found = vec![vec!["ruby".to_owned()]];
    let there = Command::new("jruby").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        // The distribution's Dalli is one of MRI's gems.
        let path = "puts $LOADED_FEATURES.grep(/\\/dalli\\.rb\\z/).map { |file| File.dirname(file) }";
        let dalli = Command::new("ruby").args(["-rdalli", "-e", path]).output().unwrap();
        let dalli = String::from_utf8(dalli.stdout).unwrap().trim().to_owned();
        found.push(["jruby", "--dev", "-I", &dalli].map(str::to_owned).to_vec());
    } else {
        eprintln!("jruby is not installed: only MRI is tried");
    }
    found
}

/// One of the Ruby scripts, to be run with these servers.
pub fn script(ruby: &[String], name: &str, servers: &[&Memcached]) -> Command {
    let mut command = Command::new(&ruby[0]);
    command.args(&ruby[1..]).arg(directory().join(name)).args(servers.iter().map(|s| s.server()));
    command
}

/// Runs one of the Ruby scripts to its end, which must be a good one.
fn run(ruby: &[String], name: &str, servers: &[&Memcached]) {
    let output = script(ruby, name, servers).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{ruby:?} {name}\n{}{}", text(&output.stdout), text(&output.stderr));
    println!("{} {name}: {}", ruby[0], text(&output.stdout).lines().last().unwrap_or_default());
}

#[test]
fn every_hit_is_found_in_its_way() {
    let mut site = Site::new(world());
    site.config.extra(ALL);
    site.pass(&[]);
    for ruby in rubies() {
        run(&ruby, "both_ways.rb", &[&site.memcached]);
    }
}

/// The events of `context.json`, with all that they and their only attribute say.
fn world_with_context() -> World {
    let text = std::fs::read_to_string(directory().join("context.json")).unwrap();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut world = World::new();
    for said in all {
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        let time = |name: &str| said[name].as_str().map(str::to_owned);
        let tags = |name: &str| said[name].as_array().unwrap().iter().map(|t| t.as_str().unwrap().to_owned()).collect();
        let mut attribute = Attribute::new(&text("type"), &text("value"));
        attribute.category = text("category");
        attribute.uuid = text("attribute_uuid");
        attribute.tags = tags("tags");
        attribute.first_seen = time("first_seen");
        attribute.last_seen = time("last_seen");
        let mut event = Event::new(&text("event_info")).with(attribute);
        event.uuid = text("event_uuid");
        event.threat_level = said["threat_level"].as_u64().unwrap().try_into().unwrap();
        event.orgc = text("org");
        event.tags = tags("event_tags");
        world.add_event(event, now());
    }
    world
}

/// Provider, confidence, TLP and the rest, from MISP's answer to the document.
#[test]
fn what_misp_says_of_a_hit_is_in_its_enrichment() {
    let mut site = Site::new(world_with_context());
    site.config.memcached(
        "context: [category, attribute_uuid, event_uuid, event_info, threat_level, tlp, org, first_seen, last_seen]\n",
    );
    site.pass(&[]);
    for ruby in rubies() {
        run(&ruby, "context.rb", &[&site.memcached]);
    }
}

#[test]
fn every_hit_is_found_on_a_ring() {
    let second = Memcached::start(&[]);
    let mut site = Site::new(world());
    site.config.and(&second).memcached("distribution: ring\n").extra(ALL);
    site.pass(&[]);
    run(&rubies()[0], "both_ways.rb", &[&site.memcached, &second]);
}

/// The Ruby script says what it wants done to memcached, one word a line; a line back
/// says that it is done.
struct Talk {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Talk {
    fn start(mut command: Command) -> Talk {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Talk { child, lines }
    }

    /// The next line; `None` at the end.
    fn wish(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).unwrap();
        (read > 0).then(|| line.trim().to_owned())
    }

    fn done(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"done\n").unwrap();
    }
}

#[test]
fn the_tag_appears_and_goes_with_memcached() {
    for ruby in rubies() {
        let mut site = Site::new(world());
        site.config.extra(ALL);
        site.pass(&[]);
        let mut talk = Talk::start(script(&ruby, "silence.rb", &[&site.memcached]));
        let (mut wishes, mut last) = (0, String::new());
        while let Some(wish) = talk.wish() {
            match wish.as_str() {
                "kill" => site.memcached.kill(),
                "restart" => site.memcached.restart(),
                "load" => drop(site.pass(&[])),
                "stop" => site.memcached.signal("STOP"),
                "continue" => site.memcached.signal("CONT"),
                _ => {
                    eprintln!("{} silence.rb: {wish}", ruby[0]);
                    last = wish;
                    continue;
                }
            }
            wishes += 1;
            talk.done();
        }
        assert!(talk.child.wait().unwrap().success(), "{ruby:?}: {last}");
        assert!(wishes >= 5, "{wishes}");
    }
}

/// What needs no memcached: the scripts' own tests, hostile fields, guards.
#[test]
fn the_scripts_hold_on_every_ruby() {
    for ruby in rubies() {
        run(&ruby, "misp_lookup_test.rb", &[]);
        run(&ruby, "process_ioc_test.rb", &[]);
    }
}
