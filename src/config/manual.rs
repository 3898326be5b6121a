//! The example file and the reference page say what the structs say.

use super::load::from_bytes;
use super::sources::Sources;
use super::{decode, fields, node};
use crate::indicator::{Category, MispType};
use std::path::Path;

const EXAMPLE: &str = include_str!("../../misp2memcached.example.yaml");
const REFERENCE: &str = include_str!("../../docs/configuration.md");

/// Keys without a default that could be shown: the example shows an example.
const NO_DEFAULT: [&str; 20] = [
    "servers",
    "tls",
    "username",
    "password_file",
    "url",
    "token",
    "token_file",
    "ca_file",
    "client_cert_file",
    "client_key_file",
    "proxy",
    "filter",
    "categories",
    "min_threat_level",
    "event_published_after",
    "hash_list",
    "domain_list",
    "topics",
    "config",
    "cdb_directory",
];

/// Their default is found when they are used, or, for `wazuh.queue`, another thing than
/// the same path named. `metrics.file` has none, unlike its namesake of `falco`.
const FOUND_AT_RUN_TIME: [&str; 4] = ["falco_binary", "directory: /var/lib", "queue", "file: /var/lib/prometheus"];

/// A key that is commented out, without its `#`.
fn uncommented(line: &str) -> Option<String> {
    let (indent, rest) = line.split_once('#')?;
    let (key, _) = rest.split_once(':')?;
    let is_key =
        indent.trim().is_empty() && !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_key.then(|| format!("{indent}{rest}"))
}

fn shown(text: &str) -> String {
    format!("{:?}", decode::decode(node::read(text).unwrap()).map_err(|p| p.message).unwrap())
}

#[test]
fn the_example_loads_once_there_is_a_token() {
    let env = [("MISP_KEY".to_owned(), "k".to_owned())].into();
    let loaded = from_bytes(Path::new("example"), EXAMPLE.as_bytes(), &Sources { env, ..Sources::default() }).unwrap();
    assert_eq!(loaded.config.misp.url, "https://misp.example");
    let error = from_bytes(Path::new("example"), EXAMPLE.as_bytes(), &Sources::default()).unwrap_err();
    assert!(error.to_string().contains("misp.token: MISP's automation key is missing"), "{error}");
}

#[test]
fn the_example_has_every_key_and_parses_with_all_of_them() {
    let text: String = EXAMPLE.lines().map(|l| uncommented(l).unwrap_or_else(|| l.to_owned()) + "\n").collect();
    assert!(decode::decode(node::read(&text).unwrap()).map_err(|p| p.message).is_ok());
    for path in fields::all() {
        let path = path.replace("[]", "[0]");
        assert!(node::place_of(&text, &path).is_some(), "{path} is not in the example");
    }
}

/// Each key by itself, set or commented out, shows its default.
#[test]
fn the_example_shows_the_defaults() {
    let mut section = String::new();
    let mut tried = 0;
    // Shown inside the examples of `filter` and `tls`.
    let inside = "orgs tags types ca_file cert_file key_file server_name";
    for line in EXAMPLE.lines() {
        if !line.starts_with([' ', '#']) && !line.is_empty() {
            section = line.to_owned();
            continue;
        }
        // A section that is off without its heading.
        if let Some(heading) = uncommented(line).filter(|heading| heading.ends_with(':') && !heading.starts_with(' ')) {
            section = heading;
            continue;
        }
        let default = shown(&format!("{section}\n"));
        let key = uncommented(line).unwrap_or_else(|| line.to_owned());
        let name = key.trim();
        let exception = NO_DEFAULT.iter().any(|n| name.starts_with(&format!("{n}:")))
            || FOUND_AT_RUN_TIME.iter().any(|n| name.starts_with(n));
        if name.is_empty() || name.starts_with('#') || exception {
            continue;
        }
        assert_eq!(shown(&format!("{section}\n{key}\n")), default, "{section} {key}");
        tried += 1;
    }
    assert_eq!(tried + NO_DEFAULT.len() + FOUND_AT_RUN_TIME.len() + inside.split(' ').count(), fields::all().len());
}

#[test]
fn the_reference_has_every_key_under_its_section_and_every_type() {
    for path in fields::all() {
        let (section, key) = path.rsplit_once('.').unwrap();
        let heading = match section {
            "hash" | "network" | "web" | "other" => "\n## hash, network, web, other\n".to_owned(),
            "misp.filter[]" => "\n## misp.filter\n".to_owned(),
            section => format!("\n## {section}\n"),
        };
        let (_, rest) = REFERENCE.split_once(&heading).expect(&heading);
        let body = rest.split("\n## ").next().unwrap();
        assert!(body.contains(&format!("\n| `{key}` |")), "{path} is not in docs/configuration.md");
    }
    for category in Category::ALL {
        let row = REFERENCE.lines().find(|l| l.starts_with(&format!("| `{}` | ", category.name()))).unwrap();
        for t in MispType::all().filter(|t| t.category() == category) {
            let name = t.name().replace('|', "\\|");
            assert!(row.contains(&format!("`{name}`")), "{} is not in the row of {}", t.name(), category.name());
        }
    }
}

/// The messages that the page quotes are ones that the program gives.
#[test]
fn the_reference_quotes_real_messages() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let said: String = std::fs::read_dir(golden)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let quoted: Vec<&str> = REFERENCE.lines().filter(|line| line.starts_with("misp2memcached.yaml:")).collect();
    assert!(quoted.len() >= 8);
    for line in quoted {
        assert!(said.lines().any(|l| l == line), "nothing says: {line}");
    }
}
