//! The files of `packaging/` that the Debian package is made of, as far as they can be
//! tried without one; `make deb-test` tries the package itself.

use clap::Parser;
use misp2memcached::cli::Cli;
use std::fs;
use std::path::Path;

const SERVICES: [&str; 3] = ["misp2memcached", "misp2memcached-full", "misp2memcached-follow"];

/// Where the package has the program.
const PROGRAM: &str = "/usr/bin/misp2memcached";

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn service(name: &str) -> String {
    read(&format!("packaging/systemd/{name}.service"))
}

/// The command lines of services and of cron are such that the program takes.
#[test]
fn what_is_started_is_a_command() {
    let cron = read("packaging/cron/misp2memcached");
    let units = SERVICES.map(service);
    let started = units.iter().flat_map(|unit| unit.lines()).filter_map(|line| line.strip_prefix("ExecStart="));
    let planned = cron.lines().filter_map(|line| Some(line.split_at(line.find(PROGRAM)?).1));
    let commands: Vec<&str> = started.chain(planned).collect();
    assert_eq!(commands.len(), 5, "{commands:?}");
    for command in commands {
        assert_eq!(command.split(' ').next(), Some(PROGRAM));
        Cli::try_parse_from(command.split_whitespace()).unwrap_or_else(|e| panic!("{command}: {e}"));
    }
    // Not root, and the same user everywhere.
    assert!(
        cron.lines().filter(|line| line.contains(PROGRAM)).all(|line| line.contains("  misp2memcached  ")),
        "{cron}"
    );
}

/// One sandbox for all three: what is added to one is added to the others.
#[test]
fn the_services_share_their_sandbox() {
    let sandbox = |name: &str| -> String {
        let unit = service(name);
        let (_, rest) = unit.split_once("\nUser=misp2memcached\n").unwrap_or_else(|| panic!("{name}"));
        rest.split("\n[Install]").next().unwrap().trim().to_owned()
    };
    let first = sandbox(SERVICES[0]);
    assert!(first.contains("CapabilityBoundingSet=\n") && first.contains("SystemCallFilter="), "{first}");
    for name in SERVICES {
        assert_eq!(sandbox(name), first, "{name}");
    }
}

/// A release is a new entry here as well.
#[test]
fn the_changelog_of_the_package_has_this_version() {
    let changelog = read("packaging/debian/changelog");
    let begins = format!("misp2memcached ({}-", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&begins), "{changelog}");
    assert!(
        read("docs/installation.md").contains(&format!("misp2memcached_{}-1_amd64.deb", env!("CARGO_PKG_VERSION")))
    );
}
