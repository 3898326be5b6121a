//! The end of a pass, when ledger and memcached are right: what the ledger holds, the
//! files made of it, the keys that tell readers what they may rely on, and the report.

use super::cdb_files;
use super::falco_files;
use super::survey::{Summary, survey};
use super::tally::Tally;
use super::terms::Terms;
use crate::cache::bulk::Applied;
use crate::cache::fleet::Fleet;
use crate::cache::key::Keys;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::indicator::Namespace;
use crate::ledger::{Ledger, SUMMARY};
use crate::report::{self, Report};
use std::path::Path;

/// What the ledger holds, read anew where it changed since it was last read to the end;
/// and the files that are made of it.
pub(super) fn outputs(
    config: &Config,
    ledger: &Ledger,
    keys: &Keys,
    terms: &Terms,
    directory: &Path,
    report: &mut Report,
) -> Result<Summary> {
    let stored = Summary::stored(ledger)?;
    let mut files = falco_files::Files::new(config, terms.now, ledger)?;
    let read = stored.is_none() || files.wants_records();
    let summary = match &stored {
        Some(summary) if !read => summary.clone(),
        _ => {
            let records = ledger.headers()?.iter().map(|(_, h)| u64::from(h.records)).sum();
            survey(ledger, records, keys, |_, record| {
                files.take(&record);
                Ok(())
            })?
        }
    };
    report.falco = files.finish(config, ledger, read)?;
    report.cdb = cdb_files::write(config, ledger, stored.is_none(), directory)?;
    // Last: a pass that fails before leaves all of it to the next one.
    if stored.as_ref() != Some(&summary) {
        let bug = |e: serde_json::Error| Error::new(Kind::Bug, format!("a summary cannot be written: {e}"));
        let mut change = ledger.change()?;
        change.set_meta(SUMMARY, &serde_json::to_vec(&summary).map_err(bug)?)?;
        change.commit()?;
    }
    Ok(summary)
}

/// The keys that tell readers what they may rely on, `misp-stats` last.
pub(super) fn tell_readers(fleet: &mut Fleet, summary: &Summary, now: u64) -> Result<()> {
    let keys = fleet.keys().clone();
    fleet.set_everywhere(&keys.networks(), summary.networks.as_bytes())?;
    fleet.set_everywhere(&keys.namespaces(), summary.with_keys().to_string().as_bytes())?;
    fleet.set_everywhere(&keys.last_load(), now.to_string().as_bytes())?;
    fleet.set_everywhere(&keys.stats(), summary.keys().to_string().as_bytes())
}

/// What was counted, into the report.
pub(super) fn fill(report: &mut Report, summary: &Summary, tally: &Tally, applied: Applied) {
    report.attributes = tally.attributes;
    report.keys = summary.keys();
    report.tags_left_out = applied.left_out;
    report.keys_refused = applied.refused;
    report.skipped = tally.skipped();
    report.skipped_attributes = tally.named();
    for namespace in Namespace::ALL {
        let (added, removed) = tally.of(*namespace);
        let holding = summary.namespaces.get(namespace.name()).copied().unwrap_or_default();
        if added + removed + holding.keys > 0 {
            let unchanged = holding.indicators.saturating_sub(added);
            let row = report::Namespace { added, removed, unchanged, keys: holding.keys };
            report.namespaces.insert(namespace.name().to_owned(), row);
        }
    }
}
