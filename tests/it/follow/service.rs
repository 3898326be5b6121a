//! How `follow` is started, watched and ended: signals, systemd, a second one.

use super::{Follower, Scene, await_that};
use crate::support::live::Operation::*;
use crate::support::program::run;
use crate::support::site::Site;
use misp2memcached::demo::{Attribute, Event, World};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

fn world() -> World {
    let mut world = World::new();
    world.add_event(Event::new("one").with(Attribute::new("domain", "one.example")), super::now() - 86_400);
    world
}

#[test]
fn a_signal_ends_it_in_order() {
    let mut scene = Scene::start(world(), "", "");
    let values: Vec<String> = (0..500).map(|n| format!("n{n}.example")).collect();
    for value in &values {
        assert!(scene.operate(&AddAttribute(1, Attribute::new("domain", value))));
    }
    let last = format!("misp-domain:{}", values[values.len() - 1]);
    await_that(|| "the last message".into(), || scene.site.memcached.get(last.as_bytes()).is_some());
    scene.end();
    assert_eq!(scene.site.held().indicators, scene.truth().indicators);
    // A pass finds nothing amiss.
    let report = scene.site.pass(&[]);
    assert_eq!(report["events"]["gone"], 0, "{report}");
    assert_eq!(scene.site.held().indicators, scene.truth().indicators);
}

/// An event's deletion is taken in while memcached stands still, and then the signal comes.
#[test]
fn an_event_goes_before_a_signal_ends_it() {
    let mut world = world();
    for name in ["two", "three"] {
        let event = Event::new(name).with(Attribute::new("domain", &format!("{name}.example")));
        world.add_event(event, super::now() - 86_400);
    }
    let mut scene = Scene::with(Site::new(world), "timeout: 60s\n", "", "");
    scene.site.memcached.signal("STOP");
    for event in [2, 3] {
        assert!(scene.operate(&DeleteEvent(event)));
        // Nobody can see from outside that it was taken in. If it was not, this shows less.
        std::thread::sleep(Duration::from_millis(300));
    }
    scene.follower.signal("TERM");
    scene.site.memcached.signal("CONT");
    assert_eq!(scene.follower.ended(), Some(0), "{}", scene.follower.log());
    scene.site.pass(&["--allow-shrink"]);
    assert_eq!(scene.site.held().indicators, scene.truth().indicators);
}

#[test]
fn a_second_one_is_refused() {
    let scene = Scene::start(world(), "", "");
    let mut second = Follower::start(&scene.site.config, &[]);
    assert_eq!(second.ended(), Some(75), "{}", second.log());
    assert_eq!(scene.site.load(&[]).code, Some(75));
}

#[test]
fn without_a_transport_it_is_a_mistake() {
    let scene = Scene::start(world(), "", "");
    let path = scene.fresh.write();
    let finished = run(&["--config", path.to_str().unwrap(), "follow"], &[]);
    assert_eq!(finished.code, Some(78), "{}", finished.stderr);
    assert!(finished.stderr.contains("zmq"), "{}", finished.stderr);
}

#[test]
fn systemd_is_told() {
    let mut scene = Scene::start(world(), "", "");
    scene.end();
    let path = scene.site.config.directory().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(super::PATIENCE)).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "600000")];
    scene.follower = Follower::start(&scene.site.config, &environment);
    let mut told = Vec::new();
    let mut until = |words: &[&str]| {
        let mut buffer = [0; 4096];
        while !words.iter().all(|word| told.iter().any(|line: &String| line.starts_with(word))) {
            let length = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{e}: {words:?} and not {told:?}"));
            told.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
        }
        std::mem::take(&mut told)
    };
    let lines = until(&["READY=1", "STATUS=", "WATCHDOG=1"]);
    assert_eq!(lines.iter().filter(|line| *line == "READY=1").count(), 1, "{lines:?}");
    assert_eq!(scene.site.held().indicators.len(), 1, "ready means loaded");
    // Again and again, while nothing happens.
    until(&["WATCHDOG=1"]);
    until(&["WATCHDOG=1"]);
    scene.follower.signal("TERM");
    until(&["STOPPING=1"]);
    assert_eq!(scene.follower.ended(), Some(0));
}

#[test]
fn it_ends_soon_where_nobody_is_there() {
    let mut scene = Scene::start(world(), "", "");
    scene.publisher.kill();
    scene.await_log("has closed the connection");
    scene.follower.signal("TERM");
    let begun = std::time::Instant::now();
    assert_eq!(scene.follower.ended(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
