//! Whether the values of the section `memcached` make sense, each alone and
//! together. Pure: no file, no server.

use super::check::{at_least_a_second, both_or_none, not_empty};
use super::problem::{Problem, quoted};
use super::{Memcached, Tls};
use crate::cache::address::{self, Address, DEFAULT_PORT};
use rustls::pki_types::ServerName;
use std::collections::HashSet;
use std::net::Ipv6Addr;

/// A prefix is part of every key, and memcached's keys end at 250 bytes.
const MAX_PREFIX: usize = 64;
/// memcached's lines of users have 256 bytes; this leaves room for a password.
const MAX_USER: usize = 128;
/// The longest name that DNS has.
const MAX_HOST: usize = 253;

/// Everything that is wrong in the section.
pub(super) fn check(memcached: &Memcached, problems: &mut Vec<Problem>) {
    let default = Memcached::default();
    if let Err(why) = host(&memcached.host) {
        problems.push(Problem::found("memcached.host", why));
    }
    if memcached.port == 0 {
        problems.push(Problem::found("memcached.port", 0));
    }
    for (i, field) in memcached.context.iter().enumerate() {
        if memcached.context[..i].contains(field) {
            problems.push(Problem::found(&format!("memcached.context[{i}]"), format!("{} twice", field.name())));
        }
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
    let (cert, key) = (tls.cert_file.is_some(), tls.key_file.is_some());
    both_or_none(problems, "memcached.tls", [("cert_file", cert), ("key_file", key)]);
    if let Some(name) = tls.server_name.as_deref().filter(|name| ServerName::try_from(*name).is_err()) {
        problems.push(Problem::found("memcached.tls.server_name", quoted(name)));
    }
}

fn login(memcached: &Memcached, problems: &mut Vec<Problem>) {
    not_empty(problems, [("memcached.password_file", memcached.password_file.as_deref())]);
    let (user, password) = (memcached.username.is_some(), memcached.password_file.is_some());
    both_or_none(problems, "memcached", [("username", user), ("password_file", password)]);
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
}
