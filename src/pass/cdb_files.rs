//! Wazuh's CDB lists in a pass: made from the ledger once it has changed, and left alone
//! where nothing did. A million keys do not fit into memory, so they
//! are sorted as the rows of a batch are, outside of it.

use crate::atomic_file::{self, Rewrite};
use crate::config::{CdbList, Config};
use crate::error::{Error, Kind, Result};
use crate::indicator::Namespace;
use crate::interrupt;
use crate::ledger::Ledger;
use crate::ledger::record::Record;
use crate::ledger::sort::{Order, Sorted, Sorter};
use crate::report;
use crate::wazuh::cdb;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Wazuh runs as a user of its own, and the lists are no secret.
const FILE_MODE: u32 = 0o644;

/// Keys that are held before they go to disk: less than in the rest of a pass, whose
/// memory is not all given back yet.
const RUN_BYTES: usize = 4 * 1024 * 1024;

/// Lines that are written at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Most keys of networks. Each takes up to 255, so that some thousands of them, which no
/// MISP should list, would fill a disk.
const MAX_NETWORK_KEYS: u64 = 1_000_000;

/// Networks beyond that.
const TOO_MANY: &str = "one network too many";

/// Where in the ledger's meta values [`Written`] is.
const META: &str = "cdb";

/// What the last pass wrote, kept in the ledger: where the files still are what it says,
/// and the configuration too, they are not even read.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    /// The configuration of the lists, and what they were called.
    configuration: String,
    files: BTreeMap<PathBuf, Stamp>,
    keys: u64,
    left_out: BTreeMap<String, u64>,
}

/// What tells a file from any other, without reading it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inode: u64,
    length: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let found = fs::metadata(path).ok()?;
        Some(Stamp { inode: found.ino(), length: found.len(), seconds: found.mtime(), nanoseconds: found.mtime_nsec() })
    }
}

/// Checks that the lists can be written.
///
/// # Errors
/// [`Kind::CannotWrite`], naming the path.
pub fn probe(config: &Config) -> Result<()> {
    paths(config)
        .iter()
        .try_for_each(|(_, path)| atomic_file::probe(path).map_err(|e| e.context("wazuh.cdb_directory")))
}

/// The lists of the configuration with their files, in the order of their namespaces. The
/// names begin as the keys in memcached do, so that two MISPs have a list each.
fn paths(config: &Config) -> Vec<(CdbList, PathBuf)> {
    let Some(directory) = &config.wazuh.cdb_directory else { return Vec::new() };
    let mut lists = config.wazuh.cdb_lists.clone();
    lists.sort_by_key(|list| list.namespace());
    let prefix = &config.memcached.prefix;
    lists.into_iter().map(|list| (list, directory.join(format!("{prefix}-{}", list.name())))).collect()
}

/// Writes the lists that are not what the ledger says: after a change of it, or where the
/// files or the configuration are others than they were. Temporary files are made in `directory`.
///
/// # Errors
/// [`Kind::CannotWrite`]; a list that is not done stays as it was.
pub(super) fn write(config: &Config, ledger: &Ledger, changed: bool, directory: &Path) -> Result<Option<report::Cdb>> {
    let lists = paths(config);
    let before: Written = ledger.meta(META)?.and_then(|w| serde_json::from_slice(&w).ok()).unwrap_or_default();
    if lists.is_empty() {
        let files = leave_old(&before, &[]);
        store(ledger, &before, &Written { files, ..Written::default() })?;
        return Ok(None);
    }
    let configuration = format!("{lists:?}");
    let as_written = |(path, stamp): (&PathBuf, &Stamp)| Stamp::of(path).as_ref() == Some(stamp);
    if !changed && before.configuration == configuration && before.files.iter().all(as_written) {
        let Written { keys, left_out, .. } = before;
        return Ok(Some(report::Cdb { written: Vec::new(), keys, left_out }));
    }
    let temporary = |e: io::Error| {
        Error::new(Kind::CannotWrite, format!("a temporary file in {} cannot be used: {e}", directory.display()))
    };
    let mut keys = Keys::new(directory);
    // Not the survey's reading of the ledger: what that holds meanwhile is as large.
    ledger.for_each(|event, record| match CdbList::of(record.namespace) {
        Some(list) if lists.iter().any(|(wanted, _)| *wanted == list) => {
            keys.take(list, event, &record).map_err(temporary)
        }
        _ => Ok(()),
    })?;
    let Keys { sorter, left_out, .. } = keys;
    let mut rows = sorter.finish().map_err(temporary)?;
    let (mut written, mut count) = (Vec::new(), 0);
    for (list, path) in &lists {
        let (changed, keys) = write_list(path, list.namespace(), &mut rows, temporary)?;
        count += keys;
        if changed {
            written.push(path.display().to_string());
        }
    }
    let mut files = leave_old(&before, &lists);
    files.extend(lists.into_iter().filter_map(|(_, path)| Stamp::of(&path).map(|stamp| (path, stamp))));
    let left_out: BTreeMap<String, u64> = left_out.into_iter().map(|(why, n)| (why.to_owned(), n)).collect();
    let now = Written { configuration, files, keys: count, left_out };
    store(ledger, &before, &now)?;
    Ok(Some(report::Cdb { written, keys: now.keys, left_out: now.left_out }))
}

/// The keys of all lists, sorted by list, key and event.
struct Keys {
    sorter: Sorter,
    left_out: BTreeMap<&'static str, u64>,
    of_networks: u64,
}

impl Keys {
    fn new(directory: &Path) -> Keys {
        Keys { sorter: Sorter::new(directory, RUN_BYTES, Order::ByKey), left_out: BTreeMap::new(), of_networks: 0 }
    }

    fn take(&mut self, list: CdbList, event: u64, record: &Record<'_>) -> io::Result<()> {
        let is_network = record.namespace == Namespace::Cidr;
        let mut pushed = Ok(());
        let listed = if is_network && self.of_networks >= MAX_NETWORK_KEYS {
            Err(TOO_MANY)
        } else {
            cdb::keys(record.namespace, record.value, |key| {
                self.of_networks += u64::from(is_network);
                let row = Record { namespace: list.namespace(), value: key, timestamp: 0, context: "", ..*record };
                if pushed.is_ok() {
                    pushed = self.sorter.push(event, row);
                }
            })
        };
        if let Err(reason) = listed {
            *self.left_out.entry(reason).or_default() += 1;
        }
        pushed
    }
}

/// Writes the list whose rows come next. Gives whether its bytes are others, and its keys.
fn write_list(
    path: &Path,
    namespace: Namespace,
    rows: &mut Sorted,
    temporary: impl Fn(io::Error) -> Error,
) -> Result<(bool, u64)> {
    let mut file = Rewrite::begin(path, FILE_MODE)?;
    let (mut piece, mut keys) = (String::new(), 0);
    let mut key = String::new();
    let mut events = VecDeque::new();
    while let Some((_, first)) = rows.current().filter(|(_, row)| row.namespace == namespace) {
        key.clear();
        key.push_str(first.value);
        events.clear();
        while let Some((event, row)) = rows.current() {
            if row.namespace != namespace || row.value != key {
                break;
            }
            // Once for each type, and for each network around it.
            if events.back() != Some(&event) {
                events.push_back(event);
                if events.len() > cdb::MAX_EVENTS {
                    events.pop_front();
                }
            }
            rows.advance().map_err(&temporary)?;
        }
        cdb::line(&mut piece, &key, events.iter().copied());
        keys += 1;
        if piece.len() > PIECE_BYTES {
            interrupt::check()?;
            file.write(piece.as_bytes())?;
            piece.clear();
        }
    }
    file.write(piece.as_bytes())?;
    Ok((file.finish()?, keys))
}

/// Files that the last pass wrote and the configuration no longer names: Wazuh's rules would
/// go on firing for what they list. They are emptied, unless somebody has changed them since;
/// not removed, for a list that `ossec.conf` names has to be there. Gives those that stay ours.
fn leave_old(before: &Written, named: &[(CdbList, PathBuf)]) -> BTreeMap<PathBuf, Stamp> {
    let mut stay = BTreeMap::new();
    // The same file may be named in another way.
    let named: Vec<PathBuf> = named.iter().filter_map(|(_, path)| path.canonicalize().ok()).collect();
    for (path, written) in &before.files {
        // Gone, or still in use.
        if path.canonicalize().map_or(true, |p| named.contains(&p)) {
            continue;
        }
        let shown = path.display();
        if Stamp::of(path).as_ref() != Some(written) {
            log::warn!("{shown} is no longer written; it was changed by somebody, so it is left to you");
            continue;
        }
        match atomic_file::replace_if_changed(path, b"", FILE_MODE) {
            Ok(false) => {}
            Ok(true) => {
                log::info!("{shown} is no longer written, and was emptied; remove it once ossec.conf is without it")
            }
            Err(e) => log::warn!("{shown} is no longer written and cannot be emptied: {e}; empty it"),
        }
        stay.extend(Stamp::of(path).map(|now| (path.clone(), now)));
    }
    stay
}

fn store(ledger: &Ledger, before: &Written, now: &Written) -> Result<()> {
    if now == before {
        return Ok(());
    }
    let bug =
        |e: serde_json::Error| Error::new(Kind::Bug, format!("the state of Wazuh's lists cannot be written: {e}"));
    let mut change = ledger.change()?;
    change.set_meta(META, &serde_json::to_vec(now).map_err(bug)?)?;
    change.commit()
}
