//! Generic JSON lines: an event as anybody can write it,
//! `{"info", "date", "attributes": [{"type", "value", "comment", "to_ids"}], "tags"}`.

use super::date::day;
use super::detection::{Detection, Identity, Item, level};
use super::uuid::Uuid;
use crate::config::ThreatLevel;
use serde::Deserialize;
use serde_json::Value;

/// The object, in the words of the input; MISP's own words are taken too. A key that
/// does nothing would be believed to do something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    info: String,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    date: Option<String>,
    #[serde(default, alias = "severity", alias = "threat_level_id")]
    threat_level: Option<Value>,
    #[serde(alias = "Attribute")]
    attributes: Vec<Attribute>,
    #[serde(default, alias = "Tag")]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attribute {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    to_ids: Option<Value>,
    #[serde(default)]
    first_seen: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Tag {
    Name(String),
    Object { name: String },
}

/// Reads an object.
///
/// # Errors
/// What is wrong with it.
pub fn parse(line: &str) -> Result<Detection, String> {
    let line: Line = serde_json::from_str(line).map_err(|e| e.to_string())?;
    if line.info.trim().is_empty() {
        return Err("\"info\" is empty, and MISP takes no event without a title".into());
    }
    let date = match &line.date {
        Some(text) => Some(day(text).ok_or_else(|| format!("\"date\": found {text:?}; allowed: 2026-11-20"))?),
        None => None,
    };
    let identity = match (&line.uuid, &line.id) {
        (Some(text), _) => Identity::Given(Uuid::parse(text).ok_or_else(|| format!("\"uuid\": {text:?} is no UUID"))?),
        (None, Some(id)) => {
            let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
            Identity::Parts(vec!["json".into(), id])
        }
        (None, None) => {
            Identity::Parts(vec!["json".into(), String::new(), line.info.clone(), date.clone().unwrap_or_default()])
        }
    };
    let level = line.threat_level.as_ref().map(threat_level).transpose()?;
    let items = line.attributes.into_iter().map(item).collect::<Result<_, String>>()?;
    let name = |tag: Tag| match tag {
        Tag::Name(name) | Tag::Object { name } => name,
    };
    Ok(Detection { identity, info: line.info, date, level, items, tags: line.tags.into_iter().map(name).collect() })
}

fn item(attribute: Attribute) -> Result<Item, String> {
    let to_ids = match &attribute.to_ids {
        None | Some(Value::Null) => None,
        Some(Value::Bool(yes)) => Some(*yes),
        Some(other) => match other.as_str().map_or_else(|| other.to_string(), str::to_owned).as_str() {
            "1" => Some(true),
            "0" => Some(false),
            found => return Err(format!("\"to_ids\": found {found}; allowed: true, false, 1, 0")),
        },
    };
    Ok(Item {
        category: attribute.category,
        comment: attribute.comment,
        to_ids,
        first_seen: attribute.first_seen,
        ..Item::new(attribute.kind.trim(), attribute.value.trim())
    })
}

fn threat_level(value: &Value) -> Result<ThreatLevel, String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let by_number = match text.as_str() {
        "1" => Some(ThreatLevel::High),
        "2" => Some(ThreatLevel::Medium),
        "3" => Some(ThreatLevel::Low),
        "4" => Some(ThreatLevel::Undefined),
        _ => None,
    };
    by_number
        .or_else(|| level(&text))
        .ok_or_else(|| format!("\"threat_level\": found {text}; allowed: high, medium, low, undefined, 1 to 4"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object() {
        let detection = parse(
            r#"{"info": "Beacon", "date": "2026-11-20", "threat_level": "high", "tags": ["tlp:green", {"name": "x"}],
            "attributes": [{"type": "domain", "value": " bad.example ", "comment": "c2", "to_ids": 1}, {"type": "md5", "value": "x"}]}"#,
        )
        .unwrap();
        assert_eq!(
            (detection.level, detection.tags),
            (Some(ThreatLevel::High), vec!["tlp:green".to_owned(), "x".into()])
        );
        assert_eq!(
            detection.items[0],
            Item { comment: "c2".into(), to_ids: Some(true), ..Item::new("domain", "bad.example") }
        );
        assert_eq!(detection.items[1].to_ids, None);
    }

    #[test]
    fn by_what_it_is_known() {
        let identity = |more: &str| parse(&format!(r#"{{"info": "a", "attributes": []{more}}}"#)).unwrap().identity;
        assert_eq!(identity(""), identity(r#", "tags": ["x"]"#));
        assert_ne!(identity(""), identity(r#", "date": "2026-11-20""#));
        assert_eq!(identity(r#", "id": 7"#), identity(r#", "id": "7", "date": "2026-11-20""#));
        let uuid = "9c1e520d-4a7b-45b8-a3f6-2d71c8059e43";
        assert_eq!(identity(&format!(r#", "uuid": "{uuid}""#)), Identity::Given(Uuid::parse(uuid).unwrap()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, why) in [
            ("{}", "missing field `info`"),
            (r#"{"info": "a"}"#, "missing field `attributes`"),
            (r#"{"info": " ", "attributes": []}"#, "title"),
            (r#"{"info": "a", "attributes": [], "atributes": []}"#, "unknown field `atributes`"),
            (r#"{"info": "a", "attributes": [{"type": "md5", "value": "x", "to_ids": "maybe"}]}"#, "to_ids"),
            (r#"{"info": "a", "attributes": [], "date": "yesterday"}"#, "date"),
            (r#"{"info": "a", "attributes": [], "uuid": "x"}"#, "no UUID"),
            (r#"{"info": "a", "attributes": [], "threat_level": 5}"#, "threat_level"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
