//! Another question than the one the ledger answers: prefix, filters, sections; and
//! the guard that watches over what goes.

use super::{DAY, NOW, event};
use crate::support::scene::asked;
use crate::support::site::{Held, SEARCH, Site};
use misp2memcached::demo::{Fault, World};

/// Three events of three organisations.
fn site() -> Site {
    let site = Site::new(World::new());
    for (organisation, values) in [
        (1, [("ip-dst", "198.51.100.1"), ("domain", "shared.example")]),
        (2, [("ip-src", "198.51.100.2"), ("domain", "shared.example")]),
        (3, [("md5", "0123456789abcdef0123456789abcdef"), ("url", "http://a.example/")]),
    ] {
        let mut event = event(&values);
        event.orgc_id = organisation;
        event.orgc = format!("ORG {organisation}");
        site.misp.world().add_event(event, NOW - 10 * DAY);
    }
    site.misp.set_now(Some(NOW));
    site
}

#[test]
fn a_new_prefix_leaves_nothing_of_the_old_one() {
    let mut site = site();
    site.pass(&[]);
    let (before, foreign) = (site.held(), b"mispx-ip:198.51.100.1");
    site.memcached.set(foreign, b"another program's");
    site.config.memcached("prefix: other\n");
    let report = site.pass(&[]);
    assert_eq!(report["events"]["fetched"], 3);
    let (old, new) = (site.held(), Held::of(&site.memcached, "other"));
    assert_eq!((old.indicators.len(), old.stats, old.last_load, old.networks), (0, None, None, None));
    let renamed = |key: &Vec<u8>| [b"other", &key[4..]].concat();
    let expected = before.indicators.iter().map(|(k, v)| (renamed(k), v.clone())).collect();
    assert_eq!((new.indicators, new.stats.as_deref()), (expected, Some("5")));
    assert_eq!(site.memcached.get(foreign).as_deref(), Some(&b"another program's"[..]));
    // And back.
    site.config.memcached("");
    site.pass(&[]);
    assert_eq!(site.held(), before);
    assert_eq!(site.memcached.keys().len(), 5 + 4 + 1);
}

/// What the new filter does not let pass goes, once somebody says that it may.
#[test]
fn a_narrower_filter_takes_things_out() {
    let mut site = site();
    site.pass(&[]);
    let before = site.held();
    site.config.misp("filter: [{orgs: [\"2\"]}]\n");
    let message = site.fails(&[], 65);
    assert!(message.contains("4 of 6 indicators (66 %) would go at once"), "{message}");
    assert!(message.contains("--allow-shrink"), "{message}");
    assert_eq!(site.held(), before);
    // It stays refused, and the old configuration still goes on.
    site.fails(&[], 65);
    site.config.misp("");
    site.pass(&[]);
    assert_eq!(site.held(), before);
    site.config.misp("filter: [{orgs: [\"2\"]}]\n");
    let report = site.pass(&["--allow-shrink"]);
    assert_eq!((&report["full"], &report["events"]["fetched"]), (&true.into(), &3.into()));
    let expected = ["misp-domain:shared.example 2#domain", "misp-ip:198.51.100.2 2#ip-src"];
    assert_eq!(site.shown(), expected);
    // The question is answered: the next pass is an ordinary one.
    site.misp.forget_requests();
    assert_eq!(site.pass(&[])["full"], false);
    assert_eq!(site.misp.count(SEARCH), 0);
    // A wider one brings things in.
    site.config.misp("filter: [{orgs: [\"2\"]}, {orgs: [\"ORG 3\"], types: [url]}]\n");
    site.pass(&[]);
    assert_eq!(site.shown()[2..], ["misp-url:http://a.example/ 3#url"]);
}

/// A configured share instead of the flag.
#[test]
fn a_larger_share_may_go_where_the_configuration_says_so() {
    let mut site = site();
    site.pass(&[]);
    site.config.misp("max_shrink_percent: 66\n");
    site.misp.world().delete_event(1);
    site.pass(&[]);
    assert_eq!(site.held().stats.as_deref(), Some("4"));
    site.misp.world().delete_event(2);
    site.pass(&[]);
    site.misp.world().delete_event(3);
    let message = site.fails(&[], 65);
    assert!(message.contains("max_shrink_percent (66)"), "{message}");
    assert_eq!(site.shown().len(), 2);
}

#[test]
fn a_section_that_is_switched_off_and_on() {
    let mut site = site();
    site.pass(&[]);
    let all = site.held();
    site.config.extra("network:\n  enabled: false\n");
    site.pass(&["--allow-shrink"]);
    assert_eq!(site.shown(), ["misp-md5:0123456789abcdef0123456789abcdef 3#md5", "misp-url:http://a.example/ 3#url"]);
    site.config.extra("");
    site.pass(&[]);
    assert_eq!(site.held(), all);
}

/// Two ledgers of two configurations share a memcached: each takes out its own only.
#[test]
fn two_misps_in_one_memcached() {
    let one = site();
    let mut two = site();
    two.config.memcached("prefix: second\n");
    let address = one.memcached.server();
    let yaml = two.config.yaml().replace(&two.memcached.server(), &address);
    let path = two.config.write();
    std::fs::write(&path, yaml).unwrap();
    one.pass(&[]);
    let finished = crate::support::program::run(&["--config", path.to_str().unwrap()], &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(Held::of(&one.memcached, "second").indicators.len(), 5);
    assert_eq!(one.held().indicators.len(), 5);
    one.misp.world().delete_event(1);
    one.pass(&["--allow-shrink"]);
    assert_eq!(one.held().indicators.len(), 4);
    assert_eq!(Held::of(&one.memcached, "second").indicators.len(), 5);
}

/// A MISP that refuses whoever asks for this event, until told otherwise.
fn refuse(site: &Site, event: u64) {
    site.misp.set_fault(Box::new(move |request, _| {
        let refused = request.path == SEARCH && asked(request).contains(&event);
        if refused { Fault::Status(403, Vec::new(), Vec::new()) } else { Fault::None }
    }));
}

/// Some events were fetched for one question when the run was cut off; the next run asks
/// another one, or again the one before.
#[test]
fn a_run_that_was_cut_off_asked_another_question() {
    let mut site = Site::new(World::new());
    site.config.misp("connections: 1\nmax_shrink_percent: 100\n");
    for n in 1..=20 {
        let mut event = event(&[("ip-dst", &format!("198.51.100.{n}"))]);
        event.orgc_id = 1 + n % 2;
        site.misp.world().add_event(event, NOW - 10 * DAY);
    }
    site.misp.set_now(Some(NOW));
    let narrow = "connections: 1\nmax_shrink_percent: 100\nfilter: [{orgs: [\"1\"]}]\n";
    // A load without the filter is cut off, and then there is one.
    let cut_off_and_narrowed = |site: &mut Site| {
        refuse(site, 20);
        site.fails(&[], 77);
        assert!(site.shown().len() > 10);
        site.misp.clear_fault();
        site.config.misp(narrow);
        site.pass(&[]);
        site.shown()
    };
    // The first load of all: somebody saw that the filter was forgotten.
    let half = cut_off_and_narrowed(&mut site);
    assert_eq!(half.len(), 10, "{half:?}");
    // A wider question, which is given up.
    site.config.misp("connections: 1\nmax_shrink_percent: 100\n");
    assert_eq!(cut_off_and_narrowed(&mut site), half);
    site.misp.forget_requests();
    site.pass(&[]);
    assert_eq!(site.misp.count(SEARCH), 0);
    // One that is cut off and asked again goes on where it was.
    std::fs::remove_file(site.config.state().join("ledger.redb")).unwrap();
    site.memcached.flush_all();
    refuse(&site, 20);
    site.fails(&[], 77);
    site.misp.clear_fault();
    site.misp.forget_requests();
    let report = site.pass(&[]);
    assert_eq!((&report["full"], &report["events"]["fetched"]), (&false.into(), &4.into()));
    assert_eq!(site.shown(), half);
}
