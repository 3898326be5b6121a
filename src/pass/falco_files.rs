//! Falco's files in a pass: made from the same reading of the ledger as the
//! summary, and left alone where nothing changed.

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::falco::{self, Selection};
use crate::indicator::Namespace;
use crate::ledger::Ledger;
use crate::ledger::record::Record;
use crate::report;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the last pass wrote, kept in the ledger: where the files still are what it
/// says, and the configuration too, they need not be made again.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    configuration: String,
    /// Which of the files holds the rules.
    #[serde(default)]
    rules: Option<PathBuf>,
    /// SHA-256 of each file.
    files: BTreeMap<PathBuf, String>,
    listed: u64,
    left_out: BTreeMap<String, u64>,
    cut: u64,
}

/// Checks that the files can be written.
///
/// # Errors
/// [`Kind::CannotWrite`], naming the path.
pub(super) fn probe(config: &Config) -> Result<()> {
    if config.falco.enabled { falco::probe(&config.falco) } else { Ok(()) }
}

/// The files of one pass.
pub(super) struct Files {
    selection: Option<Selection>,
    hashes: Option<BTreeSet<(String, String)>>,
    domains: Option<BTreeSet<String>>,
    before: Written,
    configuration: String,
    stale: bool,
}

impl Files {
    /// Files for a pass at `now`, MISP's clock.
    pub(super) fn new(config: &Config, now: u64, ledger: &Ledger) -> Result<Files> {
        let falco = &config.falco;
        let on = falco.enabled;
        let cutoff = (!falco.timeframe.is_zero()).then(|| now.saturating_sub(falco.timeframe.as_secs()));
        let before: Written = ledger.meta("falco")?.and_then(|w| serde_json::from_slice(&w).ok()).unwrap_or_default();
        let configuration = hex(format!("{falco:?}").as_bytes());
        let unchanged = before.configuration == configuration
            && before.files.iter().all(|(path, digest)| self::digest(path).as_ref() == Some(digest));
        Ok(Files {
            selection: on.then(|| Selection::new(falco, cutoff)),
            hashes: (on && falco.hash_list.is_some()).then(BTreeSet::new),
            domains: (on && falco.domain_list.is_some()).then(BTreeSet::new),
            // Lists with a time frame change by themselves.
            stale: on && (!unchanged || cutoff.is_some()),
            before,
            configuration,
        })
    }

    /// Whether the ledger has to be read for them even if it did not change.
    pub(super) fn wants_records(&self) -> bool {
        self.stale
    }

    /// Takes one record of the ledger.
    pub(super) fn take(&mut self, record: &Record<'_>) {
        match record.namespace {
            // Networks stand under `ip` too, as MISP writes them.
            Namespace::Ip => {
                if let (Some(selection), Some(direction)) = (&mut self.selection, record.kind.direction()) {
                    selection.add(direction, record.value, u64::from(record.timestamp));
                }
            }
            Namespace::Domain => {
                if let Some(domains) = &mut self.domains {
                    domains.insert(record.value.to_owned());
                }
            }
            Namespace::Sha256 => {
                if let Some(hashes) = &mut self.hashes {
                    hashes.insert((record.value.to_owned(), String::new()));
                }
            }
            Namespace::Sha256Name => {
                if let (Some(hashes), Some((hash, name))) = (&mut self.hashes, record.value.split_once('|')) {
                    hashes.insert((hash.to_owned(), name.to_owned()));
                }
            }
            _ => {}
        }
    }

    /// Writes what changed, if the ledger was read.
    pub(super) fn finish(self, config: &Config, ledger: &Ledger, read: bool) -> Result<Option<report::Falco>> {
        let Some(selection) = self.selection else {
            let nothing = Selection::new(&config.falco, None).finish();
            let files = leave_old(&self.before, &[], Some(&falco::render(&nothing, config.falco.priority)));
            let rules = self.before.rules.clone().filter(|_| !files.is_empty());
            store(ledger, &self.before, &Written { rules, files, ..Written::default() })?;
            return Ok(None);
        };
        if !read {
            let Written { listed, left_out, cut, .. } = self.before;
            return Ok(Some(report::Falco { written: Vec::new(), listed, left_out, cut }));
        }
        let lists = selection.finish();
        let count = |l: &falco::DirectionLists| (l.ips().len() + l.networks().len()) as u64;
        let mut written = Vec::new();
        let mut paths = Vec::new();
        let outcome = falco::write(&config.falco, &lists)?;
        if outcome.changed {
            if outcome.checked == falco::Checked::NotFound {
                log::info!("no falco was found: {} is written unchecked", outcome.path.display());
            }
            written.push(outcome.path.display().to_string());
        }
        let rules = Some(outcome.path.clone());
        paths.push(outcome.path);
        let plain = [
            (&config.falco.hash_list, self.hashes.map(|h| falco::plain::hash_list(without_bare(h)))),
            (&config.falco.domain_list, self.domains.map(|d| falco::plain::domain_list(&d))),
        ];
        for (path, bytes) in plain {
            if let (Some(path), Some(bytes)) = (path, bytes) {
                if falco::write_plain(path, &bytes)? {
                    written.push(path.display().to_string());
                }
                paths.push(path.clone());
            }
        }
        let mut files = leave_old(&self.before, &paths, None);
        files.extend(paths.into_iter().filter_map(|p| digest(&p).map(|d| (p, d))));
        let now = Written {
            configuration: self.configuration,
            rules,
            files,
            listed: count(&lists.outbound) + count(&lists.inbound),
            left_out: lists.left_out.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect(),
            cut: lists.cut.total(),
        };
        store(ledger, &self.before, &now)?;
        Ok(Some(report::Falco { written, listed: now.listed, left_out: now.left_out, cut: now.cut }))
    }
}

/// Files that the last pass wrote and the configuration no longer names: Falco would go
/// on alerting for what they list. They go, unless somebody has changed them since. Where
/// there are no rules any more, `emptied` takes their place: exceptions that people append
/// to them would keep Falco from starting without. Gives the files that are still there.
fn leave_old(before: &Written, named: &[PathBuf], emptied: Option<&str>) -> BTreeMap<PathBuf, String> {
    let mut stay = BTreeMap::new();
    // The same file may be named in another way.
    let named: Vec<PathBuf> = named.iter().filter_map(|p| p.canonicalize().ok()).collect();
    for (path, written) in &before.files {
        // Gone, or still in use.
        if path.canonicalize().map_or(true, |p| named.contains(&p)) {
            continue;
        }
        let shown = path.display();
        if digest(path).as_ref() != Some(written) {
            log::warn!("{shown} is no longer written; it was changed by somebody, so it is left to you");
            continue;
        }
        let done = match emptied.filter(|_| before.rules.as_ref() == Some(path)) {
            Some(text) => falco::write_plain(path, text.as_bytes())
                .map(|changed| if changed { "emptied" } else { "" })
                .map_err(|e| e.to_string()),
            None => fs::remove_file(path).map(|()| "removed").map_err(|e| e.to_string()),
        };
        match done {
            Ok("") => {}
            Ok(what) => log::info!("{shown} is no longer written, and was {what}"),
            Err(e) => log::warn!("{shown} is no longer written and cannot be taken away: {e}; remove it"),
        }
        stay.extend(digest(path).map(|now| (path.clone(), now)));
    }
    stay
}

fn store(ledger: &Ledger, before: &Written, now: &Written) -> Result<()> {
    if now == before {
        return Ok(());
    }
    let bug = |e: serde_json::Error| Error::new(Kind::Bug, format!("Falco's state cannot be written: {e}"));
    let mut change = ledger.change()?;
    change.set_meta("falco", &serde_json::to_vec(now).map_err(bug)?)?;
    change.commit()
}

/// A hash that is listed with a file name is not listed without one too.
fn without_bare(hashes: BTreeSet<(String, String)>) -> BTreeSet<(String, String)> {
    let named: BTreeSet<String> = hashes.iter().filter(|(_, n)| !n.is_empty()).map(|(h, _)| h.clone()).collect();
    hashes.into_iter().filter(|(hash, name)| !name.is_empty() || !named.contains(hash)).collect()
}

fn digest(path: &Path) -> Option<String> {
    fs::read(path).ok().map(|bytes| hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
