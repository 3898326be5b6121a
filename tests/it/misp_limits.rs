//! MISP says less than before, says too much, or can only say a little at once:
//! the guard against a world that shrinks, the size of batches, and answers
//! without end.

use crate::support::scene::{
    INDEX, OWN, Outside, Random, SEARCH, Scene, asked, change, event, limit, now, old_world, page, tags,
};
use misp2memcached::demo::http::{read_request, send, take_last_byte};
use misp2memcached::demo::{Attribute, Event, Fault, Request, Response, World};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A world of 40 events that has been loaded.
fn loaded(seed: u64, yaml: &str) -> (Scene, Random) {
    let mut random = Random::new(seed);
    let scene = Scene::new(old_world(&mut random, 40, 10), yaml);
    scene.good("before");
    scene.misp.forget_requests();
    (scene, random)
}

/// The same number of tags as before, at least the same ones.
fn nothing_removed(scene: &Scene, before: &Outside) {
    let held = scene.held();
    for (key, value) in before.0.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
        let is = held.get(key).map(|v| tags(v)).unwrap_or_default();
        assert!(tags(value).is_subset(&is), "{key} had {value} and has {is:?}");
    }
    for key in OWN {
        assert_eq!(held.get(key), before.0.get(key), "{key}");
    }
    assert_eq!(scene.falco(), before.1);
}

fn refused(scene: &Scene, arguments: &[&str]) {
    let finished = scene.run(arguments);
    assert_eq!(finished.code, Some(65), "{}", finished.stderr);
    for words in ["indicators (", "would go at once", "nothing was removed", "`misp2memcached load --allow-shrink`"] {
        assert!(finished.stderr.contains(words), "{words}: {}", finished.stderr);
    }
}

fn ids(world: &World) -> Vec<u64> {
    world.events().map(|e| e.id).collect()
}

/// Thirty percent of the events.
fn delete_events(world: &mut World) {
    ids(world).into_iter().filter(|id| id % 10 < 3).for_each(|id| assert!(world.delete_event(id)));
}

/// Nearly all.
fn delete_all_but_one(world: &mut World) {
    ids(world).into_iter().skip(1).for_each(|id| assert!(world.delete_event(id)));
}

/// Four of ten attributes, but no event as a whole; and one is added.
fn delete_attributes(world: &mut World) {
    let all: Vec<u64> = world.events().flat_map(|e| e.attributes.iter().map(|a| a.id)).collect();
    all.into_iter().filter(|id| id % 10 < 4).for_each(|id| assert!(world.hard_delete(id, now())));
    assert!(world.add_attribute(7, Attribute::new("domain", "added.example"), now()).is_some());
}

#[test]
fn a_world_that_shrinks_is_not_believed() {
    type Shrink = fn(&mut World);
    let shrinks: [(&str, Shrink); 3] =
        [("events", delete_events), ("nearly all", delete_all_but_one), ("attributes", delete_attributes)];
    for (name, shrink) in shrinks {
        let (scene, _) = loaded(1, "");
        let whole = scene.world().clone();
        let before = scene.outside();
        shrink(&mut scene.world());
        for _ in 0..2 {
            refused(&scene, &["load"]);
            nothing_removed(&scene, &before);
        }
        // The list alone says so: no attribute was asked for. What is new comes all the same.
        assert_eq!(scene.misp.count(SEARCH) > 0, name == "attributes", "{name}");
        assert_eq!(scene.held().contains_key("misp-domain:added.example"), name == "attributes", "{name}");
        // MISP was wrong, and has all of it again.
        *scene.world() = whole;
        scene.good(name);
        // MISP is right.
        shrink(&mut scene.world());
        refused(&scene, &["load", "--full"]);
        let finished = scene.run(&["load", "--allow-shrink"]);
        assert_eq!(finished.code, Some(0), "{name}: {}", finished.stderr);
        scene.exact(name);
    }
}

/// Status 200, counts that agree, and nothing in it.
#[test]
fn empty_answers_are_not_believed() {
    for path in [INDEX, SEARCH] {
        let (scene, mut random) = loaded(2, "");
        let all = ids(&scene.world());
        all.into_iter().for_each(|id| scene.world().event_mut(id).unwrap().timestamp = now());
        change(&mut scene.world(), &mut random, 10);
        let before = scene.outside();
        spoil(&scene, path, |_| true, empty);
        refused(&scene, &["load"]);
        nothing_removed(&scene, &before);
        scene.misp.clear_fault();
        scene.good(path);
    }
}

/// A first load that finds nothing holds nothing back from the next one.
#[test]
fn an_empty_world_at_first() {
    for path in [INDEX, SEARCH] {
        let mut random = Random::new(3);
        let scene = Scene::new(old_world(&mut random, 20, 10), "");
        spoil(&scene, path, |_| true, empty);
        let finished = scene.run(&["load"]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert_eq!(scene.held().get("misp-stats").map(String::as_str), Some("0"));
        scene.misp.clear_fault();
        scene.good(path);
    }
}

#[test]
fn the_share_is_configured() {
    let (scene, _) = loaded(4, "max_shrink_percent: 40");
    delete_events(&mut scene.world());
    scene.good("40 percent");
    let (scene, _) = loaded(5, "max_shrink_percent: 0");
    scene.world().hard_delete(1, now());
    refused(&scene, &["load"]);
}

/// Spoils those answers on a path that are asked for by `which`.
fn spoil(
    scene: &Scene,
    path: &'static str,
    which: impl Fn(&Request) -> bool + Send + Sync + 'static,
    with: fn(Response) -> Fault,
) {
    let answers = scene.answers();
    scene.misp.set_fault(Box::new(move |request, _| {
        if request.path == path && which(request) { with(answers(request)) } else { Fault::None }
    }));
}

fn empty(mut answer: Response) -> Fault {
    let is_index = answer.body.starts_with(b"[");
    answer.body = if is_index { b"[]".to_vec() } else { b"{\"response\": {\"Attribute\": []}}\n".to_vec() };
    answer.headers.retain(|(name, _)| name != "X-Result-Count");
    answer.headers.push(("X-Result-Count".into(), "0".into()));
    Fault::Replace(answer)
}

fn out_of_memory(_: Response) -> Fault {
    Fault::Status(500, Vec::new(), br#"{"name":"An Internal Error Has Occurred."}"#.to_vec())
}

/// The events of each search, in the order asked.
fn batches(scene: &Scene) -> Vec<Vec<u64>> {
    scene.misp.requests().iter().filter(|r| r.path == SEARCH).map(asked).collect()
}

/// A MISP that runs out of memory at more than three events is loaded by threes.
#[test]
fn batches_shrink_until_they_come() {
    for connections in [1, 3] {
        let mut random = Random::new(6);
        let scene = Scene::new(old_world(&mut random, 40, 10), &format!("connections: {connections}"));
        spoil(&scene, SEARCH, |request| asked(request).len() > 3, out_of_memory);
        scene.good("by threes");
        let largest = batches(&scene).iter().map(Vec::len).max();
        assert!(largest > Some(3), "nothing was refused");
    }
}

#[test]
fn batches_grow_again() {
    let mut random = Random::new(7);
    let scene = Scene::new(old_world(&mut random, 200, 10), "connections: 1");
    let count = AtomicU64::new(0);
    let first = move |_: &Request| count.fetch_add(1, Ordering::Relaxed) < 4;
    spoil(&scene, SEARCH, first, out_of_memory);
    scene.good("after four failures");
    let sizes: Vec<usize> = batches(&scene).iter().map(Vec::len).collect();
    assert_eq!(sizes[..5], [16, 8, 4, 2, 1]);
    assert!(sizes[5..].iter().any(|n| *n >= 32), "{sizes:?}");
    assert!(sizes.len() < 20, "{sizes:?}");
}

/// A MISP that runs out of memory at pages of more than 600 rows is loaded by
/// smaller ones, whatever `misp.page_size` is: a pass that gave up before it got
/// there would give up at every run.
#[test]
fn pages_shrink_until_they_come() {
    for (connections, page_size) in [(1, 50_000), (3, 1_000_000)] {
        let mut random = Random::new(8);
        let mut world = old_world(&mut random, 30, 10);
        world.add_event(event(&mut random, 1_500), now() - 2 * 86_400);
        let scene = Scene::new(world, &format!("connections: {connections}\npage_size: {page_size}"));
        spoil(&scene, SEARCH, |request| limit(request) > 600, out_of_memory);
        scene.good("small pages");
        let failed = scene.misp.requests().iter().filter(|r| r.path == SEARCH && limit(r) > 600).count();
        assert!(failed > 0);
    }
}

/// An attribute of a page that was read goes, and those behind it move up: one that
/// stays is on no page that is read (recordings, "limit, page, order, chunking").
#[test]
fn pages_that_shift_while_they_are_read() {
    let mut world = World::new();
    let values = (0..450).map(|n| Attribute::new("ip-dst", &format!("198.51.{}.{}", n / 250, n % 250)));
    world.add_event(values.fold(Event::new("large"), Event::with), now() - 2 * 86_400);
    let scene = Scene::new(world, "connections: 1\npage_size: 100");
    scene.good("the first load");
    scene.world().add_attribute(1, Attribute::new("domain", "a.example"), now() - 60);
    let before = scene.wanted();
    let world = scene.shared_world();
    scene.misp.set_fault(Box::new(move |request, _| {
        if request.path == SEARCH && page(request) == Some(3) {
            world.lock().unwrap().hard_delete(7, now());
        }
        Fault::None
    }));
    let finished = scene.run(&["load"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let held = scene.held();
    let lost: Vec<_> = before.iter().filter(|(key, value)| held.get(*key) != Some(value)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    scene.misp.clear_fault();
    scene.good("the next pass");
    assert_eq!(scene.wanted().len(), 450);
}

/// The same across events: MISP cuts its pages out of the rows of all events that were
/// asked for, so what goes from one of them would move those of another, of whose change
/// no list tells.
#[test]
fn rows_of_a_neighbour_do_not_shift() {
    let addresses = |event: u8, n: u8| {
        let values = (0..n).map(|n| Attribute::new("ip-dst", &format!("203.0.{event}.{n}")));
        values.fold(Event::new("neighbour"), Event::with)
    };
    let mut world = World::new();
    world.add_event(addresses(1, 150), now() - 2 * 86_400);
    world.add_event(addresses(2, 250), now() - 2 * 86_400);
    let scene = Scene::new(world, "connections: 1\npage_size: 100");
    let (world, gone) = (scene.shared_world(), AtomicBool::new(false));
    scene.misp.set_fault(Box::new(move |request, _| {
        let third = request.path == SEARCH && page(request) == Some(3);
        if third && asked(request).contains(&2) && !gone.swap(true, Ordering::Relaxed) {
            world.lock().unwrap().hard_delete(7, now());
        }
        Fault::None
    }));
    let finished = scene.run(&["load"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    scene.misp.clear_fault();
    scene.good("the next pass");
    assert_eq!(scene.wanted().len(), 399);
}

/// Batches that fail at the same time go back in any order; the next batch may
/// hold events of two of them. It was taken for an answer to another question.
#[test]
fn batches_that_failed_together() {
    let mut random = Random::new(9);
    let scene = Scene::new(old_world(&mut random, 39, 5), "");
    let count = AtomicU64::new(0);
    let first = move |request: &Request| {
        // The earlier its events, the later it fails.
        thread::sleep(Duration::from_millis(if asked(request).contains(&33) { 0 } else { 100 }));
        count.fetch_add(1, Ordering::Relaxed) < 3
    };
    spoil(&scene, SEARCH, first, out_of_memory);
    scene.good("after three failures");
}

/// Answers of this MISP never end.
struct Endless {
    url: String,
    sent: Arc<AtomicU64>,
}

impl Endless {
    /// Sends `head`, then `row` with a running number for `#` again and again, on
    /// `path`; what `scene` would say elsewhere.
    fn start(scene: &Scene, path: &'static str, head: &'static str, row: &'static str) -> Endless {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answers, sent) = (Arc::new(scene.answers()), Arc::new(AtomicU64::new(0)));
        let counter = sent.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, counter) = (answers.clone(), counter.clone());
                thread::spawn(move || {
                    while let Ok(Some(request)) = read_request(&stream) {
                        if take_last_byte(&stream).is_err() {
                            return;
                        }
                        if request.path == path {
                            return pour(&stream, &request, head, row, &counter);
                        }
                        let answer = answers(&request);
                        let head = answer.head(now(), true);
                        if send(&stream, &[head, answer.body].concat()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Endless { url, sent }
    }
}

fn pour(stream: &TcpStream, request: &Request, head: &str, row: &str, counter: &AtomicU64) {
    let event = asked(request).first().copied().unwrap_or(1).to_string();
    let mut text = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n{head}");
    for number in 1_u64.. {
        text.push_str(&row.replace('#', &number.to_string()).replace("EVENT", &event));
        if text.len() > 16 * 1024 {
            if send(stream, text.as_bytes()).is_err() {
                return;
            }
            counter.fetch_add(text.len() as u64, Ordering::Relaxed);
            text.clear();
        }
        text.push(',');
    }
}

/// An answer is given up at the row too many: it fills neither memory nor disk.
#[test]
fn answers_without_end() {
    const ATTRIBUTE: &str = r##"{"id":"#","event_id":"EVENT","type":"domain","to_ids":true,"timestamp":"1795220000","value":"n#.example","Event":{"id":"EVENT"}}"##;
    const LISTED: &str = r##"{"id":"#","timestamp":"1795220000","published":true}"##;
    let cases = [
        (SEARCH, "X-Result-Count: 101\r\n\r\n{\"response\": {\"Attribute\": [", ATTRIBUTE, "more than 100 rows came"),
        (SEARCH, "X-Result-Count: 7\r\n\r\n{\"response\": {\"Attribute\": [", ATTRIBUTE, "more than 100 rows came"),
        (INDEX, "X-Result-Count: 40\r\n\r\n[", LISTED, "more than 40 events came"),
    ];
    thread::scope(|scope| {
        for (path, head, row, words) in cases {
            scope.spawn(move || {
                let (mut scene, mut random) = loaded(10, "page_size: 100");
                change(&mut scene.world(), &mut random, 20);
                let before = scene.outside();
                let endless = Endless::start(&scene, path, head, row);
                let good = scene.misp.url();
                scene.configuration.url(&endless.url).write();
                let finished = scene.run(&["load"]);
                assert_eq!(finished.code, Some(65), "{}", finished.stderr);
                assert!(
                    finished.stderr.lines().any(|l| l.starts_with("misp2memcached: ") && l.contains(words)),
                    "{}",
                    finished.stderr
                );
                // What lies in buffers between the two is all that is too much.
                let sent = endless.sent.load(Ordering::Relaxed);
                assert!(sent < 200 << 20, "{sent} bytes");
                nothing_removed(&scene, &before);
                scene.configuration.url(&good).write();
                scene.good(words);
            });
        }
    });
}
