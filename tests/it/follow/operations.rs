//! Each operation that was recorded, in turn and at once.

use super::Scene;
use crate::support::live::Operation::{self, *};
use crate::support::live::{Transport, operate, recorded_draft};
use misp2memcached::demo::{Attribute, Event, World};
use std::time::Duration;

/// Events so that a few indicators more or less do not look like a MISP that lost its memory.
pub(super) fn world() -> World {
    let mut world = World::new();
    let stock = (0..60).map(|n| Attribute::new("domain", &format!("stock-{n}.example")));
    let id = world.add_event(stock.fold(Event::new("stock"), Event::with), super::now() - 86_400);
    world.publish(id, super::now() - 86_000);
    let shared = Event::new("shared").with(Attribute::new("ip-dst", "203.0.113.99"));
    world.add_event(shared, super::now() - 80_000);
    world
}

/// The event that the operations are about, and its first attribute.
const EVENT: u64 = 3;
const FIRST: u64 = 62;

/// Lines of the section `misp` with which tags decide what is wanted.
pub(super) const TAGS_DECIDE: &str = "filter:\n  - tags: [Feed-new, \"malware:z\"]\n  - tags: [\"tlp:red\"]\n    types: [domain]\nmax_shrink_percent: 100\n";

pub(super) fn recorded() -> Vec<Operation> {
    let tag = || "Feed-new".to_owned();
    let sixth = FIRST + 5;
    vec![
        AddEvent(recorded_draft()),
        Publish(EVENT),
        AddAttribute(EVENT, Attribute::new("domain", "zmq-added.example.net")),
        EditValue(sixth, "zmq-edited.example.net".into()),
        ToIds(sixth, false),
        ToIds(sixth, true),
        TagAttribute(sixth, "tlp:red".into()),
        UntagAttribute(sixth, "tlp:red".into()),
        TagEvent(EVENT, tag()),
        UntagEvent(EVENT, tag()),
        TagEvent(EVENT, tag()),
        SoftDelete(sixth),
        Restore(sixth),
        HardDelete(sixth),
        SoftDelete(FIRST + 3),
        DeleteObject(EVENT, 6),
        EditEvent(EVENT, "ZMQ scenario edited".into(), 1),
        Publish(EVENT),
        Unpublish(EVENT),
        AddAttribute(EVENT, Attribute::new("ip-src", "203.0.113.101")),
        AddAttribute(EVENT, Attribute::new("ip-src", "198.51.100.0/27")),
        DeleteTag(tag()),
        DeleteEvent(EVENT),
    ]
}

fn in_turn(misp: &str, extra: &str) {
    let mut scene = Scene::start(world(), misp, extra);
    scene.settles("the first pass");
    for operation in recorded() {
        let story = format!("{misp:?}, {operation:?}");
        assert!(scene.operate(&operation), "{story}");
        scene.settles(&story);
    }
}

#[test]
fn each_operation_in_turn() {
    in_turn("", "other:\n  enabled: true\n");
}

#[test]
fn each_operation_in_turn_where_tags_decide() {
    in_turn(TAGS_DECIDE, "");
}

#[test]
fn all_operations_at_once() {
    let mut scene = Scene::start(world(), "", "");
    for operation in recorded() {
        assert!(scene.operate(&operation), "{operation:?}");
    }
    scene.settles("all at once");
}

/// Local tags move no timestamp, and no message but their own says that they came or went. So does what
/// `/attributes/removeTag` takes off. A pass cannot see it; `follow` hears of it.
#[test]
fn tags_that_move_no_timestamp() {
    let mut world = World::new();
    for n in [1, 2] {
        let values = (0..6).map(|m| Attribute::new("domain", &format!("local-{n}-{m}.example")));
        let id = world.add_event(values.fold(Event::new("local"), Event::with), super::now() - 86_400);
        world.publish(id, super::now() - 86_000);
    }
    let mine = || "mine:block".to_owned();
    let mut scene = Scene::start(world, "filter:\n  - tags: [\"mine:block\"]\nmax_shrink_percent: 100\n", "");
    scene.settles("nothing is wanted");
    for (operation, held) in [
        (TagAttributeLocally(1, mine()), 1),
        (TagAttributeLocally(2, mine()), 2),
        (UntagAttribute(1, mine()), 1),
        (TagEventLocally(2, mine()), 7),
        (UntagEventLocally(2, mine()), 1),
    ] {
        let times = |scene: &Scene| scene.site.misp.world().events().map(|e| e.timestamp).collect::<Vec<_>>();
        let before = times(&scene);
        assert!(scene.operate(&operation), "{operation:?}");
        scene.settles(&format!("{operation:?}"));
        assert_eq!((times(&scene), scene.site.held().indicators.len()), (before, held), "{operation:?}");
    }

    // Unheard: the pass that follows asks for events that messages were about since the last one, and sees it there.
    // Else it does not, until a message says something of the event or all is asked for.
    let passes = |scene: &Scene| scene.counts().map_or(0, |counts| counts.passes);
    let missed = |scene: &mut Scene, operation: &Operation| {
        let before = passes(scene);
        scene.publisher.kill();
        scene.operate_unheard(operation);
        scene.publisher.restart();
        scene.await_counts("a pass", |counts| counts.passes > before);
        scene.publisher.await_subscriber();
        scene.site.held().indicators.len()
    };
    assert_eq!(missed(&mut scene, &Publish(1)), 1, "the times of both events come");
    assert_eq!(missed(&mut scene, &TagAttributeLocally(8, mine())), 1, "a pass sees no local tag");
    assert_eq!(missed(&mut scene, &UntagAttribute(2, mine())), 1, "nor that one went");
    assert!(scene.operate(&TagAttributeLocally(9, mine())) && scene.operate(&TagAttributeLocally(3, mine())));
    scene.settles("messages about these events");
    assert_eq!(scene.site.held().indicators.len(), 3);
    assert_eq!(missed(&mut scene, &UntagAttribute(3, mine())), 2, "messages were about this event");
    assert_eq!(missed(&mut scene, &UntagAttribute(9, mine())), 2, "and not since that pass");
    scene.end();
    scene.site.pass(&["--full", "--allow-shrink"]);
    assert_eq!(scene.site.held().indicators, scene.truth().indicators);
}

/// MISP sends its messages inside the transaction that makes them true, and publishes before it sets the flag.
#[test]
fn messages_come_before_they_are_true() {
    let mut scene = Scene::start(world(), "published: true\nmax_shrink_percent: 100\n", "");
    for (operation, late) in [
        (AddEvent(recorded_draft()), Duration::from_millis(700)),
        (Publish(EVENT), Duration::from_millis(700)),
        (EditValue(FIRST, "203.0.113.98".into()), Duration::ZERO),
        (Publish(EVENT), Duration::from_millis(700)),
        (ToIds(FIRST + 1, false), Duration::ZERO),
        (Publish(EVENT), Duration::from_millis(2500)),
        (DeleteEvent(EVENT), Duration::from_millis(700)),
    ] {
        let story = format!("{operation:?}");
        let mut later = scene.site.misp.world().clone();
        let messages = operate(&mut later, &operation, super::now(), Transport::Zmq).expect(&story);
        scene.publisher.send_all(messages.iter().map(|message| message.frame()));
        // Not a wait for something: it is how long MISP takes.
        std::thread::sleep(late);
        *scene.site.misp.world() = later;
        if !matches!(operation, EditValue(..) | ToIds(..)) {
            // While an event is unpublished, what was loaded of it stays.
            scene.settles(&story);
        }
    }
}

/// A tag goes from all that it was attached to, which takes MISP a while, and moves no timestamp.
#[test]
fn a_tag_goes_some_time_after_its_message() {
    let mut world = world();
    world.tag_event(1, "tlp:red", super::now() - 80_000);
    world.tag_event(2, "tlp:red", super::now() - 80_000);
    let mut scene = Scene::start(world, "filter:\n  - tags: [\"tlp:red\"]\nmax_shrink_percent: 100\n", "");
    scene.settles("the first pass");
    let mut later = scene.site.misp.world().clone();
    let deleted = DeleteTag("tlp:red".into());
    let messages = operate(&mut later, &deleted, super::now(), Transport::Zmq).expect("a tag");
    scene.publisher.send_all(messages.iter().map(|message| message.frame()));
    // Not a wait for something: it is how long MISP takes.
    std::thread::sleep(Duration::from_millis(1500));
    *scene.site.misp.world() = later;
    scene.settles("the tag is gone");
    assert!(scene.site.held().indicators.is_empty());
}

/// The same where a pass comes in between, which takes what MISP does not show yet for gone.
#[test]
fn a_pass_comes_before_a_message_is_true() {
    let mut scene = Scene::start(world(), "", "");
    let mut later = scene.site.misp.world().clone();
    let early = AddAttribute(1, Attribute::new("domain", "early.example"));
    let messages = operate(&mut later, &early, super::now(), Transport::Zmq).expect("an addition");
    scene.publisher.send_all(messages.iter().map(|message| message.frame()));
    let held = |scene: &Scene| scene.site.held().value("misp-domain:early.example").is_some();
    super::await_that(|| "the message's key".into(), || held(&scene));
    scene.publisher.restart();
    scene.await_counts("a pass", |counts| counts.passes == 2);
    assert!(!held(&scene), "MISP does not have it");
    *scene.site.misp.world() = later;
    scene.settles("the message has become true");
    assert_eq!(scene.follower.log().matches("pass done").count(), 2, "no pass did it\n{}", scene.follower.log());
}

/// The guard against a MISP that lost its memory knows what is left after deletions.
#[test]
fn half_of_all_goes_event_by_event() {
    let mut world = World::new();
    for n in 1..=10 {
        let values = (0..6).map(|m| Attribute::new("domain", &format!("d{n}-{m}.example")));
        world.add_event(values.fold(Event::new("goes"), Event::with), super::now() - 86_400);
    }
    world.add_event(Event::new("small").with(Attribute::new("domain", "small.example")), super::now() - 86_400);
    let mut scene = Scene::start(world, "", "");
    for event in 1..=5 {
        assert!(scene.operate(&DeleteEvent(event)));
    }
    scene.settles("half of all is deleted");
    assert!(scene.operate(&SoftDelete(61)));
    scene.settles("one in thirty-one goes, as an event without attributes");
    assert_eq!(scene.follower.log().matches("pass done").count(), 1, "no pass did it\n{}", scene.follower.log());
}
