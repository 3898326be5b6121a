//! The lines that are kept on disk: one JSON value each. A line is added and never
//! changed; what they come to is [`super::state`]'s affair. Pure.
//!
//! The order makes it safe: a sighting is on disk before it is sent, and that it is
//! about to be sent is too. So whatever a crash leaves, it is known of which
//! sightings MISP has to be asked whether it has them already.

use super::Sighting;
use super::memory::Key;
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A sighting waits from now on.
    Add(Added),
    /// These are about to be sent: MISP may have them from now on.
    Begun(Vec<u64>),
    /// These were begun and did not leave.
    Unsent(Vec<u64>),
    /// MISP has these.
    Sent(Vec<u64>),
    /// MISP failed on these, though it answers others.
    Failed(Vec<u64>),
    /// MISP does not want this one.
    Refused {
        /// Its number.
        n: u64,
        /// The value or UUID.
        what: String,
        /// MISP's reason.
        why: String,
        /// When that was (Unix seconds).
        at: u64,
    },
    /// The cache does not list these after all.
    Unlisted(Vec<u64>),
    /// What is remembered of one that is dealt with.
    Seen {
        /// [`Key`] in hexadecimal.
        key: String,
        /// When it was seen.
        at: u64,
        /// When that was noted.
        noted: u64,
    },
    /// MISP could not be reached then (Unix seconds).
    Down(u64),
    /// The next number that is free.
    Next(u64),
}

/// A sighting that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Its number, which no other ever has.
    pub n: u64,
    /// When it was taken.
    pub noted: u64,
    /// Whether the cache is still to be asked if it lists the value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
    /// Whether the cache lists the value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listed: bool,
    /// Whether MISP may have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
    /// How often MISP has failed on it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// The sighting.
    #[serde(flatten)]
    pub sighting: Sighting,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Entry {
    /// The line, with its end.
    pub fn encode(&self) -> String {
        // Maps with text keys and numbers: nothing that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads a line; `None`: it is none of ours.
    pub fn decode(line: &[u8]) -> Option<Entry> {
        serde_json::from_slice(line).ok()
    }

    /// What is remembered of a sighting.
    pub fn seen(key: &Key, at: u64, noted: u64) -> Entry {
        Entry::Seen { key: key.iter().map(|byte| format!("{byte:02x}")).collect(), at, noted }
    }
}

/// The key that 32 digits stand for.
pub fn key_of(hex: &str) -> Option<Key> {
    let number = u128::from_str_radix(hex, 16).ok()?;
    (hex.len() == 32).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::{Kind, Subject};

    #[test]
    fn lines_there_and_back() {
        let sighting = Sighting {
            subject: Subject::Value("a\"\n\u{e4}.example".into()),
            kind: Kind::Expiration,
            source: "s".into(),
            at: 7,
        };
        let added = Added { n: 1, noted: 8, unchecked: false, listed: false, begun: false, failures: 0, sighting };
        let entries = [
            Entry::Add(added.clone()),
            Entry::Add(Added { unchecked: true, listed: true, begun: true, failures: 3, ..added }),
            Entry::Begun(vec![1, 2]),
            Entry::Unsent(vec![2]),
            Entry::Sent(vec![1]),
            Entry::Failed(vec![]),
            Entry::Refused { n: 2, what: "a".into(), why: "no".into(), at: 6 },
            Entry::Unlisted(vec![3]),
            Entry::seen(&[0xab; 16], 1, 2),
            Entry::Down(5),
            Entry::Next(9),
        ];
        for entry in entries {
            let line = entry.encode();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(Entry::decode(line.trim_end().as_bytes()), Some(entry), "{line}");
        }
        assert_eq!(Entry::Begun(vec![1, 2]).encode(), "{\"begun\":[1,2]}\n");
        for torn in ["", "{\"sent\":[1", "{\"sent\":1}", "{\"other\":[1]}", "null"] {
            assert_eq!(Entry::decode(torn.as_bytes()), None, "{torn}");
        }
        assert_eq!(key_of(&"ab".repeat(16)), Some([0xab; 16]));
        assert_eq!((key_of("ab"), key_of(&"+a".repeat(16))), (None, None));
    }
}
