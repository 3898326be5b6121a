//! What Flowmon ADS hands to a custom script: tab-separated fields in two layouts,
//! IDS events, JSON lines. One line in, one record out.
//!
//! The layouts are told apart by the number of fields and by which of them holds an
//! address: ADS 12.5 put two fields before the perspective.

use super::date::{day, moment, seconds};
use super::detection::{Detection, Identity, Item, level};
use super::reserved;
use crate::config::ThreatLevel;
use serde_json::{Map, Value};

/// What a record's text is shortened to in a comment: enough to see what was found.
const MAX_DETAIL: usize = 1000;

/// The same in a title.
const MAX_TITLE: usize = 200;

/// A line of Flowmon ADS, whatever its form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Flowmon's number, the same in each update.
    pub id: Option<String>,
    /// When it was found, as written.
    pub time: String,
    /// The first flow, as written.
    pub first_flow: String,
    /// `SSHDICT`; of an IDS event `IDS`.
    pub method: String,
    /// `SSH attack`; of an IDS event its signature.
    pub name: String,
    /// How grave it is.
    pub level: Option<ThreatLevel>,
    /// What was found.
    pub detail: String,
    /// The rule set of the site that made it an event.
    pub perspective: String,
    /// Addresses or names, separated by commas: who did it.
    pub sources: String,
    /// To whom.
    pub targets: String,
    /// Who was logged on there.
    pub user: String,
}

/// Where the fields of a layout are.
struct Layout {
    perspective: usize,
    severity: usize,
    detail: usize,
    source: usize,
    targets: usize,
    user: usize,
}

/// ADS 12.5 and later: 17 fields.
const NEW: Layout = Layout { perspective: 7, severity: 8, detail: 9, source: 12, targets: 14, user: 16 };
/// Before: 15 fields.
const OLD: Layout = Layout { perspective: 5, severity: 6, detail: 7, source: 10, targets: 12, user: 14 };

/// Reads a tab-separated line.
///
/// # Errors
/// Why it is none of the layouts.
pub fn tabs(line: &str) -> Result<Record, String> {
    let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or_default().to_owned();
    let address = |at: usize| fields.get(at).is_some_and(|f| addresses(f));
    let layout = match fields.len() {
        16.. if address(OLD.source) && !address(NEW.source) => OLD,
        16.. => NEW,
        // Without its last fields, if somebody has trimmed the line.
        15 if !address(OLD.source) && address(NEW.source) && address(NEW.targets) => NEW,
        15 => OLD,
        13 | 14 if !address(3) && address(OLD.source) => OLD,
        6.. if address(3) || address(5) => {
            return Ok(Record {
                id: known(&field(0)),
                time: field(1),
                method: "IDS".into(),
                name: field(9),
                level: ids_level(&field(13)),
                detail: field(12),
                sources: field(3),
                targets: field(5),
                ..Record::default()
            });
        }
        found => {
            return Err(format!(
                "{found} tab-separated fields; expected 17 or 15 with addresses in field 13 or 11, or an IDS event with \
                 them in fields 4 and 6"
            ));
        }
    };
    Ok(Record {
        id: known(&field(0)),
        time: field(1),
        first_flow: field(2),
        method: field(3),
        name: field(4),
        level: level(&field(layout.severity)),
        detail: field(layout.detail),
        perspective: field(layout.perspective),
        sources: field(layout.source),
        targets: field(layout.targets),
        user: field(layout.user),
    })
}

/// Reads a JSON object.
///
/// # Errors
/// What it lacks.
pub fn json(object: &Map<String, Value>) -> Result<Record, String> {
    let text = |name: &str| match object.get(name) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    };
    if object.contains_key("srcIp") || object.contains_key("signatureName") {
        return Ok(Record {
            id: known(&text("id")),
            time: text("firstSeen"),
            method: "IDS".into(),
            name: text("signatureName"),
            level: ids_level(&text("severity")),
            detail: text("category"),
            sources: text("srcIp"),
            targets: text("dstIp"),
            ..Record::default()
        });
    }
    if !object.contains_key("source") && !object.contains_key("targets") {
        return Err("neither \"source\" nor \"targets\", and no \"srcIp\" of an IDS event".into());
    }
    Ok(Record {
        id: known(&text("id")),
        time: text("timestamp"),
        first_flow: text("firstFlow"),
        method: text("type"),
        name: text("typeDesc"),
        level: level(&text("severity")),
        detail: text("detail"),
        perspective: text("perspective"),
        sources: text("source"),
        targets: text("targets"),
        user: text("userIdentity"),
    })
}

impl Record {
    /// The detection; with who was logged on where `user` says so.
    pub fn detection(&self, user: bool) -> Detection {
        let method = format!("Flowmon ADS: {}", self.title());
        let detail = short(&self.detail, MAX_TITLE);
        let info = if detail.is_empty() { method.clone() } else { format!("{method}: {detail}") };
        let parts: Vec<&str> = match &self.id {
            Some(id) => vec!["flowmon", id, &self.method],
            None => vec!["flowmon", "", &self.method, &self.time, &self.detail, &self.sources],
        };
        Detection {
            identity: Identity::Sensor { parts: parts.into_iter().map(str::to_owned).collect(), method },
            info,
            date: day(&self.time).or_else(|| day(&self.first_flow)),
            level: self.level,
            items: self.items(user),
            tags: Vec::new(),
        }
    }

    /// `SSH attack (SSHDICT)`
    fn title(&self) -> String {
        match (self.name.as_str(), self.method.as_str()) {
            ("", method) => method.to_owned(),
            (name, "") => name.to_owned(),
            (name, method) => format!("{name} ({method})"),
        }
    }

    fn items(&self, user: bool) -> Vec<Item> {
        let comment = [self.title(), short(&self.detail, MAX_DETAIL), perspective(&self.perspective)];
        let comment = comment.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
        let first_seen = seconds(&self.first_flow).and_then(moment);
        let mut items: Vec<Item> = Vec::new();
        let mut add = |kind: &str, value: &str| {
            items.push(Item {
                comment: comment.clone(),
                first_seen: first_seen.clone(),
                ..Item::new(kind_of(kind, value), value)
            });
        };
        parts(&self.sources).for_each(|source| add("ip-src", source));
        parts(&self.targets).for_each(|target| add("ip-dst", target));
        named(&self.detail).into_iter().for_each(|name| add("domain", name));
        if user && let Some(user) = known(&self.user) {
            items.push(Item {
                category: Some("Targeting data".into()),
                comment: comment.clone(),
                to_ids: Some(false),
                ..Item::new("target-user", &user)
            });
        }
        items
    }
}

/// The list's entries.
fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ';']).map(str::trim).filter(|part| !part.is_empty() && !part.eq_ignore_ascii_case("n/a"))
}

/// Whether a field holds addresses and nothing else.
fn addresses(field: &str) -> bool {
    !field.is_empty() && parts(field).all(|part| reserved::parse(part).is_some())
}

/// The type of an address, or of a name in its place.
fn kind_of<'a>(address: &'a str, value: &str) -> &'a str {
    match (address, reserved::parse(value)) {
        ("ip-src" | "ip-dst", None) => "hostname",
        _ => address,
    }
}

/// The names that a detail lists as what was found: those of random domains. Other
/// methods name services that somebody used, which are no indicators.
fn named(detail: &str) -> Vec<&str> {
    const LABEL: &str = "Domains: ";
    let Some(at) = detail.find(LABEL) else { return Vec::new() };
    let is_name =
        |name: &str| name.contains('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let list = detail[at + LABEL.len()..].split(',').map(|name| name.trim().trim_end_matches('.'));
    list.take_while(|name| is_name(name)).collect()
}

/// The severity of an IDS event: a word, or Suricata's priority, where 1 is the gravest.
fn ids_level(text: &str) -> Option<ThreatLevel> {
    match text.trim() {
        "1" => Some(ThreatLevel::High),
        "2" => Some(ThreatLevel::Medium),
        "3" | "4" => Some(ThreatLevel::Low),
        word => level(word),
    }
}

fn perspective(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("perspective: {text}") }
}

/// What a field says, unless it says that there is nothing.
fn known(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && !text.eq_ignore_ascii_case("n/a")).then(|| text.to_owned())
}

/// The beginning of a text, in whole words: what must not leave is looked for behind this, and
/// the first half of an address is not found to be one.
fn short(text: &str, most: usize) -> String {
    let text = text.trim();
    let Some((end, next)) = text.char_indices().nth(most) else { return text.to_owned() };
    let apart = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '"' | '\'' | '=' | '<' | '>' | '|');
    let mut chars = text[..end].char_indices().rev();
    let mut before = || chars.find(|(_, c)| apart(*c)).map_or(0, |(at, c)| at + c.len_utf8());
    let whole = if apart(next) { end } else { before() };
    format!("{}...", &text[..whole])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW_LINE: &str = "532028\t2026-11-20 10:13:00\t1795220407.25\tSSHDICT\tSSH attack\t \t \tSecurity Issues\tCritical\tAttempts: 10.\t22\tTCP\t185.220.101.47\t \t45.155.205.233, 2a0b:f4c2:2::12\tLAN\tn/a";
    const OLD_LINE: &str = "532028\t2026-11-20 10:13:00\t2026-11-20 10:12:00\tSSHDICT\tSSH attack\tSecurity Issues\tCritical\tAttempts: 10.\t22\tTCP\t185.220.101.47\t \t45.155.205.233\tLAN\tjane";
    const IDS_LINE: &str =
        "77\t2026-11-20 10:13:00\t \t185.220.101.47\t \t45.155.205.233\t \t \t \tET SCAN Nmap\teth0\t10.0.0.9\tScan\t2";

    fn values(record: &Record) -> Vec<(String, String)> {
        record.detection(true).items.into_iter().map(|i| (i.kind, i.value)).collect()
    }

    fn pair(kind: &str, value: &str) -> (String, String) {
        (kind.into(), value.into())
    }

    #[test]
    fn the_layouts_are_told_apart() {
        let new = tabs(NEW_LINE).unwrap();
        assert_eq!(
            (new.perspective.as_str(), new.level, new.user.as_str()),
            ("Security Issues", Some(ThreatLevel::High), "n/a")
        );
        let expected =
            [pair("ip-src", "185.220.101.47"), pair("ip-dst", "45.155.205.233"), pair("ip-dst", "2a0b:f4c2:2::12")];
        assert_eq!(values(&new), expected);
        let old = tabs(OLD_LINE).unwrap();
        assert_eq!((old.perspective.as_str(), old.detail.as_str()), ("Security Issues", "Attempts: 10."));
        let expected =
            [pair("ip-src", "185.220.101.47"), pair("ip-dst", "45.155.205.233"), pair("target-user", "jane")];
        assert_eq!(values(&old), expected);
        assert_eq!(old.detection(false).items.len(), 2);
        let ids = tabs(IDS_LINE).unwrap();
        assert_eq!(
            (ids.name.as_str(), ids.level, ids.detail.as_str()),
            ("ET SCAN Nmap", Some(ThreatLevel::Medium), "Scan")
        );
        assert_eq!(values(&ids), expected[..2]);
    }

    /// Empty fields are one blank each; a line that was trimmed has lost those at its end.
    #[test]
    fn empty_and_lost_fields() {
        let without_source = NEW_LINE.replace("185.220.101.47", " ");
        assert_eq!(values(&tabs(&without_source).unwrap()).len(), 2);
        let without_targets = OLD_LINE.replace("45.155.205.233", " ");
        assert_eq!(values(&tabs(&without_targets).unwrap())[0], pair("ip-src", "185.220.101.47"));
        let trimmed = NEW_LINE.rsplitn(3, '\t').last().unwrap();
        assert_eq!(tabs(trimmed).unwrap().perspective, "Security Issues");
        let trimmed = OLD_LINE.rsplitn(3, '\t').last().unwrap();
        assert_eq!(tabs(trimmed).unwrap().perspective, "Security Issues");
        for wrong in ["", "a", "a\tb\tc", "1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\t13\t14"] {
            assert!(tabs(wrong).unwrap_err().contains("tab-separated fields"), "{wrong}");
        }
    }

    /// The same detection in both forms has one identity.
    #[test]
    fn json_is_the_same_detection() {
        let object = serde_json::json!({"id": "532028", "timestamp": "11/20/2026 10:13", "type": "SSHDICT",
            "typeDesc": "SSH attack", "severity": "Critical", "detail": "Attempts: 10.", "source": "185.220.101.47",
            "targets": "45.155.205.233, 2a0b:f4c2:2::12", "perspective": "Security Issues", "netFlowSource": "LAN",
            "userIdentity": ""});
        let (of_json, of_tabs) =
            (json(object.as_object().unwrap()).unwrap().detection(true), tabs(NEW_LINE).unwrap().detection(true));
        assert_eq!((of_json.identity, &of_json.info, &of_json.date), (of_tabs.identity, &of_tabs.info, &of_tabs.date));
        assert_eq!(of_json.items[0].comment, "SSH attack (SSHDICT); Attempts: 10.; perspective: Security Issues");
        assert_eq!(of_tabs.items[0].first_seen.as_deref(), Some("2026-11-21T00:20:07Z"));
        let ids = serde_json::json!({"id": 77, "firstSeen": "2026-11-20 10:13:00", "category": "Scan", "severity": 2,
            "srcIp": "185.220.101.47", "dstIp": "45.155.205.233", "signatureName": "ET SCAN Nmap",
            "logSourceInterface": "eth0", "logSourceIp": "10.0.0.9"});
        assert_eq!(json(ids.as_object().unwrap()).unwrap(), tabs(IDS_LINE).unwrap());
        assert!(json(serde_json::json!({"id": 1}).as_object().unwrap()).is_err());
    }

    #[test]
    fn names() {
        let found = "Access to randomly generated domains was detected. Domains: kxe21.org, b.net.";
        assert_eq!(named(found), ["kxe21.org", "b.net"]);
        assert!(named("Domain names of the used DoH services: doh.dns.com.").is_empty());
        let record = Record {
            sources: "srv.bad.example".into(),
            targets: "185.220.101.47;x.example".into(),
            ..Record::default()
        };
        let expected =
            [pair("hostname", "srv.bad.example"), pair("ip-dst", "185.220.101.47"), pair("hostname", "x.example")];
        assert_eq!(values(&record), expected);
    }

    #[test]
    fn long_texts_are_cut() {
        let record = Record {
            detail: "\u{fc} ".repeat(5000),
            method: "X".into(),
            sources: "1.1.1.1".into(),
            ..Record::default()
        };
        let detection = record.detection(false);
        let lengths = (detection.info.chars().count(), detection.items[0].comment.chars().count());
        assert!((200..300).contains(&lengths.0) && (1000..1100).contains(&lengths.1), "{lengths:?}");
    }
}
