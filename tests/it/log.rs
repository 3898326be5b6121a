//! The log as its readers get it: the journal, programs that collect logs, files.

use crate::support::program::command;
use crate::support::scene::Scene;
use misp2memcached::demo::World;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;

/// What a pass with a configuration that is warned of says on standard error, with its
/// exit code. The journal is a file here: it is known by device and inode alone.
fn said(scene: &Scene, flags: &[&str], journal: bool) -> (Option<i32>, String) {
    let mut log: File = tempfile::tempfile().unwrap();
    let metadata = log.metadata().unwrap();
    let stream = format!("{}:{}", metadata.dev(), if journal { metadata.ino() } else { metadata.ino() + 1 });
    let file = scene.file();
    let arguments = [&["--config", file.as_str()], flags].concat();
    let mut program = command(&arguments, &[("JOURNAL_STREAM", &stream)]);
    let status = program.stderr(log.try_clone().unwrap()).status().unwrap();
    let mut text = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut text).unwrap();
    (status.code(), text)
}

#[test]
fn the_journal_gets_priorities_and_no_time() {
    let scene = Scene::new(World::new(), "misp_unknown: 1\n");
    let (code, text) = said(&scene, &[], true);
    assert_eq!(code, Some(78), "{text}");
    assert!(text.lines().count() > 0 && text.lines().all(|line| line.starts_with("<3>/")), "{text}");

    let scene = Scene::new(World::new(), "");
    let (code, text) = said(&scene, &[], true);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.lines().any(|line| line.starts_with("<6>pass done: ")), "{text}");
    assert!(text.lines().all(|line| line.starts_with('<')), "{text}");

    // Standard error leads elsewhere, though systemd started who started us.
    let (_, text) = said(&scene, &[], false);
    assert!(text.lines().any(|line| line.contains("Z INFO pass done: ")) && !text.contains('<'), "{text}");
}

#[test]
fn programs_get_an_object_a_line() {
    let scene = Scene::new(World::new(), "");
    let (code, text) = said(&scene, &["--log-format", "json", "-v"], false);
    assert_eq!(code, Some(0), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "info");
    assert!(last["message"].as_str().unwrap().starts_with("pass done: "), "{text}");
    assert!(humantime::parse_rfc3339(last["time"].as_str().unwrap()).is_ok(), "{text}");

    let mut scene = scene;
    scene.configuration.token("AnotherKey").write();
    let (code, text) = said(&scene, &["--log-format", "json"], false);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (code, &last["level"], &last["exit_code"]),
        (Some(77), &Value::from("error"), &Value::from(77)),
        "{text}"
    );
}
