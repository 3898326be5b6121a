//! Something wrong with the configuration: under which key, what, and where in
//! the file. Only [`super::load`] knows the file's name.

use super::keys;
use std::fmt;
use std::path::Path;

/// Line and column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What a problem's path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A key path of the file; empty: the file as a whole.
    Key,
    /// A key path that finds the place but must not be shown: it may hold a secret.
    HiddenKey,
    /// An environment variable, or a file that is not the configuration.
    Elsewhere,
}

/// One thing that is wrong. `message` never holds a secret.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) path: String,
    pub(super) origin: Origin,
    pub(super) message: String,
    pub(super) place: Option<Place>,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { path: path.into(), origin: Origin::Key, message: message.into(), place: None }
    }

    /// The same problem, found in the environment or another file.
    pub(super) fn elsewhere(mut self, name: impl Into<String>) -> Problem {
        self.path = name.into();
        self.origin = Origin::Elsewhere;
        self
    }

    /// `found ...; allowed: ...`, with what [`keys`] says of the key.
    pub(super) fn found(path: &str, found: impl fmt::Display) -> Problem {
        let allowed = keys::allowed(path).map(|text| format!("; allowed: {text}")).unwrap_or_default();
        Problem::new(path, format!("found {found}{allowed}"))
    }

    pub(super) fn at(mut self, place: Option<Place>) -> Problem {
        self.place = place;
        self
    }

    /// `file:12:3: misp.timeout: found ...`
    pub(super) fn text_at(&self, file: Option<&Path>, place: Option<Place>) -> String {
        let mut text = String::new();
        if let (Some(file), Origin::Key | Origin::HiddenKey) = (file, self.origin) {
            text.push_str(&file.display().to_string());
            if let Some(Place { line, column }) = place {
                text.push_str(&format!(":{line}:{column}"));
            }
            text.push_str(": ");
        }
        if self.origin != Origin::HiddenKey && !self.path.is_empty() {
            text.push_str(&self.path);
            text.push_str(": ");
        }
        text + &self.message
    }
}

/// Longer values only hide what the message says.
const MAX_SHOWN: usize = 60;

/// The length of MISP's automation keys, letters and digits all of them.
const KEY_LENGTH: usize = 40;

/// A text in quotes, its control characters escaped, cut if long; what may be
/// MISP's key under the wrong key is not shown.
pub(super) fn quoted(text: &str) -> String {
    let longest = text.split(|c: char| !c.is_ascii_alphanumeric()).map(str::len).max().unwrap_or(0);
    if longest >= KEY_LENGTH {
        return "a text that may be MISP's key (so it is not shown)".to_owned();
    }
    if text.chars().count() <= MAX_SHOWN {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(MAX_SHOWN).collect();
    format!("{head:?} (cut)")
}
