//! docs/dependencies.md lists what Cargo.toml asks for, no more and no less, in the
//! version that Cargo.lock has.

use super::manual;
use std::collections::{BTreeMap, BTreeSet};

/// The names in the sections of Cargo.toml that list dependencies.
fn asked_for(cargo_toml: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut names = BTreeSet::new();
    for line in cargo_toml.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]")
            && let Some((name, _)) = line.split_once(" = ")
        {
            names.insert(name.to_owned());
        }
    }
    names
}

/// The versions of each package in Cargo.lock.
fn locked(cargo_lock: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in cargo_lock.split("\n[[package]]\n").skip(1) {
        let value = |key: &str| package.lines().find_map(|l| l.strip_prefix(key)?.strip_suffix('"'));
        let (name, version) = (value("name = \"").unwrap(), value("version = \"").unwrap());
        versions.entry(name).or_default().insert(version);
    }
    versions
}

#[test]
fn each_dependency_is_justified() {
    let page = manual("docs/dependencies.md");
    let mut listed = BTreeMap::new();
    for row in page.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 7, "{row}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
        let again = listed.insert(cells[0].trim_matches('`').to_owned(), cells[1].to_owned());
        assert!(again.is_none(), "twice: {row}");
    }
    let asked_for = asked_for(&manual("Cargo.toml"));
    assert!(asked_for.len() >= 20, "{asked_for:?}");
    assert_eq!(listed.keys().cloned().collect::<BTreeSet<_>>(), asked_for, "docs/dependencies.md and Cargo.toml");
    let lock = manual("Cargo.lock");
    let locked = locked(&lock);
    for (name, version) in &listed {
        let there = &locked[name.as_str()];
        assert!(there.contains(version.as_str()), "docs/dependencies.md: {name} {version}; Cargo.lock has {there:?}");
    }
}
