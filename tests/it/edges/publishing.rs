//! `published: true`: an edit unpublishes an event; what was loaded stays for a while.

use super::{DAY, HOUR, NOW, event};
use crate::support::scene::{Held, INDEX, Random, Scene, now, old_world};
use crate::support::site::{SEARCH, Site};
use misp2memcached::demo::{Attribute, Event, Fault, World};

fn site() -> Site {
    let mut site = Site::new(World::new());
    site.config.misp("published: true\nunpublished_grace: 3d\n");
    let loaded = event(&[("ip-dst", "198.51.100.1"), ("domain", "a.example")]);
    let draft = event(&[("ip-dst", "198.51.100.9")]);
    site.misp.world().add_event(loaded, NOW - 30 * DAY);
    site.misp.world().add_event(draft, NOW - 30 * DAY);
    site.misp.world().publish(1, NOW - 29 * DAY);
    pass(&site, NOW);
    site
}

fn pass(site: &Site, now: u64) -> serde_json::Value {
    site.misp.set_now(Some(now));
    site.pass(&["--allow-shrink"])
}

const LOADED: [&str; 2] = ["misp-domain:a.example 1#domain", "misp-ip:198.51.100.1 1#ip-dst"];

#[test]
fn an_edited_event_stays_until_the_grace_is_over() {
    let site = site();
    assert_eq!(site.shown(), LOADED);
    // The edit unpublishes: nothing new is loaded, nothing goes.
    site.misp.world().add_attribute(1, Attribute::new("ip-dst", "198.51.100.2"), NOW + 100);
    let report = pass(&site, NOW + 200);
    assert_eq!((&report["events"]["unpublished"], &report["events"]["gone"]), (&1.into(), &0.into()));
    assert_eq!(site.shown(), LOADED);
    // A restart of memcached does not end the grace, and an idle pass asks for nothing.
    site.memcached.flush_all();
    site.misp.forget_requests();
    pass(&site, NOW + 200 + 3 * DAY);
    assert_eq!((site.shown(), site.misp.count(SEARCH)), (LOADED.map(str::to_owned).to_vec(), 0));
    let report = pass(&site, NOW + 201 + 3 * DAY);
    assert_eq!(report["events"]["gone"], 1);
    assert_eq!((site.shown().len(), site.held().stats.as_deref()), (0, Some("0")));
    // Published at last: it is there again, with the edit.
    site.misp.world().publish(1, NOW + 4 * DAY);
    pass(&site, NOW + 4 * DAY + 1);
    assert_eq!(site.shown()[1..], ["misp-ip:198.51.100.1 1#ip-dst", "misp-ip:198.51.100.2 1#ip-dst"]);
}

#[test]
fn published_again_within_the_grace() {
    let site = site();
    site.misp.world().edit_value(2, "b.example", NOW + 100);
    pass(&site, NOW + 200);
    site.misp.world().publish(1, NOW + 2 * DAY);
    // Long after the refresh window: the event's timestamp tells.
    let report = pass(&site, NOW + 2 * DAY + 5 * HOUR);
    assert_eq!((&report["events"]["fetched"], &report["events"]["unpublished"]), (&1.into(), &0.into()));
    assert_eq!(site.shown(), ["misp-domain:b.example 1#domain", "misp-ip:198.51.100.1 1#ip-dst"]);
    // The next time the grace counts from the start.
    site.misp.world().unpublish(1);
    pass(&site, NOW + 4 * DAY);
    pass(&site, NOW + 6 * DAY);
    assert_eq!(site.shown().len(), 2);
    pass(&site, NOW + 7 * DAY + 1);
    assert_eq!(site.shown().len(), 0);
}

/// Unpublished and published again without an edit: not even a fetch.
#[test]
fn unpublished_without_an_edit() {
    let site = site();
    site.misp.world().unpublish(1);
    assert_eq!(pass(&site, NOW + 100)["events"]["unpublished"], 1);
    site.misp.world().publish(1, NOW + 200);
    site.misp.forget_requests();
    assert_eq!(pass(&site, NOW + 5 * DAY)["events"]["unpublished"], 0);
    assert_eq!((site.shown(), site.misp.count(SEARCH)), (LOADED.map(str::to_owned).to_vec(), 0));
    pass(&site, NOW + 9 * DAY);
    assert_eq!(site.shown(), LOADED);
}

/// A published event that has lost all it had is empty, not unpublished.
#[test]
fn a_published_event_without_indicators_is_emptied() {
    let site = site();
    site.misp.world().add_attribute(1, Attribute::new("comment", "still listed"), NOW + 10);
    site.misp.world().soft_delete(1, NOW + 10);
    site.misp.world().set_to_ids(2, false, NOW + 10);
    site.misp.world().publish(1, NOW + 20);
    pass(&site, NOW + 30);
    assert_eq!(site.shown().len(), 0);
    assert_eq!(site.held().stats.as_deref(), Some("0"));
}

/// Drafts are loaded where `published` is off, which is the default.
#[test]
fn drafts_are_loaded_by_default() {
    let mut site = site();
    site.config.misp("");
    pass(&site, NOW + 10);
    assert_eq!(site.shown().len(), 3);
    site.config.misp("published: true\n");
    // Back: the draft that is loaded has its grace, too.
    assert_eq!(pass(&site, NOW + 20)["events"]["unpublished"], 1);
    assert_eq!(site.shown().len(), 3);
    pass(&site, NOW + 8 * DAY);
    assert_eq!(site.shown(), LOADED);
}

/// Somebody edits an event between the list and its attributes: it comes without a
/// row, and what was loaded stays until it is published again.
#[test]
fn unpublished_while_its_attributes_are_fetched() {
    let mut random = Random::new(1);
    let world = old_world(&mut random, 8, 6);
    let scene = Scene::new(world, "published: true\nmax_shrink_percent: 100\n");
    let ids: Vec<u64> = scene.world().events().map(|e| e.id).collect();
    for id in &ids {
        scene.world().publish(*id, now() - 2 * DAY);
    }
    scene.good("all are published");
    let before = scene.held();
    // All are changed and published again, so all are fetched; half of them are edited once more meanwhile.
    for id in &ids {
        scene.world().tag_event(*id, "tlp:red", now());
        scene.world().publish(*id, now());
    }
    let (world, half) = (scene.shared_world(), ids[..4].to_vec());
    scene.misp.set_fault(Box::new(move |request, _| {
        if request.path == SEARCH {
            half.iter().for_each(|id| {
                world.lock().unwrap().unpublish(*id);
            });
        }
        Fault::None
    }));
    scene.misp.forget_requests();
    let finished = scene.run(&["load"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!((scene.misp.count(INDEX), scene.misp.count(SEARCH)), (2, 1), "the list is asked for once more");
    scene.misp.clear_fault();
    scene.exact("during the edit");
    let same = |held: &Held| {
        held.iter().filter(|(k, _)| *k != "misp-last-load").eq(before.iter().filter(|(k, _)| *k != "misp-last-load"))
    };
    assert!(same(&scene.held()));
    scene.good("as drafts");
    assert!(same(&scene.held()));
    for id in &ids[..4] {
        scene.world().publish(*id, now());
    }
    scene.good("published again");
}

/// Two clauses are two searches: events are unpublished between the one and the other.
#[test]
fn unpublished_between_two_searches() {
    let mut world = World::new();
    for n in 1..=2 {
        let (address, name) = (format!("198.51.100.{n}"), format!("d{n}.example"));
        world.add_event(event(&[("ip-dst", &address), ("domain", &name)]), now() - 60);
        world.publish(n, now() - 60);
    }
    let two = "filter: [{types: [ip-dst]}, {types: [domain]}]\n";
    let scene = Scene::new(world, &format!("published: true\nconnections: 1\nmax_shrink_percent: 100\n{two}"));
    scene.good("all are published");
    let all = scene.wanted();
    let world = scene.shared_world();
    scene.misp.set_fault(Box::new(move |request, count| {
        let mut world = world.lock().unwrap();
        if request.path == SEARCH && count == 2 {
            world.unpublish(1);
            world.hard_delete(4, now() - 30);
        }
        Fault::None
    }));
    scene.misp.forget_requests();
    let kept = |scene: &Scene, what: &str| {
        let finished = scene.run(&["load"]);
        assert_eq!(finished.code, Some(0), "{what}: {}", finished.stderr);
        let held = scene.held();
        assert!(all.iter().all(|(key, value)| held.get(key) == Some(value)), "{what}: {held:?}");
    };
    kept(&scene, "somebody edits both at this moment");
    assert_eq!(scene.misp.count(SEARCH), 2);
    scene.misp.clear_fault();
    kept(&scene, "they are drafts");
    for event in [1, 2] {
        scene.world().publish(event, now());
    }
    scene.good("published again");
    assert_eq!(scene.wanted().len(), 3);
}

/// Nothing was loaded of it, and no timestamp moves: an event that is unpublished only while
/// its attributes are fetched, and one that has its first indicator then.
#[test]
fn new_and_unpublished_while_its_attributes_are_fetched() {
    let long_ago = now() - 3 * DAY;
    let mut world = World::new();
    world.add_event(event(&[("ip-dst", "198.51.100.1")]), long_ago);
    world.add_event(event(&[("comment", "no indicator yet")]), long_ago);
    world.add_event(event(&[("comment", "never one")]), long_ago);
    (1..=3).for_each(|id| assert!(world.publish(id, long_ago)));
    let scene = Scene::new(world, "published: true\n");
    scene.good("the first load");
    {
        let mut world = scene.world();
        world.add_attribute(2, Attribute::new("ip-dst", "198.51.100.2"), long_ago + HOUR);
        world.add_event(event(&[("ip-dst", "198.51.100.3")]), long_ago);
        [2, 4].into_iter().for_each(|id| assert!(world.publish(id, now())));
    }
    let world = scene.shared_world();
    scene.misp.set_fault(Box::new(move |request, _| {
        if request.path == SEARCH {
            [2, 4].into_iter().for_each(|id| assert!(world.lock().unwrap().unpublish(id)));
        }
        Fault::None
    }));
    let finished = scene.run(&["load"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    scene.misp.clear_fault();
    [2, 4].into_iter().for_each(|id| assert!(scene.world().publish(id, now())));
    scene.good("published again");
    // What has nothing for us is asked for once.
    scene.misp.forget_requests();
    scene.good("nothing new");
    assert_eq!((scene.misp.count(INDEX), scene.misp.count(SEARCH)), (1, 0));
}

/// An event without indicators is read again by each pass of the refresh window, and the
/// list of events is not asked for twice each time.
#[test]
fn an_event_without_indicators_costs_no_second_list() {
    let mut world = World::new();
    world.add_event(event(&[("comment", "never one")]), now() - 60);
    assert!(world.publish(1, now() - 60));
    let scene = Scene::new(world, "published: true\n");
    scene.good("the first load");
    scene.misp.forget_requests();
    scene.good("within the refresh window");
    assert_eq!((scene.misp.count(INDEX), scene.misp.count(SEARCH)), (1, 1));
}

/// What an edit has added, and an event that is unpublished between two searches.
#[test]
fn an_addition_that_comes_between_two_searches() {
    let long_ago = now() - 3 * DAY;
    let mut world = World::new();
    world.add_event(event(&[("ip-dst", "198.51.100.1")]), long_ago);
    world.publish(1, long_ago);
    let two = "filter: [{types: [ip-dst]}, {types: [domain]}]\n";
    let scene = Scene::new(world, &format!("published: true\nconnections: 1\n{two}"));
    scene.good("the first load");
    scene.world().add_attribute(1, Attribute::new("domain", "d.example"), long_ago + HOUR);
    scene.world().publish(1, now());
    let world = scene.shared_world();
    scene.misp.set_fault(Box::new(move |request, count| {
        if request.path == SEARCH && count == 2 {
            world.lock().unwrap().unpublish(1);
        }
        Fault::None
    }));
    scene.misp.forget_requests();
    let finished = scene.run(&["load"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    scene.misp.clear_fault();
    let finished = scene.run(&["load"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    scene.world().publish(1, now());
    scene.good("published again");
}

/// memcached has refused a part of an event, and then somebody takes it back to edit it.
#[test]
fn refused_and_unpublished_at_once() {
    let mut site = Site::with(World::new(), &["-M", "-m", "2"]);
    site.config.misp("published: true\n");
    let values = (0..30_000).map(|n| Attribute::new("md5", &format!("{n:032x}")));
    site.misp.world().add_event(values.fold(Event::new("large"), Event::with), NOW - 30 * DAY);
    let small = (30_000..30_010).map(|n| Attribute::new("md5", &format!("{n:032x}")));
    site.misp.world().add_event(small.fold(Event::new("small"), Event::with), NOW - 30 * DAY);
    (1..=2).for_each(|id| assert!(site.misp.world().publish(id, NOW - DAY)));
    site.misp.set_now(Some(NOW));
    site.pass_with_code(&[], 69);
    // Room for it, but now it is a draft.
    site.misp.world().unpublish(2);
    site.misp.world().delete_event(1);
    site.misp.set_now(Some(NOW + DAY));
    site.load(&["--allow-shrink"]);
    site.misp.set_now(Some(NOW + 2 * DAY));
    site.pass(&[]);
    assert_eq!((site.shown().len(), site.held().stats.as_deref()), (10, Some("10")));
}
