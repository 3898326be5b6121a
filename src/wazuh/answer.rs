//! The JSON that Wazuh's rules see: the first match in the fields that integrations
//! of MISP have had since long, all matches in `misp.matches`.

use super::alert::{Alert, Wanted};
use super::{INTEGRATION, local};
use crate::cache::key::Keys;
use crate::indicator::{MispType, Namespace};
use crate::lookup::Match;
use ipnet::IpNet;
use serde::Serialize;
use std::net::IpAddr;

/// Most characters of a text that comes from elsewhere: a value can have 64 kB, and
/// the whole answer may not have more.
const MAX_TEXT: usize = 2000;

/// The category of a type that MISP does not have: written by somebody else.
const NO_CATEGORY: &str = "Other";

/// An event that lists a value of the alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// MISP's event id.
    pub event_id: String,
    /// MISP's attribute category.
    pub category: String,
    /// The value as the alert has it.
    pub value: String,
    /// MISP's attribute type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The alert's field.
    pub field: String,
    /// The key of memcached: what MISP lists, which may be a network around an
    /// address or a domain above a name.
    pub key: String,
}

/// The hits of one value. A local address that is listed, also as part of a URL or
/// inside a network, is none.
pub fn hits(wanted: &Wanted, matches: Vec<Match>, keys: &Keys) -> Vec<Hit> {
    let is_url = |m: &Match| keys.parse(m.key.as_bytes()).is_some_and(|(namespace, _)| namespace == Namespace::Url);
    let told = matches.into_iter().filter(|m| !is_local(&m.key, keys) && (!wanted.whole_url || is_url(m)));
    told.map(|m| Hit {
        category: shortened(category(&m)),
        event_id: m.event_id,
        value: shortened(&wanted.shown),
        kind: m.kind,
        field: wanted.field.clone(),
        key: m.key,
    })
    .collect()
}

/// The category of a match: the attribute's own where the value tells it
/// (`memcached.context`), else what MISP gives its type by default.
fn category(of: &Match) -> &str {
    let own = of.context.iter().find(|(name, text)| *name == "category" && !text.is_empty());
    let by_default = || MispType::from_name(&of.kind).map_or(NO_CATEGORY, MispType::default_category);
    own.map_or_else(by_default, |(_, text)| text)
}

fn is_local(key: &str, keys: &Keys) -> bool {
    let Some((namespace, value)) = keys.parse(key.as_bytes()) else { return false };
    let Ok(value) = std::str::from_utf8(value) else { return false };
    let address = match namespace {
        Namespace::Ip => value.parse::<IpAddr>().ok(),
        Namespace::Cidr => value.parse::<IpNet>().ok().map(|network| network.addr()),
        _ => None,
    };
    address.is_some_and(local::is_local)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[derive(Serialize)]
struct Answer<T> {
    misp: T,
    integration: &'static str,
}

impl<T: Serialize> Answer<T> {
    fn json(misp: T) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Answer { misp, integration: INTEGRATION })
    }
}

#[derive(Serialize)]
struct Found<'a> {
    event_id: &'a str,
    category: &'a str,
    value: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    source: Source,
    matches: &'a [Hit],
    #[serde(skip_serializing_if = "is_none_left_out")]
    matches_left_out: usize,
}

fn is_none_left_out(n: &usize) -> bool {
    *n == 0
}

/// The alert that was looked up.
#[derive(Serialize)]
struct Source {
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// The answer for these hits, at most `limit` bytes: matches that do not fit are left
/// out and counted. `None`: there is no hit.
///
/// # Errors
/// It cannot be written, which would be a bug.
pub fn found(alert: &Alert, hits: &[Hit], limit: usize) -> Result<Option<String>, serde_json::Error> {
    let Some(first) = hits.first() else { return Ok(None) };
    let write = |shown: usize| {
        let text = |text: Option<&str>| text.map(shortened);
        let source =
            Source { alert_id: text(alert.id()), rule: text(alert.rule()), description: text(alert.description()) };
        Answer::json(Found {
            event_id: &first.event_id,
            category: &first.category,
            value: &first.value,
            kind: &first.kind,
            source,
            matches: &hits[..shown],
            matches_left_out: hits.len() - shown,
        })
    };
    let whole = write(hits.len())?;
    if whole.len() <= limit {
        return Ok(Some(whole));
    }
    let mut room = limit.saturating_sub(write(0)?.len());
    let mut shown = 0;
    for hit in hits {
        let needed = serde_json::to_string(hit)?.len() + 1;
        let Some(rest) = room.checked_sub(needed) else { break };
        room = rest;
        shown += 1;
    }
    write(shown).map(Some)
}

/// The answer where the look-up failed.
///
/// # Errors
/// It cannot be written, which would be a bug.
pub fn failed(why: &str) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Failed {
        error: String,
    }
    Answer::json(Failed { error: shortened(why) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wazuh::datagram::MAX_DATAGRAM;
    use serde_json::{Value, json};

    fn found_in(key: &str, kind: &str) -> Match {
        Match { event_id: "7".into(), kind: kind.into(), key: key.into(), fields: String::new(), context: Vec::new() }
    }

    fn hit(value: &str) -> Hit {
        let wanted = Wanted { field: "data.url".into(), asked: value.into(), shown: value.into(), whole_url: false };
        hits(&wanted, vec![found_in("misp-url:x", "url")], &Keys::new("misp")).remove(0)
    }

    fn alert() -> Alert {
        Alert::parse(br#"{"id":"1.2","rule":{"id":"5710","description":"said"}}"#).unwrap()
    }

    /// Where the loader was told to keep it, the attribute's own category.
    #[test]
    fn the_attributes_own_category() {
        let wanted = Wanted { field: "data.url".into(), asked: "x".into(), shown: "x".into(), whole_url: false };
        let mut own = found_in("misp-url:x", "url");
        own.context = vec![("tlp", "amber".into()), ("category", "Payload delivery".into())];
        let mut empty = found_in("misp-url:x", "url");
        empty.context = vec![("category", String::new())];
        let all = hits(&wanted, vec![own, empty], &Keys::new("misp"));
        let categories: Vec<&str> = all.iter().map(|hit| &*hit.category).collect();
        assert_eq!(categories, ["Payload delivery", "Network activity"]);
    }

    #[test]
    fn the_first_match_and_all_of_them() {
        let hits = [hit("http://a.example/"), hit("http://b.example/")];
        let text = found(&alert(), &hits, MAX_DATAGRAM).unwrap().unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["integration"], "misp");
        let misp = &answer["misp"];
        assert_eq!(misp["value"], "http://a.example/");
        assert_eq!((&misp["event_id"], &misp["type"]), (&json!("7"), &json!("url")));
        assert_eq!(misp["category"], "Network activity");
        assert_eq!(misp["source"], json!({"alert_id": "1.2", "rule": "5710", "description": "said"}));
        assert_eq!(misp["matches"].as_array().unwrap().len(), 2);
        assert_eq!(misp.get("matches_left_out"), None);
        assert!(found(&alert(), &[], MAX_DATAGRAM).unwrap().is_none());
    }

    /// Each quote and each control character takes more room in JSON than in the value.
    #[test]
    fn what_does_not_fit_is_counted() {
        let hits: Vec<Hit> = (0..500).map(|n| hit(&format!("{n}{}", "\u{1}\"".repeat(900 - n)))).collect();
        for limit in [MAX_DATAGRAM, MAX_DATAGRAM - 300, 40_000] {
            let text = found(&alert(), &hits, limit).unwrap().unwrap();
            assert!(text.len() <= limit && text.len() > limit - 8000, "{}", text.len());
            let misp = &serde_json::from_str::<Value>(&text).unwrap()["misp"];
            let shown = misp["matches"].as_array().unwrap().len();
            assert!(shown > 0);
            assert_eq!(misp["matches_left_out"], json!(500 - shown));
        }
    }

    #[test]
    fn a_long_value_is_shortened() {
        let value = hit(&"é".repeat(60_000)).value;
        assert_eq!(value.chars().count(), MAX_TEXT + 3);
        assert!(failed(&"\u{1}".repeat(100_000)).unwrap().len() < MAX_DATAGRAM);
    }

    #[test]
    fn local_addresses_are_no_hits_wherever_they_come_from() {
        let wanted = Wanted { field: "f".into(), asked: "x".into(), shown: "x".into(), whole_url: false };
        let matches = ["misp-ip:10.0.0.1", "misp-cidr:10.0.0.0/8", "misp-ip:203.0.113.7", "misp-url:http://10.0.0.1/"]
            .map(|key| found_in(key, "ip-dst"));
        let keys: Vec<String> =
            hits(&wanted, matches.into(), &Keys::new("misp")).into_iter().map(|hit| hit.key).collect();
        assert_eq!(keys, ["misp-ip:203.0.113.7", "misp-url:http://10.0.0.1/"]);
    }

    #[test]
    fn categories() {
        assert_eq!(category(&found_in("k", "filename|sha256")), "Payload delivery");
        assert_eq!(category(&found_in("k", "of somebody else")), "Other");
    }
}
