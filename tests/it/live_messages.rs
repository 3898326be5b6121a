//! The messages that the harness makes up are those that a real MISP sent for the same
//! operations: the same ones in the same order, with the same fields in the same order.

use crate::support::live::{Message, Operation, Transport, operate, recorded_draft};
use misp2memcached::demo::{Attribute, Event, World};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// What a recorded step has of the kinds that matter: topic and JSON text; nothing without the recordings.
fn recorded(transport: Transport) -> Option<BTreeMap<String, Vec<(String, String)>>> {
    let name = if transport == Transport::Zmq { "zmq" } else { "kafka" };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/misp-recordings").join(name);
    if !folder.is_dir() {
        println!("no recordings in {}: nothing compared", folder.display());
        return None;
    }
    let mut steps = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let step: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        let messages = step[format!("{name}_messages")].as_array().unwrap().iter();
        let messages = messages.map(|m| match transport {
            Transport::Zmq => m["raw_frame"].as_str().unwrap().split_once(' ').unwrap(),
            Transport::Kafka => (m["topic"].as_str().unwrap(), m["payload"].as_str().unwrap()),
        });
        let messages = messages.filter(|(topic, _)| !["audit", "sighting", "self"].iter().any(|t| topic.ends_with(t)));
        let messages = messages.map(|(topic, json)| (topic.to_owned(), likened(json))).collect();
        let number = step["step"].as_str().unwrap().split('_').next().unwrap().to_owned();
        steps.insert(number, messages);
    }
    Some(steps)
}

/// The text without what is another server's: numbers, UUIDs, colours, the user's sightings.
fn likened(json: &str) -> String {
    let mut out = String::new();
    let mut rest = json;
    while let Some(at) = rest.find('"') {
        out.push_str(&rest[..at]);
        let end =
            at + 2 + rest[at + 1..].match_indices('"').find(|(i, _)| !rest[..at + 1 + i].ends_with('\\')).unwrap().0;
        let (text, behind) = (&rest[at + 1..end - 1], &rest[end..]);
        rest = behind;
        if text == "Sighting" && !out.ends_with('{') {
            let mut depth = 0;
            let close = behind.find(|c| {
                depth += i32::from(c == '[') - i32::from(c == ']');
                c == ']' && depth == 0
            });
            rest = &behind[close.unwrap() + 1..];
            out.truncate(out.len() - 1);
            continue;
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        out.push('"');
        out.push_str(match text {
            _ if behind.starts_with(':') => text,
            _ if digits => "NUMBER",
            _ if text.len() == 36 && text.split('-').count() == 5 => "UUID",
            _ if text.len() == 7 && text.starts_with('#') => "COLOUR",
            _ => text,
        });
        out.push('"');
    }
    out.push_str(rest);
    out
}

/// The recorded scenario, as far as it is one of operations.
fn scenario() -> Vec<(&'static str, Vec<Operation>)> {
    use Operation::*;
    let tag = || "Feed-new".to_owned();
    let alone = Attribute { comment: "added alone".into(), ..Attribute::new("domain", "zmq-added.example.net") };
    vec![
        ("01", vec![AddEvent(recorded_draft())]),
        ("02", vec![Publish(1)]),
        ("03", vec![AddAttribute(1, alone)]),
        ("04", vec![EditValue(6, "zmq-edited.example.net".into())]),
        ("05", vec![ToIds(6, false)]),
        ("06", vec![ToIds(6, true)]),
        ("07", vec![TagAttribute(6, "tlp:red".into())]),
        ("08", vec![UntagAttribute(6, "tlp:red".into())]),
        ("09", vec![TagEvent(1, tag())]),
        ("09a", vec![UntagEvent(1, tag())]),
        ("09c", vec![TagEvent(1, tag())]),
        ("10", vec![UntagEvent(1, tag())]),
        ("13", vec![SoftDelete(6)]),
        ("14", vec![Restore(6)]),
        ("15", vec![HardDelete(6)]),
        ("16", vec![SoftDelete(4)]),
        ("17", vec![DeleteObject(1, 6)]),
        ("18", vec![EditEvent(1, "ZMQ scenario edited".into(), 1)]),
        ("19", vec![Publish(1)]),
        ("20", vec![Unpublish(1)]),
        (
            "21",
            vec![
                AddAttribute(1, Attribute::new("ip-src", "203.0.113.101")),
                AddAttribute(1, Attribute::new("ip-src", "203.0.113.102")),
            ],
        ),
        ("23", vec![DeleteTag(tag())]),
        ("24", vec![DeleteEvent(1)]),
    ]
}

#[test]
fn what_the_harness_makes_up_is_what_misp_sent() {
    for transport in [Transport::Zmq, Transport::Kafka] {
        let mut world = World::new();
        let steps = recorded(transport);
        for (now, (step, operations)) in (1_795_220_022..).zip(scenario()) {
            if step == "04" {
                world.attribute_mut(6).unwrap().comment = "edited".into();
            }
            let messages = operations.iter().map(|o| operate(&mut world, o, now, transport).expect(step));
            let messages: Vec<Message> = messages.flatten().collect();
            let shown = messages.iter().map(|message| match transport {
                Transport::Zmq => {
                    let frame = String::from_utf8(message.frame()).unwrap();
                    let (topic, json) = frame.split_once(' ').unwrap();
                    (topic.to_owned(), likened(json))
                }
                Transport::Kafka => (message.topic(), likened(std::str::from_utf8(&message.body()).unwrap())),
            });
            let shown: Vec<_> = shown.collect();
            if let Some(steps) = &steps {
                assert_eq!(steps[step], shown, "{transport:?}, step {step}");
            }
        }
    }
}

#[test]
fn kafka_has_the_escapes_of_php() {
    let mut world = World::new();
    let mut event = Event::new("a/b ü 😀 \"q\"");
    event.tags.push("x".into());
    let messages = operate(&mut world, &Operation::AddEvent(event), 1, Transport::Kafka).unwrap();
    let body = String::from_utf8(messages[0].body()).unwrap();
    assert!(body.contains(r#""info":"a\/b \u00fc \ud83d\ude00 \"q\"""#), "{body}");
    assert!(String::from_utf8(messages[0].frame()).unwrap().contains("a/b ü 😀"));
    for message in &messages {
        let both: [Value; 2] = [&message.body()[..], message.frame().splitn(2, |b| *b == b' ').nth(1).unwrap()]
            .map(|json| serde_json::from_slice(json).unwrap());
        assert_eq!(both[0], both[1]);
    }
}
