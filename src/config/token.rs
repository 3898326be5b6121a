//! MISP's automation key: which of its six places holds it, and whether it can
//! be one. It is shown in no message, however it was written.

use super::Misp;
use super::exposed::readable_by_all;
use super::problem::Problem;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The environment's names for the key, the first that is set counts.
pub(super) const VARIABLES: [&str; 2] = ["MISP2MEMCACHED_MISP_TOKEN", "MISP_KEY"];
/// systemd's directory of credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The credential's name in it, and that of the file beside the configuration: systemd's units
/// make the first of the second, and who runs the program by hand has the same key without them.
pub(super) const CREDENTIAL: &str = "misp-token";
/// A key has 40 characters; anything much longer is another file.
pub(super) const MAX_FILE: u64 = 4096;

/// What was found.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) key: SecretString,
    /// A `token_file` that everybody may read.
    pub(super) warning: Option<String>,
}

/// The key from the first place that has one; `None` if there is none. `file` is the
/// configuration's.
pub(super) fn resolve(
    misp: &Misp,
    env: &BTreeMap<String, String>,
    file: Option<&Path>,
) -> Result<Option<Token>, Problem> {
    if misp.token.is_some() && misp.token_file.is_some() {
        return Err(Problem::new("misp.token_file", "stands beside token; take one of the two out"));
    }
    let plain = |key| Ok(Some(Token { key, warning: None }));
    for name in VARIABLES {
        if let Some(text) = env.get(name).filter(|text| !text.trim().is_empty()) {
            return plain(usable(text).map_err(|why| Problem::new("", format!("found {why}")).elsewhere(name))?);
        }
    }
    if let Some(token) = &misp.token {
        return plain(usable(token.expose_secret()).map_err(|why| Problem::found("misp.token", why))?);
    }
    if let Some(path) = misp.token_file.as_deref().filter(|path| !path.as_os_str().is_empty()) {
        let key = from_file(path).map_err(|why| Problem::new("misp.token_file", why))?;
        return Ok(Some(Token { key, warning: readable_by_all(path, "misp.token_file", "MISP's key") }));
    }
    if let Some(directory) = env.get(CREDENTIALS).filter(|directory| !directory.is_empty()) {
        let path = PathBuf::from(directory).join(CREDENTIAL);
        if is_given(&path) {
            let key = from_file(&path);
            return plain(key.map_err(|why| Problem::new("", why).elsewhere(format!("${CREDENTIALS}/{CREDENTIAL}")))?);
        }
    }
    let Some(path) = file.map(beside).filter(|path| is_given(path)) else { return Ok(None) };
    let key = from_file(&path).map_err(|why| Problem::new("misp.token", why))?;
    Ok(Some(Token { key, warning: readable_by_all(&path, CREDENTIAL, "MISP's key") }))
}

/// Where a key lies that has a file of its own and is not named: beside the configuration.
pub(super) fn beside(file: &Path) -> PathBuf {
    file.with_file_name(CREDENTIAL)
}

/// Takes `token: ""` for no token, so that the file as it is shipped lets the key be elsewhere.
pub(super) fn drop_blank(misp: &mut Misp) {
    misp.token.take_if(|token| token.expose_secret().trim().is_empty());
}

/// systemd has no optional credentials, only ones with a default: a blank one.
fn is_given(path: &Path) -> bool {
    let is_blank = || {
        std::fs::metadata(path).is_ok_and(|m| m.len() <= MAX_FILE)
            && std::fs::read(path).is_ok_and(|bytes| bytes.trim_ascii().is_empty())
    };
    path.try_exists().unwrap_or(true) && !is_blank()
}

/// The trimmed key (or password), if it can be one.
pub(super) fn usable(text: &str) -> Result<SecretString, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("an empty text");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a blank, or a character that is not printable ASCII, in the key (which is not shown)");
    }
    Ok(SecretString::from(text))
}

fn from_file(path: &Path) -> Result<SecretString, String> {
    let shown = path.display();
    let cannot = |e: std::io::Error| match e.kind() {
        // Do not echo what may be the key in the wrong place.
        ErrorKind::NotFound if !path.to_string_lossy().contains(['/', '.']) => {
            "cannot read that file; if this is the key itself, it belongs under `token`".to_owned()
        }
        _ => format!("cannot read {shown}: {}", reason(&e)),
    };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("{shown} is larger than {MAX_FILE} bytes; allowed: a file with the automation key alone"));
    }
    let text = String::from_utf8_lossy(&bytes);
    usable(&text).map_err(|why| format!("found {why} in {shown}; allowed: the automation key alone"))
}

/// The system's words without its number.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
