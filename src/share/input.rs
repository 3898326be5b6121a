//! One line of input, in whichever of its forms it comes.

use super::detection::Detection;
use super::{cef, flowmon, json};
use serde_json::{Map, Value};

/// Whose lines they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum From {
    /// Flowmon ADS: tab-separated (both layouts, IDS events), JSON lines, CEF syslog; each line shows which.
    Flowmon,
    /// One event a line: {"info", "date", "attributes": [{"type", "value", "comment", "to_ids"}], "tags"}.
    Json,
}

/// The detection of a line; `None`: there is nothing on it.
///
/// # Errors
/// Why it is not understood.
pub fn detection(from: From, line: &str, user: bool) -> Result<Option<Detection>, String> {
    // Blank fields end a tab-separated line: only its end goes.
    let line = line.trim_end_matches(['\r', '\n']).trim_start_matches('\u{feff}');
    if line.trim().is_empty() {
        return Ok(None);
    }
    let record = match from {
        From::Json => return json::parse(line).map(Some),
        From::Flowmon if line.trim_start().starts_with('{') => {
            let object: Map<String, Value> = serde_json::from_str(line).map_err(|e| e.to_string())?;
            flowmon::json(&object)?
        }
        From::Flowmon if cef::is_cef(line) => cef::parse(line)?,
        From::Flowmon => flowmon::tabs(line)?,
    };
    Ok(Some(record.detection(user)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_line_shows_its_form() {
        let read = |line: &str| detection(From::Flowmon, line, false);
        assert_eq!(read(" \t\r\n"), Ok(None));
        for line in [
            "1\t2026-11-20 10:13:00\t \tX\tx\t \t \tp\tLow\td\t \t \t1.1.1.1\t \t \t \t ",
            "1\t2026-11-20 10:13:00\t \tX\tx\tp\tLow\td\t \t \t1.1.1.1\t \t \t \t ",
            r#" {"type": "X", "source": "1.1.1.1"}"#,
            "<13>Nov  3 ADS[1]: CEF:0|a|b|c|X|x|3|src=1.1.1.1",
        ] {
            let detection = read(line).unwrap().unwrap();
            assert_eq!(
                (detection.items[0].kind.as_str(), detection.items[0].value.as_str()),
                ("ip-src", "1.1.1.1"),
                "{line}"
            );
        }
        assert!(read("{").is_err() && read("hello").is_err());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(?s).{0,80}|[\\t 0-9.:a-f]{0,80}|CEF:0\\|a\\|b\\|c\\|d\\|e\\|[0-9]\\|[a-z=\\\\ 0-9.]{0,60}") {
            let _ = detection(From::Flowmon, &line, true);
            let _ = detection(From::Json, &line, true);
        }
    }
}
