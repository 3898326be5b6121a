//! Attributes that are no indicators: all of them counted, the first ones by name.
//! Pure.

use super::attribute::Attribute;
use super::quote::Quote;
use crate::indicator::Skip;
use std::collections::BTreeMap;

/// Skipped attributes that are kept by name: a person corrects no more at once, and
/// an event of a million bad ones must not fill memory.
const NAMED: usize = 1_000;

/// Longest type that is named; MISP's have up to 31 letters.
const MAX_KIND: usize = 40;

/// A value that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The event's id.
    pub event: u64,
    /// The attribute's id.
    pub attribute: u64,
    /// The attribute's type.
    pub kind: String,
    /// Why.
    pub reason: Skip,
}

/// What was skipped in one batch, or in one pass.
#[derive(Debug, Default)]
pub struct Skips {
    named: Vec<Skipped>,
    reasons: BTreeMap<Skip, u64>,
}

impl Skips {
    /// One more, in MISP's words, which are quoted.
    pub fn add(&mut self, row: &Attribute, reason: Skip, quote: &Quote) {
        *self.reasons.entry(reason).or_default() += 1;
        if self.named.len() < NAMED {
            let kind = quote.of(&row.kind).chars().take(MAX_KIND).collect();
            self.named.push(Skipped { event: row.event_id, attribute: row.id, kind, reason });
        }
    }

    /// Those of another batch as well.
    pub fn append(&mut self, other: Skips) {
        let room = NAMED.saturating_sub(self.named.len());
        self.named.extend(other.named.into_iter().take(room));
        other.reasons.into_iter().for_each(|(reason, n)| *self.reasons.entry(reason).or_default() += n);
    }

    /// How many, by reason.
    pub fn reasons(&self) -> &BTreeMap<Skip, u64> {
        &self.reasons
    }

    /// The first ones.
    pub fn named(&self) -> &[Skipped] {
        &self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_named() {
        let quote = Quote::new(&"0123456789".into());
        let row = |kind| Attribute {
            id: 7,
            event_id: 3,
            kind,
            value: "".into(),
            timestamp: 0,
            to_ids: true,
            deleted: false,
            event: Default::default(),
        };
        let mut batch = Skips::default();
        batch.add(&row("a \u{1b}0123456789".into()), Skip::UnknownType, &quote);
        assert_eq!(batch.named()[0].kind, "a ***");
        for _ in 0..NAMED {
            batch.add(&row("x".repeat(100).into()), Skip::Empty, &quote);
        }
        assert_eq!((batch.named().len(), batch.named()[1].kind.len()), (NAMED, MAX_KIND));
        let mut pass = Skips::default();
        pass.add(&row("md5".into()), Skip::BadHash, &quote);
        pass.append(batch);
        assert_eq!(pass.named().len(), NAMED);
        let counted: Vec<(Skip, u64)> = pass.reasons().iter().map(|(r, n)| (*r, *n)).collect();
        assert_eq!(counted, [(Skip::Empty, NAMED as u64), (Skip::BadHash, 1), (Skip::UnknownType, 1)]);
    }
}
