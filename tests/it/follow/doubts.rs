//! What messages said and MISP's answers do not bear out: answers that are older than a message, events
//! that are outside the window.

use super::{Scene, await_that};
use crate::support::live::Operation::*;
use crate::support::live::{Transport, operate};
use crate::support::site::SEARCH;
use misp2memcached::demo::{Attribute, Event, Fault, World};
use std::time::Duration;

const DAY: u64 = 86_400;

/// Events of so many domains each.
fn world(sizes: &[usize]) -> World {
    let mut world = World::new();
    for (n, size) in sizes.iter().enumerate() {
        let values = (0..*size).map(|m| Attribute::new("domain", &format!("d{n}-{m}.example")));
        let id = world.add_event(values.fold(Event::new("stock"), Event::with), super::now() - DAY);
        world.publish(id, super::now() - DAY);
    }
    world
}

/// How often MISP was asked for attributes.
fn await_searches(scene: &Scene, count: usize) {
    await_that(|| format!("{count} searches\n{}", scene.follower.log()), || scene.site.misp.count(SEARCH) >= count);
}

/// A large event is edited, and deleted while MISP is asked for it: the answer that is on its way brings it back, and
/// the guard must not keep it.
#[test]
fn a_large_event_is_deleted_while_it_is_asked_for() {
    for misp in ["", "published: true\n"] {
        let mut scene = Scene::start(world(&[40, 60]), misp, "");
        scene.site.misp.forget_requests();
        scene.site.misp.set_fault(Box::new(|request, count| match count {
            1 if request.path == SEARCH => Fault::Delay(Duration::from_secs(1)),
            _ => Fault::None,
        }));
        scene.publisher.send_all([br#"misp_json_event {"Event":{"id":"1"},"action":"edit"}"#]);
        await_searches(&scene, 1);
        assert!(scene.operate(&DeleteEvent(1)));
        await_searches(&scene, 2);
        scene.settles(misp);
        assert_eq!(scene.site.held().indicators.len(), 60);
        assert_eq!(scene.follower.log().matches("pass done").count(), 1, "no pass did it\n{}", scene.follower.log());
    }
}

/// The deletion of a large event comes while memcached is away: passes must not wait for somebody when it is back.
#[test]
fn a_large_event_is_deleted_while_memcached_is_away() {
    let mut scene = Scene::start(world(&[40, 60]), "", "");
    scene.site.memcached.kill();
    assert!(scene.operate(&DeleteEvent(1)));
    scene.await_log("cannot be reached");
    scene.site.memcached.restart();
    scene.settles("memcached is back");
    scene.await_counts("a pass", |counts| counts.passes == 2);
    scene.settles("after a pass");
    assert_eq!(scene.site.held().indicators.len(), 60);
}

/// A feed's events are as old as they were there: what is outside the window is not loaded, by no message either.
#[test]
fn an_event_outside_the_window_is_added() {
    let mut scene = Scene::start(world(&[3]), "initial_event_timestamp: 30d\n", "");
    let draft = Event::new("old").with(Attribute::new("domain", "old.example"));
    let old = super::now() - 100 * DAY;
    let messages = operate(&mut scene.site.misp.world(), &AddEvent(draft), old, Transport::Zmq).expect("an event");
    scene.publisher.send_all(messages.iter().map(|message| message.frame()));
    // An attribute that is younger than its event says: the message gives it away for a moment.
    assert!(scene.operate(&AddAttribute(2, Attribute::new("domain", "young.example"))));
    scene.site.misp.world().event_mut(2).expect("an event").timestamp = old;
    let held = |value: &str| scene.site.held().value(&format!("misp-domain:{value}")).is_some();
    await_that(|| "the message's key".into(), || held("young.example"));
    assert!(!held("old.example"), "the event may be outside the window");
    scene.settles("outside the window");
    // Nor does a pass take it for one that is known.
    scene.publisher.restart();
    scene.await_counts("a pass", |counts| counts.passes == 2);
    scene.settles("after a pass");
    assert_eq!(scene.site.held().indicators.len(), 3);
}
