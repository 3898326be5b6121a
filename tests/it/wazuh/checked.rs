//! `check` and Wazuh's queue: tried where it is named, and nothing is sent.

use super::manager::{Manager, section};
use crate::support::program::run;
use misp2memcached::demo::World;
use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

/// Exit code and the line about the queue, with this path in the configuration.
fn checked(manager: &mut Manager, queue: &Path) -> (Option<i32>, String) {
    let path = manager.site.config.extra(&section(queue, "2s")).write();
    let finished = run(&["--config", path.to_str().unwrap(), "check"], &[]);
    let line = finished.stdout.lines().find(|line| line.contains("Wazuh's queue")).unwrap_or_default();
    (finished.code, line.to_owned())
}

#[test]
fn the_queue_is_tried_and_nothing_is_sent() {
    let mut manager = Manager::new(World::new());
    let directory = manager.site.config.directory().to_owned();
    let queue = directory.join("queue");
    let (code, line) = checked(&mut manager, &queue);
    assert_eq!((code, line), (Some(0), format!("ok   Wazuh's queue: {} takes answers", queue.display())));
    assert_eq!(manager.received(), [] as [&str; 0]);

    let stream = directory.join("stream");
    let _listener = UnixListener::bind(&stream).unwrap();
    let dead = directory.join("dead");
    drop(UnixDatagram::bind(&dead).unwrap());
    let file = directory.join("file");
    fs::write(&file, "").unwrap();
    for (path, code, said) in [
        (directory.join("none"), 69, "is this the manager's machine"),
        (dead, 69, "is the Wazuh manager running?"),
        (stream, 69, "it takes no datagrams"),
        (file, 78, "no socket; correct wazuh.queue"),
        (directory.clone(), 78, "no socket; correct wazuh.queue"),
    ] {
        let (found, line) = checked(&mut manager, &path);
        assert_eq!(found, Some(code), "{line}");
        assert!(line.starts_with("FAIL Wazuh's queue: ") && line.contains(said), "{line}");
        assert!(line.contains(path.to_str().unwrap()), "{line}");
    }
}

/// Most who load do not have Wazuh on the same machine: nothing is said of it.
#[test]
fn a_queue_that_nobody_named_and_that_is_not_there_is_not_missed() {
    if Path::new(misp2memcached::config::Wazuh::QUEUE).exists() {
        println!("Wazuh is installed here: nothing tried");
        return;
    }
    let mut manager = Manager::new(World::new());
    let path = manager.site.config.extra("wazuh:\n  timeout: 2s\n").write();
    let finished = run(&["--config", path.to_str().unwrap(), "check"], &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stdout);
    assert!(!finished.stdout.contains("Wazuh"), "{}", finished.stdout);
}
