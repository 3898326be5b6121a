//! Where a memcached server is: the one place that reads such an address.

use crate::error::{Error, Kind, Result};
use std::fmt;
use std::path::PathBuf;

/// memcached's own port.
pub const DEFAULT_PORT: u16 = 11211;

/// A server, as it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Host name or address, and port.
    Tcp(String, u16),
    /// A unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]:port`, `/path` or `unix:/path`.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn parse(text: &str, default_port: u16) -> Result<Address> {
        let bad = || {
            Error::new(
                Kind::Config,
                format!("memcached server {text:?}: allowed are host, host:port, [ipv6]:port and /path/of.sock"),
            )
        };
        if let Some(path) = text.strip_prefix("unix:").or(text.starts_with('/').then_some(text)) {
            return if path.starts_with('/') { Ok(Address::Unix(path.into())) } else { Err(bad()) };
        }
        let port = |p: &str| p.parse::<u16>().ok().filter(|p| *p != 0).ok_or_else(bad);
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, tail) = rest.split_once(']').ok_or_else(bad)?;
            match tail.strip_prefix(':') {
                Some(p) => (host, port(p)?),
                None if tail.is_empty() => (host, default_port),
                None => return Err(bad()),
            }
        } else {
            match text.split_once(':') {
                // More than one colon without brackets: an IPv6 address alone.
                Some((_, rest)) if rest.contains(':') => (text, default_port),
                Some((host, p)) => (host, port(p)?),
                None => (text, default_port),
            }
        };
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c == '/') {
            return Err(bad());
        }
        Ok(Address::Tcp(host.to_owned(), port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, shown) in [
            ("cache", "cache:11211"),
            ("10.0.0.5:11222", "10.0.0.5:11222"),
            ("[::1]:11222", "[::1]:11222"),
            ("::1", "[::1]:11211"),
            ("/run/memcached/memcached.sock", "/run/memcached/memcached.sock"),
            ("unix:/run/m.sock", "/run/m.sock"),
        ] {
            assert_eq!(Address::parse(text, DEFAULT_PORT).unwrap().to_string(), shown);
        }
        for bad in ["", "a:", "a:0", "a:99999", "[::1", "[::1]x", "a b:1", "unix:rel"] {
            assert!(Address::parse(bad, DEFAULT_PORT).is_err(), "{bad}");
        }
    }
}
