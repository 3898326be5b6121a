//! Days and seconds, as sensors write them and as MISP wants them. No clock.

/// A day as MISP wants it (`2026-11-20`), out of what a sensor writes first in a
/// time: `2026-11-20 10:13:00`, `8/28/2023 10:13`, `Nov 03 2025 15:10:43`, or Unix seconds.
pub fn day(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(seconds) = seconds(text) {
        return moment(seconds).map(|m| m[..10].to_owned());
    }
    let first = text.split(['T', ' ']).next()?;
    if let Some((year, rest)) = first.split_once('-') {
        let (month, day) = rest.split_once('-')?;
        return written(year, month.parse().ok()?, day);
    }
    if let Some((month, rest)) = first.split_once('/') {
        let (day, year) = rest.split_once('/')?;
        return written(year, month.parse().ok()?, day);
    }
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let mut words = text.split_ascii_whitespace();
    let month = words.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|m| *m == month)? as u32 + 1;
    let day = words.next()?;
    written(words.next()?, month, day)
}

fn written(year: &str, month: u32, day: &str) -> Option<String> {
    let (year, day): (u32, u32) = (year.parse().ok()?, day.parse().ok()?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    ((1970..=9999).contains(&year) && (1..=length).contains(&day)).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// Unix seconds, with or without a fraction, which is cut.
pub fn seconds(text: &str) -> Option<u64> {
    /// The last second of the year 9999.
    const END: u64 = 253_402_300_799;
    let whole = text.trim().split('.').next()?;
    if whole.len() < 9 || !text.trim().bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    whole.parse().ok().filter(|s| *s <= END)
}

/// A moment as RFC 3339 has it, in UTC.
pub fn moment(seconds: u64) -> Option<String> {
    let time = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds))?;
    // What humantime cannot write is behind the year 9999.
    (seconds <= 253_402_300_799).then(|| humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        for (text, expected) in [
            ("2026-11-20 10:13:00", "2026-11-20"),
            ("2026-11-20T10:13:00Z", "2026-11-20"),
            ("8/28/2023 10:13", "2023-08-28"),
            ("Nov 03 2025 15:10:43", "2025-11-03"),
            ("1795220407", "2026-11-21"),
            ("1795220407.5", "2026-11-21"),
            ("2024-02-29", "2024-02-29"),
        ] {
            assert_eq!(day(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", " ", "2026-13-01", "2025-02-29", "28/8/2023", "Foo 03 2025", "12", "1.2.3.4", "99999999999999"]
        {
            assert_eq!(day(text), None, "{text}");
        }
        assert_eq!(moment(1_795_220_407).as_deref(), Some("2026-11-21T00:20:07Z"));
    }
}
