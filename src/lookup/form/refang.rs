//! Takes the wrapping off a value: blanks, quotes, angle brackets, and what
//! reports do to an indicator so that nobody clicks on it (`hxxp`, `[.]`).

use std::borrow::Cow;

/// Without outer blanks, and without the invisible marks that copying from a web
/// page or a file with a byte order mark leaves at the ends.
pub(super) fn trim(value: &str) -> &str {
    value.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'))
}

/// Without pairs of quotes or angle brackets around it.
pub(super) fn unquote(value: &str) -> &str {
    const PAIRS: [(char, char); 6] = [('"', '"'), ('\'', '\''), ('`', '`'), ('<', '>'), ('“', '”'), ('‘', '’')];
    let mut value = value;
    while let Some(inner) =
        PAIRS.iter().find_map(|(open, close)| value.strip_prefix(*open).and_then(|v| v.strip_suffix(*close)))
    {
        value = trim(inner);
    }
    value
}

/// What is put in brackets of any kind, and what it stands for.
const BRACKETED: [(&str, &str); 6] = [(".", "."), ("dot", "."), (":", ":"), ("://", "://"), ("at", "@"), ("@", "@")];

/// The longest text of [`BRACKETED`].
const MAX_BRACKETED: usize = 3;

/// Schemes that stand for `http`: MISP's own list.
const SCHEMES: [&str; 5] = ["hxxp", "hxtp", "htxp", "meow", "h[tt]p"];

/// The value as it was before somebody made it harmless.
pub(super) fn refang(value: &str) -> Cow<'_, str> {
    let disguise = SCHEMES.iter().find(|s| starts_with(value, s) && is_scheme_end(&value[s.len()..]));
    if disguise.is_none() && !value.contains(['[', '(', '{']) {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    if let Some(scheme) = disguise {
        out.push_str("http");
        rest = &value[scheme.len()..];
    }
    while let Some(at) = rest.find(['[', '(', '{']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (meant, length) = bracketed(rest).unwrap_or((&rest[..1], 1));
        out.push_str(meant);
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// What the bracket at the start of `rest` means, and how many bytes it takes.
fn bracketed(rest: &str) -> Option<(&'static str, usize)> {
    let close = match rest.as_bytes().first()? {
        b'[' => b']',
        b'(' => b')',
        _ => b'}',
    };
    let length = rest.bytes().skip(1).take(MAX_BRACKETED + 1).position(|b| b == close)?;
    // Between two ASCII bytes, so this is a character boundary.
    let inner = &rest[1..=length];
    let (_, meant) = BRACKETED.iter().find(|(text, _)| text.eq_ignore_ascii_case(inner))?;
    Some((meant, length + 2))
}

/// Whether `value` starts with this ASCII text in any case.
pub(super) fn starts_with(value: &str, start: &str) -> bool {
    value.as_bytes().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

/// Whether a scheme ends here, with or without the `s` of `https`: `meow` may also
/// be how a file name begins.
fn is_scheme_end(rest: &str) -> bool {
    let rest = rest.strip_prefix(['s', 'S']).unwrap_or(rest);
    rest.starts_with(':') || ["[:", "(:", "{:"].iter().any(|s| rest.starts_with(s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn disguises() {
        for (typed, meant) in [
            ("1[.]2(.)3{.}4", "1.2.3.4"),
            ("evil[dot]example(DOT)com", "evil.example.com"),
            ("hxxp://a[.]example/x", "http://a.example/x"),
            ("hXXps[://]a.example", "https://a.example"),
            ("hxxp[:]//a.example", "http://a.example"),
            ("meow://a.example/x", "http://a.example/x"),
            ("h[tt]p://a", "http://a"),
            ("user[at]example[.]com", "user@example.com"),
            ("user[@]example.com", "user@example.com"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("http://[::]/", "http://[::]/"),
            ("meow.exe", "meow.exe"),
            ("a[b](c)", "a[b](c)"),
            ("[.", "[."),
            ("[ü.]", "[ü.]"),
        ] {
            assert_eq!(refang(typed), meant, "{typed}");
        }
    }

    #[test]
    fn wrapping() {
        assert_eq!(unquote(trim("\u{feff} \"<user@example.com>\" \t")), "user@example.com");
        assert_eq!(unquote("“1.2.3.4”"), "1.2.3.4");
        assert_eq!(unquote("\""), "\"");
        assert_eq!(unquote("it's"), "it's");
        assert_eq!(unquote("''"), "");
    }

    proptest! {
        #[test]
        fn any_text(value in "(?s).{0,40}|[\\[\\](){}.:/@adotxhsüp\"'<>]{0,40}") {
            prop_assert!(refang(unquote(trim(&value))).len() <= value.len());
        }
    }
}
