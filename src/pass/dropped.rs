//! Keys that memcached dropped as it refused what they were to hold next (it is full, and
//! evicts nothing). The events that were to be stored keep their mark and are told again;
//! those that were in the key before have none. So the ledger remembers that every key has
//! to be verified, once there is room again.

use crate::error::Result;
use crate::ledger::Ledger;

/// The name in the ledger.
const NAME: &str = "dropped";

/// Keys may be missing.
const DUE: &[u8] = b"due";

/// Whether every key has to be looked at.
///
/// # Errors
/// [`crate::error::Kind::CannotWrite`].
pub(super) fn is_due(ledger: &Ledger) -> Result<bool> {
    Ok(ledger.meta(NAME)?.is_some_and(|state| state == DUE))
}

/// memcached has refused something, or it has not.
///
/// # Errors
/// [`crate::error::Kind::CannotWrite`].
pub(super) fn note(ledger: &Ledger, refusals: u64) -> Result<()> {
    if refusals == 0 || is_due(ledger)? { Ok(()) } else { store(ledger, DUE) }
}

/// Every key was verified, on all servers, and so many were refused again.
///
/// # Errors
/// [`crate::error::Kind::CannotWrite`].
pub(super) fn verified(ledger: &Ledger, refused: u64) -> Result<()> {
    if refused > 0 {
        return note(ledger, refused);
    }
    if is_due(ledger)? { store(ledger, b"") } else { Ok(()) }
}

fn store(ledger: &Ledger, state: &[u8]) -> Result<()> {
    let mut change = ledger.change()?;
    change.set_meta(NAME, state)?;
    change.commit()
}
