//! Which servers hold what the ledger says: remembered in the ledger, so that one
//! that missed a pass is not taken for complete when it comes back with its old data.
//!
//! The list is of those that are right, not of those that missed something: a
//! server that was out of the configuration for a while is on no list either. An
//! address leaves the list before anything is written that relies on the others
//! alone, and enters it only after its keys were all seen to be right.

use super::question;
use super::refill::refill;
use super::terms::Terms;
use super::verify::verify;
use super::{dropped, left_out};
use crate::cache::enforce::Mended;
use crate::cache::fleet::Fleet;
use crate::error::{Error, Kind, Result};
use crate::ledger::Ledger;
use crate::ledger::header::Header;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The list's name in the ledger.
const NAME: &str = "servers";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    /// What decides which keys a server holds. On another ring nobody is right.
    layout: String,
    /// Addresses of the servers that hold what the ledger says.
    exact: BTreeSet<String>,
}

/// Servers that can be reached and may hold something else than the ledger says.
#[derive(Debug, Default)]
pub(super) struct Doubtful {
    servers: Vec<usize>,
}

impl Doubtful {
    /// As the ledger remembers them. Those that cannot be reached join them from now on.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub(super) fn find(ledger: &Ledger, fleet: &Fleet) -> Result<Doubtful> {
        // Without a list there was no pass yet: what there is, is not known to be wrong.
        let servers = match read(ledger)? {
            None => Vec::new(),
            Some(known) => {
                let same = known.layout == fleet.layout();
                let right = |i: &usize| same && known.exact.contains(&fleet.address(*i).to_string());
                fleet.live().into_iter().filter(|i| !right(i)).collect()
            }
        };
        let doubtful = Doubtful { servers };
        doubtful.remember(ledger, fleet)?;
        Ok(doubtful)
    }

    /// Those that can still be reached.
    pub(super) fn servers(&self, fleet: &Fleet) -> Vec<usize> {
        fleet.live().into_iter().filter(|i| self.servers.contains(i)).collect()
    }

    /// Makes them right by the ledger, before MISP is asked. `fill` are the servers
    /// without `misp-stats`: they are filled, which is quicker, if they hold no key at all.
    ///
    /// # Errors
    /// Those of the ledger and of memcached.
    pub(super) fn mend(
        &mut self,
        ledger: &Ledger,
        known: &BTreeMap<u64, Header>,
        fleet: &mut Fleet,
        fill: &[usize],
        terms: &Terms,
        directory: &Path,
    ) -> Result<(u64, Mended)> {
        let both: Vec<usize> = fill.iter().copied().filter(|i| self.servers.contains(i)).collect();
        let bare = fleet.empty_ones(&both)?;
        self.servers.retain(|i| !bare.contains(i));
        let fill: Vec<usize> = fill.iter().copied().filter(|i| !self.servers.contains(i)).collect();
        let mut refilled = 0;
        if !fill.is_empty() && known.values().any(|h| h.records > 0) {
            log::info!("a memcached server holds nothing: it is filled from the ledger");
            refilled = refill(ledger, known, fleet, &fill, terms)?;
        }
        let mut mended = Mended::default();
        // A ledger that no pass has completed does not know all that may stay.
        let which = self.servers(fleet);
        if !which.is_empty() && question::was_answered(ledger)? {
            for server in &which {
                log::info!(
                    "memcached {} missed a pass, or is new: its keys are held against the ledger",
                    fleet.address(*server)
                );
            }
            let left_out;
            (mended, left_out) = verify(ledger, known, fleet, &which, terms, directory)?;
            left_out::verified(ledger, left_out, false)?;
            dropped::note(ledger, mended.refused)?;
            self.servers.clear();
        }
        self.remember(ledger, fleet)?;
        Ok((refilled, mended))
    }

    /// All servers that can be reached are right now.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub(super) fn settle(ledger: &Ledger, fleet: &Fleet) -> Result<()> {
        Doubtful::default().remember(ledger, fleet)
    }

    /// Writes the list, if it changed.
    fn remember(&self, ledger: &Ledger, fleet: &Fleet) -> Result<()> {
        let right = fleet.live().into_iter().filter(|i| !self.servers.contains(i));
        let now = Standing { layout: fleet.layout(), exact: right.map(|i| fleet.address(i).to_string()).collect() };
        if read(ledger)?.as_ref() == Some(&now) { Ok(()) } else { write(ledger, &now) }
    }
}

/// These servers broke off: whatever is written from now on, they may not have it.
///
/// # Errors
/// [`Kind::CannotWrite`].
pub(super) fn lose(ledger: &Ledger, addresses: &[String]) -> Result<()> {
    let Some(mut known) = read(ledger)?.filter(|_| !addresses.is_empty()) else { return Ok(()) };
    known.exact.retain(|address| !addresses.contains(address));
    write(ledger, &known)
}

fn read(ledger: &Ledger) -> Result<Option<Standing>> {
    // What cannot be read says that nobody is right.
    let unreadable = Standing { layout: String::new(), exact: BTreeSet::new() };
    Ok(ledger.meta(NAME)?.map(|text| serde_json::from_slice(&text).unwrap_or(unreadable)))
}

fn write(ledger: &Ledger, standing: &Standing) -> Result<()> {
    let bug = |e: serde_json::Error| Error::new(Kind::Bug, format!("the list of servers cannot be written: {e}"));
    let mut change = ledger.change()?;
    change.set_meta(NAME, &serde_json::to_vec(standing).map_err(bug)?)?;
    change.commit()
}
