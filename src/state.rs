//! The directory for the ledger and the lock: which one, and made if need be.

use crate::config::State;
use crate::error::{Error, Kind, Result};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where packages keep it.
const SYSTEM: &str = "/var/lib/misp2memcached";

/// The number of the user who may write everywhere.
const ROOT: u32 = 0;

/// Where the system has the names of its users.
const USERS: &str = "/etc/passwd";

/// The directory that is used: the configured one, else systemd's
/// `$STATE_DIRECTORY`, else `/var/lib/misp2memcached` if it can be written, else the user's own.
///
/// # Errors
/// [`Kind::Config`]: there is no home directory to fall back on.
pub fn directory(config: &State, variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf> {
    let set = |name: &str| variable(name).filter(|v| !v.is_empty());
    if let Some(directory) = &config.directory {
        return Ok(directory.clone());
    }
    // systemd separates several directories by colons; the first is ours.
    if let Some(first) = set("STATE_DIRECTORY").and_then(|v| v.split(':').next().map(PathBuf::from)) {
        return Ok(first);
    }
    if writable(Path::new(SYSTEM)) {
        return Ok(SYSTEM.into());
    }
    let base =
        set("XDG_STATE_HOME").map(PathBuf::from).or_else(|| set("HOME").map(|h| Path::new(&h).join(".local/state")));
    base.map(|b| b.join("misp2memcached")).ok_or_else(|| {
        Error::new(Kind::Config, "state.directory: none is configured and there is no home directory; write one")
    })
}

/// Makes the directory, readable by its owner only.
///
/// # Errors
/// [`Kind::CannotWrite`], naming it.
pub fn make(directory: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|e| cannot(directory, &e))?;
    usable(directory)
}

/// Whether one that is there can be used by this user, and by its own user afterwards.
///
/// # Errors
/// [`Kind::CannotWrite`], naming it.
pub fn usable(directory: &Path) -> Result<()> {
    let owner = fs::metadata(directory).map_err(|e| cannot(directory, &e))?.uid();
    // Who a new file belongs to is who we are.
    let ours = tempfile::tempfile_in(directory).and_then(|file| file.metadata()).map_err(|e| cannot(directory, &e))?;
    suits(directory, owner, ours.uid())
}

/// Root may write everywhere, and what it leaves in a service's directory locks the service out.
fn suits(directory: &Path, owner: u32, ours: u32) -> Result<()> {
    if ours != ROOT || owner == ROOT {
        return Ok(());
    }
    let owner = fs::read_to_string(USERS).ok().and_then(|users| name(&users, owner)).unwrap_or(format!("'#{owner}'"));
    let text = format!(
        "state.directory {} belongs to {owner}, who could not write what root leaves there; run it with `sudo -u {owner}`",
        directory.display()
    );
    Err(Error::new(Kind::CannotWrite, text))
}

/// The name of a user.
fn name(users: &str, number: u32) -> Option<String> {
    let mut all = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    all.find(|fields| fields.get(2).is_some_and(|n| *n == number.to_string())).map(|fields| fields[0].to_owned())
}

fn cannot(directory: &Path, e: &std::io::Error) -> Error {
    let text = format!("state.directory {}: {e}; write one that can be written", directory.display());
    Error::new(Kind::CannotWrite, text)
}

fn writable(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|m| m.is_dir()) && tempfile::tempfile_in(directory).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_places() {
        let none = State::default();
        let with = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        };
        let configured = State { directory: Some("/a".into()) };
        assert_eq!(directory(&configured, with(&[("STATE_DIRECTORY", "/b")])).unwrap(), Path::new("/a"));
        assert_eq!(directory(&none, with(&[("STATE_DIRECTORY", "/b:/c")])).unwrap(), Path::new("/b"));
        if !Path::new(SYSTEM).exists() {
            let xdg = with(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]);
            assert_eq!(directory(&none, xdg).unwrap(), Path::new("/x/misp2memcached"));
            assert_eq!(directory(&none, with(&[("HOME", "/h")])).unwrap(), Path::new("/h/.local/state/misp2memcached"));
            assert_eq!(directory(&none, with(&[])).unwrap_err().kind(), Kind::Config);
        }
    }

    #[test]
    fn root_is_kept_out_of_what_is_another_s() {
        let directory = Path::new("/var/lib/x");
        for (owner, ours) in [(0, 0), (998, 998), (998, 1000), (0, 998)] {
            suits(directory, owner, ours).unwrap();
        }
        let refused = suits(directory, 4_000_000_000, 0).unwrap_err();
        assert_eq!(refused.kind(), Kind::CannotWrite);
        assert!(refused.to_string().contains("run it with `sudo -u '#4000000000'`"), "{refused}");
        let users = "root:x:0:0:root:/root:/bin/sh\n\nmisp2memcached:x:998:998::/var/lib/misp2memcached:/bin/false\n";
        assert_eq!(name(users, 998).as_deref(), Some("misp2memcached"));
        assert_eq!(name(users, 99), None);
    }

    #[test]
    fn one_of_our_own_is_made_and_used() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        make(&directory).unwrap();
        make(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        assert_eq!(usable(&parent.path().join("none")).unwrap_err().kind(), Kind::CannotWrite);
    }
}
