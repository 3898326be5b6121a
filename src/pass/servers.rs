//! The servers as the report has them: those that were not served, and the memory of
//! the others, whether our keys fit, and whether some were thrown out since the last pass.

use super::survey::Summary;
use crate::cache::address::Address;
use crate::cache::fleet::Fleet;
use crate::error::{Error, Kind, Result};
use crate::ledger::Ledger;
use crate::report;
use std::collections::BTreeMap;

/// Bytes of a typical key's item (measured with memcached 1.6.18), where no better
/// figure is known.
const TYPICAL_ITEM: u64 = 113;

/// Process id, evictions and flushes of each server, by address.
pub(super) struct Memory(BTreeMap<String, (u64, u64, u64)>);

impl Memory {
    /// As it is now.
    pub(super) fn read(fleet: &mut Fleet) -> Result<Memory> {
        let all = fleet.each(|server| server.stats(""))?;
        let one = |stats: &BTreeMap<String, String>| {
            (number(stats, "pid"), number(stats, "evictions"), number(stats, "cmd_flush"))
        };
        Ok(Memory(all.iter().map(|(i, stats)| (fleet.address(*i).to_string(), one(stats))).collect()))
    }

    /// Whether a server threw keys out, or was emptied, since the last pass looked; perhaps ours.
    /// Those that hold nothing and were `filled` have all of them by now.
    pub(super) fn lost_keys(&self, ledger: &Ledger, filled: &[String]) -> Result<bool> {
        let before = stored(ledger)?;
        Ok(self.0.iter().any(|(address, (pid, evictions, flushes))| {
            // Fewer than before: somebody set the counters to zero. Another process: one that took
            // over the memory of the one before (`-e`). Nobody knows what came before that.
            let others = |(old_pid, evicted, flushed): &(u64, u64, u64)| {
                let counted = evictions != evicted || flushes != flushed;
                if pid == old_pid { counted } else { !filled.contains(address) }
            };
            before.get(address).is_some_and(others)
        }))
    }

    /// The servers after the pass that began with `self`; what they had thrown
    /// out before it is kept for the next one.
    pub(super) fn report(self, fleet: &mut Fleet, keys: u64, ledger: &Ledger) -> Result<Vec<report::Server>> {
        let all_keys = Summary::stored(ledger)?.map_or(keys * TYPICAL_ITEM, |s| s.memory);
        let mut servers = Vec::new();
        let mut now = BTreeMap::new();
        for (index, stats) in fleet.each(|server| server.stats(""))? {
            let address = fleet.address(index).to_string();
            let needed_bytes = (all_keys as f64 * fleet.share(index)) as u64;
            let evictions = number(&stats, "evictions");
            let limit_bytes = number(&stats, "limit_maxbytes");
            let evicted_now = evictions.saturating_sub(self.0.get(&address).map_or(0, |(_, before, _)| *before));
            // What this pass itself drove out is for the next one to find, and so is a flush
            // while it ran: it may have come behind the keys that were written before.
            let flushes = self.0.get(&address).map_or(0, |(.., flushes)| *flushes);
            now.insert(address.clone(), (number(&stats, "pid"), evictions - evicted_now, flushes));
            servers.push(report::Server {
                address,
                items: number(&stats, "curr_items"),
                bytes: number(&stats, "bytes"),
                limit_bytes,
                evictions,
                evicted_now,
                needed_bytes,
                fits: evicted_now == 0 && needed_bytes <= limit_bytes,
            });
        }
        if stored(ledger)? != now {
            let bug = |e: serde_json::Error| Error::new(Kind::Bug, format!("evictions cannot be written: {e}"));
            let mut change = ledger.change()?;
            change.set_meta("memory", &serde_json::to_vec(&now).map_err(bug)?)?;
            change.commit()?;
        }
        Ok(servers)
    }
}

/// The servers that were not served, as the report has them.
pub(super) fn unreachable(fleet: &Fleet) -> Vec<report::Unreachable> {
    let one =
        |(address, e): (&Address, &Error)| report::Unreachable { address: address.to_string(), reason: e.to_string() };
    fleet.unreachable().map(one).collect()
}

fn stored(ledger: &Ledger) -> Result<BTreeMap<String, (u64, u64, u64)>> {
    Ok(ledger.meta("memory")?.and_then(|m| serde_json::from_slice(&m).ok()).unwrap_or_default())
}

/// A figure of memcached's `stats`; 0 where there is none.
pub(super) fn number(stats: &BTreeMap<String, String>, name: &str) -> u64 {
    stats.get(name).and_then(|v| v.parse().ok()).unwrap_or(0)
}
