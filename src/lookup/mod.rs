//! The pure half of `lookup`: from values to the keys to ask for, and from answers
//! to matches.
//!
//! [`form`] knows how a value may be spelled in MISP, [`networks`] which networks
//! may hold an address, [`lines`] how values come out of a stream, [`output`] how
//! matches are shown. This file puts values together into batches and asks through
//! [`Ask`]; it knows neither sockets nor servers.

pub mod form;
pub mod lines;
pub mod networks;
pub mod output;

pub use lines::read_lines;
pub use output::{Found, Match, Table};

use crate::cache::key::Keys;
use crate::cache::value;
use crate::error::{Error, Kind, Result};
use crate::indicator::Namespace;
use form::{Candidate, MAX_VALUE};
use networks::Networks;
use std::collections::HashSet;
use std::io;
use std::ops::Range;

/// Most values that are asked for at once. Enough that a round trip is shared by
/// thousands; who waits for answers gets them sooner, see [`lines`].
const BATCH_VALUES: usize = 2048;

/// Keys after which a batch is asked for even if it has few values: some values
/// stand for hundreds of keys (see [`form::MAX_CANDIDATES`]).
const BATCH_KEYS: usize = 8192;

/// Bytes of values after which a batch is asked for: values can be long, and they
/// are kept until they are answered.
const BATCH_BYTES: usize = 1 << 20;

/// Characters that are shown of a value too long to be looked up.
const SHOWN_OF_TOO_LONG: usize = 60;

/// The cache, as a look-up sees it.
pub trait Ask {
    /// The values of these keys, in their order; `None` where there is none.
    ///
    /// # Errors
    /// The cache cannot be asked.
    fn ask(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>>;
}

/// What a look-up did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Values looked up, blank lines not counted.
    pub values: u64,
    /// Those that an event lists.
    pub matched: u64,
    /// Those longer than [`MAX_VALUE`], which cannot match.
    pub too_long: u64,
}

/// Where values are looked up.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// In whatever namespaces the form of each value allows, and in the networks
    /// around an address.
    Any(&'a Networks),
    /// In one namespace, which the caller knows.
    Within(Namespace),
}

/// What a stream of values comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A value is answered.
    Found(Found),
    /// All values so far are answered and the next may take time: what is held back
    /// for a fuller buffer or a better table should be shown now.
    Pause,
}

/// Looks up each value in whatever namespaces its form allows and hands what was
/// found to `each`, in the order of the values; a value that no event lists has no
/// matches. An empty value is skipped, and those before it are answered first.
///
/// # Errors
/// The cache cannot be asked, the values cannot be read (those before are answered
/// first), or `each` fails.
pub fn look_up<A: Ask>(
    ask: &mut A,
    keys: &Keys,
    networks: &Networks,
    values: impl Iterator<Item = io::Result<String>>,
    mut each: impl FnMut(Found) -> Result<()>,
) -> Result<Summary> {
    stream(ask, keys, Scope::Any(networks), values, |step| match step {
        Step::Found(found) => each(found),
        Step::Pause => Ok(()),
    })
}

/// The same in any [`Scope`], for an output that wants to know about pauses: an
/// empty value is one (see [`read_lines`]).
///
/// # Errors
/// Those of [`look_up`].
pub fn stream<A: Ask>(
    ask: &mut A,
    keys: &Keys,
    scope: Scope<'_>,
    values: impl Iterator<Item = io::Result<String>>,
    mut each: impl FnMut(Step) -> Result<()>,
) -> Result<Summary> {
    let mut batch = Batch::default();
    let mut summary = Summary::default();
    for value in values {
        let value = match value {
            Ok(value) => value,
            Err(e) => {
                batch.answer(ask, &mut summary, &mut each)?;
                return Err(Error::new(Kind::Usage, format!("the values to look up cannot be read: {e}")));
            }
        };
        if value.is_empty() {
            batch.answer(ask, &mut summary, &mut each)?;
            each(Step::Pause)?;
            continue;
        }
        if value.trim().is_empty() {
            continue;
        }
        let candidates = match scope {
            Scope::Any(networks) => form::candidates(&value, networks),
            Scope::Within(namespace) => form::candidates_in(namespace, &value),
        };
        summary.too_long += u64::from(value.len() > MAX_VALUE);
        batch.add(value, &candidates, keys);
        if batch.is_full() {
            batch.answer(ask, &mut summary, &mut each)?;
        }
    }
    batch.answer(ask, &mut summary, &mut each)?;
    Ok(summary)
}

/// Values that wait for their answer, each with its range of the keys.
#[derive(Default)]
struct Batch {
    values: Vec<(String, Range<usize>)>,
    keys: Vec<Vec<u8>>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, value: String, candidates: &[Candidate], keys: &Keys) {
        let first = self.keys.len();
        self.keys.extend(candidates.iter().map(|c| keys.indicator(c.namespace, &c.value)));
        let value = if value.len() > MAX_VALUE { named_too_long(&value) } else { value };
        self.bytes += value.len();
        self.values.push((value, first..self.keys.len()));
    }

    fn is_full(&self) -> bool {
        self.values.len() >= BATCH_VALUES || self.keys.len() >= BATCH_KEYS || self.bytes >= BATCH_BYTES
    }

    /// Asks for everything that waits and hands it on; the batch is empty then.
    fn answer<A: Ask>(
        &mut self,
        ask: &mut A,
        summary: &mut Summary,
        each: &mut impl FnMut(Step) -> Result<()>,
    ) -> Result<()> {
        let answers = if self.keys.is_empty() { Vec::new() } else { ask.ask(&self.keys)? };
        if answers.len() != self.keys.len() {
            let message = format!("{} keys were asked for, {} answered", self.keys.len(), answers.len());
            return Err(Error::new(Kind::Bug, message));
        }
        for (value, range) in self.values.drain(..) {
            let matches = matches(&self.keys[range.clone()], &answers[range]);
            summary.values += 1;
            summary.matched += u64::from(!matches.is_empty());
            each(Step::Found(Found { value, matches }))?;
        }
        self.keys.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// The entries of all answers of one value; an event and type that several keys
/// name are reported once, with the first key.
fn matches(keys: &[Vec<u8>], answers: &[Option<Vec<u8>>]) -> Vec<Match> {
    let mut matches = Vec::new();
    let mut seen = HashSet::new();
    for (key, answer) in keys.iter().zip(answers) {
        let Some(answer) = answer else { continue };
        for tag in value::parse(answer).filter(|tag| seen.insert(*tag)) {
            matches.push(Match {
                event_id: tag.event.to_string(),
                kind: tag.kind.to_owned(),
                key: String::from_utf8_lossy(key).into_owned(),
            });
        }
    }
    matches
}

/// The beginning of a value that is too long, and a word why it has no matches.
fn named_too_long(value: &str) -> String {
    let beginning: String = value.chars().take(SHOWN_OF_TOO_LONG).collect();
    format!("{beginning}... (not looked up: over {MAX_VALUE} bytes)")
}

#[cfg(test)]
mod tests;
