//! Flowmon ADS's syslog lines in ArcSight's Common Event Format: `CEF:0|` and seven
//! fields, then `name=value` pairs whose values may hold blanks.

use super::flowmon::Record;
use crate::config::ThreatLevel;
use std::collections::HashMap;

/// What a line of CEF has in it, somewhere behind its syslog header.
const START: &str = "CEF:";

/// Fields before the pairs.
const FIELDS: usize = 7;

/// Whether a line is one of CEF.
pub fn is_cef(line: &str) -> bool {
    line.contains(START)
}

/// Reads a line.
///
/// # Errors
/// What it lacks.
pub fn parse(line: &str) -> Result<Record, String> {
    let at = line.find(START).ok_or("no CEF: in it")?;
    let (header, rest) = header(&line[at + START.len()..]);
    if header.len() != FIELDS {
        return Err(format!("a CEF header of {} fields; expected {FIELDS}", header.len()));
    }
    let pairs = pairs(rest);
    let text = |name: &str| pairs.get(name).cloned().unwrap_or_default();
    // Lists of targets stand in custom fields, whose labels say so.
    let list = |name: &str| {
        let label = text(&format!("{name}Label"));
        if label.is_empty() || label.starts_with("dstIP") { text(name) } else { String::new() }
    };
    let together =
        |parts: [String; 4]| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    Ok(Record {
        id: Some(text("externalId")).filter(|id| !id.is_empty()),
        time: text("start"),
        first_flow: String::new(),
        method: header[4].clone(),
        name: header[5].clone(),
        level: level(&header[6]),
        detail: text("msg"),
        perspective: text("cn3"),
        sources: together([text("src"), text("c6a2"), text("shost"), String::new()]),
        targets: together([text("dst"), text("c6a3"), list("cs4"), list("cs6")]),
        user: text("suser"),
    })
}

/// The fields before the pairs, and what is behind them.
fn header(text: &str) -> (Vec<String>, &str) {
    let mut fields = Vec::with_capacity(FIELDS);
    let mut field = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => field.extend(chars.next().map(|(_, escaped)| escaped)),
            '|' => {
                fields.push(std::mem::take(&mut field).trim().to_owned());
                if fields.len() == FIELDS {
                    return (fields, &text[at + 1..]);
                }
            }
            c => field.push(c),
        }
    }
    (fields, "")
}

/// The pairs: a value ends where a blank, a name and `=` follow.
fn pairs(text: &str) -> HashMap<String, String> {
    let bytes = text.as_bytes();
    let escaped = |at: usize| bytes[..at].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1;
    // Where each name begins and where its `=` is.
    let mut names = Vec::new();
    for at in (0..bytes.len()).filter(|at| bytes[*at] == b'=' && !escaped(*at)) {
        let length =
            bytes[..at].iter().rev().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
        let begins = at - length == 0 || bytes[at - length - 1].is_ascii_whitespace();
        if length > 0 && begins {
            names.push((at - length, at));
        }
    }
    let mut pairs = HashMap::new();
    for (i, (begin, equals)) in names.iter().enumerate() {
        let end = names.get(i + 1).map_or(text.len(), |(next, _)| *next);
        pairs.entry(text[*begin..*equals].to_owned()).or_insert_with(|| unescaped(text[equals + 1..end].trim()));
    }
    pairs
}

fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'r') => out.push(' '),
                Some(c) => out.push(c),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

/// CEF's severity: 0 to 3 low, 4 to 6 medium, 7 to 10 high and very high, or the word.
fn level(severity: &str) -> Option<ThreatLevel> {
    match severity.trim().parse::<u8>() {
        Ok(0..=3) => Some(ThreatLevel::Low),
        Ok(4..=6) => Some(ThreatLevel::Medium),
        Ok(7..=10) => Some(ThreatLevel::High),
        Ok(_) => None,
        Err(_) => super::detection::level(severity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "Nov  3 15:10:44 localhost ADS[200757]: CEF:0|Flowmon Networks|Flowmon ADS Ultimate|13.00.00|DICTATTACK|Dictionary attacks|8|src=185.220.101.47 smac=0c:70:00:00:00:00 start=Nov 03 2025 15:10:43 msg=FTP dictionary attack, attempts: 10, port(s): 443. cs4=45.155.205.2, 45.155.205.3 cs4Label=dstIPv4list cs6=2a0b:f4c2::1 cs6Label=dstIPv6list cs2=Default cs2Label=MethodInstanceName cn3=2 cn3Label=PerspectiveID";

    #[test]
    fn a_line() {
        let record = parse(LINE).unwrap();
        assert_eq!(
            (record.method.as_str(), record.name.as_str(), record.level),
            ("DICTATTACK", "Dictionary attacks", Some(ThreatLevel::High))
        );
        assert_eq!(record.detail, "FTP dictionary attack, attempts: 10, port(s): 443.");
        assert_eq!(record.targets, "45.155.205.2, 45.155.205.3, 2a0b:f4c2::1");
        assert_eq!(
            (record.sources.as_str(), record.time.as_str(), record.id),
            ("185.220.101.47", "Nov 03 2025 15:10:43", None)
        );
    }

    #[test]
    fn escapes_and_foreign_fields() {
        let line = r"CEF:0|a\|b|c|1|X\\Y|n|Low|msg=a\=b c\\ d=1 c6a2=2a0b::1 dst=1.1.1.1 cs4=Default cs4Label=MethodInstanceName externalId=9";
        let record = parse(line).unwrap();
        assert_eq!(
            (record.method.as_str(), record.detail.as_str(), record.level),
            (r"X\Y", r"a=b c\", Some(ThreatLevel::Low))
        );
        assert_eq!(
            (record.sources.as_str(), record.targets.as_str(), record.id.as_deref()),
            ("2a0b::1", "1.1.1.1", Some("9"))
        );
    }

    #[test]
    fn what_is_no_line() {
        for wrong in ["CEF:", "CEF:0|a|b", "x", "CEF:0|a|b|c|d|e|\\"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse("CEF:0|a|b|c|d|e|f|").unwrap().targets, "");
    }
}
