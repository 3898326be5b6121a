//! What a pass counts. Pure.

use crate::indicator::Namespace;
use crate::misp::fetch::Skipped;
use crate::report;
use std::collections::BTreeMap;

/// Skipped attributes that are kept by name; beyond it they are only counted.
const NAMED: usize = 1_000;

/// Counts of one pass.
#[derive(Debug, Default)]
pub struct Tally {
    added: BTreeMap<Namespace, u64>,
    removed: BTreeMap<Namespace, u64>,
    /// Attributes that MISP sent.
    pub attributes: u64,
    skipped: BTreeMap<&'static str, u64>,
    named: Vec<Skipped>,
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

    /// An attribute was no indicator.
    pub fn skip(&mut self, skipped: Skipped) {
        *self.skipped.entry(skipped.reason.reason()).or_default() += 1;
        if self.named.len() < NAMED {
            self.named.push(skipped);
        }
    }

    /// Added and removed in a namespace.
    pub fn of(&self, namespace: Namespace) -> (u64, u64) {
        let get = |m: &BTreeMap<Namespace, u64>| m.get(&namespace).copied().unwrap_or(0);
        (get(&self.added), get(&self.removed))
    }

    /// Skipped by reason, as the report has it.
    pub fn skipped(&self) -> BTreeMap<String, u64> {
        self.skipped.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect()
    }

    /// The first skipped ones by name, as the report has it.
    pub fn named(&self) -> Vec<report::Skipped> {
        let one = |s: &Skipped| report::Skipped {
            event: s.event,
            attribute: s.attribute,
            kind: s.kind.clone(),
            reason: s.reason.reason(),
        };
        self.named.iter().map(one).collect()
    }
}
