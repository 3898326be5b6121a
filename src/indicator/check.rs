//! What a value must look like to be an indicator of its type.
//!
//! MISP has normalised what people typed (recordings, `trials_normalisation.json`),
//! so these checks keep out what a broken sync, an old event or an attacker could
//! bring: they never change a value.

use ipnet::IpNet;
use std::net::IpAddr;

/// The check of one value, or of one half of a composite.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check {
    /// So many hexadecimal digits.
    Hex(usize),
    /// An IP address.
    Ip,
    /// An IP address or a network.
    IpOrNetwork,
    /// A domain or host name.
    Domain,
    /// One line of text.
    Text,
}

/// Why a value is no indicator. Counted by reason and named in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// Nothing is left after trimming.
    Empty,
    /// A composite without exactly one `|`, or with an empty half.
    HalfComposite,
    /// Not the number of hexadecimal digits its type has.
    BadHash,
    /// Not an IP address (or network, where one is allowed).
    BadAddress,
    /// Not a domain or host name.
    BadDomain,
    /// A line break in a type that has one line.
    ControlBytes,
    /// Longer than MISP keeps values.
    TooLong,
    /// A type that was not asked for and that no rule knows.
    UnknownType,
}

impl Skip {
    /// The reason as reports and metrics name it.
    pub fn reason(self) -> &'static str {
        match self {
            Skip::Empty => "empty value",
            Skip::HalfComposite => "half composite",
            Skip::BadHash => "bad hash",
            Skip::BadAddress => "bad address",
            Skip::BadDomain => "bad domain",
            Skip::ControlBytes => "line break in value",
            Skip::TooLong => "value too long",
            Skip::UnknownType => "unknown type",
        }
    }
}

/// Longest name in the DNS (RFC 1035, section 2.3.4).
const MAX_DOMAIN: usize = 253;

impl Check {
    pub(super) fn test(self, value: &str) -> Result<(), Skip> {
        if value.is_empty() {
            return Err(Skip::Empty);
        }
        match self {
            Check::Hex(digits) => {
                let ok = value.len() == digits && value.bytes().all(|b| b.is_ascii_hexdigit());
                ok.then_some(()).ok_or(Skip::BadHash)
            }
            Check::Ip => value.parse::<IpAddr>().map(drop).map_err(|_| Skip::BadAddress),
            Check::IpOrNetwork => {
                // IpNet alone takes leading zeros in the address, which others read as octal.
                let address = value.split('/').next().unwrap_or_default();
                let ok = address.parse::<IpAddr>().is_ok() && (address == value || value.parse::<IpNet>().is_ok());
                ok.then_some(()).ok_or(Skip::BadAddress)
            }
            Check::Domain => domain(value),
            Check::Text => {
                // MISP refuses line breaks in every one-line type; a tab or NUL
                // survives in a file name and is kept (written as base64).
                if value.bytes().any(|b| b == b'\r' || b == b'\n') {
                    return Err(Skip::ControlBytes);
                }
                Ok(())
            }
        }
    }
}

/// Letters, digits, `-`, `_` and dots between non-empty labels. Letters beyond
/// ASCII pass: older MISP servers kept names that were never turned to punycode.
fn domain(value: &str) -> Result<(), Skip> {
    if value.len() > MAX_DOMAIN {
        return Err(Skip::BadDomain);
    }
    for label in value.split('.') {
        let ok = !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
        if !ok {
            return Err(Skip::BadDomain);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_have_their_length() {
        assert_eq!(Check::Hex(4).test("0aF9"), Ok(()));
        for bad in ["0aF", "0aF90", "0aFg", "0aF "] {
            assert_eq!(Check::Hex(4).test(bad), Err(Skip::BadHash), "{bad:?}");
        }
        assert_eq!(Check::Hex(4).test(""), Err(Skip::Empty));
    }

    #[test]
    fn addresses_and_networks() {
        for good in ["1.2.3.4", "2001:db8::1", "::ffff:1.2.3.4", "10.1.2.3/8", "2a0c:b641:570::/44"] {
            assert_eq!(Check::IpOrNetwork.test(good), Ok(()), "{good}");
        }
        for bad in [
            "01.2.3.4",
            "1.2.3.4:80",
            "1.2.3",
            "1.2.3.0/33",
            "010.0.0.0/8",
            "1.2.3.0/",
            "fe80::1%eth0",
            "[::1]",
            "host",
            "1.2.3.4\r\n",
        ] {
            assert_eq!(Check::IpOrNetwork.test(bad), Err(Skip::BadAddress), "{bad:?}");
        }
        assert_eq!(Check::Ip.test("10.0.0.0/8"), Err(Skip::BadAddress));
    }

    #[test]
    fn domains() {
        for good in ["example.net", "_dmarc.example.net", "xn--bcher-kva.example", "a-b.example", "bücher.example"] {
            assert_eq!(Check::Domain.test(good), Ok(()), "{good}");
        }
        for bad in ["a b.example", "a..b", ".example", "example.", "a/b", "a:80", "a\r\ndelete x", "*.example.com"] {
            assert_eq!(Check::Domain.test(bad), Err(Skip::BadDomain), "{bad:?}");
        }
        assert_eq!(Check::Domain.test(&"a".repeat(254)), Err(Skip::BadDomain));
    }
}
