//! What messages change between two passes, one step after the other: the moments that
//! a running `follow` meets too rarely.

use crate::support::cable::Cable;
use crate::support::config::Configuration;
use crate::support::memcached::Memcached;
use crate::support::scene::{SEARCH, Scene, now};
use crate::support::site::{Held, Site};
use misp2memcached::config::{Config, Sources, load};
use misp2memcached::demo::{Attribute, Event, Fault, World};
use misp2memcached::indicator::{MispType, Namespace};
use misp2memcached::ledger::Ledger;
use misp2memcached::ledger::header::Header;
use misp2memcached::misp::client::Client;
use misp2memcached::misp::fetch::fetch;
use misp2memcached::misp::query::Query;
use misp2memcached::pass::between::{Between, Fresh};
use misp2memcached::pass::since::Since;
use std::collections::BTreeMap;

const DAY: u64 = 86_400;

fn read(configuration: &Configuration) -> Config {
    load(&Sources { file: Some(configuration.write()), ..Sources::default() }).expect("a configuration").config
}

fn open<'a>(configuration: &Configuration, config: &'a Config) -> Between<'a> {
    Between::open(config, &configuration.state(), 0).expect("ledger and memcached").expect("a pass was made")
}

fn event(address: &str, name: &str) -> Event {
    Event::new("e").with(Attribute::new("ip-dst", address)).with(Attribute::new("domain", name))
}

fn domain(name: &str) -> Fresh {
    let kind = MispType::from_name("domain").expect("a type");
    Fresh { namespace: Namespace::Domain, kind, timestamp: 1, value: name.into() }
}

/// It broke off behind the last key of a pass: what is written now, it misses.
#[test]
fn a_server_that_cannot_be_reached_from_the_first_moment() {
    let second = Memcached::start(&[]);
    let cable = Cable::to(&second.server());
    let mut site = Site::new(World::new());
    site.config.servers(&[site.memcached.server(), cable.server()]).misp("max_shrink_percent: 100\n");
    site.misp.world().add_event(event("198.51.100.1", "a.example"), now() - DAY);
    site.misp.world().add_event(event("198.51.100.2", "b.example"), now() - DAY);
    site.pass(&[]);
    cable.break_after(0, || {});
    let config = read(&site.config);
    // Whoever tries it next notices.
    drop(open(&site.config, &config));
    assert!(cable.is_broken());
    let mut between = open(&site.config, &config);
    site.misp.world().add_attribute(1, Attribute::new("domain", "live.example"), now());
    between.add(BTreeMap::from([(1, vec![domain("live.example")])])).unwrap();
    site.misp.world().delete_event(2);
    between.remove(&[2]).unwrap();
    between.settle().unwrap();
    drop(between);
    let expected = ["misp-domain:a.example", "misp-domain:live.example", "misp-ip:198.51.100.1"];
    let keys = |held: Held| held.indicators.into_keys().map(|k| String::from_utf8(k).unwrap()).collect::<Vec<_>>();
    assert_eq!(keys(site.held()), expected);
    cable.mend();
    site.pass(&[]);
    assert_eq!(keys(Held::of(&second, "misp")), expected);
}

/// Two clauses are two searches, and the event is unpublished between the one and the
/// other: what the second one no longer gives is not lost for the grace.
#[test]
fn unpublished_between_two_searches() {
    let mut world = World::new();
    world.add_event(event("198.51.100.1", "a.example"), now() - DAY);
    world.publish(1, now() - DAY);
    let two = "filter: [{types: [ip-dst]}, {types: [domain]}]\n";
    let scene = Scene::new(world, &format!("published: true\nmax_shrink_percent: 100\n{two}"));
    scene.good("the first load");
    let all = scene.held();
    let config = read(&scene.configuration);
    let mut between = open(&scene.configuration, &config);
    let (client, query) = (Client::new(&config.misp).unwrap(), Query::new(&config, now()));
    let look = |between: &mut Between<'_>| {
        let mut doubted = false;
        fetch(&client, &query, &[1], 1, 100, &scene.configuration.state(), |batch| {
            doubted |= between.absorb(batch, Since::default())?.doubted;
            Ok(())
        })
        .unwrap();
        between.settle().unwrap();
        doubted
    };
    let world = scene.shared_world();
    scene.misp.forget_requests();
    scene.misp.set_fault(Box::new(move |request, count| {
        if request.path == SEARCH && count == 2 {
            world.lock().unwrap().unpublish(1);
        }
        Fault::None
    }));
    assert!(look(&mut between));
    scene.misp.clear_fault();
    assert_eq!(scene.held(), all);
    assert!(!look(&mut between), "a draft comes without a row");
    scene.world().hard_delete(2, now() - 60);
    scene.world().publish(1, now());
    assert!(look(&mut between), "the next pass decides");
    assert_eq!(scene.held(), all);
    drop(between);
    scene.good("the next pass");
    assert_eq!(scene.wanted().len(), 1);
}

/// One published event is loaded, and only such events are.
fn published() -> Site {
    let mut site = Site::new(World::new());
    site.config.misp("published: true\n");
    site.misp.world().add_event(event("198.51.100.1", "a.example"), now() - DAY);
    site.misp.world().publish(1, now() - DAY);
    site.pass(&[]);
    site
}

/// An event was marked as unpublished while a message's change of it was not settled yet:
/// the one must not undo the other, or its grace would begin anew.
#[test]
fn unpublished_and_not_settled() {
    let site = published();
    let config = read(&site.config);
    let mut between = open(&site.config, &config);
    between.add(BTreeMap::from([(1, vec![domain("live.example")])])).unwrap();
    between.mark_unpublished(&[(1, Header::default())]).unwrap();
    between.settle().unwrap();
    drop(between);
    let headers = Ledger::open(&site.config.state()).unwrap().headers().unwrap();
    assert!(headers[0].1.unpublished_since > 0 && !headers[0].1.dirty, "{headers:?}");
}

/// Edited, published and edited again between two passes: the grace of the second draft is
/// not the rest of the first one's.
#[test]
fn published_again_between_two_passes() {
    let site = published();
    let config = read(&site.config);
    let mut between = open(&site.config, &config);
    between.mark_unpublished(&[(1, Header::default())]).unwrap();
    let (client, query) = (Client::new(&config.misp).unwrap(), Query::new(&config, now()));
    fetch(&client, &query, &[1], 1, 100, &site.config.state(), |batch| {
        between.absorb(batch, Since::default()).map(|absorbed| assert!(absorbed.vanished.is_empty()))
    })
    .unwrap();
    between.settle().unwrap();
    drop(between);
    let headers = Ledger::open(&site.config.state()).unwrap().headers().unwrap();
    assert_eq!((headers[0].1.unpublished_since, headers[0].1.records), (0, 2), "its rows came, so it is published");
}

/// A message that comes again, long after its attribute was edited, brings an older time with it.
/// With `misp.timeframe` that time would take the indicator out.
#[test]
fn an_old_message_comes_again() {
    let mut site = Site::new(World::new());
    site.config.misp("timeframe: 30d\n");
    site.misp.world().add_event(event("198.51.100.1", "a.example"), now() - DAY);
    site.pass(&[]);
    let config = read(&site.config);
    let header = |config: &Configuration| Ledger::open(&config.state()).unwrap().headers().unwrap()[0].1;
    assert!(header(&site.config).timestamp > 0);
    let again = |timestamp: u64| {
        let fresh = Fresh { timestamp: timestamp as u32, ..domain("a.example") };
        open(&site.config, &config).add(BTreeMap::from([(1, vec![fresh])])).unwrap();
    };
    again(now() - DAY);
    let same = header(&site.config);
    again(now() - 29 * DAY);
    assert_eq!(header(&site.config), Header { timestamp: 0, ..same }, "the next pass fetches it");
    assert!(!same.dirty);
    site.pass(&[]);
    assert!(header(&site.config).oldest as u64 >= now() - 2 * DAY);
    // What brought something is fetched once more.
    site.pass(&[]);
    assert!(header(&site.config).timestamp > 0);
}
