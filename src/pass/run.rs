//! All of a pass, in order.
//!
//! Every output is opened and checked before MISP is asked. Additions go out as
//! they come; removals wait until the whole pass is known; `misp-networks`,
//! `misp-namespaces`, `misp-last-load` and `misp-stats` are written last.

use super::applier::Applier;
use super::cdb_files;
use super::clock;
use super::dropped;
use super::falco_files;
use super::finish;
use super::guard;
use super::history::Note;
use super::left_out;
use super::plan::{Plan, Rules, plan};
use super::prefix::leave_old_prefix;
use super::preview;
use super::progress::Progress;
use super::question;
use super::servers::{Memory, unreachable};
use super::standing::Doubtful;
use super::survey::Summary;
use super::tally::Tally;
use super::terms::Terms;
use super::told::{Told, before_a_refill};
use super::verify::verify;
use super::window::{self, Choice, Window};
use super::writer::Writer;
use crate::cache::fleet::Fleet;
use crate::config::Config;
use crate::error::Result;
use crate::indicator::Namespaces;
use crate::ledger::Ledger;
use crate::ledger::header::Header;
use crate::lock::Lock;
use crate::misp::attribute::IndexEvent;
use crate::misp::client::{Client, local_now};
use crate::misp::fetch::fetch;
use crate::misp::index::{self, Index};
use crate::misp::query::{self, Query};
use crate::report::Report;
use crate::state;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::thread;
use std::time::Instant;

/// Seconds by which our clock may differ from MISP's: a verification takes no smaller
/// difference for a wrong expiry.
const CLOCK_SLACK: u64 = 60;

/// What the command line adds to the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Fetch every event again; drop what is outside the window.
    pub full: bool,
    /// Print the difference, write nothing.
    pub dry_run: bool,
    /// Let any share of the indicators go.
    pub allow_shrink: bool,
}

/// Runs one pass. In a dry run the difference goes to `out`, a line each.
///
/// # Errors
/// Each kind but usage; what was loaded before stays loaded.
pub fn run(
    config: &Config,
    directory: &Path,
    options: Options,
    progress: &Progress,
    out: &mut dyn Write,
) -> Result<Report> {
    if options.dry_run {
        return timed(directory, || preview::run(config, directory, options, progress, out));
    }
    let lock = lock(directory)?;
    run_under(&lock, config, directory, options, progress)
}

/// Makes the state directory and takes its lock.
///
/// # Errors
/// [`crate::error::Kind::Locked`], [`crate::error::Kind::CannotWrite`].
pub fn lock(directory: &Path) -> Result<Lock> {
    state::make(directory)?;
    Lock::take(directory)
}

/// Runs one pass under a lock that is held longer than that. It writes.
///
/// # Errors
/// As [`run`].
pub fn run_under(_: &Lock, config: &Config, directory: &Path, options: Options, progress: &Progress) -> Result<Report> {
    let mut note = Note::new(directory);
    let outcome = timed(directory, || load(config, directory, options, progress, &mut note));
    note.end(&outcome);
    outcome
}

fn timed(directory: &Path, pass: impl FnOnce() -> Result<Report>) -> Result<Report> {
    let started = Instant::now();
    // On some kinds of damage the store panics. Nothing of the pass is used after that.
    let mut report = catch_unwind(AssertUnwindSafe(pass)).unwrap_or_else(|panic| match Ledger::damage(directory) {
        Some(damage) => Err(damage),
        None => resume_unwind(panic),
    })?;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// What a pass has open.
struct Pass<'a, 'n> {
    config: &'a Config,
    options: Options,
    ledger: &'a Ledger,
    known: BTreeMap<u64, Header>,
    client: Client,
    /// A server threw keys out since the last pass.
    lost: bool,
    /// Our own clock, if expiries were counted on it before MISP told the time.
    counted_on: Option<u64>,
    /// Servers that could not be mended before MISP was asked.
    doubtful: Doubtful,
    /// For temporary files.
    directory: &'a Path,
    progress: &'a Progress,
    note: &'a mut Note<'n>,
}

fn load(config: &Config, directory: &Path, options: Options, progress: &Progress, note: &mut Note) -> Result<Report> {
    let ledger = if options.full { Ledger::open_or_rebuild(directory)? } else { Ledger::open(directory)? };
    let mut fleet = Fleet::open(&config.memcached)?;
    let client = Client::new(&config.misp)?;
    falco_files::probe(config)?;
    cdb_files::probe(config)?;

    let mut doubtful = Doubtful::find(&ledger, &fleet)?;
    let memory = Memory::read(&mut fleet)?;
    let choice = choose(&mut fleet)?;
    let known: BTreeMap<u64, Header> = ledger.headers()?.into_iter().collect();
    let known = leave_old_prefix(config, &ledger, &mut fleet, known)?;
    let mut report = Report { window: choice.window.to_string(), ..Report::default() };
    let terms = Terms::new(config, local_now());
    let mends = !choice.fill.is_empty() || !doubtful.servers(&fleet).is_empty();
    let counted_on = (mends && !known.is_empty()).then_some(terms.now);
    if mends {
        note.begin();
        before_a_refill(&ledger, &mut fleet)?;
    }
    let (refilled, mended) = doubtful.mend(&ledger, &known, &mut fleet, &choice.fill, &terms, directory)?;
    report.refilled = refilled;

    let filled: Vec<String> = choice.fill.iter().map(|i| fleet.address(*i).to_string()).collect();
    let lost = memory.lost_keys(&ledger, &filled)?;
    let mut pass =
        Pass { config, options, ledger: &ledger, known, client, lost, counted_on, doubtful, directory, progress, note };
    progress.say("asking MISP for its events");
    let index = index::fetch(&pass.client)?;
    pass.run(&mut fleet, &index, choice.window, &mut report)?;
    report.mended += mended.into();
    report.memcached = memory.report(&mut fleet, report.keys, &ledger)?;
    Doubtful::settle(&ledger, &fleet)?;
    report.unreachable = unreachable(&fleet);
    Ok(report)
}

/// The `misp-stats` of each server, and what follows from it.
pub(super) fn choose(fleet: &mut Fleet) -> Result<Choice> {
    let key = fleet.keys().stats();
    let stats = fleet.each(|server| Ok(server.get(std::slice::from_ref(&key))?.into_iter().next().flatten()))?;
    Ok(window::choose(&stats))
}

impl Pass<'_, '_> {
    fn run(&mut self, fleet: &mut Fleet, index: &Index, window: Window, report: &mut Report) -> Result<()> {
        let (config, ledger) = (self.config, self.ledger);
        let terms = Terms::new(config, index.now);
        clock::check(ledger, &mut self.known, index.now)?;
        let otherwise = question::is_another(config, ledger)?;
        if !config.memcached.context.is_empty() {
            ledger.allow_context()?;
        }
        let full = self.options.full || otherwise;
        let held: u64 = self.known.values().map(|h| u64::from(h.records)).sum();
        let rules = Rules::new(&config.misp, index.now, full, held);
        let plan = plan(&index.events, &self.known, rules);
        report.window_seconds = window.seconds(&config.misp);
        report.full = full;
        report.misp_time = index.now;
        report.events = plan.events(index.events.len());

        let leaving: u64 = plan.gone.iter().filter_map(|e| self.known.get(e)).map(|h| u64::from(h.records)).sum();
        // Fails before anything is fetched where the list alone says so.
        self.guard(held, leaving)?;
        if full || !plan.is_idle() {
            self.note.begin();
        }

        question::begin(config, ledger)?;
        if !plan.fetch.is_empty() || !plan.gone.is_empty() {
            clock::note(ledger, index.now)?;
        }
        let mut tally = Tally::default();
        if ledger.has_removals()? {
            // A run was cut off; what it was about to remove is found again.
            let mut change = ledger.change()?;
            change.clear_removals()?;
            change.commit()?;
        }
        // Before anything else rewrites these headers.
        self.known.extend(plan.marks.iter().copied());
        let told = Summary::stored(self.ledger)?.map_or_else(Namespaces::default, |summary| summary.with_keys());
        let mut told = Told::new(told);
        let applied = thread::scope(|scope| {
            let applier = Applier::start(scope, fleet, index.now, &mut told);
            let mut writer = Writer::new(ledger, applier, &terms, &self.known);
            // An expiry that was switched off is still running in memcached.
            writer.tell_all = otherwise;
            // Not where that would be all of MISP.
            writer.once_more = !full && held > 0;
            writer.mark(&plan.marks)?;
            self.complete(&mut writer, &plan)?;
            self.expire(&mut writer, &terms, &plan, &mut tally)?;
            if let Err(e) = self.fetch(&mut writer, index, &plan, rules, &mut tally) {
                // What came whole is kept; should that fail too, it is fetched again.
                let _ = writer.flush();
                return Err(e);
            }
            if let Err(refusal) = self.guard(held, leaving + writer.going()) {
                writer.give_up_removals()?;
                return Err(refusal);
            }
            writer.remove(&plan.gone, &mut tally)?;
            Ok(writer.applied)
        })?;

        // While it refuses anything there is no room to put back what that cost.
        let dropped = applied.refusals == 0 && dropped::is_due(ledger)?;
        let all = full || self.lost || dropped || left_out::is_due(ledger)? || self.counted_wrongly(&terms);
        let which = if all { fleet.live() } else { self.doubtful.servers(fleet) };
        let mut refused = 0;
        if !which.is_empty() {
            self.progress.say("verifying every key");
            let known = ledger.headers()?.into_iter().collect();
            let (mended, left_out) = verify(ledger, &known, fleet, &which, &terms, self.directory)?;
            left_out::verified(ledger, left_out, all)?;
            if all {
                dropped::verified(ledger, mended.refused)?
            } else {
                dropped::note(ledger, mended.refused)?
            };
            refused = mended.refused;
            report.mended = mended.into();
        }
        self.progress.say("reading the ledger");
        let summary = finish::outputs(config, ledger, fleet.keys(), &terms, self.directory, report)?;
        question::answered(config, ledger)?;
        finish::tell_readers(fleet, &summary, index.now)?;
        finish::fill(report, &summary, &tally, applied);
        report.keys_refused += refused;
        Ok(())
    }

    /// Expiries were counted on our own clock, which MISP's does not bear out.
    fn counted_wrongly(&self, terms: &Terms) -> bool {
        terms.any_expires() && self.counted_on.is_some_and(|ours| ours.abs_diff(terms.now) > CLOCK_SLACK)
    }

    fn guard(&self, held: u64, going: u64) -> Result<()> {
        if self.options.allow_shrink {
            return Ok(());
        }
        guard::check(held, going, self.config.misp.max_shrink_percent)
    }

    /// Events whose change was cut off or refused and that cannot be fetched now, since
    /// somebody has unpublished them: memcached is told what the ledger has of them.
    fn complete(&self, writer: &mut Writer, plan: &Plan) -> Result<()> {
        for (event, header) in self.known.iter().filter(|(_, header)| header.dirty) {
            if !plan.has(*event) {
                writer.replay_whole(*event, header)?;
            }
        }
        Ok(())
    }

    /// What has expired, or is too old by now for `misp.timeframe`, goes also
    /// from events that are not fetched.
    fn expire(&self, writer: &mut Writer, terms: &Terms, plan: &Plan, tally: &mut Tally) -> Result<()> {
        let cutoff = query::attribute_cutoff(&self.config.misp, terms.now).unwrap_or(0);
        for (event, header) in &self.known {
            let old = header.records > 0 && u64::from(header.oldest) < cutoff;
            if !old && !terms.has_expired(header) {
                continue;
            }
            if plan.has(*event) {
                continue;
            }
            clock::note(self.ledger, terms.now)?;
            writer.drop_records(*event, *header, |record| {
                u64::from(record.timestamp) < cutoff || terms.is_over(record.namespace.category(), header.delivered)
            })?;
        }
        writer.remove(&[], tally)
    }

    fn fetch(&self, writer: &mut Writer, index: &Index, plan: &Plan, rules: Rules, tally: &mut Tally) -> Result<()> {
        let misp = &self.config.misp;
        let query = Query::new(self.config, index.now);
        let events: Vec<u64> = plan.fetch.iter().map(|(event, _)| *event).collect();
        let listed = |event: u64| {
            let Ok(at) = index.events.binary_search_by_key(&event, |e| e.id) else { return Header::default() };
            let (event, before) = (&index.events[at], self.known.get(&event));
            let unpublished_since = rules.draft_since(event, before.map_or(0, |h| h.unpublished_since));
            Header { timestamp: event.timestamp, unpublished_since, ..Header::default() }
        };
        // With `published` an event that somebody edits at this moment comes
        // without a row, as if all its attributes were gone.
        let mut vanished = Vec::new();
        self.progress.begin(events.len() as u64);
        fetch(&self.client, &query, &events, misp.connections, misp.page_size, self.directory, |mut batch| {
            self.progress.advance(batch.events.len() as u64, batch.attributes);
            tally.attributes += batch.attributes;
            tally.skip(std::mem::take(&mut batch.skipped));
            writer.absorb(batch, listed, tally, |event| {
                // It had nothing when it was last read, and has not changed since.
                let empty = |h: &Header| h.records == 0 && !h.dirty && h.timestamp == listed(event).timestamp;
                let doubtful = misp.published && !self.known.get(&event).is_some_and(empty);
                vanished.extend(doubtful.then_some(event));
                doubtful
            })
        })?;
        writer.flush()?;
        self.look_again(writer, index, &vanished)
    }

    /// Asks once more for the list of events, where some came without a row or in
    /// answers that may disagree. Those that are still published and unchanged really
    /// have nothing, or what came; the others were being edited, or unpublished: what the
    /// ledger knows of them is what it knew before, so that they are fetched again.
    fn look_again(&self, writer: &mut Writer, index: &Index, vanished: &[u64]) -> Result<()> {
        let doubted = writer.doubted();
        if vanished.is_empty() && doubted.is_empty() {
            return Ok(());
        }
        let now = index::fetch(&self.client)?.events;
        let find = |list: &[IndexEvent], id: u64| list.binary_search_by_key(&id, |e| e.id).ok().map(|at| list[at]);
        let unchanged = |event: u64| find(&index.events, event).filter(|before| find(&now, event) == Some(*before));
        let mut empty = Vec::new();
        for event in vanished {
            let Some(IndexEvent { timestamp, .. }) = unchanged(*event) else { continue };
            let header = writer.emptied(*event, timestamp);
            if header.records > 0 {
                writer.drop_records(*event, header, |_| true)?;
            } else {
                empty.push((*event, Header { dirty: false, ..header }));
            }
        }
        writer.mark(&empty)?;
        for event in doubted {
            if unchanged(event).is_none() {
                writer.keep(event)?;
            }
        }
        writer.flush()
    }
}
