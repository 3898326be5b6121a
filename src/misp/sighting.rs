//! Sightings: one request to MISP, and what its answer means.
//!
//! MISP answers 200 whether it took a sighting or not, and of a list of values it
//! says nothing about those that it does not know (recordings, `rest/sightings_*`).
//! So a list is only sent of values that a search has just shown to be there
//! ([`search`]); any other value goes alone, and MISP says of it what it thinks.
//! This file knows neither spool nor input.

use super::client::{Client, Failure};
use super::fetch::broken;
use super::stream::Broken;
use crate::error::{Error, Kind};
use crate::indicator::MispType;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Read;

/// Where sightings are added.
const ADD: &str = "/sightings/add";

/// Where attributes are searched.
const SEARCH: &str = "/attributes/restSearch";

/// What precedes MISP's reason.
const REASON: &str = "Could not add the Sighting. Reason: ";

/// An answer to one sighting has some 300 bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// A search answers with rows of 600 bytes, and of 300 for each sighting in them.
const MAX_ROWS_ANSWER: u64 = 64 << 20;

/// Rows of one search. A value that more attributes have is shown to be there by any of them.
pub const SEARCH_ROWS: usize = 5_000;

/// Whose sighting it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Of every attribute that has one of these values, also as half of a composite.
    Values(&'a [&'a str]),
    /// Of the attribute with this UUID.
    Uuid(&'a str),
    /// Of the attribute with this number.
    Attribute(u64),
}

/// What MISP notes of a sighting. The time is always ours: it is what tells the
/// same sighting from another one when an answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark<'a> {
    /// MISP's number of the type: 0 sighting, 1 false positive, 2 expiration.
    pub kind: u8,
    /// Who saw it.
    pub source: &'a str,
    /// Unix seconds.
    pub at: u64,
}

/// What MISP says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// At least one attribute got the sighting.
    Added,
    /// None did, and why.
    Refused(String),
}

/// Adds a sighting.
///
/// # Errors
/// See [`Failure`]; an answer that is not MISP's may help another time.
pub fn add(client: &Client, whose: Whose<'_>, mark: Mark<'_>) -> Result<Verdict, Failure> {
    let (path, body) = request(whose, mark);
    let answer = read(client, &path, body, MAX_ANSWER)?;
    match verdict(&answer) {
        Some(Verdict::Refused(reason)) => Ok(Verdict::Refused(client.quote(&reason))),
        Some(added) => Ok(added),
        None => Err(strange(client, &path)),
    }
}

/// The path and the body of an addition. The type is a text: MISP takes an earlier
/// expiration back only if it is.
pub fn request(whose: Whose<'_>, mark: Mark<'_>) -> (String, Value) {
    let mut body = json!({"source": mark.source, "type": mark.kind.to_string(), "timestamp": mark.at.to_string()});
    let mut path = ADD.to_owned();
    match whose {
        Whose::Values(values) => body["values"] = json!(values),
        Whose::Uuid(uuid) => body["uuid"] = json!(uuid),
        Whose::Attribute(id) => path.push_str(&format!("/{id}")),
    }
    (path, body)
}

/// What an answer with status 200 means; `None`: it is not MISP's.
pub fn verdict(answer: &Value) -> Option<Verdict> {
    if answer["Sighting"].is_object() {
        return Some(Verdict::Added);
    }
    let said = answer["message"].as_str().or(answer["errors"].as_str())?;
    Some(Verdict::Refused(said.strip_prefix(REASON).unwrap_or(said).to_owned()))
}

/// An attribute that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Seen {
    /// MISP's number.
    #[serde(deserialize_with = "number")]
    pub id: u64,
    /// Its UUID.
    pub uuid: String,
    #[serde(rename = "type")]
    kind: String,
    /// Its value, as MISP shows it.
    pub value: String,
    /// Its sightings, where they were asked for.
    #[serde(rename = "Sighting", default)]
    sightings: Vec<Noted>,
}

/// A sighting as a search shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Noted {
    org_id: Value,
    date_sighting: Value,
    #[serde(default)]
    source: Option<String>,
    #[serde(rename = "type")]
    kind: Value,
}

impl Seen {
    /// Whether MISP would find this attribute by that value: as the whole of it, or
    /// as one half of a composite. Case does not matter to MISP.
    pub fn has(&self, value: &str) -> bool {
        let wanted = value.to_lowercase();
        let same = |text: &str| text.to_lowercase() == wanted;
        if !(self.kind.contains('|') || self.kind == "malware-sample") {
            return same(&self.value);
        }
        self.value.split_once('|').is_some_and(|(first, second)| same(first) || same(second))
    }

    /// Whether it has this sighting, by this organisation.
    pub fn is_marked(&self, mark: Mark<'_>, organisation: Option<&str>) -> bool {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.sightings.iter().any(|noted| {
            text(&noted.kind) == mark.kind.to_string()
                && text(&noted.date_sighting) == mark.at.to_string()
                && noted.source.as_deref().unwrap_or_default() == mark.source
                && organisation.is_none_or(|id| text(&noted.org_id) == id)
        })
    }
}

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search<'a> {
    /// Attributes that have one of these values.
    Values(&'a [&'a str]),
    /// The attribute with this UUID.
    Uuid(&'a str),
    /// Addresses that match one of these patterns, `%` at their beginning.
    Addresses(&'a [String]),
    /// Indicators that are this value, and not those that have it for a half, such as the port
    /// of an address: of these there are more than a search shows.
    Whole(&'a str),
}

/// Whether a value means itself in a search: MISP reads some characters as operators.
pub fn is_searchable(value: &str) -> bool {
    let operators = ["||", "&&"].iter().any(|operator| value.contains(operator));
    !operators && !value.starts_with(['!', '%']) && !value.ends_with('%')
}

/// The live attributes that this key may see, [`SEARCH_ROWS`] at most, with their
/// sightings if these are asked for.
///
/// # Errors
/// See [`Failure`].
pub fn search(client: &Client, what: Search<'_>, with_sightings: bool) -> Result<Vec<Seen>, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        response: Rows,
    }
    #[derive(Deserialize)]
    struct Rows {
        #[serde(rename = "Attribute")]
        rows: Vec<Seen>,
    }
    let mut body = json!({"returnFormat": "json", "limit": SEARCH_ROWS, "page": 1});
    match what {
        Search::Values(values) => body["value"] = json!(values),
        Search::Uuid(uuid) => body["uuid"] = json!(uuid),
        Search::Addresses(patterns) => {
            body["value"] = json!(patterns);
            body["type"] = json!(["ip-src", "ip-dst"]);
        }
        Search::Whole(value) => {
            let whole: Vec<&str> = MispType::all().map(MispType::name).filter(|name| !name.contains('|')).collect();
            body["value"] = json!([value]);
            body["type"] = json!(whole);
        }
    }
    if with_sightings {
        body["includeSightings"] = json!(1);
    }
    let answer: Answer = read(client, SEARCH, body, MAX_ROWS_ANSWER)?;
    let mut rows = answer.response.rows;
    // MISP also searches events by UUID.
    if let Search::Uuid(uuid) = what {
        rows.retain(|row| row.uuid == uuid);
    }
    Ok(rows)
}

/// The organisation that this key's sightings are of, if MISP tells.
///
/// # Errors
/// See [`Failure`].
pub fn organisation(client: &Client) -> Result<Option<String>, Failure> {
    let me: Value = parse(client, "/users/view/me", client.get("/users/view/me")?, MAX_ANSWER)?;
    Ok(me["User"]["org_id"].as_str().map(str::to_owned))
}

fn read<T: for<'de> Deserialize<'de>>(
    client: &Client,
    path: &str,
    body: impl Serialize,
    most: u64,
) -> Result<T, Failure> {
    let bug = |e: serde_json::Error| Failure::Final(Error::new(Kind::Bug, format!("JSON cannot be written: {e}")));
    let body = serde_json::to_vec(&body).map_err(bug)?;
    parse(client, path, client.post(path, body)?, most)
}

fn parse<T: for<'de> Deserialize<'de>>(
    client: &Client,
    path: &str,
    answer: impl Read,
    most: u64,
) -> Result<T, Failure> {
    let mut bytes = Vec::new();
    answer.take(most).read_to_end(&mut bytes).map_err(|e| broken(client, path, Broken::Io(e)))?;
    serde_json::from_slice(&bytes).map_err(|e| {
        let what = if e.is_eof() { Broken::CutShort } else { Broken::NotJson(e.to_string()) };
        broken(client, path, what)
    })
}

fn strange(client: &Client, path: &str) -> Failure {
    let text = format!("{}{path}: the answer has neither a sighting nor a reason: is this MISP?", client.url());
    Failure::Passing(Error::new(Kind::Untrusted, text))
}

/// MISP writes its numbers as texts.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| serde::de::Error::custom("an id that is no number"))
}

#[cfg(test)]
#[path = "sighting_tests.rs"]
mod tests;
