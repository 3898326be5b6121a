//! The sample MISP against recordings of a real one: a recorded request must get
//! the recorded rows, byte for byte, and the recorded totals.

mod names;
mod recording;

use super::answer::{NO_KEY, Options, answer};
use super::event::Attribute;
use super::http::Request;
use super::sightings;
use super::world::World;
use names::{SAME_BODY, SAME_REFUSAL, SAME_ROWS};
use recording::{Recording, directory, recording, text};
use serde_json::Value;

const KEY: &str = "sample-key";

/// What the server held as the searches were recorded.
fn world() -> World {
    let everything = recording("restsearch/everything");
    let mut world = World::from_recording(&everything.body, &recording("rest/events_index").body).unwrap();
    mark(&mut world, "restsearch/warninglist_enforce", "\"event_id\":\"10\"", |a| a.warninglisted = true);
    mark(&mut world, "restsearch/decay_exclude", "\"type\":\"ip-dst\"", |a| a.decayed = true);
    world
}

/// What a recording left out of the rows that hold `of` is what MISP dropped.
fn mark(world: &mut World, name: &str, of: &str, mark: fn(&mut Attribute)) {
    let kept = ids(&recording(name).body);
    let all: Vec<(u64, String)> =
        rows(&recording("restsearch/everything").body).into_iter().filter(|(_, row)| row.contains(of)).collect();
    assert!(kept.len() < all.len(), "{name}");
    for (id, _) in all.iter().filter(|(id, _)| !kept.contains(id)) {
        mark(world.attribute_mut(*id).unwrap());
    }
}

/// Ids and exact texts of the rows of an answer.
fn rows(body: &str) -> Vec<(u64, String)> {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        response: Rows<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Rows<'a> {
        #[serde(borrow, rename = "Attribute")]
        rows: Vec<&'a serde_json::value::RawValue>,
    }
    let answer: Answer = serde_json::from_str(body).unwrap();
    let id = |row: &str| serde_json::from_str::<Value>(row).unwrap()["id"].as_str().unwrap().parse().unwrap();
    answer.response.rows.iter().map(|row| (id(row.get()), row.get().to_owned())).collect()
}

fn ids(body: &str) -> Vec<u64> {
    let mut ids: Vec<u64> = rows(body).into_iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    ids
}

/// The answer, after its status and totals were compared.
fn replay(recording: &Recording, world: &World) -> String {
    let response = answer(&recording.request, world, &Options::new(KEY, recording.now));
    let body = String::from_utf8(response.body.clone()).unwrap();
    let name = &recording.name;
    assert_eq!(u64::from(response.status), recording.status, "{name}: {body:.300}");
    for header in ["Content-Type", "X-Result-Count", "X-Skipped-Elements-Count", "X-Response-Format"] {
        let recorded = recording.headers.iter().find(|(n, _)| n == header).map(|(_, v)| v.as_str());
        assert_eq!(response.header(header), recorded, "{name}: {header}");
    }
    body
}

#[test]
fn recorded_searches_get_the_recorded_rows() {
    if directory().is_none() {
        return;
    }
    let world = world();
    for name in SAME_ROWS {
        let recording = recording(&format!("restsearch/{name}"));
        replay_rows(&recording, &world);
    }
}

/// The same rows in any order: without a limit it is the database's whim.
fn replay_rows(recording: &Recording, world: &World) {
    let body = replay(recording, world);
    let (mut ours, mut theirs) = (rows(&body), rows(&recording.body));
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs, "{}", recording.name);
    assert_eq!(body.len(), recording.body.len(), "{}", recording.name);
}

#[test]
fn recorded_pages_get_the_recorded_order() {
    if directory().is_none() {
        return;
    }
    let world = world();
    for name in SAME_BODY {
        let recording = recording(&format!("restsearch/{name}"));
        assert_eq!(replay(&recording, &world), recording.body, "{name}");
    }
}

#[test]
fn recorded_refusals_get_the_recorded_text() {
    if directory().is_none() {
        return;
    }
    let world = world();
    for name in SAME_REFUSAL {
        let recording = recording(&format!("restsearch/{name}"));
        assert_eq!(replay(&recording, &world), recording.body, "{name}");
    }
    for name in ["notfound", "getVersion_bad_key"] {
        let recording = recording(&format!("rest/{name}"));
        assert_eq!(replay(&recording, &world), recording.body, "{name}");
    }
    let page = recording("restsearch/auth_none_no_accept");
    assert!(replay(&page, &world).contains(NO_KEY));
    let put = recording("rest/put_restsearch");
    assert_eq!(ids(&String::from_utf8(answer(&put.request, &world, &Options::new(KEY, 0)).body).unwrap()).len(), 177);
}

/// Deleted rows are in no search but those that ask for them: a world of its own.
#[test]
fn recorded_deletions_get_the_recorded_rows() {
    if directory().is_none() {
        return;
    }
    let index = recording("rest/events_index").body;
    let world = World::from_recording(&recording("restsearch/deleted_01").body, &index).unwrap();
    for name in ["01", "0list", "1", "absent", "false", "int0", "int1", "only", "str1", "str_0_or_1", "true"] {
        replay_rows(&recording(&format!("restsearch/deleted_{name}")), &world);
    }
}

#[test]
fn decayed_rows_are_dropped_behind_the_cut() {
    if directory().is_none() {
        return;
    }
    let world = world();
    let mut recording = recording("restsearch/decay_exclude");
    recording.request.body = br#"{"returnFormat": "json", "type": "ip-dst", "excludeDecayed": 1}"#.to_vec();
    assert_eq!(ids(&replay(&recording, &world)), ids(&recording.body));
}

/// Every recorded addition, in the order they were made: the same attribute (of several
/// the last), event, type, source and time, and the same reason.
#[test]
fn recorded_sightings_get_the_recorded_answer() {
    if directory().is_none() {
        return;
    }
    let mut world = world();
    for name in [
        "by_value",
        "by_values_two",
        "by_id",
        "by_id_type1",
        "by_id_type2",
        "by_uuid",
        "body_id",
        "body_uuid",
        "singular_value",
        "composite_part",
        "composite_half",
        "composite_whole",
        "upper",
        "mixed_known_unknown",
        "time_future",
        "unknown_value",
        "unknown_id",
        "bad_type",
        "empty",
    ] {
        let recording = recording(&format!("rest/sightings_add_{name}"));
        let options = Options::new(KEY, recording.now);
        let ours = sightings::answer(&recording.request, &mut world, &options).unwrap();
        let comparable = |body: &str| {
            let mut body: Value = serde_json::from_str(body).unwrap();
            if let Some(sighting) = body["Sighting"].as_object_mut() {
                sighting.remove("id");
                sighting.remove("uuid");
            }
            body
        };
        assert_eq!(comparable(std::str::from_utf8(&ours.body).unwrap()), comparable(&recording.body), "{name}");
        assert_eq!(u64::from(ours.status), recording.status, "{name}");
    }
    let bad = recording("rest/sightings_add_bad_key");
    let mut refused = bad.request.clone();
    refused.headers.retain(|(name, _)| name != "Authorization");
    assert!(sightings::answer(&refused, &mut world, &Options::new(KEY, bad.now)).is_none());
    // The sightings of one attribute, as a search shows them.
    let one = recording("restsearch/inc_sightings_one");
    let body = br#"{"returnFormat": "json", "value": "185.220.101.47", "includeSightings": 1}"#.to_vec();
    let request = Request { body, ..one.request };
    let ours = answer(&request, &world, &Options::new(KEY, one.now)).body;
    let noted = |body: &str| -> Vec<(String, Vec<[String; 4]>)> {
        let rows: Value = serde_json::from_str(body).unwrap();
        let rows = rows["response"]["Attribute"].as_array().unwrap().clone();
        let one = |s: &Value| ["attribute_id", "source", "type", "org_id"].map(|name| text(&s[name]));
        let of = |row: &Value| row["Sighting"].as_array().unwrap().iter().map(one).collect::<Vec<_>>();
        rows.iter().map(|row| (text(&row["id"]), of(row))).collect()
    };
    let (mut ours, mut theirs) = (noted(std::str::from_utf8(&ours).unwrap()), noted(&one.body));
    // Which of two additions was first is not in the names; one more of attribute 46 is: mixed_known_unknown.
    ours.iter_mut().chain(&mut theirs).for_each(|(_, all)| all.sort());
    assert_eq!(ours, theirs);
}

#[test]
fn the_recorded_index() {
    if directory().is_none() {
        return;
    }
    // By the time of these one more event had come: the index is its own world, each event with one attribute.
    let index = recording("rest/events_index_minimal");
    let mut world = World::from_recording("{\"response\": {\"Attribute\": []}}\n", &index.body).unwrap();
    let listed: Vec<u64> = world.events().map(|e| e.id).collect();
    assert_eq!(replay_index(&index, &world), "[]", "events without attributes are not listed");
    for id in listed {
        world.event_mut(id).unwrap().attributes.push(Attribute::new("md5", "x"));
    }
    for name in ["", "_limit", "_none", "_published", "_timestamp"] {
        let recording = recording(&format!("rest/events_index_minimal{name}"));
        assert_eq!(replay(&recording, &world), recording.body, "{name}");
    }
}

fn replay_index(recording: &Recording, world: &World) -> String {
    let response = answer(&recording.request, world, &Options::new(KEY, recording.now));
    assert_eq!(response.header("X-Result-Count"), Some("0"));
    String::from_utf8(response.body).unwrap()
}
