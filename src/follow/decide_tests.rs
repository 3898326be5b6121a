//! What each kind of message asks for under each kind of condition.

use super::*;
use crate::config::{ContextField, Since, Span, ThreatLevel};
use crate::misp::live::message::read;

const NOW: u64 = 1_795_220_400;

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config: Config = serde_yaml::from_str("{}").unwrap();
    change(&mut config);
    config
}

fn filtered(clauses: &str) -> Config {
    config(|c| c.misp.filter = serde_yaml::from_str(clauses).unwrap())
}

/// An attribute's message of the shape that MISP 2.5.1 sends.
fn attribute(action: &str) -> String {
    format!(
        r#"{{"Attribute":{{"id":"9","event_id":"14","object_id":"0","category":"Network activity","type":"domain|ip",
        "to_ids":true,"timestamp":"1795220025","distribution":"5","deleted":false,"value":"a.example|192.0.2.1"}},
        "Event":{{"id":"14","distribution":"3","threat_level_id":"2","orgc_id":"4",
        "Orgc":{{"id":"4","uuid":"AB-12","name":"Org Four"}}}},"action":"{action}"}}"#
    )
}

/// `add a b`, `add a b, look`, `look`, `late`, `gone`, `everything`, `nothing`.
fn word(config: &Config, text: &str) -> String {
    match Rules::new(config).step(&read(text.as_bytes()).unwrap(), NOW) {
        Step::Nothing => "nothing".into(),
        Step::Add { event, attribute, fresh, look } => {
            assert_eq!((event, attribute), (14, 9));
            let values: Vec<String> = fresh.into_iter().map(|f| f.value).collect();
            format!("add {}{}", values.join(" "), if look { ", look" } else { "" })
        }
        Step::Look { event, late, withdrawn } => {
            assert_eq!(event, 14);
            let values = withdrawn.map(|id| format!(" -{id}")).unwrap_or_default();
            format!("{}{values}", if late { "late" } else { "look" })
        }
        Step::Gone(event) => {
            assert_eq!(event, 14);
            "gone".into()
        }
        Step::Everything => "everything".into(),
    }
}

const ADDED: &str = "add a.example 192.0.2.1";
const WITHDRAWN: &str = "look -9";

#[test]
fn attributes_without_conditions() {
    let plain = config(|_| {});
    let add = attribute("add");
    assert_eq!(word(&plain, &add), ADDED);
    assert_eq!(word(&plain, &attribute("edit")), format!("{ADDED}, look"));
    assert_eq!(word(&plain, &attribute("soft-delete")), WITHDRAWN);
    assert_eq!(word(&plain, &attribute("delete")), WITHDRAWN);
    let off = |text: String| text.replace(r#""to_ids":true"#, r#""to_ids":false"#);
    assert_eq!(word(&plain, &off(attribute("edit"))), WITHDRAWN);
    assert_eq!(word(&plain, &off(add.clone())), "nothing");
    assert_eq!(word(&config(|c| c.misp.to_ids = false), &off(add.clone())), ADDED);
    // A type that is not loaded, one that is switched off, a value that is none.
    let of = |kind: &str| add.replace("domain|ip", kind).replace("a.example|192.0.2.1", "x");
    assert_eq!(word(&plain, &of("comment")), "nothing");
    assert_eq!(word(&plain, &of("mutex")), "nothing");
    assert_eq!(word(&plain, &of("md5")), "nothing");
    // MISP's database may have another value than its message.
    let url = |value: &str| add.replace("domain|ip", "url").replace("a.example|192.0.2.1", value);
    assert_eq!(word(&plain, &url("http://a.example/ü")), "add http://a.example/ü");
    assert_eq!(word(&plain, &url("http://a.example/\u{1f600}")), "look");
    // Nobody knows whether our key may see it.
    assert_eq!(word(&plain, &add.replace(r#""distribution":"5""#, r#""distribution":"0""#)), "look");
    assert_eq!(word(&plain, &add.replace(r#""distribution":"3""#, r#""distribution":"4""#)), "look");
}

#[test]
fn conditions_that_a_message_tells() {
    let add = attribute("add");
    let threat = |least| config(|c| c.misp.min_threat_level = Some(least));
    assert_eq!(word(&threat(ThreatLevel::Medium), &add), ADDED);
    assert_eq!(word(&threat(ThreatLevel::High), &add), "nothing");
    assert_eq!(word(&threat(ThreatLevel::High), &add.replace(r#""threat_level_id":"2","#, "")), "look");
    let categories = |name: &str| config(|c| c.misp.categories = vec![name.into()]);
    assert_eq!(word(&categories("network ACTIVITY"), &add), ADDED);
    assert_eq!(word(&categories("Payload delivery"), &add), "nothing");
    assert_eq!(word(&config(|c| c.misp.timeframe = Span::seconds(400)), &add), ADDED);
    assert_eq!(word(&config(|c| c.misp.timeframe = Span::seconds(300)), &add), "nothing");
    // Its event may be as old, and that no message tells.
    assert_eq!(word(&config(|c| c.misp.initial_event_timestamp = Span::seconds(300)), &add), "look");
}

#[test]
fn clauses() {
    let add = attribute("add");
    for (clauses, expected) in [
        (r#"[{orgs: ["4"]}]"#, ADDED),
        (r#"[{orgs: ["1", "Org Four"]}]"#, ADDED),
        (r#"[{orgs: ["ab-12"]}]"#, ADDED),
        (r#"[{orgs: ["1"]}]"#, "nothing"),
        (r#"[{orgs: ["org four"]}]"#, "look"),
        (r#"[{types: ["domain|ip"]}]"#, ADDED),
        (r#"[{types: [md5]}]"#, "nothing"),
        (r#"[{tags: [x]}]"#, "look"),
        (r#"[{tags: [x], orgs: ["1"]}]"#, "nothing"),
        (r#"[{tags: [x]}, {types: ["domain|ip"]}]"#, ADDED),
        (r#"[{tags: [x]}, {types: [md5]}]"#, "look"),
    ] {
        assert_eq!(word(&filtered(clauses), &add), expected, "{clauses}");
    }
}

#[test]
fn conditions_that_no_message_tells() {
    let changes: [fn(&mut Config); 5] = [
        |c| c.misp.published = true,
        |c| c.misp.enforce_warninglist = true,
        |c| c.misp.exclude_decayed = true,
        |c| c.misp.event_published_after = Some(Since::At(1)),
        |c| c.memcached.context = vec![ContextField::Org],
    ];
    for change in changes {
        assert_eq!(word(&config(change), &attribute("add")), "look");
    }
}

#[test]
fn events_objects_and_tags() {
    let (plain, tags) = (config(|_| {}), filtered("[{tags: [x]}]"));
    let event = r#"{"Event":{"id":"14"},"action":"edit"}"#;
    assert_eq!(word(&plain, event), "look");
    assert_eq!(word(&plain, &event.replace("edit", "delete")), "gone");
    let publish = r#"{"Event":{"id":"14","Attribute":[]}}"#;
    assert_eq!(word(&plain, publish), "look");
    assert_eq!(word(&config(|c| c.misp.published = true), publish), "late");
    let object = r#"{"Object":{"id":"1","event_id":"14"},"action":"soft-delete"}"#;
    assert_eq!(word(&plain, object), "look");
    assert_eq!(word(&plain, &object.replace("soft-delete", "add")), "nothing");
    let tagged = r#"{"Tag":{"id":"1","name":"x","event_id":"14"},"action":"detached from event"}"#;
    assert_eq!((word(&plain, tagged), word(&tags, tagged)), ("nothing".into(), "look".into()));
    let tag = r#"{"Tag":{"id":"1","name":"x"},"action":"delete"}"#;
    assert_eq!((word(&plain, tag), word(&tags, tag)), ("nothing".into(), "everything".into()));
    assert_eq!(word(&tags, &tag.replace("delete", "add")), "nothing");
    assert_eq!(word(&tags, r#"{"status":"alive","uptime":9}"#), "nothing");
}
