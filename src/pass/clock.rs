//! MISP's clock as the ledger remembers it. One that was ahead at an earlier pass has let
//! things go before their time (expiries, `misp.timeframe`), and no event changes when it
//! is right again: all of them are fetched anew then.

use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::header::Header;
use std::collections::BTreeMap;

/// The name in the ledger of the latest moment at which a pass has changed something.
const NAME: &str = "clock";

/// Seconds by which MISP's clock may go back: clocks are set now and then, and several
/// machines may answer for one MISP. What counts on it is reckoned in days.
const SLACK: u64 = 3600;

/// As it was noted; 0: never.
fn noted(ledger: &Ledger) -> Result<u64> {
    let text = ledger.meta(NAME)?.and_then(|text| String::from_utf8(text).ok());
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Has every event of the ledger fetched again, if the clock was ahead of `now`.
pub(super) fn check(ledger: &Ledger, known: &mut BTreeMap<u64, Header>, now: u64) -> Result<()> {
    let noted = noted(ledger)?;
    if noted <= now.saturating_add(SLACK) {
        return Ok(());
    }
    log::warn!(
        "MISP's clock is {} s behind what it was at an earlier pass: every event is fetched again, since some indicators may have gone before their time",
        noted - now
    );
    let mut change = ledger.change()?;
    for (event, header) in known {
        header.timestamp = 0;
        change.set_header(*event, header)?;
    }
    change.set_meta(NAME, now.to_string().as_bytes())?;
    change.commit()
}

/// Something is about to be changed by this clock.
pub(super) fn note(ledger: &Ledger, now: u64) -> Result<()> {
    if noted(ledger)? >= now {
        return Ok(());
    }
    let mut change = ledger.change()?;
    change.set_meta(NAME, now.to_string().as_bytes())?;
    change.commit()
}
