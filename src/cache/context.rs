//! The fields behind `EVENTID#TYPE`: escaped, cut, joined, and read back. Pure; which
//! fields there are and where they come from is not known here.

/// Most bytes of one field as it is written: a value has an entry for each event, and
/// stays below memcached's item limit only if its entries are short.
pub const MAX_FIELD: usize = 128;

/// Most bytes of all fields of one entry, their separators included; what is longer
/// in memcached is another program's.
pub const MAX_CONTEXT: usize = 2048;

/// Appends a field: ASCII only, and percent codes for all that separates fields or
/// entries. What is too long is cut, never within a character.
pub fn push_field(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let end = out.len() + MAX_FIELD;
    let mut bytes = [0; 4];
    for c in text.chars() {
        let plain = c.is_ascii_graphic() && !matches!(c, '#' | ',' | '%');
        let more = if plain { 1 } else { 3 * c.len_utf8() };
        if out.len() + more > end {
            return;
        }
        if plain {
            out.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut bytes).bytes() {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// A field as it was before it was escaped; what is no percent code stays as it is,
/// and bytes that are no UTF-8 become U+FFFD.
pub fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = &behind[2..];
            }
            _ => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The fields of a context that are not empty, each with its name; `names` are those
/// of the fields in their order.
pub fn named<'n>(context: &str, names: &[&'n str]) -> Vec<(&'n str, String)> {
    let fields = names.iter().zip(context.split('#')).filter(|(_, field)| !field.is_empty());
    fields.map(|(name, field)| (*name, unescape(field))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        push_field(&mut out, text);
        out
    }

    #[test]
    fn by_hand() {
        assert_eq!(escaped("ACME, Inc#"), "ACME%2C%20Inc%23");
        assert_eq!(escaped("100% Bücher\r\n"), "100%25%20B%C3%BCcher%0D%0A");
        assert_eq!(escaped("tlp:amber+strict"), "tlp:amber+strict");
        assert_eq!(escaped(&"x".repeat(500)).len(), MAX_FIELD);
        assert_eq!(escaped(&"ü".repeat(500)), "%C3%BC".repeat(MAX_FIELD / 6));
        assert_eq!(unescape("%zz%4%"), "%zz%4%");
        assert_eq!(named("a%20b##c#d", &["one", "two", "three"]), [("one", "a b".into()), ("three", "c".into())]);
        assert_eq!(named("", &["one"]), []);
    }

    proptest! {
        #[test]
        fn round_trip(text in "(?s).{0,10}") {
            let field = escaped(&text);
            prop_assert!(field.bytes().all(|b| b.is_ascii_graphic() && !b"#,".contains(&b)), "{field}");
            prop_assert_eq!(unescape(&field), text);
        }

        #[test]
        fn what_is_cut_is_a_beginning(text in "(?s).{0,200}") {
            let field = escaped(&text);
            prop_assert!(field.len() <= MAX_FIELD && text.starts_with(&unescape(&field)));
        }

        #[test]
        fn any_field_can_be_read(field in "(?s).{0,50}") {
            unescape(&field);
        }
    }
}
