//! From file and environment to a checked [`Config`]: where the file is looked
//! for, what the environment overrides, and how a problem is put into words.
//! Knows no key but MISP's address and token.

use super::problem::Problem;
use super::token::{self, Token};
use super::{Config, check, decode, node};
use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Names the file, if the command line does not.
const FILE_VARIABLE: &str = "MISP2MEMCACHED_CONFIG";
/// Overrides `misp.url`.
const URL_VARIABLE: &str = "MISP_URL";
/// Where a file is looked for that nobody named.
const PLACES: [&str; 2] = ["misp2memcached.yaml", "/etc/misp2memcached/misp2memcached.yaml"];
/// A configuration has a few kilobytes; what is larger is another file.
const MAX_FILE: u64 = 1 << 20;

/// Where the configuration may come from: the command line, and the environment as handed in.
#[derive(Clone, Default)]
pub struct Sources {
    /// `--config FILE`.
    pub file: Option<PathBuf>,
    /// Environment variables; one that is empty counts as not set.
    pub env: BTreeMap<String, String>,
}

impl Sources {
    /// With the environment of this process.
    pub fn from_process(file: Option<PathBuf>) -> Sources {
        // What is not UTF-8 becomes U+FFFD, and is refused where it matters.
        let text = |s: OsString| s.to_string_lossy().into_owned();
        Sources { file, env: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect() }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

/// Shows the names of the variables only: a value may be the token.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file).field("env", &self.env.keys()).finish()
    }
}

/// A checked configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration; `misp.url` and `misp.token` are set, whatever their source.
    pub config: Config,
    /// The file, if there was one.
    pub path: Option<PathBuf>,
    /// What should be said, though it stops nothing.
    pub warnings: Vec<String>,
}

/// Reads, merges and checks.
///
/// # Errors
/// [`Kind::Config`]: no file and too little in the environment, or something in
/// them is wrong; one line for each thing that is.
pub fn load(sources: &Sources) -> Result<Loaded> {
    load_from(sources, &PLACES.map(PathBuf::from))
}

fn load_from(sources: &Sources, places: &[PathBuf]) -> Result<Loaded> {
    match find(sources, places)? {
        Some((path, bytes)) => from_bytes(&path, &bytes, sources),
        None => {
            let config = read("{}")?;
            let token = token::resolve(&config.misp, &sources.env).map_err(|p| say(&[p], None))?;
            if sources.variable(URL_VARIABLE).is_none() || token.is_none() {
                return Err(nothing_found(places));
            }
            finish(config, None, sources)
        }
    }
}

/// The configuration of a file's content.
pub(super) fn from_bytes(path: &Path, bytes: &[u8], sources: &Sources) -> Result<Loaded> {
    let at = |problem| say(&[problem], Some((path, "")));
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        at(Problem::new("", format!("line {line} is not UTF-8; save the file as UTF-8")))
    })?;
    let root = node::read(text).map_err(at)?;
    if matches!(root.value, node::Value::Nothing) {
        return Err(at(Problem::new(
            "",
            "the file is empty (or all comments); it needs at least `misp:` with `url:` and `token:`",
        )));
    }
    let config = decode::decode(root).map_err(|problem| say(&[problem], Some((path, text))))?;
    finish(config, Some((path, text)), sources)
}

/// The configuration that a text says, unchecked.
fn read(text: &str) -> Result<Config> {
    node::read(text).and_then(decode::decode).map_err(|problem| say(&[problem], None))
}

/// Merges the environment in, checks, and finds the token.
fn finish(mut config: Config, file: Option<(&Path, &str)>, sources: &Sources) -> Result<Loaded> {
    let mut warnings = Vec::new();
    let url = sources.variable(URL_VARIABLE);
    if let Some(url) = url {
        config.misp.url = url.to_owned();
    }
    let mut problems = check::check(&mut config);
    if url.is_some() {
        for problem in problems.iter_mut().filter(|problem| problem.path == "misp.url") {
            *problem = Problem::new("", std::mem::take(&mut problem.message)).elsewhere(URL_VARIABLE);
        }
    }
    if let Some((path, _)) = file.filter(|_| config.misp.token.is_some()) {
        warnings.extend(token::readable_by_all(path, "misp.token"));
    }
    match token::resolve(&config.misp, &sources.env) {
        Ok(Some(Token { key, warning })) => {
            config.misp.token = Some(key);
            warnings.extend(warning);
        }
        Ok(None) => problems.push(Problem::new("misp.token", no_token())),
        Err(problem) => problems.push(problem),
    }
    if !problems.is_empty() {
        return Err(say(&problems, file));
    }
    Ok(Loaded { config, path: file.map(|(path, _)| path.to_owned()), warnings })
}

fn no_token() -> String {
    let [first, second] = token::VARIABLES;
    format!("MISP's automation key is missing; write it here or under token_file, or set {first} or {second}")
}

/// The problems as one error, each on a line with its place in the file.
fn say(problems: &[Problem], file: Option<(&Path, &str)>) -> Error {
    let line = |problem: &Problem| {
        let place = problem.place.or_else(|| file.and_then(|(_, text)| node::place_of(text, &problem.path)));
        problem.text_at(file.map(|(path, _)| path), place)
    };
    Error::new(Kind::Config, problems.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// The file that is named, else the first that exists.
fn find(sources: &Sources, places: &[PathBuf]) -> Result<Option<(PathBuf, Vec<u8>)>> {
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

fn nothing_found(places: &[PathBuf]) -> Error {
    let places: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
    Error::new(
        Kind::Config,
        format!(
            "no configuration: looked for {}; write one, name one with --config or {FILE_VARIABLE}, or set {URL_VARIABLE} and {}",
            places.join(" and "),
            token::VARIABLES[0],
        ),
    )
}
