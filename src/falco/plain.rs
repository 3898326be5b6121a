//! Plain lists for other tools: hashes with their file names, and domains. Off
//! unless configured, since Falco has no field for a file's hash and asks the DNS
//! for every name in a rule.
//!
//! Pure: sets in, bytes out. The values come from strangers, so nothing they hold
//! can end a line or a field.

use std::collections::BTreeSet;

/// `sha256,file name` a line, sorted, each pair once. The name may be empty; it is
/// quoted where RFC 4180 says so, without characters that a terminal would obey
/// or that would end the line.
pub fn hash_list(entries: BTreeSet<(String, String)>) -> Vec<u8> {
    // Names may have become equal by what was taken out of them.
    let clean: BTreeSet<(String, String)> = entries
        .into_iter()
        .map(|(hash, mut name)| {
            name.retain(|c| !breaks_line(c));
            (hash, name)
        })
        .collect();
    let mut out = Vec::new();
    for (hash, name) in &clean {
        field(hash, &mut out);
        out.push(b',');
        field(name, &mut out);
        out.push(b'\n');
    }
    out
}

/// One name a line, sorted, each once. A name with blanks or control characters
/// in it is none and is left out.
pub fn domain_list(names: &BTreeSet<String>) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        if !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || breaks_line(c)) {
            out.extend_from_slice(name.as_bytes());
            out.push(b'\n');
        }
    }
    out
}

/// Control characters, and the two separators that some readers take for a line's end.
fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A CSV field. Blanks at its ends are part of it, which some readers see only in quotes.
fn field(text: &str, out: &mut Vec<u8>) {
    let plain = !text.contains([',', '"']) && text.trim() == text;
    if plain {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hashes(entries: &[(&str, &str)]) -> String {
        let set = entries.iter().map(|(hash, name)| ((*hash).to_owned(), (*name).to_owned())).collect();
        String::from_utf8(hash_list(set)).unwrap()
    }

    #[test]
    fn sorted_unique_and_quoted() {
        let entries = [
            ("bb", "invoice.exe"),
            ("aa", "b.exe"),
            ("aa", ""),
            ("aa", "a, \"b\".exe"),
            ("aa", "b.exe"),
            ("aa", "b.\u{1b}exe\n"),
            ("cc", " led.exe"),
            ("cc", "bücher\u{2028}.exe"),
        ];
        let expected = "aa,\naa,\"a, \"\"b\"\".exe\"\naa,b.exe\nbb,invoice.exe\ncc,\" led.exe\"\ncc,bücher.exe\n";
        assert_eq!(hashes(&entries), expected);
        assert_eq!(hashes(&[]), "");
    }

    #[test]
    fn domains() {
        let names = ["b.example", "a.example", "b.example", "", "a b", "c\nd", "bücher.example"];
        let set = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(String::from_utf8(domain_list(&set)).unwrap(), "a.example\nb.example\nbücher.example\n");
    }

    /// A reader of RFC 4180, one line at a time.
    fn read(line: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let (mut quoted, mut chars) = (false, line.chars().peekable());
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => fields.last_mut().unwrap().extend(chars.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                _ => fields.last_mut().unwrap().push(c),
            }
        }
        fields
    }

    proptest! {
        #[test]
        fn a_reader_gets_back_what_went_in(names in proptest::collection::vec("(?s)[a-c,\" \n\u{7f}]{0,8}", 0..20)) {
            let set: BTreeSet<(String, String)> = names.iter().map(|name| ("ab".to_owned(), name.clone())).collect();
            let text = String::from_utf8(hash_list(set)).unwrap();
            let back: Vec<Vec<String>> = text.lines().map(read).collect();
            let cleaned: BTreeSet<String> = names.iter().map(|name| name.replace(['\n', '\u{7f}'], "")).collect();
            let expected: Vec<Vec<String>> = cleaned.into_iter().map(|name| vec!["ab".into(), name]).collect();
            prop_assert_eq!(back, expected);
        }
    }
}
