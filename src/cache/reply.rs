//! memcached's replies, cut out of a byte stream. Pure: bytes in, replies out.
//!
//! The header lines are parsed by the `memcache` crate; this file only finds
//! where a reply ends. "Not yet" is no error.

use memcache::exp::{Error as WireError, MetaResponse, ReturnCode};

/// Longest header line that is believed: a key, its flags and room to spare.
const MAX_LINE: usize = 8192;

/// One reply of the meta protocol.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A header, and the value where it announces one.
    Meta {
        /// HD, VA, EN, NS, EX, NF, MN.
        code: ReturnCode,
        /// The number of the `O` flag, which names the command.
        opaque: Option<u64>,
        /// The `c` flag: the item's CAS value.
        cas: Option<u64>,
        /// The `t` flag: seconds left, -1 for ever.
        ttl: Option<i64>,
        /// The data block.
        value: Option<&'a [u8]>,
    },
    /// `SERVER_ERROR`, `CLIENT_ERROR` or `ERROR`: it does not say which command it means.
    Failure(String),
}

/// Why bytes are no reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Garbage(pub String);

/// The first reply in `bytes` and how many of them it takes; `None` where it is not all there.
///
/// # Errors
/// The bytes cannot be a reply: the stream is of no more use.
pub fn parse(bytes: &[u8]) -> Result<Option<(Reply<'_>, usize)>, Garbage> {
    let Some((line, end)) = line(bytes)? else { return Ok(None) };
    let header = match MetaResponse::parse_header(line) {
        Ok(header) => header,
        Err(WireError::Rejected(text) | WireError::Server(text)) => return Ok(Some((Reply::Failure(text), end))),
        Err(other) => return Err(Garbage(other.to_string())),
    };
    let (mut opaque, mut cas, mut ttl) = (None, None, None);
    for flag in header.flags() {
        match flag.split_first() {
            Some((b'O', n)) => opaque = number(n),
            Some((b'c', n)) => cas = number(n),
            Some((b't', n)) => ttl = number(n),
            _ => {}
        }
    }
    let code = header.rc();
    if code != ReturnCode::Va {
        return Ok(Some((Reply::Meta { code, opaque, cas, ttl, value: None }, end)));
    }
    // parse_header has checked that a VA line has a length and bounds it.
    let length: usize = line.split(|b| *b == b' ').filter(|t| !t.is_empty()).nth(1).and_then(number).unwrap_or(0);
    let Some(block) = bytes.get(end..end + length + 2) else { return Ok(None) };
    let Some(value) = block.strip_suffix(b"\r\n") else {
        return Err(Garbage("a value that does not end where its length says".into()));
    };
    Ok(Some((Reply::Meta { code, opaque, cas, ttl, value: Some(value) }, end + length + 2)))
}

/// The first line without its end, and where the next begins.
///
/// # Errors
/// More bytes without an end of line than any line of memcached's has.
pub fn line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Garbage> {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    match window.iter().position(|b| *b == b'\n') {
        Some(end) => Ok(Some((window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]), end + 1))),
        None if bytes.len() >= MAX_LINE => Err(Garbage("a line without end".into())),
        None => Ok(None),
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind() {
        let meta = |code, opaque, cas, ttl, value| Reply::Meta { code, opaque, cas, ttl, value };
        for (bytes, expected) in [
            (&b"MN\r\n"[..], meta(ReturnCode::Mn, None, None, None, None)),
            (b"NS O12\r\n", meta(ReturnCode::Ns, Some(12), None, None, None)),
            (b"VA 5 c77 t-1 O3\r\n1#md5\r\n", meta(ReturnCode::Va, Some(3), Some(77), Some(-1), Some(b"1#md5"))),
            (b"VA 0 O1\r\n\r\n", meta(ReturnCode::Va, Some(1), None, None, Some(b""))),
            (b"SERVER_ERROR object too large for cache\r\n", Reply::Failure("object too large for cache".into())),
            (b"ERROR\r\n", Reply::Failure("ERROR".into())),
        ] {
            assert_eq!(parse(bytes), Ok(Some((expected, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut} bytes of {bytes:?}");
            }
        }
    }

    #[test]
    fn garbage_is_named() {
        assert!(parse(b"HTTP/1.1 400 Bad Request\r\n").is_err());
        assert!(parse(b"VA 3\r\nabcdefgh").is_err());
        assert!(parse(&[b'x'; MAX_LINE]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, used))) = parse(&bytes) {
                prop_assert!(used > 0 && used <= bytes.len());
            }
        }
    }
}
