//! Every message that a real MISP sent for every operation, by both transports.

use super::*;
use std::fs;
use std::path::Path;

/// One word for what a message says, and the event it is about.
fn word(message: &Message) -> String {
    match message {
        Message::Attribute(c) => {
            let what = match c.action {
                Action::Add => "add",
                Action::Edit => "edit",
                Action::Delete => "delete",
            };
            format!("{what} {} {}", c.attribute.event_id, c.attribute.value)
        }
        Message::Event(id) => format!("event {id}"),
        Message::EventGone(id) => format!("gone {id}"),
        Message::Published(id) => format!("published {id}"),
        Message::Object(id) => format!("object {id}"),
        Message::Tagged(id) => format!("tagged {id}"),
        Message::Tag(name) => format!("tag {name}"),
        Message::Alive => "alive".into(),
        Message::Other => "other".into(),
    }
}

/// The recorded messages of one transport: the step's name, and the message's bytes;
/// none where the recordings are not beside the project.
fn recorded(transport: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/misp-recordings").join(transport);
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("nothing compared: {} is not here", folder.display());
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|f| f.unwrap().path()).collect();
    files.sort();
    let mut messages = Vec::new();
    for file in files {
        let step: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap()[..3].trim_end_matches('_').to_owned();
        for message in step[format!("{transport}_messages")].as_array().unwrap() {
            let text = message["raw_frame"].as_str().or(message["payload"].as_str()).unwrap();
            messages.push((name.clone(), text.as_bytes().to_vec()));
        }
    }
    messages
}

fn words(transport: &str) -> Vec<String> {
    let said = recorded(transport).into_iter().filter_map(|(step, bytes)| {
        let json = if transport == "zmq" { body(&bytes) } else { &bytes };
        let word = word(&read(json).unwrap_or_else(|e| panic!("{step}: {e}")));
        (word != "other").then(|| format!("{step} {word}"))
    });
    said.collect()
}

#[test]
fn every_recorded_operation() {
    let steps = [
        "01 event 14",
        "01 tagged 14",
        "01 tagged 14",
        "01 add 14 203.0.113.99",
        "01 add 14 594e519ae499312b29433b7dd8a97ff068defcba9755b6d5d00e84c524d67b06",
        "01 tagged 14",
        "01 add 14 2001:db8::99|443",
        "01 add 14 z.exe",
        "01 add 14 fbade9e36a3f36d3d676c1b808451dd7",
        "02 published 14",
        "03 add 14 zmq-added.example.net",
    ];
    for transport in ["zmq", "kafka"] {
        let words = words(transport);
        if words.is_empty() {
            return;
        }
        assert_eq!(words[..steps.len()], steps, "{transport}");
        let has = |word: &str| assert!(words.iter().any(|w| w == word), "{transport}: {word} is not in {words:#?}");
        has("04 edit 14 zmq-edited.example.net");
        has("05 edit 14 zmq-edited.example.net");
        has("08 tagged 14");
        has("09 tagged 14");
        has("13 delete 14 zmq-edited.example.net");
        has("14 edit 14 zmq-edited.example.net");
        has("15 delete 14 zmq-edited.example.net");
        has("17 object 14");
        has("18 event 14");
        has("19 published 14");
        has("20 event 14");
        has("23 tag Feed-new");
        has("24 gone 14");
        // Sightings, logs and new tags change nothing.
        assert!(!words.iter().any(|w| w.starts_with("11") || w.starts_with("12") || w.starts_with("09b")), "{words:?}");
    }
    assert!(words("zmq").contains(&"25 alive".to_owned()));
}

#[test]
fn who_may_see_an_attribute() {
    let message = |event: &str, attribute: &str, object: &str| {
        let text = format!(
            r#"{{"Attribute":{{"id":"1","event_id":"2","object_id":"{}","type":"md5","value":"a","distribution":"{attribute}"}},
            "Event":{{"id":"2","distribution":"{event}","threat_level_id":"3","orgc_id":"4"}}{},"action":"add"}}"#,
            u8::from(!object.is_empty()),
            if object.len() > 1 {
                format!(r#","Object":{{"id":"1","event_id":"2","distribution":"{}"}}"#, &object[1..])
            } else {
                String::new()
            },
        );
        match read(text.as_bytes()).unwrap() {
            Message::Attribute(change) => change.shared,
            other => panic!("{other:?}"),
        }
    };
    for (event, attribute, object) in [("1", "5", ""), ("3", "3", ""), ("2", "1", "o5"), ("3", "5", "o1")] {
        assert_eq!(message(event, attribute, object), Shared::WithAll, "{event} {attribute} {object}");
    }
    // "o" alone: an attribute of an object of which nothing is said.
    for (event, attribute, object) in [
        ("0", "5", ""),
        ("4", "5", ""),
        ("5", "5", ""),
        ("3", "0", ""),
        ("3", "4", ""),
        ("3", "5", "o0"),
        ("3", "5", "o4"),
        ("3", "5", "o"),
    ] {
        assert_eq!(message(event, attribute, object), Shared::Perhaps, "{event} {attribute} {object}");
    }
}

#[test]
fn broken_messages_are_named() {
    let why = |bytes: &[u8]| read(bytes).map(|m| word(&m)).unwrap_err();
    assert_eq!(why(b"\xff{}"), Broken::NotText);
    for text in ["", "no", "{", "[1]", "7", "null", r#"{"Attribute":{"id":"#] {
        assert_eq!(why(text.as_bytes()), Broken::NotJson, "{text}");
    }
    for text in [
        r#"{"Attribute":{},"action":"add"}"#,
        r#"{"Attribute":{"id":[],"event_id":"1","type":"md5","value":"a"}}"#,
        r#"{"Attribute":{"id":1,"event_id":"1","type":"md5","value":7}}"#,
        r#"{"Event":{"info":"no id"},"action":"edit"}"#,
        r#"{"Event":7,"action":"edit"}"#,
        r#"{"Object":{"id":"1"},"action":"add"}"#,
        r#"{"Tag":[],"action":"delete"}"#,
        r#"{"Event":{"id":"1"},"action":7}"#,
    ] {
        assert_eq!(why(text.as_bytes()), Broken::NotMisps, "{text}");
    }
    assert_eq!(word(&read(b"{}").unwrap()), "other");
}

#[test]
fn long_messages() {
    let event = |id: &str| format!(r#"{{"Event":{{"id":"{id}","info":"{}"}}}}"#, "x".repeat(MAX_MESSAGE));
    assert!(matches!(read(event("14").as_bytes()), Ok(Message::Published(14))));
    assert_eq!(read(event("").as_bytes()).unwrap_err(), Broken::TooLong);
    assert_eq!(read(&[b'x'; MAX_MESSAGE + 1]).unwrap_err(), Broken::TooLong);
}

proptest::proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = read(body(&bytes));
    }
}
