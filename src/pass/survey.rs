//! One reading of the whole ledger after a pass that changed it: how many keys
//! there are, which prefix lengths are in use, how much memory they take.
//!
//! Counting by reading is always right, also after a crash; it costs a fraction
//! of a second per million indicators and is left out where nothing changed.

use crate::cache::key::{Keys, MAX_WIRE_KEY};
use crate::cache::networks::Networks;
use crate::error::Result;
use crate::indicator::{Namespace, Namespaces};
use crate::ledger::record::Record;
use crate::ledger::{Ledger, SUMMARY};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Keys whose hashes are held at once (8 bytes each); a larger ledger is read
/// several times, each time for a share of the keys.
const HELD_KEYS: u64 = 2_000_000;

/// Bytes that memcached 1.6 takes for an item beside key and value: 59 for the
/// item, a pointer in the hash table, and what its slab classes leave unused
/// (measured: 113 and 135 bytes for typical keys, the second with the table).
const ITEM_BYTES: u64 = 80;

/// What one namespace holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Keys.
    pub keys: u64,
    /// Indicators: one for each event and type that lists the key.
    pub indicators: u64,
}

/// What the ledger holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// By namespace name.
    pub namespaces: BTreeMap<String, Holding>,
    /// The value of `misp-networks`.
    pub networks: String,
    /// About so many bytes of memcached's memory.
    pub memory: u64,
}

impl Summary {
    /// What the ledger held when it was last read to the end; `None` where it changed since.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`]: the file cannot be read.
    pub fn stored(ledger: &Ledger) -> Result<Option<Summary>> {
        Ok(ledger.meta(SUMMARY)?.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Keys of all namespaces.
    pub fn keys(&self) -> u64 {
        self.namespaces.values().map(|h| h.keys).sum()
    }

    /// The value of `misp-namespaces`: those that have keys.
    pub fn with_keys(&self) -> Namespaces {
        let held = self.namespaces.iter().filter(|(_, holding)| holding.keys > 0);
        held.filter_map(|(name, _)| Namespace::from_name(name)).collect()
    }

    /// Indicators of all namespaces.
    pub fn indicators(&self) -> u64 {
        self.namespaces.values().map(|h| h.indicators).sum()
    }
}

/// Reads the ledger, which holds `records` records; each one is also handed to `each`.
///
/// # Errors
/// Those of the ledger and of `each`.
pub fn survey(
    ledger: &Ledger,
    records: u64,
    keys: &Keys,
    mut each: impl FnMut(u64, Record<'_>) -> Result<()>,
) -> Result<Summary> {
    let rounds = records.div_ceil(HELD_KEYS).max(1);
    // By code: a map would cost more than the rest of the loop.
    let mut holdings = [Holding::default(); Namespace::ALL.len()];
    let mut networks = Networks::default();
    let mut memory = 0;
    let stem = keys.indicator(Namespace::Ip, "").len() as u64;
    for round in 0..rounds {
        // The namespace in the upper byte: sorted, each namespace stands together.
        // Grown to its size by doubling it would need twice the memory.
        let mut hashes: Vec<u64> = Vec::with_capacity((records / rounds * 65 / 64) as usize);
        ledger.for_each(|event, record| {
            if round == 0 {
                each(event, record)?;
            }
            if !record.namespace.is_cached() {
                return Ok(());
            }
            if round == 0 {
                holdings[usize::from(record.namespace.code())].indicators += 1;
                let tag = record.kind.name().len() as u64 + 2 + u64::from(event.max(1).ilog10());
                memory += tag + record.value.len().min(MAX_WIRE_KEY) as u64;
                if let Some(network) = record.network() {
                    networks.insert(network);
                }
            }
            let mut hasher = DefaultHasher::new();
            record.value.hash(&mut hasher);
            let hash = hasher.finish();
            if hash % rounds == round {
                hashes.push(u64::from(record.namespace.code()) << 56 | hash >> 8);
            }
            Ok(())
        })?;
        hashes.sort_unstable();
        hashes.dedup();
        for hash in hashes {
            holdings[(hash >> 56) as usize].keys += 1;
        }
    }
    memory += holdings.iter().map(|h| h.keys).sum::<u64>() * (ITEM_BYTES + stem + 6);
    let named = Namespace::ALL.iter().map(|n| (n.name().to_owned(), holdings[usize::from(n.code())]));
    Ok(Summary {
        namespaces: named.filter(|(_, holding)| holding.indicators > 0).collect(),
        networks: networks.to_string(),
        memory,
    })
}
