//! Whether the values make sense, each alone and together. Pure: no file, no
//! clock, no server; only the URL is tidied (its trailing slash goes).

use super::problem::{Problem, quoted};
use super::{Config, Falco, FilterClause, Memcached, Misp, Span, Tls, nearest::nearest};
use crate::cache::address::{self, Address, DEFAULT_PORT};
use crate::indicator::{Category, MispType};
use reqwest::Url;
use rustls::pki_types::ServerName;
use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::path::Path;

/// A prefix is part of every key, and memcached's keys end at 250 bytes.
const MAX_PREFIX: usize = 64;
/// MISP builds each answer in memory; more at once slows all of them.
const CONNECTIONS: RangeInclusive<usize> = 1..=16;
/// Smaller pages cost a request each, larger ones more memory than PHP has.
const PAGE_SIZE: RangeInclusive<usize> = 100..=1_000_000;
/// memcached's lines of users have 256 bytes; this leaves room for a password.
const MAX_USER: usize = 128;
/// The longest name that DNS has.
const MAX_HOST: usize = 253;

/// Everything that is wrong, in the order of the file's sections.
pub(super) fn check(config: &mut Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    memcached(&config.memcached, &mut problems);
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
    not_empty(&mut problems, [("state.directory", config.state.directory.as_deref())]);
    problems
}

fn memcached(memcached: &Memcached, problems: &mut Vec<Problem>) {
    let default = Memcached::default();
    if let Err(why) = host(&memcached.host) {
        problems.push(Problem::found("memcached.host", why));
    }
    if memcached.port == 0 {
        problems.push(Problem::found("memcached.port", 0));
    }
    if !memcached.servers.is_empty() && memcached.host != default.host {
        let found =
            format!("{} beside `servers`; write it there as well, or take one of the two out", quoted(&memcached.host));
        problems.push(Problem::new("memcached.host", format!("found {found}")));
    }
    let mut seen = HashSet::new();
    for (index, entry) in memcached.servers.iter().enumerate() {
        let path = format!("memcached.servers[{index}]");
        for server in address::parts(entry) {
            if let Err(why) = self::server(server) {
                problems.push(Problem::found(&path, why));
            } else if Address::parse(server, memcached.port).is_ok_and(|a| !seen.insert(a.to_string())) {
                problems.push(Problem::new(
                    &path,
                    format!("found {} a second time; each server is allowed once", quoted(server)),
                ));
            }
        }
    }
    let prefix = &memcached.prefix;
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if prefix.is_empty() || prefix.len() > MAX_PREFIX || !prefix.bytes().all(letter) {
        problems.push(Problem::found("memcached.prefix", quoted(prefix)));
    }
    at_least_a_second(problems, "memcached.timeout", memcached.timeout);
    if let Some(tls) = &memcached.tls {
        self::tls(memcached, tls, problems);
    }
    login(memcached, problems);
}

fn tls(memcached: &Memcached, tls: &Tls, problems: &mut Vec<Problem>) {
    let is_socket = |text: &&String| text.starts_with('/') || text.starts_with("unix:");
    let places = if memcached.servers.is_empty() { std::slice::from_ref(&memcached.host) } else { &memcached.servers };
    if let Some(socket) = places.iter().find(is_socket) {
        let text = format!(
            "stands beside the unix socket {}, over which memcached speaks no TLS; take `tls` out, or name the server by host and port",
            quoted(socket)
        );
        problems.push(Problem::new("memcached.tls", text));
    }
    not_empty(
        problems,
        [
            ("memcached.tls.ca_file", tls.ca_file.as_deref()),
            ("memcached.tls.cert_file", tls.cert_file.as_deref()),
            ("memcached.tls.key_file", tls.key_file.as_deref()),
        ],
    );
    match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) => {
            problems.push(Problem::new("memcached.tls.cert_file", "stands without key_file; both are needed"));
        }
        (None, Some(_)) => {
            problems.push(Problem::new("memcached.tls.key_file", "stands without cert_file; both are needed"));
        }
        _ => {}
    }
    if let Some(name) = tls.server_name.as_deref().filter(|name| ServerName::try_from(*name).is_err()) {
        problems.push(Problem::found("memcached.tls.server_name", quoted(name)));
    }
}

fn login(memcached: &Memcached, problems: &mut Vec<Problem>) {
    not_empty(problems, [("memcached.password_file", memcached.password_file.as_deref())]);
    match (&memcached.username, &memcached.password_file) {
        (Some(_), None) => {
            problems.push(Problem::new("memcached.username", "stands without password_file; both are needed"));
        }
        (None, Some(_)) => {
            problems.push(Problem::new("memcached.password_file", "stands without username; both are needed"));
        }
        _ => {}
    }
    // memcached's file has lines `USER:PASSWORD`, and a blank ends the user on the wire.
    let taken = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if memcached.username.as_deref().is_some_and(|name| !taken(name) || name.len() > MAX_USER) {
        problems
            .push(Problem::found("memcached.username", "something else (it is not shown, it may hold the password)"));
    }
}

/// What is wrong with the host of the one server.
fn host(text: &str) -> Result<(), String> {
    if text.starts_with('/') || text.starts_with("unix:") || text.parse::<Ipv6Addr>().is_ok() {
        return server(text);
    }
    if text.contains(':') {
        return Err(format!("{}; the port stands under `port`", quoted(text)));
    }
    server(text)
}

/// What is wrong with an entry of `servers`.
fn server(text: &str) -> Result<(), String> {
    let bad = |why: &str| Err(format!("{}{why}", quoted(text)));
    if let Some(path) = text.strip_prefix("unix:").or(text.starts_with('/').then_some(text)) {
        return match path {
            _ if !path.starts_with('/') => bad(", not an absolute path"),
            _ if path.chars().any(char::is_control) => bad(", a control character"),
            _ if Address::parse(text, DEFAULT_PORT).is_err() => bad(", no weight after the colon"),
            _ => Ok(()),
        };
    }
    let text = text.strip_prefix("memcached://").unwrap_or(text);
    let (host, tail) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, tail)) => {
            if address.parse::<Ipv6Addr>().is_err() {
                return bad(", no IPv6 address between the brackets");
            }
            match tail.strip_prefix(':') {
                Some(tail) => ("v6", Some(tail)),
                None if tail.is_empty() => ("v6", None),
                None => return bad(""),
            }
        }
        None if text.parse::<Ipv6Addr>().is_ok() => ("v6", None),
        None => match text.split_once(':') {
            Some((host, tail)) => (host, Some(tail)),
            None => (text, None),
        },
    };
    let (port, weight) = tail.map_or((None, None), |tail| match tail.split_once(':') {
        Some((port, weight)) => (Some(port), Some(weight)),
        None => (Some(tail), None),
    });
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if port.is_some_and(|p| !(digits(p) && p.parse::<u16>().is_ok_and(|p| p != 0))) {
        return bad(", no port after the colon");
    }
    if weight.is_some_and(|w| !(digits(w) && w.parse::<u32>().is_ok_and(|w| w != 0))) {
        return bad(", no weight after the second colon");
    }
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if host.is_empty() || host.len() > MAX_HOST || !host.bytes().all(letter) { bad("") } else { Ok(()) }
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
    match (&misp.client_cert_file, &misp.client_key_file) {
        (Some(_), None) => {
            problems.push(Problem::new("misp.client_cert_file", "stands without client_key_file; both are needed"));
        }
        (None, Some(_)) => {
            problems.push(Problem::new("misp.client_key_file", "stands without client_cert_file; both are needed"));
        }
        _ => {}
    }
    if misp.proxy.as_deref().is_some_and(|proxy| !proxy.is_empty() && !is_proxy(proxy)) {
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
    texts(problems, "misp.categories", &misp.categories);
    if misp.max_shrink_percent > 100 {
        problems.push(Problem::found("misp.max_shrink_percent", misp.max_shrink_percent));
    }
    if misp.event_published_after == Some(super::Since::Ago(Span::zero())) {
        problems.push(Problem::found("misp.event_published_after", "0, which no event can be after"));
    }
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
            let near = nearest(name, MispType::all().map(MispType::name));
            let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
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

fn not_empty<const N: usize>(problems: &mut Vec<Problem>, paths: [(&str, Option<&Path>); N]) {
    for (key, _) in paths.into_iter().filter(|(_, path)| path.is_some_and(|p| p.as_os_str().is_empty())) {
        problems.push(Problem::found(key, "an empty text"));
    }
}

fn at_least_a_second(problems: &mut Vec<Problem>, key: &str, span: Span) {
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
    fn servers_that_are_taken() {
        for text in [
            "cache",
            "cache.example:11211",
            "10.0.0.5:1",
            "[::1]:65535",
            "[2001:db8::1]",
            "2001:db8::1",
            "/run/m.sock",
            "unix:/run/m.sock",
            "my_cache-1:11211",
            "cache:11211:3",
            "[::1]:11211:3",
            "/run/m.sock:3",
            "memcached://cache:11211",
        ] {
            assert_eq!(server(text), Ok(()), "{text}");
        }
        for text in [
            "",
            ":11211",
            "a:",
            "a:+1",
            "a:65536",
            "a b",
            "[::1",
            "[::1]x",
            "[::1]:",
            "unix:m.sock",
            "a/b",
            "::1::2",
            "/a\n",
            "/a:0",
            "a:1:0",
            "a:1:x",
            "a:1:2:3",
        ] {
            assert!(server(text).is_err(), "{text}");
        }
        for text in ["localhost", "::1", "/run/m.sock", "unix:/run/m.sock"] {
            assert_eq!(host(text), Ok(()), "{text}");
        }
        assert!(host("localhost:11211").is_err() && host("").is_err());
    }

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
