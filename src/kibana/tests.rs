//! Whether Kibana could read it: every line, every text of JSON inside, every reference.

use super::*;
use std::collections::BTreeSet;

const URL: &str = "https://misp.example";

/// Attributes that hold JSON as text, at whatever depth.
const INNER: [&str; 7] =
    ["fields", "fieldFormatMap", "runtimeFieldMap", "searchSourceJSON", "visState", "panelsJSON", "optionsJSON"];

fn objects(version: Version) -> Vec<Value> {
    let text = ndjson(version, URL, INDICES);
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn inner(object: &Value, name: &str) -> Value {
    let attributes = &object["attributes"];
    let text = if name == "searchSourceJSON" { &attributes["kibanaSavedObjectMeta"][name] } else { &attributes[name] };
    serde_json::from_str(text.as_str().unwrap_or_else(|| panic!("{name} of {object}"))).unwrap()
}

/// Parses all inner texts; returns how many there were.
fn parse_inner(value: &Value) -> usize {
    let Value::Object(map) = value else { return 0 };
    let own = map.iter().filter(|(name, _)| INNER.contains(&name.as_str()) || *name == "uiStateJSON");
    let parsed = own.map(|(name, text)| {
        let text = text.as_str().unwrap_or_else(|| panic!("{name} is no text"));
        serde_json::from_str::<Value>(text).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
    });
    parsed.count() + map.values().map(parse_inner).sum::<usize>()
}

#[test]
fn lines_and_inner_texts_parse_and_references_resolve() {
    for version in [Version::Seven, Version::Eight] {
        let objects = objects(version);
        let key = |o: &Value| (o["type"].as_str().unwrap().to_owned(), o["id"].as_str().unwrap().to_owned());
        let mut known = BTreeSet::new();
        for object in &objects {
            assert!(parse_inner(object) >= 1, "{object}");
            for reference in object["references"].as_array().unwrap() {
                assert!(known.contains(&key(reference)), "{reference} is not before {object}");
            }
            assert!(known.insert(key(object)), "twice: {object}");
            // A search source names its data view by a reference of this very name.
            let named: Vec<&str> =
                object["references"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
            if let Some(name) = object["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"].as_str()
                && let Some(name) = serde_json::from_str::<Value>(name).unwrap()["indexRefName"].as_str()
            {
                assert!(named.contains(&name), "{object}");
            }
        }
        assert_eq!(objects.len(), 8);
    }
}

#[test]
fn panels_are_on_the_grid_and_name_their_references() {
    for version in [Version::Seven, Version::Eight] {
        let objects = objects(version);
        let dashboard = objects.last().unwrap();
        let panels = inner(dashboard, "panelsJSON");
        let references = dashboard["references"].as_array().unwrap();
        let mut cells = BTreeSet::new();
        assert_eq!(panels.as_array().unwrap().len(), references.len());
        for (panel, reference) in panels.as_array().unwrap().iter().zip(references) {
            let name = panel["panelRefName"].as_str().unwrap();
            let index = panel["panelIndex"].as_str().unwrap();
            let wanted = if version == Version::Seven { name.to_owned() } else { format!("{index}:{name}") };
            assert_eq!((reference["name"].as_str(), &reference["type"]), (Some(wanted.as_str()), &panel["type"]));
            assert_eq!(panel["gridData"]["i"], panel["panelIndex"]);
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridData"][side].as_u64().unwrap());
            assert!(x + w <= 48, "{panel}");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{panel} stands on another");
            }
        }
    }
}

#[test]
fn an_event_id_is_a_link() {
    let template = format!("{URL}/events/view/{{{{value}}}}");
    for (version, url) in [(Version::Seven, URL), (Version::Eight, "https://misp.example/")] {
        let text = ndjson(version, url, "logs-*");
        let view: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(view["attributes"]["title"], "logs-*");
        let formats = inner(&view, "fieldFormatMap");
        for field in ["misp.event_id", LINK] {
            assert_eq!(formats[field]["params"]["urlTemplate"], template, "{field}");
        }
        // One of the two ways to have the ids once more, never both under one name.
        let scripted = inner(&view, "fields");
        let runtime = view["attributes"].get("runtimeFieldMap").map(|_| inner(&view, "runtimeFieldMap"));
        match version {
            Version::Seven => {
                assert_eq!((scripted[0]["name"].as_str(), runtime), (Some(LINK), None));
                assert!(view["migrationVersion"]["index-pattern"].is_string());
            }
            Version::Eight => {
                assert_eq!(scripted, json!([]));
                assert!(runtime.unwrap()[LINK]["script"]["source"].as_str().unwrap().contains("emit(id)"));
                assert_eq!(view["typeMigrationVersion"], "8.0.0");
                assert_eq!(view["coreMigrationVersion"], "8.8.0");
            }
        }
    }
}

/// A quote in an address must not end a text inside a text.
#[test]
fn odd_names_stay_inside_their_texts() {
    for line in ndjson(Version::Eight, "https://misp.example/\"\\", "a\"-*").lines() {
        assert!(parse_inner(&serde_json::from_str(line).unwrap()) >= 1);
    }
}

/// What users get. After a change on purpose: `misp2memcached kibana` with this address.
#[test]
fn golden() {
    assert_eq!(ndjson(Version::Seven, URL, INDICES), include_str!("../../tests/golden/kibana/7.ndjson"));
    assert_eq!(ndjson(Version::Eight, URL, INDICES), include_str!("../../tests/golden/kibana/8.ndjson"));
}
