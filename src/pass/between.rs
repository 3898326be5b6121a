//! What live messages change between two passes, in ledger and memcached.
//!
//! The rules are those of a pass: the ledger has a change before memcached does, and
//! the event is marked until memcached has it. Whatever event is touched here is
//! fetched again by the next pass (its timestamp in the ledger is 0), so a message that
//! was lost, came twice or lied is made good then.

use super::applier::Applier;
use super::bare::Bare;
use super::dropped;
use super::falco_files;
use super::guard;
use super::left_out;
use super::question;
use super::since::Since;
use super::standing;
use super::survey::Summary;
use super::tally::Tally;
use super::terms::{Terms, count};
use super::told::Told;
use super::writer::Writer;
use crate::cache::changes::Changes;
use crate::cache::dialer::Dialer;
use crate::cache::fleet::Fleet;
use crate::cache::merge::Expiry;
use crate::cache::server::Server;
use crate::config::Config;
use crate::error::Result;
use crate::indicator::{MispType, Namespace, Namespaces};
use crate::ledger::Ledger;
use crate::ledger::header::Header;
use crate::ledger::insert::Put;
use crate::ledger::record::Record;
use crate::misp::client::local_now;
use crate::misp::fetch::Batch;
use crate::report;
use std::collections::BTreeMap;
use std::path::Path;
use std::thread::{self, JoinHandle};

/// An indicator that a message brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// Where it is kept.
    pub namespace: Namespace,
    /// The attribute type it came from.
    pub kind: MispType,
    /// The attribute's own timestamp, Unix seconds.
    pub timestamp: u32,
    /// The value.
    pub value: String,
}

impl Fresh {
    /// As the ledger has it.
    pub fn record(&self) -> Record<'_> {
        let Fresh { namespace, kind, timestamp, value } = self;
        Record { namespace: *namespace, kind: *kind, timestamp: *timestamp, value, context: "" }
    }
}

/// What was made of MISP's answer for some events.
#[derive(Debug, Default)]
pub struct Absorbed {
    /// Known events that came without a row, left as they were: such an answer is to be doubted.
    pub vanished: Vec<(u64, Header)>,
    /// An event has lost something between two answers that may disagree. It keeps what
    /// it had until a pass has looked again.
    pub doubted: bool,
}

/// Ledger and memcached, open between two passes.
pub struct Between<'a> {
    config: &'a Config,
    ledger: Ledger,
    fleet: Fleet,
    told: Told,
    terms: Terms,
    /// MISP's clock less ours, in seconds.
    ahead: i64,
    /// Events whose changes are in memcached: marked so with the next commit.
    settled: Vec<(u64, Header)>,
    /// Indicators in the ledger.
    held: u64,
    /// A server broke off.
    lost: bool,
    /// Servers on which a failed pass has left no `misp-stats`.
    bare: Bare,
    /// Tries servers that could not be reached.
    probe: Option<JoinHandle<bool>>,
}

impl<'a> Between<'a> {
    /// Opens both; `None` while no pass has loaded what the configuration asks for. MISP's
    /// clock is `ahead` seconds before ours, or behind.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`], [`crate::error::Kind::Unavailable`].
    pub fn open(config: &'a Config, directory: &Path, ahead: i64) -> Result<Option<Between<'a>>> {
        let ledger = Ledger::open(directory)?;
        if !question::is_answered(config, &ledger)? {
            return Ok(None);
        }
        let fleet = Fleet::open(&config.memcached)?;
        let told = Told::new(Summary::stored(&ledger)?.map_or_else(Namespaces::default, |s| s.with_keys()));
        let held = ledger.headers()?.iter().map(|(_, h)| u64::from(h.records)).sum();
        let away: Vec<String> = fleet.unreachable().map(|(address, _)| address.to_string()).collect();
        // Broken off since the pass: what is written from now on, they do not have.
        standing::lose(&ledger, &away)?;
        let mut between = Between {
            config,
            ledger,
            fleet,
            told,
            terms: Terms::new(config, 0),
            ahead,
            settled: Vec::new(),
            held,
            lost: !away.is_empty(),
            bare: Bare::default(),
            probe: None,
        };
        between.terms.now = between.now();
        Ok(Some(between))
    }

    /// MISP's clock, Unix seconds.
    pub fn now(&self) -> u64 {
        local_now().saturating_add_signed(self.ahead)
    }

    /// Whether the ledger knows an event.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn knows(&self, event: u64) -> Result<bool> {
        Ok(self.ledger.header(event)?.is_some())
    }

    /// Adds indicators to events, each event's in any order. Gives the events that the
    /// ledger did not know.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`], [`crate::error::Kind::Unavailable`]: no server is left.
    pub fn add(&mut self, mut events: BTreeMap<u64, Vec<Fresh>>) -> Result<Vec<u64>> {
        self.terms.now = self.now();
        let mut changes = Changes::default();
        let (mut begun, mut unknown) = (Vec::new(), Vec::new());
        let mut change = self.ledger.change()?;
        let settled = std::mem::take(&mut self.settled);
        settled.iter().try_for_each(|(event, header)| change.set_header(*event, header))?;
        for (event, fresh) in &mut events {
            // Of what came twice the newest counts.
            fresh.sort_by(|a, b| a.record().order(&b.record()).then(b.timestamp.cmp(&a.timestamp)));
            fresh.dedup_by(|a, b| a.record().order(&b.record()).is_eq());
            let records: Vec<Record> = fresh.iter().map(Fresh::record).collect();
            let before = change.header(*event)?;
            let mut header = before.unwrap_or_else(|| Header { delivered: self.terms.now, ..Header::default() });
            unknown.extend(before.is_none().then_some(*event));
            let (mut news, mut moved) = (header.dirty, false);
            for (record, put) in records.iter().zip(change.insert(*event, &records)?) {
                if put == Put::New {
                    count(&mut header, record);
                    self.held += 1;
                    news = true;
                }
                moved |= put == Put::Known { moved: true };
                if put == Put::New || header.dirty {
                    self.terms.add(&mut changes, *event, *record, self.terms.now);
                }
            }
            if !news {
                if moved {
                    // Whether the message's time is older or newer, MISP's answer tells.
                    change.set_header(*event, &Header { timestamp: 0, ..header })?;
                }
                continue;
            }
            let header = Header { timestamp: 0, dirty: true, ..header };
            change.set_header(*event, &header)?;
            begun.push((*event, Header { dirty: before.is_some_and(|h| h.dirty), ..header }));
        }
        change.commit()?;
        if self.apply(&changes)? {
            self.settled = begun;
        }
        Ok(unknown)
    }

    /// Has the changes applied; whether every one of them was taken.
    fn apply(&mut self, changes: &Changes) -> Result<bool> {
        if changes.is_empty() {
            return Ok(true);
        }
        let told = self.told.before(&mut self.fleet, changes);
        let applied = told.and_then(|()| self.fleet.apply(changes, Expiry::Delivered, self.terms.now));
        let lost = self.fleet.newly_lost();
        self.lost |= !lost.is_empty() || applied.is_err();
        standing::lose(&self.ledger, &lost)?;
        let applied = applied?;
        dropped::note(&self.ledger, applied.refusals)?;
        if applied.left_out > 0 {
            left_out::note_now(&self.ledger)?;
        }
        Ok(applied.refused == 0)
    }

    /// Takes what MISP says of some events now. Unknown ones that came without a row are
    /// not remembered.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`], [`crate::error::Kind::Unavailable`].
    pub fn absorb(&mut self, batch: Batch, since: Since) -> Result<Absorbed> {
        let known = self.known(&batch.events)?;
        let mut absorbed = Absorbed::default();
        let published = self.config.misp.published;
        let skips = batch.skipped.reasons().values().sum::<u64>();
        if skips > 0 {
            log::debug!("{skips} attributes that are no indicators came; the next pass names them");
        }
        self.write(&known, since, |writer, tally| {
            let listed = |event: u64| {
                let before = known.get(&event).map_or(0, |h| h.unpublished_since);
                // Where only published events are asked for, a row says that it is one.
                let unpublished_since = if published { 0 } else { before };
                Header { unpublished_since, ..Header::default() }
            };
            writer.absorb(batch, listed, tally, |event| {
                absorbed.vanished.extend(known.get(&event).filter(|h| h.records > 0).map(|h| (event, *h)));
                true
            })?;
            // Unpublished in between: no message would bring back what it lost. What else
            // changes between two answers has a message of its own.
            for event in writer.doubted().into_iter().filter(|event| published && known.contains_key(event)) {
                writer.flush()?;
                writer.keep(event)?;
                absorbed.doubted = true;
            }
            Ok(())
        })?;
        Ok(absorbed)
    }

    /// Drops the indicators of events that came without a row, but for those that came
    /// `since`, if that is not more than may go at once.
    ///
    /// # Errors
    /// [`crate::error::Kind::Untrusted`]: the shrink guard; and as [`Between::absorb`].
    pub fn drop_vanished(&mut self, vanished: &[(u64, Header)], since: &Since) -> Result<()> {
        // Messages may have changed them since, and deleted some.
        let known = self.known(&events_of(vanished))?;
        let going = known.values().map(|h| u64::from(h.records)).sum();
        guard::check(self.held, going, self.config.misp.max_shrink_percent)?;
        self.write(&known, Since::default(), |writer, _| {
            for (event, header) in &known {
                let header = Header { timestamp: 0, delivered: 0, ..*header };
                writer.drop_records(*event, header, |record| !since.has(*event, record))?;
            }
            Ok(())
        })
    }

    /// Marks events as unpublished from now on, if they are not marked yet.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn mark_unpublished(&mut self, events: &[(u64, Header)]) -> Result<()> {
        let now = self.now();
        // A message may have deleted some of them meanwhile.
        let known = self.known(&events_of(events))?;
        let fresh = known.iter().filter(|(_, h)| h.unpublished_since == 0);
        let marks: Vec<_> = fresh.map(|(event, h)| (*event, Header { unpublished_since: now, ..*h })).collect();
        if marks.is_empty() {
            return Ok(());
        }
        let mut change = self.ledger.change()?;
        marks.iter().try_for_each(|(event, header)| change.set_header(*event, header))?;
        change.commit()
    }

    /// Events were deleted: all of their indicators go.
    ///
    /// # Errors
    /// As [`Between::absorb`].
    pub fn remove(&mut self, events: &[u64]) -> Result<()> {
        let known = self.known(events)?;
        let gone: Vec<u64> = known.keys().copied().collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.write(&known, Since::default(), |writer, tally| writer.remove(&gone, tally))
    }

    /// Those of these events that the ledger knows, all that was done being settled:
    /// whoever writes these headers undoes nothing.
    fn known(&mut self, events: &[u64]) -> Result<BTreeMap<u64, Header>> {
        self.settle()?;
        let mut known = BTreeMap::new();
        for event in events {
            if let Some(header) = self.ledger.header(*event)? {
                known.insert(*event, header);
            }
        }
        Ok(known)
    }

    /// Does something with a writer for `known` events, and removes what it found to go.
    fn write(
        &mut self,
        known: &BTreeMap<u64, Header>,
        since: Since,
        job: impl FnOnce(&mut Writer<'_>, &mut Tally) -> Result<()>,
    ) -> Result<()> {
        self.terms.now = self.now();
        let (ledger, terms, fleet, told) = (&self.ledger, &self.terms, &mut self.fleet, &mut self.told);
        let mut tally = Tally::default();
        let done = thread::scope(|scope| {
            let applier = Applier::start(scope, fleet, terms.now, told);
            let mut writer = Writer::new(ledger, applier, terms, known);
            writer.since = since;
            // What was taken in when a signal comes is brought to its end.
            writer.to_the_end = true;
            let done = job(&mut writer, &mut tally).and_then(|()| {
                writer.flush()?;
                writer.remove(&[], &mut tally)
            });
            done.map(|()| writer.applied.left_out)
        });
        self.lost |= done.is_err() || self.fleet.unreachable().next().is_some();
        if done? > 0 {
            left_out::note_now(&self.ledger)?;
        }
        for namespace in Namespace::ALL {
            let (added, removed) = tally.of(*namespace);
            self.held = (self.held + added).saturating_sub(removed);
        }
        Ok(())
    }

    /// Writes the marks that say what is in memcached by now.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn settle(&mut self) -> Result<()> {
        if self.settled.is_empty() {
            return Ok(());
        }
        let mut change = self.ledger.change()?;
        let settled = std::mem::take(&mut self.settled);
        settled.iter().try_for_each(|(event, header)| change.set_header(*event, header))?;
        change.commit()
    }

    /// A pass has just failed: that servers have no `misp-stats` is no news until they are
    /// emptied again.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub fn pass_failed(&mut self) -> Result<()> {
        self.bare = Bare::read(&mut self.fleet)?;
        Ok(())
    }

    /// Whether a pass is needed to make memcached right: a server broke off, or is empty.
    /// Those that could not be reached are tried, for [`Between::is_back`].
    pub fn is_unwell(&mut self) -> bool {
        let waiting: Vec<_> = self.fleet.unreachable().map(|(address, _)| address.clone()).collect();
        if std::mem::take(&mut self.lost) && waiting.is_empty() {
            return true;
        }
        if !waiting.is_empty() && self.probe.is_none() {
            // One that hangs takes its time, in which messages go on being applied to the others.
            let config = self.config.memcached.clone();
            self.probe = Some(thread::spawn(move || {
                Dialer::new(&config)
                    .is_ok_and(|dialer| waiting.iter().any(|address| Server::open(address, &dialer).is_ok()))
            }));
        }
        match Bare::read(&mut self.fleet) {
            Ok(bare) => bare.is_news(&self.bare) || !self.fleet.newly_lost().is_empty(),
            Err(_) => true,
        }
    }

    /// Whether a server that could not be reached can be by now: a pass makes it right.
    pub fn is_back(&mut self) -> bool {
        let tried = self.probe.take_if(|probe| probe.is_finished());
        tried.is_some_and(|probe| probe.join().unwrap_or(false))
    }

    /// Writes Falco's files anew, where they have to change.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn write_falco(&self) -> Result<Option<report::Falco>> {
        let mut files = falco_files::Files::new(self.config, self.now(), &self.ledger)?;
        self.ledger.for_each(|_, record| {
            files.take(&record);
            Ok(())
        })?;
        files.finish(self.config, &self.ledger, true)
    }
}

fn events_of(marked: &[(u64, Header)]) -> Vec<u64> {
    marked.iter().map(|(event, _)| *event).collect()
}
