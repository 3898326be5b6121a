//! The benchmark's own tests: does the data have the shape the documentation
//! claims, does the server answer as MISP does, is the expected result right?
//! Run by `cargo test --bench load`, which has no test harness here.

use crate::Result;
use crate::attribute::{Attribute, KINDS};
use crate::baselines::download;
use crate::dataset::{Dataset, FIRST_EVENT_ID};
use crate::expected::Expected;
use crate::http::{Client, date};
use crate::replay::Process;
use crate::rows::Rows;
use crate::search::Search;
use crate::unix_now;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The keys of a row, in MISP's order (recording `restsearch/eventid_batch`).
const ROW_KEYS: [&str; 18] = [
    "id",
    "event_id",
    "object_id",
    "object_relation",
    "category",
    "type",
    "to_ids",
    "uuid",
    "timestamp",
    "distribution",
    "sharing_group_id",
    "comment",
    "deleted",
    "disable_correlation",
    "first_seen",
    "last_seen",
    "value",
    "Event",
];

type Test = (&'static str, fn() -> Result<()>);

/// Runs all of them; the first that fails panics.
pub fn run() -> Result<()> {
    let tests: [Test; 8] = [
        ("the shares of types and shared values", shares),
        ("no event lists a value twice as one type", no_value_twice),
        ("expected keys and values", expected),
        ("a touched event", touched),
        ("rows as MISP writes them", rows),
        ("pages and their totals", pages),
        ("types in a search", types),
        ("the server and the plain client", served),
    ];
    for (name, test) in tests {
        test().map_err(|e| format!("selftest: {name}: {e}"))?;
        println!("ok: {name}");
    }
    Ok(())
}

fn shares() -> Result<()> {
    let data = Dataset::new(200_000, 1_000)?;
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for event in 0..data.events() {
        for place in 0..data.per_event() {
            let attribute = data.attribute(event, place);
            let group = match attribute.kind_name() {
                "domain" | "hostname" | "domain|ip" => "names",
                "url" => "urls",
                kind if kind.starts_with("ip-") => "addresses",
                _ => "hashes",
            };
            *counts.entry(group).or_default() += 1;
            if group == "urls" {
                assert!((60..=140).contains(&attribute.value.len()), "{}", attribute.value);
            }
            assert!(attribute.value.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\'));
        }
        let age = 1_800_000_000 - data.timestamp(event, 1_800_000_000);
        assert!((7_200..=300 * 86_400).contains(&age), "{age}");
    }
    for (group, percent) in [("hashes", 30.0), ("addresses", 30.0), ("names", 25.0), ("urls", 15.0)] {
        let share = f64::from(counts[group]) / 2_000.0;
        assert!((share - percent).abs() < 1.0, "{group}: {share} %");
    }
    let shared = data.shared_values() as f64 / data.values() as f64;
    assert!((0.075..=0.08).contains(&shared), "{shared}");
    assert!(Dataset::new(1_001, 1_000).is_err());
    // Small ones have nobody, or few, to share with.
    for (attributes, per_event) in [(1, 1), (10, 10), (2_000, 1_000), (300, 100)] {
        let data = Dataset::new(attributes, per_event)?;
        data.attribute(data.events() - 1, per_event - 1);
    }
    Ok(())
}

fn no_value_twice() -> Result<()> {
    let data = Dataset::new(100_000, 500)?;
    for event in 0..data.events() {
        let all: BTreeSet<(u8, String)> =
            (0..500).map(|place| data.attribute(event, place)).map(|a| (a.kind, a.value)).collect();
        assert_eq!(all.len(), 500, "event {event}");
    }
    Ok(())
}

fn expected() -> Result<()> {
    let data = Dataset::new(20_000, 100)?;
    let mut plain: BTreeMap<String, BTreeSet<(u32, &str)>> = BTreeMap::new();
    for event in 0..data.events() {
        for place in 0..data.per_event() {
            let attribute = data.attribute(event, place);
            for (namespace, value) in attribute.indicators() {
                let tags = plain.entry(format!("misp-{namespace}:{value}")).or_default();
                tags.insert((FIRST_EVENT_ID + event, attribute.kind_name()));
            }
        }
    }
    let plain: BTreeMap<String, String> = plain
        .into_iter()
        .map(|(key, tags)| (key, tags.iter().map(|(e, t)| format!("{e}#{t}")).collect::<Vec<_>>().join(",")))
        .collect();
    let expected = Expected::new(&data);
    let pairs: BTreeMap<String, String> = (0..expected.keys()).map(|n| expected.pair(n)).collect();
    assert!(pairs == plain && pairs.len() == expected.keys());
    assert!(pairs.values().filter(|value| value.contains(',')).count() > pairs.len() / 20);
    assert!(expected.has("ip", pairs.keys().find_map(|k| k.strip_prefix("misp-ip:")).ok_or("no address")?));
    assert!(!expected.has("ip", "10.0.0.1"));
    // The documented rules, by hand.
    let indicators = |name: &str, value: &str| {
        let kind = KINDS.iter().position(|(kind, _)| *kind == name).expect("a type of the data") as u8;
        let attribute = Attribute { kind, value: value.to_owned() };
        attribute.indicators().map(|(n, v)| format!("{n}:{v}")).collect::<Vec<_>>()
    };
    assert_eq!(indicators("filename|sha1", "a.exe|12ab"), ["sha1:12ab"]);
    assert_eq!(indicators("ip-dst|port", "2001:db8::2|8080"), ["ip:2001:db8::2"]);
    assert_eq!(indicators("domain|ip", "a.example|192.0.2.1"), ["domain:a.example", "ip:192.0.2.1"]);
    assert_eq!(indicators("hostname", "www.a.example"), ["domain:www.a.example"]);
    assert_eq!(indicators("url", "http://a.example/a|b"), ["url:http://a.example/a|b"]);
    assert_eq!(indicators("md5", "12ab"), ["md5:12ab"]);
    Ok(())
}

fn touched() -> Result<()> {
    let before = Dataset::new(20_000, 1_000)?;
    let mut after = before.clone();
    after.touch([3]);
    for event in 0..before.events() {
        let changed =
            (0..1_000).filter(|p| before.attribute(event, *p).value != after.attribute(event, *p).value).count();
        assert!(if event == 3 { (60..100).contains(&changed) } else { changed == 0 }, "{event}: {changed}");
    }
    Ok(())
}

fn rows() -> Result<()> {
    let data = Dataset::new(5_000, 1_000)?;
    let rows = Rows::render(&data, 2, 1_790_000_000);
    let text = std::str::from_utf8(rows.slice(0..1_000))?;
    assert!((560..=640).contains(&(text.len() / 1_000)), "{} bytes a row", text.len() / 1_000);
    let all: Vec<Value> = serde_json::from_str(&format!("[{text}]"))?;
    assert_eq!(all.len(), 1_000);
    for (place, row) in all.iter().enumerate() {
        let attribute = data.attribute(2, place as u32);
        assert_eq!(
            (&row["value"], &row["type"]),
            (&attribute.value.into(), &KINDS[usize::from(attribute.kind)].0.into())
        );
        assert_eq!((&row["event_id"], &row["id"]), (&"10003".into(), &(2_001 + place).to_string().into()));
        let text = std::str::from_utf8(rows.slice(place..place + 1))?;
        let mut last = 0;
        for key in ROW_KEYS {
            let at = text[last..].find(&format!("\"{key}\":")).ok_or_else(|| format!("{key} is not in its place"))?;
            last += at;
        }
        assert_eq!(row.as_object().map(|row| row.len()), Some(ROW_KEYS.len()));
    }
    let day = UNIX_EPOCH + Duration::from_secs(1_795_224_197);
    assert_eq!(date(day), "Sat, 21 Nov 2026 01:23:17 GMT");
    Ok(())
}

fn pages() -> Result<()> {
    let data = Dataset::new(120, 10)?;
    let events: Vec<Arc<Rows>> = (0..12).map(|event| Arc::new(Rows::render(&data, event, 1_790_000_000))).collect();
    let ids = |limit: usize, page: usize| -> Result<(Vec<(usize, usize)>, usize)> {
        let search = Search::parse(format!("{{\"limit\":{limit},\"page\":\"{page}\"}}").as_bytes())?;
        let page = search.cut(&events);
        let rows: Vec<_> =
            page.slices.into_iter().flat_map(|(event, rows)| rows.map(move |row| (event, row))).collect();
        assert_eq!(rows.len(), page.rows);
        Ok((rows, page.result_count))
    };
    for limit in [1, 7, 10, 30, 119, 120, 121] {
        let mut all = Vec::new();
        for page in 1.. {
            let (rows, count) = ids(limit, page)?;
            // The recordings' table: full page, short page, past the end.
            assert_eq!(count, if rows.len() == limit { limit + 1 } else { rows.len().max(1) }, "{limit} {page}");
            all.extend_from_slice(&rows);
            if count <= limit {
                break;
            }
        }
        assert!(all.len() == 120 && all.is_sorted() && all.iter().collect::<BTreeSet<_>>().len() == 120, "{limit}");
    }
    assert_eq!(ids(0, 1)?.1, 120);
    Ok(())
}

fn types() -> Result<()> {
    let data = Dataset::new(1_000, 1_000)?;
    let events = [Arc::new(Rows::render(&data, 0, 1_790_000_000))];
    let count = |filter: &str| Search::parse(filter.as_bytes()).map(|search| search.cut(&events).rows);
    let urls = (0..1_000).filter(|place| data.attribute(0, *place).kind_name() == "url").count();
    assert_eq!(count("{\"type\":\"url\"}")?, urls);
    assert_eq!(count("{\"type\":{\"OR\":[\"URL\",\"nonsense\"]}}")?, urls);
    assert_eq!(count("{\"type\":[]}")?, 1_000);
    assert_eq!(count("{\"type\":[\"nonsense\"]}")?, 0);
    assert!(count("{\"type\":\"!url\"}").is_err() && count("{\"tags\":\"x\"}").is_err());
    assert!(count("{\"eventid\":[]}").is_err() && count("[]").is_err());
    Ok(())
}

fn served() -> Result<()> {
    let data = Dataset::new(4_000, 1_000)?;
    let now = unix_now();
    let server = Process::start(4_000, 1_000, now)?;
    let (_, whole) = download(&server.address, &data, 2_000, 2)?;
    let (_, pages) = download(&server.address, &data, 300, 2)?;
    assert!(whole > 4_000 * 560 && pages > whole, "{whole} {pages}");
    let mut client = Client::connect(&server.address)?;
    assert_eq!(client.json("GET", "/servers/getVersion", "")?["version"], "2.5.1");
    let index = client.json("POST", "/events/index", "{\"minimal\":1}")?;
    assert_eq!(index.as_array().map(Vec::len), Some(4));
    assert_eq!(index[1]["timestamp"], data.timestamp(1, now).to_string());
    let search = "{\"returnFormat\":\"json\",\"eventid\":[10002,\"10003\"],\"to_ids\":1,\"limit\":1500,\"page\":2}";
    let answer = client.json("POST", "/attributes/restSearch", search)?;
    let rows = answer["response"]["Attribute"].as_array().ok_or("no rows")?;
    assert_eq!((rows.len(), &rows[0]["id"]), (500, &"2501".into()));
    assert_eq!(rows[0]["Event"]["uuid"], index[2]["uuid"]);
    let touched = client.json("POST", "/bench/touch", "{\"events\":[10003]}")?;
    assert_eq!(touched["events"], serde_json::json!([10_003]));
    let again = client.json("POST", "/events/index", "{\"minimal\":1}")?;
    let changed: Vec<bool> = (0..4).map(|i| again[i] != index[i]).collect();
    assert_eq!(changed, [false, false, true, false]);
    assert_ne!(client.json("POST", "/attributes/restSearch", search)?, answer);
    assert!(client.request("POST", "/bench/touch", "{\"events\":[9]}", |_| {}).is_err());
    assert!(client.request("GET", "/nonsense", "", |_| {}).is_err());
    Ok(())
}
