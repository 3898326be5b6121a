//! Files for Falco that the configuration names no longer: what they list would be
//! alerted on for ever.

use super::{DAY, NOW, event};
use crate::support::falco_lists;
use crate::support::site::{Site, files};
use misp2memcached::demo::World;
use std::fs;
use std::path::{Path, PathBuf};

struct Place {
    site: Site,
    directory: PathBuf,
}

impl Place {
    fn new() -> Place {
        let site = Site::new(World::new());
        site.misp.world().add_event(event(&[("ip-dst", "192.88.98.1"), ("domain", "a.example")]), NOW - DAY);
        site.misp.set_now(Some(NOW));
        let directory = site.config.directory().join("rules.d");
        fs::create_dir(&directory).unwrap();
        Place { site, directory }
    }

    /// A pass with these lines in Falco's section; the names in its directory after it.
    fn pass(&mut self, directory: &Path, lines: &str) -> (Vec<String>, String) {
        let yaml = format!("falco:\n  directory: {directory:?}\n  falco_binary: \"\"\n{lines}");
        self.site.config.extra(&yaml);
        let finished = self.site.load(&[]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let entries = fs::read_dir(&self.directory).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        (names, finished.stderr)
    }
}

#[test]
fn what_is_no_longer_named_is_removed() {
    let mut place = Place::new();
    let directory = place.directory.clone();
    let list = directory.join("domains.txt");
    let (names, _) = place.pass(&directory, &format!("  enabled: true\n  domain_list: {list:?}\n"));
    assert_eq!(names, ["domains.txt", "misp2memcached.yaml"]);
    // Another name, and no list of domains any more.
    let (names, log) = place.pass(&directory, "  enabled: true\n  file: other.yaml\n");
    assert_eq!(names, ["other.yaml"], "{log}");
    assert!(log.contains("misp2memcached.yaml is no longer written, and was removed"), "{log}");
    // The same file, named in another way.
    let link = place.site.config.directory().join("link");
    std::os::unix::fs::symlink(&directory, &link).unwrap();
    assert_eq!(place.pass(&link, "  enabled: true\n  file: other.yaml\n").0, ["other.yaml"]);
}

/// Exceptions of one's own are appended to the rules: Falco does not start if these
/// are not there. So the rules stay, without an address.
#[test]
fn switched_off_the_rules_list_nothing() {
    let mut place = Place::new();
    let directory = place.directory.clone();
    let list = directory.join("domains.txt");
    let rules = directory.join("misp2memcached.yaml");
    let listed = || falco_lists::read(&fs::read_to_string(&rules).unwrap()).0.ips.len();
    place.pass(&directory, &format!("  enabled: true\n  domain_list: {list:?}\n"));
    assert_eq!(listed(), 1);
    let (names, log) = place.pass(&directory, "  enabled: false\n");
    assert_eq!((names, listed()), (vec!["misp2memcached.yaml".to_owned()], 0));
    assert!(log.contains("misp2memcached.yaml is no longer written, and was emptied"), "{log}");
    assert!(fs::read_to_string(&rules).unwrap().contains("- rule: "));
    // Nothing more to do, and nothing to say.
    let before = files(&directory);
    assert!(!place.pass(&directory, "  enabled: false\n").1.contains("no longer written"));
    assert_eq!(files(&directory), before);
    // On again: under the old name, or without leaving an empty one that might win over it.
    place.pass(&directory, "  enabled: true\n");
    assert_eq!(listed(), 1);
    place.pass(&directory, "  enabled: false\n");
    assert_eq!(place.pass(&directory, "  enabled: true\n  file: a.yaml\n").0, ["a.yaml"]);
}

/// What is not as it was written may be somebody's work.
#[test]
fn what_somebody_changed_is_left_alone() {
    let mut place = Place::new();
    let directory = place.directory.clone();
    place.pass(&directory, "  enabled: true\n");
    fs::write(directory.join("misp2memcached.yaml"), "# mine\n").unwrap();
    fs::write(directory.join("unrelated.yaml"), "# mine too\n").unwrap();
    let (names, log) = place.pass(&directory, "  enabled: false\n");
    assert_eq!(names, ["misp2memcached.yaml", "unrelated.yaml"]);
    assert!(log.contains("it was changed by somebody, so it is left to you"), "{log}");
    // Said once.
    assert!(!place.pass(&directory, "  enabled: false\n").1.contains("no longer written"));
}
