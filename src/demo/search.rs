//! The parameters of an attribute search: how MISP reads them, and which
//! attributes they match.
//!
//! It knows neither pages nor answers. A parameter that MISP would honour and
//! that is not known here is an error; one that MISP drops is dropped.

use super::event::{Attribute, Event};
use super::sightings::halves;
use super::words::{Case, Words};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashSet};

/// Why a search cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// MISP fails on it with status 500.
    Broken,
    /// MISP honours it, the sample does not (status 501).
    Unsupported(String),
}

/// Parameters that MISP honours in some way and the sample does not.
const UNSUPPORTED: &[&str] = &[
    "object_relation",
    "eventinfo",
    "first_seen",
    "last_seen",
    "from",
    "to",
    "sharinggroup",
    "score",
    "decayingModel",
    "includeEventTags",
    "includeAllTags",
    "includeEventUuid",
    "includeCorrelations",
    "includeDecayScore",
    "includeProposals",
    "includeWarninglistHits",
    "withAttachments",
    "attackGalaxy",
];

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// The events asked for where they are all named by number: batches are long.
    pub(super) event_ids: Option<BTreeSet<u64>>,
    events: Words,
    pub(super) types: Words,
    categories: Words,
    values: Words,
    /// The same where all of them are plain, in lower case: lists are long.
    plain_values: Option<HashSet<String>>,
    uuids: Words,
    organisations: Words,
    threat_levels: Words,
    tags: Words,
    to_ids: Option<bool>,
    published: Option<bool>,
    deleted: Deleted,
    timestamp: Option<Range>,
    event_timestamp: Option<Range>,
    publish_timestamp: Option<Range>,
    pub(super) enforce_warninglist: bool,
    pub(super) exclude_decayed: bool,
    /// Rows tell more of their events.
    pub(super) context: bool,
    /// Rows tell of their sightings.
    pub(super) sightings: bool,
    pub(super) limit: Limit,
    pub(super) page: u64,
    pub(super) order: Order,
}

/// Which attributes are meant by their deletion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Deleted {
    #[default]
    Live,
    Only,
    Both,
}

/// How many rows a page has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Limit {
    /// None given, or 0.
    #[default]
    Unlimited,
    /// A negative one: everything, but counted as a page is.
    Negative,
    /// So many rows.
    Rows(usize),
}

/// The order asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As the database has them.
    #[default]
    Unsorted,
    /// `Attribute.id asc`
    Ascending,
    /// `Attribute.id desc`
    Descending,
}

/// A span of Unix seconds, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    from: i64,
    to: i64,
}

impl Range {
    pub(super) fn holds(self, seconds: u64) -> bool {
        i64::try_from(seconds).is_ok_and(|s| self.from <= s && s <= self.to)
    }

    /// How MISP reads a time filter at `now`; `None`: no condition.
    pub(super) fn read(value: Option<&Value>, now: u64) -> Result<Option<Range>, Refusal> {
        match value {
            None | Some(Value::Null | Value::Bool(false)) => Ok(None),
            Some(Value::Array(ends)) => {
                let [a, b] = ends.as_slice() else { return Err(Refusal::Broken) };
                let (a, b) = (moment(a, now)?, moment(b, now)?);
                Ok(Some(Range { from: a.min(b), to: a.max(b) }))
            }
            Some(one) => {
                let from = moment(one, now)?;
                Ok((from != 0).then_some(Range { from, to: i64::MAX }))
            }
        }
    }
}

/// Seconds, a relative time, or text that cannot be read: that is now + 1 (no
/// dates here: MISP would read `2026-11-21`).
fn moment(value: &Value, now: u64) -> Result<i64, Refusal> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    match value {
        Value::Number(n) => Ok(n.as_f64().unwrap_or_default() as i64),
        Value::Bool(b) => Ok(i64::from(*b)),
        Value::String(text) => {
            if let Some(seconds) = plain_number(text) {
                return Ok(seconds as i64);
            }
            let unit = match text.chars().last().map(|c| c.to_ascii_lowercase()) {
                Some('d') => 86_400.0,
                Some('h') => 3600.0,
                Some('m') => 60.0,
                Some('s') => 1.0,
                _ => return Ok(now + 1),
            };
            Ok(plain_number(&text[..text.len() - 1]).map_or(now + 1, |n| now - (n * unit) as i64))
        }
        _ => Err(Refusal::Broken),
    }
}

/// Digits with an optional sign and fraction: Rust would also read `inf` and `1e5`.
fn plain_number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit()) && !digits.contains(['e', 'E']);
    plain.then(|| text.parse().ok()).flatten()
}

/// A switch as MISP reads it: any text but `0`, `exclude` and the empty one is yes, even "no".
fn switch(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Null | Value::Bool(false) | Value::Object(_) => None,
        Value::Bool(true) => Some(true),
        Value::Number(n) => Some(n.as_f64() != Some(0.0)),
        Value::String(text) => Some(!matches!(text.as_str(), "" | "0" | "exclude")),
        Value::Array(list) => {
            let mut said = list.iter().map(|one| switch(Some(one)).unwrap_or(false));
            let first = said.next()?;
            said.all(|other| other == first).then_some(first)
        }
    }
}

fn deleted(value: Option<&Value>) -> Deleted {
    match value {
        Some(Value::String(text)) if text == "0||1" => Deleted::Both,
        Some(Value::Array(_)) => match switch(value) {
            None => Deleted::Both,
            Some(true) => Deleted::Only,
            Some(false) => Deleted::Live,
        },
        other if switch(other) == Some(true) => Deleted::Only,
        _ => Deleted::Live,
    }
}

/// A count as a number or as digits; other text breaks MISP.
fn count(value: Option<&Value>) -> Result<i64, Refusal> {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => Ok(0),
        Some(Value::Number(n)) => n.as_i64().ok_or(Refusal::Broken),
        Some(Value::String(text)) => text.parse().map_err(|_| Refusal::Broken),
        Some(_) => Err(Refusal::Broken),
    }
}

/// A whole page number and a limit.
pub(super) fn paging(parameters: &Map<String, Value>) -> Result<(Limit, u64), Refusal> {
    let limit = count(parameters.get("limit"))?;
    let limit = match usize::try_from(limit) {
        Ok(0) => Limit::Unlimited,
        Ok(rows) => Limit::Rows(rows),
        Err(_) => Limit::Negative,
    };
    Ok((limit, u64::try_from(count(parameters.get("page"))?).unwrap_or(1).max(1)))
}

/// `published` of a search or of the index.
pub(super) fn published(parameters: &Map<String, Value>) -> Option<bool> {
    switch(parameters.get("published"))
}

impl Search {
    /// How MISP reads the parameters at `now`.
    ///
    /// # Errors
    /// When MISP would fail on them, or honour what is not known here.
    pub fn read(parameters: &Map<String, Value>, now: u64) -> Result<Search, Refusal> {
        if let Some(name) = UNSUPPORTED.iter().find(|name| parameters.contains_key(**name)) {
            return Err(Refusal::Unsupported((*name).to_string()));
        }
        let words = |name: &str| Words::read(parameters.get(name));
        let time = |names: [&str; 2]| {
            Range::read(names.iter().find_map(|name| parameters.get(*name)).filter(|v| *v != "0"), now)
        };
        let mut types = words("type");
        if types.or.iter().any(|t| t == "email-src" || t == "email-dst") {
            types.or.push("email".into());
        }
        let order = match parameters.get("order").and_then(Value::as_str) {
            None => Order::Unsorted,
            Some("id" | "Attribute.id" | "Attribute.id asc") => Order::Ascending,
            Some("Attribute.id desc") => Order::Descending,
            Some(other) => return Err(Refusal::Unsupported(format!("order {other}"))),
        };
        let mut events = words("eventid");
        let event_ids: Option<BTreeSet<u64>> = events.or.iter().map(|word| word.parse().ok()).collect();
        let event_ids = event_ids.filter(|ids| !ids.is_empty());
        if event_ids.is_some() {
            events.or.clear();
        }
        let (limit, page) = paging(parameters)?;
        let values = words("value");
        Ok(Search {
            event_ids,
            events,
            types,
            categories: words("category"),
            plain_values: values.plain(),
            values,
            uuids: words("uuid"),
            organisations: words("org"),
            threat_levels: words("threat_level_id"),
            tags: words("tags"),
            to_ids: switch(parameters.get("to_ids")),
            published: published(parameters),
            deleted: deleted(parameters.get("deleted")),
            timestamp: time(["timestamp", "attribute_timestamp"])?,
            event_timestamp: time(["event_timestamp"; 2])?,
            publish_timestamp: time(["publish_timestamp", "last"])?,
            context: switch(parameters.get("includeContext")) == Some(true),
            sightings: switch(parameters.get("includeSightings")) == Some(true),
            enforce_warninglist: switch(parameters.get("enforceWarninglist")) == Some(true),
            exclude_decayed: switch(parameters.get("excludeDecayed")) == Some(true),
            limit,
            page,
            order,
        })
    }

    /// Whether a condition is on the event: MISP's database then goes event by event.
    pub(super) fn goes_by_event(&self) -> bool {
        !(self.events.is_empty() && self.organisations.is_empty() && self.threat_levels.is_empty())
            || self.event_ids.is_some()
            || self.published.is_some()
            || self.event_timestamp.is_some()
            || self.publish_timestamp.is_some()
    }

    /// Whether attributes of this event can be meant.
    pub(super) fn takes_event(&self, event: &Event) -> bool {
        let within = |range: Option<Range>, seconds| range.is_none_or(|r| r.holds(seconds));
        let (id, orgc_id) = (event.id.to_string(), event.orgc_id.to_string());
        let level = event.threat_level.to_string();
        let organisation = [orgc_id.as_str(), &event.orgc, &event.orgc_uuid];
        self.published.is_none_or(|p| p == event.published)
            && within(self.event_timestamp, event.timestamp)
            && within(self.publish_timestamp, event.publish_timestamp)
            && self.events.take(Case::Ignored, [id.as_str(), &event.uuid].into_iter())
            && self.organisations.take(Case::Ignored, organisation.into_iter())
            && self.threat_levels.take(Case::Ignored, [level.as_str()].into_iter())
    }

    fn takes_value(&self, attribute: &Attribute) -> bool {
        let mut halves = halves(&attribute.kind, &attribute.value);
        match &self.plain_values {
            Some(plain) => halves.any(|half| plain.contains(&half.to_lowercase())),
            None => self.values.take(Case::Ignored, halves),
        }
    }

    /// Whether this attribute of an event that [`Search::takes_event`] is meant.
    pub(super) fn takes(&self, event: &Event, attribute: &Attribute) -> bool {
        let one = |text| std::iter::once(text);
        let deleted = match self.deleted {
            Deleted::Live => !attribute.deleted,
            // The object must be deleted too, and here no object is.
            Deleted::Only => attribute.deleted && attribute.object_id == 0,
            Deleted::Both => true,
        };
        deleted
            && self.to_ids.is_none_or(|t| t == attribute.to_ids)
            && self.timestamp.is_none_or(|r| r.holds(attribute.timestamp))
            && self.types.take(Case::Ignored, one(attribute.kind.as_str()))
            && self.takes_value(attribute)
            && self.uuids.take(Case::Ignored, [attribute.uuid.as_str(), &event.uuid].into_iter())
            && self.categories.take(Case::Ignored, one(attribute.category.as_str()))
            && self.tags.take(Case::Matters, attribute.tags.iter().chain(&event.tags).map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn moments() {
        let at = |value: Value| Range::read(Some(&value), 1_000_000).map(|r| r.map(|r| (r.from, r.to)));
        let from = |seconds| Ok(Some((seconds, i64::MAX)));
        assert_eq!(at(json!(500)), from(500));
        assert_eq!(at(json!("500.7")), from(500));
        assert_eq!(at(json!("1D")), from(1_000_000 - 86_400));
        assert_eq!(at(json!("1.5h")), from(1_000_000 - 5400));
        assert_eq!(at(json!("2M")), from(1_000_000 - 120));
        for unread in ["1w", "1y", "garbage", "", "e5d", "é"] {
            assert_eq!(at(json!(unread)), from(1_000_001), "{unread}");
        }
        assert_eq!(at(json!(["1h", "2h"])), Ok(Some((992_800, 996_400))));
        assert_eq!(at(json!(null)), Ok(None));
        assert_eq!(at(json!(0)), Ok(None));
        assert_eq!(at(json!(["1", "2", "3"])), Err(Refusal::Broken));
        assert_eq!(at(json!({"OR": ["1d"]})), Err(Refusal::Broken));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let read = |value: Value| Search::read(value.as_object().unwrap(), 0);
        assert_eq!(read(json!({"includeProposals": 1})), Err(Refusal::Unsupported("includeProposals".into())));
        assert_eq!(read(json!({"limit": "abc"})), Err(Refusal::Broken));
        assert_eq!(read(json!({"quickFilter": "x", "nosuchparameter": 1})), read(json!({})));
    }
}
