//! The tree into the structs: serde's part. Every error says under which key it
//! happened, and quotes a value only where [`keys`] allows it.
//!
//! Also the two kindnesses to old files: YAML 1.1's `yes`, `no`, `on` and `off`
//! are flags (the Python tool's YAML took them so), and a section whose keys are
//! all commented out is a section of defaults.

use super::node::{Node, Value};
use super::problem::{Problem, quoted};
use super::{Config, keys};
use serde::Deserialize;
use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{Error, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// The configuration that a tree says.
pub(super) fn decode(root: Node) -> Result<Config, Problem> {
    Config::deserialize(root).map_err(|flaw| flaw.into_problem())
}

/// What serde found wrong; the nearest node around it adds the path.
#[derive(Debug)]
pub(super) struct Flaw {
    path: Option<String>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// `shown` only where the key's value may be shown, `kind` else.
    Wrong {
        kind: &'static str,
        shown: Option<String>,
        /// What to do, besides writing what is allowed.
        hint: &'static str,
    },
    UnknownKey {
        key: String,
        fields: &'static [&'static str],
    },
    Said(String),
}

impl Flaw {
    fn new(what: What) -> Flaw {
        Flaw { path: None, what }
    }

    fn under(mut self, path: &str) -> Flaw {
        self.path.get_or_insert_with(|| path.to_owned());
        self
    }

    fn into_problem(self) -> Problem {
        let path = self.path.unwrap_or_default();
        match self.what {
            What::Said(message) => Problem::new(path, message),
            What::UnknownKey { key, fields } => keys::unknown(&path, &key, fields),
            What::Wrong { kind, shown, hint } => {
                let shown = shown.filter(|_| keys::may_be_shown(&path));
                let found = shown.as_deref().unwrap_or(kind);
                let mut problem = match keys::allowed(&path) {
                    Some(_) => Problem::found(&path, found),
                    None if path.is_empty() => {
                        Problem::new(path, format!("found {found} at the top; allowed: sections such as `misp:`"))
                    }
                    None => {
                        Problem::new(path, format!("found {found}; allowed: the section's keys, indented below it"))
                    }
                };
                problem.message.push_str(hint);
                problem
            }
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrong configuration")
    }
}

impl std::error::Error for Flaw {}

impl Error for Flaw {
    fn custom<T: fmt::Display>(message: T) -> Flaw {
        Flaw::new(What::Said(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Flaw {
        let (kind, shown) = match unexpected {
            Unexpected::Bool(flag) => ("a flag", Some(flag.to_string())),
            Unexpected::Unsigned(number) => ("a number", Some(number.to_string())),
            Unexpected::Signed(number) => ("a number", Some(number.to_string())),
            Unexpected::Float(number) => ("a number", Some(number.to_string())),
            Unexpected::Str(text) => ("a text", Some(quoted(text))),
            Unexpected::Seq => ("a list", None),
            Unexpected::Map => ("a section", None),
            _ => ("nothing", None),
        };
        let hint = match (unexpected, expected.to_string().as_str()) {
            // serde's own words for String and PathBuf.
            (
                Unexpected::Bool(_) | Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_),
                "a string" | "path string",
            ) => "; put it in quotes",
            (Unexpected::Str(text), _) if text.parse::<i64>().is_ok() || matches!(text, "true" | "false") => {
                "; take the quotes away"
            }
            (Unexpected::Str(text), words) if text.contains(':') && words.starts_with("struct ") => {
                " (a `:` needs a blank after it)"
            }
            _ => "",
        };
        Flaw::new(What::Wrong { kind, shown, hint })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Flaw {
        Flaw::invalid_type(unexpected, expected)
    }

    fn unknown_variant(variant: &str, _: &'static [&'static str]) -> Flaw {
        // What is allowed stands in `keys`, as for every other value.
        Flaw::invalid_type(Unexpected::Str(variant), &"a word")
    }

    fn unknown_field(field: &str, fields: &'static [&'static str]) -> Flaw {
        Flaw::new(What::UnknownKey { key: field.to_owned(), fields })
    }
}

impl Value {
    /// As serde's error methods want it.
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Value::Nothing => Unexpected::Unit,
            Value::Flag(flag) => Unexpected::Bool(*flag),
            Value::Whole(number) => Unexpected::Unsigned(*number),
            Value::Negative(number) => Unexpected::Signed(*number),
            Value::Fraction(number) => Unexpected::Float(*number),
            Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Section(_) => Unexpected::Map,
        }
    }
}

fn visit<'de, V: Visitor<'de>>(value: Value, visitor: V) -> Result<V::Value, Flaw> {
    match value {
        Value::Nothing => visitor.visit_unit(),
        Value::Flag(flag) => visitor.visit_bool(flag),
        Value::Whole(number) => visitor.visit_u64(number),
        Value::Negative(number) => visitor.visit_i64(number),
        Value::Fraction(number) => visitor.visit_f64(number),
        Value::Text(text) => visitor.visit_string(text),
        Value::List(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter())),
        Value::Section(entries) => visitor.visit_map(MapDeserializer::new(entries.into_iter())),
    }
}

impl<'de> IntoDeserializer<'de, Flaw> for Node {
    type Deserializer = Node;

    fn into_deserializer(self) -> Node {
        self
    }
}

impl<'de> serde::Deserializer<'de> for Node {
    type Error = Flaw;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        let Node { path, value } = self;
        visit(value, visitor).map_err(|flaw| flaw.under(&path))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        let flag = match &self.value {
            Value::Text(text) => match text.as_str() {
                "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
                "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
                _ => None,
            },
            _ => None,
        };
        match flag {
            Some(flag) => visitor.visit_bool(flag),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        match self.value {
            Value::Nothing => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        let Node { path, value } = self;
        let result = match value {
            Value::Section(_) => visit(value, visitor),
            Value::Nothing => visit(Value::Section(Vec::new()), visitor),
            // serde would take a list as the fields in their order.
            other => Err(Flaw::invalid_type(other.unexpected(), &visitor)),
        };
        result.map_err(|flaw| flaw.under(&path))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        let result = match &self.value {
            Value::Text(text) => visitor.visit_enum(StrDeserializer::new(text)),
            other => Err(Flaw::invalid_type(other.unexpected(), &visitor)),
        };
        result.map_err(|flaw| flaw.under(&self.path))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// Organisations are often known by their number: `orgs: [1, "CIRCL"]`.
pub(super) fn ids<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Vec::<Id>::deserialize(deserializer)?.into_iter().map(|id| id.0).collect())
}

struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a whole number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        Ok(Id(number.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        Ok(Id(text.to_owned()))
    }
}

/// The names of a struct's fields, as serde knows them.
#[cfg(test)]
pub(super) fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let stranger = ("?".to_owned(), Node { path: String::new(), value: Value::Nothing });
    let node = Node { path: String::new(), value: Value::Section(vec![stranger]) };
    match T::deserialize(node) {
        Err(Flaw { what: What::UnknownKey { fields, .. }, .. }) => fields,
        _ => panic!("the struct takes unknown keys"),
    }
}
