//! The messages that people see: each `tests/golden/config/NAME.yaml` is a wrong
//! configuration, `NAME.txt` what is said about it. After a message was changed
//! on purpose, `UPDATE_GOLDEN=1 cargo test config::golden` writes them anew; read
//! the difference before it is kept.

use super::load::from_bytes;
use super::sources::Sources;
use crate::error::Kind;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Any secret of the wrong configurations has this in it, or is this number.
const SECRETS: [&str; 2] = ["S3CRET", "1234567890123456789012345678901234567890"];

fn stems(directory: &Path, extension: &str) -> BTreeSet<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == extension)).map(|path| path.with_extension("")).collect()
}

#[test]
fn wrong_configurations_are_explained() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let names = stems(&directory, "yaml");
    assert!(names.len() >= 20);
    let mut differences = Vec::new();
    for name in &names {
        let yaml = std::fs::read(name.with_extension("yaml")).unwrap();
        let error = match from_bytes(Path::new("misp2memcached.yaml"), &yaml, &Sources::default()) {
            Ok(_) => panic!("{} is taken as right", name.display()),
            Err(error) => error,
        };
        assert_eq!(error.kind(), Kind::Config);
        let message = format!("{error}\n");
        for secret in SECRETS {
            assert!(!message.contains(secret), "{}: a secret is shown", name.display());
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(name.with_extension("txt"), &message).unwrap();
        }
        let expected = std::fs::read_to_string(name.with_extension("txt")).unwrap_or_default();
        if message != expected {
            differences.push(format!("{}\n  said:     {message}  expected: {expected}", name.display()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(stems(&directory, "txt"), names, "each has its pair");
}
