//! Which question the ledger answers: MISP's address, filters, types, prefix, expiries
//! (`misp::query::fingerprint`). The answer to another one is fetched anew.
//!
//! It remembers two: the question of the last whole pass, and the one for which its
//! events were fetched. They differ while a pass is under way and after one that was
//! cut off; its events may then be of two questions, and answer neither.

use crate::config::Config;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::misp::query::fingerprint;

/// The name in the ledger of the question that a whole pass has answered.
const ANSWERED: &str = "question";

/// The name of the one for which events were fetched; older ledgers do not have it.
const ASKED: &str = "asked";

/// Some events were fetched for one question, some for another: the fingerprint of none.
const SEVERAL: &[u8] = b"";

/// The question for which the ledger's events were fetched.
fn asked(ledger: &Ledger) -> Result<Option<Vec<u8>>> {
    Ok(ledger.meta(ASKED)?.or(ledger.meta(ANSWERED)?))
}

/// Whether the ledger's events were fetched for another question than the configuration asks.
pub(super) fn is_another(config: &Config, ledger: &Ledger) -> Result<bool> {
    Ok(asked(ledger)?.is_some_and(|asked| asked != fingerprint(config).as_bytes()))
}

/// Whether a whole pass has answered any question: before that the ledger does not know
/// all that may stay.
pub(super) fn was_answered(ledger: &Ledger) -> Result<bool> {
    Ok(ledger.meta(ANSWERED)?.is_some())
}

/// Whether a whole pass has answered this one, and no other was asked since.
pub(super) fn is_answered(config: &Config, ledger: &Ledger) -> Result<bool> {
    Ok(was_answered(ledger)? && !is_another(config, ledger)?)
}

/// Events are about to be written that were fetched for this question.
pub(super) fn begin(config: &Config, ledger: &Ledger) -> Result<()> {
    let question = fingerprint(config);
    let now = match asked(ledger)? {
        Some(before) if before == question.as_bytes() || before == SEVERAL => return Ok(()),
        Some(_) => SEVERAL,
        None => question.as_bytes(),
    };
    let mut change = ledger.change()?;
    change.set_meta(ASKED, now)?;
    change.commit()
}

/// All events were fetched for this question.
pub(super) fn answered(config: &Config, ledger: &Ledger) -> Result<()> {
    if is_answered(config, ledger)? {
        return Ok(());
    }
    let question = fingerprint(config);
    let mut change = ledger.change()?;
    change.set_meta(ANSWERED, question.as_bytes())?;
    change.set_meta(ASKED, question.as_bytes())?;
    change.commit()
}
