//! What each recorded answer of a real MISP means to us.

use super::*;
use std::path::PathBuf;

/// The recordings lie beside the checkout, not in it; without them there is nothing to compare.
fn recordings() -> Option<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/misp-recordings");
    if !directory.is_dir() {
        println!("no recordings in {}: nothing compared", directory.display());
        return None;
    }
    Some(directory)
}

fn recording(directory: &std::path::Path, name: &str) -> Value {
    let text = std::fs::read_to_string(directory.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn body(recording: &Value) -> Value {
    serde_json::from_str(recording["response"]["body"].as_str().unwrap()).unwrap()
}

const UNKNOWN: &str = "No valid attributes found that match the criteria.";

/// Every recording of `/sightings/add` with status 200: `None` is an addition.
const SAID: [(&str, Option<&str>); 19] = [
    ("bad_type", Some("Invalid type, please change it before you POST 1000000 sightings.")),
    ("body_id", None),
    ("body_uuid", None),
    ("by_id", None),
    ("by_id_type1", None),
    ("by_id_type2", None),
    ("by_uuid", None),
    ("by_value", None),
    ("by_values_two", None),
    ("composite_half", None),
    ("composite_part", None),
    ("composite_whole", Some(UNKNOWN)),
    ("empty", Some("No valid attributes found.")),
    // MISP does not say that one of the two is unknown: hence the search before a list.
    ("mixed_known_unknown", None),
    ("singular_value", None),
    ("time_future", None),
    ("unknown_id", Some(UNKNOWN)),
    ("unknown_value", Some(UNKNOWN)),
    ("upper", None),
];

#[test]
fn every_recorded_answer() {
    let Some(directory) = recordings() else { return };
    for (name, reason) in SAID {
        let recording = recording(&directory, &format!("rest/sightings_add_{name}"));
        assert_eq!(recording["response"]["status"], 200, "{name}");
        let expected = reason.map_or(Verdict::Added, |reason| Verdict::Refused(reason.to_owned()));
        assert_eq!(verdict(&body(&recording)), Some(expected), "{name}");
    }
    let all = std::fs::read_dir(directory.join("rest")).unwrap().map(|e| e.unwrap().file_name());
    let all = all.filter(|name| name.to_string_lossy().starts_with("sightings_add_")).count();
    // Those with 403, for the key and for the right, are the client's affair.
    assert_eq!(all, SAID.len() + 2);
    assert_eq!(verdict(&body(&recording(&directory, "rest/sightings_listSightings"))), None);
    assert_eq!(verdict(&json!({"Sighting": "text"})), None);
}

/// Our requests are those that were recorded.
#[test]
fn the_request_forms_are_recorded_ones() {
    let Some(directory) = recordings() else { return };
    let mark = |at| Mark { kind: 0, source: "sensor-a", at };
    let (path, ours) = request(Whose::Values(&["185.220.101.47"]), mark(1_795_200_000));
    let recorded = recording(&directory, "rest/sightings_add_by_value");
    let sent: Value = serde_json::from_str(recorded["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!((path.as_str(), ours), (recorded["request"]["path"].as_str().unwrap(), sent));
    assert_eq!(request(Whose::Attribute(46), mark(1)).0, "/sightings/add/46");
    let (path, ours) = request(Whose::Uuid("5067ae30-49de-44da-a5db-dc84b61cb88e"), mark(1));
    assert_eq!((path.as_str(), &ours["uuid"]), (ADD, &json!("5067ae30-49de-44da-a5db-dc84b61cb88e")));
}

#[test]
fn what_a_search_shows() {
    let Some(directory) = recordings() else { return };
    let rows = |name: &str| -> Vec<Seen> {
        serde_json::from_value(body(&recording(&directory, name))["response"]["Attribute"].clone()).unwrap()
    };
    let two = rows("restsearch/inc_sightings_one");
    let mark = |source, at, kind| Mark { kind, source, at };
    let marked = |mark, organisation| two.iter().map(|row| row.is_marked(mark, organisation)).collect::<Vec<_>>();
    assert_eq!(two.iter().map(|row| row.id).collect::<Vec<_>>(), [46, 108]);
    assert_eq!(marked(mark("sensor-a", 1_795_200_000, 0), Some("1")), [true, true]);
    assert_eq!(marked(mark("sensor-a", 1_795_200_000, 0), Some("2")), [false, false]);
    assert_eq!(marked(mark("sensor-b", 1_795_220_308, 1), None), [true, false]);
    assert_eq!(marked(mark("sensor-a", 1_795_200_001, 0), None), [false, false]);
    // A half is known, the whole is not, and case does not matter.
    let composite = rows("restsearch/value_composite_half");
    assert!(composite[0].has("DROP.example.net") && composite[0].has("198.51.100.23"));
    assert!(!composite[0].has("drop.example.net|198.51.100.23"));
    assert!(rows("restsearch/value_upper")[0].has("EVIL-C2.EXAMPLE.NET"));
}

#[test]
fn a_pipe_in_a_plain_type_parts_nothing() {
    let row = |kind: &str| Seen {
        id: 1,
        uuid: String::new(),
        kind: kind.to_owned(),
        value: "a|b".to_owned(),
        sightings: Vec::new(),
    };
    assert!(row("url").has("A|b") && !row("url").has("a"));
    assert!(row("filename|md5").has("b") && row("malware-sample").has("a"));
}

#[test]
fn operators_of_a_search() {
    for value in ["!x", "%x", "x%", "http://a.example/?a=1&&b=2", "a||b"] {
        assert!(!is_searchable(value), "{value}");
    }
    assert!(is_searchable("http://a.example/%20?a=1&b=2!"));
}
