//! The sample MISP against recordings of a real one: a recorded request must get
//! the recorded rows, byte for byte, and the recorded totals.

use super::answer::{NO_KEY, Options, answer};
use super::event::Attribute;
use super::http::Request;
use super::sightings;
use super::world::World;
use serde_json::Value;
use std::path::PathBuf;

const KEY: &str = "sample-key";

/// One recorded request and its answer.
struct Recording {
    name: String,
    request: Request,
    now: u64,
    status: u64,
    headers: Vec<(String, String)>,
    body: String,
}

/// The recordings lie beside the checkout, not in it; without them there is nothing to compare.
fn directory() -> Option<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/misp-recordings");
    if !directory.is_dir() {
        println!("no recordings in {}: nothing compared", directory.display());
        return None;
    }
    Some(directory)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn recording(name: &str) -> Recording {
    let whole = |name: &str| -> Value {
        let path = directory().unwrap().join(format!("{name}.json"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let recorded = whole(name);
    let (request, response) = (&recorded["request"], &recorded["response"]);
    let headers: Vec<(String, String)> =
        response["headers"].as_array().unwrap().iter().map(|h| (text(&h[0]), text(&h[1]))).collect();
    let date = headers.iter().find(|(n, _)| n == "Date").map(|(_, v)| v.clone()).unwrap();
    let mut body = response["body"].clone();
    if let Some(other) = response["body_same_as"].as_str().or(recorded["body_same_as"].as_str()) {
        body = whole(other.trim_end_matches(".json"))["response"]["body"].clone();
    }
    let sent = request["headers"].as_object().unwrap().iter();
    let sent = sent.map(|(n, v)| (n.clone(), text(v).replace("REDACTED", KEY)));
    Recording {
        name: name.to_owned(),
        request: Request {
            method: text(&request["method"]),
            path: text(&request["path"]),
            headers: sent.collect(),
            body: text(&request["body"]).into_bytes(),
        },
        now: seconds(&date),
        status: response["status"].as_u64().unwrap(),
        headers,
        body: text(&body),
    }
}

/// All were recorded on one day.
fn seconds(date: &str) -> u64 {
    const MIDNIGHT: u64 = 1_795_219_200;
    let clock = date.strip_prefix("Sat, 21 Nov 2026 ").and_then(|d| d.strip_suffix(" GMT")).unwrap();
    let clock = clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap());
    MIDNIGHT + clock
}

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

/// Searches of the sample's parameters whose rows are compared byte for byte.
const SAME_ROWS: &[&str] = &[
    "accept_xml",
    "big_limit",
    "body_array",
    "body_empty",
    "body_empty_object",
    "body_no_content_type",
    "body_string",
    "category_list",
    "category_not",
    "category_str",
    "category_unknown",
    "comment",
    "deleted_0list",
    "deleted_absent",
    "deleted_false",
    "deleted_int0",
    "eventid_batch",
    "eventid_list",
    "eventid_not",
    "everything",
    "format_missing",
    "known_and_unknown_type",
    "limit_0",
    "limit_negative",
    "no_accept_header",
    "object_name",
    "org_id",
    "org_list",
    "org_name",
    "org_not",
    "org_unknown",
    "org_uuid",
    "page_0",
    "page_without_limit",
    "published_0",
    "published_01",
    "published_1",
    "published_false",
    "published_true",
    "published_truefalse",
    "published_yes",
    "request_wrapper",
    "sha1_all",
    "tags_and",
    "tags_attr",
    "tags_bang",
    "tags_case",
    "tags_feed",
    "tags_list",
    "tags_not",
    "tags_or",
    "tags_or_not",
    "tags_str",
    "tags_unknown",
    "tags_wild",
    "threat_level_1",
    "threat_level_4",
    "threat_level_list",
    "threat_level_str",
    "time_attribute_ts_1h",
    "time_date_2d",
    "time_event_ts_0",
    "time_event_ts_1D_upper",
    "time_event_ts_1M",
    "time_event_ts_1h",
    "time_event_ts_1w",
    "time_event_ts_1y",
    "time_event_ts_30d",
    "time_event_ts_30s",
    "time_event_ts_5m",
    "time_event_ts_empty",
    "time_event_ts_exact_E2",
    "time_event_ts_exact_E2_int",
    "time_event_ts_exact_E2_plus1",
    "time_event_ts_false",
    "time_event_ts_float",
    "time_event_ts_fraction",
    "time_event_ts_future",
    "time_event_ts_garbage",
    "time_event_ts_millis",
    "time_event_ts_negative",
    "time_event_ts_null",
    "time_event_ts_range_E2",
    "time_event_ts_range_rel",
    "time_event_ts_range_swapped",
    "time_event_ts_str0",
    "time_last_1h",
    "time_last_5m",
    "time_publish_ts_1h",
    "time_publish_ts_range",
    "time_ts_1h",
    "time_ts_old_event",
    "time_ts_range",
    "to_ids_0",
    "to_ids_01",
    "to_ids_1",
    "to_ids_absent",
    "to_ids_empty",
    "to_ids_exclude",
    "to_ids_false",
    "to_ids_list1",
    "to_ids_no",
    "to_ids_null",
    "to_ids_str0",
    "to_ids_str1",
    "to_ids_strfalse",
    "to_ids_true",
    "to_ids_yes",
    "type_bang",
    "unknown_param",
    "uuid_event",
    "value_cidr",
    "value_cidr_member",
    "value_composite_half",
    "value_composite_whole",
    "value_exact",
    "value_list",
    "value_quickFilter",
    "value_searchall",
    "value_upper",
    "value_wild",
    "warninglist_enforce",
    "warninglist_enforce_limit3_p1",
    "warninglist_enforce_limit3_p2",
    "warninglist_off",
    "hash_365d",
    "host_365d",
    "network_365d",
    "web_365d",
];

/// Searches whose whole body is compared, with the order of its rows.
const SAME_BODY: &[&str] = &[
    "order_id_asc",
    "order_id_desc",
    "order_plain_id",
    "page_as_strings",
    "page_exact_multiple_last",
    "page_exact_multiple_past",
    "page_limit10_nopage",
    "page_limit10_p1",
    "page_limit10_p2",
    "page_limit10_p3",
    "page_limit10_p4",
    "page_limit10_p5",
    "page_limit10_p6",
    "type_amp",
    "type_bang_list",
    "type_case",
    "type_email",
    "type_empty_list",
    "type_empty_or",
    "type_known_and_unknown",
    "type_list",
    "type_not",
    "type_or",
    "type_pipe",
    "type_str",
    "type_unknown",
    "type_wild_tail",
    "eventid_batch",
    "everything",
    "time_ts_1h",
];

/// Refusals, with their exact bodies.
const SAME_REFUSAL: &[&str] = &[
    "auth_bad_key",
    "auth_bearer",
    "auth_none",
    "auth_short_key",
    "body_malformed",
    "format_unknown",
    "get_json_ext",
    "get_no_params",
    "limit_text",
    "time_event_ts_dict",
    "time_event_ts_range_3",
];

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
