//! Keys: `PREFIX-NAMESPACE:VALUE`, and the short form of those that are too long.

use crate::indicator::Namespace;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// memcached's limit on a key as it stands on the wire (`KEY_MAX_LENGTH`). For a
/// key in base64 it counts the base64 text, so 186 raw bytes fit.
pub const MAX_WIRE_KEY: usize = 250;

/// Longest prefix: it leaves room for the longest namespace and a SHA-256.
pub const MAX_PREFIX: usize = 64;

/// What the short form of a value begins with.
const SHORT: &str = "sha256:";

/// Digits of a SHA-256.
const SHORT_DIGITS: usize = 64;

/// Builds the keys of one prefix.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys that begin with `prefix`, which the configuration has checked.
    pub fn new(prefix: &str) -> Keys {
        Keys { prefix: prefix.to_owned() }
    }

    /// What every key begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of an indicator. A key that would be over [`MAX_WIRE_KEY`] on the
    /// wire holds the SHA-256 of the value instead: `PREFIX-NAMESPACE:sha256:HEX`. So does
    /// that of a value which looks so itself: no two values share a key.
    pub fn indicator(&self, namespace: Namespace, value: &str) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + namespace.name().len() + value.len() + 2);
        self.indicator_into(namespace, value, &mut key);
        key
    }

    /// The same, appended to `key`.
    pub fn indicator_into(&self, namespace: Namespace, value: &str, key: &mut Vec<u8>) {
        let start = key.len();
        key.extend_from_slice(self.prefix.as_bytes());
        key.push(b'-');
        key.extend_from_slice(namespace.name().as_bytes());
        key.push(b':');
        let stem = key.len();
        key.extend_from_slice(value.as_bytes());
        if wire_len(&key[start..]) > MAX_WIRE_KEY || is_short_form(value) {
            key.truncate(stem);
            let mut hex = String::with_capacity(SHORT.len() + SHORT_DIGITS);
            hex.push_str(SHORT);
            for byte in Sha256::digest(value.as_bytes()) {
                let _ = write!(hex, "{byte:02x}");
            }
            key.extend_from_slice(hex.as_bytes());
        }
    }

    /// `PREFIX-stats`: the number of indicator keys, written last.
    pub fn stats(&self) -> Vec<u8> {
        format!("{}-stats", self.prefix).into_bytes()
    }

    /// `PREFIX-last-load`: Unix seconds of the last complete pass.
    pub fn last_load(&self) -> Vec<u8> {
        format!("{}-last-load", self.prefix).into_bytes()
    }

    /// `PREFIX-networks`: the prefix lengths in use.
    pub fn networks(&self) -> Vec<u8> {
        format!("{}-networks", self.prefix).into_bytes()
    }

    /// `PREFIX-namespaces`: those that have keys; absent while the first ones are added.
    pub fn namespaces(&self) -> Vec<u8> {
        format!("{}-namespaces", self.prefix).into_bytes()
    }

    /// The namespace and the value part of one of our indicator keys.
    pub fn parse<'a>(&self, key: &'a [u8]) -> Option<(Namespace, &'a [u8])> {
        let rest = key.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"-")?;
        let colon = rest.iter().position(|b| *b == b':')?;
        let namespace = Namespace::from_name(std::str::from_utf8(&rest[..colon]).ok()?)?;
        Some((namespace, &rest[colon + 1..]))
    }
}

/// Whether a value could be taken for the short form of another one.
fn is_short_form(value: &str) -> bool {
    let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    value.strip_prefix(SHORT).is_some_and(|hex| hex.len() == SHORT_DIGITS && hex.bytes().all(is_digit))
}

/// Whether a key goes to memcached in base64: it holds a blank or a control byte,
/// which would end it or break the command.
pub fn needs_base64(key: &[u8]) -> bool {
    // Without an early end the compiler looks at many bytes at once: 20 times faster
    // for the keys of a load (callgrind).
    key.iter().fold(false, |found, b| found | (*b <= 0x20) | (*b == 0x7f))
}

/// The length of a key on the wire.
pub fn wire_len(key: &[u8]) -> usize {
    if needs_base64(key) { key.len().div_ceil(3) * 4 } else { key.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        let keys = Keys::new("misp");
        assert_eq!(keys.indicator(Namespace::Ip, "1.2.3.4"), b"misp-ip:1.2.3.4");
        assert_eq!(keys.indicator(Namespace::Sha512_256, "ab"), b"misp-sha512/256:ab");
        assert_eq!(keys.stats(), b"misp-stats");
        assert_eq!(keys.parse(b"misp-url:http://a:80/"), Some((Namespace::Url, &b"http://a:80/"[..])));
        assert_eq!(keys.parse(b"misp-stats"), None);
        assert_eq!(keys.parse(b"other-ip:1.2.3.4"), None);
    }

    #[test]
    fn the_last_length_that_fits() {
        let keys = Keys::new("misp");
        let room = MAX_WIRE_KEY - "misp-url:".len();
        let fits = "x".repeat(room);
        assert_eq!(keys.indicator(Namespace::Url, &fits).len(), MAX_WIRE_KEY);
        let long = "x".repeat(room + 1);
        let key = String::from_utf8(keys.indicator(Namespace::Url, &long)).unwrap();
        let hex: String = Sha256::digest(long.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(key, format!("misp-url:sha256:{hex}"));
        // A value that is this very text has another key, and one that only begins so has its own.
        let again = String::from_utf8(keys.indicator(Namespace::Url, &format!("sha256:{hex}"))).unwrap();
        assert!(again.starts_with("misp-url:sha256:") && again != key, "{again}");
        let upper = format!("sha256:{}", "A".repeat(64));
        assert_eq!(keys.indicator(Namespace::Url, &upper), format!("misp-url:{upper}").into_bytes());
        // With a blank in it the key goes in base64, where 186 bytes fit.
        let room = 186 - "misp-url:".len();
        let blank = format!("{} ", "x".repeat(room - 1));
        assert_eq!(keys.indicator(Namespace::Url, &blank).len(), 186);
        let blank = format!("{} ", "x".repeat(room));
        assert!(keys.indicator(Namespace::Url, &blank).starts_with(b"misp-url:sha256:"));
    }

    proptest! {
        /// What the encoder of the `memcache` crate takes is what we say fits.
        #[test]
        fn every_key_can_be_sent(value in "(?s).{1,300}", code in 0u8..53) {
            let namespace = Namespace::from_code(code).unwrap();
            let key = Keys::new("misp").indicator(namespace, &value);
            prop_assert!(wire_len(&key) <= MAX_WIRE_KEY);
            let command = memcache::exp::MetaCommand::new(memcache::exp::MetaOp::Get, key.clone());
            prop_assert!(command.encode().is_ok());
            prop_assert_eq!(Keys::new("misp").parse(&key).map(|p| p.0), Some(namespace));
        }
    }
}
