//! Several memcacheds, one of which goes and comes back while it is followed.

use super::{Scene, await_that};
use crate::support::live::Operation::*;
use crate::support::memcached::Memcached;
use crate::support::program::run;
use crate::support::site::{Held, Site};
use misp2memcached::demo::{Attribute, Event, World};
use std::time::{Duration, Instant};

fn world() -> World {
    let mut world = World::new();
    let stock = (0..40).map(|n| Attribute::new("domain", &format!("stock-{n}.example")));
    world.add_event(stock.fold(Event::new("stock"), Event::with), super::now() - 86_400);
    world
}

fn scene(second: &Memcached, memcached: &str) -> Scene {
    let mut site = Site::new(world());
    site.config.and(second);
    Scene::with(site, memcached, "max_shrink_percent: 100\n", "")
}

fn add(scene: &mut Scene, value: &str) {
    assert!(scene.operate(&AddAttribute(1, Attribute::new("domain", value))));
}

#[test]
fn a_copy_that_goes_and_comes_back() {
    let mut second = Memcached::start(&[]);
    let mut scene = scene(&second, "timeout: 2s\n");
    scene.settles_in("at first", || Held::of(&second, "misp"));
    second.kill();
    add(&mut scene, "second-away.example");
    assert!(scene.operate(&SoftDelete(2)));
    scene.settles("the second is away");
    second.restart();
    scene.settles_in("the second is back", || Held::of(&second, "misp"));
    add(&mut scene, "afterwards.example");
    scene.settles("afterwards");
    scene.settles_in("afterwards, the second", || Held::of(&second, "misp"));
    scene.end();
}

/// The first of the list is asked first for whatever one server can tell.
#[test]
fn the_first_copy_goes_and_comes_back() {
    let second = Memcached::start(&[]);
    let mut scene = scene(&second, "timeout: 2s\n");
    scene.site.memcached.kill();
    add(&mut scene, "first-away.example");
    assert!(scene.operate(&SoftDelete(2)));
    scene.settles_in("the first is away", || Held::of(&second, "misp"));
    scene.site.memcached.restart();
    scene.settles("the first is back");
    scene.settles_in("and the second", || Held::of(&second, "misp"));
}

/// One that hangs keeps its data, and misses what happens meanwhile. It is tried again and
/// again, which must not hold up what comes for the other one.
#[test]
fn a_copy_that_hangs() {
    let second = Memcached::start(&[]);
    let timeout = Duration::from_secs(3);
    let mut scene = scene(&second, "timeout: 3s\n");
    second.signal("STOP");
    add(&mut scene, "missed.example");
    assert!(scene.operate(&SoftDelete(2)));
    scene.settles("the second hangs");
    let hangs = Instant::now();
    for n in 0.. {
        let begun = Instant::now();
        let name = format!("meanwhile-{n}.example");
        add(&mut scene, &name);
        let key = format!("misp-domain:{name}");
        await_that(|| key.clone(), || scene.site.memcached.get(key.as_bytes()).is_some());
        assert!(begun.elapsed() < timeout, "{n}: {:?}\n{}", begun.elapsed(), scene.follower.log());
        if hangs.elapsed() > 2 * timeout {
            break;
        }
    }
    second.signal("CONT");
    scene.settles_in("the second goes on", || Held::of(&second, "misp"));
    add(&mut scene, "afterwards.example");
    scene.settles("afterwards");
    scene.settles_in("afterwards, the second", || Held::of(&second, "misp"));
}

/// What both hold; nothing is in both of a ring.
fn both(scene: &Scene, second: &Memcached) -> Held {
    let (mut held, other) = (scene.site.held(), Held::of(second, "misp"));
    for (key, value) in other.indicators {
        let twice = held.indicators.insert(key.clone(), value);
        assert_eq!(twice, None, "{} is in both", String::from_utf8_lossy(&key));
    }
    held
}

#[test]
fn a_ring_of_two() {
    let mut second = Memcached::start(&[]);
    let mut scene = scene(&second, "distribution: ring\ntimeout: 2s\n");
    scene.settles_in("at first", || both(&scene, &second));
    for n in 0..20 {
        add(&mut scene, &format!("ring-{n}.example"));
    }
    assert!(scene.operate(&SoftDelete(2)) && scene.operate(&HardDelete(3)));
    scene.settles_in("additions and deletions", || both(&scene, &second));

    second.kill();
    for n in 20..40 {
        add(&mut scene, &format!("ring-{n}.example"));
    }
    assert!(scene.operate(&SoftDelete(4)));
    second.restart();
    scene.settles_in("one was away", || both(&scene, &second));
    add(&mut scene, "afterwards.example");
    scene.settles_in("afterwards", || both(&scene, &second));

    // Each key is where a full pass has it.
    scene.end();
    let before = (scene.site.held().indicators, Held::of(&second, "misp").indicators);
    let report = scene.site.pass(&["--full"]);
    assert_eq!((scene.site.held().indicators, Held::of(&second, "misp").indicators), before, "{report}");
    let path = scene.site.config.write();
    let found = run(&["--config", path.to_str().unwrap(), "lookup", "ring-0.example", "ring-39.example"], &[]);
    assert_eq!((found.code, found.stdout.matches("misp-domain:ring-").count()), (Some(0), 2), "{}", found.stdout);
}
