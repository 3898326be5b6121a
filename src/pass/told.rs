//! What readers are told of the keys before there are any: in which namespaces to look
//! (`misp-namespaces`), and with which prefix lengths (`misp-networks`). A key that
//! nobody looks for is as good as missing, so this comes first.

use crate::cache::changes::Changes;
use crate::cache::fleet::Fleet;
use crate::cache::networks::Networks;
use crate::error::Result;
use crate::indicator::Namespaces;

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
            let key = fleet.keys().networks();
            // On every server the same, but for one that was just filled or lost it.
            let held = fleet.each(|server| Ok(server.get(std::slice::from_ref(&key))?.pop().flatten()))?;
            for (_, value) in held {
                all.append(&Networks::parse(&value.unwrap_or_default()));
            }
            fleet.set_everywhere(&key, all.to_string().as_bytes())?;
            self.networks = all;
        }
        Ok(())
    }
}

/// Lets readers look in every namespace until the pass is over.
///
/// # Errors
/// As [`Fleet::each`].
pub(super) fn look_everywhere(fleet: &mut Fleet) -> Result<()> {
    let key = fleet.keys().namespaces();
    fleet.delete_everywhere(&key)
}
