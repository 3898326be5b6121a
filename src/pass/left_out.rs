//! Keys that too many events list: the value has room for the newest only, so it does
//! not know the others. Once events go, or say less, they have to come in again, which takes the
//! ledger's word for every event: the keys are verified in that pass.
//!
//! The ledger remembers that there are such keys, and, before anything is taken out,
//! that a verification is due. So a pass that is cut off owes it to the next one.

use crate::error::Result;
use crate::ledger::{Change, Ledger};

/// The name in the ledger.
const NAME: &str = "left-out";

/// Nothing is left out, as far as anybody knows.
const NOTHING: &[u8] = b"";

/// Some values do not have all of their events.
const SOME: &[u8] = b"some";

/// The same, and something was taken out since.
const DUE: &[u8] = b"due";

fn state(ledger: &Ledger) -> Result<Vec<u8>> {
    Ok(ledger.meta(NAME)?.unwrap_or_default())
}

fn store(ledger: &Ledger, state: &[u8]) -> Result<()> {
    let mut change = ledger.change()?;
    change.set_meta(NAME, state)?;
    change.commit()
}

/// Notes in a change that values were cut.
///
/// # Errors
/// [`crate::error::Kind::CannotWrite`].
pub(super) fn note(ledger: &Ledger, change: &mut Change<'_>) -> Result<()> {
    if state(ledger)? == NOTHING { change.set_meta(NAME, SOME) } else { Ok(()) }
}

/// The same, at once.
///
/// # Errors
/// [`crate::error::Kind::CannotWrite`].
pub(super) fn note_now(ledger: &Ledger) -> Result<()> {
    if state(ledger)? == NOTHING { store(ledger, SOME) } else { Ok(()) }
}

/// Notes in a change that tags of values get another length, and perhaps a shorter one.
///
/// # Errors
/// [`crate::error::Kind::CannotWrite`].
pub(super) fn retelling(ledger: &Ledger, change: &mut Change<'_>) -> Result<()> {
    if state(ledger)? == SOME { change.set_meta(NAME, DUE) } else { Ok(()) }
}

/// Tags are about to be taken out.
///
/// # Errors
/// [`crate::error::Kind::CannotWrite`].
pub(super) fn removing(ledger: &Ledger) -> Result<()> {
    if state(ledger)? == SOME { store(ledger, DUE) } else { Ok(()) }
}

/// Whether every key has to be looked at.
///
/// # Errors
/// [`crate::error::Kind::CannotWrite`].
pub(super) fn is_due(ledger: &Ledger) -> Result<bool> {
    Ok(state(ledger)? == DUE)
}

/// A verification is over, which left out so many tags, on `all` servers or on some.
///
/// # Errors
/// [`crate::error::Kind::CannotWrite`].
pub(super) fn verified(ledger: &Ledger, left_out: u64, all: bool) -> Result<()> {
    if !all {
        return if left_out > 0 { note_now(ledger) } else { Ok(()) };
    }
    let now = if left_out > 0 { SOME } else { NOTHING };
    if state(ledger)? == now { Ok(()) } else { store(ledger, now) }
}
