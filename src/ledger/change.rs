//! Events written: what is put into a change becomes true all at once, or not at all.

use super::header::Header;
use super::record::Record;
use super::{EVENTS, Ledger, META, RECORDS, REMOVALS, SUMMARY};
use crate::error::Result;
use redb::{TableDefinition, WriteTransaction};

/// A chunk is closed before it grows beyond this: with its key it fits a 16 KiB page.
pub(super) const CHUNK_BYTES: usize = 15 * 1024;

/// A change of many events that becomes true at once.
pub struct Change<'a> {
    pub(super) transaction: WriteTransaction,
    pub(super) ledger: &'a Ledger,
    /// Records were changed, so what was reckoned from them is no longer true.
    pub(super) records_changed: bool,
}

/// Chunks of an event that are held before they are written: an event whose
/// records turn out to be unchanged is then not written at all.
const HELD_CHUNKS: usize = 256;

/// Cuts a sorted list of records into chunks.
#[derive(Debug, Default)]
pub struct Chunks {
    chunk: Vec<u8>,
    held: Vec<Vec<u8>>,
    number: u32,
}

impl Chunks {
    /// Whether some of the list stands in the change already.
    pub fn is_written(&self) -> bool {
        self.number > 0
    }
}

impl<'a> Change<'a> {
    pub(super) fn new(transaction: WriteTransaction, ledger: &'a Ledger) -> Change<'a> {
        Change { transaction, ledger, records_changed: false }
    }

    pub(super) fn create_tables(&self) -> Result<()> {
        let broken = |e: redb::TableError| self.ledger.broken(e);
        self.transaction.open_table(EVENTS).map_err(broken)?;
        self.transaction.open_table(RECORDS).map_err(broken)?;
        self.transaction.open_table(REMOVALS).map_err(broken)?;
        Ok(())
    }

    /// Sets a value that stands beside the events.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<()> {
        let mut table = self.transaction.open_table(META).map_err(|e| self.ledger.broken(e))?;
        table.insert(name, value).map_err(|e| self.ledger.broken(e))?;
        Ok(())
    }

    /// Sets the header of an event.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn set_header(&mut self, event: u64, header: &Header) -> Result<()> {
        let mut table = self.transaction.open_table(EVENTS).map_err(|e| self.ledger.broken(e))?;
        table.insert(event, header.encode().as_slice()).map_err(|e| self.ledger.broken(e))?;
        Ok(())
    }

    /// Appends a record to the list that replaces the records of an event.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn put(&mut self, event: u64, chunks: &mut Chunks, record: Record<'_>) -> Result<()> {
        self.append(RECORDS, event, chunks, record)
    }

    /// Ends that list: what the event had beyond it goes.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn finish(&mut self, event: u64, chunks: Chunks) -> Result<()> {
        self.records_changed = true;
        self.end(RECORDS, event, chunks)
    }

    /// Appends a record to the list of those that are to go.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn put_removal(&mut self, event: u64, chunks: &mut Chunks, record: Record<'_>) -> Result<()> {
        self.append(REMOVALS, event, chunks, record)
    }

    /// Ends that list.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn finish_removals(&mut self, event: u64, chunks: Chunks) -> Result<()> {
        self.end(REMOVALS, event, chunks)
    }

    /// Forgets the removals of all events.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn clear_removals(&mut self) -> Result<()> {
        self.transaction.delete_table(REMOVALS).map_err(|e| self.ledger.broken(e))?;
        self.transaction.open_table(REMOVALS).map_err(|e| self.ledger.broken(e))?;
        Ok(())
    }

    /// Forgets an event.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn forget(&mut self, event: u64) -> Result<()> {
        self.records_changed = true;
        self.end(RECORDS, event, Chunks::default())?;
        self.end(REMOVALS, event, Chunks::default())?;
        let mut table = self.transaction.open_table(EVENTS).map_err(|e| self.ledger.broken(e))?;
        table.remove(event).map_err(|e| self.ledger.broken(e))?;
        Ok(())
    }

    /// Makes the change true, on disk when this returns.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`]: nothing of it is true.
    pub fn commit(self) -> Result<()> {
        let ledger = self.ledger;
        if self.records_changed {
            let mut table = self.transaction.open_table(META).map_err(|e| ledger.broken(e))?;
            table.remove(SUMMARY).map_err(|e| ledger.broken(e))?;
        }
        self.transaction.commit().map_err(|e| ledger.broken(e))
    }

    fn append(
        &mut self,
        table: TableDefinition<(u64, u32), &'static [u8]>,
        event: u64,
        chunks: &mut Chunks,
        record: Record<'_>,
    ) -> Result<()> {
        if !chunks.chunk.is_empty() && chunks.chunk.len() + record.encoded_len() > CHUNK_BYTES {
            chunks.held.push(std::mem::take(&mut chunks.chunk));
            if chunks.held.len() >= HELD_CHUNKS {
                self.write_held(table, event, chunks)?;
            }
        }
        record.write(&mut chunks.chunk);
        Ok(())
    }

    fn write_held(
        &mut self,
        table: TableDefinition<(u64, u32), &'static [u8]>,
        event: u64,
        chunks: &mut Chunks,
    ) -> Result<()> {
        let mut table = self.transaction.open_table(table).map_err(|e| self.ledger.broken(e))?;
        for chunk in chunks.held.drain(..) {
            table.insert((event, chunks.number), chunk.as_slice()).map_err(|e| self.ledger.broken(e))?;
            chunks.number += 1;
        }
        Ok(())
    }

    fn end(&mut self, table: TableDefinition<(u64, u32), &'static [u8]>, event: u64, mut chunks: Chunks) -> Result<()> {
        if !chunks.chunk.is_empty() {
            chunks.held.push(std::mem::take(&mut chunks.chunk));
        }
        self.write_held(table, event, &mut chunks)?;
        let mut table = self.transaction.open_table(table).map_err(|e| self.ledger.broken(e))?;
        let mut number = chunks.number;
        while table.remove((event, number)).map_err(|e| self.ledger.broken(e))?.is_some() {
            number += 1;
        }
        Ok(())
    }
}
