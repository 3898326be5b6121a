//! A detection, whatever sensor it came from: what it is called, what it is about,
//! and by what it is known when it comes again.

use super::uuid::Uuid;
use crate::config::ThreatLevel;

/// What one line of input says, before anything is withheld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// By what it is known.
    pub identity: Identity,
    /// The title.
    pub info: String,
    /// The day, as MISP writes it.
    pub date: Option<String>,
    /// How grave it is, if that is said.
    pub level: Option<ThreatLevel>,
    /// What it is about.
    pub items: Vec<Item>,
    /// Tags that it brings itself.
    pub tags: Vec<String>,
}

/// By what a detection is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// It brings its event's UUID.
    Given(Uuid),
    /// These parts together. Of what must not leave none goes into a UUID either: the few
    /// million private addresses could all be tried.
    Parts(Vec<String>),
    /// A sensor's: these parts together, or, where a day's detections make one event,
    /// this method of it.
    Sensor {
        /// What tells it from all others.
        parts: Vec<String>,
        /// The title of all detections of its method.
        method: String,
    },
}

/// One attribute to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// MISP's type.
    pub kind: String,
    /// The value as the sensor wrote it.
    pub value: String,
    /// MISP's category; absent: the type's own.
    pub category: Option<String>,
    /// What is said of it.
    pub comment: String,
    /// Whether it is meant for detection; absent: as `--ids` says.
    pub to_ids: Option<bool>,
    /// RFC 3339.
    pub first_seen: Option<String>,
}

impl Item {
    /// An attribute of this type.
    pub fn new(kind: &str, value: &str) -> Item {
        Item {
            kind: kind.into(),
            value: value.into(),
            category: None,
            comment: String::new(),
            to_ids: None,
            first_seen: None,
        }
    }
}

/// A sensor's word for how grave something is.
pub fn level(word: &str) -> Option<ThreatLevel> {
    match word.trim().to_ascii_lowercase().as_str() {
        "critical" | "high" | "very-high" => Some(ThreatLevel::High),
        "medium" | "moderate" => Some(ThreatLevel::Medium),
        "low" | "informational" | "info" | "information" => Some(ThreatLevel::Low),
        "undefined" | "unknown" => Some(ThreatLevel::Undefined),
        _ => None,
    }
}
