//! `/sightings/add` of the sample MISP, as it was recorded: by value, UUID or number,
//! with status 200 whatever comes of it.
//!
//! It changes the world, and knows no other request.

use super::answer::{BAD_JSON, Options, failure, json};
use super::http::{Request, Response};
use super::world::World;
use serde::Serialize;
use serde_json::{Value, json as object};
use std::collections::HashSet;

/// A sighting of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// The attribute's number.
    pub attribute: u64,
    /// Its event's.
    pub event: u64,
    /// When, as it was sent.
    pub at: String,
    /// Who saw it.
    pub source: String,
    /// MISP's number of the type.
    pub kind: String,
}

/// The organisation of the one key.
pub(super) const ORGANISATION: &str = "1";

const UNKNOWN: &str = "No valid attributes found that match the criteria.";

/// The response, if this is a request for one.
pub fn answer(request: &Request, world: &mut World, options: &Options) -> Option<Response> {
    let path = request.path.split('?').next().unwrap_or_default();
    let rest = path.strip_prefix("/sightings/add")?;
    if request.header("Authorization") != Some(options.key.as_str()) || request.method != "POST" {
        return None;
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return Some(failure(405, BAD_JSON, path)) };
    Some(match add(world, rest.trim_start_matches('/'), &body, options.now) {
        Ok(at) => pretty(&shown(world, at)),
        Err(why) => {
            json(200, object!({"message": format!("Could not add the Sighting. Reason: {why}")}).to_string().into())
        }
    })
}

/// The place of the last sighting that was added.
fn add(world: &mut World, id: &str, body: &Value, now: u64) -> Result<usize, &'static str> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let of = |name: &str| body.get(name).map(text);
    let kind = of("type").unwrap_or_else(|| "0".into());
    if !["0", "1", "2"].contains(&kind.as_str()) {
        return Err("Invalid type, please change it before you POST 1000000 sightings.");
    }
    let id = if id.is_empty() { of("uuid").or_else(|| of("id")) } else { Some(id.to_owned()) };
    let values: HashSet<String> = match (body.get("value"), body.get("values")) {
        (Some(one), _) => [text(one).to_lowercase()].into(),
        (None, Some(Value::Array(list))) => list.iter().map(|one| text(one).to_lowercase()).collect(),
        (None, Some(one)) => [text(one).to_lowercase()].into(),
        (None, None) => HashSet::new(),
    };
    if id.is_none() && values.is_empty() {
        return Err("No valid attributes found.");
    }
    let mut found = Vec::new();
    for event in world.events() {
        for attribute in event.attributes.iter().filter(|a| !a.deleted) {
            let meant = match &id {
                Some(id) if id.len() == 36 => attribute.uuid == *id,
                Some(id) => attribute.id.to_string() == *id,
                None => halves(&attribute.kind, &attribute.value).any(|half| values.contains(&half.to_lowercase())),
            };
            if meant {
                found.push((attribute.id, event.id));
            }
        }
    }
    found.sort_unstable();
    let source = of("source").unwrap_or_default().trim().to_owned();
    let at = of("timestamp").unwrap_or_else(|| now.to_string());
    for (attribute, event) in &found {
        let noted =
            Noted { attribute: *attribute, event: *event, at: at.clone(), source: source.clone(), kind: kind.clone() };
        world.note(noted);
    }
    if found.is_empty() { Err(UNKNOWN) } else { Ok(world.sightings().len() - 1) }
}

/// What MISP has in its two columns; the second may be empty.
pub(super) fn halves<'a>(kind: &str, value: &'a str) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
    let composite = kind.contains('|') || kind == "malware-sample";
    let (first, second) = value.split_once('|').filter(|_| composite).unwrap_or((value, ""));
    [first, second].into_iter()
}

fn shown(world: &World, at: usize) -> Value {
    let noted = &world.sightings()[at];
    object!({"Sighting": {
        "id": (at + 1).to_string(), "attribute_id": noted.attribute.to_string(), "event_id": noted.event.to_string(),
        "org_id": ORGANISATION, "date_sighting": noted.at, "uuid": uuid(at), "source": noted.source, "type": noted.kind,
    }})
}

/// A sighting's UUID, made up from its place.
pub(super) fn uuid(at: usize) -> String {
    format!("0000000f-0000-4000-8000-{:012x}", at + 1)
}

fn pretty(value: &Value) -> Response {
    let mut body = Vec::new();
    let four_blanks = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    match value.serialize(&mut serde_json::Serializer::with_formatter(&mut body, four_blanks)) {
        Ok(()) => json(200, body),
        Err(_) => failure(500, "An Internal Error Has Occurred.", "/sightings/add"),
    }
}
