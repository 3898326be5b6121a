//! The directory for the ledger and the lock: which one, and made if need be.

use crate::config::State;
use crate::error::{Error, Kind, Result};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where packages keep it.
const SYSTEM: &str = "/var/lib/misp2memcached";

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
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    let usable = made.and_then(|()| tempfile::tempfile_in(directory).map(drop));
    usable.map_err(|e| {
        let text = format!("state.directory {}: {e}; write one that can be written", directory.display());
        Error::new(Kind::CannotWrite, text)
    })
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
}
