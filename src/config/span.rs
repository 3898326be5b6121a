//! A length of time as people write it in the configuration, and a point in the
//! past given either as such a length or as a date.
//!
//! MISP reads `1w` and `1y` as "now", answers 200 and no rows, and takes `1M` for
//! a minute (recordings `time_event_ts_1w`, `time_event_ts_1M`). So no text of
//! ours ever reaches MISP: spans are whole seconds here, and MISP gets absolute
//! Unix seconds.

use serde::Deserialize;

/// Whole seconds; written as a number of seconds or as `30d`, `1h 30m`, `1w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// A span of so many seconds.
    pub const fn seconds(seconds: u64) -> Span {
        Span(seconds)
    }

    /// No time at all; in most keys it means "no limit".
    pub const fn zero() -> Span {
        Span(0)
    }

    /// The number of whole seconds.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Whether this is 0.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The same as a standard duration.
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0)
    }
}

/// A point in the past: so long before now, or a fixed moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long before the pass.
    Ago(Span),
    /// Unix seconds (a date is its midnight in UTC).
    At(u64),
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(_d: D) -> Result<Span, D::Error> {
        Err(serde::de::Error::custom("unwritten"))
    }
}

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: serde::Deserializer<'de>>(_d: D) -> Result<Since, D::Error> {
        Err(serde::de::Error::custom("unwritten"))
    }
}
