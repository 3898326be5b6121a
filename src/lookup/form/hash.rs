//! Hashes: recognised by their length, by a name in front (`SHA256=...`, as
//! Sysmon writes it), or by the form of the fuzzy ones.

use super::Forms;
use crate::indicator::{Category, Namespace};

/// The namespaces of so many hexadecimal digits, the usual one first.
fn of_length(digits: usize) -> &'static [Namespace] {
    use Namespace::*;
    match digits {
        32 => &[Md5, Imphash, Ja3, Hassh, HasshServer, X509],
        40 => &[Sha1, Pehash, Cdhash, X509],
        56 => &[Sha224, Sha512_224, Sha3_224],
        62 => &[Jarm],
        64 => &[Sha256, Authentihash, X509, Sha512_256, Sha3_256],
        70 => &[Tlsh],
        96 => &[Sha384, Sha3_384],
        128 => &[Sha512, Sha3_512],
        _ => &[],
    }
}

/// Digits of a TLSH without its version mark.
const TLSH_DIGITS: usize = 70;

/// The version mark of today's TLSH and of telfhash, as MISP writes it.
const TLSH_MARK: &str = "t1";

/// Longest text with colons that can be a fingerprint: SHA-512 in pairs. Longer
/// text need not be looked at byte by byte.
const MAX_PAIRS: usize = 128 / 2 * 3;

impl Forms<'_> {
    /// A hash of any kind; false if it is none.
    pub(super) fn hash(&mut self, plain: &str) -> bool {
        if is_hex(plain) {
            return self.hex(plain);
        }
        self.tlsh(plain) || self.pairs(plain) || self.fuzzy(plain) || self.ssh(plain) || self.named(plain)
    }

    fn hex(&mut self, digits: &str) -> bool {
        let namespaces = of_length(digits.len());
        if namespaces == [Namespace::Tlsh] {
            return self.tlsh(digits);
        }
        let lower = digits.to_ascii_lowercase();
        for namespace in namespaces {
            self.push(*namespace, &lower);
        }
        !namespaces.is_empty()
    }

    /// The same hash has a version mark since TLSH 4, and none before.
    fn tlsh(&mut self, plain: &str) -> bool {
        if plain.len() != TLSH_DIGITS && plain.len() != TLSH_DIGITS + TLSH_MARK.len() {
            return false;
        }
        let lower = plain.to_ascii_lowercase();
        let digits = lower.strip_prefix(TLSH_MARK).unwrap_or(&lower);
        if digits.len() != TLSH_DIGITS || !is_hex(digits) {
            return false;
        }
        self.push(Namespace::Tlsh, &lower);
        let other = if lower.len() == digits.len() { format!("{TLSH_MARK}{digits}") } else { digits.to_owned() };
        self.push(Namespace::Tlsh, &other);
        if lower.len() != digits.len() {
            self.push(Namespace::Telfhash, &lower);
            self.push(Namespace::Telfhash, plain);
        }
        true
    }

    /// `AA:BB:...`: a certificate's fingerprint, or that of an SSH key. Six pairs
    /// are a MAC address and eight an IPv6 address, which are no hash's length.
    fn pairs(&mut self, plain: &str) -> bool {
        let Some(digits) = joined(plain) else { return false };
        if !self.hex(&digits) {
            return false;
        }
        // Written with colons it is a certificate's more likely than a file's.
        self.list.sort_by_key(|c| c.namespace != Namespace::X509);
        self.push(Namespace::SshFingerprint, &plain.to_ascii_lowercase());
        true
    }

    /// `BLOCK:CHUNK:CHUNK`, in base64: ssdeep, and impfuzzy, which is made of it.
    fn fuzzy(&mut self, plain: &str) -> bool {
        let mut parts = plain.splitn(3, ':');
        let (Some(block), Some(chunk1), Some(chunk2)) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        let ok = !block.is_empty()
            && block.bytes().all(|b| b.is_ascii_digit())
            && !chunk1.is_empty()
            && chunk1.bytes().all(base64)
            && chunk2.bytes().all(base64);
        // `1:2:3` could also be an IPv6 address's beginning, never a whole one.
        if ok {
            self.push(Namespace::Ssdeep, plain);
            self.push(Namespace::Impfuzzy, plain);
        }
        ok
    }

    /// `SHA256:` and base64, or `MD5:` and pairs, as ssh-keygen shows them.
    fn ssh(&mut self, plain: &str) -> bool {
        let Some((name, print)) = plain.split_once(':') else { return false };
        let known = ["sha256", "sha1", "md5"].iter().any(|n| n.eq_ignore_ascii_case(name));
        // A SHA-256 in base64 without padding; a shorter one only with a name.
        let base64 = (27..=44).contains(&print.len())
            && print.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
        if !known || !(joined(print).is_some() || base64 && !is_hex(print)) {
            return false;
        }
        self.push(Namespace::SshFingerprint, plain);
        self.push(Namespace::SshFingerprint, &format!("{}:{print}", name.to_ascii_lowercase()));
        self.push(Namespace::SshFingerprint, print);
        if joined(print).is_some() {
            self.pairs(print);
        }
        true
    }

    /// `SHA256=ABC,MD5=DEF`, `sha256:abc` or `MD5: abc`: each part where its name says.
    fn named(&mut self, plain: &str) -> bool {
        let mut found = false;
        let mut name_alone = None;
        for part in plain.split([',', ';', ' ']).filter(|part| !part.is_empty()) {
            let (name, value) = match part.split_once(['=', ':']) {
                Some((name, "")) => {
                    name_alone = Some(name);
                    continue;
                }
                Some((name, value)) => (Some(name), value),
                None => (name_alone.take(), part),
            };
            if is_hex(value)
                && let Some(namespace) = name.and_then(by_name)
                && of_length(value.len()).contains(&namespace)
            {
                self.push(namespace, &value.to_ascii_lowercase());
                found = true;
            }
        }
        found
    }

    /// A value in the namespace that the caller names.
    pub(super) fn digest(&mut self, namespace: Namespace, plain: &str) {
        match namespace {
            Namespace::Tlsh | Namespace::Telfhash => {
                self.tlsh(plain);
            }
            Namespace::SshFingerprint => {
                let _ = self.ssh(plain) || self.pairs(plain);
            }
            _ if [32, 40, 56, 62, 64, 96, 128].iter().any(|n| of_length(*n).contains(&namespace)) => {
                self.named(plain);
                let digits = joined(plain).unwrap_or_else(|| plain.to_owned());
                self.push(namespace, &digits.to_ascii_lowercase());
            }
            _ => {}
        }
    }
}

/// The namespace that a hash's name stands for: `SHA256`, `sha-256`, `IMPHASH`.
fn by_name(name: &str) -> Option<Namespace> {
    let hash = |n: &&Namespace| n.category() == Category::Hash || matches!(n, Namespace::Ja3 | Namespace::Jarm);
    let same = |n: &&Namespace| n.name().eq_ignore_ascii_case(name);
    let known = Namespace::ALL.iter().filter(hash).find(same).copied();
    known.or_else(|| match name.to_ascii_lowercase().as_str() {
        "sha-1" => Some(Namespace::Sha1),
        "sha-224" => Some(Namespace::Sha224),
        "sha-256" => Some(Namespace::Sha256),
        "sha-384" => Some(Namespace::Sha384),
        "sha-512" => Some(Namespace::Sha512),
        _ => None,
    })
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The digits of `AA:BB:CC`.
fn joined(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    // N pairs and N - 1 colons.
    if bytes.len() % 3 != 2 || bytes.len() > MAX_PAIRS || bytes.get(2) != Some(&b':') {
        return None;
    }
    let ok = bytes.iter().enumerate().all(|(i, b)| if i % 3 == 2 { *b == b':' } else { b.is_ascii_hexdigit() });
    ok.then(|| text.replace(':', ""))
}
