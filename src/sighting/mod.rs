//! From what sensors write to sightings, and from sightings to requests. All of it is
//! pure but [`spool`], which keeps the journal's file; no socket, no clock.
//!
//! - [`units`]: lines, and JSON over several lines, out of a stream
//! - [`input`]: one of these as sightings; [`stix`]: those of STIX 2.1; [`time`]: when
//! - [`listed`]: under which value MISP has what was seen, if it has it
//! - [`memory`]: what was reported lately, so that a beacon is reported once
//! - [`journal`]: what is kept on disk, as lines; [`state`]: what they come to; [`spool`]: the file
//! - [`batch`]: from what waits to requests; [`spelling`]: how else MISP may have a listed value

pub mod batch;
pub mod input;
pub mod journal;
pub mod listed;
pub mod memory;
pub mod spelling;
pub mod spool;
pub mod state;
pub mod stix;
pub mod time;
pub mod units;

use serde::{Deserialize, Serialize};

/// Longest source: the width of MISP's column, in characters.
pub const MAX_SOURCE: usize = 255;

/// Something was seen, by someone, at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// What was seen.
    #[serde(flatten)]
    pub subject: Subject,
    /// What that means.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Who saw it.
    pub source: String,
    /// Unix seconds.
    #[serde(rename = "timestamp")]
    pub at: u64,
}

/// What is known of a value before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: it goes as it was given.
    Given,
    /// The cache lists it.
    Listed,
    /// The cache is still to be asked.
    Unchecked,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A value, which may stand in many attributes.
    Value(String),
    /// One attribute of MISP, by its UUID in lower case.
    Uuid(String),
}

impl Subject {
    /// The value or the UUID.
    pub fn text(&self) -> &str {
        match self {
            Subject::Value(text) | Subject::Uuid(text) => text,
        }
    }
}

/// The types of a sighting, with MISP's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It was seen.
    #[value(alias = "0")]
    Sighting = 0,
    /// It was seen, and is harmless.
    #[value(alias = "1")]
    FalsePositive = 1,
    /// It is out of date from then on.
    #[value(alias = "2")]
    Expiration = 2,
}

impl Kind {
    /// The type of this name, or of MISP's number as a text.
    pub fn from_name(name: &str) -> Option<Kind> {
        match name.trim() {
            "sighting" | "0" => Some(Kind::Sighting),
            "false-positive" | "1" => Some(Kind::FalsePositive),
            "expiration" | "2" => Some(Kind::Expiration),
            _ => None,
        }
    }
}

/// A value as it may be sent.
///
/// MISP compares values with both columns of every attribute, and its database takes
/// a text without any weight (nothing, blanks, marks of no width) for an empty one:
/// the second column of nearly every attribute. Such a value would be a sighting of
/// all there is, so a letter or a digit is asked for.
///
/// # Errors
/// Why it is no value.
pub fn value(text: &str) -> Result<Subject, String> {
    let text = text.trim();
    if !text.chars().any(char::is_alphanumeric) {
        return Err("a value without a letter or a digit".to_owned());
    }
    if text.len() > crate::lookup::form::MAX_VALUE {
        return Err(format!("a value of over {} bytes, which MISP cannot have", crate::lookup::form::MAX_VALUE));
    }
    Ok(Subject::Value(text.to_owned()))
}

/// An attribute's UUID in lower case.
///
/// # Errors
/// It is none.
pub fn uuid(text: &str) -> Result<Subject, String> {
    let text = text.trim().to_ascii_lowercase();
    let groups: Vec<&str> = text.split('-').collect();
    let hex = text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    if hex && groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) {
        Ok(Subject::Uuid(text))
    } else {
        Err("a uuid that is none".to_owned())
    }
}

/// A source as MISP keeps it: without outer blanks.
///
/// # Errors
/// It is too long, or no line of text.
pub fn source(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.chars().count() > MAX_SOURCE {
        return Err(format!("a source of over {MAX_SOURCE} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("a source with control characters".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_would_be_everything_is_none() {
        for text in ["", " ", "\t\r\n", "\u{200b}", "\u{ad}\u{200d}", "%", "***", "\u{0}"] {
            assert!(value(text).is_err(), "{text:?}");
        }
        assert_eq!(value(" 1.2.3.4\n"), Ok(Subject::Value("1.2.3.4".into())));
        assert!(value("b\u{fc}cher.example").is_ok() && value("\u{4f8b}").is_ok());
        assert!(value(&"x".repeat(65_536)).is_err());
    }

    #[test]
    fn uuids_and_sources() {
        let good = "5067AE30-49de-44da-a5db-dc84b61cb88e";
        assert_eq!(uuid(good), Ok(Subject::Uuid(good.to_lowercase())));
        for bad in ["", "46", "5067ae30-49de-44da-a5db-dc84b61cb88", "5067ae30-49de-44da-a5db-dc84b61cb8-e", "%"] {
            assert!(uuid(bad).is_err(), "{bad}");
        }
        assert_eq!(source(" a b "), Ok("a b".to_owned()));
        assert!(source(&"x".repeat(256)).is_err() && source("a\nb").is_err());
    }

    #[test]
    fn one_form_on_disk_and_in_a_dry_run() {
        let sighting = Sighting {
            subject: Subject::Value("a.example".into()),
            kind: Kind::FalsePositive,
            source: "s".into(),
            at: 7,
        };
        let text = serde_json::to_string(&sighting).unwrap();
        assert_eq!(text, r#"{"value":"a.example","type":"false-positive","source":"s","timestamp":7}"#);
        assert_eq!(serde_json::from_str::<Sighting>(&text).unwrap(), sighting);
    }
}
