//! Servers that hold nothing are filled from the ledger, before MISP is asked.

use super::terms::Terms;
use super::{dropped, left_out};
use crate::cache::bulk::Applied;
use crate::cache::changes::Changes;
use crate::cache::fleet::Fleet;
use crate::cache::merge::Expiry;
use crate::error::Result;
use crate::interrupt;
use crate::ledger::Ledger;
use crate::ledger::header::Header;
use std::collections::BTreeMap;

/// Bytes of changes that are applied at once.
const SLICE_BYTES: usize = 4 * 1024 * 1024;

/// Puts every indicator of the ledger on the servers `which`, with what is left of
/// its expiry. Returns the number of indicators.
///
/// # Errors
/// Those of the ledger and of memcached.
pub fn refill(
    ledger: &Ledger,
    known: &BTreeMap<u64, Header>,
    fleet: &mut Fleet,
    which: &[usize],
    terms: &Terms,
) -> Result<u64> {
    let mut changes = Changes::default();
    let (mut count, mut applied) = (0, Applied::default());
    ledger.for_each(|event, record| {
        let delivered = known.get(&event).map_or(0, |h| h.delivered);
        terms.add(&mut changes, event, record, delivered);
        count += 1;
        if changes.bytes() > SLICE_BYTES {
            interrupt::check()?;
            applied += fleet.apply_on(which, &changes, Expiry::Refilled, terms.now)?;
            changes.clear();
        }
        Ok(())
    })?;
    applied += fleet.apply_on(which, &changes, Expiry::Refilled, terms.now)?;
    dropped::note(ledger, applied.refusals)?;
    if applied.left_out > 0 {
        left_out::note_now(ledger)?;
    }
    Ok(count)
}

/// Takes every indicator of the ledger from the servers, under the prefix of `terms`.
///
/// # Errors
/// Those of the ledger and of memcached.
pub fn withdraw(ledger: &Ledger, fleet: &mut Fleet, terms: &Terms) -> Result<()> {
    let mut changes = Changes::default();
    ledger.for_each(|event, record| {
        terms.remove(&mut changes, event, record);
        if changes.bytes() > SLICE_BYTES {
            fleet.apply(&changes, Expiry::Delivered, terms.now)?;
            changes.clear();
        }
        Ok(())
    })?;
    fleet.apply(&changes, Expiry::Delivered, terms.now).map(drop)
}
