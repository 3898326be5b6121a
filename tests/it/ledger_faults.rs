//! The ledger's file is not what the last pass left: damaged in any page, cut off, of
//! a newer version, or gone. An ordinary pass says what to do, or goes on rightly; a
//! full one sets the file aside and leaves everything exact.

use crate::support::not_worse::not_worse_though_removing;
use crate::support::scene::{Random, SEARCH, Scene, change, old_world};
use misp2memcached::ledger::Ledger;
use std::fs;
use std::path::PathBuf;

/// Bytes of a page of the store.
const PAGE: usize = 4096;

fn scene(random: &mut Random) -> Scene {
    let scene = Scene::new(old_world(random, 40, 20), "page_size: 100\nmax_shrink_percent: 100");
    scene.good("the first load");
    scene
}

fn ledger(scene: &Scene) -> PathBuf {
    scene.configuration.state().join("ledger.redb")
}

/// Everything of a full pass.
fn full(scene: &Scene, what: &str) -> String {
    let finished = scene.run(&["load", "--full"]);
    assert_eq!(finished.code, Some(0), "{what}: {}", finished.stderr);
    scene.exact(what);
    finished.stderr
}

/// Garbage in one page after the other, while MISP goes on changing. The store itself
/// panics on some of it; that is no bug of the program, and is not called one.
#[test]
fn damage_is_named_by_an_ordinary_pass() {
    let mut random = Random::new(1);
    let scene = scene(&mut random);
    let (mut named, mut rebuilt, mut panicked) = (0, 0, 0);
    let pages = fs::metadata(ledger(&scene)).unwrap().len() as usize / PAGE;
    for round in 0..40 {
        change(&mut scene.world(), &mut random, 20);
        let mut bytes = fs::read(ledger(&scene)).unwrap();
        // Pages that hold something, whichever these are.
        let used: Vec<usize> =
            (0..bytes.len() / PAGE).filter(|p| bytes[p * PAGE..][..PAGE].iter().any(|b| *b != 0)).collect();
        let at = used[round * 7 % used.len()] * PAGE;
        match round % 4 {
            0 => bytes[at..at + PAGE].fill(0xff),
            1 => bytes[at..at + PAGE].fill(0),
            2 => (at..at + PAGE).step_by(13).for_each(|i| bytes[i] ^= 0x55),
            _ => bytes.truncate(at + 100),
        }
        fs::write(ledger(&scene), bytes).unwrap();
        let before = scene.outside();
        let finished = scene.run(&["load"]);
        let what = format!("round {round}, page {} of {pages}", at / PAGE);
        match finished.code {
            // What was hit is not in use, or was written anew.
            Some(0) => {}
            Some(73) => {
                named += 1;
                panicked += usize::from(finished.stderr.contains("panicked"));
                let last = finished.stderr.lines().last().unwrap();
                assert!(last.starts_with("misp2memcached: the ledger ") && last.contains("--full"), "{what}: {last}");
                not_worse_though_removing(&scene, &before);
            }
            other => panic!("{what}: {other:?} {}", finished.stderr),
        }
        rebuilt += usize::from(full(&scene, &what).contains("is set aside as "));
    }
    println!("{named} named ({panicked} after a panic of the store), {rebuilt} set aside");
    assert!(named >= 10 && rebuilt >= named, "{named} named, {rebuilt} set aside");
}

/// Somebody went back to this version from a newer one.
#[test]
fn a_ledger_of_a_newer_version() {
    let mut random = Random::new(2);
    let scene = scene(&mut random);
    let newer = Ledger::open(&scene.configuration.state()).unwrap();
    let mut change_ = newer.change().unwrap();
    change_.set_meta("format", b"9").unwrap();
    change_.commit().unwrap();
    drop(newer);
    let bytes = fs::read(ledger(&scene)).unwrap();
    change(&mut scene.world(), &mut random, 20);
    let before = scene.outside();
    scene.misp.forget_requests();
    for arguments in [&["load"][..], &["load", "--dry-run"]] {
        let finished = scene.run(arguments);
        assert_eq!(finished.code, Some(73), "{}", finished.stderr);
        let said = "has format \"9\", this program knows formats 1 and 2; use the version that wrote it, or run `misp2memcached load --full`";
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
    assert!(scene.outside() == before && scene.misp.requests().is_empty());
    assert!(fs::read(ledger(&scene)).unwrap() == bytes, "it is left alone");
    full(&scene, "built anew");
    let aside = scene.configuration.state().join("ledger.redb.damaged");
    assert!(fs::read(aside).unwrap() == bytes, "for the newer version, should it come back");
    scene.misp.forget_requests();
    scene.good("an ordinary pass");
}

/// Without a ledger everything is fetched again. What was deleted in MISP meanwhile
/// nobody remembers; it stays until a full pass.
#[test]
fn a_ledger_that_is_gone() {
    let mut random = Random::new(3);
    let scene = scene(&mut random);
    let old = scene.held();
    fs::remove_file(ledger(&scene)).unwrap();
    let victim = scene.world().events().next().unwrap().id;
    scene.world().delete_event(victim);
    let finished = scene.run(&["load"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let (held, wanted) = (scene.held(), scene.wanted());
    for (key, value) in &wanted {
        let of_victim = format!("{victim}#");
        let (mut is, mut was) = (held[key].split(','), old[key].split(','));
        assert!(value.split(',').all(|tag| is.any(|t| t == tag)), "{key}: {value} is not in {}", held[key]);
        assert!(held[key].split(',').all(|t| value.split(',').any(|w| w == t) || t.starts_with(&of_victim)), "{key}");
        assert!(was.next().is_some());
    }
    assert_eq!(held.get("misp-stats").cloned(), Some(wanted.len().to_string()));
    assert!(held.values().any(|value| value.split(',').any(|tag| tag.starts_with(&format!("{victim}#")))));
    full(&scene, "a full pass");
    scene.misp.forget_requests();
    scene.good("an ordinary pass");
    assert_eq!(scene.misp.count(SEARCH), 0);
}
