//! Sightings of STIX 2.1: single objects and bundles, as Threat Bus and others send
//! them. The indicator that was seen is named by MISP's UUID of the attribute. Pure.

use super::input::Defaults;
use super::{Sighting, source, time, uuid};
use serde_json::Value;

/// What the reference to an attribute of MISP begins with.
const INDICATOR: &str = "indicator--";

/// Whether this is STIX, and not a sighting of ours with the type `sighting`.
pub fn is_stix(object: &Value) -> bool {
    object["type"] == "bundle" || object.get("sighting_of_ref").is_some()
}

/// The sightings of an object or a bundle; other objects of a bundle are passed over.
pub fn sightings(object: &Value, defaults: &Defaults, each: &mut impl FnMut(Result<Sighting, String>)) {
    if object["type"] != "bundle" {
        each(one(object, defaults));
        return;
    }
    let objects = object["objects"].as_array().map_or(&[][..], Vec::as_slice);
    let mut found = objects.iter().filter(|o| o["type"] == "sighting").peekable();
    if found.peek().is_none() {
        each(Err("a bundle without a sighting".to_owned()));
    }
    found.for_each(|object| each(one(object, defaults)));
}

fn one(object: &Value, defaults: &Defaults) -> Result<Sighting, String> {
    if object["type"] != "sighting" {
        return Err("a STIX object that is no sighting".to_owned());
    }
    if object["revoked"] == true {
        return Err("a sighting that is revoked".to_owned());
    }
    if object["count"] == 0 {
        return Err("a sighting with a count of 0: it was not seen".to_owned());
    }
    let seen = object["sighting_of_ref"].as_str().unwrap_or_default();
    let seen = seen.strip_prefix(INDICATOR).ok_or_else(|| format!("sighting_of_ref is not {INDICATOR}UUID"))?;
    let times = ["last_seen", "first_seen", "created"];
    let at = times.iter().find_map(|name| object.get(*name).filter(|time| !time.is_null()));
    Ok(Sighting {
        subject: uuid(seen).map_err(|_| format!("sighting_of_ref is not {INDICATOR}UUID"))?,
        kind: defaults.kind,
        source: match object["x_threatbus_source"].as_str() {
            Some(text) if !text.trim().is_empty() => source(text)?,
            _ => defaults.source.clone(),
        },
        at: at.map_or(Ok(defaults.now), time::read)?,
    })
}
