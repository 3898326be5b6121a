//! Where a memcached server is: the one place that reads such an address.
//!
//! Whatever Dalli (the client in Logstash) takes as a host is taken here too, so
//! that the list can be copied from a pipeline: on a ring the names decide.

use crate::error::{Error, Kind, Result};
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// memcached's own port.
pub const DEFAULT_PORT: u16 = 11211;

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Host name or address, and port.
    Tcp(String, u16),
    /// A unix socket.
    Unix(PathBuf),
}

/// A server of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// How it is reached.
    pub place: Place,
    /// Its share of a ring, beside those of the others.
    pub weight: u32,
}

/// The addresses of a list: Dalli takes several in one text too, between commas.
///
/// # Errors
/// As [`Address::parse`].
pub fn parse_list(texts: &[String], default_port: u16) -> Result<Vec<Address>> {
    texts.iter().flat_map(|text| parts(text)).map(|text| Address::parse(text, default_port)).collect()
}

/// The addresses in one entry of a list.
pub fn parts(entry: &str) -> impl Iterator<Item = &str> {
    // A path is taken as it is.
    let one = entry.starts_with('/') || entry.starts_with("unix:");
    entry.split(move |c| c == ',' && !one)
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]:port`, `/path` or `unix:/path`, each but
    /// the first with `:weight` behind it if need be.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn parse(text: &str, default_port: u16) -> Result<Address> {
        let bad = || {
            Error::new(
                Kind::Config,
                format!(
                    "memcached server {text:?}: allowed are host, host:port, [ipv6]:port and /path/of.sock, the last three with :weight if need be"
                ),
            )
        };
        if let Some(path) = text.strip_prefix("unix:").or(text.starts_with('/').then_some(text)) {
            let (path, weight) = match path.rsplit_once(':') {
                Some((path, weight)) if is_number(weight) => (path, number(weight).ok_or_else(bad)?),
                _ => (path, 1),
            };
            let place = Place::Unix(path.into());
            return if path.starts_with('/') { Ok(Address { place, weight }) } else { Err(bad()) };
        }
        let text = text.strip_prefix("memcached://").unwrap_or(text);
        let (host, tail) = if let Some(rest) = text.strip_prefix('[') {
            rest.split_once(']').ok_or_else(bad)?
        } else if text.parse::<Ipv6Addr>().is_ok() {
            (text, "")
        } else {
            text.split_at(text.find(':').unwrap_or(text.len()))
        };
        let (mut port, mut weight) = (default_port, 1);
        if let Some(numbers) = tail.strip_prefix(':') {
            let (first, second) = numbers.split_once(':').map_or((numbers, None), |(p, w)| (p, Some(w)));
            port = number(first).and_then(|p| u16::try_from(p).ok()).ok_or_else(bad)?;
            if let Some(second) = second {
                weight = number(second).ok_or_else(bad)?;
            }
        } else if !tail.is_empty() {
            return Err(bad());
        }
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || matches!(c, '/' | ',')) {
            return Err(bad());
        }
        Ok(Address { place: Place::Tcp(host.to_owned(), port), weight })
    }

    /// The server's name on a ring, which is Dalli's: host and port without
    /// brackets, or the path of a socket.
    pub fn ring_name(&self) -> String {
        match &self.place {
            Place::Tcp(host, port) => format!("{host}:{port}"),
            Place::Unix(path) => path.display().to_string(),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A port or a weight: digits alone, and not zero.
fn number(text: &str) -> Option<u32> {
    is_number(text).then(|| text.parse().ok()).flatten().filter(|n| *n != 0)
}

/// Without the weight, which does not say where a server is.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Tcp(host, port) => write!(f, "{host}:{port}"),
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, shown, weight) in [
            ("cache", "cache:11211", 1),
            ("10.0.0.5:11222", "10.0.0.5:11222", 1),
            ("10.0.0.5:11222:3", "10.0.0.5:11222", 3),
            ("memcached://10.0.0.5:11222", "10.0.0.5:11222", 1),
            ("[::1]:11222", "[::1]:11222", 1),
            ("[::1]:11222:2", "[::1]:11222", 2),
            ("::1", "[::1]:11211", 1),
            ("/run/memcached/memcached.sock", "/run/memcached/memcached.sock", 1),
            ("/run/a:b.sock:12", "/run/a:b.sock", 12),
            ("unix:/run/m.sock", "/run/m.sock", 1),
        ] {
            let address = Address::parse(text, DEFAULT_PORT).unwrap();
            assert_eq!((address.to_string().as_str(), address.weight), (shown, weight), "{text}");
        }
        for bad in [
            "",
            "a:",
            "a:0",
            "a:+1",
            "a:99999",
            "a:1:0",
            "a:1:",
            "a:1:1:1",
            "a:1:4294967296",
            "[::1",
            "[::1]x",
            "::1:11222",
            "a b:1",
            "a,b",
            "unix:rel",
            "/a:0",
            "memcached://u:p@h:1",
        ] {
            assert!(Address::parse(bad, DEFAULT_PORT).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists() {
        let shown = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
            parse_list(&texts, 7).map(|list| list.iter().map(Address::to_string).collect::<Vec<_>>())
        };
        assert_eq!(shown(&["a,b:1", "/c,d"]).unwrap(), ["a:7", "b:1", "/c,d"]);
        assert!(shown(&["a,"]).is_err());
    }
}
