//! What a row says of an attribute and its event beside what is indexed, and the
//! text of it that goes into values. Read only where the configuration asks for it.
//!
//! In the ledger the text is marked with the fields it was made of: an event that
//! is not fetched anew after the list was changed must not be read by the new one.

use super::attribute::{Attribute, moment, number};
use crate::cache::context::push_field;
use crate::config::ContextField;
use serde::Deserialize;
use std::borrow::Cow;

type Text<'a> = Option<Cow<'a, str>>;

/// A row with what `includeContext` adds.
#[derive(Debug, Deserialize)]
pub struct Described<'a> {
    #[serde(flatten, borrow)]
    row: Attribute<'a>,
    #[serde(borrow, default)]
    category: Text<'a>,
    #[serde(borrow, default)]
    uuid: Text<'a>,
    #[serde(borrow, default)]
    first_seen: Text<'a>,
    #[serde(borrow, default)]
    last_seen: Text<'a>,
    #[serde(rename = "Event", default, borrow)]
    event: Event<'a>,
    #[serde(rename = "Tag", default, borrow)]
    tags: Vec<Named<'a>>,
}

/// `Event` of such a row.
#[derive(Debug, Default, Deserialize)]
struct Event<'a> {
    #[serde(deserialize_with = "moment", default)]
    publish_timestamp: u64,
    #[serde(deserialize_with = "number", default)]
    threat_level_id: u64,
    #[serde(borrow, default)]
    uuid: Text<'a>,
    #[serde(borrow, default)]
    info: Text<'a>,
    #[serde(rename = "Orgc", default, borrow)]
    creator: Option<Named<'a>>,
    #[serde(rename = "Tag", default, borrow)]
    tags: Vec<Named<'a>>,
}

/// A tag or an organisation.
#[derive(Debug, Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// The Traffic Light Protocol's tags, the strictest first.
const TLP: [&str; 6] = ["tlp:red", "tlp:amber+strict", "tlp:amber", "tlp:green", "tlp:clear", "tlp:white"];

impl<'a> Described<'a> {
    /// The row alone.
    pub fn into_row(self) -> Attribute<'a> {
        let mut row = self.row;
        row.event.publish_timestamp = self.event.publish_timestamp;
        row
    }

    /// Appends these fields, with their mark before them; nothing if all are empty.
    pub fn write(&self, fields: &[ContextField], out: &mut String) {
        let start = out.len();
        out.extend(letters(fields));
        let first = out.len();
        for (i, field) in fields.iter().enumerate() {
            if i > 0 {
                out.push('#');
            }
            push_field(out, &self.text(*field));
        }
        // Empty fields at the end say nothing.
        out.truncate(out.trim_end_matches('#').len().max(first));
        if out.len() == first {
            out.truncate(start);
        }
    }

    fn text(&self, field: ContextField) -> Cow<'_, str> {
        let text = match field {
            ContextField::Category => &self.category,
            ContextField::AttributeUuid => &self.uuid,
            ContextField::EventUuid => &self.event.uuid,
            ContextField::EventInfo => &self.event.info,
            ContextField::FirstSeen => &self.first_seen,
            ContextField::LastSeen => &self.last_seen,
            ContextField::Org => return self.event.creator.as_ref().map_or("", |o| &o.name).into(),
            ContextField::Tlp => return self.tlp().into(),
            ContextField::ThreatLevel => {
                return match self.event.threat_level_id {
                    0 => "".into(),
                    level => level.to_string().into(),
                };
            }
        };
        text.as_deref().unwrap_or_default().into()
    }

    /// The strictest of all: who tagged an event meant every attribute of it.
    fn tlp(&self) -> &'static str {
        let has = |tlp: &str| self.tags.iter().chain(&self.event.tags).any(|tag| tag.name.eq_ignore_ascii_case(tlp));
        TLP.into_iter().find(|tlp| has(tlp)).unwrap_or_default()
    }
}

/// What the text of these fields begins with in the ledger.
pub fn mark(fields: &[ContextField]) -> String {
    letters(fields).collect()
}

fn letters(fields: &[ContextField]) -> impl Iterator<Item = char> {
    fields.iter().map(|f| f.letter()).chain(['|'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ContextField::{AttributeUuid, Category, EventInfo, EventUuid, FirstSeen, LastSeen, Org, ThreatLevel, Tlp};

    /// The shape that MISP 2.5.1 answers with `includeContext`.
    const ROW: &str = r##"{"id":"64","event_id":"2","object_id":"0","object_relation":null,"category":"Network activity",
        "type":"domain","to_ids":true,"uuid":"5067ae30","timestamp":"1795220308","distribution":"5","comment":"edited",
        "deleted":false,"first_seen":"2026-11-01T08:15:30.123456+00:00","last_seen":null,"value":"evil.example",
        "Event":{"id":"2","orgc_id":"1","date":"2026-11-12","threat_level_id":"2","info":"C2, #1 \u00fc","published":true,
        "uuid":"97645dbb","timestamp":"1795220308","publish_timestamp":"1795220309",
        "Tag":[{"local":false,"id":"3","name":"TLP:Green","colour":"#fa4c22"},{"id":"5","name":"Feed-xyz"}],
        "Orgc":{"id":"1","name":"ORGNAME","uuid":"5a0c1f30","local":true}},
        "Tag":[{"id":"9","name":"tlp:amber","local":false}]}"##;

    fn text(row: &str, fields: &[ContextField]) -> String {
        let mut out = String::new();
        serde_json::from_str::<Described>(row).unwrap().write(fields, &mut out);
        out
    }

    #[test]
    fn all_fields_of_a_row() {
        assert_eq!(
            text(ROW, &[Category, EventUuid, ThreatLevel, Tlp, Org]),
            "culto|Network%20activity#97645dbb#2#tlp:amber#ORGNAME"
        );
        let more = "aifs|5067ae30#C2%2C%20%231%20%C3%BC#2026-11-01T08:15:30.123456+00:00";
        assert_eq!(text(ROW, &[AttributeUuid, EventInfo, FirstSeen, LastSeen]), more);
        assert_eq!(text(ROW, &[LastSeen]), "", "nothing to say, nothing to keep");
        let row = serde_json::from_str::<Described>(ROW).unwrap().into_row();
        assert_eq!((row.id, row.event_id, row.event.publish_timestamp, row.to_ids), (64, 2, 1_795_220_309, true));
        assert_eq!((row.value.as_ref(), row.kind.as_ref()), ("evil.example", "domain"));
    }

    #[test]
    fn a_row_that_says_nothing() {
        let row = r#"{"id":1,"event_id":2,"type":"md5","value":"a","category":null}"#;
        assert_eq!(text(row, &ContextField::ALL), "");
    }

    #[test]
    fn the_longest_context_is_ours() {
        let row = ROW.replace("5067ae30", &"x".repeat(5000)).replace("ORGNAME", &"ü".repeat(5000));
        let text = text(&row, &ContextField::ALL);
        assert!(text.len() < ContextField::ALL.len() * (crate::cache::context::MAX_FIELD + 2), "{}", text.len());
        assert!(text.len() <= crate::cache::context::MAX_CONTEXT);
    }
}
