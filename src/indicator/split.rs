//! One attribute's value into the indicators it stands for.

use super::check::{Check, Skip};
use super::mapped::mapped;
use super::namespace::Namespace;
use super::types::{MispType, Rule};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// The number of the rules by which an attribute comes to its indicators, those of the types
/// and of the checks too. A ledger that was made by others is a ledger of another question: raise
/// it with every change of them, and the next pass fetches every event again.
pub const RULES: u32 = 1;

/// Splits `value` by the rule of its type and hands each indicator to `each`.
///
/// The value is trimmed, and nothing else of it is changed: MISP has normalised
/// it. An address that is a network is given under `cidr` with its host bits
/// cleared and under `ip` as MISP writes it; an IPv4-mapped IPv6 address or network
/// is also given as plain IPv4. Where one half of a composite that keeps both is bad, the
/// good half is still given.
///
/// # Errors
/// The reason why the value, or one of its halves, is no indicator.
pub fn split(kind: MispType, value: &str, mut each: impl FnMut(Namespace, &str)) -> Result<(), Skip> {
    let value = value.trim();
    if value.is_empty() {
        return Err(Skip::Empty);
    }
    match kind.rule() {
        Rule::Whole(namespace, check) => one(namespace, check, value, &mut each),
        Rule::First(namespace, check) => one(namespace, check, halves(value)?.0, &mut each),
        Rule::Second(namespace, check) => one(namespace, check, halves(value)?.1, &mut each),
        Rule::Both((namespace1, check1), (namespace2, check2)) => {
            let (first, second) = halves(value)?;
            let a = one(namespace1, check1, first, &mut each);
            let b = one(namespace2, check2, second, &mut each);
            a.and(b)
        }
    }
}

/// The two halves of a composite: MISP shows `value1|value2` with exactly one
/// `|` (a file name that has one is refused there).
fn halves(value: &str) -> Result<(&str, &str), Skip> {
    let (first, second) = value.split_once('|').ok_or(Skip::HalfComposite)?;
    let (first, second) = (first.trim(), second.trim());
    if first.is_empty() || second.is_empty() || second.contains('|') {
        return Err(Skip::HalfComposite);
    }
    Ok((first, second))
}

fn one(namespace: Namespace, check: Check, value: &str, each: &mut impl FnMut(Namespace, &str)) -> Result<(), Skip> {
    check.test(value)?;
    if namespace == Namespace::Ip {
        address(value, each);
    } else {
        each(namespace, value);
    }
    Ok(())
}

/// A checked address or network.
fn address(value: &str, each: &mut impl FnMut(Namespace, &str)) {
    each(Namespace::Ip, value);
    if value.contains('/') {
        if let Ok(network) = value.parse::<IpNet>() {
            each(Namespace::Cidr, &network.trunc().to_string());
            if let IpNet::V6(v6) = network
                && let Some(v4) = mapped(v6)
            {
                each(Namespace::Cidr, &v4.to_string());
            }
        }
    } else if let Some(v4) = value.parse::<Ipv6Addr>().ok().and_then(|v6| v6.to_ipv4_mapped()) {
        each(Namespace::Ip, &IpAddr::V4(v4).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    fn all(kind: &str, value: &str) -> (Vec<(String, String)>, Result<(), Skip>) {
        let mut out = Vec::new();
        let r = split(MispType::from_name(kind).unwrap(), value, |n, v| out.push((n.name().into(), v.into())));
        (out, r)
    }

    fn ok(kind: &str, value: &str) -> Vec<(String, String)> {
        let (out, r) = all(kind, value);
        assert_eq!(r, Ok(()), "{kind} {value:?}");
        out
    }

    fn pair(n: &str, v: &str) -> (String, String) {
        (n.into(), v.into())
    }

    /// Fails when an attribute comes to other indicators than before. If that is meant, write
    /// the new digest here and raise [`RULES`].
    #[test]
    fn the_rules_have_a_number() {
        let values = [
            "198.51.100.7",
            "198.51.100.0/24",
            "198.51.100.7|443",
            "2001:DB8::1",
            "::ffff:198.51.100.0/120",
            "fe80::1%eth0",
            "evil.example",
            "Evil.Example.",
            "evil.example|198.51.100.7",
            "bücher.example",
            "a b",
            "",
            "|",
            "a|b|c",
            "http://Evil.example:80/a?b#c",
            "/gate.php",
            "someone@evil.example",
            "invoice.exe",
            "x.exe|198.51.100.7",
            "e7d00812fcf0d4e11c1d088568cc2229",
            "a.exe|e7d00812fcf0d4e11c1d088568cc2229",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C",
            "HKLM\\Software\\x",
            "HKLM\\x|1",
            "T1:\u{1}",
            "AS64496",
        ];
        let mut digest = Sha256::new();
        for kind in MispType::all() {
            for value in values {
                digest.update(format!("{}{:?}", kind.name(), all(kind.name(), value)));
            }
        }
        let digest: String = digest.finalize().iter().take(4).map(|b| format!("{b:02x}")).collect();
        assert_eq!((RULES, digest.as_str()), (1, "a9abdc56"));
    }

    #[test]
    fn composites_of_the_recordings() {
        assert_eq!(
            ok("filename|md5", "invoice.exe|e7d00812fcf0d4e11c1d088568cc2229"),
            [pair("md5", "e7d00812fcf0d4e11c1d088568cc2229")]
        );
        assert_eq!(
            ok("domain|ip", "drop6.example.net|2001:db8::ab"),
            [pair("domain", "drop6.example.net"), pair("ip", "2001:db8::ab")]
        );
        assert_eq!(ok("ip-dst|port", "2001:db8::2|8080"), [pair("ip", "2001:db8::2")]);
        assert_eq!(ok("hostname|port", "c2.example.net|8080"), [pair("domain", "c2.example.net")]);
        assert_eq!(
            ok("regkey|value", "HKCU\\Software\\Run\\x|C:\\Temp\\a b.exe"),
            [pair("regkey", "HKCU\\Software\\Run\\x")]
        );
    }

    #[test]
    fn a_pipe_is_plain_text_outside_composites() {
        assert_eq!(ok("filename", "weird|pipe name.exe"), [pair("filename", "weird|pipe name.exe")]);
        assert_eq!(ok("url", "http://pipe.example.com/a|b"), [pair("url", "http://pipe.example.com/a|b")]);
    }

    #[test]
    fn networks_and_mapped_addresses() {
        assert_eq!(ok("ip-dst", "10.1.2.3/8"), [pair("ip", "10.1.2.3/8"), pair("cidr", "10.0.0.0/8")]);
        assert_eq!(
            ok("ip-dst", "::ffff:185.220.101.50"),
            [pair("ip", "::ffff:185.220.101.50"), pair("ip", "185.220.101.50")]
        );
        assert_eq!(
            ok("ip-dst", "::ffff:185.220.101.50/120"),
            [
                pair("ip", "::ffff:185.220.101.50/120"),
                pair("cidr", "::ffff:185.220.101.0/120"),
                pair("cidr", "185.220.101.0/24")
            ]
        );
        assert_eq!(ok("ip-dst", "::ffff:0:0/95").len(), 2);
    }

    #[test]
    fn half_composites_are_named() {
        for bad in ["a.exe", "a.exe|", "|e7d00812fcf0d4e11c1d088568cc2229", "a|b|e7d00812fcf0d4e11c1d088568cc2229", "|"]
        {
            assert_eq!(all("filename|md5", bad), (vec![], Err(Skip::HalfComposite)), "{bad}");
        }
        let (out, r) = all("domain|ip", "good.example.net|999.1.1.1");
        assert_eq!((out, r), (vec![pair("domain", "good.example.net")], Err(Skip::BadAddress)));
    }

    #[test]
    fn only_outer_blanks_go() {
        assert_eq!(ok("user-agent", " two  inner  spaces\t"), [pair("user-agent", "two  inner  spaces")]);
        assert_eq!(ok("filename", "back\\slash\tTab.js"), [pair("filename", "back\\slash\tTab.js")]);
        assert_eq!(all("url", "http://a/\r\ndelete misp-stats").1, Err(Skip::ControlBytes));
    }

    proptest! {
        /// Whatever a stranger typed: no panic, no line break, nothing invented.
        #[test]
        fn any_text(code in 0u8..88, value in "\\PC{0,40}|[0-9a-f.:/|]{0,60}|(?s).{0,30}") {
            let kind = MispType::from_code(code).unwrap();
            let mut out = Vec::new();
            let result = split(kind, &value, |n, v| out.push((n, v.to_string())));
            prop_assert!(result.is_err() || !out.is_empty());
            for (namespace, v) in out {
                prop_assert!(!v.is_empty() && v == v.trim());
                prop_assert!(!v.contains(['\r', '\n']));
                prop_assert_eq!(namespace.category(), kind.category());
                if namespace != Namespace::Cidr && namespace != Namespace::Ip {
                    prop_assert!(value.contains(&v));
                }
            }
        }
    }
}
