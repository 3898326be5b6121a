//! A length of time as people write it in the configuration.
//!
//! MISP reads `1w` and `1y` as "now", answers 200 and no rows, and takes `1M` for
//! a minute (recordings `time_event_ts_1w`, `time_event_ts_1M`). So no text of
//! ours ever reaches MISP: spans are whole seconds here, and MISP gets absolute
//! Unix seconds.

use super::problem::quoted;
use serde::Deserialize;
use serde::de::{Error, Visitor};
use std::fmt;
use std::marker::PhantomData;

const DAY: u64 = 86_400;
/// Longer ones are slips (milliseconds, a missing unit), and a window before 1970 helps nobody.
const MAX_SECONDS: u64 = 100 * 365 * DAY;

/// What a span may look like, for messages.
pub(super) const SPAN_FORMS: &str =
    "a whole number of seconds, or a time such as `30d`, `12h`, `90m`, `45s`, `1.5h`, `1h 30m`, `1w`";

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

    fn bounded(seconds: u64, found: &dyn fmt::Display) -> Result<Span, String> {
        if seconds > MAX_SECONDS {
            return Err(format!("found {found}, more than 100 years; allowed: {SPAN_FORMS}"));
        }
        Ok(Span(seconds))
    }

    /// Reads digits only (seconds) or numbers with units.
    pub(super) fn read(text: &str) -> Result<Span, String> {
        let trimmed = text.trim();
        let found = quoted(trimmed);
        let refused = |why: &str| Err(format!("found {found}{why}; allowed: {SPAN_FORMS}"));
        if trimmed.is_empty() {
            return refused(", an empty text");
        }
        if trimmed.starts_with('-') {
            return refused(", a negative time");
        }
        if trimmed.bytes().all(|b| b.is_ascii_digit()) {
            // Only overflow can fail here, and that is too long as well.
            return Span::bounded(trimmed.parse().unwrap_or(u64::MAX), &found);
        }
        if let Some(number) = lone_capital_m(trimmed) {
            return Err(format!(
                "found {found}, which is a month to some and a minute to MISP; write `30d` for a month or `{number}m` for minutes"
            ));
        }
        if blank_inside_number(trimmed) {
            return refused(", a blank inside a number");
        }
        // MISP and the old tool take units in any case, and M is dealt with above.
        let lower = trimmed.to_ascii_lowercase();
        let duration = match humantime::parse_duration(&lower) {
            Ok(duration) => duration,
            Err(humantime::DurationError::NumberOverflow) => return refused(", too large or too fine a number"),
            Err(_) => return refused(""),
        };
        if duration.as_secs() == 0 && !duration.is_zero() {
            return refused(", less than a second");
        }
        Span::bounded(duration.as_secs(), &found)
    }
}

/// The number before a unit `M`, if there is such a unit.
fn lone_capital_m(text: &str) -> Option<&str> {
    let at = text.char_indices().find_map(|(i, c)| {
        let before = text[..i].chars().next_back();
        let after = text[i + c.len_utf8()..].chars().next();
        let letter = |x: Option<char>| x.is_some_and(char::is_alphabetic);
        (c == 'M' && !letter(before) && !letter(after)).then_some(i)
    })?;
    let head = text[..at].trim_end();
    let start = head.rfind(|c: char| !c.is_ascii_digit() && c != '.').map_or(0, |i| i + 1);
    // `rfind` may stop at a character of several bytes; `get` then finds nothing to show.
    Some(head.get(start..).filter(|n| !n.is_empty()).unwrap_or("1"))
}

/// `1 5m` is not 15 minutes to anybody who wrote it.
fn blank_inside_number(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).any(|w| {
        w[0].ends_with(|c: char| c.is_ascii_digit() || c == '.')
            && w[1].starts_with(|c: char| c.is_ascii_digit() || c == '.')
    })
}

/// On a command line, as in the file.
impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        Span::read(text)
    }
}

/// Compact, in the largest unit that divides it: `365d`, `1h`, `90m`, `0s`.
/// What it shows is read back as the same span.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [(DAY, 'd'), (3600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(size, _)| self.0 > 0 && self.0.is_multiple_of(*size));
        let (size, letter) = unit.unwrap_or((1, 's'));
        write!(f, "{}{letter}", self.0 / size)
    }
}

/// A time that is written as a whole number or as text.
pub(super) trait Written: Sized {
    const FORMS: &'static str;
    fn number(seconds: u64) -> Result<Self, String>;
    fn text(text: &str) -> Result<Self, String>;
}

impl Written for Span {
    const FORMS: &'static str = SPAN_FORMS;

    fn number(seconds: u64) -> Result<Span, String> {
        Span::bounded(seconds, &seconds)
    }

    fn text(text: &str) -> Result<Span, String> {
        Span::read(text)
    }
}

/// Reads a number or a text as such a time.
pub(super) fn written<'de, T: Written, D: serde::Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    d.deserialize_any(TimeVisitor(PhantomData))
}

struct TimeVisitor<T>(PhantomData<T>);

impl<T: Written> Visitor<'_> for TimeVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::FORMS)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::number(number).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::custom(format!("found {number}, a negative time; allowed: {}", T::FORMS))),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Err(E::custom(format!("found {number}, not a whole number of seconds; allowed: {}", T::FORMS)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::text(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Span, D::Error> {
        written(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(yaml: &str) -> Result<Span, String> {
        serde_yaml::from_str(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn allowed_spans() {
        for (text, seconds) in [
            ("0", 0),
            ("3600", 3600),
            ("\"3600\"", 3600),
            ("45s", 45),
            ("90m", 5400),
            ("12h", 43_200),
            ("30d", 30 * DAY),
            ("30D", 30 * DAY),
            ("1.5h", 5400),
            ("0.5d", 43_200),
            ("1w", 7 * DAY),
            ("1h 30m", 5400),
            ("1 h", 3600),
            ("1y", 31_557_600),
            ("1 month", 2_630_016),
            ("0s", 0),
            ("36500d", MAX_SECONDS),
        ] {
            assert_eq!(span(text), Ok(Span(seconds)), "{text}");
        }
    }

    #[test]
    fn refused_spans_name_what_was_found_and_what_is_allowed() {
        for text in [
            "''",
            "' '",
            "-1",
            "-1d",
            "garbage",
            "1.5",
            "1x",
            "d",
            "36501d",
            "1e9",
            "99999999999",
            "99999999999999d",
            "18446744073709551616s",
            "1 5m",
            "500ms",
            "0.2s",
            "true",
            "[1]",
            "1d,2h",
            "٣d",
            "1..5h",
            ".5h",
            "1.h",
        ] {
            let message = span(text).expect_err(text);
            assert!(message.contains(SPAN_FORMS), "{text}: {message}");
        }
        assert!(span("-1d").unwrap_err().contains("found \"-1d\", a negative time"));
        assert!(span("36501d").unwrap_err().contains("found \"36501d\", more than 100 years"));
    }

    /// MISP's recordings `time_event_ts_1M`: a minute there, a month to humantime.
    #[test]
    fn capital_m_is_ambiguous() {
        for (text, instead) in
            [("1M", "`1m`"), ("15M", "`15m`"), ("1.5 M", "`1.5m`"), ("1h 2M", "`2m`"), ("\"éM5\"", "")]
        {
            let message = span(text).expect_err(text);
            assert!(message.contains(instead), "{text}: {message}");
        }
        assert!(span("1M").unwrap_err().contains("write `30d` for a month or `1m` for minutes"));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(seconds in 0..=MAX_SECONDS) {
            prop_assert_eq!(Span::read(&Span(seconds).to_string()), Ok(Span(seconds)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,20}", spanlike in "[0-9.]{0,4}[ ]?[dhmsMwy]?[ ]?[0-9]{0,3}[-+:TZM]?[0-9:]{0,6}") {
            for t in [text, spanlike] {
                let _ = Span::read(&t);
            }
        }
    }

    #[test]
    fn shown_compactly() {
        for (seconds, text) in
            [(0, "0s"), (45, "45s"), (5400, "90m"), (3600, "1h"), (365 * DAY, "365d"), (7 * DAY, "7d"), (61, "61s")]
        {
            assert_eq!(Span(seconds).to_string(), text);
        }
    }
}
