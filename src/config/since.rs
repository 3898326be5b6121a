//! A point in the past as people write it in the configuration: a time back from now, or
//! a date. A bare number that could as well be Unix time is neither.

use super::problem::quoted;
use super::span::{SPAN_FORMS, Span, Written, written};
use serde::Deserialize;
use std::time::UNIX_EPOCH;

/// A bare number this large where a date may stand is Unix seconds, not 31 years.
const LOOKS_LIKE_UNIX_TIME: u64 = 1_000_000_000;
/// What a point in the past may look like, for messages.
pub(super) const SINCE_FORMS: &str =
    "a time back from now such as `30d`, or a date such as `2024-01-31` or `2024-01-31T12:00:00Z`";

/// A point in the past: so long before now, or a fixed moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long before the pass.
    Ago(Span),
    /// Unix seconds (a date is its midnight in UTC).
    At(u64),
}

impl Since {
    fn read(text: &str) -> Result<Since, String> {
        let trimmed = text.trim();
        if trimmed.as_bytes().get(4) == Some(&b'-') {
            return moment(trimmed).map(Since::At).ok_or_else(|| {
                format!("found {}, no date from 1970 on that exists; allowed: {SINCE_FORMS}", quoted(trimmed))
            });
        }
        if !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit()) {
            return Since::number(trimmed.parse().unwrap_or(u64::MAX));
        }
        Span::read(trimmed).map(Since::Ago).map_err(|e| e.replace(SPAN_FORMS, SINCE_FORMS))
    }

    fn number(seconds: u64) -> Result<Since, String> {
        if seconds >= LOOKS_LIKE_UNIX_TIME {
            return Err(format!("found {seconds}, which looks like Unix time; allowed: {SINCE_FORMS}"));
        }
        Ok(Since::Ago(Span::seconds(seconds)))
    }
}

/// Unix seconds of a date, or of RFC 3339 with or without its zone (UTC then).
fn moment(text: &str) -> Option<u64> {
    // humantime slices bytes.
    if !text.is_ascii() {
        return None;
    }
    if text.len() == "2024-01-31".len() {
        return moment(&format!("{text}T00:00:00Z"));
    }
    // humantime knows no zone but UTC: cut it off, and take it off afterwards.
    let (local, ahead) = match text.len().checked_sub("+02:00".len()).map(|at| text.split_at(at)) {
        Some((local, zone)) if local.contains(':') && zone.starts_with(['+', '-']) => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let two = |digits: &str, below: i64| {
                let number = digits.parse::<u32>().ok().map(i64::from)?;
                (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()) && number < below).then_some(number)
            };
            let seconds = two(hours, 24)? * 3600 + two(minutes, 60)? * 60;
            (local, if zone.starts_with('-') { -seconds } else { seconds })
        }
        _ => (text, 0),
    };
    let time = humantime::parse_rfc3339_weak(local).ok()?;
    time.duration_since(UNIX_EPOCH).ok()?.as_secs().checked_add_signed(-ahead)
}

impl Written for Since {
    const FORMS: &'static str = SINCE_FORMS;

    fn number(seconds: u64) -> Result<Since, String> {
        Since::number(seconds)
    }

    fn text(text: &str) -> Result<Since, String> {
        Since::read(text)
    }
}

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Since, D::Error> {
        written(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400;

    fn since(yaml: &str) -> Result<Since, String> {
        serde_yaml::from_str(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn points_in_the_past() {
        for (text, at) in [
            ("30d", Since::Ago(Span::seconds(30 * DAY))),
            ("86400", Since::Ago(Span::seconds(DAY))),
            ("2024-01-31", Since::At(1_706_659_200)),
            ("1970-01-01", Since::At(0)),
            ("2024-01-31T12:00:00Z", Since::At(1_706_702_400)),
            ("2024-01-31 12:00:00", Since::At(1_706_702_400)),
            ("2024-01-31T12:00:00+02:00", Since::At(1_706_695_200)),
            ("2024-01-31T12:00:00-02:30", Since::At(1_706_711_400)),
            ("2024-01-31T12:00:00.5Z", Since::At(1_706_702_400)),
        ] {
            assert_eq!(since(text), Ok(at), "{text}");
        }
        for text in [
            "2024-02-30",
            "2024-13-01",
            "2023-02-29",
            "1969-12-31",
            "2024-1-1",
            "1700000000",
            "yesterday",
            "''",
            "-1",
            "1970-01-01T00:00:00+02:00",
            "2024-01-31T25:00:00Z",
            "2024-01-31T12:00:00+0200",
            "2024-01-31T12:00:00+24:00",
            "2024-é1-31",
            "-30d",
            "36501d",
        ] {
            let message = since(text).expect_err(text);
            assert!(message.contains(SINCE_FORMS), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,20}", datelike in "[0-9]{0,4}-?[0-9]{0,2}-?[-0-9é]{0,2}[T ]?[0-9:.]{0,9}[-+Z]?[0-9:]{0,6}") {
            for t in [text, datelike] {
                let _ = Since::read(&t);
            }
        }
    }
}
