//! The YAML text as a tree of plain values, each under its key path, and the
//! place of a key path in the text.
//!
//! serde_yaml's own messages quote values, and a value may be the token; so it
//! only builds this tree, and every message about a value is ours. It tells a
//! place only in an error: to find one, the text is read again and the reading
//! is stopped there.

use super::keys;
use super::problem::{Origin, Place, Problem};
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;
use std::fmt;

/// A value and the key path it stands under; the root's path is empty.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) path: String,
    pub(super) value: Value,
}

/// What YAML can say.
#[derive(Debug)]
pub(super) enum Value {
    Nothing,
    Flag(bool),
    Whole(u64),
    Negative(i64),
    /// Fractions, and whole numbers of more than 64 bits.
    Fraction(f64),
    Text(String),
    List(Vec<Node>),
    Section(Vec<(String, Node)>),
}

/// The tree of a text, or what is wrong with the text as YAML.
pub(super) fn read(text: &str) -> Result<Node, Problem> {
    let walk = Walk { stop_at: None, ended: RefCell::default() };
    let result = root(&walk).deserialize(serde_yaml::Deserializer::from_str(text));
    result.map_err(|error| {
        let place = error.location().map(|at| Place { line: at.line(), column: at.column() });
        match walk.ended.into_inner() {
            Some(problem) => problem.at(place),
            None => Problem::new("", syntax(&error, text)).at(place),
        }
    })
}

/// Where the key (or list item) of a path stands, if the text has it.
pub(super) fn place_of(text: &str, path: &str) -> Option<Place> {
    let walk = Walk { stop_at: Some(path), ended: RefCell::default() };
    let error = root(&walk).deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    walk.ended.into_inner()?;
    error.location().map(|at| Place { line: at.line(), column: at.column() })
}

/// `section.key`
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What libyaml dislikes. Its texts are fixed and never quote the file; what serde
/// dislikes would begin with the keys on the way to it, which may be anything.
fn syntax(error: &serde_yaml::Error, text: &str) -> String {
    let line = error.location().and_then(|at| text.lines().nth(at.line().saturating_sub(1))).unwrap_or_default();
    if line.trim_start_matches(' ').starts_with('\t') {
        return "a tab; YAML is indented with blanks only".to_owned();
    }
    let full = error.to_string();
    // The one thing that a reader of any value and of keys as text does not take.
    if full.contains("invalid type: ") {
        return "a list or a section stands where a key belongs".to_owned();
    }
    // The place stands before the message already; "while scanning ... at line 3" may follow it.
    let problem = match full.split_once(" at line ") {
        Some((problem, rest)) => problem.to_owned() + rest.find(", ").map_or("", |at| &rest[at..]),
        None => full,
    };
    if problem.contains("more than one document") {
        return "a second YAML document begins (a line `---`); only one is allowed".to_owned();
    }
    let hint = if problem.contains("mapping values are not allowed") {
        "; a value with `: ` in it needs quotes, and the keys of a section begin in the same column"
    } else {
        ""
    };
    format!("not valid YAML: {problem}{hint}")
}

/// One reading of a text.
struct Walk<'a> {
    /// Where to stop, if it is only to find a place.
    stop_at: Option<&'a str>,
    /// Why we (not the YAML) ended the reading.
    ended: RefCell<Option<Problem>>,
}

impl Walk<'_> {
    fn end<E: Error>(&self, path: &str, message: &str) -> E {
        let mut problem = Problem::new(path, message);
        if !keys::may_be_named(path) {
            problem.origin = Origin::HiddenKey;
        }
        *self.ended.borrow_mut() = Some(problem);
        E::custom("ended")
    }

    fn is_stop(&self, path: &str) -> bool {
        self.stop_at == Some(path)
    }
}

/// Reads the value under `path`.
struct Reader<'w, 'a> {
    walk: &'w Walk<'a>,
    path: String,
    /// The place of a list item is its own; that of a key's value is the key's.
    is_item: bool,
}

fn root<'w, 'a>(walk: &'w Walk<'a>) -> Reader<'w, 'a> {
    Reader { walk, path: String::new(), is_item: false }
}

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Reader<'_, '_> {
    fn leaf<E: Error>(self, value: Value) -> Result<Node, E> {
        self.check_stop()?;
        Ok(Node { path: self.path, value })
    }

    fn check_stop<E: Error>(&self) -> Result<(), E> {
        if self.is_item && self.walk.is_stop(&self.path) {
            return Err(self.walk.end(&self.path, "here"));
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Reader<'_, '_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.leaf(Value::Nothing)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        self.leaf(Value::Nothing)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Node, E> {
        self.leaf(Value::Flag(flag))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        self.leaf(Value::Whole(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        self.leaf(u64::try_from(number).map_or(Value::Negative(number), Value::Whole))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Node, E> {
        self.leaf(Value::Fraction(number as f64))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Node, E> {
        self.leaf(Value::Fraction(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        self.leaf(Value::Fraction(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        self.leaf(Value::Text(text.to_owned()))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(self.walk.end(&self.path, "found a YAML tag (`!...`); allowed: plain values"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        self.check_stop()?;
        let mut list = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, list.len());
            match items.next_element_seed(Reader { walk: self.walk, path, is_item: true })? {
                Some(item) => list.push(item),
                None => return Ok(Node { path: self.path, value: Value::List(list) }),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        self.check_stop()?;
        let mut section: Vec<(String, Node)> = Vec::new();
        while let Some(key) = entries.next_key_seed(Key { walk: self.walk, path: &self.path, before: &section })? {
            let path = join(&self.path, &key);
            let node = entries.next_value_seed(Reader { walk: self.walk, path, is_item: false })?;
            section.push((key, node));
        }
        Ok(Node { path: self.path, value: Value::Section(section) })
    }
}

/// Reads a key of the section under `path`.
struct Key<'w, 'a> {
    walk: &'w Walk<'a>,
    path: &'w str,
    before: &'w [(String, Node)],
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        // Any scalar is text here: a key `1` or `true` ends as an unknown key.
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        let path = join(self.path, key);
        if self.before.iter().any(|(k, _)| k == key) {
            return Err(self.walk.end(&path, "stands here a second time; each key is allowed once"));
        }
        if self.walk.is_stop(&path) {
            return Err(self.walk.end(&path, "here"));
        }
        Ok(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "misp:\n  url: x\n  filter:\n    - types: [a, bb]\n    - orgs:\n        - z\n";

    #[test]
    fn places_are_those_of_keys_and_items() {
        for (path, line, column) in [
            ("misp", 1, 1),
            ("misp.url", 2, 3),
            ("misp.filter[0]", 4, 7),
            ("misp.filter[0].types", 4, 7),
            ("misp.filter[0].types[1]", 4, 18),
            ("misp.filter[1].orgs[0]", 6, 11),
        ] {
            assert_eq!(place_of(TEXT, path), Some(Place { line, column }), "{path}");
        }
        for missing in ["", "x", "misp.token", "misp.filter[2]"] {
            assert_eq!(place_of(TEXT, missing), None, "{missing}");
        }
    }

    #[test]
    fn a_duplicate_is_found_at_its_second_place() {
        let problem = read("misp:\n  url: x\n  url: y\n").unwrap_err();
        assert_eq!((problem.path.as_str(), problem.place), ("misp.url", Some(Place { line: 3, column: 3 })));
    }

    #[test]
    fn a_key_that_is_no_text_does_not_show_the_keys_above_it() {
        let key = "0123456789012345678901234567890123456789";
        for inner in ["? [a]\n  : b", "{a: b}: c", "- {[a]: b}"] {
            let problem = read(&format!("{key}:\n  {inner}\n")).unwrap_err();
            assert!(problem.message.contains("stands where a key belongs"), "{}", problem.message);
            assert!(!problem.text_at(None, problem.place).contains(key), "{inner}");
            assert!(problem.place.is_some(), "{inner}");
        }
    }

    /// Huge numbers have their own serde methods, whose default error quotes them.
    #[test]
    fn no_scalar_is_quoted_by_serde() {
        for digits in [10, 19, 20, 25, 38, 39, 40, 60, 400] {
            for sign in ["", "-"] {
                let text = format!("token: {sign}{}", "9".repeat(digits));
                assert!(read(&text).is_ok(), "{digits} digits");
            }
        }
    }
}
