//! Requests that add events, attributes and tags, and that publish, as MISP 2.5.1
//! answers them: with status 200 where an attribute was dropped, with 404 where an event
//! is there already, with 403 where it is on the blocklist.
//!
//! Pure but for the world it is handed. The blocklist's words are those of MISP's
//! source; all others are recorded.

use super::answer::{BAD_JSON, Options, failure, json};
use super::event::{Attribute, Event};
use super::http::{Request, Response};
use super::world::World;
use crate::indicator::MispType;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

const EXISTS: &str = "Event already exists, if you would like to edit it, use the url in the location header.";
const BLOCKED: &str = "Event blocked by event blocklist.";
const DUPLICATE: &str = "A similar attribute already exists for this event.";

/// Types that are known and never loaded.
const OTHER_TYPES: [&str; 7] = ["text", "comment", "other", "link", "target-user", "port", "AS"];

/// The response to a request that writes, or that shows one event; `None`: another kind
/// of request, or a key that is not let in.
pub fn answer(request: &Request, world: &mut World, options: &Options) -> Option<Response> {
    if request.header("Authorization") != Some(options.key.as_str()) {
        return None;
    }
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let response = match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["events", "view", event, rest @ ..]) => view(world, event, rest.contains(&"deleted:1"), path),
        ("POST", ["events", "add"]) => with_body(request, path, |body| add_event(world, body, options, path)),
        ("POST", ["events", "publish", id]) => publish(world, id, options.now, path),
        ("POST", ["attributes", "add", id]) => {
            with_body(request, path, |body| add_attributes(world, id, body, options, path))
        }
        ("POST", ["tags", "attachTagToObject"]) => with_body(request, path, |body| attach(world, &body, options, path)),
        _ => return None,
    };
    Some(response)
}

fn with_body(request: &Request, path: &str, answer: impl FnOnce(Value) -> Response) -> Response {
    match serde_json::from_slice(&request.body) {
        Ok(body) => answer(body),
        Err(_) => failure(405, BAD_JSON, path),
    }
}

fn add_event(world: &mut World, body: Value, options: &Options, path: &str) -> Response {
    let sent = body.get("Event").unwrap_or(&body);
    let text = |name: &str| text(&sent[name]);
    let uuid = text("uuid").unwrap_or_default();
    if world.is_blocked(&uuid) {
        return failure(403, BLOCKED, path);
    }
    if let Some(event) = world.event_by_uuid(&uuid) {
        let location = format!("http://misp.example/events/{}", event.id);
        let mut response = failure(404, EXISTS, path);
        response.headers.push(("Location".into(), location));
        return response;
    }
    let info = text("info").unwrap_or_default();
    if info.is_empty() {
        let errors = json!({"Event": {"info": ["valueNotEmpty"]}});
        return unsaved("Could not add Event", path, errors);
    }
    let mut event = Event::new(&info);
    event.uuid = uuid;
    event.date = text("date").unwrap_or_else(|| today(options.now));
    event.threat_level = text("threat_level_id").and_then(|n| n.parse().ok()).unwrap_or(4);
    event.distribution = text("distribution").and_then(|n| n.parse().ok()).unwrap_or(1);
    let tags = sent["Tag"].as_array().into_iter().flatten();
    event.tags = tags.filter_map(|tag| tag["name"].as_str().map(str::to_owned)).collect();
    let attributes = sent["Attribute"].as_array().into_iter().flatten();
    // Not a word of those that are dropped.
    for attribute in attributes.filter_map(|sent| attribute(sent).ok()) {
        if !event.attributes.iter().any(|a| a.kind == attribute.kind && a.value == attribute.value) {
            event.attributes.push(attribute);
        }
    }
    let id = world.add_event(event, options.now);
    view(world, &id.to_string(), false, path)
}

fn view(world: &World, which: &str, with_deleted: bool, path: &str) -> Response {
    let event = which.parse().ok().and_then(|id| world.event(id)).or_else(|| world.event_by_uuid(which));
    let Some(event) = event else { return failure(404, "Invalid event", path) };
    let attributes = event.attributes.iter().filter(|a| with_deleted || !a.deleted);
    let organisation =
        json!({"id": event.orgc_id.to_string(), "name": event.orgc, "uuid": event.orgc_uuid, "local": true});
    let mut shown = json!({
        "id": event.id.to_string(), "orgc_id": event.orgc_id.to_string(), "org_id": event.org_id.to_string(),
        "date": event.date, "threat_level_id": event.threat_level.to_string(), "info": event.info,
        "published": event.published, "uuid": event.uuid,
        "attribute_count": event.attributes.iter().filter(|a| !a.deleted).count().to_string(), "analysis": "0",
        "timestamp": event.timestamp.to_string(), "distribution": event.distribution.to_string(),
        "proposal_email_lock": false, "locked": false, "publish_timestamp": event.publish_timestamp.to_string(),
        "sharing_group_id": "0", "disable_correlation": false, "extends_uuid": "", "protected": null,
        "event_creator_email": "admin@admin.test", "Org": organisation, "Orgc": organisation,
        "Attribute": attributes.map(|a| shown(event.id, a)).collect::<Vec<_>>(),
        "ShadowAttribute": [], "RelatedEvent": [], "Galaxy": [], "Object": [], "EventReport": [], "CryptographicKey": [],
    });
    if !event.tags.is_empty() {
        let tag = |name: &String| {
            let label = world.label(name);
            json!({"id": label.id.to_string(), "name": name, "colour": label.colour, "local": label.local})
        };
        shown["Tag"] = event.tags.iter().map(tag).collect();
    }
    pretty(200, &json!({ "Event": shown }))
}

/// An attribute as an event shows it.
fn shown(event: u64, a: &Attribute) -> Value {
    json!({
        "id": a.id.to_string(), "type": a.kind, "category": a.category, "to_ids": a.to_ids, "uuid": a.uuid,
        "event_id": event.to_string(), "distribution": a.distribution.to_string(), "timestamp": a.timestamp.to_string(),
        "comment": a.comment, "sharing_group_id": "0", "deleted": a.deleted, "disable_correlation": false,
        "object_id": "0", "object_relation": null, "first_seen": a.first_seen, "last_seen": a.last_seen,
        "value": a.value, "Galaxy": [], "ShadowAttribute": [],
    })
}

fn publish(world: &mut World, id: &str, now: u64, path: &str) -> Response {
    if !id.parse().is_ok_and(|id| world.publish(id, now)) {
        return failure(404, "Invalid event.", path);
    }
    let message = "Event published without alerts";
    pretty(200, &json!({"saved": true, "success": true, "name": message, "message": message, "url": path, "id": id}))
}

fn add_attributes(world: &mut World, id: &str, body: Value, options: &Options, path: &str) -> Response {
    let Some(event) = id.parse().ok().filter(|id| world.event(*id).is_some()) else {
        return failure(404, "Invalid event", path);
    };
    let sent = match body {
        Value::Array(list) => list,
        one => vec![one],
    };
    let (mut added, mut errors) = (Vec::new(), Map::new());
    for (at, sent) in sent.iter().enumerate() {
        let result = attribute(sent).and_then(|attribute| {
            let draft = attribute.clone();
            let id = world.add_attribute(event, attribute, options.now);
            let id = id.ok_or_else(|| json!({"value": [DUPLICATE]}))?;
            Ok(Attribute { id, timestamp: options.now, ..draft })
        });
        match result {
            Ok(attribute) => {
                let mut row = shown(event, &attribute);
                let (first, second) = attribute.value.split_once('|').unwrap_or((&attribute.value, ""));
                row["value1"] = first.into();
                row["value2"] = second.into();
                added.push(row);
            }
            Err(why) => {
                errors.insert(format!("attribute_{at}"), why);
            }
        }
    }
    if added.is_empty() {
        let own = if sent.len() == 1 { errors.remove("attribute_0") } else { None };
        return unsaved("Could not add Attribute", "/attributes/add", own.unwrap_or(Value::Object(errors)));
    }
    let mut answer = match <[Value; 1]>::try_from(added) {
        Ok([one]) => json!({"Attribute": one, "AttributeTag": []}),
        Err(many) => json!({ "Attribute": many }),
    };
    if !errors.is_empty() {
        answer["errors"] = Value::Object(errors);
    }
    pretty(200, &answer)
}

fn attach(world: &mut World, body: &Value, options: &Options, path: &str) -> Response {
    let uuid = body["uuid"].as_str().unwrap_or_default();
    let Some(id) = world.event_by_uuid(uuid).map(|event| event.id) else {
        return failure(404, "Invalid Target.", path);
    };
    let name = body["tag"].as_str().unwrap_or_default();
    world.tag_event(id, name, options.now);
    let message = format!("Global tag {name}({}) successfully attached to Event({id}).", world.label(name).id);
    pretty(200, &json!({"saved": true, "success": true, "name": message, "message": message, "url": path}))
}

/// The attribute that was sent, or why MISP does not take it.
fn attribute(sent: &Value) -> Result<Attribute, Value> {
    let text = |name: &str| text(&sent[name]).unwrap_or_default();
    let (kind, value) = (text("type"), text("value"));
    if MispType::from_name(&kind).is_none() && !OTHER_TYPES.contains(&kind.as_str()) {
        return Err(json!({"type": ["Invalid type."]}));
    }
    let value = normalised(&kind, value.trim())?;
    let mut attribute = Attribute::new(&kind, &value);
    attribute.to_ids = sent["to_ids"] != false;
    attribute.uuid = text("uuid");
    attribute.comment = text("comment");
    attribute.first_seen = sent["first_seen"].as_str().map(moment);
    attribute.last_seen = sent["last_seen"].as_str().map(moment);
    if let Some(category) = sent["category"].as_str() {
        attribute.category = category.to_owned();
    }
    Ok(attribute)
}

/// The value as MISP stores it, of the types whose refusal is recorded.
fn normalised(kind: &str, value: &str) -> Result<String, Value> {
    let digits = match kind {
        "md5" => 32,
        "sha1" => 40,
        "sha256" => 64,
        "ip-src" | "ip-dst" => {
            let (address, network) = value.split_once('/').unwrap_or((value, ""));
            let address: IpAddr =
                address.parse().map_err(|_| json!({"value": ["IP address has an invalid format."]}))?;
            return Ok(if network.is_empty() { address.to_string() } else { format!("{address}/{network}") });
        }
        "domain" | "hostname" => return Ok(value.to_lowercase()),
        _ => return Ok(value.to_owned()),
    };
    if value.len() != digits || !value.bytes().all(|b| b.is_ascii_hexdigit()) {
        let why = format!(
            "Checksum has an invalid length or format (expected: {digits} hexadecimal characters). Please double check \
             the value or select type \"other\"."
        );
        return Err(json!({"value": [why]}));
    }
    Ok(value.to_lowercase())
}

/// A time in UTC as MISP shows it: six digits of a second, and no `Z`.
fn moment(sent: &str) -> String {
    match sent.strip_suffix('Z') {
        Some(time) => {
            let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
            format!("{time}.{fraction:0<6}+00:00")
        }
        None => sent.to_owned(),
    }
}

fn unsaved(message: &str, url: &str, errors: Value) -> Response {
    pretty(403, &json!({"saved": false, "name": message, "message": message, "url": url, "errors": errors}))
}

fn pretty(status: u16, body: &Value) -> Response {
    json(status, format!("{body:#}").into_bytes())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn today(now: u64) -> String {
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(now)).to_string();
    time.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// What people and we look at in an answer.
    fn gist(body: &Value) -> Value {
        let attribute = |a: &Value| {
            json!([a["type"], a["value"], a["to_ids"], a["category"], a["comment"], a["first_seen"], a["last_seen"]])
        };
        let attributes = |of: &Value| match &of["Attribute"] {
            Value::Array(list) => list.iter().map(attribute).collect(),
            one => attribute(one),
        };
        let event = &body["Event"];
        json!([
            body["message"],
            body["errors"],
            body["saved"],
            event["info"],
            event["published"],
            event["threat_level_id"],
            attributes(if event.is_null() { body } else { event })
        ])
    }

    /// The recordings lie beside the checkout, not in it; without them there is nothing to compare.
    #[test]
    fn as_a_real_misp_answers() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/misp-recordings");
        if !directory.exists() {
            println!("no recordings in {}: nothing compared", directory.display());
            return;
        }
        let mut world = World::new();
        // The events that the recordings' requests are about.
        for id in 1..=7 {
            let mut event = Event::new("known");
            match id {
                1 => event.uuid = "d0cbef75-a69b-4fe1-967f-cf6bed57112f".into(),
                7 => event.uuid = "356c2232-4d81-4cf0-8868-f74092959a91".into(),
                _ => {}
            }
            world.add_event(event, 1);
        }
        let options = Options::new("REDACTED", 1_795_221_093);
        for name in [
            "events/events_add_minimal",
            "events/events_add_same_uuid",
            "events/events_add_bad_attribute",
            "events/events_add_no_info",
            "events/events_publish_missing",
            "events/tags_attach_unknown_uuid",
            "rest/attributes_add_ok",
            "rest/attributes_add_duplicate",
            "rest/attributes_add_invalid",
            "rest/attributes_add_unknown_type",
            "rest/attributes_add_bulk_one_bad",
            "rest/events_view_missing",
        ] {
            let recording = std::fs::read(directory.join(format!("{name}.json"))).unwrap();
            let recording: Value = serde_json::from_slice(&recording).unwrap();
            let (asked, said) = (&recording["request"], &recording["response"]);
            let request = Request {
                method: asked["method"].as_str().unwrap().into(),
                path: asked["path"].as_str().unwrap().into(),
                headers: vec![("Authorization".into(), "REDACTED".into())],
                body: asked["body"].as_str().unwrap_or_default().into(),
            };
            let response = answer(&request, &mut world, &options).unwrap();
            assert_eq!(Value::from(response.status), said["status"], "{name}");
            let ours: Value = serde_json::from_slice(&response.body).unwrap();
            let theirs: Value = serde_json::from_str(said["body"].as_str().unwrap()).unwrap();
            assert_eq!(gist(&ours), gist(&theirs), "{name}");
            let keys = |v: &Value| v["Event"].as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
            assert_eq!(
                keys(&ours).map(|mut k| {
                    k.sort();
                    k
                }),
                keys(&theirs).map(|mut k| {
                    k.sort();
                    k
                }),
                "{name}"
            );
        }
    }

    #[test]
    fn a_deleted_event_is_blocked() {
        let mut world = World::new();
        let mut event = Event::new("e");
        event.uuid = "u".into();
        let id = world.add_event(event, 1);
        assert!(world.delete_event(id));
        let request = Request {
            method: "POST".into(),
            path: "/events/add".into(),
            headers: vec![("Authorization".into(), "k".into())],
            body: br#"{"Event": {"uuid": "u", "info": "e"}}"#.to_vec(),
        };
        assert_eq!(answer(&request, &mut world, &Options::new("k", 1)).unwrap().status, 403);
        assert!(answer(&request, &mut world, &Options::new("other", 1)).is_none());
    }
}
