//! The records of one event, read chunk by chunk.

use super::Ledger;
use super::record::{self, Record};
use crate::error::Result;
use redb::{ReadTransaction, TableDefinition};

/// The records of one event, one after the other.
pub struct Records<'a> {
    ledger: &'a Ledger,
    read: ReadTransaction,
    table: TableDefinition<'static, (u64, u32), &'static [u8]>,
    event: u64,
    chunk: Vec<u8>,
    /// Where the current record begins.
    at: usize,
    next_chunk: u32,
}

impl<'a> Records<'a> {
    pub(super) fn open(
        ledger: &'a Ledger,
        table: TableDefinition<'static, (u64, u32), &'static [u8]>,
        event: u64,
    ) -> Result<Records<'a>> {
        let read = ledger.begin_read()?;
        let mut records = Records { ledger, read, table, event, chunk: Vec::new(), at: 0, next_chunk: 0 };
        records.load()?;
        Ok(records)
    }

    fn load(&mut self) -> Result<()> {
        self.chunk.clear();
        self.at = 0;
        let table = self.read.open_table(self.table).map_err(|e| self.ledger.broken(e))?;
        if let Some(chunk) = table.get((self.event, self.next_chunk)).map_err(|e| self.ledger.broken(e))? {
            self.chunk.extend_from_slice(chunk.value());
            self.next_chunk += 1;
        }
        Ok(())
    }

    /// The current record; `None` behind the last.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`]: the file is damaged.
    pub fn current(&self) -> Result<Option<Record<'_>>> {
        Ok(record::read(&self.chunk[self.at..]).map_err(|_| self.ledger.damaged())?.map(|(record, _)| record))
    }

    /// Goes on to the next record.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`]: the file cannot be read.
    pub fn advance(&mut self) -> Result<()> {
        let Some(record) = self.current()? else { return Ok(()) };
        self.at += record.encoded_len();
        if self.at == self.chunk.len() {
            self.load()?;
        }
        Ok(())
    }
}
