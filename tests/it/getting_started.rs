//! docs/getting_started.md shows what is printed: each command of its `console` blocks
//! is run, and the event that it sends through the look-up script.

use crate::support::program::run;
use crate::support::scene::now;
use crate::support::site::Site;
use misp2memcached::config::{self, Sources};
use misp2memcached::demo::{Attribute, Event, World};
use misp2memcached::pass::progress::Progress;
use misp2memcached::pass::run::{Options, run as pass};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Words by which a line tells sizes, versions or times that differ from run to run.
const VARYING: [&str; 6] = ["version ", "Last load", "Last change", "Ledger", " used", "Time "];

/// The event that the page makes in MISP.
fn world() -> World {
    let mut world = World::new();
    let event = Event::new("Loader wave, week 46")
        .with(Attribute::new("domain", "update-check.example"))
        .with(Attribute::new("ip-dst", "198.51.100.0/26"))
        .with(Attribute::new("sha256", "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"))
        .with(Attribute::new("url", "http://update-check.example/gate.php?id=1"));
    world.add_event(event, now() - 86_400);
    world
}

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/getting_started.md")).unwrap()
}

/// The fenced blocks of this kind.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let open = format!("```{kind}\n");
    page.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Commands and what the page says they print.
fn commands(page: &str) -> Vec<(Vec<String>, String)> {
    let mut all: Vec<(Vec<String>, String)> = Vec::new();
    for line in blocks(page, "console").iter().flat_map(|block| block.lines()) {
        match line.strip_prefix("$ misp2memcached") {
            Some(arguments) => all.push((arguments.split_whitespace().map(str::to_owned).collect(), String::new())),
            None => {
                let (_, output) = all.last_mut().expect("a command first");
                *output += line;
                *output += "\n";
            }
        }
    }
    all
}

/// Columns may be wider for a longer address; what varies is compared by its words.
pub fn comparable(text: &str) -> Vec<String> {
    let digits = |line: &str| -> String { line.chars().filter(|c| !c.is_ascii_digit()).collect() };
    let line = |line: &str| {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if VARYING.iter().any(|word| line.contains(word)) { digits(&words) } else { words }
    };
    text.lines().map(line).filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_command_prints_what_the_page_shows() {
    let mut site = Site::new(world());
    site.config.extra("other:\n  enabled: true\n");
    let file = site.config.write();
    let page = page();
    let (misp, server) = (site.misp.url(), site.memcached.server());
    let tidy = |text: &str| {
        let text = text.replace(&misp, "https://misp.example").replace(&server, "127.0.0.1:11211");
        let text = text.replace(&file.display().to_string(), "/etc/misp2memcached/misp2memcached.yaml");
        text.replace(&site.config.state().display().to_string(), "/var/lib/misp2memcached")
    };
    let commands = commands(&page);
    assert_eq!(commands.len(), 4);
    for (arguments, shown) in commands {
        let printed = if arguments.is_empty() {
            // On a terminal a pass prints its table, and here is none.
            let sources = Sources { file: Some(file.clone()), ..Sources::default() };
            let config = config::load(&sources).unwrap().config;
            let state = site.config.state();
            let report = pass(&config, &state, Options::default(), &Progress::new(false), &mut std::io::sink());
            report.unwrap().table()
        } else {
            let config = ["--config".to_owned(), file.display().to_string()];
            let finished = run(&[&config[..], &arguments].concat(), &[]);
            assert_eq!(finished.code, Some(0), "{arguments:?}: {}", finished.stderr);
            finished.stdout
        };
        let printed = tidy(&printed);
        assert_eq!(comparable(&printed), comparable(&shown), "{arguments:?} prints\n{printed}");
    }

    // The event of the page's echo, and the JSON behind it.
    let sent = page.lines().find_map(|line| line.trim().strip_prefix("echo '")?.split('\'').next()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logstash/one_event.rb");
    let mut ruby = Command::new("ruby");
    let mut child =
        ruby.arg(script).arg(&server).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ruby is installed");
    child.stdin.take().unwrap().write_all(sent.as_bytes()).unwrap();
    let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(blocks(&page, "json").first(), Some(&printed), "the script makes\n{printed}");
}
