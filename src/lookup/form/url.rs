//! URLs: MISP keeps them as somebody typed them (case, default port, fragment and
//! all), so the usual spellings are asked for, and then the host.

use super::name::lower;
use super::{Forms, address, as_kept, name};
use crate::indicator::Namespace;
use std::fmt::Write;

/// A URL cut at its joints; put together again the parts are the text.
struct Parts<'a> {
    /// Empty where the URL was written without.
    scheme: &'a str,
    /// `user:password@`, or empty.
    user: &'a str,
    host: &'a str,
    /// `:8080`, or empty.
    port: &'a str,
    path: &'a str,
    /// With its `?`, or empty.
    query: &'a str,
    /// With its `#`, or empty.
    fragment: &'a str,
}

impl Forms<'_> {
    /// A URL with a scheme; false if it is none.
    pub(super) fn url(&mut self, plain: &str) -> bool {
        let Some((scheme, rest)) = plain.split_once("://") else { return false };
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(letter) {
            return false;
        }
        self.urls(plain, &Parts::new(scheme, rest));
        true
    }

    /// `www.example.com/path`, as proxies log it; false if it does not begin with a
    /// name or an address.
    pub(super) fn short_url(&mut self, plain: &str) -> bool {
        let parts = Parts::new("", plain);
        let tail = parts.path.len() + parts.query.len() + parts.fragment.len();
        if tail == 0 || name::host(parts.host).is_none() && address::parse(parts.host).is_none() {
            return false;
        }
        self.urls(plain, &parts);
        true
    }

    /// A URL without scheme and host, as some proxies log it: MISP's `uri`.
    pub(super) fn path_alone(&mut self, plain: &str) {
        self.paths(&Parts::new("", plain));
    }

    fn urls(&mut self, plain: &str, parts: &Parts<'_>) {
        let scheme = lower(parts.scheme);
        let authority = parts.authority(&scheme, &lower(parts.host));
        let tail = [parts.path, parts.query].concat();
        // The same resource with and without the slash at its end.
        let slash = if !parts.query.is_empty() {
            None
        } else {
            Some(tail.strip_suffix('/').map_or_else(|| format!("{tail}/"), str::to_owned))
        };
        let mut tails: Vec<String> = std::iter::once(tail).chain(slash).collect();
        let others: Vec<String> = tails.iter().flat_map(|tail| in_other_codes(tail)).collect();
        tails.extend(others);
        let schemes: &[&str] = if scheme.is_empty() { &["", "http", "https"] } else { &[&scheme, ""] };

        self.push(Namespace::Url, plain);
        self.push(Namespace::Url, &whole(schemes[0], &authority, &tails[0], parts.fragment));
        self.push(Namespace::Url, &plain[..plain.len() - parts.fragment.len()]);
        let mut authorities = vec![authority];
        authorities.extend(name::in_other_letters(parts.host).map(|host| parts.authority(&scheme, &host)));
        // What a browser sends has both its name and its path in other letters than a
        // person types, and the user elsewhere; so each with each.
        for scheme in schemes {
            for authority in &authorities {
                let bare = authority.strip_prefix(parts.user).filter(|bare| bare.len() < authority.len());
                for authority in std::iter::once(authority.as_str()).chain(bare) {
                    for tail in &tails {
                        self.push(Namespace::Url, &whole(scheme, authority, tail, ""));
                    }
                }
            }
        }
        if parts.path.len() > 1 {
            self.paths(parts);
        }
        let _ = self.host(parts.host) || self.name(parts.host);
    }

    /// MISP's `uri` is the path, with its query or without.
    fn paths(&mut self, parts: &Parts<'_>) {
        for path in [[parts.path, parts.query].concat(), parts.path.to_owned()] {
            self.push(Namespace::Url, &path);
            for other in in_other_codes(&path) {
                self.push(Namespace::Url, &other);
            }
        }
    }
}

impl<'a> Parts<'a> {
    fn new(scheme: &'a str, rest: &'a str) -> Parts<'a> {
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        let (tail, fragment) = tail.split_at(tail.find('#').unwrap_or(tail.len()));
        let (path, query) = tail.split_at(tail.find('?').unwrap_or(tail.len()));
        let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        // The colon of a port stands behind the bracket of an IPv6 address.
        let after = host.rfind(']').unwrap_or(0);
        let (host, port) = host.split_at(host[after..].find(':').map_or(host.len(), |colon| after + colon));
        Parts { scheme, user, host, port, path, query, fragment }
    }

    /// The authority with this spelling of the host, without the dot at its end and
    /// without a port that the scheme implies.
    fn authority(&self, scheme: &str, host: &str) -> String {
        let implied = matches!((scheme, self.port), ("http", ":80") | ("https", ":443") | ("ftp", ":21") | (_, ":"));
        let port = if implied { "" } else { self.port };
        [self.user, host.strip_suffix('.').unwrap_or(host), port].concat()
    }
}

fn whole(scheme: &str, authority: &str, tail: &str, fragment: &str) -> String {
    let joint = if scheme.is_empty() { "" } else { "://" };
    [scheme, joint, authority, tail, fragment].concat()
}

/// The other ways of writing a path: as people do, and as browsers do.
fn in_other_codes(tail: &str) -> impl Iterator<Item = String> {
    [decoded(tail), encoded(tail)].into_iter().flatten()
}

/// As people write what browsers put into percent codes: blanks and letters beyond ASCII,
/// of which MISP keeps no higher ones than U+FFFF. The other codes are part of what a URL
/// means. `None`: there is nothing of it.
fn decoded(tail: &str) -> Option<String> {
    if !tail.contains('%') {
        return None;
    }
    let code = |at: usize| {
        let digits = tail.get(at..at + 3)?.strip_prefix('%')?;
        u8::from_str_radix(digits, 16).ok().filter(|byte| *byte == b' ' || !byte.is_ascii())
    };
    let mut out = String::new();
    let mut done = 0;
    while let Some(codes) = tail[done..].find('%').map(|at| done + at) {
        let bytes: Vec<u8> = (codes..).step_by(3).map_while(code).collect();
        // At least the `%`, whatever follows it.
        let end = codes + (3 * bytes.len()).max(1);
        out.push_str(&tail[done..codes]);
        match String::from_utf8(bytes) {
            Ok(letters) if !letters.is_empty() => out.push_str(&letters),
            _ => out.push_str(&tail[codes..end]),
        }
        done = end;
    }
    out.push_str(&tail[done..]);
    (out != tail).then(|| as_kept(&out).into_owned())
}

/// As browsers send it; `None`: that is what it is.
fn encoded(tail: &str) -> Option<String> {
    if tail.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut out = String::with_capacity(2 * tail.len());
    for byte in tail.bytes() {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Some(out)
}
