//! The files of `packaging/` that the Debian package is made of, as far as they can be
//! tried without one, and the Rust that it takes; `make deb-test` tries the package itself.

use crate::support::program::run;
use clap::Parser;
use misp2memcached::cli::Cli;
use misp2memcached::config::{self, Sources};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const SERVICES: [&str; 4] =
    ["misp2memcached", "misp2memcached-full", "misp2memcached-follow", "misp2memcached-sighting"];

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
    let instead = read("packaging/systemd/examples/sighting-tcp.conf");
    let units = SERVICES.map(service);
    let started = units
        .iter()
        .chain([&instead])
        .flat_map(|unit| unit.lines())
        .filter_map(|line| line.strip_prefix("ExecStart="))
        .filter(|command| !command.is_empty());
    let planned = cron.lines().filter_map(|line| Some(line.split_at(line.find(PROGRAM)?).1));
    let commands: Vec<&str> = started.chain(planned).collect();
    assert_eq!(commands.len(), 7, "{commands:?}");
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

/// One sandbox for all: what is added to one is added to the others. Only the key is another
/// where sightings are reported, since that takes more rights.
#[test]
fn the_services_share_their_sandbox() {
    let sandbox = |name: &str| -> String {
        let unit = service(name);
        let (_, rest) = unit.split_once("\nUser=misp2memcached\n").unwrap_or_else(|| panic!("{name}"));
        let (before, key) = rest.split("\n[Install]").next().unwrap().split_once("\n# ").unwrap();
        let (key, after) = key.split_once("\nSetCredential=").unwrap();
        let file = if name.ends_with("-sighting") { "sighting-token" } else { "misp-token" };
        assert!(key.ends_with(&format!("\nLoadCredential=misp-token:/etc/misp2memcached/{file}")), "{key}");
        format!("{before}\n{}", after.trim())
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

/// The file that a package asks about when it has changed is short, says what is missing, and is
/// a configuration once that is filled in; where the rest stands is where `make install` puts it.
#[test]
fn the_configuration_as_it_is_shipped() {
    let shipped = read("packaging/debian/misp2memcached.yaml");
    assert!(shipped.lines().count() <= 25, "{shipped}");
    assert!(shipped.contains("/usr/share/doc/misp2memcached/misp2memcached.example.yaml"), "{shipped}");
    let makefile = read("Makefile");
    assert!(makefile.contains("DOC = $(SHARE)/doc/misp2memcached\n"), "{makefile}");
    assert!(makefile.contains("install -m 0644 misp2memcached.example.yaml "), "{makefile}");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("misp2memcached.yaml");
    fs::write(&file, &shipped).unwrap();
    let untouched = run(&["--config", file.to_str().unwrap(), "check"], &[]);
    assert_eq!(untouched.code, Some(78), "{}", untouched.stderr);
    let beside = directory.path().join("misp-token").display().to_string();
    for words in ["misp.url: found nothing", "misp.token: MISP's automation key is missing", &beside] {
        assert!(untouched.stderr.contains(words), "{words}: {}", untouched.stderr);
    }

    fs::write(&file, shipped.replace("url: \"\"", "url: https://misp.example")).unwrap();
    fs::write(&beside, "key\n").unwrap();
    let mut filled = config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap().config;
    let plain = directory.path().join("plain.yaml");
    fs::write(&plain, "misp: {url: https://misp.example}").unwrap();
    let least = config::load(&Sources { file: Some(plain), ..Sources::default() }).unwrap().config;
    // What the example says, or else the default: keys shown in the file change nothing.
    filled.memcached.host.clone_from(&least.memcached.host);
    assert_eq!(format!("{filled:?}"), format!("{least:?}"));
}

/// Which Rust it takes is that of Cargo.toml: no dependency of `Cargo.lock` takes a newer one,
/// whatever the features, and the pages that name a number name this one.
#[test]
fn no_dependency_takes_a_newer_rust() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--locked", "--all-features", "--format-version", "1"]);
    metadata.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let told = metadata.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let number = |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap()).collect() };
    let ours = number(env!("CARGO_PKG_RUST_VERSION"));
    let packages = told["packages"].as_array().unwrap();
    assert!(packages.len() > 150, "{}", packages.len());
    for package in packages {
        if let Some(theirs) = package["rust_version"].as_str() {
            let newer = number(theirs).iter().zip(&ours).find(|(a, b)| a != b).is_some_and(|(a, b)| a > b);
            assert!(!newer, "{} {} takes Rust {theirs}", package["name"], package["version"]);
        }
    }
    for page in ["README.md", "docs/installation.md"] {
        let named = format!("[Rust](https://rustup.rs) {} or newer", env!("CARGO_PKG_RUST_VERSION"));
        assert!(read(page).contains(&named), "{page} does not say: {named}");
    }
}
