//! MISP's words for our messages: without the key, without what a terminal would
//! obey, and short. Pure.
//!
//! A server (or a proxy before it) may send back what it was sent, the
//! `Authorization` header with it; and a message ends in a log that others read.

use secrecy::{ExposeSecret, SecretString};

/// Characters of MISP's words that a message holds.
const MAX_QUOTED: usize = 200;

/// So many characters of the key in a row are taken out, wherever a quotation cuts
/// the key: what is left of it is of no use.
const RUN: usize = 8;

/// Stands for what was taken out.
const HIDDEN: &str = "***";

/// Quotes a server that knows this key.
#[derive(Debug, Clone)]
pub struct Quote {
    key: SecretString,
}

impl Quote {
    /// For answers to requests with this key.
    pub fn new(key: &SecretString) -> Quote {
        Quote { key: key.clone() }
    }

    /// The text as a message may show it.
    pub fn of(&self, text: &str) -> String {
        let key = self.key.expose_secret();
        // Hiding shortens the text; this is enough for what is shown and the key at its end.
        let head: String = text.chars().filter(|c| !is_control(*c)).take(2 * MAX_QUOTED + key.len()).collect();
        let shown = hide(&head, key);
        let mut short: String = shown.chars().take(MAX_QUOTED).collect();
        if short.len() < shown.len() {
            short.push_str("...");
        }
        short
    }
}

/// The text without those parts that are also parts of the key, in any case.
fn hide(text: &str, key: &str) -> String {
    let run = RUN.min(key.len());
    if run == 0 {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut hidden = vec![false; bytes.len()];
    for (at, window) in bytes.windows(run).enumerate() {
        if key.as_bytes().windows(run).any(|part| part.eq_ignore_ascii_case(window)) {
            hidden[at..at + run].fill(true);
        }
    }
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if !hidden[at] {
            out.push(c);
        } else if at == 0 || !hidden[at - 1] {
            out.push_str(HIDDEN);
        }
    }
    out
}

/// Control characters, and those that turn the direction of the text or end its line.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "abcdefghijABCDEFGHIJ0123456789zyxwvutsrq";

    fn quote(text: &str) -> String {
        Quote::new(&KEY.into()).of(text)
    }

    #[test]
    fn the_key_goes_and_the_rest_stays() {
        assert_eq!(quote("no such key"), "no such key");
        assert_eq!(quote(&format!("Authorization: {KEY}, sorry")), "Authorization: ***, sorry");
        assert_eq!(quote(&format!("{KEY}{KEY} {}", KEY.to_uppercase())), "*** ***");
        assert_eq!(quote(&format!("part of it: {}", &KEY[5..20])), "part of it: ***");
        assert_eq!(quote(&format!("b\u{fc}cher{KEY}\u{fc}")), "b\u{fc}cher***\u{fc}");
        assert_eq!(Quote::new(&"".into()).of("x"), "x");
        assert_eq!(Quote::new(&"abc".into()).of("ab abc ABCD"), "ab *** ***D");
    }

    #[test]
    fn short_and_plain() {
        let long = quote(&"x".repeat(5_000_000));
        assert_eq!(long.len(), MAX_QUOTED + 3);
        assert_eq!(quote("a\u{1b}[31mb\r\nc\u{202e}d\u{9b}"), "a[31mbcd");
    }

    proptest! {
        /// Wherever the key stands and whatever stands between it and the next one.
        #[test]
        fn never_a_long_part_of_it(before in "(?s).{0,250}", between in "[a-zA-Z0-9 ]{0,9}", cut in 0..KEY.len()) {
            let shown = quote(&format!("{before}{KEY}{between}{KEY}{}", &KEY[..cut])).to_lowercase();
            for part in KEY.as_bytes().windows(RUN) {
                let part = std::str::from_utf8(part).unwrap().to_lowercase();
                prop_assert!(!shown.contains(&part), "{shown}");
            }
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert!(!format!("{:?}", Quote::new(&KEY.into())).contains("abcdefgh"));
    }
}
