//! A random number generator of our own (the same numbers everywhere, for ever),
//! and the values of random worlds: from small stocks, so that events share them,
//! with everything among them that strangers could write.

use misp2memcached::demo::Attribute;

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A number between these, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

const NETWORKS: &[&str] = &[
    "203.0.113.0/24",
    "203.0.113.0/25",
    "203.0.113.128/25",
    "203.0.113.77/26",
    "203.0.113.192/26",
    "198.51.100.8/29",
    "198.51.100.0/29",
    "198.51.100.3/32",
    "2001:db8:7::/48",
    "2001:db8:6::/48",
    "2001:db8::1/64",
    "::ffff:198.51.100.64/122",
    "9.0.0.0/8",
    "8.0.0.0/7",
    "10.1.2.3/8",
    "192.168.0.0/16",
    "2000::/12",
    "0.0.0.0/0",
    "::/0",
];

const PRIVATE: &[&str] =
    &["10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.1.1", "224.0.0.5", "0.0.0.0", "::1", "fe80::1", "fd00::7"];

/// What ends a line, runs a command, changes a rule, or is simply wrong.
const HOSTILE: &[&str] = &[
    "x\r\ndelete misp-stats\r\n",
    "198.51.100.1\r\ndelete misp-stats",
    "x noreply\r\nflush_all\r\n",
    "x)or(evt.num>0)or(fd.sip=1.2.3.4",
    "198.51.100.1\"\n- rule: anything\n  condition: evt.num>0",
    "misp-stats 0 0 1",
    "\u{0}\u{1}\u{7f}",
    "tab\tand bell\u{7}",
    "   ",
    "",
    "|",
    "a|b|c",
    "1.2.3",
    "01.2.3.4",
    "198.51.100.0/33",
    "198.51.100.1:80",
    "[2001:db8::1]",
    "fe80::1%eth0",
    "999.1.1.1|80",
    "e7d00812fcf0d4e11c1d088568cc222",
    "z7d00812fcf0d4e11c1d088568cc2229",
    "-1#md5,2#sha1",
    "sha256:",
    "a..b.example",
    "\u{202e}txt.exe",
];

/// Types that a bad or odd value may be given to.
const ANY_TYPE: &[&str] = &[
    "ip-src",
    "ip-dst",
    "ip-src|port",
    "ip-dst|port",
    "domain",
    "hostname",
    "hostname|port",
    "domain|ip",
    "md5",
    "sha256",
    "filename|md5",
    "filename|sha256",
    "url",
    "uri",
    "mutex",
    "filename",
    "regkey|value",
    "comment",
];

fn address(random: &mut Random) -> String {
    let n = random.between(1, 30);
    match random.below(10) {
        0..5 => format!("198.51.100.{n}"),
        5..8 => format!("2001:db8::{n:x}"),
        8 => format!("::ffff:198.51.100.{n}"),
        _ => (*random.pick(PRIVATE)).to_owned(),
    }
}

fn name(random: &mut Random) -> String {
    match random.below(12) {
        0 => "xn--bcher-kva.example".to_owned(),
        1 => "bücher.example".to_owned(),
        2 => format!("_dmarc.d{}.example", random.below(5)),
        _ => format!("d{}.example", random.below(25)),
    }
}

/// So many digits of one of a few hashes.
fn hash(random: &mut Random, digits: usize) -> String {
    format!("{:0digits$x}", 0xbad_0000 + random.below(25))
}

fn url(random: &mut Random) -> String {
    let n = random.below(20);
    match random.below(10) {
        // Around the longest key, and around the longest one in base64.
        0 => format!("http://{}", "x".repeat(random.between(232, 236) as usize)),
        1 => format!("http://a b{}", "y".repeat(random.between(165, 169) as usize)),
        2 => format!("http://long{n}.example/{}", "z".repeat(5000)),
        3 => format!("http://spaces.example/a b {n}"),
        4 => format!("http://пример.example/{n}?имя=значение"),
        _ => format!("http://u{n}.example/p?q={n}|x"),
    }
}

/// A random attribute.
pub fn attribute(random: &mut Random) -> Attribute {
    if random.percent(12) {
        let kind = *random.pick(ANY_TYPE);
        let value = match random.below(8) {
            0 => "w".repeat(5000),
            1 => format!("{}|{}", name(random), random.pick(HOSTILE)),
            2 => format!("{}|{}", random.pick(HOSTILE), address(random)),
            _ => (*random.pick(HOSTILE)).to_owned(),
        };
        return Attribute::new(kind, &value);
    }
    let port = random.between(1, 4);
    let (kind, value) = match random.below(24) {
        0..3 => ("ip-dst", address(random)),
        3..5 => ("ip-src", address(random)),
        5 => ("ip-dst", (*random.pick(NETWORKS)).to_owned()),
        6 => ("ip-src", (*random.pick(NETWORKS)).to_owned()),
        7 => ("ip-dst|port", format!("{}|{port}", address(random))),
        8 => ("ip-src|port", format!("{}|{port}", address(random))),
        9 => ("domain|ip", format!("{}|{}", name(random), address(random))),
        10 => ("domain", name(random)),
        11 => ("hostname", name(random)),
        12 => ("hostname|port", format!("{}|{port}", name(random))),
        13 => ("md5", hash(random, 32)),
        14 => ("filename|md5", format!("name {port}.exe|{}", hash(random, 32))),
        15 => ("sha256", hash(random, 64)),
        16 => ("filename|sha256", format!("{port}.dll|{}", hash(random, 64))),
        17 => ("imphash", format!("  {} ", hash(random, 32))),
        18..20 => ("url", url(random)),
        20 => ("uri", url(random)),
        21 => ("mutex", format!("Global\\{port} x")),
        22 => ("filename", format!("back\\slash\tTab{port}.js")),
        _ => ("comment", format!("no indicator {port}")),
    };
    Attribute::new(kind, &value)
}

#[test]
fn the_same_seed_gives_the_same() {
    let values = |mut random: Random| (0..50).map(|_| attribute(&mut random).value).collect::<Vec<_>>();
    assert_eq!(values(Random::new(1)), values(Random::new(1)));
    assert_ne!(values(Random::new(1)), values(Random::new(2)));
    let mut random = Random::new(7);
    let many: Vec<Attribute> = (0..3000).map(|_| attribute(&mut random)).collect();
    let kinds: std::collections::BTreeSet<&str> = many.iter().map(|a| a.kind.as_str()).collect();
    assert!(ANY_TYPE.iter().all(|kind| kinds.contains(kind)));
    assert!(HOSTILE.iter().all(|value| many.iter().any(|a| a.value == *value)));
}
