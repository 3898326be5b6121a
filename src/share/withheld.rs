//! What must not leave, wherever it stands: as a value, or in the middle of a text.
//!
//! A detection's text names the site's own addresses ("commonly used DNS servers:
//! 192.168.10.254"), so texts are searched too. Where it is not clear whether
//! something is such an address, it is taken for one.

use super::exclude::{Exclude, in_ascii};
use super::reserved;
use crate::cache::context::unescape;
use crate::lookup::form::refanged;
use ipnet::IpNet;
use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Why what the site has excluded is withheld.
const EXCLUDED: &str = "excluded";
const LOCAL_NAME: &str = "a name of local networks (RFC 6761, RFC 6762)";
const HARDWARE: &str = "a hardware address";

/// Last labels of names that are used inside of networks only: IANA's registry of
/// special-use domain names, and those that RFC 6762, appendix G, finds in use.
const LOCAL: [&str; 12] = [
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "test",
];

/// The longest IPv6 address as text.
const MAX_V6: usize = 45;

/// How often a text may have been put into percent codes: a URL in the query of a URL, and
/// what a proxy and a log do to that.
const MAX_LAYERS: usize = 4;

/// Stand in a text for what was withheld.
const MASKED_ADDRESS: &str = "[address]";
const MASKED_NAME: &str = "[name]";

/// Decides what is withheld.
#[derive(Debug, Clone, Default)]
pub struct Withheld {
    exclude: Exclude,
}

/// Something in a text that must not leave.
struct Find {
    at: Range<usize>,
    why: &'static str,
    mask: &'static str,
}

impl Withheld {
    /// The reserved addresses and local names, and what a site excludes.
    pub fn new(exclude: Exclude) -> Withheld {
        Withheld { exclude }
    }

    /// Why this address or network does not leave.
    pub fn address(&self, network: &IpNet) -> Option<&'static str> {
        reserved::why(network).or_else(|| self.exclude.covers(network).then_some(EXCLUDED))
    }

    /// Why this name does not leave.
    pub fn name(&self, name: &str) -> Option<&'static str> {
        let name = in_ascii(name);
        let last = name.rsplit('.').next().unwrap_or_default();
        if LOCAL.contains(&last) || !name.contains('.') {
            return Some(LOCAL_NAME);
        }
        self.exclude.covers_name(&name).then_some(EXCLUDED)
    }

    /// The text without what must not leave.
    pub fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        loop {
            // A defanged address is one to whoever reads it, and MISP refangs it.
            let plain = refanged(&text);
            let finds = self.finds(&plain);
            if finds.is_empty() {
                // Codes are undone where there is something to hide, and left alone else.
                if let Some(bare) = without_codes(&plain).filter(|bare| !self.finds(&refanged(bare)).is_empty()) {
                    text = bare;
                    continue;
                }
                if plain == text {
                    return text;
                }
            }
            let mut out = String::with_capacity(plain.len());
            let mut from = 0;
            for find in finds {
                out.push_str(&plain[from..find.at.start]);
                out.push_str(find.mask);
                from = find.at.end;
            }
            out.push_str(&plain[from..]);
            // Once more: what stood beside a find may be one by itself. Each round leaves
            // less that is not a mask.
            text = out;
        }
    }

    /// Why a value of any type does not leave: something in it must not.
    pub fn value(&self, value: &str) -> Option<&'static str> {
        let plain = refanged(value);
        // A browser reads `http://0x0a000001/` as an address, too.
        let host = Url::parse(&plain).ok().and_then(|url| {
            let host = url.host_str()?;
            host.trim_matches(['[', ']']).parse::<IpAddr>().ok()
        });
        let host = host.and_then(|host| self.address(&host.into()));
        let first = |text: &str| self.finds(text).first().map(|find| find.why);
        host.or_else(|| first(&plain)).or_else(|| first(&refanged(&without_codes(&plain)?)))
    }

    /// All of them, in order, none over another.
    fn finds(&self, text: &str) -> Vec<Find> {
        let bytes = text.as_bytes();
        let mut finds = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let find = match self.hardware_at(text, at) {
                None => match v6_at(text, at) {
                    Some((network, end)) => match self.address(&network) {
                        Some(why) => Some(Find { at: at..end, why, mask: MASKED_ADDRESS }),
                        // Its end would be read as another address, but for one in dots.
                        None if !text[at..end].contains('.') => {
                            at = end;
                            continue;
                        }
                        None => None,
                    },
                    None => self.v4_at(text, at),
                },
                found => found,
            };
            match find.or_else(|| self.name_at(text, at)) {
                Some(find) => {
                    at = find.at.end;
                    finds.push(find);
                }
                None => at += 1,
            }
        }
        finds
    }

    /// Six pairs of digits with colons or dashes, or three fours with dots or dashes: it names
    /// one machine of the site.
    fn hardware_at(&self, text: &str, at: usize) -> Option<Find> {
        let bytes = text.as_bytes();
        let (width, length) = match (bytes.get(at + 2)?, bytes.get(at + 4)) {
            (b':' | b'-', _) => (2, 17),
            (_, Some(b'.' | b'-')) => (4, 14),
            _ => return None,
        };
        let (separator, part) = (bytes[at + width], bytes.get(at..at + length)?);
        let right =
            |(i, b): (usize, &u8)| if i % (width + 1) == width { *b == separator } else { b.is_ascii_hexdigit() };
        // Words of the digits a to f are names: `dead.beef.cafe`.
        let fits = part.iter().enumerate().all(right) && (width == 2 || part.iter().any(u8::is_ascii_digit));
        let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_hexdigit);
        let before = at.checked_sub(1).is_some_and(|i| digit(i) || bytes[i] == separator);
        let after = digit(at + length) || bytes.get(at + length) == Some(&separator) && digit(at + length + 1);
        (fits && !before && !after).then_some(Find { at: at..at + length, why: HARDWARE, mask: MASKED_ADDRESS })
    }

    /// Four numbers with dots, or what names have in their place, that begin here.
    fn v4_at(&self, text: &str, at: usize) -> Option<Find> {
        let bytes = text.as_bytes();
        let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
        if !digit(at) || at.checked_sub(1).is_some_and(digit) {
            return None;
        }
        let mut octets = [0_u8; 4];
        let mut end = at;
        let mut separator = None;
        for (part, octet) in octets.iter_mut().enumerate() {
            if part > 0 {
                let found = *bytes.get(end)?;
                if !matches!(found, b'.' | b'-' | b'_') || *separator.get_or_insert(found) != found {
                    return None;
                }
                end += 1;
            }
            let digits = (end..end + 4).take_while(|i| digit(*i)).count();
            *octet = text.get(end..end + digits)?.parse().ok()?;
            end += digits;
        }
        let (network, end) = with_prefix(Ipv4Addr::from(octets).into(), text, end);
        let why = self.address(&network)?;
        Some(Find { at: at..end, why, mask: MASKED_ADDRESS })
    }

    /// A name with a dot in it that begins here.
    fn name_at(&self, text: &str, at: usize) -> Option<Find> {
        let bytes = text.as_bytes();
        let of_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.') || *b >= 0x80;
        let begins = bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || bytes[at] >= 0x80;
        if !begins || at.checked_sub(1).is_some_and(|i| of_name(&bytes[i])) {
            return None;
        }
        let length = bytes[at..].iter().take_while(|b| of_name(b)).count();
        let name = text.get(at..at + length)?.trim_end_matches(['.', '-']);
        let plain = in_ascii(name);
        if !name.is_ascii()
            && let Ok(address) = plain.parse::<Ipv4Addr>()
        {
            let why = self.address(&IpAddr::V4(address).into())?;
            return Some(Find { at: at..at + name.len(), why, mask: MASKED_ADDRESS });
        }
        let last = plain.rsplit('.').next()?;
        if plain != "localhost" && (!plain.contains('.') || last.bytes().all(|b| b.is_ascii_digit())) {
            return None;
        }
        let why = self.name(name)?;
        Some(Find { at: at..at + name.len(), why, mask: MASKED_NAME })
    }
}

/// The text without its percent codes: a URL has the colons of a hardware address as `%3A`.
/// `None`: it has none.
fn without_codes(text: &str) -> Option<String> {
    let mut bare = unescape(text);
    if bare == text {
        return None;
    }
    for _ in 1..MAX_LAYERS {
        bare = unescape(&bare);
    }
    Some(bare)
}

/// The longest IPv6 address or network that begins here, and where it ends.
fn v6_at(text: &str, at: usize) -> Option<(IpNet, usize)> {
    let bytes = text.as_bytes();
    let digit = |b: &u8| b.is_ascii_hexdigit() || *b == b':';
    // A group has four digits at most, so a colon is near.
    if !digit(bytes.get(at)?) || !bytes[at..].iter().take(5).any(|b| *b == b':') {
        return None;
    }
    let run = bytes[at..].iter().take(MAX_V6).take_while(|b| digit(b) || **b == b'.').count();
    if bytes[at..at + run].iter().filter(|b| **b == b':').count() < 2 {
        return None;
    }
    let (address, end) =
        (at + 2..=at + run).rev().find_map(|end| Some((text.get(at..end)?.parse::<Ipv6Addr>().ok()?, end)))?;
    Some(with_prefix(address.into(), text, end))
}

/// The network, where a prefix length follows an address in a text.
fn with_prefix(address: IpAddr, text: &str, end: usize) -> (IpNet, usize) {
    let host = IpNet::from(address);
    let Some(rest) = text.get(end..).and_then(|rest| rest.strip_prefix('/')) else { return (host, end) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let network = rest[..digits].parse().ok().and_then(|prefix| IpNet::new(address, prefix).ok());
    network.map_or((host, end), |network| (network, end + 1 + digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn withheld() -> Withheld {
        let mut exclude = Exclude::default();
        exclude.add("45.155.205.0/24 , .corp.example").unwrap();
        Withheld::new(exclude)
    }

    #[test]
    fn texts_are_masked() {
        for (text, masked) in [
            ("servers: 192.168.10.254, 1.1.1.1.", "servers: [address], 1.1.1.1."),
            ("from 10.0.0.1:443 to [fe80::1%eth0]:53", "from [address]:443 to [[address]%eth0]:53"),
            ("net 10.0.0.0/8 and 185.220.101.0/24", "net [address] and 185.220.101.0/24"),
            ("8.0.0.0/5", "[address]"),
            ("10[.]0[.]0[.]1", "[address]"),
            ("src=010.001.002.003;", "src=[address];"),
            ("v1.10.0.0.1", "v1.[address]"),
            ("ip-10-1-2-3.eu.example", "ip-[address].eu.example"),
            ("(MAC address: 0C:70:00:00:00:00) 0c-70-00-00-00-00", "(MAC address: [address]) [address]"),
            ("MAC 001b.4411.3ab7, 001B-4411-3AB7.", "MAC [address], [address]."),
            (
                "001b.4411.3ab7.1 1.001b.4411.3ab7 cafe.beef.example",
                "001b.4411.3ab7.1 1.001b.4411.3ab7 cafe.beef.example",
            ),
            ("dhcp_192_168_1_5.isp.example, host.localdomain", "dhcp_[address].isp.example, [name]"),
            ("10\u{3002}0\u{3002}0\u{3002}1 \u{ff11}\u{ff10}.0.0.1", "[address] [address]"),
            ("::ffff:0a00:0001 AA:BB:CC:DD:EE:FF: xAA-BB-CC-DD-EE-FF", "[address] [address]: x[address]"),
            ("0:0:0:0:0:ffff:10.0.0.1 fe80--1.ipv6-literal.net", "[address] fe80--1.ipv6-literal.net"),
            ("at 10:13:00, took 2.5 s", "at 10:13:00, took 2.5 s"),
            ("::ffff:10.0.0.1 and ::ffff:185.220.101.47", "[address] and ::ffff:185.220.101.47"),
            ("FE80:0:0:0:0:0:0:1.", "[address]."),
            ("45.155.205.7 is ours, as is www.corp.example", "[address] is ours, as is [name]"),
            ("printer.local, localhost, bad.example.org", "[name], [name], bad.example.org"),
            ("4.3.2.10.in-addr.arpa", "[name]"),
            ("GET /?a=100%25&m=0c%3A70%3A00%3A00%3A00%3A00&x=%41", "GET /?a=100%&m=[address]&x=A"),
            ("GET /?a=100%25&x=%41%zz", "GET /?a=100%25&x=%41%zz"),
            ("www.printer\u{3002}local, a.\u{ff4c}\u{ff4f}\u{ff43}\u{ff41}\u{ff4c}", "[name], [name]"),
            ("b\u{fc}cher.local \u{1f600}10.0.0.1\u{fc}", "[name] \u{1f600}[address]\u{fc}"),
            ("www.corp.example10.0.0.1", "[name][address]"),
            ("1.2.3 999.1.1.1 protocol: 17", "1.2.3 999.1.1.1 protocol: 17"),
        ] {
            assert_eq!(withheld().mask(text), masked, "{text}");
        }
    }

    #[test]
    fn values_in_every_disguise() {
        let withheld = withheld();
        for value in [
            "http://10.0.0.1/x",
            "hxxp://10[.]0[.]0[.]1/x",
            "http://0x0a000001/",
            "http://167772161/",
            "http://012.0.0.1/",
            "http://[::ffff:10.0.0.1]/",
            "http://bad.example/?from=192.168.1.1",
            "bad.example|10.0.0.1",
            "10.0.0.1|443",
            "fe80::1|443",
            "user@printer.local",
            "https://intra.corp.example/",
            "http://bad.example/?mac=0c%3A70%3a00%3A00%3A00%3A00",
            "http://bad.example/?from=fe80%3A%3A1",
            "http://bad.example/?to=http%253A%252F%252Fb%25C3%25BCcher.local%252F",
        ] {
            assert!(withheld.value(value).is_some(), "{value}");
        }
        for value in
            ["http://185.220.101.47/x", "bad.example|185.220.101.47", "2a0b:f4c2:2::12|443", "d41d8cd98f", "a.exe"]
        {
            assert_eq!(withheld.value(value), None, "{value}");
        }
    }

    proptest! {
        /// Whatever stands around it.
        #[test]
        fn masking_is_final(text in "(?s)[0-9a-f:./\\-\\[\\] ]{0,60}|.{0,40}") {
            let masked = withheld().mask(&text);
            prop_assert_eq!(withheld().mask(&masked), masked.clone());
            prop_assert!(withheld().value(&masked).is_none() || masked.contains("://"), "{text:?} -> {masked:?}");
        }
    }
}
