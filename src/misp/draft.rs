//! An event as it is sent to MISP, and whether what came back is all of it. Pure.
//!
//! MISP drops an attribute that it does not take without a word and answers 200
//! (recordings, `events_add_bad_attribute`), so what it stored is compared.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An attribute is seen by whoever sees its event.
pub const INHERIT: u8 = 5;

/// An event that is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Its name on every server.
    pub uuid: String,
    /// The title.
    pub info: String,
    /// The day; absent: MISP's today.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub date: Option<String>,
    /// 1 (high) to 4 (undefined).
    pub threat_level_id: u8,
    /// 0: nobody has looked at it yet.
    pub analysis: u8,
    /// Who may see it, as MISP numbers it.
    pub distribution: u8,
    /// With distribution 4.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sharing_group_id: Option<String>,
    /// Its tags.
    #[serde(rename = "Tag", skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<Tag>,
    /// What it is about.
    #[serde(rename = "Attribute")]
    pub attributes: Vec<Attribute>,
}

/// A tag, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its name.
    pub name: String,
}

/// An attribute that is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name on every server.
    pub uuid: String,
    /// MISP's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// MISP's category; absent: the type's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub category: Option<String>,
    /// The value.
    pub value: String,
    /// Whether it is meant for detection.
    pub to_ids: bool,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub comment: String,
    /// Who may see it, as MISP numbers it.
    pub distribution: u8,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_seen: Option<String>,
}

/// The body of a request that adds the event.
#[derive(Serialize)]
pub(super) struct Wrapped<'a> {
    #[serde(rename = "Event")]
    pub(super) event: &'a Draft,
}

impl Draft {
    /// The event as it is sent.
    ///
    /// # Errors
    /// Those of serde, of which there should be none.
    pub fn body(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Wrapped { event: self })
    }
}

/// An event as MISP shows it, as far as it matters here.
#[derive(Debug, Default)]
pub struct Stored {
    /// MISP's number.
    pub id: String,
    /// Whether it is published.
    pub published: bool,
    /// Unix seconds of the last change.
    pub timestamp: u64,
    /// Unix seconds of the last publishing; 0: never.
    pub publish_timestamp: u64,
    tags: Vec<String>,
    /// UUID, type and value in small letters, of deleted ones too.
    attributes: Vec<[String; 3]>,
}

impl Stored {
    /// Out of an answer that shows an event; `None`: it does not.
    pub fn read(answer: &Value) -> Option<Stored> {
        let event = answer.get("Event")?;
        let names = event["Tag"].as_array().into_iter().flatten().filter_map(|tag| tag["name"].as_str());
        Some(Stored {
            id: text(&event["id"]).filter(|id| !id.is_empty())?,
            published: event["published"] == true || event["published"] == 1 || event["published"] == "1",
            timestamp: number(&event["timestamp"]),
            publish_timestamp: number(&event["publish_timestamp"]),
            tags: names.map(str::to_lowercase).collect(),
            attributes: event["Attribute"].as_array().into_iter().flatten().map(identity).collect(),
        })
    }

    /// Whether it has this attribute, live or deleted: by its UUID, or by type and value,
    /// since MISP takes none twice.
    pub fn has(&self, attribute: &Attribute) -> bool {
        holds(&self.attributes, attribute)
    }

    /// Whether it has this tag; MISP's tags are the same in any case.
    pub fn is_tagged(&self, tag: &Tag) -> bool {
        self.tags.contains(&tag.name.to_lowercase())
    }

    /// Somebody published it once and then took that back; an edit would have moved its time.
    pub fn is_withdrawn(&self) -> bool {
        !self.published && self.publish_timestamp > 0 && self.timestamp <= self.publish_timestamp
    }
}

/// What MISP says of each attribute of a request to add them, in the order sent:
/// `None`: it has it now, else why not.
pub fn verdicts(sent: &[Attribute], answer: &Value) -> Vec<Option<String>> {
    let stored: Vec<[String; 3]> = match &answer["Attribute"] {
        Value::Array(list) => list.iter().map(identity).collect(),
        Value::Object(_) => vec![identity(&answer["Attribute"])],
        _ => Vec::new(),
    };
    let errors = &answer["errors"];
    let verdict = |(at, attribute): (usize, &Attribute)| {
        if holds(&stored, attribute) {
            return None;
        }
        // The errors of one are not numbered.
        let own = if sent.len() == 1 && errors.get("attribute_0").is_none() {
            errors
        } else {
            &errors[format!("attribute_{at}")]
        };
        match own {
            Value::Null => Some("MISP dropped it without a word".to_owned()),
            why => Some(words(why)).filter(|why| !is_duplicate(why)),
        }
    };
    sent.iter().enumerate().map(verdict).collect()
}

/// It is in the event already, which is all that was wanted.
fn is_duplicate(why: &str) -> bool {
    why.contains("similar attribute already exists")
}

/// All texts of an error, whatever they are wrapped in.
fn words(errors: &Value) -> String {
    match errors {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(words).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => {
            let each = fields.iter().map(|(field, why)| format!("{field}: {}", words(why)));
            each.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

fn holds(stored: &[[String; 3]], attribute: &Attribute) -> bool {
    let value = attribute.value.to_lowercase();
    stored.iter().any(|[uuid, kind, v]| *uuid == attribute.uuid || *kind == attribute.kind && *v == value)
}

fn identity(attribute: &Value) -> [String; 3] {
    let part = |name: &str| attribute[name].as_str().unwrap_or_default();
    [part("uuid").to_lowercase(), part("type").to_owned(), part("value").to_lowercase()]
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|n| n.to_string()))
}

fn number(value: &Value) -> u64 {
    text(value).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attribute(kind: &str, value: &str) -> Attribute {
        let uuid = format!("uuid-{value}");
        let (kind, value) = (kind.into(), value.into());
        Attribute {
            uuid,
            kind,
            category: None,
            value,
            to_ids: true,
            comment: String::new(),
            distribution: INHERIT,
            first_seen: None,
        }
    }

    #[test]
    fn what_came_back() {
        let answer = json!({"Event": {"id": "58", "published": false, "timestamp": "20", "publish_timestamp": "30",
            "Tag": [{"name": "TLP:green"}], "Attribute": [
            {"uuid": "uuid-WWW.a", "type": "domain", "value": "www.a"},
            {"uuid": "other", "type": "ip-dst", "value": "1.1.1.1"}]}});
        let stored = Stored::read(&answer).unwrap();
        assert!(stored.has(&attribute("domain", "www.a")) && stored.has(&attribute("ip-dst", "1.1.1.1")));
        assert!(!stored.has(&attribute("ip-src", "1.1.1.1")) && stored.is_withdrawn());
        assert!(stored.is_tagged(&Tag { name: "tlp:GREEN".into() }) && !stored.is_tagged(&Tag { name: "x".into() }));
        assert!(Stored::read(&json!({"message": "x"})).is_none() && Stored::read(&json!({"Event": []})).is_none());
    }

    /// The answers are those of `rest/attributes_add_*`.
    #[test]
    fn why_an_attribute_was_not_taken() {
        let good = attribute("ip-dst", "185.220.101.223");
        let bad = attribute("md5", "zz");
        let both = json!({"Attribute": {"uuid": good.uuid, "type": "ip-dst", "value": good.value}, "AttributeTag": [],
            "errors": {"attribute_1": {"value": ["Checksum has an invalid length"]}}});
        let pair = [good.clone(), bad.clone()];
        assert_eq!(verdicts(&pair, &both), [None, Some("value: Checksum has an invalid length".to_owned())]);
        let one = json!({"saved": false, "errors": {"type": ["Invalid type."]}});
        assert_eq!(verdicts(&[bad], &one), [Some("type: Invalid type.".to_owned())]);
        let duplicate = json!({"errors": {"value": ["A similar attribute already exists for this event."]}});
        assert_eq!(verdicts(std::slice::from_ref(&good), &duplicate), [None]);
        let silent = json!({"Attribute": []});
        assert_eq!(verdicts(&[good], &silent), [Some("MISP dropped it without a word".to_owned())]);
    }
}
