//! Publisher, memcached and MISP away and back, and messages that say nothing.

use super::{Scene, await_that};
use crate::support::live::Operation::*;
use crate::support::site::{SEARCH, Site};
use misp2memcached::demo::{Attribute, Event, Fault, World};

fn world() -> World {
    let mut world = World::new();
    let stock = (0..40).map(|n| Attribute::new("domain", &format!("stock-{n}.example")));
    world.add_event(stock.fold(Event::new("stock"), Event::with), super::now() - 86_400);
    world
}

fn add(scene: &mut Scene, value: &str) {
    assert!(scene.operate(&AddAttribute(1, Attribute::new("domain", value))));
}

#[test]
fn the_publisher_goes_and_comes_back() {
    let mut scene = Scene::start(world(), "", "");
    scene.publisher.kill();
    scene.await_log("has closed the connection");
    scene.operate_unheard(&AddAttribute(1, Attribute::new("domain", "unheard.example")));
    scene.operate_unheard(&SoftDelete(1));
    scene.publisher.restart();
    scene.settles("what was missed");
    scene.publisher.await_subscriber();
    add(&mut scene, "heard.example");
    scene.settles("what came then");
    scene.end();
    let log = scene.follower.log();
    assert_eq!((log.matches("pass done").count(), log.matches("no messages come").count()), (2, 1), "{log}");
}

#[test]
fn memcached_goes_and_comes_back_empty() {
    let mut scene = Scene::start(world(), "", "");
    scene.site.memcached.kill();
    add(&mut scene, "while-away.example");
    assert!(scene.operate(&SoftDelete(2)));
    scene.await_log("cannot be reached");
    scene.site.memcached.restart();
    scene.settles("memcached is back");
    add(&mut scene, "afterwards.example");
    scene.settles("afterwards");
}

#[test]
fn memcached_is_emptied() {
    let mut scene = Scene::with(Site::new(world()), "timeout: 2s\n", "", "");
    scene.site.memcached.flush_all();
    scene.settles("memcached was emptied");
    add(&mut scene, "afterwards.example");
    scene.settles("afterwards");
}

/// It is filled from the ledger once, not again and again until MISP answers.
#[test]
fn memcached_is_emptied_while_misp_is_away() {
    const SEEN: &str = "lost its keys: a pass makes it right";
    let mut scene = Scene::with(Site::new(world()), "timeout: 1s\n", "", "");
    scene.site.misp.set_fault(Box::new(|_, _| Fault::Status(403, Vec::new(), b"{}".to_vec())));
    for times in 1..=2 {
        scene.site.memcached.flush_all();
        let filled = || scene.site.held().indicators.len() == 40;
        await_that(|| format!("it is filled\n{}", scene.follower.log()), filled);
        // Of these only the first was made for its sake.
        let failed = || scene.follower.log().matches("the pass failed").count() > times;
        await_that(|| format!("the next pass\n{}", scene.follower.log()), failed);
        assert_eq!(scene.follower.log().matches(SEEN).count(), times, "{}", scene.follower.log());
    }
    scene.site.misp.clear_fault();
    scene.settles("MISP is back");
    add(&mut scene, "afterwards.example");
    scene.settles("afterwards");
}

#[test]
fn misp_goes_and_comes_back() {
    let mut scene = Scene::start(world(), "", "");
    scene.site.misp.forget_requests();
    scene.site.misp.set_fault(Box::new(|_, _| Fault::Reset));
    add(&mut scene, "needs-no-question.example");
    await_that(
        || "a key that the message alone gives".into(),
        || scene.site.held().value("misp-domain:needs-no-question.example").is_some(),
    );
    assert!(scene.operate(&DeleteEvent(1)));
    assert!(
        scene.operate(&AddEvent(Event::new("new").with(Attribute::new("md5", "fbade9e36a3f36d3d676c1b808451dd7"))))
    );
    await_that(|| "MISP is asked again".into(), || scene.site.misp.count(SEARCH) > 1);
    scene.site.misp.clear_fault();
    scene.settles("MISP is back");
}

/// What the guard says to do works; beside `follow` it cannot, which is said too.
#[test]
fn a_world_that_shrinks_waits_for_somebody() {
    let mut scene = Scene::start(world(), "", "");
    scene.publisher.kill();
    (1..=20).for_each(|attribute| scene.operate_unheard(&SoftDelete(attribute)));
    scene.publisher.restart();
    scene.await_log("would go at once");
    scene.await_log("(stop `follow` before, if it runs); the next one is in ");
    assert_eq!(scene.site.held().indicators.len(), 40);
    let beside = scene.site.load(&["--allow-shrink"]);
    assert_eq!(beside.code, Some(75), "{}", beside.stderr);
    assert!(beside.stderr.contains("where `follow` runs, it makes the passes itself"), "{}", beside.stderr);
    scene.end();
    scene.site.pass(&["--allow-shrink"]);
    assert_eq!(scene.site.held().indicators.len(), 20);
    scene.start_again();
    scene.settles("after that");
}

#[test]
fn broken_messages_are_counted() {
    let mut scene = Scene::start(world(), "", "");
    let huge = [b"misp_json ".as_slice(), &vec![b'x'; 64 << 20]].concat();
    let broken: [&[u8]; 9] = [
        b"misp_json_attribute \xff\xfe{}",
        b"misp_json_attribute ",
        b"misp_json_attribute {",
        b"misp_json_attribute {\"Attribute\":{},\"action\":\"add\"}",
        b"misp_json_attribute {\"Attribute\":{\"id\":\"1\",\"event_id\":\"1\",\"type\":7,\"value\":[]},\"action\":\"add\"}",
        b"misp_json_event {\"Event\":{\"id\":\"-1\"},\"action\":\"delete\"}",
        b"misp_json_event null",
        b"misp_json_tag []",
        &huge,
    ];
    scene.publisher.send_all(broken);
    add(&mut scene, "after.example");
    scene.settles("after broken messages");
    scene.end();
    let log = scene.follower.log();
    let told = (log.matches("cannot be read").count(), log.matches("no messages come").count());
    assert_eq!(told, (broken.len(), 0), "{log}");
}
