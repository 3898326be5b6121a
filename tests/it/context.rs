//! `memcached.context`: what values say behind `EVENTID#TYPE`, in random worlds whose
//! categories, tags, levels and organisations change, against a model of its own.

use crate::support::model::indicators;
use crate::support::program::run;
use crate::support::random::Random;
use crate::support::site::Site;
use misp2memcached::demo::{Attribute, Event, World};
use std::collections::BTreeMap;

const NOW: u64 = 1_795_300_000;
/// Longer than the refresh window: only a changed timestamp has an event fetched.
const STEP: u64 = 7200;
const DAY: u64 = 86_400;

const CATEGORIES: [&str; 3] = ["Network activity", "Payload delivery", "100% other, #1"];
const TLP: [&str; 6] = ["tlp:red", "tlp:amber+strict", "tlp:amber", "tlp:green", "tlp:clear", "tlp:white"];
const TAGS: [&str; 5] = ["tlp:white", "TLP:Amber", "tlp:red", "tlp:green", "Feed-xyz"];
const ORGANISATIONS: [&str; 3] = ["ORGNAME", "Bücher & Söhne, Inc#", "o"];
const LISTS: [&[&str]; 4] = [
    &["category", "event_uuid", "threat_level", "tlp", "org"],
    &["tlp"],
    &["event_info", "attribute_uuid", "category", "first_seen", "last_seen"],
    &[],
];

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// Event and type, and what the newest attribute, changed then, has to say.
type Tags = BTreeMap<(u64, String), (u64, String)>;

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let mut bytes = [0; 4];
        let code: String = match c {
            '!'..='~' if !"#,%".contains(c) => c.into(),
            _ => c.encode_utf8(&mut bytes).bytes().map(|b| format!("%{b:02X}")).collect(),
        };
        if out.len() + code.len() > 128 {
            break;
        }
        out += &code;
    }
    out
}

fn said(event: &Event, attribute: &Attribute, fields: &[&str]) -> String {
    let all = || event.tags.iter().chain(&attribute.tags).map(|tag| tag.to_lowercase());
    let text = |field: &&str| match *field {
        "category" => attribute.category.clone(),
        "attribute_uuid" => attribute.uuid.clone(),
        "event_uuid" => event.uuid.clone(),
        "event_info" => event.info.clone(),
        "threat_level" => event.threat_level.to_string(),
        "tlp" => TLP.into_iter().find(|tlp| all().any(|tag| tag == *tlp)).unwrap_or_default().to_owned(),
        "org" => event.orgc.clone(),
        "first_seen" => attribute.first_seen.clone().unwrap_or_default(),
        "last_seen" => attribute.last_seen.clone().unwrap_or_default(),
        other => panic!("{other}"),
    };
    let fields: Vec<String> = fields.iter().map(|field| escaped(&text(field))).collect();
    fields.join("#").trim_end_matches('#').to_owned()
}

/// Keys and values: of an indicator that an event has twice the newer attribute speaks.
fn expected(world: &World, fields: &[&str]) -> Values {
    let mut tags: BTreeMap<Vec<u8>, Tags> = BTreeMap::new();
    for event in world.events() {
        for attribute in &event.attributes {
            for (key, id, kind) in indicators(event, |a| a.id == attribute.id && a.to_ids) {
                let one = (attribute.timestamp, said(event, attribute, fields));
                let there = tags.entry(key).or_default().entry((id, kind)).or_default();
                *there = one.max(there.clone());
            }
        }
    }
    let entry = |((event, kind), (_, said)): ((u64, String), (u64, String))| {
        let hash = if said.is_empty() { "" } else { "#" };
        format!("{event}#{kind}{hash}{said}")
    };
    let value = |tags: BTreeMap<_, _>| tags.into_iter().map(entry).collect::<Vec<String>>().join(",").into_bytes();
    tags.into_iter().map(|(key, tags)| (key, value(tags))).collect()
}

/// As readers see it that know two fields.
fn two_fields(values: &Values) -> Values {
    let entry = |entry: &str| entry.split('#').take(2).collect::<Vec<_>>().join("#");
    let value = |value: &[u8]| String::from_utf8_lossy(value).split(',').map(entry).collect::<Vec<_>>().join(",");
    values.iter().map(|(key, bytes)| (key.clone(), value(bytes).into_bytes())).collect()
}

fn attribute(random: &mut Random) -> Attribute {
    let n = random.below(12);
    let (kind, value) = match random.below(4) {
        0 => ("domain", format!("n{n}.example")),
        1 => ("filename|md5", format!("f{}.exe|{:032x}", random.below(3), n / 4)),
        2 => ("ip-dst", format!("::ffff:192.0.2.{n}")),
        _ => ("ip-dst", format!("192.0.2.{n}")),
    };
    let mut attribute = Attribute::new(kind, &value);
    attribute.category = (*random.pick(&CATEGORIES)).into();
    attribute
}

/// Something that MISP marks with a new timestamp of the event.
fn change(world: &mut World, random: &mut Random, now: u64) {
    let ids: Vec<u64> = world.events().map(|e| e.id).collect();
    let id = *random.pick(&ids);
    if random.below(5) == 0 {
        world.add_attribute(id, attribute(random), now);
        return;
    }
    let event = world.event_mut(id).unwrap();
    event.timestamp = now;
    let which = random.below(event.attributes.len() as u64) as usize;
    match random.below(6) {
        0 => event.tags = vec![(*random.pick(&TAGS)).into()],
        1 => event.threat_level = 1 + random.below(4) as u8,
        2 => event.orgc = (*random.pick(&ORGANISATIONS)).into(),
        3 => event.info = "title, ".repeat(random.below(40) as usize),
        other => {
            let attribute = &mut event.attributes[which];
            attribute.timestamp = now;
            match other {
                4 => attribute.category = (*random.pick(&CATEGORIES)).into(),
                _ if random.below(4) == 0 => attribute.deleted ^= true,
                _ => attribute.tags = vec![(*random.pick(&TAGS)).into(), "other".into()],
            }
        }
    }
}

fn ask_for(site: &mut Site, fields: &[&str]) {
    site.config.memcached(&format!("context: [{}]\n", fields.join(", ")));
}

#[track_caller]
fn same(site: &Site, fields: &[&str], what: &str) {
    let (held, wanted) = (site.held().indicators, expected(&site.misp.world(), fields));
    for key in held.keys().chain(wanted.keys()) {
        let text = |values: &Values| values.get(key).map(|v| String::from_utf8_lossy(v).into_owned());
        assert_eq!(text(&held), text(&wanted), "{what}: {}", String::from_utf8_lossy(key));
    }
    assert_eq!(two_fields(&held), expected(&site.misp.world(), &[]), "{what}");
}

#[test]
fn what_values_say_follows_misp() {
    for seed in 1..=4 {
        let mut random = Random::new(seed);
        let mut world = World::new();
        for _ in 0..4 {
            let mut event = Event::new("an event");
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..6 {
                let attribute = attribute(&mut random);
                if seen.insert((attribute.kind.clone(), attribute.value.clone())) {
                    event = event.with(attribute);
                }
            }
            world.add_event(event, NOW - DAY);
        }
        let mut site = Site::new(world);
        site.config.misp("max_shrink_percent: 100\n");
        let mut fields = LISTS[seed as usize % 3];
        ask_for(&mut site, fields);
        for step in 0..10 {
            let now = NOW + step * STEP;
            let what = format!("seed {seed}, step {step}, {fields:?}");
            site.misp.set_now(Some(now));
            match step {
                3 | 6 | 8 => {
                    // Beside a change: an event that only the new question has fetched.
                    fields = *random.pick(&LISTS);
                    ask_for(&mut site, fields);
                }
                4 => site.memcached.flush_all(),
                5 => {
                    let key = site.held().indicators.keys().next().unwrap().clone();
                    site.memcached.set(&key, b"1#domain#what#is,9#url#this");
                }
                _ => {}
            }
            for _ in 0..=random.below(2) {
                change(&mut site.misp.world(), &mut random, now - 60);
            }
            site.pass(if step == 5 { &["--full"] } else { &[] });
            same(&site, fields, &format!("{what}, then {fields:?}"));
        }
    }
}

/// The ledger alone gives the same bytes; and a list that changed meanwhile gives none
/// of the old fields under new names.
#[test]
fn a_refill_without_misp_says_the_same() {
    let mut random = Random::new(9);
    let mut world = World::new();
    world
        .add_event(Event::new("e").with(attribute(&mut random)).with(Attribute::new("domain", "a.example")), NOW - DAY);
    let mut site = Site::new(world);
    site.misp.set_now(Some(NOW));
    ask_for(&mut site, LISTS[0]);
    site.pass(&[]);
    // MISP is asked behind the refill, and lets nobody in with this key.
    site.config.token("0123456789012345678901234567890123456789");
    site.memcached.flush_all();
    assert_ne!(site.load(&[]).code, Some(0));
    same(&site, LISTS[0], "refilled");
    site.memcached.flush_all();
    ask_for(&mut site, LISTS[1]);
    assert_ne!(site.load(&[]).code, Some(0));
    same(&site, &[], "another list");
}

/// It is not fetched while somebody edits it, so what is known of it answers another list.
#[test]
fn an_event_that_is_kept_says_nothing_under_another_list() {
    let mut world = World::new();
    world.add_event(Event::new("e").with(Attribute::new("domain", "a.example")), NOW - DAY);
    assert!(world.publish(1, NOW - DAY));
    let mut site = Site::new(world);
    site.config.misp("published: true\n");
    site.misp.set_now(Some(NOW));
    ask_for(&mut site, &["threat_level"]);
    site.pass(&[]);
    assert_eq!(site.shown(), ["misp-domain:a.example 1#domain#4"]);
    site.misp.world().event_mut(1).unwrap().published = false;
    site.pass(&[]);
    assert_eq!(site.shown(), ["misp-domain:a.example 1#domain#4"]);
    ask_for(&mut site, &["org"]);
    site.pass(&[]);
    assert_eq!(site.shown(), ["misp-domain:a.example 1#domain"]);
    assert!(site.misp.world().publish(1, NOW));
    site.pass(&[]);
    assert_eq!(site.shown(), ["misp-domain:a.example 1#domain#ORGNAME"]);
}

#[test]
fn without_the_key_nothing_is_said_or_asked() {
    let mut world = World::new();
    world.add_event(Event::new("e").with(Attribute::new("domain", "a.example")), NOW - DAY);
    let site = Site::new(world);
    site.misp.set_now(Some(NOW));
    site.pass(&[]);
    assert_eq!(site.shown(), ["misp-domain:a.example 1#domain"]);
    let bodies: Vec<String> =
        site.misp.requests().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    assert!(!bodies.is_empty() && !bodies.iter().any(|body| body.contains("include")), "{bodies:?}");
}

/// The sum of what a dry run lists is what a pass then does, also where no indicator
/// comes or goes.
#[test]
fn a_dry_run_lists_what_is_only_told_anew() {
    let mut world = World::new();
    let event = Event::new("e").with(Attribute::new("domain", "a.example")).with(Attribute::new("domain", "b.example"));
    world.add_event(event, NOW - DAY);
    let mut site = Site::new(world);
    site.misp.set_now(Some(NOW));
    ask_for(&mut site, &["tlp", "category"]);
    let dry = |site: &Site| {
        let finished = site.load(&["--dry-run"]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        finished.stdout
    };
    assert_eq!(dry(&site), "+ misp-domain:a.example 1#domain\n+ misp-domain:b.example 1#domain\n");
    site.pass(&[]);
    assert_eq!(dry(&site), "");
    {
        let mut world = site.misp.world();
        let event = world.event_mut(1).unwrap();
        event.timestamp = NOW + 10;
        event.attributes[1].tags = vec!["tlp:red".into()];
    }
    site.misp.set_now(Some(NOW + 20));
    let held = site.held();
    let line = "~ misp-domain:b.example 1#domain#tlp:red#Network%20activity\n";
    assert_eq!(dry(&site), line);
    assert_eq!(site.held(), held);
    site.pass(&[]);
    assert!(site.shown().iter().any(|shown| line == format!("~ {shown}\n")), "{:?}", site.shown());
    assert_eq!(dry(&site), "");
    // No context any more: what is left of the value.
    ask_for(&mut site, &[]);
    assert_eq!(dry(&site), "~ misp-domain:a.example 1#domain\n~ misp-domain:b.example 1#domain\n");
}

#[test]
fn lookup_shows_it() {
    let mut world = World::new();
    let mut one = Attribute::new("domain", "a.example");
    one.category = "Network activity".into();
    one.tags = vec!["tlp:amber".into()];
    let mut event = Event::new("e").with(one);
    event.orgc = "ACME, Inc#".into();
    world.add_event(event, NOW - DAY);
    let mut site = Site::new(world);
    site.misp.set_now(Some(NOW));
    ask_for(&mut site, &["category", "last_seen", "tlp", "org"]);
    site.pass(&[]);
    assert_eq!(site.shown(), ["misp-domain:a.example 1#domain#Network%20activity##tlp:amber#ACME%2C%20Inc%23"]);
    let file = site.config.write();
    let look = |flags: &[&str]| run(&[&["--config", file.to_str().unwrap(), "lookup"], flags].concat(), &[]).stdout;
    assert_eq!(
        look(&["--json", "a.example"]),
        "{\"value\":\"a.example\",\"matches\":[{\"event_id\":\"1\",\"type\":\"domain\",\"key\":\"misp-domain:a.example\",\
         \"context\":{\"category\":\"Network activity\",\"tlp\":\"tlp:amber\",\"org\":\"ACME, Inc#\"}}]}\n"
    );
    let table = look(&["a.example"]);
    assert!(
        table.contains("  category=Network activity; tlp=tlp:amber; org=ACME, Inc#  misp-domain:a.example"),
        "{table}"
    );
}
