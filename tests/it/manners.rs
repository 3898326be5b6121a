//! How the program behaves at a terminal and in a pipeline, whatever the command:
//! colours only where somebody sees them and wants them, and silence where a reader
//! went away.

use crate::support::program::command;
use crate::support::scene::{Scene, now};
use misp2memcached::demo::{Attribute, Event, World};
use std::io;
use std::process::{Command, Stdio};

/// Colours of the caller's own would decide otherwise.
const OF_COLOURS: [&str; 4] = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM"];

fn loaded() -> Scene {
    let mut world = World::new();
    world.add_event(Event::new("one").with(Attribute::new("domain", "bad.example")), now() - 86_400);
    let scene = Scene::new(world, "");
    scene.good("before");
    scene
}

/// What a terminal shows of it.
fn at_a_terminal(line: &str, environment: &[(&str, &str)]) -> String {
    let line = format!("{} {line}", env!("CARGO_BIN_EXE_misp2memcached"));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null());
    OF_COLOURS.iter().for_each(|name| {
        script.env_remove(name);
    });
    let shown = script.env("TERM", "xterm-256color").envs(environment.iter().copied()).output().unwrap();
    String::from_utf8(shown.stdout).unwrap()
}

/// Whether there is a sequence that changes colour or weight; those that move the cursor are none.
fn is_coloured(text: &str) -> bool {
    let ends =
        text.split("\x1b[").skip(1).map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
    ends.into_iter().any(|end| end.starts_with('m'))
}

#[test]
fn colours_are_for_terminals_and_for_those_who_want_them() {
    for line in ["--help", "load -h", "help lookup", "laod", "load --ful"] {
        assert!(is_coloured(&at_a_terminal(line, &[])), "{line}");
        let plain = at_a_terminal(line, &[("NO_COLOR", "1")]);
        assert!(plain.contains("Usage: ") && !is_coloured(&plain), "{line}: {plain:?}");
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut piped = command(&arguments, &[("TERM", "xterm-256color")]);
        OF_COLOURS[..3].iter().for_each(|name| {
            piped.env_remove(name);
        });
        let piped = piped.output().unwrap();
        let said = [piped.stdout, piped.stderr].concat();
        assert!(!said.is_empty() && !said.contains(&b'\x1b'), "{line}");
    }
}

/// The log, the bar and the tables have no colours at all.
#[test]
fn what_commands_print_is_plain() {
    let scene = loaded();
    for line in ["load", "-vv load --full", "load --dry-run", "status", "check", "lookup bad.example"] {
        let shown = at_a_terminal(&format!("--config {} {line}", scene.file()), &[]);
        assert!(!shown.is_empty() && !is_coloured(&shown), "{line}: {shown:?}");
    }
    assert!(is_coloured("a\x1b[1;31mb") && is_coloured("\x1b[0m") && !is_coloured("\x1b[2K\x1b[1Gm"));
}

/// `| head -1`, at the worst moment: the reader is gone before the first byte.
#[test]
fn nobody_reads_it() {
    let scene = loaded();
    let file = scene.file();
    let lines = [
        "--help",
        "-h",
        "--version",
        "help load",
        "man",
        "completions bash",
        "completions fish",
        "kibana",
        "status",
        "status --json",
        "check",
        "check --json",
        "lookup bad.example",
        "lookup --json bad.example",
        "load --dry-run",
        "load --json",
        "sighting --dry-run bad.example",
        "sighting --json --dry-run bad.example",
        "demo",
    ];
    for line in lines {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let arguments: Vec<&str> = ["--config", &file].into_iter().chain(line.split(' ')).collect();
        let done = command(&arguments, &[]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let log = String::from_utf8(done.stderr).unwrap();
        let said: Vec<&str> = log.lines().filter(|l| l.contains("misp2memcached:") || l.contains("panic")).collect();
        assert_eq!((done.status.code(), said.len()), (Some(0), 0), "{line}: {log}");
    }
}
