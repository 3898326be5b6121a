//! The figures that a pass leaves for Prometheus.

use crate::support::site::Site;
use misp2memcached::demo::{Attribute, Event, Fault, World};
use misp2memcached::lock::Lock;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Two weeks before now: events inside the initial window, outside the refresh window.
fn old() -> u64 {
    crate::support::scene::now() - 14 * 86_400
}

/// The samples of the file, by name and labels.
fn samples(file: &Path) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(file).expect("the file");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn what_passes_did_stays_for_prometheus() {
    let mut world = World::new();
    let attributes = ["198.51.100.7", "198.51.100.8", "no address"].map(|v| Attribute::new("ip-dst", v));
    let event =
        attributes.into_iter().fold(Event::new("metrics"), Event::with).with(Attribute::new("domain", "a.example"));
    let id = world.add_event(event, old());
    let mut site = Site::new(world);
    let file = site.config.directory().join("misp.prom");
    site.config.extra(&format!("metrics: {{file: \"{}\"}}", file.display()));

    let of = |name: &str| samples(&file).get(&format!("misp2memcached_{name}")).copied();
    site.pass(&["--dry-run"]);
    assert!(!file.exists(), "a dry run writes nothing");
    site.pass(&[]);
    assert_eq!(of("added_total{namespace=\"ip\"}"), Some(2.0));
    assert_eq!(of("keys{namespace=\"domain\"}"), Some(1.0));
    assert_eq!(of("runs_total{exit_code=\"0\"}"), Some(1.0));
    assert_eq!(of("skipped_total{reason=\"bad address\"}"), Some(1.0));
    assert_eq!(of("misp_request_seconds_count"), Some(2.0), "the list of events, and one page");
    assert_eq!(of(&format!("memcached_up{{server=\"{}\"}}", site.memcached.server())), Some(1.0));
    assert!(of("ledger_bytes") > Some(0.0) && of("follow_up").is_none());
    let success = of("last_success_timestamp_seconds").unwrap();

    // A run that fails is seen, and what the last good one found stays.
    site.misp.set_fault(Box::new(|_, _| Fault::Status(403, Vec::new(), Vec::new())));
    site.fails(&[], 77);
    assert_eq!((of("last_run_exit_code"), of("runs_total{exit_code=\"77\"}")), (Some(77.0), Some(1.0)));
    assert_eq!((of("keys{namespace=\"ip\"}"), of("last_success_timestamp_seconds")), (Some(2.0), Some(success)));
    assert!(of("misp_request_failures_total") >= Some(1.0));
    site.misp.clear_fault();

    // A run that is locked out leaves the file to the one that runs.
    let before = fs::read(&file).unwrap();
    let lock = Lock::take(&site.config.state()).unwrap();
    site.fails(&[], 75);
    drop(lock);
    assert_eq!(fs::read(&file).unwrap(), before);

    // Counters grow over runs, gauges are of the last.
    site.misp.world().delete_event(id);
    site.pass(&["--allow-shrink"]);
    assert_eq!((of("added_total{namespace=\"ip\"}"), of("removed_total{namespace=\"ip\"}")), (Some(2.0), Some(2.0)));
    assert_eq!((of("runs_total{exit_code=\"0\"}"), of("last_run_exit_code")), (Some(2.0), Some(0.0)));
}

#[test]
fn a_file_that_cannot_be_written_fails_no_pass() {
    let mut site = Site::new(World::new());
    site.config.extra("metrics: {file: /nonexistent/misp.prom}");
    let finished = site.load(&[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("metrics.file"), "{}", finished.stderr);
    let path = site.config.write();
    let check = crate::support::program::run(&["--config", path.to_str().unwrap(), "check"], &[]);
    assert_eq!(check.code, Some(73), "{}", check.stdout);
}
