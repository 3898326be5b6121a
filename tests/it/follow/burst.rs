//! More messages at once than can be applied, while memcached stands still: nothing is
//! lost, and what waits does not fill the memory.
//!
//! `FOLLOW_BURST=100000` makes the burst larger than the usual one; memcached stands
//! still for a second for each 10,000 messages.

use super::{Follower, Scene, await_that, now};
use crate::support::config::Configuration;
use crate::support::live::Operation::{self, *};
use crate::support::live::{Transport, operate};
use crate::support::memcached::Memcached;
use crate::support::site::Site;
use misp2memcached::demo::{Attribute, Event, World};
use misp2memcached::follow::counts::Counts;
use misp2memcached::follow::run::FILE_NAME;
use std::time::{Duration, Instant};

/// Messages about each event.
const OF_EVENT: u64 = 100;

/// A burst may take so many MiB beyond what the same indicators take in a first pass: 8 for
/// indicators that wait, a few for events that do, and what the transport holds.
const BEYOND: u64 = 48;

fn messages() -> u64 {
    std::env::var("FOLLOW_BURST").map_or(10_000, |n| n.parse().expect("FOLLOW_BURST=100000"))
}

fn world(events: u64) -> World {
    let mut world = World::new();
    for n in 1..=events {
        let event = Event::new("burst").with(Attribute::new("domain", &format!("before-{n}.example")));
        world.add_event(event, now() - 86_400);
    }
    world
}

/// The operations about one event: mostly additions, some edits and deletions among them.
fn of_event(event: u64) -> impl Iterator<Item = Operation> {
    (0..OF_EVENT).map(move |n| match n {
        50 => EditValue(event, format!("after-{event}.example")),
        51 => AddAttribute(event, Attribute::new("md5", &format!("{event:032x}"))),
        99 if event.is_multiple_of(3) => SoftDelete(event),
        _ => AddAttribute(event, Attribute::new("ip-dst", &format!("10.{}.{}.{n}", event / 256, event % 256))),
    })
}

#[test]
fn a_burst_while_memcached_stands_still() {
    let (messages, events) = (messages(), messages() / OF_EVENT);
    let site = Site::new(world(events));
    let mut scene = Scene::with(site, "timeout: 1s\n", "max_shrink_percent: 100\n", "");
    let idle = scene.follower.peak();

    let mut world = scene.site.misp.world().clone();
    let mut frames = Vec::new();
    for operation in (1..=events).flat_map(of_event) {
        let said = operate(&mut world, &operation, now(), Transport::Zmq).expect("an operation");
        frames.extend(said.iter().map(|message| message.frame()));
    }
    *scene.site.misp.world() = world;
    scene.site.memcached.signal("STOP");
    let stalled = Instant::now();
    scene.publisher.send_all(frames);
    let told = stalled.elapsed();
    // How long it stands still is what is tried here.
    std::thread::sleep(Duration::from_millis(messages / 10).saturating_sub(told));
    scene.site.memcached.signal("CONT");
    let again = Instant::now();
    scene.settles("after the burst");
    let settled = again.elapsed();
    let peak = scene.follower.peak();

    // A line that comes again is a reason for a pass.
    let passes = scene.counts().map_or(0, |counts| counts.passes);
    scene.publisher.restart();
    scene.await_counts("the next pass", |counts| counts.passes > passes);
    scene.settles("after the next pass");
    let after_pass = scene.follower.peak();
    let counted = scene.counts().expect("what it says of itself");
    assert!(counted.total() >= messages, "{counted:?}");

    // The same indicators, without a burst.
    let other = Memcached::start(&[]);
    let mut config = Configuration::new(&scene.site.misp, &other);
    let port = scene.publisher.port();
    config.extra(&format!("zmq:\n  host: 127.0.0.1\n  port: {port}\n"));
    let quiet = Follower::start(&config, &[]);
    await_that(
        || format!("its first pass\n{}", quiet.log()),
        || {
            let told = std::fs::read(config.state().join(FILE_NAME)).unwrap_or_default();
            serde_json::from_slice(&told).is_ok_and(|counts: Counts| counts.passes > 0)
        },
    );
    let first_pass = quiet.peak();
    println!(
        "{messages} messages, sent in {told:.1?}; exact {settled:.1?} after memcached went on; MiB: {idle} before, {peak} \
         with the burst, {after_pass} after the next pass; {first_pass} in a first pass of the same without a burst"
    );
    assert!(peak <= first_pass + BEYOND, "{peak} MiB with a burst, {first_pass} without");
}
