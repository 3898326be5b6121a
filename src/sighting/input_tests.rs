//! The forms that sightings come in.

use super::*;
use serde_json::json;

const UUID: &str = "5067ae30-49de-44da-a5db-dc84b61cb88e";

fn defaults() -> Defaults {
    Defaults { kind: Kind::Sighting, source: "default".to_owned(), now: 1_795_200_000 }
}

/// Each sighting as `SUBJECT TYPE SOURCE TIME`, or what is wrong.
fn shown(text: &str) -> Vec<String> {
    let line = |s: Sighting| format!("{} {} {} {}", s.subject.text(), s.kind as u8, s.source, s.at);
    read(text, true, &defaults()).into_iter().map(|one| one.map_or_else(|why| format!("! {why}"), line)).collect()
}

#[test]
fn plain_values() {
    assert_eq!(shown(" evil.example \r"), ["evil.example 0 default 1795200000"]);
    assert_eq!(shown("[2001:db8::1]:443"), ["[2001:db8::1]:443 0 default 1795200000"]);
    assert_eq!(shown("  "), [""; 0]);
    assert!(shown("%")[0].starts_with('!'));
    assert_eq!(read("evil.example", false, &defaults()), [Err("a line that is no JSON object".to_owned())]);
}

#[test]
fn json_of_ours() {
    for (object, expected) in [
        (json!({"value": "a.example"}), vec!["a.example 0 default 1795200000"]),
        (
            json!({"values": ["a.example", "b.example"], "type": 1}),
            vec!["a.example 1 default 1795200000", "b.example 1 default 1795200000"],
        ),
        (json!({"values": "a.example", "type": "2", "source": " s "}), vec!["a.example 2 s 1795200000"]),
        (
            json!({"uuid": UUID.to_uppercase(), "type": "false-positive", "timestamp": 7}),
            vec!["5067ae30-49de-44da-a5db-dc84b61cb88e 1 default 7"],
        ),
        (
            json!({"value": "a.example", "type": "expiration", "timestamp": "2026-11-20T20:40:00+02:00"}),
            vec!["a.example 2 default 1795200000"],
        ),
        (
            json!({"value": "a.example", "type": null, "source": null, "timestamp": null}),
            vec!["a.example 0 default 1795200000"],
        ),
        (
            json!([{"value": "a.example"}, {"value": "b.example", "timestamp": "9"}]),
            vec!["a.example 0 default 1795200000", "b.example 0 default 9"],
        ),
    ] {
        assert_eq!(shown(&object.to_string()), expected, "{object}");
    }
}

#[test]
fn json_that_says_nothing() {
    for (object, why) in [
        (json!({}), "without value"),
        (json!({"value": 7}), "no text"),
        (json!({"value": " "}), "letter or a digit"),
        (json!({"values": []}), "are none"),
        (json!({"value": "a", "uuid": UUID}), "more than one"),
        (json!({"uuid": "46"}), "a uuid that is none"),
        (json!({"value": "a", "type": "seen"}), "a type that is none of"),
        (json!({"value": "a", "type": 3}), "a type that is none of"),
        (json!({"value": "a", "source": 7}), "no text"),
        (json!({"value": "a", "timestamp": "1795200000000"}), "milliseconds"),
        (json!(["a"]), "something else than objects"),
    ] {
        let shown = shown(&object.to_string());
        assert!(shown.len() == 1 && shown[0].starts_with('!') && shown[0].contains(why), "{object}: {shown:?}");
    }
    assert!(shown("{\"value\": \"a")[0].contains("cannot be read"));
    // The good ones beside a bad one live.
    let mixed = shown(&json!({"values": ["a.example", 7, "", "b.example"]}).to_string());
    assert_eq!(mixed.iter().filter(|line| line.starts_with('!')).count(), 2, "{mixed:?}");
}

#[test]
fn events_of_logstash() {
    let event = json!({
        "@timestamp": "2026-11-20T18:40:00.123Z", "type": "syslog", "source": {"ip": "203.0.113.7"}, "value": "x",
        "misp": {"event_id": ["12", "31"], "match": ["203.0.113.7", "203.0.113.0/24"], "field": ["source.ip"]},
    });
    let expected = ["203.0.113.7 0 default 1795200000", "203.0.113.0/24 0 default 1795200000"];
    assert_eq!(shown(&event.to_string()), expected);
    assert_eq!(shown(r#"{"misp.match": "a.example"}"#), ["a.example 0 default 1795200000"]);
    assert!(shown(r#"{"misp": {"lookup": "stale"}}"#)[0].contains("misp.match"));
    assert_eq!(shown(r#"{"misp": {"match": []}}"#), [""; 0]);
}

#[test]
fn stix() {
    let sighting = |more: Value| {
        let mut object = json!({"type": "sighting", "spec_version": "2.1", "id": "sighting--0", "created": "2026-11-20T18:40:00Z",
            "sighting_of_ref": format!("indicator--{UUID}")});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let one = |more: Value| shown(&sighting(more).to_string());
    assert_eq!(one(json!({})), [format!("{UUID} 0 default 1795200000")]);
    let seen = json!({"x_threatbus_source": "vast", "first_seen": "2026-11-20T18:40:05Z", "last_seen": "2026-11-20T18:40:09Z"});
    assert_eq!(one(seen), [format!("{UUID} 0 vast 1795200009")]);
    assert_eq!(one(json!({"first_seen": "2026-11-20T18:40:05Z"})), [format!("{UUID} 0 default 1795200005")]);
    for (more, why) in [
        (json!({"revoked": true}), "revoked"),
        (json!({"count": 0}), "was not seen"),
        (json!({"sighting_of_ref": "malware--5067ae30-49de-44da-a5db-dc84b61cb88e"}), "not indicator--UUID"),
        (json!({"sighting_of_ref": "indicator--x"}), "not indicator--UUID"),
        (json!({"last_seen": "now"}), "neither seconds nor RFC 3339"),
        (json!({"type": "indicator"}), "no sighting"),
    ] {
        let shown = one(more);
        assert!(shown.len() == 1 && shown[0].starts_with('!') && shown[0].contains(why), "{shown:?}");
    }
    let indicator = json!({"type": "indicator", "id": format!("indicator--{UUID}")});
    let bundle = json!({"type": "bundle", "id": "bundle--0", "objects": [indicator, sighting(json!({})), sighting(json!({"count": 0}))]});
    let found = shown(&bundle.to_string());
    assert_eq!((found.len(), found[0].as_str()), (2, format!("{UUID} 0 default 1795200000").as_str()));
    assert!(shown(r#"{"type": "bundle", "objects": []}"#)[0].contains("without a sighting"));
}

mod any_text {
    use super::*;
    use crate::sighting::Subject;
    use proptest::prelude::*;

    proptest! {
        /// Whatever a line says: no value of it is one that MISP's database takes for nothing.
        #[test]
        fn never_a_value_of_nothing(text in "(?s).{0,60}", inner in "(?s).{0,12}", plain: bool) {
            let lines = [text, json!({"value": inner}).to_string(), json!({"misp": {"match": [inner]}}).to_string()];
            for line in lines {
                for sighting in read(&line, plain, &defaults()).into_iter().flatten() {
                    let Subject::Value(value) = sighting.subject else { continue };
                    prop_assert!(value.chars().any(char::is_alphanumeric) && value.trim() == value, "{value:?}");
                }
            }
        }
    }
}
