//! UUIDs that come out of a name, the same each time (version 5 of RFC 9562): a
//! detection that is seen twice finds the event it made.

use sha1::{Digest, Sha1};
use std::fmt;

/// A UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid([u8; 16]);

/// The name space of all that `share` makes up. It stays as it is: another one would
/// make another event of every detection.
pub const DETECTIONS: Uuid = Uuid(*b"\x9c\x1e\x52\x0d\x4a\x7b\x45\xb8\xa3\xf6\x2d\x71\xc8\x05\x9e\x43");

/// Stands between the parts of a name, and in no part.
const SEPARATOR: char = '\u{1f}';

impl Uuid {
    /// The UUID of these parts in a name space.
    pub fn of<S: AsRef<str>>(space: Uuid, parts: &[S]) -> Uuid {
        let mut sha1 = Sha1::new_with_prefix(space.0);
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                sha1.update([SEPARATOR as u8]);
            }
            sha1.update(part.as_ref().replace(SEPARATOR, " "));
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&sha1.finalize()[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x50;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Uuid(bytes)
    }

    /// A UUID as it is written, in any case.
    pub fn parse(text: &str) -> Option<Uuid> {
        let dashes = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        let right = |(at, b): (usize, u8)| if dashes(at) { b == b'-' } else { b.is_ascii_hexdigit() };
        if text.len() != 36 || !text.bytes().enumerate().all(right) {
            return None;
        }
        let digits: String = text.split('-').collect();
        Some(Uuid(u128::from_str_radix(&digits, 16).ok()?.to_be_bytes()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9562, appendix A.4.
    #[test]
    fn as_the_rfc_has_it() {
        let dns = Uuid::parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8").unwrap();
        assert_eq!(Uuid::of(dns, &["www.example.com"]).to_string(), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    }

    #[test]
    fn parts_are_told_apart() {
        let of = |parts: &[&str]| Uuid::of(DETECTIONS, parts);
        assert_ne!(of(&["a", "b"]), of(&["ab"]));
        assert_ne!(of(&["a\u{1f}b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", ""]), of(&["a"]));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
    }

    #[test]
    fn reading() {
        let text = "9c1e520d-4a7b-45b8-a3f6-2d71c8059e43";
        assert_eq!(Uuid::parse(&text.to_uppercase()), Some(DETECTIONS));
        assert_eq!(DETECTIONS.to_string(), text);
        for wrong in ["", "9c1e520d4a7b45b8a3f62d71c8059e43", &text[1..], &text.replace('9', "g"), &format!("{text}0")]
        {
            assert_eq!(Uuid::parse(wrong), None, "{wrong}");
        }
    }
}
