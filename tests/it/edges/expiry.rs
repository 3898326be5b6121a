//! Expiries: counted from the delivery, kept over restarts, forgotten in time.

use super::{DAY, HOUR, clock, event, wait_until};
use crate::support::site::Site;
use misp2memcached::demo::World;
use misp2memcached::ledger::Ledger;

/// What is left of a key's time, in seconds; -1: for ever.
fn left(site: &Site, key: &str) -> i64 {
    site.memcached.item(key.as_bytes()).unwrap_or_else(|| panic!("{key} is missing")).ttl
}

/// This much, five seconds less for a busy machine, one more for memcached's own clock.
fn about(left: i64, seconds: u64) -> bool {
    let seconds = seconds as i64;
    let close = (seconds - 5..=seconds + 1).contains(&left);
    if !close {
        println!("{left} seconds are left, {seconds} were expected");
    }
    close
}

/// An event that no pass fetches again expires; one that is fetched at each pass
/// stays, and so does a key that both share, without the tag of the first.
#[test]
fn a_key_goes_when_nobody_delivers_it_any_more() {
    const SECONDS: u64 = 2;
    let mut site = Site::new(World::new());
    site.config.extra(&format!("network:\n  expires: {SECONDS}s\n"));
    let quiet = event(&[("ip-dst", "198.51.100.1"), ("domain", "shared.example"), ("md5", &"a".repeat(32))]);
    let busy = event(&[("hostname", "shared.example"), ("ip-dst", "198.51.100.2")]);
    site.misp.world().add_event(quiet, clock() - 2 * HOUR);
    site.misp.world().add_event(busy, clock() - 60);
    site.pass(&["--allow-shrink"]);
    assert_eq!(left(&site, &format!("misp-md5:{}", "a".repeat(32))), -1);
    assert!(left(&site, "misp-ip:198.51.100.1") <= SECONDS as i64);
    assert_eq!(site.held().value("misp-domain:shared.example"), Some("1#domain,2#hostname"));
    let delivered: u64 = site.held().last_load.unwrap().parse().unwrap();

    wait_until("an expiry", || clock() >= delivered + SECONDS && site.memcached.get(b"misp-ip:198.51.100.1").is_none());
    let report = site.pass(&[]);
    assert_eq!(report["events"]["fetched"], 1);
    assert_eq!(report["namespaces"]["ip"]["removed"], 1);
    let expected = [
        "misp-domain:shared.example 2#hostname".to_owned(),
        "misp-ip:198.51.100.2 2#ip-dst".to_owned(),
        format!("misp-md5:{} 1#md5", "a".repeat(32)),
    ];
    assert_eq!(site.shown(), expected);
    assert!(left(&site, "misp-domain:shared.example") >= 0);
    assert_eq!(site.held().stats.as_deref(), Some("3"));

    // Whoever edits the event brings it back.
    site.misp.world().tag_event(1, "tlp:red", clock());
    site.pass(&[]);
    assert_eq!(site.held().value("misp-domain:shared.example"), Some("1#domain,2#hostname"));
}

/// memcached reads a number over 30 days as a date, which would be in 1970.
#[test]
fn more_than_thirty_days() {
    let mut site = Site::new(World::new());
    site.config.extra("hash:\n  expires: 30d\nnetwork:\n  expires: 31d\nweb:\n  expires: 400d\n");
    let all = event(&[("md5", &"a".repeat(32)), ("ip-dst", "198.51.100.1"), ("url", "http://a.example/")]);
    site.misp.world().add_event(all, clock() - DAY);
    site.pass(&[]);
    let md5 = format!("misp-md5:{}", "a".repeat(32));
    assert!(about(left(&site, &md5), 30 * DAY));
    assert!(about(left(&site, "misp-ip:198.51.100.1"), 31 * DAY));
    assert!(about(left(&site, "misp-url:http://a.example/"), 400 * DAY));
    // The own keys never go.
    for key in ["misp-stats", "misp-last-load", "misp-networks", "misp-namespaces"] {
        assert_eq!(left(&site, key), -1, "{key}");
    }
    // Longer, shorter and off: another question, so all is delivered again.
    site.config.extra("hash:\n  expires: 60d\nnetwork:\n  expires: 10d\n");
    assert_eq!(site.pass(&[])["full"], true);
    assert!(about(left(&site, &md5), 60 * DAY));
    assert!(about(left(&site, "misp-ip:198.51.100.1"), 10 * DAY));
    assert_eq!(left(&site, "misp-url:http://a.example/"), -1);
}

/// memcached takes a date beyond January 2038 for one that is long over.
#[test]
fn beyond_memcacheds_calendar() {
    let mut site = Site::new(World::new());
    site.config.extra("network:\n  expires: 20y\nhash:\n  expires: 99y\n");
    site.misp.world().add_event(event(&[("ip-dst", "198.51.100.1"), ("md5", &"a".repeat(32))]), clock() - DAY);
    site.pass(&[]);
    let md5 = format!("misp-md5:{}", "a".repeat(32));
    assert_eq!((left(&site, "misp-ip:198.51.100.1"), left(&site, &md5)), (-1, -1));
    // A full pass has nothing to mend.
    let mended = &site.pass(&["--full"])["mended"];
    assert_eq!((&mended["restored"], &mended["corrected"]), (&0.into(), &0.into()));
}

/// Loaded 1,000 seconds ago; then memcached loses everything.
#[test]
fn a_refill_gives_what_is_left() {
    let mut site = Site::new(World::new());
    site.config.extra("hash:\n  expires: 1h\nnetwork:\n  expires: 500s\n");
    let all = event(&[("md5", &"a".repeat(32)), ("ip-dst", "198.51.100.1"), ("url", "http://a.example/")]);
    let begun = clock();
    site.misp.world().add_event(all, begun - DAY);
    site.misp.set_now(Some(begun - 1000));
    site.pass(&[]);
    assert_eq!(site.held().stats.as_deref(), Some("3"));
    assert!(about(left(&site, "misp-ip:198.51.100.1"), 500));

    site.memcached.restart();
    site.misp.set_now(None);
    let report = site.pass(&[]);
    assert_eq!((&report["refilled"], &report["events"]["fetched"]), (&3.into(), &0.into()));
    // The address expired 500 seconds ago: it is neither filled in nor kept in the ledger.
    assert_eq!(
        site.shown(),
        [format!("misp-md5:{} 1#md5", "a".repeat(32)), "misp-url:http://a.example/ 1#url".to_owned()]
    );
    assert!(about(left(&site, &format!("misp-md5:{}", "a".repeat(32))), 2600));
    assert_eq!(left(&site, "misp-url:http://a.example/"), -1);
    assert_eq!(report["namespaces"]["ip"]["removed"], 1);
    assert_eq!(site.pass(&[])["namespaces"]["ip"], serde_json::Value::Null);
}

/// An event expires in the very pass that finds it unpublished: the mark of the one
/// must not undo the other.
#[test]
fn expired_and_unpublished_at_once() {
    let mut site = Site::new(World::new());
    site.config.misp("published: true\n").extra("network:\n  expires: 1h\n");
    let begun = clock();
    let id = site.misp.world().add_event(event(&[("ip-dst", "198.51.100.1")]), begun - DAY);
    site.misp.world().publish(id, begun - DAY);
    site.misp.set_now(Some(begun - 2 * HOUR));
    site.pass(&[]);
    site.misp.world().unpublish(id);
    site.misp.set_now(None);
    site.memcached.flush_all();
    site.pass(&[]);
    assert_eq!(site.held().stats.as_deref(), Some("0"));
    let headers = Ledger::open(&site.config.state()).unwrap().headers().unwrap();
    assert_eq!((headers[0].1.records, headers[0].1.categories), (0, 0));
    assert!(headers[0].1.unpublished_since >= begun);
}
