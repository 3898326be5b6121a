//! Clocks that are wrong, ours or MISP's, and a MISP that does not tell the time.

use super::{DAY, HOUR, NOW, clock, event};
use crate::support::hostile::Hostile;
use crate::support::scene::{Random, Scene, old_world};
use crate::support::site::{SEARCH, Site};
use misp2memcached::demo::World;

/// Nothing expires, nothing leaves a window and nothing is missed because MISP's clock went back.
#[test]
fn misps_clock_is_set_back() {
    let mut site = Site::new(World::new());
    site.config.misp("published: true\nunpublished_grace: 1d\n").extra("hash:\n  expires: 2d\n");
    for n in 1..=3 {
        let one = if n == 2 { ("md5", "a".repeat(32)) } else { ("ip-dst", format!("198.51.100.{n}")) };
        let id = site.misp.world().add_event(event(&[(one.0, &one.1)]), NOW - DAY);
        site.misp.world().publish(id, NOW - DAY);
    }
    site.misp.set_now(Some(NOW));
    site.pass(&[]);
    site.misp.world().unpublish(3);
    site.pass(&[]);
    let loaded = site.shown();
    assert_eq!(loaded.len(), 3);
    // Three days back: behind everything that happened.
    for back in [3 * DAY, 400 * DAY, 2 * HOUR] {
        let now = NOW - back;
        site.misp.set_now(Some(now));
        site.pass(&[]);
        assert_eq!(site.shown(), loaded, "{back} s back");
        // What is edited by the wrong clock is seen all the same.
        let edited = format!("198.51.101.{}", back % 250);
        site.misp.world().edit_value(1, &edited, now + 5);
        site.misp.world().publish(1, now + 5);
        site.misp.set_now(Some(now + 10));
        site.pass(&["--allow-shrink"]);
        assert!(site.shown().contains(&format!("misp-ip:{edited} 1#ip-dst")), "{:?}", site.shown());
        site.misp.world().edit_value(1, "198.51.100.1", now + 20);
        site.misp.world().publish(1, now + 20);
        site.misp.set_now(Some(now + 30));
        site.pass(&["--allow-shrink"]);
        assert_eq!(site.shown(), loaded);
    }
    // Right again: the grace of the third event counts from when it was first seen.
    site.misp.set_now(Some(NOW + DAY + 60));
    site.pass(&["--allow-shrink"]);
    assert_eq!(site.shown(), [loaded[0].clone(), loaded[2].clone()]);
}

/// Windows count on MISP's clock, and expiries from it, whatever ours says; also
/// where a refill had to count before MISP was asked.
#[test]
fn our_clock_is_wrong() {
    const YEARS: u64 = 10 * 365 * DAY;
    for moment in [clock() - YEARS, clock() + YEARS] {
        let mut site = Site::new(World::new());
        site.config.extra("network:\n  expires: 1h\n");
        site.misp.world().add_event(event(&[("ip-dst", "198.51.100.1"), ("domain", "a.example")]), moment - 10 * DAY);
        site.misp.world().add_event(event(&[("ip-dst", "198.51.100.2")]), moment - 400 * DAY);
        site.misp.set_now(Some(moment));
        site.pass(&[]);
        let loaded = ["misp-domain:a.example 1#domain", "misp-ip:198.51.100.1 1#ip-dst"];
        let is_right = |site: &Site, left: u64| {
            assert_eq!(site.shown(), loaded);
            let ttl = site.memcached.item(b"misp-ip:198.51.100.1").unwrap().ttl;
            assert!(ttl.abs_diff(left as i64) <= 90, "{ttl} s are left, not {left}");
            assert_eq!(site.held().stats.as_deref(), Some("2"));
        };
        is_right(&site, HOUR);
        site.misp.forget_requests();
        site.misp.set_now(Some(moment + HOUR / 2));
        site.memcached.restart();
        site.pass(&[]);
        is_right(&site, HOUR / 2);
        assert_eq!(site.misp.count(SEARCH), 0);
        // Half an hour later it is over, by MISP's clock.
        site.misp.set_now(Some(moment + HOUR + 1));
        site.pass(&["--allow-shrink"]);
        assert_eq!(site.shown(), [""; 0]);
    }
}

/// A proxy that takes the header away: our clock counts then.
#[test]
fn misp_sends_no_date() {
    let mut random = Random::new(1);
    let mut scene = Scene::new(old_world(&mut random, 10, 10), "");
    let answers = scene.answers();
    let proxy = Hostile::start(move |request, wire| {
        let response = answers(request);
        let headers: String = response.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        assert!(!headers.contains("Date:"));
        wire.ok(&headers, &response.body)
    });
    scene.configuration.url(proxy.url()).write();
    scene.good("the first load");
    crate::support::scene::change(&mut scene.world(), &mut random, 10);
    scene.good("a refresh");
    assert!(proxy.asked() >= 4);
}

/// MISP's clock was ahead for one pass: what went because its time seemed over comes back,
/// although no event has changed.
#[test]
fn misps_clock_was_ahead() {
    for (section, misp) in
        [("network:\n  expires: 30d\n", ""), ("", "timeframe: 60d\n"), ("", "event_published_after: 60d\n")]
    {
        let mut site = Site::new(World::new());
        site.config.misp(&format!("max_shrink_percent: 100\n{misp}")).extra(section);
        site.misp.world().add_event(event(&[("ip-dst", "198.51.100.1"), ("ip-dst", "198.51.100.2")]), NOW - 20 * DAY);
        site.misp.world().add_event(event(&[("md5", &"a".repeat(32))]), NOW - 10 * DAY);
        for event in [1, 2] {
            site.misp.world().publish(event, NOW - 10 * DAY);
        }
        site.misp.set_now(Some(NOW));
        site.pass(&[]);
        let loaded = site.shown();
        assert_eq!(loaded.len(), 3);
        site.misp.set_now(Some(NOW + 400 * DAY));
        site.pass(&[]);
        assert!(site.shown().len() < 3, "{misp}: {:?}", site.shown());
        site.misp.set_now(Some(NOW + HOUR));
        site.pass(&[]);
        assert_eq!(site.shown(), loaded, "{section}{misp}");
        // What came back may have been on its way.
        site.pass(&[]);
        site.misp.forget_requests();
        site.misp.set_now(Some(NOW + 2 * HOUR));
        site.pass(&[]);
        assert_eq!(site.misp.count(SEARCH), 0);
    }
}
