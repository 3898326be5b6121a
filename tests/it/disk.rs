//! The disk: full while the ledger, a temporary file or Falco's rules are written, and
//! read-only. Full is played by the limit that a process has on the size of its files
//! (`ulimit -f`), which works without a disk of one's own and as any user.

use crate::support::not_worse::{not_worse, not_worse_but_for_falco, not_worse_though_removing};
use crate::support::program::{Finished, run_by};
use crate::support::scene::{INDEX, Random, SEARCH, Scene, change, now, old_world};
use misp2memcached::demo::{Attribute, Event};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Bytes of one of `ulimit`'s blocks.
const BLOCK: u64 = 512;

/// A load by a process whose files may have so many bytes.
fn load_with(scene: &Scene, bytes: u64) -> Finished {
    let script = format!("ulimit -f {}; exec \"$0\" \"$@\"", bytes / BLOCK);
    run_by(&["sh", "-c", &script], &["--config", &scene.file(), "load"])
}

fn ledger_size(scene: &Scene) -> u64 {
    fs::metadata(scene.configuration.state().join("ledger.redb")).map_or(0, |m| m.len())
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn scene(random: &mut Random) -> Scene {
    Scene::new(old_world(random, 40, 12), "page_size: 100\nmax_shrink_percent: 100")
}

/// No room for the ledger, at every place where there may be none.
#[test]
fn no_room_for_the_ledger() {
    let mut random = Random::new(1);
    let scene = scene(&mut random);
    scene.good("with room");
    let size = ledger_size(&scene);
    let mut failed = [0, 0];
    for refresh in [false, true] {
        for part in 0..16 {
            if refresh {
                change(&mut scene.world(), &mut random, 25);
            } else {
                scene.forget();
            }
            let before = scene.outside();
            let limit = ledger_size(&scene).max(size) * part / 16;
            let finished = load_with(&scene, limit);
            let what = format!("at most {limit} bytes of {size}, refresh: {refresh}");
            let mut falco = None;
            if finished.code == Some(73) {
                failed[usize::from(refresh)] += 1;
                assert!(finished.stderr.contains("File too large"), "{what}: {}", finished.stderr);
                assert!(!finished.stderr.contains("--full"), "{what}: {}", finished.stderr);
                falco = Some(not_worse_but_for_falco(&scene, &before));
            } else {
                assert_eq!(finished.code, Some(0), "{what}: {}", finished.stderr);
            }
            scene.good(&what);
            // Where only the last note of the pass had no room they are written already.
            let right = |left| left == before.1 || left == scene.falco();
            assert!(falco.is_none_or(right), "{what}: Falco's files are neither those before nor those after");
            assert_eq!(names(&scene.configuration.state()), ["ledger.redb", "lock", "passes.json"], "{what}");
        }
    }
    println!("{failed:?} runs failed");
    assert!(failed[0] >= 4 && failed[1] >= 3, "{failed:?}");
}

/// Rows that do not fit in memory go to temporary files.
#[test]
fn no_room_for_temporary_files() {
    let mut random = Random::new(2);
    let scene = scene(&mut random);
    scene.good("before");
    let urls = (0..4500).map(|n| Attribute::new("url", &format!("http://n{n}.example/{}", "x".repeat(1500))));
    scene.world().add_event(urls.fold(Event::new("large"), Event::with), now());
    let before = scene.outside();
    let size = ledger_size(&scene);
    let finished = load_with(&scene, size.max(2 * 1024 * 1024));
    assert_eq!(finished.code, Some(73), "{}", finished.stderr);
    let said = "a temporary file in ";
    assert!(finished.stderr.contains(said) && finished.stderr.contains("File too large"), "{}", finished.stderr);
    not_worse(&scene, &before);
    scene.good("with room");
}

/// Everything is in memcached and the ledger, only Falco's rules are to be written.
#[test]
fn no_room_for_falcos_rules() {
    let mut random = Random::new(3);
    let scene = scene(&mut random);
    scene.good("before");
    let directory = scene.rules().parent().unwrap().to_owned();
    // A pass that writes nothing needs no room.
    let idle = load_with(&scene, 0);
    assert_eq!(idle.code, Some(0), "{}", idle.stderr);
    fs::write(scene.rules(), "# changed by somebody\n").unwrap();
    let before = scene.outside();
    let finished = load_with(&scene, 0);
    assert_eq!(finished.code, Some(73), "{}", finished.stderr);
    assert!(finished.stderr.contains("is there room on the file system of"), "{}", finished.stderr);
    not_worse(&scene, &before);
    assert_eq!(names(&directory), ["misp2memcached.yaml"], "a remnant");
    scene.misp.forget_requests();
    scene.good("with room");
    assert_eq!(scene.misp.count(SEARCH), 0);
}

/// As on a disk that was mounted read-only after an error. root may write everywhere
/// as long as it has the right to override permissions, so that is taken away.
#[test]
fn a_state_directory_that_became_read_only() {
    let mut random = Random::new(4);
    let scene = scene(&mut random);
    scene.good("before");
    change(&mut scene.world(), &mut random, 25);
    let before = scene.outside();
    scene.misp.forget_requests();
    let state = scene.configuration.state();
    let is_root = fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    let wrapper: &[&str] = if is_root { &["setpriv", "--bounding-set", "-dac_override"] } else { &["env"] };
    for (directory, file) in [(0o555, 0o644), (0o555, 0o444), (0o755, 0o444)] {
        for name in names(&state) {
            fs::set_permissions(state.join(name), Permissions::from_mode(file)).unwrap();
        }
        fs::set_permissions(&state, Permissions::from_mode(directory)).unwrap();
        for full in [&["load"][..], &["load", "--full"]] {
            let finished = run_by(wrapper, &[&["--config", &scene.file()], full].concat());
            assert_eq!(finished.code, Some(73), "{}", finished.stderr);
            assert!(finished.stderr.contains("Permission denied"), "{}", finished.stderr);
            assert!(scene.outside() == before, "something was changed");
            assert_eq!(names(&state), ["ledger.redb", "lock", "passes.json"]);
        }
        fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(scene.misp.count(INDEX), 0, "MISP was asked in vain");
    for name in names(&state) {
        fs::set_permissions(state.join(name), Permissions::from_mode(0o644)).unwrap();
    }
    scene.good("writable again");
}

/// A full pass sets a damaged ledger aside. One that it only has no room for is not
/// given up, nor is what it knows.
#[test]
fn a_full_pass_gives_no_ledger_up_for_want_of_room() {
    let mut random = Random::new(5);
    let scene = scene(&mut random);
    scene.good("before");
    change(&mut scene.world(), &mut random, 25);
    let before = scene.outside();
    let script = "ulimit -f 0; exec \"$0\" \"$@\"";
    let finished = run_by(&["sh", "-c", script], &["--config", &scene.file(), "load", "--full"]);
    assert_eq!(finished.code, Some(73), "{}", finished.stderr);
    assert_eq!(names(&scene.configuration.state()), ["ledger.redb", "lock", "passes.json"], "{}", finished.stderr);
    not_worse_though_removing(&scene, &before);
    scene.good("with room");
}
