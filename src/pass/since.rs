//! What live messages brought since MISP was asked. Pure.

use crate::indicator::{MispType, Namespace};
use crate::ledger::record::Record;
use std::collections::{BTreeMap, BTreeSet};

/// Records that live messages brought while MISP was being asked: an answer without
/// them is older than they are.
#[derive(Debug, Default)]
pub struct Since(BTreeMap<u64, BTreeSet<(Namespace, MispType, String)>>);

impl Since {
    /// Remembers a record.
    pub fn add(&mut self, event: u64, record: &Record<'_>) {
        let key = (record.namespace, record.kind, record.value.to_owned());
        self.0.entry(event).or_default().insert(key);
    }

    /// Whether it is among them.
    pub fn has(&self, event: u64, record: &Record<'_>) -> bool {
        let of = self.0.get(&event);
        of.is_some_and(|set| set.contains(&(record.namespace, record.kind, record.value.to_owned())))
    }
}
