//! memcached held against the ledger, key by key, without asking MISP: keys that
//! memcached threw out are put back, values that somebody changed are put right,
//! and keys that no event backs (left by an older tool or a lost ledger) go.

use super::terms::Terms;
use crate::cache::enforce::{Mended, Wanted};
use crate::cache::fleet::Fleet;
use crate::cache::ttl;
use crate::cache::value::{self, Tag};
use crate::error::{Error, Kind, Result};
use crate::indicator::Namespace;
use crate::interrupt;
use crate::ledger::Ledger;
use crate::ledger::header::Header;
use crate::ledger::sort::{Order, RUN_BYTES, Sorted, Sorter};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;

/// Keys that are held against memcached at once.
const KEYS_AT_ONCE: usize = 2_000;

/// Keys whose hashes are held for the sweep (8 bytes each); with more keys
/// memcached lists them several times, each time for a share of the keys.
const HELD_KEYS: u64 = 2_000_000;

/// Verifies all keys of the ledger, whose events are `known`, on the servers `which`,
/// and sweeps the others there. Also gives the number of tags for which values have no room.
///
/// # Errors
/// Those of the ledger and of memcached; temporary files in `directory`.
pub fn verify(
    ledger: &Ledger,
    known: &BTreeMap<u64, Header>,
    fleet: &mut Fleet,
    which: &[usize],
    terms: &Terms,
    directory: &Path,
) -> Result<(Mended, u64)> {
    let temporary = |e: io::Error| {
        Error::new(Kind::CannotWrite, format!("a temporary file in {} cannot be used: {e}", directory.display()))
    };
    let mut sorter = Sorter::new(directory, RUN_BYTES, Order::ByKey);
    ledger.for_each(|event, record| {
        if record.namespace.is_cached() { sorter.push(event, record).map_err(temporary) } else { Ok(()) }
    })?;
    let mut rows = sorter.finish().map_err(temporary)?;
    let mut mended = Mended::default();
    let mut wanted = Vec::new();
    let mut keys = 0;
    let limit = fleet.value_limit();
    let mut left_out = 0;
    while let Some(key) = next_key(&mut rows, known, terms, limit, &mut left_out).map_err(temporary)? {
        let Some(key) = key else { continue };
        keys += 1;
        wanted.push(key);
        if wanted.len() == KEYS_AT_ONCE {
            interrupt::check()?;
            mended += fleet.enforce(which, &wanted, terms.now)?;
            wanted.clear();
        }
    }
    mended += fleet.enforce(which, &wanted, terms.now)?;
    drop(rows);
    mended += sweep(ledger, fleet, which, terms, keys)?;
    Ok((mended, left_out))
}

/// The next key and what it must be; the inner `None` where all its tags have expired.
fn next_key(
    rows: &mut Sorted,
    known: &BTreeMap<u64, Header>,
    terms: &Terms,
    limit: usize,
    left_out: &mut u64,
) -> io::Result<Option<Option<Wanted>>> {
    let Some((_, first)) = rows.current() else { return Ok(None) };
    let (namespace, text) = (first.namespace, first.value.to_owned());
    let mut listed = Vec::new();
    let mut contexts = String::new();
    let mut expires: Option<u64> = None;
    while let Some((event, record)) = rows.current() {
        if record.namespace != namespace || record.value != text {
            break;
        }
        let delivered = known.get(&event).map_or(0, |h| h.delivered);
        if let Some(t) = ttl::wire(terms.expiry(namespace.category(), delivered), terms.now) {
            expires = Some(expires.map_or(t, |e| ttl::later(e, t)));
            let start = contexts.len();
            contexts.push_str(terms.context(&record));
            listed.push((event, record.kind, start..contexts.len()));
        }
        rows.advance()?;
    }
    let Some(ttl) = expires else { return Ok(Some(None)) };
    let key = terms.keys.indicator(namespace, &text);
    let mut tags: Vec<Tag> = listed
        .into_iter()
        .map(|(event, kind, range)| Tag { event, kind: kind.name(), context: &contexts[range] })
        .collect();
    let (value, without) = value::render(&mut tags, limit.saturating_sub(key.len()));
    *left_out += without as u64;
    Ok(Some(Some(Wanted { key, value, ttl })))
}

fn sweep(ledger: &Ledger, fleet: &mut Fleet, which: &[usize], terms: &Terms, keys: u64) -> Result<Mended> {
    let rounds = keys.div_ceil(HELD_KEYS).max(1);
    let mut swept = Mended::default();
    for round in 0..rounds {
        let mut hashes: Vec<u64> = Vec::new();
        let mut key = Vec::new();
        ledger.for_each(|_, record| {
            if record.namespace.is_cached() {
                key.clear();
                terms.keys.indicator_into(record.namespace, record.value, &mut key);
                let hash = hash(&key);
                if hash % rounds == round {
                    hashes.push(hash);
                }
            }
            Ok(())
        })?;
        hashes.sort_unstable();
        swept += fleet.sweep(which, |key| {
            let hash = hash(key);
            hash % rounds != round || hashes.binary_search(&hash).is_ok() || is_foreign(terms, key)
        })?;
    }
    Ok(swept)
}

/// Keys that only look like ours.
fn is_foreign(terms: &Terms, key: &[u8]) -> bool {
    terms.keys.parse(key).is_none_or(|(namespace, _): (Namespace, _)| !namespace.is_cached())
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
