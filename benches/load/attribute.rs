//! One attribute: what a value looks like, the types it is listed as, and by the
//! documented rules the keys it stands for. The rules are written out here once
//! more on purpose: a check that asked the program's own code would prove nothing.

use crate::prng::Prng;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The MISP types in the data, each with the category MISP suggests for it.
pub const KINDS: [(&str, &str); 13] = [
    ("md5", "Payload delivery"),
    ("sha1", "Payload delivery"),
    ("sha256", "Payload delivery"),
    ("filename|md5", "Payload delivery"),
    ("filename|sha1", "Payload delivery"),
    ("filename|sha256", "Payload delivery"),
    ("ip-dst", "Network activity"),
    ("ip-src", "Network activity"),
    ("ip-dst|port", "Network activity"),
    ("domain", "Network activity"),
    ("hostname", "Network activity"),
    ("domain|ip", "Network activity"),
    ("url", "Network activity"),
];

const MD5: u8 = 0;
const FILENAME_MD5: u8 = 3;
const IP_DST: u8 = 6;
const IP_SRC: u8 = 7;
const IP_DST_PORT: u8 = 8;
const DOMAIN: u8 = 9;
const HOSTNAME: u8 = 10;
const DOMAIN_IP: u8 = 11;
const URL: u8 = 12;

/// The position in [`KINDS`] of a type.
pub fn kind_of(name: &str) -> Option<u8> {
    KINDS.iter().position(|(kind, _)| kind.eq_ignore_ascii_case(name)).map(|i| i as u8)
}

/// A type (its position in [`KINDS`]) and a value as MISP shows it.
pub struct Attribute {
    pub kind: u8,
    pub value: String,
}

impl Attribute {
    /// The attribute of one value, `random` being the value's own stream. Another
    /// `listing` of the same value keeps the indicator, but may have another type,
    /// file name or port, as events of different people have.
    pub fn new(mut random: Prng, listing: u64) -> Attribute {
        let mut dress = Prng::new(random.clone().next(), listing);
        match random.below(100) {
            0..30 => hash(&mut random, &mut dress),
            30..60 => address(&mut random, &mut dress),
            60..85 => name(&mut random, &mut dress),
            _ => Attribute { kind: URL, value: url(&mut random) },
        }
    }

    /// The name of its type.
    pub fn kind_name(&self) -> &'static str {
        KINDS[usize::from(self.kind)].0
    }

    /// Namespace and value of each key it stands for.
    pub fn indicators(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let (first, second) = match self.value.split_once('|') {
            Some((first, second)) => (first, second),
            None => (self.value.as_str(), ""),
        };
        let (one, two) = match self.kind_name() {
            "filename|md5" => (("md5", second), None),
            "filename|sha1" => (("sha1", second), None),
            "filename|sha256" => (("sha256", second), None),
            "ip-dst" | "ip-src" | "ip-dst|port" => (("ip", first), None),
            "domain" | "hostname" => (("domain", first), None),
            "domain|ip" => (("domain", first), Some(("ip", second))),
            whole => ((whole, self.value.as_str()), None),
        };
        std::iter::once(one).chain(two)
    }
}

/// md5, sha1 and sha256 as 35, 20 and 45 of 100; two of five with a file name.
fn hash(random: &mut Prng, dress: &mut Prng) -> Attribute {
    let (which, digits) = match random.below(100) {
        0..35 => (0, 32),
        35..55 => (1, 40),
        _ => (2, 64),
    };
    let mut value = String::new();
    let kind = if dress.percent(40) {
        let stem = word(dress, 3);
        let _ = write!(value, "{stem}_{}.{}|", dress.below(10_000), dress.pick(&["exe", "dll", "doc", "js", "zip"]));
        FILENAME_MD5 + which
    } else {
        MD5 + which
    };
    let end = value.len() + digits;
    while value.len() < end {
        let _ = write!(value, "{:08x}", random.next() as u32);
    }
    Attribute { kind, value }
}

/// Half `ip-dst`, a quarter each `ip-src` and `ip-dst|port`.
fn address(random: &mut Prng, dress: &mut Prng) -> Attribute {
    let mut value = ip(random);
    let kind = dress.pick(&[IP_DST, IP_DST, IP_SRC, IP_DST_PORT]);
    if kind == IP_DST_PORT {
        let _ = write!(value, "|{}", dress.pick(&[80, 443, 1337, 4444, 8080, 8443, 9001, 50050]));
    }
    Attribute { kind, value }
}

/// An address of the public ranges, one in ten of IPv6.
fn ip(random: &mut Prng) -> String {
    if random.percent(10) {
        let (high, low) = (random.next(), random.next());
        // 2a00::/16 and its like are in use; the zeros give what is written with "::".
        let network = 0x2a00_0000_0000_0000 | (high & 0x0010_ffff_ffff_0000);
        let host = if random.percent(50) { low & 0xffff } else { low };
        return Ipv6Addr::from((u128::from(network) << 64) | u128::from(host)).to_string();
    }
    loop {
        let ip = Ipv4Addr::from(random.next() as u32);
        let [a, b, c, _] = ip.octets();
        let shared = a == 100 && (64..128).contains(&b);
        let testing = (a == 198 && (18..20).contains(&b)) || (a == 192 && b == 0 && c == 0);
        let odd = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation();
        if a != 0 && a < 224 && !odd && !shared && !testing {
            return ip.to_string();
        }
    }
}

/// 45 `domain`, 35 `hostname` and 20 `domain|ip` of 100; a name below a domain is
/// always a host name, the others are listed as either.
fn name(random: &mut Prng, dress: &mut Prng) -> Attribute {
    if random.percent(20) {
        let mut value = domain(random);
        value.push('|');
        value.push_str(&ip(random));
        return Attribute { kind: DOMAIN_IP, value };
    }
    if random.percent(30) {
        let label = random.pick(&["www", "mail", "cdn", "login", "update", "c2", "static", "vpn"]);
        return Attribute { kind: HOSTNAME, value: format!("{label}{}.{}", random.below(10), domain(random)) };
    }
    let kind = if dress.percent(80) { DOMAIN } else { HOSTNAME };
    Attribute { kind, value: domain(random) }
}

fn domain(random: &mut Prng) -> String {
    let syllables = 3 + random.below(3);
    let stem = word(random, syllables);
    let number = random.below(1_000);
    format!("{stem}{number}.{}", random.pick(&["com", "net", "org", "info", "top", "xyz", "ru", "cn", "co.uk", "io"]))
}

/// 60 to 140 characters. MISP keeps a URL as it was typed, so it has capitals.
fn url(random: &mut Prng) -> String {
    let length = 60 + random.below(81) as usize;
    let scheme = random.pick(&["http", "https"]);
    let mut url = format!("{scheme}://{}/", domain(random));
    while url.len() < length {
        let syllables = 1 + random.below(4);
        let step = word(random, syllables);
        let _ = write!(url, "{step}{:X}{}", random.below(1 << 16), random.pick(&["/", "-", "_", "?a=", "&b=", "."]));
    }
    url.truncate(length);
    url
}

fn word(random: &mut Prng, syllables: u32) -> String {
    const SYLLABLES: [&str; 32] = [
        "ba", "ce", "di", "fo", "gu", "ha", "ji", "ko", "lu", "me", "ni", "po", "qua", "re", "si", "to", "va", "wi",
        "xe", "ya", "zo", "bra", "cle", "dro", "fri", "glu", "kra", "ple", "ster", "tru", "shi", "tha",
    ];
    (0..syllables).map(|_| random.pick(&SYLLABLES)).collect()
}
