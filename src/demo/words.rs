//! A filter by words as MISP's searches take it: types, categories,
//! organisations, tags, event ids.
//!
//! It knows neither what the words are for nor where they come from.

use serde_json::Value;
use std::collections::HashSet;

/// A filter by words: any of `or`, all of `and`, none of `not`; `%` at the start
/// or the end of a word makes it a pattern.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// The words of which any will do; none: anything.
    pub(super) or: Vec<String>,
    and: Vec<String>,
    not: Vec<String>,
}

impl Words {
    /// How MISP reads such a filter.
    pub(super) fn read(value: Option<&Value>) -> Words {
        let mut words = Words::default();
        match value {
            Some(Value::Object(parts)) => {
                each_word(parts.get("OR"), &mut |w| words.or.push(w.into()));
                each_word(parts.get("AND"), &mut |w| words.and.push(w.into()));
                each_word(parts.get("NOT"), &mut |w| words.not.push(w.into()));
            }
            other => each_word(other, &mut |w| match w.strip_prefix('!') {
                Some(w) => words.not.push(w.into()),
                None => words.or.push(w.into()),
            }),
        }
        words
    }

    /// The words in lower case where any of them will do and none is a pattern.
    pub(super) fn plain(&self) -> Option<HashSet<String>> {
        let pattern = |word: &String| word.starts_with('%') || word.ends_with('%');
        let plain = !self.or.is_empty() && self.and.is_empty() && self.not.is_empty() && !self.or.iter().any(pattern);
        plain.then(|| self.or.iter().map(|word| word.to_lowercase()).collect())
    }

    /// Whether there is a word to find.
    pub(super) fn is_empty(&self) -> bool {
        self.or.is_empty() && self.and.is_empty() && self.not.is_empty()
    }

    /// Whether a thing with these texts is meant. Only tags care for case.
    pub(super) fn take<'t>(&self, case: Case, texts: impl Iterator<Item = &'t str> + Clone) -> bool {
        let found = |word: &String| texts.clone().any(|text| like(word, text, case));
        (self.or.is_empty() || self.or.iter().any(found)) && self.and.iter().all(found) && !self.not.iter().any(found)
    }
}

/// Whether upper and lower case differ: they do for tags only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Matters,
    Ignored,
}

/// Words of a number, a text (`a||b` and `a&&b` are both OR) or a list of them.
fn each_word(value: Option<&Value>, each: &mut dyn FnMut(&str)) {
    match value {
        Some(Value::Number(n)) => each(&n.to_string()),
        Some(Value::String(text)) => {
            text.split("||").flat_map(|t| t.split("&&")).filter(|w| !w.is_empty()).for_each(each);
        }
        Some(Value::Array(list)) => list.iter().for_each(|one| each_word(Some(one), each)),
        _ => {}
    }
}

fn like(word: &str, text: &str, case: Case) -> bool {
    let pattern = word.starts_with('%') || word.ends_with('%');
    if case == Case::Ignored {
        return if pattern {
            like(&word.to_lowercase(), &text.to_lowercase(), Case::Matters)
        } else {
            word.eq_ignore_ascii_case(text)
        };
    }
    if !pattern {
        return word == text;
    }
    let mut parts = word.split('%');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns() {
        for (word, text, expected) in [
            ("filename|%", "filename|md5", true),
            ("%sha256", "filename|sha256", true),
            ("%sha%", "sha512/256", true),
            ("%sha256", "sha256x", false),
            ("tlp:%", "tlp:amber", true),
            ("%a%a", "a", false),
            ("a%b", "axb", false),
            ("%", "anything", true),
        ] {
            assert_eq!(like(word, text, Case::Matters), expected, "{word} {text}");
        }
        assert!(like("SHA256", "sha256", Case::Ignored) && !like("TLP:Red", "tlp:red", Case::Matters));
    }

    #[test]
    fn forms() {
        let takes = |filter: Value, text: &str| Words::read(Some(&filter)).take(Case::Ignored, std::iter::once(text));
        for any in [json!("md5||sha1"), json!("md5&&sha1"), json!(["md5", "sha1"]), json!({"OR": ["md5", "sha1"]})] {
            assert!(takes(any.clone(), "SHA1") && !takes(any.clone(), "url"), "{any}");
        }
        for none in [json!("!md5"), json!(["!md5", "!url"]), json!({"NOT": "md5"})] {
            assert!(takes(none.clone(), "sha1") && !takes(none.clone(), "md5"), "{none}");
        }
        assert!(takes(json!([]), "md5") && takes(json!({"OR": []}), "md5") && takes(json!(7), "7"));
        let both = Words::read(Some(&json!({"AND": ["a", "b"]})));
        assert!(both.take(Case::Matters, ["b", "a"].into_iter()) && !both.take(Case::Matters, ["a"].into_iter()));
    }
}
