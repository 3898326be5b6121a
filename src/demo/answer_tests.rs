//! Answers of the sample MISP that no recording shows: large worlds, and what is refused.

use super::*;

const KEY: &str = "sample-key";

fn post(path: &str, body: &str) -> Request {
    let headers = [("Authorization", KEY), ("Accept", "application/json"), ("Content-Type", "application/json")];
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Request { method: "POST".into(), path: path.into(), headers, body: body.into() }
}

fn many(attributes: u64) -> World {
    let mut world = World::new();
    for part in 0..attributes.div_ceil(1000) {
        let first = part * 1000;
        let values = (first..attributes.min(first + 1000)).map(|n| Attribute::new("domain", &format!("d{n}.example")));
        world.add_event(values.fold(Event::new("many"), Event::with), 1);
    }
    world
}

/// 200,066 matching rows gave 302,466 with 302,467 in the header (load_test.json);
/// the same arithmetic with smaller numbers.
#[test]
fn an_unlimited_search_sends_rows_twice() {
    let world = many(200_066);
    let search = Search::default();
    let found = find(&world, &search);
    let (rows, count) = page_of(&found, &search, DEFAULT_CHUNK);
    let distinct: std::collections::HashSet<u64> = rows.iter().map(|(_, a)| a.id).collect();
    assert_eq!((rows.len(), distinct.len(), count), (302_466, 200_066, 302_467));
    let (rows, count) = page_of(&found, &search, 200_066);
    assert_eq!((rows.len(), count), (200_066, 200_066));
}

#[test]
fn what_is_not_known_is_refused() {
    let world = many(3);
    let status = |request: &Request| answer(request, &world, &Options::new(KEY, 0)).status;
    assert_eq!(status(&post("/attributes/restSearch", r#"{"includeProposals": 1}"#)), 501);
    assert_eq!(status(&post("/attributes/restSearch", r#"{"returnFormat": "csv"}"#)), 501);
    assert_eq!(status(&post("/events/index", "{}")), 501);
    let mut form = post("/attributes/restSearch", "type=md5");
    form.headers[2].1 = "application/x-www-form-urlencoded".into();
    assert_eq!(status(&form), 501);
    assert_eq!(status(&post("/servers/getVersion", "")), 404);
}

#[test]
fn a_long_index_is_compact() {
    let world = many(101_000);
    let response = answer(&post("/events/index", r#"{"minimal": 1}"#), &world, &Options::new(KEY, 0));
    let body = String::from_utf8(response.body).unwrap();
    assert!(body.starts_with(r#"[{"id":"1","timestamp":"1","sighting_timestamp":"0","published":false,"uuid":""#));
    assert_eq!((body.contains('\n'), response.headers.last().unwrap().1.as_str()), (false, "101"));
}

#[test]
fn version_and_user_are_json() {
    let world = World::new();
    for (path, pointer, expected) in
        [("/servers/getVersion", "/version", "2.5.1"), ("/users/view/me.json", "/Role/name", "User")]
    {
        let mut request = post(path, "");
        request.method = "GET".into();
        let response = answer(&request, &world, &Options::new(KEY, 0));
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(body.pointer(pointer).and_then(Value::as_str), Some(expected), "{path}");
    }
}
