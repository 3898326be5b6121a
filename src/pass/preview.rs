//! The dry run: the difference between the ledger and what MISP says now, printed
//! and not written. Without a ledger everything is new.

use super::diff::{Fate, Nothing, diff};
use super::plan::{Rules, plan};
use super::prefix::old_prefix;
use super::progress::Progress;
use super::question;
use super::run::{Options, choose};
use super::servers::unreachable;
use super::tally::Tally;
use super::terms::Terms;
use super::writer::EventRows;
use crate::cache::fleet::Fleet;
use crate::cache::key::Keys;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::indicator::Namespace;
use crate::ledger::header::Header;
use crate::ledger::record::Record;
use crate::ledger::{self, Ledger};
use crate::lock::Lock;
use crate::misp::client::Client;
use crate::misp::fetch::fetch;
use crate::misp::index;
use crate::misp::query::Query;
use crate::report::{self, Report};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Before a line of an indicator that stays, of which something else is to be said.
const CONTEXT_ALONE: char = '~';

/// Prints `+ KEY EVENT#TYPE` and `- KEY EVENT#TYPE` for what a pass would add and
/// remove, and `~ KEY EVENT#TYPE#CONTEXT` where only what is said of it would change.
///
/// # Errors
/// As a pass, but for outputs that cannot be written.
pub(super) fn run(
    config: &Config,
    directory: &Path,
    options: Options,
    progress: &Progress,
    out: &mut dyn Write,
) -> Result<Report> {
    let temporary =
        tempfile::tempdir().map_err(|e| Error::new(Kind::CannotWrite, format!("temporary directory: {e}")))?;
    let _lock;
    let ledger = if directory.join(ledger::FILE_NAME).exists() {
        _lock = Lock::take(directory)?;
        Ledger::open(directory)?
    } else {
        Ledger::open(temporary.path())?
    };
    let mut fleet = Fleet::open(&config.memcached)?;
    let window = choose(&mut fleet)?.window;
    let client = Client::new(&config.misp)?;
    progress.say("asking MISP for its events");
    let index = index::fetch(&client)?;
    let mut known: BTreeMap<u64, Header> = ledger.headers()?.into_iter().collect();
    let terms = Terms::new(config, index.now);
    let mut tally = Tally::default();
    let print_key = |out: &mut dyn Write, keys: &Keys, sign: char, event: u64, record: &Record| {
        if !record.namespace.is_cached() {
            return Ok(());
        }
        let key = keys.indicator(record.namespace, record.value);
        let key = String::from_utf8_lossy(&key).escape_debug().to_string();
        let mut line = format!("{sign} {key} {event}#{}", record.kind.name());
        let context = if sign == CONTEXT_ALONE { terms.context(record) } else { "" };
        if !context.is_empty() {
            line.extend(["#", context]);
        }
        writeln!(out, "{line}").map_err(|e| Error::new(Kind::CannotWrite, format!("standard output: {e}")))
    };
    if let Some(old) = old_prefix(config, &ledger)? {
        let keys = Keys::new(&old);
        ledger.for_each(|event, record| {
            tally.removed(record.namespace);
            print_key(out, &keys, '-', event, &record)
        })?;
        known.clear();
    }
    let full = options.full || question::is_another(config, &ledger)?;
    let held = known.values().map(|h| u64::from(h.records)).sum();
    let plan = plan(&index.events, &known, Rules::new(&config.misp, index.now, full, held));
    let print =
        |out: &mut dyn Write, sign: char, event: u64, record: &Record| print_key(out, &terms.keys, sign, event, record);

    let events: Vec<u64> = plan.fetch.iter().map(|(event, _)| *event).collect();
    let query = Query::new(config, index.now);
    progress.begin(events.len() as u64);
    let misp = &config.misp;
    fetch(&client, &query, &events, misp.connections, misp.page_size, temporary.path(), |mut batch| {
        progress.advance(batch.events.len() as u64, batch.attributes);
        tally.attributes += batch.attributes;
        tally.skip(std::mem::take(&mut batch.skipped));
        for event in &batch.events {
            let mut rows = EventRows { rows: &mut batch.rows, event: *event };
            let each = |fate: Fate, record: Record<'_>| match fate {
                Fate::Added => {
                    tally.added(record.namespace);
                    print(out, '+', *event, &record)
                }
                Fate::Gone => {
                    tally.removed(record.namespace);
                    print(out, '-', *event, &record)
                }
                Fate::Kept { retold: true, .. } => print(out, CONTEXT_ALONE, *event, &record),
                Fate::Kept { .. } => Ok(()),
            };
            match known.get(event) {
                Some(_) => diff(&mut ledger.records(*event)?, &mut rows, each)?,
                None => diff(&mut Nothing, &mut rows, each)?,
            }
        }
        Ok(())
    })?;
    for event in &plan.gone {
        diff(&mut ledger.records(*event)?, &mut Nothing, |_, record| {
            tally.removed(record.namespace);
            print(out, '-', *event, &record)
        })?;
    }

    let mut namespaces = BTreeMap::new();
    for namespace in Namespace::ALL {
        let (added, removed) = tally.of(*namespace);
        if added + removed > 0 {
            namespaces.insert(namespace.name().to_owned(), report::Namespace { added, removed, ..Default::default() });
        }
    }
    Ok(Report {
        dry_run: true,
        window: window.to_string(),
        window_seconds: window.seconds(misp),
        full,
        misp_time: index.now,
        events: plan.events(index.events.len()),
        attributes: tally.attributes,
        namespaces,
        skipped: tally.skipped(),
        skipped_attributes: tally.named(),
        unreachable: unreachable(&fleet),
        ..Report::default()
    })
}
