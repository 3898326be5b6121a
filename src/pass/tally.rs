//! What a pass counts. Pure.

use crate::indicator::Namespace;
use crate::misp::fetch::Skipped;
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
    /// By reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// The first of them by name.
    pub named: Vec<Skipped>,
}

impl Tally {
    /// An event now lists an indicator of this namespace.
    pub fn added(&mut self, namespace: Namespace) {
        *self.added.entry(namespace).or_default() += 1;
    }

    /// An event no longer lists an indicator of this namespace.
    pub fn removed(&mut self, namespace: Namespace) {
        *self.removed.entry(namespace).or_default() += 1;
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

    /// Added and removed in all.
    pub fn total(&self) -> (u64, u64) {
        (self.added.values().sum(), self.removed.values().sum())
    }
}
