//! Text of strangers for people: nothing in it that a terminal would obey, that ends a
//! line, or that cannot be seen.

use std::fmt::Write;

/// The text with every character that is no ink written out: `\n`, `\x1b`, `\u{202e}`.
pub fn printable(text: &str) -> String {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Characters that turn the direction of text, join it, or take no room: two values
/// that look the same, or a table that reads backwards.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(printable("a\x1b[2Jb\r\n\t\0"), "a\\x1b[2Jb\\r\\n\\t\\x00");
        assert_eq!(printable("\u{9b}31m\u{202e}exe.\u{200b}\u{7f}"), "\\u{9b}31m\\u{202e}exe.\\u{200b}\\x7f");
        assert_eq!(printable("bücher C:\\x"), "bücher C:\\x");
    }
}
