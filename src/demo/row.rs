//! An attribute as MISP's search shows it, and an event as its index does, both
//! ways: the order of the fields here is the order of MISP's keys.
//!
//! It knows one row, not which rows are asked for.

use super::event::{Attribute, Event};
use super::sightings;
use super::world::World;
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

type Text<'a> = Cow<'a, str>;

/// One row of `/attributes/restSearch`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row<'a> {
    pub(super) id: Text<'a>,
    pub(super) event_id: Text<'a>,
    object_id: Text<'a>,
    object_relation: Option<Text<'a>>,
    category: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    to_ids: bool,
    uuid: Text<'a>,
    timestamp: Text<'a>,
    distribution: Text<'a>,
    sharing_group_id: Text<'a>,
    comment: Text<'a>,
    deleted: bool,
    disable_correlation: bool,
    first_seen: Option<Text<'a>>,
    last_seen: Option<Text<'a>>,
    value: Text<'a>,
    #[serde(rename = "Sighting", default, skip_serializing_if = "Option::is_none")]
    sightings: Option<Vec<RowSighting<'a>>>,
    #[serde(rename = "Event")]
    pub(super) event: RowEvent<'a>,
    #[serde(rename = "Object", default, skip_serializing_if = "Option::is_none")]
    object: Option<RowObject<'a>>,
    #[serde(rename = "Tag", default, skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Vec<RowTag<'a>>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RowEvent<'a> {
    pub(super) org_id: Text<'a>,
    pub(super) distribution: Text<'a>,
    pub(super) publish_timestamp: Text<'a>,
    id: Text<'a>,
    pub(super) info: Text<'a>,
    pub(super) orgc_id: Text<'a>,
    uuid: Text<'a>,
    // What `includeContext` adds, as far as the sample knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threat_level_id: Option<Text<'a>>,
    #[serde(rename = "Tag", default, skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<RowTag<'a>>>,
    #[serde(rename = "Orgc", default, skip_serializing_if = "Option::is_none")]
    creator: Option<RowOrganisation<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RowSighting<'a> {
    id: Text<'a>,
    attribute_id: Text<'a>,
    event_id: Text<'a>,
    org_id: Text<'a>,
    date_sighting: Text<'a>,
    uuid: Text<'a>,
    source: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    attribute_uuid: Text<'a>,
    #[serde(rename = "Organisation")]
    organisation: RowReporter<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RowReporter<'a> {
    id: Text<'a>,
    uuid: Text<'a>,
    name: Text<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RowOrganisation<'a> {
    id: Text<'a>,
    name: Text<'a>,
    uuid: Text<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RowObject<'a> {
    id: Text<'a>,
    distribution: Text<'a>,
    sharing_group_id: Text<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RowTag<'a> {
    pub(super) id: Text<'a>,
    pub(super) name: Text<'a>,
    pub(super) colour: Text<'a>,
    numerical_value: Option<i64>,
    is_galaxy: bool,
    pub(super) local: bool,
}

fn digits<'a>(number: u64) -> Text<'a> {
    Cow::Owned(number.to_string())
}

impl<'a> RowTag<'a> {
    fn new(world: &World, name: &'a str) -> RowTag<'a> {
        let label = world.label(name);
        RowTag {
            id: digits(label.id),
            name: name.into(),
            colour: label.colour.into(),
            numerical_value: None,
            is_galaxy: false,
            local: label.local,
        }
    }
}

impl<'a> Row<'a> {
    /// The row of an attribute.
    pub(super) fn new(world: &World, event: &'a Event, attribute: &'a Attribute) -> Row<'a> {
        let tags = attribute.tags.iter().map(|name| RowTag::new(world, name));
        Row {
            id: digits(attribute.id),
            event_id: digits(event.id),
            object_id: digits(attribute.object_id),
            object_relation: attribute.object_relation.as_deref().map(Cow::Borrowed),
            category: (&attribute.category).into(),
            kind: (&attribute.kind).into(),
            to_ids: attribute.to_ids,
            uuid: (&attribute.uuid).into(),
            timestamp: digits(attribute.timestamp),
            distribution: digits(attribute.distribution.into()),
            sharing_group_id: "0".into(),
            comment: (&attribute.comment).into(),
            deleted: attribute.deleted,
            disable_correlation: false,
            first_seen: attribute.first_seen.as_deref().map(Cow::Borrowed),
            last_seen: attribute.last_seen.as_deref().map(Cow::Borrowed),
            value: (&attribute.value).into(),
            sightings: None,
            event: RowEvent {
                org_id: digits(event.org_id),
                distribution: digits(event.distribution.into()),
                publish_timestamp: digits(event.publish_timestamp),
                id: digits(event.id),
                info: (&event.info).into(),
                orgc_id: digits(event.orgc_id),
                uuid: (&event.uuid).into(),
                threat_level_id: None,
                tags: None,
                creator: None,
            },
            object: (attribute.object_id != 0).then(|| RowObject {
                id: digits(attribute.object_id),
                distribution: "0".into(),
                sharing_group_id: "0".into(),
            }),
            tags: (!attribute.tags.is_empty()).then(|| tags.collect()),
        }
    }

    /// Adds what `includeContext` asks for.
    pub(super) fn add_context(&mut self, world: &World, event: &'a Event) {
        self.event.threat_level_id = Some(digits(event.threat_level.into()));
        let tags: Vec<RowTag> = event.tags.iter().map(|name| RowTag::new(world, name)).collect();
        self.event.tags = (!tags.is_empty()).then_some(tags);
        self.event.creator = Some(RowOrganisation {
            id: digits(event.orgc_id),
            name: (&event.orgc).into(),
            uuid: (&event.orgc_uuid).into(),
        });
    }

    /// Adds what `includeSightings` asks for.
    pub(super) fn add_sightings(&mut self, world: &'a World, event: &'a Event, attribute: &'a Attribute) {
        let shown = world.sightings_of(attribute.id).map(|(at, noted)| RowSighting {
            id: digits(at as u64 + 1),
            attribute_id: digits(noted.attribute),
            event_id: digits(noted.event),
            org_id: sightings::ORGANISATION.into(),
            date_sighting: (&noted.at).into(),
            uuid: sightings::uuid(at).into(),
            source: (&noted.source).into(),
            kind: (&noted.kind).into(),
            attribute_uuid: (&attribute.uuid).into(),
            organisation: RowReporter {
                id: sightings::ORGANISATION.into(),
                uuid: (&event.orgc_uuid).into(),
                name: (&event.orgc).into(),
            },
        });
        self.sightings = Some(shown.collect());
    }

    /// The attribute that gave this row.
    pub(super) fn into_attribute(self) -> Result<Attribute> {
        Ok(Attribute {
            id: number(&self.id)?,
            kind: self.kind.into_owned(),
            value: self.value.into_owned(),
            to_ids: self.to_ids,
            timestamp: number(&self.timestamp)?,
            category: self.category.into_owned(),
            uuid: self.uuid.into_owned(),
            comment: self.comment.into_owned(),
            tags: self.tags.into_iter().flatten().map(|t| t.name.into_owned()).collect(),
            deleted: self.deleted,
            warninglisted: false,
            decayed: false,
            object_id: number(&self.object_id)?,
            object_relation: self.object_relation.map(Cow::into_owned),
            distribution: number(&self.distribution)? as u8,
            first_seen: self.first_seen.map(Cow::into_owned),
            last_seen: self.last_seen.map(Cow::into_owned),
        })
    }
}

/// One row of `/events/index` with `minimal`.
#[derive(Debug, Serialize)]
pub(super) struct IndexRow<'a> {
    id: Text<'a>,
    timestamp: Text<'a>,
    sighting_timestamp: &'static str,
    published: bool,
    uuid: &'a str,
    orgc_uuid: &'a str,
}

impl<'a> IndexRow<'a> {
    pub(super) fn new(event: &'a Event) -> IndexRow<'a> {
        IndexRow {
            id: digits(event.id),
            timestamp: digits(event.timestamp),
            sighting_timestamp: "0",
            published: event.published,
            uuid: &event.uuid,
            orgc_uuid: &event.orgc_uuid,
        }
    }
}

/// A recorded index row, minimal or full.
#[derive(Deserialize)]
struct RecordedEvent {
    id: String,
    timestamp: String,
    published: bool,
    uuid: String,
    orgc_uuid: Option<String>,
    threat_level_id: Option<String>,
    #[serde(rename = "Orgc")]
    orgc: Option<RecordedOrganisation>,
    #[serde(rename = "EventTag", default)]
    tags: Vec<RecordedEventTag>,
}

#[derive(Deserialize)]
struct RecordedOrganisation {
    name: String,
    uuid: String,
}

#[derive(Deserialize)]
struct RecordedEventTag {
    #[serde(rename = "Tag")]
    tag: RecordedTag,
}

#[derive(Deserialize)]
struct RecordedTag {
    name: String,
}

#[derive(Deserialize)]
struct Answer {
    response: AnswerBody,
}

#[derive(Deserialize)]
struct AnswerBody {
    #[serde(rename = "Attribute")]
    rows: Vec<Row<'static>>,
}

/// The rows of a recorded search.
pub(super) fn parse_search(body: &str) -> Result<Vec<Row<'static>>> {
    let answer: Answer = serde_json::from_str(body).map_err(|e| untrusted("attribute search", &e))?;
    Ok(answer.response.rows)
}

/// The events of a recorded index, without their attributes.
pub(super) fn parse_index(body: &str) -> Result<Vec<Event>> {
    let rows: Vec<RecordedEvent> = serde_json::from_str(body).map_err(|e| untrusted("event index", &e))?;
    rows.into_iter()
        .map(|row| {
            let mut event = Event::new("");
            event.id = number(&row.id)?;
            event.timestamp = number(&row.timestamp)?;
            event.published = row.published;
            event.uuid = row.uuid;
            if let Some(level) = row.threat_level_id {
                event.threat_level = number(&level)? as u8;
            }
            if let Some(organisation) = row.orgc {
                event.orgc = organisation.name;
                event.orgc_uuid = organisation.uuid;
            } else if let Some(uuid) = row.orgc_uuid {
                event.orgc_uuid = uuid;
            }
            event.tags = row.tags.into_iter().map(|t| t.tag.name).collect();
            Ok(event)
        })
        .collect()
}

/// A number as MISP writes it.
pub(super) fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::new(Kind::Untrusted, format!("{text:?} is no number")))
}

fn untrusted(what: &str, error: &serde_json::Error) -> Error {
    Error::new(Kind::Untrusted, format!("no answer to an {what}: {error}"))
}
