//! `memcached.context`: the fields that MISP's answers give for it, and their names.

use serde::Deserialize;

/// One field behind `EVENTID#TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextField {
    /// The attribute's category, such as `Network activity`.
    Category,
    /// The attribute's UUID.
    AttributeUuid,
    /// The event's UUID.
    EventUuid,
    /// The event's title.
    EventInfo,
    /// The event's threat level as MISP numbers it: 1 (high) to 4 (undefined).
    ThreatLevel,
    /// The strictest `tlp:` tag of the attribute and its event.
    Tlp,
    /// The name of the organisation that created the event.
    Org,
    /// When the attribute was first seen.
    FirstSeen,
    /// When the attribute was last seen.
    LastSeen,
}

impl ContextField {
    /// Every field.
    pub const ALL: [ContextField; 9] = [
        ContextField::Category,
        ContextField::AttributeUuid,
        ContextField::EventUuid,
        ContextField::EventInfo,
        ContextField::ThreatLevel,
        ContextField::Tlp,
        ContextField::Org,
        ContextField::FirstSeen,
        ContextField::LastSeen,
    ];

    /// Its name in the configuration and in what is shown.
    pub fn name(self) -> &'static str {
        match self {
            ContextField::Category => "category",
            ContextField::AttributeUuid => "attribute_uuid",
            ContextField::EventUuid => "event_uuid",
            ContextField::EventInfo => "event_info",
            ContextField::ThreatLevel => "threat_level",
            ContextField::Tlp => "tlp",
            ContextField::Org => "org",
            ContextField::FirstSeen => "first_seen",
            ContextField::LastSeen => "last_seen",
        }
    }

    /// Its letter in the ledger; once given, it keeps its meaning.
    pub fn letter(self) -> char {
        match self {
            ContextField::Category => 'c',
            ContextField::AttributeUuid => 'a',
            ContextField::EventUuid => 'u',
            ContextField::EventInfo => 'i',
            ContextField::ThreatLevel => 'l',
            ContextField::Tlp => 't',
            ContextField::Org => 'o',
            ContextField::FirstSeen => 'f',
            ContextField::LastSeen => 's',
        }
    }

    /// Whether MISP gives it only if it is asked for more than an attribute (`includeContext`).
    pub fn is_of_the_event(self) -> bool {
        matches!(self, ContextField::ThreatLevel | ContextField::Tlp | ContextField::Org)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_letters_are_each_their_own() {
        let letters: BTreeSet<char> = ContextField::ALL.iter().map(|f| f.letter()).collect();
        assert_eq!(letters.len(), ContextField::ALL.len());
        for field in ContextField::ALL {
            let read: ContextField = serde_json::from_value(field.name().into()).unwrap();
            assert_eq!(read, field);
        }
    }
}
