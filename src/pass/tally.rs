//! What a pass counts. Pure.

use crate::indicator::Namespace;
use crate::misp::skipped::{Skipped, Skips};
use crate::report;
use std::collections::BTreeMap;

/// Counts of one pass.
#[derive(Debug, Default)]
pub struct Tally {
    added: BTreeMap<Namespace, u64>,
    removed: BTreeMap<Namespace, u64>,
    /// Attributes that MISP sent.
    pub attributes: u64,
    skipped: Skips,
}

impl Tally {
    /// An event now lists an indicator of this namespace.
    pub fn added(&mut self, namespace: Namespace) {
        *self.added.entry(namespace).or_default() += u64::from(namespace.is_cached());
    }

    /// An event no longer lists an indicator of this namespace.
    pub fn removed(&mut self, namespace: Namespace) {
        *self.removed.entry(namespace).or_default() += u64::from(namespace.is_cached());
    }

    /// Attributes were no indicators.
    pub fn skip(&mut self, skips: Skips) {
        self.skipped.append(skips);
    }

    /// Added and removed in a namespace.
    pub fn of(&self, namespace: Namespace) -> (u64, u64) {
        let get = |m: &BTreeMap<Namespace, u64>| m.get(&namespace).copied().unwrap_or(0);
        (get(&self.added), get(&self.removed))
    }

    /// Skipped by reason, as the report has it.
    pub fn skipped(&self) -> BTreeMap<String, u64> {
        self.skipped.reasons().iter().map(|(skip, n)| (skip.reason().to_owned(), *n)).collect()
    }

    /// The first skipped ones by name, as the report has it.
    pub fn named(&self) -> Vec<report::Skipped> {
        let one = |s: &Skipped| report::Skipped {
            event: s.event,
            attribute: s.attribute,
            kind: s.kind.clone(),
            reason: s.reason.reason(),
        };
        self.skipped.named().iter().map(one).collect()
    }
}
