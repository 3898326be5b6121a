//! docs/migration.md: who comes from the Python tool keeps its memcached, in which no
//! key is missed for a moment; what the old tool could never take out goes.

use crate::support::scene::now;
use crate::support::site::Site;
use misp2memcached::demo::{Attribute, Event, World};

const DAY: u64 = 86_400;

/// A site whose memcached was filled by the Python tool: two of MISP's four indicators
/// (it knew neither host names nor networks), and what was deleted in MISP since.
fn left_by_the_old_tool() -> Site {
    let mut world = World::new();
    let event = Event::new("Loader wave")
        .with(Attribute::new("ip-dst", "203.0.113.7"))
        .with(Attribute::new("domain", "update-check.example"))
        .with(Attribute::new("hostname", "www.update-check.example"))
        .with(Attribute::new("ip-dst", "198.51.100.0/26"));
    world.add_event(event, now() - 30 * DAY);
    let site = Site::new(world);
    site.memcached.set(b"misp-ip:203.0.113.7", b"1#ip-dst");
    site.memcached.set(b"misp-domain:update-check.example", b"9#domain,1#domain");
    site.memcached.set(b"misp-domain:deleted.example", b"9#domain");
    site.memcached.set(b"misp-stats", b"3");
    site
}

fn deleted(site: &Site) -> u64 {
    site.memcached.stats()["delete_hits"].parse().unwrap()
}

#[test]
fn the_python_tool_s_memcached_is_taken_over_without_a_gap() {
    let site = left_by_the_old_tool();
    site.pass(&["--full"]);
    // Nothing but the one key that no event backs was taken out, not even for a moment.
    assert_eq!(deleted(&site), 1);
    let held = site.held();
    assert_eq!(held.value("misp-ip:203.0.113.7"), Some("1#ip-dst"));
    assert_eq!(held.value("misp-domain:update-check.example"), Some("1#domain"));
    assert_eq!(held.value("misp-domain:www.update-check.example"), Some("1#hostname"));
    assert_eq!(held.value("misp-cidr:198.51.100.0/26"), Some("1#ip-dst"));
    assert_eq!(held.value("misp-domain:deleted.example"), None);
}

/// Who forgets `--full` misses nothing, but keeps what the old tool could never take out.
#[test]
fn an_ordinary_first_pass_misses_nothing_either() {
    let site = left_by_the_old_tool();
    site.pass(&[]);
    assert_eq!(deleted(&site), 0);
    let held = site.held();
    assert_eq!(held.value("misp-ip:203.0.113.7"), Some("1#ip-dst"));
    assert_eq!(held.value("misp-domain:update-check.example"), Some("1#domain,9#domain"));
    assert_eq!(held.value("misp-domain:deleted.example"), Some("9#domain"));
}
