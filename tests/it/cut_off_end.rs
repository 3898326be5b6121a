//! A pass that fails when all is in memcached: what it had left to do, Falco's rules
//! and the keys that sum up, is done by the next pass, though MISP has no news.

use crate::support::config::Configuration;
use crate::support::memcached::Memcached;
use crate::support::program::{Finished, run};
use crate::support::sample;
use misp2memcached::demo::{Attribute, Event, World};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The sample's clock, and an event's time long before it.
const NOW: u64 = 1_795_220_000;
const OLD: u64 = NOW - 14 * 86_400;

fn load(file: &Path) -> Finished {
    run(&["--config", &file.display().to_string(), "load"], &[])
}

/// A falco that takes every file, or none.
fn falco(path: &Path, takes: bool) {
    fs::write(path, format!("#!/bin/sh\nexit {}\n", u8::from(!takes))).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_falco_refused_is_offered_again() {
    let mut world = World::new();
    world.add_event(Event::new("first").with(Attribute::new("ip-dst", "192.88.98.1")), OLD);
    let misp = sample(world);
    misp.set_now(Some(NOW));
    let memcached = Memcached::start(&[]);
    let mut configuration = Configuration::new(&misp, &memcached);
    let directory = configuration.directory().join("rules.d");
    let binary = configuration.directory().join("falco");
    fs::create_dir(&directory).unwrap();
    let (d, b) = (directory.display(), binary.display());
    configuration.extra(&format!("falco: {{enabled: true, directory: \"{d}\", falco_binary: \"{b}\"}}\n"));
    let file = configuration.write();
    let rules = || fs::read_to_string(directory.join("misp2memcached.yaml")).unwrap();
    falco(&binary, true);
    assert_eq!(load(&file).code, Some(0));
    assert!(rules().contains("192.88.98.1"));
    let stats = memcached.get(b"misp-stats");

    // The new address is in memcached and the ledger; Falco refuses its file.
    let second =
        Event::new("second").with(Attribute::new("ip-dst", "2.2.2.2")).with(Attribute::new("ip-dst", "3.3.0.0/16"));
    misp.world().add_event(second, OLD + 1);
    falco(&binary, false);
    let refused = load(&file);
    assert_eq!(refused.code, Some(73), "{}", refused.stderr);
    assert!(!rules().contains("2.2.2.2") && memcached.get(b"misp-stats") == stats);
    // Nothing tells readers where keys are, so that they find the first ones of a namespace.
    assert_eq!(memcached.get(b"misp-namespaces"), None);
    let found = run(&["--config", &file.display().to_string(), "lookup", "2.2.2.2", "3.3.0.0/16"], &[]);
    assert!(
        found.stdout.contains("misp-ip:2.2.2.2") && found.stdout.contains("misp-cidr:3.3.0.0/16"),
        "{}",
        found.stdout
    );
    // It still does, so the run still fails: nobody may believe that all is well.
    assert_eq!(load(&file).code, Some(73));

    falco(&binary, true);
    misp.forget_requests();
    assert_eq!(load(&file).code, Some(0));
    assert!(rules().contains("2.2.2.2"), "{}", rules());
    assert_eq!(misp.count("/attributes/restSearch"), 0, "MISP had no news");
    assert_eq!(memcached.get(b"misp-stats").as_deref(), Some(&b"4"[..]));
    assert_eq!(memcached.get(b"misp-networks").as_deref(), Some(&b"4:16"[..]));
    assert_eq!(memcached.get(b"misp-namespaces").as_deref(), Some(&b"cidr,ip"[..]));
}
