//! The MISP attribute types that are loaded, and the rule of each.
//!
//! Names are MISP's (`describeTypes` of a 2.5.1). A type's place in `TYPES` is
//! its code in the ledger: new ones go to the end, none is ever taken out.

use super::check::Check;
use super::namespace::{Category, Namespace};
use std::collections::HashMap;
use std::sync::LazyLock;

/// How the value of a type becomes indicators.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// The whole value.
    Whole(Namespace, Check),
    /// The half before the `|`; the other is dropped.
    First(Namespace, Check),
    /// The half behind the `|`; the other is dropped.
    Second(Namespace, Check),
    /// Both halves, each in its own namespace.
    Both((Namespace, Check), (Namespace, Check)),
}

use Check::{Domain, Hex, Ip, IpOrNetwork, Text};
use Rule::{Both, First, Second, Whole};

/// Types and rules. `X` and `filename|X` stand side by side where MISP has both.
const TYPES: &[(&str, Rule)] = &[
    ("ip-src", Whole(Namespace::Ip, IpOrNetwork)),
    ("ip-dst", Whole(Namespace::Ip, IpOrNetwork)),
    ("ip-src|port", First(Namespace::Ip, Ip)),
    ("ip-dst|port", First(Namespace::Ip, Ip)),
    ("domain|ip", Both((Namespace::Domain, Domain), (Namespace::Ip, Ip))),
    ("domain", Whole(Namespace::Domain, Domain)),
    ("hostname", Whole(Namespace::Domain, Domain)),
    ("hostname|port", First(Namespace::Domain, Domain)),
    ("md5", Whole(Namespace::Md5, Hex(32))),
    ("filename|md5", Second(Namespace::Md5, Hex(32))),
    ("malware-sample", Second(Namespace::Md5, Hex(32))),
    ("sha1", Whole(Namespace::Sha1, Hex(40))),
    ("filename|sha1", Second(Namespace::Sha1, Hex(40))),
    ("sha224", Whole(Namespace::Sha224, Hex(56))),
    ("filename|sha224", Second(Namespace::Sha224, Hex(56))),
    ("sha256", Whole(Namespace::Sha256, Hex(64))),
    ("filename|sha256", Second(Namespace::Sha256, Hex(64))),
    ("sha384", Whole(Namespace::Sha384, Hex(96))),
    ("filename|sha384", Second(Namespace::Sha384, Hex(96))),
    ("sha512", Whole(Namespace::Sha512, Hex(128))),
    ("filename|sha512", Second(Namespace::Sha512, Hex(128))),
    ("sha512/224", Whole(Namespace::Sha512_224, Hex(56))),
    ("filename|sha512/224", Second(Namespace::Sha512_224, Hex(56))),
    ("sha512/256", Whole(Namespace::Sha512_256, Hex(64))),
    ("filename|sha512/256", Second(Namespace::Sha512_256, Hex(64))),
    ("sha3-224", Whole(Namespace::Sha3_224, Hex(56))),
    ("filename|sha3-224", Second(Namespace::Sha3_224, Hex(56))),
    ("sha3-256", Whole(Namespace::Sha3_256, Hex(64))),
    ("filename|sha3-256", Second(Namespace::Sha3_256, Hex(64))),
    ("sha3-384", Whole(Namespace::Sha3_384, Hex(96))),
    ("filename|sha3-384", Second(Namespace::Sha3_384, Hex(96))),
    ("sha3-512", Whole(Namespace::Sha3_512, Hex(128))),
    ("filename|sha3-512", Second(Namespace::Sha3_512, Hex(128))),
    ("imphash", Whole(Namespace::Imphash, Hex(32))),
    ("filename|imphash", Second(Namespace::Imphash, Hex(32))),
    ("authentihash", Whole(Namespace::Authentihash, Hex(64))),
    ("filename|authentihash", Second(Namespace::Authentihash, Hex(64))),
    ("pehash", Whole(Namespace::Pehash, Hex(40))),
    ("filename|pehash", Second(Namespace::Pehash, Hex(40))),
    ("ssdeep", Whole(Namespace::Ssdeep, Text)),
    ("filename|ssdeep", Second(Namespace::Ssdeep, Text)),
    ("impfuzzy", Whole(Namespace::Impfuzzy, Text)),
    ("filename|impfuzzy", Second(Namespace::Impfuzzy, Text)),
    ("tlsh", Whole(Namespace::Tlsh, Text)),
    ("filename|tlsh", Second(Namespace::Tlsh, Text)),
    ("vhash", Whole(Namespace::Vhash, Text)),
    ("filename|vhash", Second(Namespace::Vhash, Text)),
    ("telfhash", Whole(Namespace::Telfhash, Text)),
    ("cdhash", Whole(Namespace::Cdhash, Hex(40))),
    ("url", Whole(Namespace::Url, Text)),
    ("uri", Whole(Namespace::Url, Text)),
    ("email", Whole(Namespace::Email, Text)),
    ("email-src", Whole(Namespace::Email, Text)),
    ("email-dst", Whole(Namespace::Email, Text)),
    ("email-reply-to", Whole(Namespace::Email, Text)),
    ("whois-registrant-email", Whole(Namespace::Email, Text)),
    ("dns-soa-email", Whole(Namespace::Email, Text)),
    ("email-subject", Whole(Namespace::EmailSubject, Text)),
    ("email-message-id", Whole(Namespace::EmailMessageId, Text)),
    ("email-x-mailer", Whole(Namespace::EmailMailer, Text)),
    ("email-mime-boundary", Whole(Namespace::EmailBoundary, Text)),
    ("email-attachment", Whole(Namespace::Filename, Text)),
    ("user-agent", Whole(Namespace::UserAgent, Text)),
    ("regkey", Whole(Namespace::Regkey, Text)),
    ("regkey|value", First(Namespace::Regkey, Text)),
    ("mutex", Whole(Namespace::Mutex, Text)),
    ("named pipe", Whole(Namespace::NamedPipe, Text)),
    ("ja3-fingerprint-md5", Whole(Namespace::Ja3, Hex(32))),
    ("jarm-fingerprint", Whole(Namespace::Jarm, Hex(62))),
    ("hassh-md5", Whole(Namespace::Hassh, Hex(32))),
    ("hasshserver-md5", Whole(Namespace::HasshServer, Hex(32))),
    ("x509-fingerprint-md5", Whole(Namespace::X509, Hex(32))),
    ("x509-fingerprint-sha1", Whole(Namespace::X509, Hex(40))),
    ("x509-fingerprint-sha256", Whole(Namespace::X509, Hex(64))),
    ("filename", Whole(Namespace::Filename, Text)),
    ("pdb", Whole(Namespace::Pdb, Text)),
    ("AS", Whole(Namespace::Asn, Text)),
    ("mac-address", Whole(Namespace::Mac, Text)),
    ("community-id", Whole(Namespace::CommunityId, Text)),
    ("favicon-mmh3", Whole(Namespace::Favicon, Text)),
    ("onion-address", Whole(Namespace::Onion, Text)),
    ("windows-service-name", Whole(Namespace::Service, Text)),
    ("windows-scheduled-task", Whole(Namespace::ScheduledTask, Text)),
    ("chrome-extension-id", Whole(Namespace::ChromeExtension, Text)),
    ("mobile-application-id", Whole(Namespace::MobileApplication, Text)),
    ("ssh-fingerprint", Whole(Namespace::SshFingerprint, Text)),
    ("btc", Whole(Namespace::Btc, Text)),
    ("xmr", Whole(Namespace::Xmr, Text)),
];

/// A MISP attribute type that can be loaded; its number is its code in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MispType(u8);

/// What a network attribute says of the direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// `ip-dst`: our host connects to the indicator.
    Outbound,
    /// `ip-src`: the indicator connects to our host.
    Inbound,
}

impl MispType {
    /// All loadable types, in the order of their codes.
    pub fn all() -> impl Iterator<Item = MispType> {
        (0..TYPES.len()).map(|i| MispType(i as u8))
    }

    /// The type that MISP calls so (case matters, as in MISP's answers).
    pub fn from_name(name: &str) -> Option<MispType> {
        static BY_NAME: LazyLock<HashMap<&str, MispType>> =
            LazyLock::new(|| MispType::all().map(|t| (t.name(), t)).collect());
        BY_NAME.get(name).copied()
    }

    /// The type of a ledger code.
    pub fn from_code(code: u8) -> Option<MispType> {
        (usize::from(code) < TYPES.len()).then_some(MispType(code))
    }

    /// The code written into the ledger.
    pub fn code(self) -> u8 {
        self.0
    }

    /// MISP's name, which is also what a tag shows.
    pub fn name(self) -> &'static str {
        TYPES[usize::from(self.0)].0
    }

    pub(super) fn rule(self) -> Rule {
        TYPES[usize::from(self.0)].1
    }

    /// The configuration section that turns the type on. Both halves of a
    /// composite that keeps both are of one category.
    pub fn category(self) -> Category {
        match self.rule() {
            Whole(n, _) | First(n, _) | Second(n, _) | Both((n, _), _) => n.category(),
        }
    }

    /// The direction of a connection that an address of this type stands for.
    pub fn direction(self) -> Option<Direction> {
        match self.name() {
            "ip-dst" | "ip-dst|port" => Some(Direction::Outbound),
            "ip-src" | "ip-src|port" => Some(Direction::Inbound),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_codes_fit() {
        let names: HashSet<_> = MispType::all().map(MispType::name).collect();
        assert_eq!(names.len(), TYPES.len());
        assert!(TYPES.len() < 256);
        for t in MispType::all() {
            assert_eq!(MispType::from_name(t.name()), Some(t));
            assert_eq!(MispType::from_code(t.code()), Some(t));
        }
    }

    /// The ledger of an older version must still be read right.
    #[test]
    fn codes_never_change() {
        let pinned = [
            (0, "ip-src"),
            (1, "ip-dst"),
            (4, "domain|ip"),
            (15, "sha256"),
            (49, "url"),
            (74, "filename"),
            (87, "xmr"),
        ];
        for (code, name) in pinned {
            assert_eq!(MispType::from_code(code).unwrap().name(), name, "code {code}");
        }
    }

    #[test]
    fn both_halves_share_a_category() {
        for t in MispType::all() {
            if let Both((a, _), (b, _)) = t.rule() {
                assert_eq!(a.category(), b.category());
            }
        }
    }
}
