//! Where the configuration may come from: the file, which is named or looked for, and the
//! environment. What they say is [`super::load`]'s duty.

use super::token;
use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Names the file, if the command line does not.
pub(super) const FILE_VARIABLE: &str = "MISP2MEMCACHED_CONFIG";
/// Where a file is looked for that nobody named.
pub(super) const PLACES: [&str; 2] = ["misp2memcached.yaml", "/etc/misp2memcached/misp2memcached.yaml"];
/// A configuration has a few kilobytes; what is larger is another file.
const MAX_FILE: u64 = 1 << 20;

/// Where the configuration may come from: the command line, and the environment as handed in.
#[derive(Clone, Default)]
pub struct Sources {
    /// `--config FILE`.
    pub file: Option<PathBuf>,
    /// Environment variables; one that is empty counts as not set.
    pub env: BTreeMap<String, String>,
    /// MISP's address and key may be missing: look-ups need only memcached.
    pub without_misp: bool,
}

impl Sources {
    /// With the environment of this process.
    pub fn from_process(file: Option<PathBuf>) -> Sources {
        // What is not UTF-8 becomes U+FFFD, and is refused where it matters.
        let text = |s: OsString| s.to_string_lossy().into_owned();
        Sources {
            file,
            without_misp: false,
            env: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
        }
    }

    /// One that is set, without blanks at its ends.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

/// Shows the names of the variables only: a value may be the token.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file).field("env", &self.env.keys()).finish()
    }
}

/// The file that is named, else the first that exists.
pub(super) fn find(sources: &Sources, places: &[PathBuf]) -> Result<Option<(PathBuf, Vec<u8>)>> {
    let named = match (&sources.file, sources.variable(FILE_VARIABLE)) {
        (Some(path), _) => Some((path.clone(), "--config")),
        (None, Some(path)) => Some((PathBuf::from(path), FILE_VARIABLE)),
        (None, None) => None,
    };
    let fails = |path: &Path, why: String| Error::new(Kind::Config, format!("cannot read {}: {why}", path.display()));
    if let Some((path, by)) = named {
        let bytes = bytes_of(&path).map_err(|e| fails(&path, token::reason(&e)).context(by))?;
        return Ok(Some((path, bytes)));
    }
    for path in places {
        match bytes_of(path) {
            Ok(bytes) => return Ok(Some((path.clone(), bytes))),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            // `sudo -u` in root's home: where we may not look nobody has put one for us.
            Err(_) if path.is_relative() && path.symlink_metadata().is_err() => {}
            Err(e) => return Err(fails(path, token::reason(&e))),
        }
    }
    Ok(None)
}

fn bytes_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other(format!("larger than {MAX_FILE} bytes, so it is no configuration")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(env: &[(&str, &str)]) -> Sources {
        Sources { env: env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), ..Sources::default() }
    }

    #[test]
    fn the_file_is_looked_for_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, name).unwrap();
            path
        };
        let (flag, variable, etc) = (at("flag"), at("variable"), at("etc"));
        let places = [directory.path().join("none"), etc.clone()];
        let found = |sources: &Sources| find(sources, &places).unwrap().unwrap();

        let mut named = sources(&[("MISP2MEMCACHED_CONFIG", variable.to_str().unwrap())]);
        assert_eq!(found(&named), (variable, b"variable".to_vec()));
        named.file = Some(flag.clone());
        assert_eq!(found(&named), (flag, b"flag".to_vec()));
        assert_eq!(found(&sources(&[("MISP2MEMCACHED_CONFIG", "")])), (etc, b"etc".to_vec()));
        assert_eq!(find(&sources(&[]), &places[..1]).unwrap(), None);
        // Here nobody can look, as in root's home: there is none of ours.
        assert_eq!(find(&sources(&[]), &[PathBuf::from("Cargo.toml/misp2memcached.yaml")]).unwrap(), None);

        let error = find(&sources(&[("MISP2MEMCACHED_CONFIG", "/nonexistent/c.yaml")]), &places).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(
            error.to_string(),
            "MISP2MEMCACHED_CONFIG: cannot read /nonexistent/c.yaml: no such file or directory"
        );
    }

    #[test]
    fn a_huge_file_is_no_configuration() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "#".repeat(MAX_FILE as usize + 1)).unwrap();
        let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
        let error = find(&sources, &[]).unwrap_err().to_string();
        assert!(error.starts_with("--config: cannot read ") && error.contains("larger than"), "{error}");
    }

    #[test]
    fn sources_show_no_values() {
        assert!(!format!("{:?}", sources(&[("MISP_KEY", "S3CRET")])).contains("S3CRET"));
    }
}
