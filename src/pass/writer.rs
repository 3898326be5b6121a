//! Fetched events into the ledger and memcached: what they add. What goes is in
//! `removals`.
//!
//! What a batch adds goes to memcached at once; what MISP no longer has waits in
//! the ledger until the whole pass is known and the shrink guard agrees. Before
//! memcached is touched the ledger holds both what was and what will be, and the
//! event is marked: after a crash anywhere the next pass fetches it again and
//! repeats every change, all of which may be repeated.

mod removals;

use super::applier::Applier;
use super::diff::{Cursor, Fate, Nothing, diff};
use super::dropped;
use super::left_out;
use super::since::Since;
use super::standing;
use super::tally::Tally;
use super::terms::{Terms, count};
use crate::cache::bulk::Applied;
use crate::cache::changes::Changes;
use crate::error::{Error, Kind, Result};
use crate::ledger::header::Header;
use crate::ledger::record::Record;
use crate::ledger::sort::Sorted;
use crate::ledger::{Change, Chunks, Ledger};
use crate::misp::fetch::Batch;
use std::collections::BTreeMap;

/// Changes are applied before they grow beyond this.
const SLICE_BYTES: usize = 4 * 1024 * 1024;

/// An event with more additions than fit here is added from the ledger, slice by slice.
const HELD_BYTES: usize = 12 * 1024 * 1024;

/// Writes one pass.
pub struct Writer<'a> {
    ledger: &'a Ledger,
    applier: Applier,
    terms: &'a Terms,
    /// The ledger's events before the pass.
    known: &'a BTreeMap<u64, Header>,
    /// Events whose changes are in memcached: marked so with the next commit.
    settled: Vec<(u64, Header)>,
    /// Events of the list of changes that is under way, and how many records they have
    /// to remove.
    under_way: Vec<(u64, Header, u64)>,
    /// Events that have records to remove, and how many.
    removing: Vec<(u64, Header, u64)>,
    /// Events that came in several answers and are new, changed, or have lost something:
    /// whoever changed them in between made these answers disagree.
    doubted: Vec<u64>,
    adds: Changes,
    /// What memcached did.
    pub applied: Applied,
    /// memcached is told of every record that is delivered, not of new ones only.
    pub tell_all: bool,
    /// A signal does not end it between two steps: what it has to do is little.
    pub to_the_end: bool,
    /// An event that is new or has another timestamp is fetched by the next pass too, until
    /// it brings nothing new: MISP shows it, with its last timestamp, before it has saved all
    /// of its attributes.
    pub once_more: bool,
    /// Records that stay though they did not come: added after MISP was asked.
    pub since: Since,
}

/// The rows of one event, out of those of a batch.
pub(super) struct EventRows<'a> {
    pub(super) rows: &'a mut Sorted,
    pub(super) event: u64,
}

impl Cursor for EventRows<'_> {
    fn current(&self) -> Result<Option<Record<'_>>> {
        Ok(self.rows.current().filter(|(event, _)| *event == self.event).map(|(_, record)| record))
    }

    fn advance(&mut self) -> Result<()> {
        self.rows.advance().map_err(|e| Error::new(Kind::CannotWrite, format!("a temporary file cannot be read: {e}")))
    }
}

impl<'a> Writer<'a> {
    /// A writer for events of which the ledger knows `known`.
    pub fn new(ledger: &'a Ledger, applier: Applier, terms: &'a Terms, known: &'a BTreeMap<u64, Header>) -> Writer<'a> {
        Writer {
            ledger,
            applier,
            terms,
            known,
            settled: Vec::new(),
            under_way: Vec::new(),
            removing: Vec::new(),
            doubted: Vec::new(),
            adds: Changes::default(),
            applied: Applied::default(),
            tell_all: false,
            to_the_end: false,
            once_more: false,
            since: Since::default(),
        }
    }

    /// Takes the events of a batch, of whose headers `listed` tells what MISP's list
    /// of events says; those for which `hold` is true and that came without a row are
    /// left as they are.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`], [`Kind::Unavailable`].
    pub fn absorb(
        &mut self,
        mut batch: Batch,
        listed: impl Fn(u64) -> Header,
        tally: &mut Tally,
        mut hold: impl FnMut(u64) -> bool,
    ) -> Result<()> {
        let mut change = self.ledger.change()?;
        let mut touched = self.settle(&mut change)?;
        let (mut begun, mut replay, mut retold) = (Vec::new(), Vec::new(), false);
        for event in batch.events.clone() {
            let mut rows = EventRows { rows: &mut batch.rows, event };
            if rows.current()?.is_none() && hold(event) {
                continue;
            }
            let known = self.known.get(&event).copied();
            let header = Header {
                delivered: self.terms.now,
                published_at: batch.published_at.get(&event).copied().unwrap_or(0),
                ..listed(event)
            };
            let done = self.event(&mut change, event, known, header, &mut rows, tally)?;
            touched |= done.written;
            retold |= done.retold;
            if done.replay {
                replay.push((event, done.header));
            }
            if done.begun {
                begun.push((event, done.header, done.gone));
            }
            // Without a timestamp it is fetched again at any rate.
            let changed =
                known.is_none_or(|h| header.timestamp > 0 && (h.timestamp != header.timestamp || h.may_lag()));
            if batch.several && (done.gone > 0 || changed) {
                self.doubted.push(event);
            }
        }
        if retold {
            left_out::retelling(self.ledger, &mut change)?;
        }
        if touched {
            change.commit()?;
        } else {
            // Only one change at a time: the wait below may have one of its own.
            drop(change);
        }
        let adds = std::mem::take(&mut self.adds);
        self.wait()?;
        let refused = self.applied.refused;
        for (event, header) in replay {
            self.replay(event, &header)?;
        }
        let all_stored = self.applied.refused == refused;
        self.under_way.extend(
            begun.into_iter().map(|(event, header, gone)| (event, Header { dirty: !all_stored, ..header }, gone)),
        );
        self.applier.begin(adds)
    }

    /// Waits for the changes that are under way; their events are settled then.
    fn wait(&mut self) -> Result<()> {
        if let Some(done) = self.applier.wait()? {
            // Before any event counts as settled without these servers.
            standing::lose(self.ledger, &done.lost)?;
            let applied = done.applied?;
            dropped::note(self.ledger, applied.refusals)?;
            if self.adds.is_empty() {
                self.adds = done.memory;
            }
            // What memcached refused keeps its mark, so the next pass tries again.
            for (event, mut header, gone) in std::mem::take(&mut self.under_way) {
                header.dirty |= applied.refused > 0;
                if gone > 0 {
                    self.removing.push((event, header, gone));
                } else if !header.dirty {
                    self.settled.push((event, header));
                }
            }
            self.applied += applied;
        }
        Ok(())
    }

    fn event(
        &mut self,
        change: &mut Change<'_>,
        event: u64,
        known: Option<Header>,
        mut header: Header,
        rows: &mut EventRows<'_>,
        tally: &mut Tally,
    ) -> Result<Done> {
        let (mut chunks, mut removals) = (Chunks::default(), Chunks::default());
        let (mut added, mut gone, mut moved, mut retold, mut replay) = (false, 0, false, false, false);
        let again = self.tell_all || known.is_some_and(|h| h.dirty);
        let start = self.adds.len();
        let (terms, adds, delivered, since) = (self.terms, &mut self.adds, self.terms.now, &self.since);
        let mut each = |fate: Fate, record: Record<'_>| {
            let stays = fate == Fate::Gone && since.has(event, &record);
            let fate = if stays { Fate::Kept { moved: false, retold: false } } else { fate };
            count(&mut header, &record);
            change.put(event, &mut chunks, record)?;
            let tell = match fate {
                Fate::Added => {
                    added = true;
                    tally.added(record.namespace);
                    true
                }
                Fate::Kept { moved: m, retold: r } => {
                    moved |= m;
                    retold |= r;
                    again || r || terms.expires(record.namespace.category())
                }
                Fate::Gone => {
                    gone += 1;
                    change.put_removal(event, &mut removals, record)?;
                    false
                }
            };
            if tell && !replay {
                terms.add(adds, event, record, delivered);
                if adds.bytes() > HELD_BYTES {
                    adds.truncate(start);
                    replay = true;
                }
            }
            Ok(())
        };
        match known {
            Some(_) => diff(&mut self.ledger.records(event)?, rows, &mut each)?,
            None => diff(&mut Nothing, rows, &mut each)?,
        }
        let rewritten = added || gone > 0 || moved || retold || chunks.is_written();
        if rewritten {
            change.finish(event, chunks)?;
        }
        if gone > 0 {
            change.finish_removals(event, removals)?;
        }
        let begun = replay || self.adds.len() > start || gone > 0;
        if !terms.any_expires()
            && let Some(before) = known
            && !(Header { timestamp: header.timestamp, ..before }).may_lag()
        {
            // A later moment would say no more, and the header would have to be written.
            header.delivered = before.delivered;
        }
        header.timestamp = remembered(self.once_more, known, header.timestamp, rewritten);
        header.dirty = begun;
        let written = rewritten || known != Some(header);
        if written {
            change.set_header(event, &header)?;
        }
        Ok(Done { header, begun, replay, retold, gone, written })
    }

    /// Marks what is in memcached by now; true if there was any.
    fn settle(&mut self, change: &mut Change<'_>) -> Result<bool> {
        if self.applied.left_out > 0 {
            left_out::note(self.ledger, change)?;
        }
        for (event, header) in &self.settled {
            change.set_header(*event, header)?;
        }
        let any = !self.settled.is_empty();
        self.settled.clear();
        Ok(any)
    }

    /// Has these changes applied before it returns; `changes` is empty afterwards.
    fn apply(&mut self, changes: &mut Changes) -> Result<()> {
        self.wait()?;
        if !changes.is_empty() {
            self.applier.begin(std::mem::take(changes))?;
            self.wait()?;
        }
        Ok(())
    }

    /// Adds all records of an event, slice by slice.
    fn replay(&mut self, event: u64, header: &Header) -> Result<()> {
        let mut changes = Changes::default();
        let mut records = self.ledger.records(event)?;
        while let Some(record) = records.current()? {
            self.terms.add(&mut changes, event, record, header.delivered);
            if changes.bytes() > SLICE_BYTES {
                self.apply(&mut changes)?;
            }
            records.advance()?;
        }
        self.apply(&mut changes)
    }

    /// Tells memcached all that the ledger has of an event that is not fetched.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`], [`Kind::Unavailable`].
    pub fn replay_whole(&mut self, event: u64, header: &Header) -> Result<()> {
        let refused = self.applied.refused;
        self.replay(event, header)?;
        self.settled.push((event, Header { dirty: self.applied.refused > refused, ..*header }));
        Ok(())
    }

    /// The header of an event of which MISP really has nothing for us.
    pub fn emptied(&self, event: u64, timestamp: u64) -> Header {
        let known = self.known.get(&event).copied();
        let before = known.unwrap_or_default();
        let timestamp = remembered(self.once_more, known, timestamp, before.records > 0);
        let delivered = self.terms.now;
        Header { timestamp, delivered, published_at: 0, unpublished_since: 0, ..before }
    }

    /// Changes headers without touching records.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn mark(&mut self, marks: &[(u64, Header)]) -> Result<()> {
        self.settled.extend_from_slice(marks);
        self.flush()
    }

    /// Waits until all changes are in memcached, and writes the marks that say so.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn flush(&mut self) -> Result<()> {
        self.wait()?;
        if self.settled.is_empty() {
            return Ok(());
        }
        let mut change = self.ledger.change()?;
        self.settle(&mut change)?;
        change.commit()
    }
}

/// The timestamp that the ledger is to have of an event: 0, with which the next pass fetches
/// it, where it is news that may go on and `once_more` asks for that.
fn remembered(once_more: bool, known: Option<Header>, timestamp: u64, rewritten: bool) -> u64 {
    let news = known.is_none_or(|h| if h.timestamp == 0 { rewritten } else { h.timestamp != timestamp });
    if once_more && news { 0 } else { timestamp }
}

/// What was done with an event.
struct Done {
    header: Header,
    /// memcached has to be told, so the event is marked.
    begun: bool,
    /// Its additions are read from the ledger.
    replay: bool,
    /// Something of it has another context.
    retold: bool,
    gone: u64,
    /// The change holds something of it.
    written: bool,
}
