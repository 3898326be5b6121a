//! Falco: the addresses that MISP lists as a rules file, and plain lists beside it.
//!
//! [`select`], [`mod@render`] and [`plain`] are pure: records in, bytes out. Here is
//! the order of things: render, compare, have falco check, replace. It knows
//! neither the ledger nor when a pass runs.

mod newest;
mod range;

pub mod plain;
pub mod render;
pub mod select;
pub mod validate;

pub use render::render;
pub use select::{Cut, DirectionLists, Lists, Selection};
pub use validate::Checked;

use crate::atomic_file;
use crate::config;
use crate::error::{Error, Kind, Result};
use std::env;
use std::path::{Path, PathBuf};

/// Falco may run as any user, and rules are no secret.
const FILE_MODE: u32 = 0o644;

/// What became of the rules file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the file was replaced; Falco reloads then.
    pub changed: bool,
    /// Whether a falco has seen it.
    pub checked: Checked,
    /// The rules file.
    pub path: PathBuf,
}

/// Writes the rules file of these lists, unless it is there with just these bytes:
/// a change makes Falco load everything twice and miss events meanwhile.
///
/// # Errors
/// [`Kind::CannotWrite`] where falco refuses the file or it cannot be replaced; the
/// old file stays.
pub fn write(config: &config::Falco, lists: &Lists) -> Result<Outcome> {
    let path = config.directory.join(&config.file);
    let text = render(lists, config.priority);
    if atomic_file::holds(&path, text.as_bytes())? {
        return Ok(Outcome { changed: false, checked: Checked::Unchanged, path });
    }
    let checked = validate::validate(config.falco_binary.as_deref(), text.as_bytes())?;
    let changed = atomic_file::replace_if_changed(&path, text.as_bytes(), FILE_MODE)?;
    Ok(Outcome { changed, checked, path })
}

/// Writes one of the plain lists; returns whether its bytes were others.
///
/// # Errors
/// [`Kind::CannotWrite`]; the old file stays.
pub fn write_plain(path: &Path, bytes: &[u8]) -> Result<bool> {
    atomic_file::replace_if_changed(path, bytes, FILE_MODE)
}

/// Whether every configured output could be written and the configured falco is
/// there. Changes nothing, and Falco, which watches the directory, notices nothing.
///
/// # Errors
/// [`Kind::Config`] where the configuration cannot mean what it says,
/// [`Kind::CannotWrite`] where a file cannot be written.
pub fn probe(config: &config::Falco) -> Result<()> {
    let file = Path::new(&config.file);
    let plain_name = file.file_name() == Some(file.as_os_str());
    if !plain_name || !file.extension().is_some_and(|end| end == "yaml" || end == "yml") {
        return Err(Error::new(
            Kind::Config,
            format!("falco.file: found {:?}; allowed is a bare file name that ends in .yaml or .yml", config.file),
        ));
    }
    if let Some(binary) = config.falco_binary.as_deref()
        && !binary.as_os_str().is_empty()
        && validate::find(Some(binary), env::var_os("PATH").as_deref()).is_none()
    {
        let found = binary.display();
        return Err(Error::new(
            Kind::Config,
            format!("falco.falco_binary: {found} is no program; name falco's path, or \"\" to go without its check"),
        ));
    }
    let directory = config.directory.join(file);
    let outputs = [
        ("falco.directory", Some(&directory)),
        ("falco.hash_list", config.hash_list.as_ref()),
        ("falco.domain_list", config.domain_list.as_ref()),
    ];
    let mut outputs = outputs.into_iter().filter_map(|(key, path)| Some((key, path?)));
    outputs.try_for_each(|(key, path)| atomic_file::probe(path).map_err(|e| e.context(key)))
}

#[cfg(test)]
mod tests {
    use super::validate::tests::fake;
    use super::*;
    use crate::indicator::types::Direction;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn lists(config: &config::Falco, value: &str) -> Lists {
        let mut selection = Selection::new(config, None);
        selection.add(Direction::Outbound, value, 1);
        selection.finish()
    }

    fn config(rules: &Path, falco: &Path) -> config::Falco {
        config::Falco { directory: rules.into(), falco_binary: Some(falco.into()), ..Default::default() }
    }

    #[test]
    fn written_checked_and_then_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let rules = tempfile::tempdir().unwrap();
        let calls = directory.path().join("calls");
        let falco = fake(directory.path(), &format!("echo >> '{}'", calls.display()));
        let config = config(rules.path(), &falco);
        let one = lists(&config, "198.51.100.7");
        let path = rules.path().join("misp2memcached.yaml");
        let written = Outcome { changed: true, checked: Checked::Passed(falco.clone()), path: path.clone() };
        assert_eq!(write(&config, &one).unwrap(), written);
        assert_eq!(fs::read_to_string(&path).unwrap(), render(&one, config.priority));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        let same = Outcome { changed: false, checked: Checked::Unchanged, path };
        assert_eq!(write(&config, &one).unwrap(), same);
        assert_eq!(fs::read(&calls).unwrap().len(), 1, "checked once, for the one change");
        assert_eq!(write(&config, &lists(&config, "198.51.100.8")).unwrap(), written);
        assert_eq!(fs::read_dir(rules.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_falco_refuses_is_not_put_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let rules = tempfile::tempdir().unwrap();
        let config = config(rules.path(), &fake(directory.path(), "echo no; exit 1"));
        let path = rules.path().join(&config.file);
        fs::write(&path, "the old rules").unwrap();
        let e = write(&config, &lists(&config, "198.51.100.7")).unwrap_err();
        assert_eq!(e.kind(), Kind::CannotWrite);
        assert_eq!(fs::read(&path).unwrap(), b"the old rules");
        assert_eq!(fs::read_dir(rules.path()).unwrap().count(), 1);
    }

    #[test]
    fn without_a_check() {
        let rules = tempfile::tempdir().unwrap();
        for (binary, checked) in [("", Checked::Off), ("/no/such/falco", Checked::NotFound)] {
            let config = config(rules.path(), Path::new(binary));
            let outcome = write(&config, &lists(&config, "198.51.100.7")).unwrap();
            assert_eq!(outcome.checked, checked);
            fs::remove_file(outcome.path).unwrap();
        }
    }

    /// What docs/falco.md tells users to append to is there.
    #[test]
    fn the_manual_names_what_is_written() {
        use serde_yaml::Value;
        let entries = |yaml: &str| serde_yaml::from_str::<Vec<Value>>(yaml).unwrap();
        let manual = include_str!("../../docs/falco.md");
        let example = manual.split("```yaml falco\n").find(|block| block.contains("exceptions: append")).unwrap();
        let example = entries(example.split("```").next().unwrap());
        let written = entries(&render(&Lists::default(), config::FalcoPriority::Critical));
        assert_eq!(example.len(), 2);
        for entry in example {
            let rule = written.iter().find(|written| written.get("rule") == entry.get("rule")).unwrap();
            assert_eq!(rule["exceptions"][0]["name"], entry["exceptions"][0]["name"]);
        }
        for name in written.iter().filter_map(|entry| entry.get("list").or(entry.get("macro"))) {
            let name = name.as_str().unwrap();
            assert!(manual.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn probe_names_the_key_or_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let good = config(directory.path(), Path::new(""));
        probe(&good).unwrap();
        for file in ["", ".", "..", "x", "x.txt", "../x.yaml", "/x.yaml", "sub/x.yaml", "x.yaml/"] {
            let e = probe(&config::Falco { file: file.into(), ..good.clone() }).unwrap_err();
            assert_eq!(e.kind(), Kind::Config, "{file}");
            assert!(e.to_string().contains("falco.file"), "{e}");
        }
        let e = probe(&config(directory.path(), Path::new("/no/such/falco"))).unwrap_err();
        assert!(e.kind() == Kind::Config && e.to_string().contains("falco.falco_binary"), "{e}");
        let missing = directory.path().join("missing");
        let e = probe(&config(&missing, Path::new(""))).unwrap_err();
        assert!(e.kind() == Kind::CannotWrite && e.to_string().contains("missing"), "{e}");
        for bad in [
            config::Falco { hash_list: Some(missing.join("hashes.csv")), ..good.clone() },
            config::Falco { domain_list: Some(missing.join("domains.txt")), ..good },
        ] {
            assert_eq!(probe(&bad).unwrap_err().kind(), Kind::CannotWrite);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
