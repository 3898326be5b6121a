//! The parts of MISP's messages as JSON text, in MISP's order of fields.
//!
//! It knows no operation. Text and not values: an order of fields is part of what MISP
//! sends, and a map would sort them.

use misp2memcached::demo::{Attribute, Event};
use std::collections::BTreeSet;

/// A text with its quotation marks; slashes and non-ASCII as they are, as MISP has it.
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text")
}

/// A text, or null.
fn or_null(text: Option<&str>) -> String {
    text.map_or("null".into(), quoted)
}

fn number(name: &str) -> u32 {
    crc32fast::hash(name.as_bytes())
}

fn colour(name: &str) -> String {
    format!("#{:06x}", number(name) & 0xff_ffff)
}

/// A tag as its own messages have it.
pub fn tag(name: &str, end: &str) -> String {
    format!(
        r#"{{"id":"{}","name":{},"colour":"{}","exportable":true,"org_id":"0","user_id":"0","hide_tag":false,"numerical_value":null,"is_galaxy":false,"is_custom_galaxy":false,"local_only":false{end}}}"#,
        number(name),
        quoted(name),
        colour(name)
    )
}

/// A tag in few words.
fn short_tag(name: &str, end: &str) -> String {
    format!(r#"{{"id":"{}","name":{},"colour":"{}","exportable":true{end}}}"#, number(name), quoted(name), colour(name))
}

/// A tag as a published event has it.
fn shown_tag(name: &str) -> String {
    let end = r#","user_id":"0","hide_tag":false,"numerical_value":null,"is_galaxy":false,"is_custom_galaxy":false,"local_only":false,"local":false,"relationship_type":null"#;
    short_tag(name, end)
}

/// The rows that tie an event's tags to it.
pub fn tag_rows(event: &Event) -> Vec<String> {
    let row = |name: &String| {
        let (id, tag) = (number(name), short_tag(name, ""));
        let event = event.id;
        format!(
            r#"{{"id":"{id}","event_id":"{event}","tag_id":"{id}","local":false,"relationship_type":"","Tag":{tag}}}"#
        )
    };
    event.tags.iter().map(row).collect()
}

/// An event as its own messages have it.
pub fn event_of(event: &Event) -> String {
    format!(
        r#"{{"id":"{}","org_id":"{}","date":"2026-11-20","info":{},"user_id":"1","uuid":"{}","published":{},"analysis":"0","attribute_count":"{}","orgc_id":"{}","timestamp":"{}","distribution":"{}","sharing_group_id":"0","proposal_email_lock":false,"locked":false,"threat_level_id":"{}","publish_timestamp":"{}","sighting_timestamp":"0","disable_correlation":false,"extends_uuid":"","protected":null}}"#,
        event.id,
        event.org_id,
        quoted(&event.info),
        event.uuid,
        event.published,
        live(event).count(),
        event.orgc_id,
        event.timestamp,
        event.distribution,
        event.threat_level,
        event.publish_timestamp,
    )
}

fn live(event: &Event) -> impl Iterator<Item = &Attribute> {
    event.attributes.iter().filter(|a| !a.deleted)
}

/// An attribute as its own messages have it; its tags, if any, and then `end`.
pub fn attribute_of(event: u64, attribute: &Attribute, end: &str) -> String {
    let a = attribute;
    let (value1, value2) = match a.value.split_once('|') {
        Some(halves) if a.kind.contains('|') => halves,
        _ => (a.value.as_str(), ""),
    };
    let tags: Vec<String> = a.tags.iter().map(|name| short_tag(name, r#","local":false"#)).collect();
    let tags = if tags.is_empty() { String::new() } else { format!(r#","Tag":[{}]"#, tags.join(",")) };
    format!(
        r#"{{"id":"{}","event_id":"{event}","object_id":"{}","object_relation":{},"category":{},"type":{},"value1":{},"value2":{},"to_ids":{},"uuid":"{}","timestamp":"{}","distribution":"{}","sharing_group_id":"0","comment":{},"deleted":{},"disable_correlation":false,"first_seen":{},"last_seen":{},"value":{}{tags}{end}}}"#,
        a.id,
        a.object_id,
        or_null(a.object_relation.as_deref()),
        quoted(&a.category),
        quoted(&a.kind),
        quoted(value1),
        quoted(value2),
        a.to_ids,
        a.uuid,
        a.timestamp,
        a.distribution,
        quoted(&a.comment),
        a.deleted,
        or_null(a.first_seen.as_deref()),
        or_null(a.last_seen.as_deref()),
        quoted(&a.value),
    )
}

/// An object; the sample MISP knows of it only that attributes belong to it.
pub fn object_of(event: &Event, id: u64, timestamp: u64, deleted: bool) -> String {
    object(event, id, timestamp, deleted, "")
}

fn object(event: &Event, id: u64, timestamp: u64, deleted: bool, end: &str) -> String {
    format!(
        r#"{{"id":"{id}","name":"file","meta-category":"file","description":null,"template_uuid":"688c46fb-5edb-40a3-8273-1af7923e2215","template_version":"25","event_id":"{}","uuid":"0000000b-0000-4000-8000-{id:012x}","timestamp":"{timestamp}","distribution":"0","sharing_group_id":"0","comment":"","deleted":{deleted},"first_seen":null,"last_seen":null{end}}}"#,
        event.id
    )
}

/// An attribute as a published event has it; `end` for what comes behind its value.
fn shown_attribute(event: &Event, a: &Attribute, end: &str) -> String {
    format!(
        r#"{{"id":"{}","type":{},"category":{},"to_ids":{},"uuid":"{}","event_id":"{}","distribution":"{}","timestamp":"{}","comment":{},"sharing_group_id":"0","deleted":{},"disable_correlation":false,"object_id":"{}","object_relation":{},"first_seen":{},"last_seen":{},"value":{}{end}}}"#,
        a.id,
        quoted(&a.kind),
        quoted(&a.category),
        a.to_ids,
        a.uuid,
        event.id,
        a.distribution,
        a.timestamp,
        quoted(&a.comment),
        a.deleted,
        a.object_id,
        or_null(a.object_relation.as_deref()),
        or_null(a.first_seen.as_deref()),
        or_null(a.last_seen.as_deref()),
        quoted(&a.value),
    )
}

/// The attributes of an event outside objects, and its objects with theirs.
fn shown_parts(event: &Event, shown: impl Fn(&Attribute) -> String) -> (String, String) {
    let of = |object: u64| live(event).filter(move |a| a.object_id == object).map(&shown).collect::<Vec<_>>().join(",");
    let ids: BTreeSet<u64> = live(event).map(|a| a.object_id).filter(|id| *id != 0).collect();
    let objects = ids.into_iter().map(|id| {
        let end = format!(r#","ObjectReference":[],"Attribute":[{}]"#, of(id));
        object(event, id, event.timestamp, false, &end)
    });
    let objects: Vec<String> = objects.collect();
    (of(0), objects.join(","))
}

/// The fields that both ways of publishing begin with; `user` is between two of them.
fn published_event(event: &Event, user: &str) -> String {
    format!(
        r#""id":"{}","orgc_id":"{}","org_id":"{}","date":"2026-11-20","threat_level_id":"{}","info":{},"published":{},"uuid":"{}","attribute_count":"{}","analysis":"0","timestamp":"{}","distribution":"{}","proposal_email_lock":false,{user}"locked":false,"publish_timestamp":"{}","sharing_group_id":"0","disable_correlation":false,"extends_uuid":"","protected":null,"event_creator_email":"admin@admin.test""#,
        event.id,
        event.orgc_id,
        event.org_id,
        event.threat_level,
        quoted(&event.info),
        event.published,
        event.uuid,
        live(event).count(),
        event.timestamp,
        event.distribution,
        event.publish_timestamp,
    )
}

fn organisation(id: u64, event: &Event) -> String {
    format!(r#"{{"id":"{id}","name":{},"uuid":"{}","local":true}}"#, quoted(&event.orgc), event.orgc_uuid)
}

/// What ZeroMQ sends when an event is published.
pub fn published(event: &Event) -> String {
    let (attributes, objects) = shown_parts(event, |a| {
        let tags: Vec<String> = a.tags.iter().map(|name| shown_tag(name)).collect();
        let tags = if tags.is_empty() { String::new() } else { format!(r#","Tag":[{}]"#, tags.join(",")) };
        shown_attribute(event, a, &format!(r#","Galaxy":[],"ShadowAttribute":[]{tags}"#))
    });
    let tags: Vec<String> = event.tags.iter().map(|name| shown_tag(name)).collect();
    let tags = if tags.is_empty() { String::new() } else { format!(r#","Tag":[{}]"#, tags.join(",")) };
    format!(
        r#"{{"Event":{{{},"Org":{},"Orgc":{},"Attribute":[{attributes}],"ShadowAttribute":[],"RelatedEvent":[],"Galaxy":[],"Object":[{objects}],"EventReport":[],"CryptographicKey":[]{tags}}}}}"#,
        published_event(event, ""),
        organisation(event.org_id, event),
        organisation(event.orgc_id, event),
    )
}

/// What Kafka gets when an event is published or unpublished.
pub fn raw_published(event: &Event, action: &str) -> String {
    let local = r#","local":false,"relationship_type":null"#;
    let (attributes, objects) = shown_parts(event, |a| {
        let tie = |name: &String| {
            let (tie, tag) = (number(name), tag(name, local));
            let id = a.id;
            format!(
                r#"{{"id":"{tie}","attribute_id":"{id}","tag_id":"{tie}","local":false,"relationship_type":"","Tag":{tag}}}"#
            )
        };
        let ties: Vec<String> = a.tags.iter().map(tie).collect();
        let end = format!(r#","AttributeTag":[{}],"Galaxy":[],"ShadowAttribute":[]"#, ties.join(","));
        shown_attribute(event, a, &end)
    });
    let tie = |name: &String| {
        let (id, tag) = (number(name), tag(name, local));
        let event = event.id;
        format!(
            r#"{{"id":"{id}","event_id":"{event}","tag_id":"{id}","local":false,"relationship_type":"","Tag":{tag}}}"#
        )
    };
    let ties: Vec<String> = event.tags.iter().map(tie).collect();
    let level = ["", "High", "Medium", "Low", "Undefined"][usize::from(event.threat_level)];
    format!(
        r#"{{"Event":{{{}}},"ThreatLevel":{{"name":"{level}","id":"{}"}},"Attribute":[{attributes}],"ShadowAttribute":[],"Object":[{objects}],"EventTag":[{}],"EventReport":[],"CryptographicKey":[],"Galaxy":[],"Orgc":{},"Org":{},"User":{{"email":"admin@admin.test"}},"RelatedEvent":[],"Sighting":[],"action":"{action}"}}"#,
        published_event(event, r#""user_id":"1","#),
        event.threat_level,
        ties.join(","),
        organisation(event.orgc_id, event),
        organisation(event.org_id, event),
    )
}
