//! What readers are told of the keys before there are any: in which namespaces to look
//! (`misp-namespaces`), and with which prefix lengths (`misp-networks`). A key that
//! nobody looks for is as good as missing, so this comes first.

use super::survey::Summary;
use crate::cache::changes::Changes;
use crate::cache::fleet::Fleet;
use crate::cache::networks::Networks;
use crate::error::Result;
use crate::indicator::Namespaces;
use crate::ledger::Ledger;

/// What readers know.
#[derive(Debug, Default)]
pub struct Told {
    namespaces: Namespaces,
    /// Only lengths that are known to stand in `misp-networks`; there may be more.
    networks: Networks,
}

impl Told {
    /// Readers look in these namespaces.
    pub fn new(namespaces: Namespaces) -> Told {
        Told { namespaces, networks: Networks::default() }
    }

    /// Tells readers what they need to find these changes.
    ///
    /// # Errors
    /// As [`Fleet::each`].
    pub fn before(&mut self, fleet: &mut Fleet, changes: &Changes) -> Result<()> {
        if !changes.added_to().are_among(self.namespaces) {
            look_everywhere(fleet)?;
            self.namespaces = Namespaces::all();
        }
        let mut all = self.networks.clone();
        if all.append(changes.networks()) {
            self.networks = tell(fleet, all)?;
        }
        Ok(())
    }
}

/// Tells readers of these prefix lengths beside those that they know; gives all of them.
fn tell(fleet: &mut Fleet, mut all: Networks) -> Result<Networks> {
    let key = fleet.keys().networks();
    // On every server the same, but for one that was just filled or lost it.
    let held = fleet.each(|server| Ok(server.get(std::slice::from_ref(&key))?.pop().flatten()))?;
    for (_, value) in held {
        all.append(&Networks::parse(&value.unwrap_or_default()));
    }
    fleet.set_everywhere(&key, all.to_string().as_bytes())?;
    Ok(all)
}

/// Tells readers what they need to find all that the ledger holds: servers are about to
/// be filled with it, and the pass may end before it can say what there is.
///
/// # Errors
/// As [`Fleet::each`], and those of the ledger.
pub(super) fn before_a_refill(ledger: &Ledger, fleet: &mut Fleet) -> Result<()> {
    look_everywhere(fleet)?;
    let mut networks = Networks::default();
    match Summary::stored(ledger)? {
        Some(summary) => networks = Networks::parse(summary.networks.as_bytes()),
        None => ledger.for_each(|_, record| {
            if let Some(network) = record.network() {
                networks.insert(network);
            }
            Ok(())
        })?,
    }
    if networks.is_empty() { Ok(()) } else { tell(fleet, networks).map(drop) }
}

/// Lets readers look in every namespace until the pass is over.
///
/// # Errors
/// As [`Fleet::each`].
fn look_everywhere(fleet: &mut Fleet) -> Result<()> {
    let key = fleet.keys().namespaces();
    fleet.delete_everywhere(&key)
}
