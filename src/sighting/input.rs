//! What one line says was seen: a plain value, a JSON object of ours, a STIX
//! sighting or bundle, or an event of Logstash with the fields of our look-up
//! script. Pure.

use super::{Kind, Sighting, Subject, source, stix, time, uuid, value};
use serde_json::Value;

/// Most sightings of one line: a list has no end.
const MAX_OF_ONE: usize = 100_000;

/// What is not said by the line itself.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The type.
    pub kind: Kind,
    /// The source.
    pub source: String,
    /// Unix seconds.
    pub now: u64,
}

/// The sightings of one line or argument: each good one, and each that is none with
/// what is wrong. With `plain`, a line that is no JSON is a value.
pub fn read(text: &str, plain: bool, defaults: &Defaults) -> Vec<Result<Sighting, String>> {
    let text = text.trim().trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() {
        return Vec::new();
    }
    if !text.starts_with(['{', '[']) {
        if !plain {
            return vec![Err("a line that is no JSON object".to_owned())];
        }
        return vec![value(text).map(|subject| of_now(subject, defaults))];
    }
    match serde_json::from_str::<Value>(text) {
        Ok(parsed) => {
            let mut all = Vec::new();
            of_json(&parsed, defaults, &mut all);
            if all.len() > MAX_OF_ONE {
                all.truncate(MAX_OF_ONE);
                all.push(Err(format!("more than {MAX_OF_ONE} sightings in one line")));
            }
            all
        }
        // `[2001:db8::1]:443` is no broken JSON.
        Err(_) if plain && text.starts_with('[') && !text.contains(['"', '{', ',']) => {
            vec![value(text).map(|subject| of_now(subject, defaults))]
        }
        Err(e) => vec![Err(format!("JSON that cannot be read: {e}"))],
    }
}

fn of_now(subject: Subject, defaults: &Defaults) -> Sighting {
    Sighting { subject, kind: defaults.kind, source: defaults.source.clone(), at: defaults.now }
}

fn of_json(parsed: &Value, defaults: &Defaults, all: &mut Vec<Result<Sighting, String>>) {
    match parsed {
        Value::Array(items) => {
            for item in items {
                if item.is_object() {
                    of_json(item, defaults, all);
                } else {
                    all.push(Err("a list of something else than objects".to_owned()));
                }
            }
        }
        object if stix::is_stix(object) => stix::sightings(object, defaults, &mut |one| all.push(one)),
        object => match ours(object, defaults) {
            Ok(found) => all.extend(found),
            Err(why) => all.push(Err(why)),
        },
    }
}

/// An object of ours, or an event of Logstash. What they share are the marks around
/// the values; an event's own `type` and `source` are other things.
fn ours(object: &Value, defaults: &Defaults) -> Result<Vec<Result<Sighting, String>>, String> {
    if let Some(hits) = hits(object) {
        let at = object.get("@timestamp").map_or(Ok(defaults.now), time::read)?;
        return Ok(hits.into_iter().map(|hit| Ok(Sighting { at, ..of_now(value(hit?)?, defaults) })).collect());
    }
    let kind = match object.get("type").filter(|v| !v.is_null()) {
        None => defaults.kind,
        Some(Value::String(name)) => Kind::from_name(name).ok_or_else(unknown_type)?,
        Some(number) => Kind::from_name(&number.to_string()).ok_or_else(unknown_type)?,
    };
    let source = match object.get("source").filter(|v| !v.is_null()) {
        None => defaults.source.clone(),
        Some(text) => source(text.as_str().ok_or("a source that is no text")?)?,
    };
    let at = object.get("timestamp").filter(|v| !v.is_null()).map_or(Ok(defaults.now), time::read)?;
    let subjects: Vec<Result<Subject, String>> = match (object.get("value"), object.get("values"), object.get("uuid")) {
        (Some(one), None, None) => vec![value(text(one)?)],
        (None, Some(Value::Array(list)), None) => list.iter().map(|one| value(text(one)?)).collect(),
        (None, Some(one), None) => vec![value(text(one)?)],
        (None, None, Some(one)) => vec![uuid(text(one)?)],
        (None, None, None) => return Err("an object without value, values, uuid or misp.match".to_owned()),
        _ => return Err("an object with more than one of value, values and uuid".to_owned()),
    };
    if subjects.is_empty() {
        return Err("an object whose values are none".to_owned());
    }
    Ok(subjects
        .into_iter()
        .map(|subject| Ok(Sighting { subject: subject?, kind, source: source.clone(), at }))
        .collect())
}

/// What our look-up script found, as MISP has it; `None`: no event of Logstash, or one
/// without a hit.
fn hits(object: &Value) -> Option<Vec<Result<&str, String>>> {
    let found = object.get("misp").and_then(|misp| misp.get("match")).or_else(|| object.get("misp.match"))?;
    Some(match found {
        Value::Array(list) => list.iter().map(text).collect(),
        one => vec![text(one)],
    })
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "a value that is no text".to_owned())
}

fn unknown_type() -> String {
    "a type that is none of sighting, false-positive, expiration, 0, 1, 2".to_owned()
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
