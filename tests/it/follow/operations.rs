//! Each operation that was recorded, in turn and at once.

use super::Scene;
use crate::support::live::Operation::{self, *};
use crate::support::live::{Transport, operate};
use misp2memcached::demo::{Attribute, Event, World};
use std::time::Duration;

const SHA256: &str = "594e519ae499312b29433b7dd8a97ff068defcba9755b6d5d00e84c524d67b06";
const MD5: &str = "fbade9e36a3f36d3d676c1b808451dd7";

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

fn draft() -> Event {
    let mut event = Event::new("ZMQ scenario");
    event.tags = vec!["tlp:amber".into(), "Feed-xyz".into()];
    event.threat_level = 2;
    let in_object = |kind: &str, value: &str| Attribute {
        object_id: 6,
        object_relation: Some(kind.into()),
        ..Attribute::new(kind, value)
    };
    event
        .with(Attribute::new("ip-dst", "203.0.113.99"))
        .with(Attribute { tags: vec!["malware:z".into()], ..Attribute::new("sha256", SHA256) })
        .with(Attribute::new("ip-dst|port", "2001:db8::99|443"))
        .with(in_object("filename", "z.exe"))
        .with(in_object("md5", MD5))
}

pub(super) fn recorded() -> Vec<Operation> {
    let tag = || "Feed-new".to_owned();
    let sixth = FIRST + 5;
    vec![
        AddEvent(draft()),
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
    in_turn(
        "filter:\n  - tags: [Feed-new, \"malware:z\"]\n  - tags: [\"tlp:red\"]\n    types: [domain]\nmax_shrink_percent: 100\n",
        "",
    );
}

#[test]
fn all_operations_at_once() {
    let mut scene = Scene::start(world(), "", "");
    for operation in recorded() {
        assert!(scene.operate(&operation), "{operation:?}");
    }
    scene.settles("all at once");
}

/// MISP sends its messages inside the transaction that makes them true, and publishes before it sets the flag.
#[test]
fn messages_come_before_they_are_true() {
    let mut scene = Scene::start(world(), "published: true\nmax_shrink_percent: 100\n", "");
    for (operation, late) in [
        (AddEvent(draft()), Duration::from_millis(700)),
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
