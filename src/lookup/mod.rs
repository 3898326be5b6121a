//! The pure half of `lookup`: from values to the keys to ask for, and from answers
//! to matches.
//!
//! [`form`] knows how a value may be spelled in MISP, [`held`] what the cache has
//! at all, [`crate::cache::networks`] which networks may hold an address, [`lines`] how values
//! come out of a stream, [`output`] how matches are shown. This file puts values
//! together into batches and asks through [`Ask`]; it knows neither sockets nor
//! servers.

pub mod form;
pub mod held;
pub mod lines;
pub mod output;

pub use lines::read_lines;
pub use output::{Found, Match, Table};

use crate::cache::answers::Answers;
use crate::cache::key::Keys;
use crate::cache::value;
use crate::error::{Error, Kind, Result};
use crate::indicator::Namespace;
use form::{Candidate, MAX_VALUE};
use held::Held;
use std::collections::HashSet;
use std::io;
use std::ops::Range;

/// Most values that are asked for at once. Enough that a round trip is shared by
/// thousands; who waits for answers gets them sooner, see [`lines`].
const BATCH_VALUES: usize = 2048;

/// Keys after which a batch is asked for even if it has few values: some values
/// stand for hundreds of keys (see [`form::MAX_CANDIDATES`]).
const BATCH_KEYS: usize = 8192;

/// So many batches in a row rely on what the cache said of itself, about half a
/// second; who waits for values asks it anew.
const BATCHES_OF_ONE_MIND: u32 = 64;

/// Bytes of values after which a batch is asked for: values can be long, and they
/// are kept until they are answered.
const BATCH_BYTES: usize = 1 << 20;

/// Characters that are shown of a value too long to be looked up.
const SHOWN_OF_TOO_LONG: usize = 60;

/// The cache, as a look-up sees it. One question at a time: what was begun is
/// finished before the next is begun.
pub trait Ask {
    /// A question on its way.
    type Asked;

    /// Asks for the values of these keys, without waiting for them.
    ///
    /// # Errors
    /// The cache cannot be asked.
    fn begin(&mut self, keys: Vec<Vec<u8>>) -> Result<Self::Asked>;

    /// Waits for the answers.
    ///
    /// # Errors
    /// The cache does not answer.
    fn finish(&mut self, asked: Self::Asked) -> Result<Answers>;
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
pub enum Scope {
    /// In whatever namespaces the form of each value allows and the cache has, and
    /// in the networks around an address.
    Any,
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
    values: impl Iterator<Item = io::Result<String>>,
    mut each: impl FnMut(Found) -> Result<()>,
) -> Result<Summary> {
    stream(ask, keys, Scope::Any, values, |step| match step {
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
    scope: Scope,
    values: impl Iterator<Item = io::Result<String>>,
    mut each: impl FnMut(Step) -> Result<()>,
) -> Result<Summary> {
    let mut questions = Questions {
        ask,
        keys,
        waiting: Batch::default(),
        asked: None,
        held: Held::default(),
        trusted: 0,
        summary: Summary::default(),
    };
    for value in values {
        let value = match value {
            Ok(value) => value,
            Err(e) => {
                questions.settle(&mut each)?;
                return Err(Error::new(Kind::Usage, format!("the values to look up cannot be read: {e}")));
            }
        };
        if value.is_empty() {
            questions.settle(&mut each)?;
            each(Step::Pause)?;
            questions.trusted = 0;
            continue;
        }
        if value.trim().is_empty() {
            continue;
        }
        let candidates = match scope {
            Scope::Any => {
                if questions.trusted == 0 {
                    questions.settle(&mut each)?;
                    questions.learn()?;
                }
                form::candidates(&value, &questions.held)
            }
            Scope::Within(namespace) => form::candidates_in(namespace, &value),
        };
        questions.summary.too_long += u64::from(value.len() > MAX_VALUE);
        questions.waiting.add(value, &candidates, keys);
        if questions.waiting.is_full() {
            questions.send(&mut each)?;
        }
    }
    questions.settle(&mut each)?;
    Ok(questions.summary)
}

/// Two batches: one that is filled, and one that the cache works on meanwhile.
struct Questions<'a, A: Ask> {
    ask: &'a mut A,
    keys: &'a Keys,
    waiting: Batch,
    asked: Option<(Vec<Value>, A::Asked)>,
    /// What the cache said of itself, and for how many more batches that is relied on.
    held: Held,
    trusted: u32,
    summary: Summary,
}

/// A value, and its range of the batch's keys.
type Value = (String, Range<usize>);

impl<A: Ask> Questions<'_, A> {
    /// Asks the cache what it has at all; nothing else may be on its way.
    fn learn(&mut self) -> Result<()> {
        let asked = self.ask.begin(vec![self.keys.networks(), self.keys.namespaces()])?;
        let values = self.ask.finish(asked)?.values;
        let value = |i: usize| values.get(i).and_then(Option::as_deref);
        self.held = Held::parse(value(0), value(1));
        self.trusted = BATCHES_OF_ONE_MIND;
        Ok(())
    }

    /// Asks for what waits, and hands on the answers to what was asked before.
    fn send(&mut self, each: &mut impl FnMut(Step) -> Result<()>) -> Result<()> {
        let before = self.finish()?;
        self.trusted = self.trusted.saturating_sub(1);
        let batch = std::mem::take(&mut self.waiting);
        let values = batch.values;
        let begun = if batch.keys.is_empty() { Ok(None) } else { self.ask.begin(batch.keys).map(Some) };
        if let Some((values, answers)) = before {
            self.hand_on(values, &answers, each)?;
        }
        match begun? {
            Some(asked) => self.asked = Some((values, asked)),
            // Nothing can be asked about values that are too long.
            None => self.hand_on(values, &Answers { keys: Vec::new(), values: Vec::new() }, each)?,
        }
        Ok(())
    }

    /// Asks for what waits, and hands on all answers.
    fn settle(&mut self, each: &mut impl FnMut(Step) -> Result<()>) -> Result<()> {
        self.send(each)?;
        if let Some((values, answers)) = self.finish()? {
            self.hand_on(values, &answers, each)?;
        }
        Ok(())
    }

    /// Waits for what was asked.
    fn finish(&mut self) -> Result<Option<(Vec<Value>, Answers)>> {
        let Some((values, asked)) = self.asked.take() else { return Ok(None) };
        let answers = self.ask.finish(asked)?;
        if answers.values.len() != answers.keys.len() {
            let message = format!("{} keys were asked for, {} answered", answers.keys.len(), answers.values.len());
            return Err(Error::new(Kind::Bug, message));
        }
        Ok(Some((values, answers)))
    }

    fn hand_on(
        &mut self,
        values: Vec<Value>,
        answers: &Answers,
        each: &mut impl FnMut(Step) -> Result<()>,
    ) -> Result<()> {
        for (value, range) in values {
            let matches = matches(&answers.keys[range.clone()], &answers.values[range]);
            self.summary.values += 1;
            self.summary.matched += u64::from(!matches.is_empty());
            each(Step::Found(Found { value, matches }))?;
        }
        Ok(())
    }
}

/// Values that wait to be asked for.
#[derive(Default)]
struct Batch {
    values: Vec<Value>,
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
}

/// The entries of all answers of one value; an event and type that several keys
/// name are reported once, with the first key.
fn matches(keys: &[Vec<u8>], answers: &[Option<Vec<u8>>]) -> Vec<Match> {
    let mut matches = Vec::new();
    let mut seen = HashSet::new();
    // One value names each of its entries once.
    let several = answers.iter().flatten().nth(1).is_some();
    for (key, answer) in keys.iter().zip(answers) {
        let Some(answer) = answer else { continue };
        for tag in value::parse(answer).filter(|tag| !several || seen.insert(*tag)) {
            matches.push(Match {
                event_id: tag.event.to_string(),
                kind: tag.kind.to_owned(),
                key: String::from_utf8_lossy(key).into_owned(),
                fields: tag.context.to_owned(),
                context: Vec::new(),
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
