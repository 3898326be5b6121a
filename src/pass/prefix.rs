//! Another `memcached.prefix` than the ledger's: its keys are others, and those of the
//! old one are taken out.

use super::refill::withdraw;
use super::terms::Terms;
use crate::cache::fleet::Fleet;
use crate::config::Config;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::header::Header;
use crate::misp::client::local_now;
use std::collections::BTreeMap;

/// The prefix that the ledger's keys have, where the configuration has another one.
pub(super) fn old_prefix(config: &Config, ledger: &Ledger) -> Result<Option<String>> {
    let old = ledger.meta("prefix")?.and_then(|p| String::from_utf8(p).ok());
    Ok(old.filter(|old| *old != config.memcached.prefix))
}

/// Under another prefix the keys are others: those of the old one are taken out.
///
/// # Errors
/// Those of the ledger and of memcached.
pub(super) fn leave_old_prefix(
    config: &Config,
    ledger: &Ledger,
    fleet: &mut Fleet,
    known: BTreeMap<u64, Header>,
) -> Result<BTreeMap<u64, Header>> {
    let prefix = &config.memcached.prefix;
    let Some(old) = old_prefix(config, ledger)? else {
        if ledger.meta("prefix")?.is_none() {
            let mut change = ledger.change()?;
            change.set_meta("prefix", prefix.as_bytes())?;
            change.commit()?;
        }
        return Ok(known);
    };
    log::info!("memcached.prefix was {old} and is {prefix} now: the old keys are taken out");
    let mut before = config.clone();
    before.memcached.prefix = old;
    let terms = Terms::new(&before, local_now());
    withdraw(ledger, fleet, &terms)?;
    for key in [terms.keys.stats(), terms.keys.last_load(), terms.keys.networks(), terms.keys.namespaces()] {
        fleet.delete_everywhere(&key)?;
    }
    let mut change = ledger.change()?;
    known.keys().try_for_each(|event| change.forget(*event))?;
    change.set_meta("prefix", prefix.as_bytes())?;
    change.commit()?;
    Ok(BTreeMap::new())
}
