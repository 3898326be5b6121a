//! Which attributes are loaded: windows, filters, pages.

use super::{DAY, HOUR, NOW, event};
use crate::support::model::expected;
use crate::support::site::{SEARCH, Site};
use misp2memcached::demo::{Attribute, Event, World};

/// A site where each pass is at its own time and may let go what it will.
fn pass(site: &Site, now: u64, flags: &[&str]) -> serde_json::Value {
    site.misp.set_now(Some(now));
    site.pass(&[flags, &["--allow-shrink"]].concat())
}

/// The values alone, without `misp-ip:` and tags.
fn values(site: &Site) -> Vec<String> {
    let value = |line: String| line.split_once(':').unwrap().1.split_once(' ').unwrap().0.to_owned();
    site.shown().into_iter().map(value).collect()
}

fn tagged(tags: &[&str], attributes: &[(&str, &str)]) -> Event {
    let mut event = event(attributes);
    event.tags = tags.iter().map(ToString::to_string).collect();
    event
}

#[test]
fn the_windows() {
    let mut site = Site::new(World::new());
    site.config.misp("initial_event_timestamp: 30d\n");
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.1")]), NOW - 31 * DAY);
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.2")]), NOW - 29 * DAY);
    // The first second of the window.
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.3")]), NOW - 30 * DAY);
    let report = pass(&site, NOW, &[]);
    assert_eq!((&report["events"]["listed"], &report["events"]["wanted"]), (&3.into(), &2.into()));
    assert_eq!(values(&site), ["198.51.100.2", "198.51.100.3"]);
    // The window leaves them; they stay, until somebody wants it otherwise.
    pass(&site, NOW + 5 * DAY, &[]);
    assert_eq!(values(&site), ["198.51.100.2", "198.51.100.3"]);
    // A restart of memcached is no reason.
    site.memcached.restart();
    assert_eq!(pass(&site, NOW + 5 * DAY, &[])["window"], "initial");
    assert_eq!(values(&site), ["198.51.100.2", "198.51.100.3"]);
    // An edit brings the old one in.
    site.misp.world().tag_event(1, "tlp:red", NOW + 5 * DAY);
    pass(&site, NOW + 5 * DAY, &[]);
    assert_eq!(values(&site).len(), 3);
    let report = pass(&site, NOW + 6 * DAY, &["--full"]);
    assert_eq!((&report["events"]["gone"], &report["events"]["fetched"]), (&2.into(), &1.into()));
    assert_eq!(values(&site), ["198.51.100.1"]);
}

#[test]
fn clauses_are_or_and_inside_them_lists_are_and() {
    let mut site = Site::new(World::new());
    let mut of_two = tagged(&["tlp:amber"], &[("ip-dst", "198.51.100.1"), ("md5", &"a".repeat(32))]);
    of_two.orgc_id = 2;
    of_two.orgc = "CIRCL".into();
    site.misp.world().add_event(of_two, NOW - DAY);
    let mut own_tag = Attribute::new("domain", "tagged.example");
    own_tag.tags.push("workflow:state=\"complete\"".into());
    site.misp.world().add_event(event(&[("domain", "plain.example")]).with(own_tag), NOW - DAY);
    site.misp.world().add_event(tagged(&["tlp:AMBER"], &[("ip-dst", "198.51.100.3")]), NOW - DAY);
    for (filter, expected) in [
        ("[{orgs: [\"2\"]}]", vec!["198.51.100.1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
        ("[{orgs: [CIRCL], types: [ip-dst, domain]}]", vec!["198.51.100.1"]),
        ("[{orgs: [\"1\"], tags: [\"tlp:amber\"]}]", vec![]),
        ("[{tags: [\"tlp:amber\", \"tlp:AMBER\"], types: [ip-dst]}]", vec!["198.51.100.1", "198.51.100.3"]),
        ("[{tags: [\"workflow:%\"]}]", vec!["tagged.example"]),
        (
            "[{tags: [\"workflow:%\"]}, {types: [md5]}, {orgs: [\"1\", \"2\"], types: [md5]}]",
            vec!["tagged.example", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
        ),
    ] {
        site.config.misp(&format!("filter: {filter}\n"));
        pass(&site, NOW, &[]);
        assert_eq!(values(&site), expected, "{filter}");
        assert_eq!(site.held().stats, Some(expected.len().to_string()));
    }
}

#[test]
fn threat_level_category_and_detection() {
    let mut site = Site::new(World::new());
    for level in 1..=4 {
        let mut draft = event(&[("ip-dst", &format!("198.51.100.{level}")), ("md5", &format!("{level:032x}"))]);
        draft.threat_level = level;
        draft.attributes[1].to_ids = level != 4;
        site.misp.world().add_event(draft, NOW - DAY);
    }
    let ips = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"];
    let count = |site: &Site| values(site).len();
    for (misp, expected) in [
        ("min_threat_level: high\n", 2),
        ("min_threat_level: medium\n", 4),
        ("min_threat_level: low\n", 6),
        ("min_threat_level: undefined\n", 7),
        ("to_ids: false\n", 8),
    ] {
        site.config.misp(misp);
        pass(&site, NOW, &[]);
        assert_eq!(count(&site), expected, "{misp}");
    }
    site.config.misp("categories: [\"Network activity\", \"Other\"]\n");
    pass(&site, NOW, &[]);
    assert_eq!(values(&site), ips);
    // Without the flag for detection it goes, with it it comes back.
    site.misp.world().set_to_ids(1, false, NOW + 10);
    pass(&site, NOW + 20, &[]);
    assert_eq!(values(&site), ips[1..]);
    site.misp.world().set_to_ids(1, true, NOW + 30);
    pass(&site, NOW + 5 * HOUR, &[]);
    assert_eq!(values(&site), ips);
}

/// By the attribute's own time; what grows too old goes without a fetch.
#[test]
fn the_timeframe_of_attributes() {
    let mut site = Site::new(World::new());
    site.config.misp("timeframe: 10d\n");
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.1"), ("domain", "a.example")]), NOW - 12 * DAY);
    site.misp.world().edit_value(2, "b.example", NOW - 5 * DAY);
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.3")]), NOW - 9 * DAY);
    pass(&site, NOW, &[]);
    assert_eq!(values(&site), ["b.example", "198.51.100.3"]);
    site.misp.forget_requests();
    let report = pass(&site, NOW + 2 * DAY, &[]);
    assert_eq!((site.misp.count(SEARCH), &report["namespaces"]["ip"]["removed"]), (0, &1.into()));
    assert_eq!(values(&site), ["b.example"]);
    pass(&site, NOW + 6 * DAY, &[]);
    assert_eq!(values(&site).len(), 0);
    // Touched again, it is new.
    site.misp.world().edit_value(1, "198.51.100.9", NOW + 6 * DAY);
    pass(&site, NOW + 7 * DAY, &[]);
    assert_eq!(values(&site), ["198.51.100.9"]);
}

#[test]
fn events_published_after() {
    let mut site = Site::new(World::new());
    site.config.misp("event_published_after: 10d\n");
    for n in 1..=3 {
        site.misp.world().add_event(event(&[("ip-dst", &format!("198.51.100.{n}"))]), NOW - 20 * DAY);
    }
    site.misp.world().publish(1, NOW - 15 * DAY);
    site.misp.world().publish(2, NOW - 5 * DAY);
    pass(&site, NOW, &[]);
    assert_eq!(values(&site), ["198.51.100.2"]);
    // The draft is published; publishing moves no timestamp that the list shows.
    site.misp.world().publish(3, NOW + DAY);
    pass(&site, NOW + 2 * DAY, &[]);
    assert_eq!(values(&site), ["198.51.100.2", "198.51.100.3"]);
    // Time goes by.
    pass(&site, NOW + 6 * DAY, &[]);
    assert_eq!(values(&site), ["198.51.100.3"]);
    // An unchanged world costs nothing here either.
    site.misp.forget_requests();
    pass(&site, NOW + 6 * DAY + HOUR, &[]);
    pass(&site, NOW + 6 * DAY + 2 * HOUR, &[]);
    assert!(site.misp.count(SEARCH) <= 1, "{}", site.misp.count(SEARCH));
    // An edit and a new publishing bring the first one in.
    site.misp.world().tag_event(1, "tlp:red", NOW + 7 * DAY);
    site.misp.world().publish(1, NOW + 7 * DAY);
    pass(&site, NOW + 8 * DAY, &[]);
    assert_eq!(values(&site), ["198.51.100.1", "198.51.100.3"]);
    // Published once more, which the list does not show at all: the third one's time is not over.
    site.misp.world().publish(3, NOW + 10 * DAY);
    pass(&site, NOW + 12 * DAY, &[]);
    assert_eq!(values(&site), ["198.51.100.1", "198.51.100.3"]);
    pass(&site, NOW + 18 * DAY, &[]);
    assert_eq!(values(&site), ["198.51.100.3"]);
    site.misp.forget_requests();
    pass(&site, NOW + 18 * DAY + HOUR, &[]);
    assert_eq!(site.misp.count(SEARCH), 0);
}

/// MISP cuts the page first and drops listed rows after: pages 1 to 3 of 5 are empty.
#[test]
fn warninglists_empty_whole_pages() {
    let mut site = Site::new(World::new());
    site.config.misp("page_size: 100\nenforce_warninglist: true\nconnections: 1\n");
    let mut draft = Event::new("long");
    for n in 0..450 {
        let mut attribute = Attribute::new("domain", &format!("d{n:03}.example"));
        attribute.warninglisted = n < 300;
        draft = draft.with(attribute);
    }
    site.misp.world().add_event(draft, NOW - DAY);
    let report = pass(&site, NOW, &[]);
    assert_eq!((values(&site).len(), &report["attributes"]), (150, &150.into()));
    assert_eq!(values(&site)[0], "d300.example");
    assert!(site.misp.count(SEARCH) >= 5);
    // And decayed ones, with a page that is full to the last row.
    site.config.misp("page_size: 100\nexclude_decayed: true\n");
    for n in 0..50 {
        site.misp.world().hard_delete(n + 1, NOW + 5);
        site.misp.world().attribute_mut(n + 101).unwrap().decayed = true;
    }
    pass(&site, NOW + 10, &[]);
    assert_eq!(values(&site).len(), 350);
}

#[test]
fn one_event_over_many_pages() {
    let mut site = Site::new(World::new());
    site.config.misp("page_size: 100\n");
    let values = (0..1050).map(|n| Attribute::new("domain", &format!("d{n}.example")));
    site.misp.world().add_event(values.fold(Event::new("long"), Event::with), NOW - DAY);
    for n in 0..300 {
        site.misp.world().add_event(event(&[("ip-dst", &format!("10.9.{}.{}", n / 200, n % 200))]), NOW - DAY);
    }
    let report = pass(&site, NOW, &[]);
    assert_eq!(report["keys"], 1350);
    assert_eq!(site.held().indicators, expected(&site.misp.world(), |_, _| true));
    assert!(site.misp.count(SEARCH) > 11);
    // Every request is bounded: without a limit MISP sends rows twice.
    for request in site.misp.requests().iter().filter(|r| r.path == SEARCH) {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert!((1..=100).contains(&body["limit"].as_u64().unwrap()), "{body}");
        assert!(body["page"].as_u64().unwrap() >= 1 && body["eventid"].is_array(), "{body}");
    }
    // A page that is exactly full is followed by an empty one.
    for id in 1001..=1050 {
        site.misp.world().hard_delete(id, NOW + 10);
    }
    pass(&site, NOW + 20, &[]);
    assert_eq!(site.held().stats.as_deref(), Some("1300"));
    assert_eq!(site.held().indicators, expected(&site.misp.world(), |_, _| true));
}

/// A search for `email-src` brings `email` too (recordings, "Types"), which only another
/// clause asks for.
#[test]
fn a_clause_takes_nothing_for_another_one() {
    let mut site = Site::new(World::new());
    site.config.misp("filter: [{orgs: [\"1\"], types: [email-src]}, {orgs: [\"2\"], types: [email]}]\n");
    site.config.extra("other:\n  enabled: true\n");
    for org in [1, 2] {
        let sender = format!("sender{org}@evil.example");
        let mut draft = event(&[("email-src", &sender), ("email", &format!("other{org}@evil.example"))]);
        (draft.orgc_id, draft.orgc) = (org, format!("ORG{org}"));
        site.misp.world().add_event(draft, NOW - DAY);
    }
    pass(&site, NOW, &[]);
    assert_eq!(values(&site), ["other2@evil.example", "sender1@evil.example"]);
}

/// MISP saves an event with its last timestamp, which may be another server's of long ago, and
/// then its attributes one by one.
#[test]
fn events_that_are_being_saved() {
    let site = Site::new(World::new());
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.1")]), NOW - 9 * DAY);
    pass(&site, NOW, &[]);
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.2")]), NOW - 8 * DAY);
    site.misp.world().edit_event(1, "pulled", 1, NOW - 7 * DAY);
    // What comes later moves nothing.
    for n in [3, 4] {
        pass(&site, NOW + 60 * n, &[]);
        for id in [1, 2] {
            let mut world = site.misp.world();
            let late = Attribute {
                id: 100 * n + id,
                timestamp: NOW - 9 * DAY,
                ..Attribute::new("domain", &format!("d{id}{n}.example"))
            };
            world.event_mut(id).unwrap().attributes.push(late);
        }
    }
    pass(&site, NOW + 2 * HOUR, &[]);
    pass(&site, NOW + 4 * HOUR, &[]);
    assert_eq!(site.held().indicators, expected(&site.misp.world(), |_, _| true));
    site.misp.forget_requests();
    pass(&site, NOW + 6 * HOUR, &[]);
    assert_eq!(site.misp.count(SEARCH), 0);
}

/// The same where only published events are asked for: one that is known to have nothing for
/// us gets its first indicator only after its new timestamp.
#[test]
fn an_event_that_was_empty_is_being_saved() {
    let mut site = Site::new(World::new());
    site.config.misp("published: true\n");
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.1")]), NOW - 9 * DAY);
    site.misp.world().add_event(event(&[("comment", "nothing yet")]), NOW - 9 * DAY);
    [1, 2].into_iter().for_each(|id| assert!(site.misp.world().publish(id, NOW - 9 * DAY)));
    pass(&site, NOW, &[]);
    site.misp.world().edit_event(2, "pulled", 1, NOW - 7 * DAY);
    assert!(site.misp.world().publish(2, NOW));
    pass(&site, NOW + 60, &[]);
    let late = Attribute { id: 100, timestamp: NOW - 9 * DAY, ..Attribute::new("domain", "late.example") };
    site.misp.world().event_mut(2).unwrap().attributes.push(late);
    pass(&site, NOW + 2 * HOUR, &[]);
    pass(&site, NOW + 4 * HOUR, &[]);
    assert_eq!(site.held().indicators, expected(&site.misp.world(), |_, _| true));
    site.misp.forget_requests();
    pass(&site, NOW + 6 * HOUR, &[]);
    assert_eq!(site.misp.count(SEARCH), 0);
}
