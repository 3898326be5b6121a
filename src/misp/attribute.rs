//! One row of MISP's answer, as it stands on the wire.
//!
//! Lenient: unknown fields are ignored, and numbers may come as text (MISP 2.5
//! sends ids and timestamps so) or as numbers.

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;

/// An attribute of `/attributes/restSearch`.
#[derive(Debug, Deserialize)]
pub struct Attribute<'a> {
    /// The attribute's id, to name it where it is skipped.
    #[serde(deserialize_with = "number")]
    pub id: u64,
    /// The event it belongs to.
    #[serde(deserialize_with = "number")]
    pub event_id: u64,
    /// The attribute type.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// The value; composites as `value1|value2`.
    #[serde(borrow)]
    pub value: Cow<'a, str>,
    /// Unix seconds.
    #[serde(deserialize_with = "moment", default)]
    pub timestamp: u64,
    /// Whether it is meant for detection.
    #[serde(default)]
    pub to_ids: bool,
    /// Soft-deleted; such rows come only where they are asked for.
    #[serde(default)]
    pub deleted: bool,
    /// What the row says of its event.
    #[serde(rename = "Event", default)]
    pub event: Event,
}

/// The part of `Event` that comes with each row.
#[derive(Debug, Default, Deserialize)]
pub struct Event {
    /// Unix seconds of the last publication; 0: never.
    #[serde(deserialize_with = "moment", default)]
    pub publish_timestamp: u64,
}

/// An event of `/events/index` with `minimal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct IndexEvent {
    /// The event's id.
    #[serde(deserialize_with = "number")]
    pub id: u64,
    /// Moves with every change of the event that MISP notices; whole seconds.
    #[serde(deserialize_with = "moment")]
    pub timestamp: u64,
    /// An edit unpublishes an event until someone publishes it again.
    #[serde(default)]
    pub published: bool,
}

/// A whole number, as a number or as text; null is 0.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Number { signed: false })
}

/// The same for Unix seconds. MISP keeps what another server or a client says, in a column
/// that has a sign: a moment before 1970 is 0, as it must not cost the whole answer.
pub(super) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Number { signed: true })
}

struct Number {
    /// Whether it may be below zero, which then counts as zero.
    signed: bool,
}

impl Visitor<'_> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a whole number, as a number or as text")
    }

    fn visit_u64<E>(self, n: u64) -> Result<u64, E> {
        Ok(n)
    }

    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<u64, E> {
        match u64::try_from(n) {
            Err(_) if !self.signed => Err(E::custom("a number below zero was not expected")),
            n => Ok(n.unwrap_or(0)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
        match text.parse() {
            Ok(n) => Ok(n),
            Err(_) => self.visit_i64(text.parse().map_err(|_| E::custom("a number was expected"))?),
        }
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_text_or_number() {
        for text in [
            r#"{"id":"7","event_id":"3","type":"md5","value":"a\/b","timestamp":"5","to_ids":true,"x":[{"y":null}],"Event":{"publish_timestamp":"9"}}"#,
            r#"{"id":7,"event_id":3,"type":"md5","value":"a/b","timestamp":5,"to_ids":true,"Event":{"publish_timestamp":9}}"#,
        ] {
            let row: Attribute = serde_json::from_str(text).unwrap();
            assert_eq!((row.id, row.event_id, row.timestamp, row.event.publish_timestamp), (7, 3, 5, 9));
            assert_eq!((row.value.as_ref(), row.to_ids, row.deleted), ("a/b", true, false));
        }
        for text in [r#""-5""#, "-5", "null", r#""0""#] {
            let json = format!(
                r#"{{"id":"7","event_id":"3","type":"md5","value":"","timestamp":{text},"Event":{{"publish_timestamp":{text}}}}}"#
            );
            let row: Attribute = serde_json::from_str(&json).unwrap();
            assert_eq!((row.timestamp, row.event.publish_timestamp), (0, 0), "{text}");
            let event: IndexEvent = serde_json::from_str(&format!(r#"{{"id":"7","timestamp":{text}}}"#)).unwrap();
            assert_eq!(event.timestamp, 0, "{text}");
        }
        assert!(serde_json::from_str::<Attribute>(r#"{"id":-1,"event_id":"3","type":"md5","value":""}"#).is_err());
        assert!(serde_json::from_str::<Attribute>(r#"{"id":"-1","event_id":"3","type":"md5","value":""}"#).is_err());
    }
}
