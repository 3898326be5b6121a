//! From file and environment to a checked [`Config`]: what the environment overrides,
//! and how a problem is put into words. Knows no key but MISP's address and the two secrets.

use super::problem::Problem;
use super::sources::{FILE_VARIABLE, PLACES, Sources, find};
use super::token::{self, Token};
use super::{Config, check, decode, exposed, node, password};
use crate::error::{Error, Kind, Result};
use std::path::{Path, PathBuf};

/// Overrides `misp.url`.
const URL_VARIABLE: &str = "MISP_URL";

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
            let token = token::resolve(&config.misp, &sources.env, None).map_err(|p| say(&[p], None))?;
            if !sources.without_misp && (sources.variable(URL_VARIABLE).is_none() || token.is_none()) {
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
    token::drop_blank(&mut config.misp);
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
    warnings.extend(exposed::warnings(&config, file.map(|(path, _)| path)));
    match token::resolve(&config.misp, &sources.env, file.map(|(path, _)| path)) {
        Ok(Some(Token { key, warning })) => {
            config.misp.token = Some(key);
            warnings.extend(warning);
        }
        Ok(None) => problems.push(Problem::new("misp.token", no_token(file.map(|(path, _)| path)))),
        Err(problem) => problems.push(problem),
    }
    match password::resolve(&config.memcached) {
        Ok(Some((password, warning))) => {
            config.memcached.password = Some(password);
            warnings.extend(warning);
        }
        Ok(None) => {}
        Err(problem) => problems.push(problem),
    }
    if sources.without_misp {
        problems.retain(|problem| {
            !(problem.path.is_empty() || ["misp.url", "misp.token"].contains(&problem.path.as_str()))
        });
    }
    if !problems.is_empty() {
        return Err(say(&problems, file));
    }
    Ok(Loaded { config, path: file.map(|(path, _)| path.to_owned()), warnings })
}

fn no_token(file: Option<&Path>) -> String {
    let [first, second] = token::VARIABLES;
    let beside = file.map(token::beside).unwrap_or_else(|| token::CREDENTIAL.into());
    let beside = beside.display();
    format!(
        "MISP's automation key is missing; write it here, or alone into the file {beside}, or set {first} or {second}"
    )
}

/// The problems as one error, each on a line with its place in the file.
fn say(problems: &[Problem], file: Option<(&Path, &str)>) -> Error {
    let line = |problem: &Problem| {
        let place = problem.place.or_else(|| file.and_then(|(_, text)| node::place_of(text, &problem.path)));
        problem.text_at(file.map(|(path, _)| path), place)
    };
    Error::new(Kind::Config, problems.iter().map(line).collect::<Vec<_>>().join("\n"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::PermissionsExt;

    /// The Python tool's file as its manual has it.
    const PYTHON: &str = "\
memcached:
  host: localhost
  port: 11211
misp:
  url: https://misp.local/
  token: 'abcdefghijklmnopqrstuvwxyz0123456789ABCD'
  ignore_cert_errors: yes
  initial_event_timestamp: 365d
  refresh_event_timestamp: 1h
hash:
  enabled: true
  expires: 0
network:
  enabled: true
  expires: 2592000
web:
  enabled: True
  expires: 0
";
    const PLAIN: &str = "misp: {url: \"https://a.example\", token: abc}\n";

    fn sources(env: &[(&str, &str)]) -> Sources {
        Sources { env: env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), ..Sources::default() }
    }

    fn loaded(yaml: &str, env: &[(&str, &str)]) -> Result<Loaded> {
        from_bytes(Path::new("x.yaml"), yaml.as_bytes(), &sources(env))
    }

    fn token(loaded: &Loaded) -> &str {
        loaded.config.misp.token.as_ref().unwrap().expose_secret()
    }

    fn file(directory: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn the_python_tools_file_loads_unchanged() {
        let loaded = loaded(PYTHON, &[]).unwrap();
        let config = &loaded.config;
        assert_eq!((config.memcached.host.as_str(), config.memcached.port), ("localhost", 11211));
        assert_eq!(config.misp.url, "https://misp.local");
        assert!(token(&loaded).starts_with("abcdef") && config.misp.ignore_cert_errors);
        assert_eq!(config.misp.initial_event_timestamp.to_string(), "365d");
        assert_eq!(config.misp.refresh_event_timestamp.to_string(), "1h");
        assert!(config.hash.enabled && config.network.enabled && config.web.enabled && !config.other.enabled);
        assert_eq!(config.network.expires.to_string(), "30d");
        assert!(!format!("{loaded:?}").contains("abcdef"), "Debug shows no key");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let both =
            [("MISP2MEMCACHED_MISP_TOKEN", " one\n"), ("MISP_KEY", "two"), ("MISP_URL", "http://b.example/misp/")];
        let all = loaded(PLAIN, &both).unwrap();
        assert_eq!((token(&all), all.config.misp.url.as_str()), ("one", "http://b.example/misp"));
        assert_eq!(token(&loaded(PLAIN, &both[1..]).unwrap()), "two");
        let empty = [("MISP2MEMCACHED_MISP_TOKEN", ""), ("MISP_KEY", " "), ("MISP_URL", "")];
        let file = loaded(PLAIN, &empty).unwrap();
        assert_eq!((token(&file), file.config.misp.url.as_str()), ("abc", "https://a.example"));
    }

    #[test]
    fn a_wrong_variable_is_named_and_no_line_of_the_file() {
        let error = loaded(PLAIN, &[("MISP_URL", "b.example")]).unwrap_err().to_string();
        assert!(error.starts_with("MISP_URL: found \"b.example\"; allowed: "), "{error}");
        let error = loaded(PLAIN, &[("MISP_KEY", "Bearer S3CRET")]).unwrap_err().to_string();
        assert!(error.starts_with("MISP_KEY: found a blank") && !error.contains("S3CRET"), "{error}");
    }

    /// The package's units make a credential of the file beside the configuration: by hand the
    /// same key is found without them.
    #[test]
    fn a_key_beside_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let configuration = directory.path().join("x.yaml");
        let load = |misp: &str, env: &[(&str, &str)]| {
            from_bytes(&configuration, format!("misp: {{{misp}}}").as_bytes(), &sources(env))
        };
        let bare = "url: 'https://a.example', token: ''";
        let beside = directory.path().join("misp-token").display().to_string();
        let missing = load(bare, &[]).unwrap_err().to_string();
        assert!(missing.contains(&format!("alone into the file {beside}, or set")), "{missing}");

        file(directory.path(), "misp-token", "S3CRET\n", 0o640);
        let found = load(bare, &[]).unwrap();
        assert_eq!((token(&found), found.warnings.len()), ("S3CRET", 0));
        assert_eq!(token(&load("url: 'https://a.example', token: abc", &[]).unwrap()), "abc", "what is written counts");
        let credentials = tempfile::tempdir().unwrap();
        let env = [("CREDENTIALS_DIRECTORY", credentials.path().to_str().unwrap())];
        assert_eq!(token(&load(bare, &env).unwrap()), "S3CRET", "no credential");
        file(credentials.path(), "misp-token", "\n", 0o400);
        assert_eq!(token(&load(bare, &env).unwrap()), "S3CRET", "a blank one");
        file(credentials.path(), "misp-token", "another", 0o400);
        assert_eq!(token(&load(bare, &env).unwrap()), "another", "the service's own");

        file(directory.path(), "misp-token", "S3CRET S3CRET", 0o644);
        let broken = load(bare, &[]).unwrap_err().to_string();
        assert!(broken.contains("a blank, or a character") && broken.contains(&beside), "{broken}");
        assert!(!broken.contains("S3CRET"), "{broken}");
        file(directory.path(), "misp-token", "S3CRET", 0o644);
        let warnings = load(bare, &[]).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].starts_with("misp-token: everybody"), "{warnings:?}");
    }

    #[test]
    fn token_file_and_credentials() {
        let directory = tempfile::tempdir().unwrap();
        let path = file(directory.path(), "key", "abc\n", 0o640);
        let yaml = format!("misp: {{url: 'https://a.example', token_file: {}}}", path.display());
        let credentials = [("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap())];
        let bare = "misp: {url: 'https://a.example'}";

        let from_file = loaded(&yaml, &credentials).unwrap();
        assert_eq!((token(&from_file), from_file.warnings.len()), ("abc", 0));
        file(directory.path(), "key", "abc\n", 0o644);
        let warnings = loaded(&yaml, &[]).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].starts_with("misp.token_file: everybody"), "{warnings:?}");

        let missing = loaded(bare, &credentials).unwrap_err().to_string();
        assert!(missing.contains("misp.token: MISP's automation key is missing"), "{missing}");
        file(directory.path(), "misp-token", "from-systemd", 0o400);
        assert_eq!(token(&loaded(bare, &credentials).unwrap()), "from-systemd");
        let blank = "misp: {url: 'https://a.example', token: ''}";
        assert_eq!(token(&loaded(blank, &credentials).unwrap()), "from-systemd", "nothing was written");
        file(directory.path(), "misp-token", "\n", 0o600);
        let missing = loaded(blank, &credentials).unwrap_err().to_string();
        assert!(missing.contains("misp.token: MISP's automation key is missing"), "{missing}");
        assert_eq!(token(&loaded(&yaml, &credentials).unwrap()), "abc", "the file's own comes first");

        for (text, why) in
            [("", "an empty text"), ("S3CRET S3CRET", "a blank"), (&"S3CRET".repeat(1000), "larger than")]
        {
            file(directory.path(), "key", text, 0o600);
            let error = loaded(&yaml, &[]).unwrap_err().to_string();
            assert!(error.contains("misp.token_file: ") && error.contains(why) && !error.contains("S3CRET"), "{error}");
        }
    }

    #[test]
    fn a_file_with_the_token_that_everybody_may_read_is_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        for (mode, env, warnings) in [(0o644, &[][..], 1), (0o600, &[], 0), (0o644, &[("MISP_KEY", "k")], 1)] {
            let path = file(directory.path(), "c.yaml", PLAIN, mode);
            let loaded = load(&Sources { file: Some(path.clone()), ..sources(env) }).unwrap();
            assert_eq!(loaded.warnings.len(), warnings, "{mode:o} {:?}", loaded.warnings);
            assert_eq!(loaded.path, Some(path));
        }
    }

    #[test]
    fn without_a_file_the_environment_must_say_enough() {
        let none = [PathBuf::from("/nonexistent/a.yaml"), PathBuf::from("/nonexistent/b.yaml")];
        let enough = [("MISP_URL", "https://a.example"), ("MISP_KEY", "k")];
        let loaded = load_from(&sources(&enough), &none).unwrap();
        assert_eq!((token(&loaded), loaded.path.as_deref()), ("k", None));
        for env in [&enough[..1], &enough[1..], &[]] {
            let error = load_from(&sources(env), &none).unwrap_err().to_string();
            assert!(error.contains("looked for /nonexistent/a.yaml and /nonexistent/b.yaml; "), "{error}");
            assert!(error.contains("--config") && error.contains("MISP_URL"), "{error}");
        }
        let error = load_from(&sources(&[enough[1], ("MISP_URL", "a.example")]), &none).unwrap_err().to_string();
        assert!(error.starts_with("MISP_URL: found"), "{error}");
    }

    #[test]
    fn kindnesses() {
        let yaml = format!("{PLAIN}hash:\nother: {{expires: 30d}}\nweb: {{enabled: Off}}\n");
        let config = loaded(&yaml, &[]).unwrap().config;
        assert!(config.hash.enabled && !config.other.enabled && !config.web.enabled);
        let yaml = "misp: {url: 'https://a.example', token: a, filter: [{orgs: [1, CIRCL]}]}";
        assert_eq!(loaded(yaml, &[]).unwrap().config.misp.filter[0].orgs, ["1", "CIRCL"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(misp|token|url|hash|[-:#{}\\[\\],!&*\"'\n 0-9a-c\t]){0,40}") {
            let _ = loaded(&text, &[]);
        }

        /// Wherever the key is put by mistake, no message shows it.
        #[test]
        fn no_message_shows_the_key(
            before in "(misp: ?|token: ?|url: ?|- |\\[|\\{|!|&a |\n| |\n  ){0,8}",
            after in "(:|: x|\\]|\\}|,|\n| y){0,4}",
        ) {
            let key = "Zy9Xw8Vu7Ts6Rq5Po4Nm3Lk2Ji1Hg0Fe9Dc8Ba7Z";
            if let Err(error) = loaded(&format!("{before}{key}{after}"), &[]) {
                proptest::prop_assert!(!error.to_string().contains(key), "{error}");
            }
        }
    }
}
