//! `check`: everything that a pass needs, tried without changing anything.

use super::wazuh::try_queue;
use super::{json_line, print, state_directory};
use crate::cache::dialer::Dialer;
use crate::cache::fleet::addresses;
use crate::cache::server::Server;
use crate::config::{Config, Loaded};
use crate::error::{Error, Kind, Result};
use crate::metrics;
use crate::misp::client::{Client, Failure};
use crate::pass::cdb_files;
use crate::{atomic_file, falco, ledger, state};
use serde::Serialize;
use std::io::Read;
use std::path::Path;

/// An answer of `getVersion` or `users/view/me` is small; more is not read.
const MAX_ANSWER: u64 = 1024 * 1024;

/// One thing that was tried.
#[derive(Debug, Serialize)]
struct Tried {
    what: String,
    ok: bool,
    found: String,
    #[serde(skip)]
    kind: Option<Kind>,
}

pub(super) fn run(loaded: &Loaded, json: bool) -> Result<u8> {
    let config = &loaded.config;
    let place = loaded.path.as_ref().map_or("the environment".to_owned(), |p| p.display().to_string());
    let mut tried = vec![tried("configuration", Ok(format!("read from {place}")))];
    tried.push(self::tried(&format!("MISP {}", config.misp.url), misp(config)));
    let dialer = Dialer::new(&config.memcached);
    for address in addresses(&config.memcached)? {
        let opened = dialer.as_ref().map_err(Error::clone).and_then(|dialer| Server::open(&address, dialer));
        let answer = opened.and_then(|s| memcached(s, config));
        tried.push(self::tried(&format!("memcached {address}"), answer));
    }
    tried.push(self::tried("state directory", state(config)));
    if config.falco.enabled {
        let path = config.falco.directory.join(&config.falco.file);
        let probed = falco::probe(&config.falco).map(|()| format!("{} can be written", path.display()));
        tried.push(self::tried("Falco's files", probed));
    }
    if let Some(directory) = &config.wazuh.cdb_directory {
        let probed = cdb_files::probe(config).map(|()| format!("{} can be written", directory.display()));
        tried.push(self::tried("Wazuh's CDB lists", probed));
    }
    if let Some(queue) = try_queue(&config.wazuh) {
        tried.push(self::tried("Wazuh's queue", queue));
    }
    if let Some(file) = &config.metrics.file {
        let probed = metrics::probe(config).map(|()| format!("{} can be written", file.display()));
        tried.push(self::tried("metrics", probed));
    }
    if json {
        print(&json_line(&serde_json::json!({ "ok": tried.iter().all(|t| t.ok), "tried": tried }))?)?;
    } else {
        let lines: String =
            tried.iter().map(|t| format!("{:4} {}: {}\n", if t.ok { "ok" } else { "FAIL" }, t.what, t.found)).collect();
        print(lines.as_bytes())?;
    }
    Ok(tried.iter().find_map(|t| t.kind).map_or(0, Kind::exit_code))
}

fn tried(what: &str, result: Result<String>) -> Tried {
    let what = what.to_owned();
    match result {
        Ok(found) => Tried { what, ok: true, found, kind: None },
        Err(e) => Tried { what, ok: false, found: e.to_string(), kind: Some(e.kind()) },
    }
}

fn misp(config: &Config) -> Result<String> {
    let client = Client::new(&config.misp)?;
    let version = get(&client, "/servers/getVersion")?;
    let me = get(&client, "/users/view/me")?;
    let text = |v: &serde_json::Value| client.quote(v.as_str().unwrap_or("?"));
    let mut found = format!(
        "version {}, user {}, role {}",
        text(&version["version"]),
        text(&me["User"]["email"]),
        text(&me["Role"]["name"])
    );
    if me["Role"]["perm_site_admin"] == true || me["Role"]["perm_modify"] == true {
        found.push_str(" (it can write; a read-only user is enough for loading)");
    }
    Ok(found)
}

fn get(client: &Client, path: &str) -> Result<serde_json::Value> {
    let response = client.get(path).map_err(Failure::into_error)?;
    let mut body = Vec::new();
    let read = response.take(MAX_ANSWER).read_to_end(&mut body);
    let untrusted = |why: String| Error::new(Kind::Untrusted, format!("{}{path}: {why}", client.url()));
    read.map_err(|e| untrusted(e.to_string()))?;
    serde_json::from_slice(&body).map_err(|_| untrusted("it does not answer JSON: is this MISP's address?".into()))
}

fn memcached(mut server: Server, config: &Config) -> Result<String> {
    let stats = server.stats("")?;
    let settings = server.stats("settings")?;
    let value =
        |map: &std::collections::BTreeMap<String, String>, name: &str| map.get(name).cloned().unwrap_or("?".into());
    let size = |text: String| text.parse().map_or(text, crate::report::bytes);
    let keys = server.count_keys(&config.memcached.prefix)?.values().sum::<u64>();
    Ok(format!(
        "version {}, {} of {} used (-m), items up to {} (-I), {} evicted, {keys} of our keys",
        value(&stats, "version"),
        size(value(&stats, "bytes")),
        size(value(&stats, "limit_maxbytes")),
        size(value(&settings, "item_size_max")),
        value(&stats, "evictions"),
    ))
}

fn state(config: &Config) -> Result<String> {
    let directory = state_directory(config)?;
    let shown = directory.display();
    // What does not exist yet is made by the first pass, in the nearest directory that does.
    let existing = directory.ancestors().find(|d| d.is_dir()).unwrap_or(Path::new("/"));
    atomic_file::probe(&existing.join(ledger::FILE_NAME)).map_err(|e| e.context("state.directory"))?;
    if existing == directory {
        state::usable(&directory)?;
    }
    Ok(if existing == directory { format!("{shown} can be written") } else { format!("{shown} will be made") })
}
