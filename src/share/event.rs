//! From a detection to the event that is sent: what is withheld, what it is called,
//! who may see it.

use super::detection::{Detection, Identity, Item};
use super::reserved::{meant, parse, written};
use super::uuid::{DETECTIONS, Uuid};
use super::withheld::Withheld;
use crate::config::ThreatLevel;
use crate::misp::draft::{Attribute, Draft, INHERIT, Tag};

/// Types that are no indicators: `--ids 1` is not meant for them.
const NEVER_FOR_DETECTION: [&str; 6] = ["text", "comment", "other", "target-user", "target-machine", "link"];

/// Why a value is of no use.
const NO_ADDRESS: &str = "it is no address";
const NO_NAME: &str = "it is no name";
const EMPTY: &str = "it is empty";
const UNUSABLE: [&str; 3] = [NO_ADDRESS, NO_NAME, EMPTY];

/// What the command line says of all events.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Whether attributes that do not say so are meant for detection.
    pub ids: bool,
    /// Who may see the events: 0 to 4 as MISP numbers it.
    pub distribution: u8,
    /// With distribution 4.
    pub sharing_group: Option<String>,
    /// Instead of what the detections say.
    pub level: Option<ThreatLevel>,
    /// On every event.
    pub tags: Vec<String>,
    /// Which sensor it was, where several have the same numbers.
    pub sensor: String,
    /// All detections of a method and a day are one event.
    pub per_day: bool,
    /// What must not leave.
    pub withheld: Withheld,
}

/// A detection's event and what is not in it.
#[derive(Debug)]
pub struct Built {
    /// The event; `None`: there is nothing left to send.
    pub draft: Option<Draft>,
    /// What was left out.
    pub left_out: Vec<LeftOut>,
}

/// A value that is not sent.
#[derive(Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its type.
    pub kind: String,
    /// The value.
    pub value: String,
    /// Why.
    pub why: &'static str,
    /// It must not leave; else it cannot be what it is called.
    pub withheld: bool,
}

impl Terms {
    /// The event of a detection.
    pub fn build(&self, detection: Detection) -> Built {
        let (uuid, info) = self.named(&detection);
        let (mut attributes, mut left_out): (Vec<Attribute>, _) = (Vec::new(), Vec::new());
        // A sensor says the same of each.
        let mut last = (String::new(), String::new());
        for item in detection.items {
            match self.value(&item) {
                Ok(value) => {
                    if last.0 != item.comment {
                        last = (item.comment.clone(), self.clean(&item.comment));
                    }
                    let attribute = self.attribute(uuid, item, value, last.1.clone());
                    if attributes.iter().all(|a| a.uuid != attribute.uuid) {
                        attributes.push(attribute);
                    }
                }
                Err(why) => {
                    let withheld = !UNUSABLE.contains(&why);
                    left_out.push(LeftOut { kind: item.kind, value: item.value, why, withheld });
                }
            }
        }
        // Who was logged on is no reason to tell anybody.
        if !attributes.iter().any(|a| a.kind != "target-user") {
            return Built { draft: None, left_out };
        }
        let mut tags: Vec<Tag> = Vec::new();
        for name in self.tags.iter().map(String::clone).chain(detection.tags.iter().map(|tag| self.clean(tag))) {
            if !name.is_empty() && !tags.iter().any(|tag| tag.name == name) {
                tags.push(Tag { name });
            }
        }
        let level = self.level.or(detection.level).unwrap_or(ThreatLevel::Undefined);
        let draft = Draft {
            uuid: uuid.to_string(),
            info,
            date: detection.date,
            threat_level_id: level as u8,
            analysis: 0,
            distribution: self.distribution,
            sharing_group_id: self.sharing_group.clone(),
            tags,
            attributes,
        };
        Built { draft: Some(draft), left_out }
    }

    /// The event's UUID and title.
    fn named(&self, detection: &Detection) -> (Uuid, String) {
        let of = |parts: &[String]| {
            let parts: Vec<String> = parts.iter().map(|part| self.clean(part)).collect();
            Uuid::of(DETECTIONS, &[std::slice::from_ref(&self.sensor), &parts].concat())
        };
        match (&detection.identity, &detection.date) {
            (Identity::Given(uuid), _) => (*uuid, self.clean(&detection.info)),
            (Identity::Sensor { method, .. }, Some(date)) if self.per_day => {
                let parts = ["day".to_owned(), method.clone(), date.clone()];
                (of(&parts), format!("{}, {date}", self.clean(method)))
            }
            (Identity::Parts(parts) | Identity::Sensor { parts, .. }, _) => (of(parts), self.clean(&detection.info)),
        }
    }

    /// The value as it is sent, or why it is not.
    fn value(&self, item: &Item) -> Result<String, &'static str> {
        let withheld = &self.withheld;
        match item.kind.as_str() {
            "ip-src" | "ip-dst" => {
                let network = parse(&crate::lookup::form::refanged(&item.value)).ok_or(NO_ADDRESS)?;
                withheld.address(&network).map_or_else(|| Ok(written(&meant(&network))), Err)
            }
            "hostname" | "domain" if item.value.contains(char::is_whitespace) => Err(NO_NAME),
            // MISP takes no host name with a dot at its end.
            "hostname" | "domain" => withheld
                .name(&crate::lookup::form::refanged(&item.value))
                .or_else(|| withheld.value(&item.value))
                .map_or_else(|| Ok(item.value.trim_end_matches('.').to_owned()), Err),
            _ if item.value.is_empty() => Err(EMPTY),
            _ => withheld.value(&item.value).map_or_else(|| Ok(item.value.clone()), Err),
        }
    }

    fn attribute(&self, event: Uuid, item: Item, value: String, comment: String) -> Attribute {
        let never = NEVER_FOR_DETECTION.contains(&item.kind.as_str());
        Attribute {
            uuid: Uuid::of(event, &[&item.kind, &value]).to_string(),
            kind: self.clean(&item.kind),
            category: item.category.map(|category| self.clean(&category)),
            value,
            to_ids: item.to_ids.unwrap_or(self.ids && !never),
            comment,
            distribution: INHERIT,
            first_seen: item.first_seen.map(|time| self.clean(&time)),
        }
    }

    /// A text without what must not leave, on one line.
    fn clean(&self, text: &str) -> String {
        let masked = self.withheld.mask(text);
        masked.split(char::is_control).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
