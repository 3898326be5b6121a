//! One message of MISP, by either transport. Pure.
//!
//! ZeroMQ sends `TOPIC JSON` in one frame, Kafka the JSON alone under topics that
//! everybody names as they like. The objects are the same, but for the publishing of
//! an event; so a message's kind is read from the JSON, and the topic does not count
//! (recordings, "ZeroMQ" and "Kafka").

use crate::misp::attribute::{Attribute, number};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Messages of more bytes are not read: MISP's have a few kilobytes, but for the whole
/// event that is sent when it is published, of which only the id counts.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// What a message says.
#[derive(Debug)]
pub enum Message<'a> {
    /// An attribute was added, edited or deleted.
    Attribute(Box<Change<'a>>),
    /// An event was added or edited.
    Event(u64),
    /// An event was deleted; no message follows for its attributes.
    EventGone(u64),
    /// An event was published; sent before its flag is set.
    Published(u64),
    /// An object of this event was edited or deleted. A new one has no attributes yet.
    Object(u64),
    /// A tag was attached to this event or one of its attributes, or detached.
    Tagged(u64),
    /// A tag was renamed or deleted, wherever it was attached.
    Tag(Cow<'a, str>),
    /// The publisher is alive: sent after ten seconds without another message.
    Alive,
    /// Sightings, audit logs and whatever else changes no indicator.
    Other,
}

/// What became of an attribute.
#[derive(Debug)]
pub struct Change<'a> {
    /// The attribute as it is now.
    pub attribute: Attribute<'a>,
    /// Its category.
    pub category: Cow<'a, str>,
    /// What was done with it.
    pub action: Action,
    /// Who may see it, as far as the message tells.
    pub shared: Shared,
    /// What the message says of its event; a hard delete says nothing.
    pub event: Option<EventOf<'a>>,
}

/// What was done with an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Add,
    /// It was edited, restored, or tagged; its value before may have been another one.
    Edit,
    /// It was deleted, for good or softly.
    Delete,
}

/// Whether everybody on the server may see an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// The event, the object and the attribute are for this community or a wider one.
    WithAll,
    /// One of them is for an organisation or a sharing group only, or nothing is said of it.
    Perhaps,
}

/// The event of an attribute's message.
#[derive(Debug, Deserialize)]
pub struct EventOf<'a> {
    #[serde(deserialize_with = "number", default)]
    distribution: u64,
    /// 1 (high) to 4 (undefined); 0 where nothing is said.
    #[serde(deserialize_with = "number", default)]
    pub threat_level_id: u64,
    /// The id of the organisation that created it.
    #[serde(deserialize_with = "number", default)]
    pub orgc_id: u64,
    /// That organisation.
    #[serde(rename = "Orgc", default, borrow)]
    pub creator: Option<Creator<'a>>,
}

/// An organisation.
#[derive(Debug, Deserialize)]
pub struct Creator<'a> {
    /// Its name.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// Its UUID.
    #[serde(borrow, default)]
    pub uuid: Cow<'a, str>,
}

/// The parts that tell kinds apart.
#[derive(Deserialize)]
struct Envelope<'a> {
    /// A map; under Kafka's event_publish a list beside `Event`.
    #[serde(rename = "Attribute", default, borrow)]
    attribute: Option<&'a RawValue>,
    #[serde(rename = "Event", default, borrow)]
    event: Option<&'a RawValue>,
    #[serde(rename = "Object", default, borrow)]
    object: Option<&'a RawValue>,
    #[serde(rename = "Tag", default, borrow)]
    tag: Option<&'a RawValue>,
    #[serde(rename = "Sighting", default, borrow)]
    sighting: Option<&'a RawValue>,
    #[serde(rename = "Log", default, borrow)]
    log: Option<&'a RawValue>,
    #[serde(default, borrow)]
    status: Option<&'a RawValue>,
    #[serde(default, borrow)]
    uptime: Option<&'a RawValue>,
    #[serde(default, borrow)]
    action: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct EventId {
    #[serde(deserialize_with = "number")]
    id: u64,
}

#[derive(Deserialize)]
struct OfEvent {
    #[serde(deserialize_with = "number")]
    event_id: u64,
    #[serde(deserialize_with = "number", default)]
    distribution: u64,
}

#[derive(Deserialize)]
struct TagOf<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(deserialize_with = "number", default)]
    event_id: u64,
}

#[derive(Deserialize)]
struct Beside<'a> {
    #[serde(borrow, default)]
    category: Cow<'a, str>,
    #[serde(deserialize_with = "number", default)]
    distribution: u64,
    #[serde(deserialize_with = "number", default)]
    object_id: u64,
}

/// Why a message says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// More bytes than any message needs.
    TooLong,
    /// The bytes are no UTF-8.
    NotText,
    /// The text is no JSON, or no object.
    NotJson,
    /// A field that MISP always sends is missing, or is of another type.
    NotMisps,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Broken::TooLong => "it is too long",
            Broken::NotText => "it is no UTF-8",
            Broken::NotJson => "it is no JSON object",
            Broken::NotMisps => "a field of MISP's is missing or of another type",
        })
    }
}

/// The JSON of a ZeroMQ frame, behind topic and blank.
pub fn body(frame: &[u8]) -> &[u8] {
    let at = frame.iter().position(|byte| *byte == b' ');
    at.map_or(frame, |at| &frame[at + 1..])
}

/// What a message's JSON says.
///
/// # Errors
/// See [`Broken`].
pub fn read(json: &[u8]) -> Result<Message<'_>, Broken> {
    if json.len() > MAX_MESSAGE {
        return published(json).ok_or(Broken::TooLong);
    }
    let text = std::str::from_utf8(json).map_err(|_| Broken::NotText)?;
    // serde would take a list as the fields in their order; so in `part`.
    if !text.trim_start().starts_with('{') {
        return Err(Broken::NotJson);
    }
    let parts: Envelope = serde_json::from_str(text).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => Broken::NotMisps,
        _ => Broken::NotJson,
    })?;
    if parts.log.is_some() || parts.sighting.is_some() && parts.attribute.is_none() && parts.event.is_none() {
        return Ok(Message::Other);
    }
    let action = parts.action.as_deref().unwrap_or_default();
    let is_map = |raw: &&RawValue| raw.get().starts_with('{');
    if let Some(attribute) = parts.attribute.filter(is_map) {
        return change(attribute, &parts, action).map(|change| Message::Attribute(Box::new(change)));
    }
    if let Some(event) = parts.event {
        let EventId { id } = part(event)?;
        return Ok(match action {
            "delete" => Message::EventGone(id),
            "add" | "edit" | "unpublish" => Message::Event(id),
            // Kafka says it, ZeroMQ sends the whole event without an action.
            _ => Message::Published(id),
        });
    }
    if let Some(object) = parts.object {
        let OfEvent { event_id, .. } = part(object)?;
        return Ok(if action == "add" { Message::Other } else { Message::Object(event_id) });
    }
    if let Some(tag) = parts.tag {
        let TagOf { name, event_id } = part(tag)?;
        return Ok(match (event_id, action) {
            (0, "add") => Message::Other,
            (0, _) => Message::Tag(name),
            (event, _) => Message::Tagged(event),
        });
    }
    Ok(if parts.status.is_some() && parts.uptime.is_some() { Message::Alive } else { Message::Other })
}

/// The id of an event that is sent whole: it stands first.
fn published(json: &[u8]) -> Option<Message<'static>> {
    let rest = json.strip_prefix(br#"{"Event":{"id":""#)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok().map(Message::Published)
}

fn part<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Broken> {
    if !raw.get().starts_with('{') {
        return Err(Broken::NotMisps);
    }
    serde_json::from_str(raw.get()).map_err(|_| Broken::NotMisps)
}

fn change<'a>(raw: &'a RawValue, parts: &Envelope<'a>, action: &str) -> Result<Change<'a>, Broken> {
    let attribute: Attribute<'a> = part(raw)?;
    let beside: Beside<'a> = part(raw)?;
    let event: Option<EventOf<'a>> = parts.event.map(part).transpose()?;
    let object: Option<OfEvent> = parts.object.map(part).transpose()?;
    // 1 to 3: this community, connected ones, all; 5: as the event.
    let wide = |level: u64| (1..=3).contains(&level);
    let inherits = |level: u64| wide(level) || level == 5;
    let with_all = event.as_ref().is_some_and(|e| wide(e.distribution))
        && inherits(beside.distribution)
        && (beside.object_id == 0 || object.is_some_and(|o| inherits(o.distribution)));
    Ok(Change {
        attribute,
        category: beside.category,
        action: match action {
            "add" => Action::Add,
            "delete" | "soft-delete" => Action::Delete,
            _ => Action::Edit,
        },
        shared: if with_all { Shared::WithAll } else { Shared::Perhaps },
        event,
    })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
