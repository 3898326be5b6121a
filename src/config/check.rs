//! Whether the values make sense, each alone and together. Pure: no file, no
//! clock, no server; only the URL is tidied (its trailing slash goes).

use super::problem::{Problem, quoted};
use super::{Config, Falco, FilterClause, Misp, Sighting, Span, Wazuh, live, memcached, nearest::nearest};
use crate::indicator::{ATTRIBUTE_CATEGORIES, Category, MispType};
use reqwest::Url;
use secrecy::ExposeSecret;
use std::ops::RangeInclusive;
use std::path::Path;

/// MISP builds each answer in memory; more at once slows all of them.
const CONNECTIONS: RangeInclusive<usize> = 1..=16;
/// Smaller pages cost a request each, larger ones more memory than PHP has.
const PAGE_SIZE: RangeInclusive<usize> = 100..=1_000_000;

/// MISP starts a PHP process for each request.
const SIGHTING_RATE: RangeInclusive<u32> = 1..=1000;
/// The spool is held in memory, in some three times its size.
const SPOOL_MIB: RangeInclusive<u64> = 1..=1024;

/// Everything that is wrong, in the order of the file's sections.
pub(super) fn check(config: &mut Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    memcached::check(&config.memcached, &mut problems);
    match misp_url(&config.misp.url) {
        Ok(url) => config.misp.url = url,
        Err(problem) => problems.push(problem),
    }
    misp(&config.misp, &mut problems);
    for (index, clause) in config.misp.filter.iter().enumerate() {
        filter_clause(config, &format!("misp.filter[{index}]"), clause, &mut problems);
    }
    if !Category::ALL.iter().any(|c| enabled(config, *c)) {
        problems.push(Problem::new(
            "hash.enabled",
            "hash, network, web and other are all off, so nothing would be loaded; set `enabled: true` in one of them",
        ));
    }
    falco(config, &mut problems);
    live::check(config, &mut problems);
    if let Some(file) = &config.metrics.file
        // node_exporter reads no other file.
        && file.extension().is_none_or(|e| e != "prom")
    {
        problems.push(Problem::found("metrics.file", quoted(&file.to_string_lossy())));
    }
    not_empty(&mut problems, [("state.directory", config.state.directory.as_deref())]);
    sighting(&config.sighting, &mut problems);
    wazuh(&config.wazuh, &mut problems);
    problems
}

/// The address of MISP without its trailing slash. No message shows one that may hold a password or a key.
fn misp_url(text: &str) -> Result<String, Problem> {
    let key = "misp.url";
    let found = |found: &str| Err(Problem::found(key, found));
    if text.trim().is_empty() {
        let mut problem = Problem::found(key, "nothing");
        problem.message.push_str("; or set MISP_URL");
        return Err(problem);
    }
    if text.contains('@') {
        return found("a user or password (`@`)");
    }
    if text.contains('?') {
        return found("a query (`?`)");
    }
    if text.contains('#') {
        return found("a fragment (`#`)");
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(url.as_str().trim_end_matches('/').to_owned())
        }
        _ => found(&quoted(text)),
    }
}

fn misp(misp: &Misp, problems: &mut Vec<Problem>) {
    not_empty(
        problems,
        [
            ("misp.token_file", misp.token_file.as_deref()),
            ("misp.ca_file", misp.ca_file.as_deref()),
            ("misp.client_cert_file", misp.client_cert_file.as_deref()),
            ("misp.client_key_file", misp.client_key_file.as_deref()),
        ],
    );
    let (cert, key) = (misp.client_cert_file.is_some(), misp.client_key_file.is_some());
    both_or_none(problems, "misp", [("client_cert_file", cert), ("client_key_file", key)]);
    let proxy = misp.proxy.as_ref().map(ExposeSecret::expose_secret);
    if proxy.is_some_and(|proxy| !proxy.is_empty() && !is_proxy(proxy)) {
        problems.push(Problem::found("misp.proxy", "something else (it is not shown, it may hold a password)"));
    }
    at_least_a_second(problems, "misp.timeout", misp.timeout);
    if !CONNECTIONS.contains(&misp.connections) {
        problems.push(Problem::found("misp.connections", misp.connections));
    }
    if !PAGE_SIZE.contains(&misp.page_size) {
        problems.push(Problem::found("misp.page_size", misp.page_size));
    }
    windows(misp, problems);
    categories(&misp.categories, problems);
    if misp.max_shrink_percent > 100 {
        problems.push(Problem::found("misp.max_shrink_percent", misp.max_shrink_percent));
    }
    if misp.event_published_after == Some(super::Since::Ago(Span::zero())) {
        problems.push(Problem::found("misp.event_published_after", "0, which no event can be after"));
    }
}

/// An unknown tag alone is answered with no rows (recordings, "Types"), and categories are asked
/// for in the same form: a slip of the pen would load nothing.
fn categories(list: &[String], problems: &mut Vec<Problem>) {
    for (index, name) in list.iter().enumerate().filter(|(_, name)| !ATTRIBUTE_CATEGORIES.contains(&name.as_str())) {
        let path = format!("misp.categories[{index}]");
        problems.push(Problem::found(&path, format!("{}{}", quoted(name), meant(name, ATTRIBUTE_CATEGORIES))));
    }
}

/// What to say behind a wrong word: which one it was probably meant to be.
fn meant<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, allowed).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
}

fn is_proxy(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "socks5") && url.has_host())
}

fn windows(misp: &Misp, problems: &mut Vec<Problem>) {
    let (initial, refresh) = (misp.initial_event_timestamp, misp.refresh_event_timestamp);
    let mut zero = false;
    for (key, span) in [("misp.initial_event_timestamp", initial), ("misp.refresh_event_timestamp", refresh)] {
        if span.is_zero() {
            problems.push(Problem::new(key, "found 0, with which nothing is asked for; allowed: a time longer than 0"));
            zero = true;
        }
    }
    if !zero && initial < refresh {
        // The place is that of the key that was written, not of the one that has its default.
        let (key, text) = if initial == Misp::default().initial_event_timestamp {
            (
                "misp.refresh_event_timestamp",
                format!("found {refresh}, longer than misp.initial_event_timestamp ({initial})"),
            )
        } else {
            (
                "misp.initial_event_timestamp",
                format!("found {initial}, shorter than misp.refresh_event_timestamp ({refresh})"),
            )
        };
        problems.push(Problem::new(
            key,
            format!("{text}; allowed: an initial window as long as the refresh window or longer"),
        ));
    }
}

fn filter_clause(config: &Config, path: &str, clause: &FilterClause, problems: &mut Vec<Problem>) {
    if clause.orgs.is_empty() && clause.tags.is_empty() && clause.types.is_empty() {
        problems.push(Problem::new(
            path,
            "found an empty clause, which everything would match; allowed: orgs, tags or types",
        ));
    }
    texts(problems, &format!("{path}.orgs"), &clause.orgs);
    texts(problems, &format!("{path}.tags"), &clause.tags);
    for (index, name) in clause.types.iter().enumerate() {
        let path = format!("{path}.types[{index}]");
        let Some(misp_type) = MispType::from_name(name) else {
            let hint = meant(name, MispType::all().map(MispType::name));
            problems.push(Problem::found(&path, format!("{}{hint}", quoted(name))));
            continue;
        };
        let category = misp_type.category();
        if !enabled(config, category) {
            let section = category.name();
            problems.push(Problem::new(
                path,
                format!(
                    "found {}, a type of the section `{section}`, which is off; set {section}.enabled to true or take the type out",
                    quoted(name)
                ),
            ));
        }
    }
}

/// MISP takes an empty text for "no filter", and `!`, `&&`, `||` for operators (recordings, "Types").
fn texts(problems: &mut Vec<Problem>, path: &str, list: &[String]) {
    for (index, text) in list.iter().enumerate() {
        let why = match text.as_str() {
            _ if text.trim().is_empty() => ", which MISP takes for no filter at all",
            _ if text.starts_with('!') => ", which MISP takes for NOT",
            _ if text.contains("||") || text.contains("&&") => ", which MISP takes for several",
            _ => continue,
        };
        problems.push(Problem::found(&format!("{path}[{index}]"), format!("{}{why}", quoted(text))));
    }
}

fn enabled(config: &Config, category: Category) -> bool {
    match category {
        Category::Hash => config.hash.enabled,
        Category::Network => config.network.enabled,
        Category::Web => config.web.enabled,
        Category::Other => config.other.enabled,
    }
}

fn falco(config: &Config, problems: &mut Vec<Problem>) {
    let Falco { directory, file, hash_list, domain_list, .. } = &config.falco;
    let stem = file.strip_suffix(".yaml").or(file.strip_suffix(".yml")).unwrap_or_default();
    if stem.is_empty() || file.contains('/') || file.chars().any(char::is_control) {
        problems.push(Problem::found("falco.file", quoted(file)));
    }
    not_empty(
        problems,
        [
            ("falco.directory", Some(directory.as_path())),
            ("falco.hash_list", hash_list.as_deref()),
            ("falco.domain_list", domain_list.as_deref()),
        ],
    );
    if config.falco.enabled && !config.network.enabled {
        problems.push(Problem::new(
            "falco.enabled",
            "found true, but the section `network`, whose addresses Falco's lists hold, is off; set network.enabled to true",
        ));
    }
}

fn sighting(sighting: &Sighting, problems: &mut Vec<Problem>) {
    if crate::sighting::source(&sighting.source).is_err() {
        problems.push(Problem::found("sighting.source", "a longer text, or one with control characters"));
    }
    if !SIGHTING_RATE.contains(&sighting.rate) {
        problems.push(Problem::found("sighting.rate", sighting.rate));
    }
    if !SPOOL_MIB.contains(&sighting.spool_mib) {
        problems.push(Problem::found("sighting.spool_mib", sighting.spool_mib));
    }
}

fn wazuh(wazuh: &Wazuh, problems: &mut Vec<Problem>) {
    not_empty(
        problems,
        [("wazuh.queue", wazuh.queue.as_deref()), ("wazuh.cdb_directory", wazuh.cdb_directory.as_deref())],
    );
    for (index, field) in wazuh.fields.iter().enumerate() {
        if field.split('.').any(|name| name.is_empty() || name.chars().any(char::is_whitespace)) {
            problems.push(Problem::found(&format!("wazuh.fields[{index}]"), quoted(field)));
        }
    }
    at_least_a_second(problems, "wazuh.timeout", wazuh.timeout);
    if wazuh.cdb_lists.is_empty() {
        let hint = "found an empty list; to have no lists written, take cdb_directory out";
        problems.push(Problem::new("wazuh.cdb_lists", hint));
    }
    for (index, list) in wazuh.cdb_lists.iter().enumerate() {
        if wazuh.cdb_lists[..index].contains(list) {
            problems.push(Problem::found(&format!("wazuh.cdb_lists[{index}]"), format!("{} twice", list.name())));
        }
    }
}

pub(super) fn not_empty<const N: usize>(problems: &mut Vec<Problem>, paths: [(&str, Option<&Path>); N]) {
    for (key, _) in paths.into_iter().filter(|(_, path)| path.is_some_and(|p| p.as_os_str().is_empty())) {
        problems.push(Problem::found(key, "an empty text"));
    }
}

/// Two keys of a section of which each means nothing without the other.
pub(super) fn both_or_none(problems: &mut Vec<Problem>, section: &str, keys: [(&str, bool); 2]) {
    let [(first, has_first), (second, has_second)] = keys;
    let (there, missing) = match (has_first, has_second) {
        (true, false) => (first, second),
        (false, true) => (second, first),
        _ => return,
    };
    let text = format!("stands without {missing}; both are needed");
    problems.push(Problem::new(format!("{section}.{there}"), text));
}

pub(super) fn at_least_a_second(problems: &mut Vec<Problem>, key: &str, span: Span) {
    if span.is_zero() {
        problems
            .push(Problem::new(key, "found 0, with which every request would fail; allowed: a second (`1s`) or more"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What is refused stands in tests/golden/config.

    #[test]
    fn addresses_of_misp_are_tidied() {
        for (text, tidy) in [
            ("https://misp.example", "https://misp.example"),
            ("https://misp.example//", "https://misp.example"),
            ("http://10.0.0.1:8443/misp/", "http://10.0.0.1:8443/misp"),
            ("HTTPS://Misp.Example:443/", "https://misp.example"),
            ("https://[::1]/", "https://[::1]"),
        ] {
            assert_eq!(misp_url(text).ok().as_deref(), Some(tidy), "{text}");
        }
        for text in [
            "",
            " ",
            "misp.example",
            "misp.example:443",
            "ftp://misp.example",
            "https://",
            "https://a#b",
            "https://a:99999",
        ] {
            assert!(misp_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn proxies() {
        for text in ["http://p:3128", "https://p", "socks5://user:word@p:1080"] {
            assert!(is_proxy(text), "{text}");
        }
        for text in ["p:3128", "ftp://p", "socks4://p", "http://"] {
            assert!(!is_proxy(text), "{text}");
        }
    }
}
