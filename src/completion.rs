//! Values that a shell's completion offers without the command line insisting on them:
//! whether one is right is said where it is used.

use crate::indicator::Namespace;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::error::Error;
use clap::{Arg, Command};
use std::ffi::OsStr;

/// Any text; the names of namespaces are offered.
#[derive(Debug, Clone, Copy)]
pub struct NamespaceName;

impl TypedValueParser for NamespaceName {
    type Value = String;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let cached = Namespace::ALL.iter().filter(|namespace| namespace.is_cached());
        Some(Box::new(cached.map(|namespace| PossibleValue::new(namespace.name()))))
    }
}
