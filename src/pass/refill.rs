//! Servers that hold nothing are filled from the ledger, before MISP is asked.

use super::terms::Terms;
use crate::cache::changes::Changes;
use crate::cache::fleet::Fleet;
use crate::cache::merge::Expiry;
use crate::config::Config;
use crate::error::Result;
use crate::interrupt;
use crate::ledger::Ledger;
use crate::ledger::header::Header;
use crate::misp::client::local_now;
use std::collections::BTreeMap;

/// Bytes of changes that are applied at once.
const SLICE_BYTES: usize = 4 * 1024 * 1024;

/// Fills from the ledger the servers that hold nothing; all of them where servers
/// came or went, as what a server holds from another time, or where in a ring, is
/// not known then. Returns the number of indicators.
///
/// # Errors
/// Those of the ledger and of memcached.
pub fn fill_servers(
    config: &Config,
    ledger: &Ledger,
    fleet: &mut Fleet,
    empty: &[usize],
    known: &BTreeMap<u64, Header>,
) -> Result<u64> {
    let (placement, before) = (fleet.placement(), ledger.meta("placement")?);
    let moved = before.as_ref().is_some_and(|before| before != placement.as_bytes());
    let all: Vec<usize> = (0..fleet.servers().len()).collect();
    let fill = if moved { &all } else { empty };
    let mut refilled = 0;
    if !fill.is_empty() && known.values().any(|h| h.records > 0) {
        let terms = Terms::new(config, local_now());
        if moved {
            log::info!("memcached.servers or memcached.distribution changed: all servers are filled from the ledger");
            withdraw_elsewhere(ledger, fleet, &terms)?;
        } else {
            log::info!("a memcached server holds nothing: it is filled from the ledger");
        }
        refilled = refill(ledger, known, fleet, fill, &terms)?;
    }
    if moved || before.is_none() {
        let mut change = ledger.change()?;
        change.set_meta("placement", placement.as_bytes())?;
        change.commit()?;
    }
    Ok(refilled)
}

/// Puts every indicator of the ledger on the servers `which`, with what is left of
/// its expiry. Returns the number of indicators.
fn refill(
    ledger: &Ledger,
    known: &BTreeMap<u64, Header>,
    fleet: &mut Fleet,
    which: &[usize],
    terms: &Terms,
) -> Result<u64> {
    let mut changes = Changes::default();
    let mut count = 0;
    ledger.for_each(|event, record| {
        let delivered = known.get(&event).map_or(0, |h| h.delivered);
        terms.add(&mut changes, event, record, delivered);
        count += 1;
        if changes.bytes() > SLICE_BYTES {
            interrupt::check()?;
            fleet.apply_on(which, &changes, Expiry::Refilled, terms.now)?;
            changes.clear();
        }
        Ok(())
    })?;
    fleet.apply_on(which, &changes, Expiry::Refilled, terms.now)?;
    Ok(count)
}

/// Takes every indicator of the ledger from the servers, under the prefix of `terms`.
///
/// # Errors
/// Those of the ledger and of memcached.
pub fn withdraw(ledger: &Ledger, fleet: &mut Fleet, terms: &Terms) -> Result<()> {
    remove_all(ledger, terms, |changes| fleet.apply(changes, Expiry::Delivered, terms.now).map(drop))
}

/// Takes every indicator of the ledger from the servers of a ring that are not the
/// ones where it is looked for.
fn withdraw_elsewhere(ledger: &Ledger, fleet: &mut Fleet, terms: &Terms) -> Result<()> {
    remove_all(ledger, terms, |changes| fleet.apply_elsewhere(changes, terms.now).map(drop))
}

fn remove_all(ledger: &Ledger, terms: &Terms, mut apply: impl FnMut(&Changes) -> Result<()>) -> Result<()> {
    let mut changes = Changes::default();
    ledger.for_each(|event, record| {
        terms.remove(&mut changes, event, record);
        if changes.bytes() > SLICE_BYTES {
            apply(&changes)?;
            changes.clear();
        }
        Ok(())
    })?;
    apply(&changes)
}
