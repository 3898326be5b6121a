//! Metrics for Prometheus: a file that node_exporter's textfile collector reads, written
//! anew after each pass, and by `follow` every ten seconds.
//!
//! - [`totals`]: what has to outlive a run, since counters only grow (pure)
//! - [`text`]: the text format (pure)
//!
//! Metrics never fail a run: what cannot be written is warned about.

pub mod text;
pub mod totals;

use crate::atomic_file;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::follow::counts::Counts;
use crate::ledger;
use crate::misp::client;
use crate::report::Report;
use std::fs;
use std::path::Path;
use totals::Totals;

/// Name of the file in the state directory that keeps the totals.
const FILE_NAME: &str = "metrics.json";

/// Counts a pass that came to this end, and writes the file, if one is configured. A run
/// that another one locked out is not counted: the other one writes.
pub fn pass(config: &Config, directory: &Path, outcome: &Result<Report>, follow: Option<&Counts>) {
    let Some(file) = &config.metrics.file else { return };
    if outcome.as_ref().is_err_and(|e| e.kind() == Kind::Locked) {
        return;
    }
    let kept = directory.join(FILE_NAME);
    let mut totals = read(&kept);
    totals.count(outcome, client::local_now(), client::requests());
    let written = serde_json::to_vec(&totals)
        .map_err(|e| Error::new(Kind::Bug, e.to_string()))
        .and_then(|json| atomic_file::replace_if_changed(&kept, &json, 0o644))
        .and_then(|_| render(file, directory, &totals, follow));
    warn(written);
}

/// Writes the file anew with what `follow` has counted.
pub fn follow(config: &Config, directory: &Path, counts: &Counts) {
    if let Some(file) = &config.metrics.file {
        warn(render(file, directory, &read(&directory.join(FILE_NAME)), Some(counts)));
    }
}

/// Checks that the file can be written.
///
/// # Errors
/// [`Kind::CannotWrite`].
pub fn probe(config: &Config) -> Result<()> {
    config.metrics.file.as_deref().map_or(Ok(()), atomic_file::probe)
}

fn read(kept: &Path) -> Totals {
    // Without it counters begin anew, which Prometheus knows of every counter.
    fs::read(kept).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

fn render(file: &Path, directory: &Path, totals: &Totals, follow: Option<&Counts>) -> Result<()> {
    let ledger = fs::metadata(directory.join(ledger::FILE_NAME)).map_or(0, |m| m.len());
    atomic_file::replace_if_changed(file, text::render(totals, ledger, follow).as_bytes(), 0o644).map(drop)
}

fn warn(written: Result<()>) {
    if let Err(e) = written {
        log::warn!("metrics.file: {e}");
    }
}
