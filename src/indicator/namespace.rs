//! The namespaces: the middle part of a key, `misp-NAMESPACE:VALUE`.
//!
//! Codes are written into the ledger: they are never reused and never change;
//! new namespaces go to the end.

/// The four switches of the configuration that turn namespaces on and give them an expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// File and content hashes.
    Hash,
    /// Addresses, networks, domains.
    Network,
    /// URLs and URIs.
    Web,
    /// Everything else.
    Other,
}

impl Category {
    /// All categories, in the order of the configuration.
    pub const ALL: [Category; 4] = [Category::Hash, Category::Network, Category::Web, Category::Other];

    /// The configuration section's name.
    pub fn name(self) -> &'static str {
        match self {
            Category::Hash => "hash",
            Category::Network => "network",
            Category::Web => "web",
            Category::Other => "other",
        }
    }
}

macro_rules! namespaces {
    ($($variant:ident = $code:literal $name:literal $category:ident,)*) => {
        /// A namespace; its number is its code in the ledger.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each is named as its key is")]
        pub enum Namespace { $($variant = $code,)* }

        impl Namespace {
            /// All namespaces, in the order of their codes.
            pub const ALL: &'static [Namespace] = &[$(Namespace::$variant,)*];

            /// The name as it stands in a key, `sha256` in `misp-sha256:...`.
            pub fn name(self) -> &'static str {
                match self { $(Namespace::$variant => $name,)* }
            }

            /// The configuration section that turns it on.
            pub fn category(self) -> Category {
                match self { $(Namespace::$variant => Category::$category,)* }
            }

            /// The namespace of a ledger code.
            pub fn from_code(code: u8) -> Option<Namespace> {
                match code { $($code => Some(Namespace::$variant),)* _ => None }
            }
        }
    };
}

// Addresses and networks come first: records are sorted by code, so what Falco
// needs stands at the head of each event's records.
namespaces! {
    Ip = 0 "ip" Network,
    Cidr = 1 "cidr" Network,
    Domain = 2 "domain" Network,
    Md5 = 3 "md5" Hash,
    Sha1 = 4 "sha1" Hash,
    Sha224 = 5 "sha224" Hash,
    Sha256 = 6 "sha256" Hash,
    Sha384 = 7 "sha384" Hash,
    Sha512 = 8 "sha512" Hash,
    Sha512_224 = 9 "sha512/224" Hash,
    Sha512_256 = 10 "sha512/256" Hash,
    Sha3_224 = 11 "sha3-224" Hash,
    Sha3_256 = 12 "sha3-256" Hash,
    Sha3_384 = 13 "sha3-384" Hash,
    Sha3_512 = 14 "sha3-512" Hash,
    Imphash = 15 "imphash" Hash,
    Authentihash = 16 "authentihash" Hash,
    Pehash = 17 "pehash" Hash,
    Ssdeep = 18 "ssdeep" Hash,
    Impfuzzy = 19 "impfuzzy" Hash,
    Tlsh = 20 "tlsh" Hash,
    Vhash = 21 "vhash" Hash,
    Telfhash = 22 "telfhash" Hash,
    Cdhash = 23 "cdhash" Hash,
    Url = 24 "url" Web,
    Email = 25 "email" Other,
    EmailSubject = 26 "email-subject" Other,
    EmailMessageId = 27 "email-message-id" Other,
    EmailMailer = 28 "email-x-mailer" Other,
    EmailBoundary = 29 "email-mime-boundary" Other,
    UserAgent = 30 "user-agent" Other,
    Regkey = 31 "regkey" Other,
    Mutex = 32 "mutex" Other,
    NamedPipe = 33 "named-pipe" Other,
    Ja3 = 34 "ja3" Other,
    Jarm = 35 "jarm" Other,
    Hassh = 36 "hassh" Other,
    HasshServer = 37 "hasshserver" Other,
    X509 = 38 "x509" Other,
    Filename = 39 "filename" Other,
    Pdb = 40 "pdb" Other,
    Asn = 41 "as" Other,
    Mac = 42 "mac-address" Other,
    CommunityId = 43 "community-id" Other,
    Favicon = 44 "favicon-mmh3" Other,
    Onion = 45 "onion-address" Other,
    Service = 46 "windows-service-name" Other,
    ScheduledTask = 47 "windows-scheduled-task" Other,
    ChromeExtension = 48 "chrome-extension-id" Other,
    MobileApplication = 49 "mobile-application-id" Other,
    SshFingerprint = 50 "ssh-fingerprint" Other,
    Btc = 51 "btc" Other,
    Xmr = 52 "xmr" Other,
    Sha256Name = 53 "sha256-name" Hash,
}

impl Namespace {
    /// The code written into the ledger.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether its indicators are keys of memcached. The one that is not holds the
    /// file names of `filename|sha256` for Falco's hash list.
    pub fn is_cached(self) -> bool {
        self != Namespace::Sha256Name
    }

    /// The namespace of this name.
    pub fn from_name(name: &str) -> Option<Namespace> {
        Namespace::ALL.iter().copied().find(|n| n.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_positions_and_names_are_unique() {
        for (i, n) in Namespace::ALL.iter().enumerate() {
            assert_eq!(usize::from(n.code()), i);
            assert_eq!(Namespace::from_code(n.code()), Some(*n));
            assert_eq!(Namespace::from_name(n.name()), Some(*n));
        }
        assert_eq!(Namespace::from_code(Namespace::ALL.len() as u8), None);
    }

    /// The ledger of an older version must still be read right.
    #[test]
    fn codes_never_change() {
        let pinned = [(0, "ip"), (1, "cidr"), (2, "domain"), (6, "sha256"), (24, "url"), (39, "filename"), (52, "xmr")];
        for (code, name) in pinned {
            assert_eq!(Namespace::from_code(code).unwrap().name(), name);
        }
    }
}
