//! The file as Prometheus reads it, and what our rules and our dashboard ask of it.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn full() -> String {
    let memory = Memory { address: "/run/m\"1\".sock".into(), items: 5, bytes: 6, limit: 7, needed: 8, evictions: 9 };
    let totals = Totals {
        runs: [(0, 3), (69, 1)].into(),
        last_seconds: 1.25,
        keys: [("ip".to_owned(), 4)].into(),
        indicators: [("ip".to_owned(), 5)].into(),
        added: [("ip".to_owned(), 6)].into(),
        removed: [("ip".to_owned(), 7)].into(),
        skipped: [("no \\ address".to_owned(), 2)].into(),
        events: [("listed".to_owned(), 1)].into(),
        mended: [("swept".to_owned(), 0)].into(),
        servers: vec![memory],
        unreachable: vec!["10.0.0.5:11211".into()],
        falco_listed: Some(3),
        ..Totals::default()
    };
    let counts = Counts { up: true, messages: [("tag".to_owned(), 2)].into(), ..Counts::default() };
    render(&totals, 4096, Some(&counts))
}

/// Names of a page's samples, with what their `TYPE` line says; fails where a line is
/// none of the text format's.
fn parse(page: &str) -> BTreeMap<String, String> {
    let (mut kinds, mut names) = (BTreeMap::new(), BTreeMap::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = sample.split('{').next().unwrap();
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{line}");
            let kind = kinds.iter().find(|(k, _)| {
                name == *k || name.strip_prefix(k.as_str()).is_some_and(|r| r == "_sum" || r == "_count")
            });
            let (_, kind) = kind.unwrap_or_else(|| panic!("{name} has no TYPE"));
            assert!(kind != "counter" || name.ends_with("_total"), "{name}");
            names.insert(name.to_owned(), kind.clone());
        }
    }
    names
}

#[test]
fn the_text_format() {
    let page = full();
    let names = parse(&page);
    assert!(names.len() >= 40, "{names:?}");
    for line in [
        "misp2memcached_runs_total{exit_code=\"69\"} 1",
        "misp2memcached_last_success_duration_seconds 1.25",
        "misp2memcached_memcached_items{server=\"/run/m\\\"1\\\".sock\"} 5",
        "misp2memcached_memcached_up{server=\"10.0.0.5:11211\"} 0",
        "misp2memcached_skipped_total{reason=\"no \\\\ address\"} 2",
        "misp2memcached_ledger_bytes 4096",
        "misp2memcached_follow_messages_total{kind=\"tag\"} 2",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
    }
    assert!(!render(&Totals::default(), 0, None).contains("follow_"));
}

/// Words of a text that are names of ours.
fn asked(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|w| w.starts_with("misp2memcached_")).map(str::to_owned).collect()
}

#[test]
fn rules_dashboard_and_manual_ask_for_what_there_is() {
    let names = parse(&full());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in
        ["packaging/prometheus/misp2memcached.rules.yml", "packaging/grafana/misp2memcached.json", "docs/metrics.md"]
    {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let asked = asked(&text);
        assert!(!asked.is_empty(), "{file}");
        for name in asked {
            let summary = name.strip_suffix("_seconds").is_some() && names.contains_key(&format!("{name}_sum"));
            assert!(names.contains_key(&name) || summary, "{file}: {name}");
        }
    }
    let manual = asked(&fs::read_to_string(root.join("docs/metrics.md")).unwrap());
    for name in names.keys().filter(|n| !n.ends_with("_sum") && !n.ends_with("_count")) {
        assert!(manual.contains(name), "{name} is not in docs/metrics.md");
    }
    let rules: serde_yaml::Value =
        serde_yaml::from_str(&fs::read_to_string(root.join("packaging/prometheus/misp2memcached.rules.yml")).unwrap())
            .unwrap();
    for rule in rules["groups"][0]["rules"].as_sequence().unwrap() {
        for key in ["alert", "expr", "for"] {
            assert!(rule[key].is_string(), "{rule:?}");
        }
        assert!(rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string(), "{rule:?}");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(root.join("packaging/grafana/misp2memcached.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        assert!(panel["targets"].as_array().is_some_and(|t| t.iter().all(|t| t["expr"].is_string())), "{panel}");
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{panel}");
    }
}
