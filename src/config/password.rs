//! The password of memcached's text authentication, which stands in a file of its
//! own. It is shown in no message.

use super::Memcached;
use super::exposed::readable_by_all;
use super::problem::Problem;
use super::token::{self, MAX_FILE};
use secrecy::SecretString;
use std::fs::File;
use std::io::Read;

/// The password, and a warning if everybody may read its file; `None` without a file.
pub(super) fn resolve(memcached: &Memcached) -> Result<Option<(SecretString, Option<String>)>, Problem> {
    const KEY: &str = "memcached.password_file";
    let Some(path) = memcached.password_file.as_deref().filter(|p| !p.as_os_str().is_empty()) else { return Ok(None) };
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|e| Problem::new(KEY, format!("cannot read {shown}: {}", token::reason(&e))))?;
    let password = match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.len() as u64 <= MAX_FILE => token::usable(text).ok(),
        _ => None,
    };
    // memcached takes no blank in a password, and no longer one than a line of its file.
    let password = password.ok_or_else(|| {
        let allowed = "the password alone: printable ASCII without blanks";
        Problem::new(KEY, format!("found something else in {shown} (it is not shown); allowed: {allowed}"))
    })?;
    Ok(Some((password, readable_by_all(path, KEY, "memcached's password"))))
}
