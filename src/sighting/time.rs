//! When something was seen: Unix seconds, or a date and time of RFC 3339. Pure.

use serde_json::Value;
use std::time::UNIX_EPOCH;

/// From here on (the year 5138) a number is milliseconds, which MISP would take as they are.
const LOOKS_LIKE_MILLISECONDS: u64 = 100_000_000_000;

/// The Unix seconds that a JSON value says: a number, digits, or RFC 3339.
///
/// # Errors
/// What is wrong with it.
pub fn read(value: &Value) -> Result<u64, String> {
    match value {
        Value::Number(number) => {
            let seconds = number.as_u64().or_else(|| number.as_f64().filter(|f| *f >= 1.0).map(|f| f as u64));
            bounded(seconds.ok_or("a timestamp before 1970")?)
        }
        Value::String(text) => of_text(text),
        _ => Err("a timestamp that is neither a number nor a text".to_owned()),
    }
}

/// The same of a text.
///
/// # Errors
/// What is wrong with it.
pub fn of_text(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    if !whole.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return bounded(whole.parse().map_err(|_| "a timestamp that is too large")?);
    }
    rfc3339(text).ok_or_else(|| "a timestamp that is neither seconds nor RFC 3339 (2026-11-20T10:13:00Z)".to_owned())
}

fn bounded(seconds: u64) -> Result<u64, String> {
    match seconds {
        0 => Err("a timestamp of 0".to_owned()),
        LOOKS_LIKE_MILLISECONDS.. => Err("a timestamp in milliseconds; seconds are wanted".to_owned()),
        seconds => Ok(seconds),
    }
}

fn rfc3339(text: &str) -> Option<u64> {
    let text = text.to_ascii_uppercase();
    let (clock, offset) = match text.strip_suffix('Z') {
        Some(clock) => (clock, 0),
        None => {
            let at = text.rfind(['+', '-']).filter(|at| *at > 10)?;
            let (hours, minutes) = text[at + 1..].split_once(':')?;
            let two = |digits: &str, below: i64| {
                let number: i64 = digits.parse().ok()?;
                (digits.len() == 2 && (0..below).contains(&number)).then_some(number)
            };
            let seconds = two(hours, 24)? * 3600 + two(minutes, 60)? * 60;
            (&text[..at], if text[at..].starts_with('-') { -seconds } else { seconds })
        }
    };
    let time = humantime::parse_rfc3339(&format!("{clock}Z")).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(i64::try_from(time.as_secs()).ok()? - offset).ok().filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn forms() {
        for (value, seconds) in [
            (json!(1_795_200_000), 1_795_200_000),
            (json!(1_795_200_000.9), 1_795_200_000),
            (json!(" 1795200000 "), 1_795_200_000),
            (json!("1795200000.25"), 1_795_200_000),
            (json!("2026-11-20T18:40:00Z"), 1_795_200_000),
            (json!("2026-11-20T18:40:00.123456Z"), 1_795_200_000),
            (json!("2026-11-20t20:40:00+02:00"), 1_795_200_000),
            (json!("2026-11-20T13:10:00.5-05:30"), 1_795_200_000),
        ] {
            assert_eq!(read(&value), Ok(seconds), "{value}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for value in [
            json!(0),
            json!(-5),
            json!(1_795_200_000_000_u64),
            json!("1795200000000"),
            json!("99999999999999999999999"),
            json!(""),
            json!("."),
            json!("yesterday"),
            json!("2026-11-20"),
            json!("2026-11-20T18:40:00"),
            json!("2026-11-20T18:40:00+2"),
            json!("2026-11-20T18:40:00+99:00"),
            json!("2026-13-20T18:40:00Z"),
            json!("1969-12-31T23:00:00Z"),
            json!("\u{e9}+\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}+01:00"),
            json!(null),
            json!([1]),
        ] {
            assert!(read(&value).is_err(), "{value}");
        }
    }
}
