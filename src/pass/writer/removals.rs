//! What goes: from events that MISP still has, and with events that it no longer has.
//!
//! It is noted in the ledger as it is found, and taken out, from memcached first, when
//! the whole pass is known; or given up.

use super::{SLICE_BYTES, Writer};
use crate::cache::changes::Changes;
use crate::error::Result;
use crate::interrupt;
use crate::ledger::header::Header;
use crate::ledger::record::Record;
use crate::ledger::{Change, Chunks};
use crate::pass::diff::{Cursor, Fate, diff};
use crate::pass::left_out;
use crate::pass::tally::Tally;
use crate::pass::terms::count;

/// Events whose removal becomes true at once.
const REMOVED_AT_ONCE: usize = 1_000;

impl Writer<'_> {
    /// Indicators that are to go from events that stay, all changes being in memcached.
    pub fn going(&self) -> u64 {
        self.removing.iter().map(|(.., count)| count).sum()
    }

    /// The events that [`Writer::keep`] is for, if they changed while they were read.
    pub fn doubted(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.doubted)
    }

    /// Lets records of a known event go that `goes` names, although its attributes
    /// did not come: expired, too old for `misp.timeframe`, or all of them.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn drop_records(&mut self, event: u64, header: Header, goes: impl Fn(&Record<'_>) -> bool) -> Result<()> {
        let mut change = self.ledger.change()?;
        let mut removals = Chunks::default();
        let mut records = self.ledger.records(event)?;
        let mut n = 0;
        while let Some(record) = records.current()? {
            if goes(&record) {
                change.put_removal(event, &mut removals, record)?;
                n += 1;
            }
            records.advance()?;
        }
        if n > 0 {
            change.finish_removals(event, removals)?;
            change.set_header(event, &Header { dirty: true, ..header })?;
            change.commit()?;
            self.removing.push((event, header, n));
        }
        Ok(())
    }

    /// Gives up the removals of an event: it keeps what it had, and is fetched again by
    /// the next pass. All changes are in memcached.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn keep(&mut self, event: u64) -> Result<()> {
        let at = self.removing.iter().position(|(e, ..)| *e == event);
        let header = match at {
            Some(at) => Some(self.removing.swap_remove(at).1),
            None => self.ledger.header(event)?,
        };
        self.settled.extend(header.map(|header| (event, Header { timestamp: 0, ..header })));
        Ok(())
    }

    /// Gives up every removal: the events keep what they had and are fetched again
    /// by the next pass.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn give_up_removals(&mut self) -> Result<()> {
        self.wait()?;
        // What memcached refused keeps its mark.
        let kept = self.removing.drain(..).map(|(event, header, _)| (event, Header { timestamp: 0, ..header }));
        self.settled.extend(kept);
        let mut change = self.ledger.change()?;
        self.settle(&mut change)?;
        change.clear_removals()?;
        change.commit()
    }

    /// Removes what is to go from memcached and then from the ledger: the waiting
    /// removals, and the events of `gone` altogether.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`], [`crate::error::Kind::Unavailable`].
    pub fn remove(&mut self, gone: &[u64], tally: &mut Tally) -> Result<()> {
        self.wait()?;
        if !self.removing.is_empty() || !gone.is_empty() {
            if self.applied.left_out > 0 {
                left_out::note_now(self.ledger)?;
            }
            left_out::removing(self.ledger)?;
        }
        let mut changes = Changes::default();
        let removing = std::mem::take(&mut self.removing);
        for some in removing.chunks(REMOVED_AT_ONCE) {
            self.go_on()?;
            for (event, ..) in some {
                self.take_away(self.ledger.removals(*event)?, *event, &mut changes, tally)?;
            }
            self.apply(&mut changes)?;
            let mut change = self.ledger.change()?;
            self.settle(&mut change)?;
            for (event, header, _) in some {
                self.rewrite(&mut change, *event, *header)?;
            }
            change.commit()?;
        }
        for some in gone.chunks(REMOVED_AT_ONCE) {
            self.go_on()?;
            // The list may have missed them for a moment only.
            let mut change = self.ledger.change()?;
            for event in some {
                let Some(header) = self.known.get(event) else { continue };
                change.set_header(*event, &Header { dirty: true, ..*header })?;
            }
            change.commit()?;
            for event in some {
                self.take_away(self.ledger.records(*event)?, *event, &mut changes, tally)?;
            }
            self.apply(&mut changes)?;
            let mut change = self.ledger.change()?;
            self.settle(&mut change)?;
            some.iter().try_for_each(|event| change.forget(*event))?;
            change.commit()?;
        }
        self.flush()
    }

    fn go_on(&self) -> Result<()> {
        if self.to_the_end { Ok(()) } else { interrupt::check() }
    }

    fn take_away(
        &mut self,
        mut records: impl Cursor,
        event: u64,
        changes: &mut Changes,
        tally: &mut Tally,
    ) -> Result<()> {
        while let Some(record) = records.current()? {
            self.terms.remove(changes, event, record);
            tally.removed(record.namespace);
            if changes.bytes() > SLICE_BYTES {
                self.apply(changes)?;
            }
            records.advance()?;
        }
        Ok(())
    }

    /// The records of an event less those that were removed.
    fn rewrite(&mut self, change: &mut Change<'_>, event: u64, header: Header) -> Result<()> {
        let mut header = Header { records: 0, oldest: 0, categories: 0, ..header };
        let mut chunks = Chunks::default();
        diff(&mut self.ledger.removals(event)?, &mut self.ledger.records(event)?, |fate, record| {
            if fate == Fate::Added {
                count(&mut header, &record);
                change.put(event, &mut chunks, record)?;
            }
            Ok(())
        })?;
        change.finish(event, chunks)?;
        change.finish_removals(event, Chunks::default())?;
        change.set_header(event, &header)
    }
}
