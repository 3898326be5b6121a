//! The ledger: event -> indicators, what we last saw of each MISP event.
//!
//! An embedded store in the state directory. Its cache is sized by us; each event
//! has one header and its records in chunks, sorted, so that comparing an event
//! with MISP's answer is a merge of two sorted lists.

pub mod header;
pub mod record;
pub mod sort;

use crate::error::{Error, Kind, Result};
use header::Header;
use record::Record;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::path::{Path, PathBuf};

const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
const RECORDS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("records");
/// Records that MISP no longer has, until memcached has been told.
const REMOVALS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("removals");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Format of the tables above; a file with another number is not touched.
const FORMAT: &[u8] = b"1";

/// Memory for the store's pages (its own default is 1 GiB).
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// A chunk is closed before it grows beyond this: with its key it fits a 16 KiB page.
const CHUNK_BYTES: usize = 15 * 1024;

/// Name of the file in the state directory.
pub const FILE_NAME: &str = "ledger.redb";

/// The open ledger.
pub struct Ledger {
    database: Database,
    path: PathBuf,
}

/// One pass over the records of an event, or a change of many events that becomes
/// true at once.
pub struct Change<'a> {
    transaction: WriteTransaction,
    ledger: &'a Ledger,
}

impl Ledger {
    /// Opens the ledger of a state directory, or makes one.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be opened, or is not one of ours.
    pub fn open(directory: &Path) -> Result<Ledger> {
        let path = directory.join(FILE_NAME);
        let database = redb::Builder::new().set_cache_size(CACHE_BYTES).create(&path).map_err(|e| {
            Error::new(
                Kind::CannotWrite,
                format!(
                    "the ledger {} cannot be opened: {e}; if it is damaged, remove it and run `misp2memcached load --full`",
                    path.display()
                ),
            )
        })?;
        let ledger = Ledger { database, path };
        match ledger.meta("format")? {
            Some(format) if format == FORMAT => {}
            Some(format) => {
                let text = format!(
                    "the ledger {} has format {:?}, this program knows format 1: use the version that wrote it, or remove it and run `misp2memcached load --full`",
                    ledger.path.display(),
                    String::from_utf8_lossy(&format)
                );
                return Err(Error::new(Kind::CannotWrite, text));
            }
            None => {
                let mut change = ledger.change()?;
                change.set_meta("format", FORMAT)?;
                change.create_tables()?;
                change.commit()?;
            }
        }
        Ok(ledger)
    }

    /// Bytes of the file.
    pub fn file_size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |m| m.len())
    }

    fn broken(&self, e: impl std::fmt::Display) -> Error {
        Error::new(Kind::CannotWrite, format!("the ledger {}: {e}", self.path.display()))
    }

    fn damaged(&self) -> Error {
        self.broken("a record is damaged; remove the file and run `misp2memcached load --full`")
    }

    /// A value that stands beside the events.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be read.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let read = self.database.begin_read().map_err(|e| self.broken(e))?;
        let table = match read.open_table(META) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(e) => return Err(self.broken(e)),
        };
        Ok(table.get(name).map_err(|e| self.broken(e))?.map(|v| v.value().to_vec()))
    }

    /// All events and their headers, by id.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be read.
    pub fn headers(&self) -> Result<Vec<(u64, Header)>> {
        let read = self.database.begin_read().map_err(|e| self.broken(e))?;
        let table = read.open_table(EVENTS).map_err(|e| self.broken(e))?;
        let mut headers = Vec::new();
        for row in table.iter().map_err(|e| self.broken(e))? {
            let (id, header) = row.map_err(|e| self.broken(e))?;
            headers.push((id.value(), Header::decode(header.value()).ok_or_else(|| self.damaged())?));
        }
        Ok(headers)
    }

    /// Hands every record of every event to `each`, by event and record.
    ///
    /// # Errors
    /// Those of `each`, and [`Kind::CannotWrite`]: the file cannot be read.
    pub fn for_each(&self, mut each: impl FnMut(u64, Record<'_>) -> Result<()>) -> Result<()> {
        let read = self.database.begin_read().map_err(|e| self.broken(e))?;
        let table = read.open_table(RECORDS).map_err(|e| self.broken(e))?;
        for row in table.iter().map_err(|e| self.broken(e))? {
            let (key, chunk) = row.map_err(|e| self.broken(e))?;
            let mut rest = chunk.value();
            while let Some((record, more)) = record::read(rest).map_err(|_| self.damaged())? {
                each(key.value().0, record)?;
                rest = more;
            }
        }
        Ok(())
    }

    /// The records of one event as they are now, whatever is changed meanwhile.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be read.
    pub fn records(&self, event: u64) -> Result<Records<'_>> {
        Records::open(self, RECORDS, event)
    }

    /// The records of one event that are to go.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be read.
    pub fn removals(&self, event: u64) -> Result<Records<'_>> {
        Records::open(self, REMOVALS, event)
    }

    /// Whether a pass was cut off before the records that MISP no longer has were removed.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be read.
    pub fn has_removals(&self) -> Result<bool> {
        let read = self.database.begin_read().map_err(|e| self.broken(e))?;
        let table = read.open_table(REMOVALS).map_err(|e| self.broken(e))?;
        Ok(table.first().map_err(|e| self.broken(e))?.is_some())
    }

    /// Begins a change.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn change(&self) -> Result<Change<'_>> {
        let transaction = self.database.begin_write().map_err(|e| self.broken(e))?;
        Ok(Change { transaction, ledger: self })
    }
}

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
    fn open(
        ledger: &'a Ledger,
        table: TableDefinition<'static, (u64, u32), &'static [u8]>,
        event: u64,
    ) -> Result<Records<'a>> {
        let read = ledger.database.begin_read().map_err(|e| ledger.broken(e))?;
        let mut records = Records { ledger, read, table, event, chunk: Vec::new(), at: 0, next_chunk: 0 };
        records.load()?;
        Ok(records)
    }

    fn load(&mut self) -> Result<()> {
        self.chunk.clear();
        self.at = 0;
        let broken = |e: &dyn std::fmt::Display| self.ledger.broken(e);
        let table = self.read.open_table(self.table).map_err(|e| broken(&e))?;
        if let Some(chunk) = table.get((self.event, self.next_chunk)).map_err(|e| broken(&e))? {
            self.chunk.extend_from_slice(chunk.value());
            self.next_chunk += 1;
        }
        Ok(())
    }

    /// The current record; `None` behind the last.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file is damaged.
    pub fn current(&self) -> Result<Option<Record<'_>>> {
        Ok(record::read(&self.chunk[self.at..]).map_err(|_| self.ledger.damaged())?.map(|(record, _)| record))
    }

    /// Goes on to the next record.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be read.
    pub fn advance(&mut self) -> Result<()> {
        let Some(record) = self.current()? else { return Ok(()) };
        self.at += record.encoded_len();
        if self.at == self.chunk.len() {
            self.load()?;
        }
        Ok(())
    }
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

impl Change<'_> {
    fn create_tables(&self) -> Result<()> {
        let broken = |e: redb::TableError| self.ledger.broken(e);
        self.transaction.open_table(EVENTS).map_err(broken)?;
        self.transaction.open_table(RECORDS).map_err(broken)?;
        self.transaction.open_table(REMOVALS).map_err(broken)?;
        Ok(())
    }

    /// Sets a value that stands beside the events.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<()> {
        let mut table = self.transaction.open_table(META).map_err(|e| self.ledger.broken(e))?;
        table.insert(name, value).map_err(|e| self.ledger.broken(e))?;
        Ok(())
    }

    /// Sets the header of an event.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn set_header(&mut self, event: u64, header: &Header) -> Result<()> {
        let mut table = self.transaction.open_table(EVENTS).map_err(|e| self.ledger.broken(e))?;
        table.insert(event, header.encode().as_slice()).map_err(|e| self.ledger.broken(e))?;
        Ok(())
    }

    /// Appends a record to the list that replaces the records of an event.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn put(&mut self, event: u64, chunks: &mut Chunks, record: Record<'_>) -> Result<()> {
        self.append(RECORDS, event, chunks, record)
    }

    /// Ends that list: what the event had beyond it goes.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn finish(&mut self, event: u64, chunks: Chunks) -> Result<()> {
        self.end(RECORDS, event, chunks)
    }

    /// Appends a record to the list of those that are to go.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn put_removal(&mut self, event: u64, chunks: &mut Chunks, record: Record<'_>) -> Result<()> {
        self.append(REMOVALS, event, chunks, record)
    }

    /// Ends that list.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn finish_removals(&mut self, event: u64, chunks: Chunks) -> Result<()> {
        self.end(REMOVALS, event, chunks)
    }

    /// Forgets the removals of all events.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn clear_removals(&mut self) -> Result<()> {
        self.transaction.delete_table(REMOVALS).map_err(|e| self.ledger.broken(e))?;
        self.transaction.open_table(REMOVALS).map_err(|e| self.ledger.broken(e))?;
        Ok(())
    }

    /// Forgets an event.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn forget(&mut self, event: u64) -> Result<()> {
        self.end(RECORDS, event, Chunks::default())?;
        self.end(REMOVALS, event, Chunks::default())?;
        let mut table = self.transaction.open_table(EVENTS).map_err(|e| self.ledger.broken(e))?;
        table.remove(event).map_err(|e| self.ledger.broken(e))?;
        Ok(())
    }

    /// Makes the change true, on disk when this returns.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: nothing of it is true.
    pub fn commit(self) -> Result<()> {
        let ledger = self.ledger;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::{MispType, Namespace};

    fn record(value: &str) -> Record<'_> {
        Record { namespace: Namespace::Md5, kind: MispType::from_name("md5").unwrap(), timestamp: 1, value }
    }

    fn all(mut records: Records<'_>) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(record) = records.current().unwrap() {
            out.push(record.value.to_owned());
            records.advance().unwrap();
        }
        out
    }

    #[test]
    fn an_event_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        let values: Vec<String> = (0..2000).map(|i| format!("{i:032x}")).collect();
        for kept in [2000, 10, 0, 1500] {
            let mut change = ledger.change().unwrap();
            for event in [7, 8] {
                let mut chunks = Chunks::default();
                for value in &values[..kept] {
                    change.put(event, &mut chunks, record(value)).unwrap();
                }
                change.finish(event, chunks).unwrap();
                change.set_header(event, &Header { records: kept as u32, ..Header::default() }).unwrap();
            }
            // What is read during a change is what was true before it.
            let before = ledger.records(7).unwrap();
            change.commit().unwrap();
            assert_ne!(all(before).len(), kept);
            assert_eq!(all(ledger.records(7).unwrap()), values[..kept]);
            assert_eq!(ledger.headers().unwrap().len(), 2);
            let mut seen = 0;
            ledger
                .for_each(|_, _| {
                    seen += 1;
                    Ok(())
                })
                .unwrap();
            assert_eq!(seen, 2 * kept);
        }
        let mut change = ledger.change().unwrap();
        change.forget(7).unwrap();
        change.commit().unwrap();
        assert!(all(ledger.records(7).unwrap()).is_empty());
        assert_eq!(ledger.headers().unwrap().len(), 1);
    }

    #[test]
    fn a_newer_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        let mut change = ledger.change().unwrap();
        change.set_meta("format", b"9").unwrap();
        change.commit().unwrap();
        drop(ledger);
        let error = Ledger::open(directory.path()).err().unwrap();
        assert_eq!(error.kind(), Kind::CannotWrite);
        assert!(error.to_string().contains("format \"9\""), "{error}");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), b"this is no ledger, but it is long enough to be looked at")
            .unwrap();
        let error = Ledger::open(directory.path()).err().unwrap();
        assert_eq!(error.kind(), Kind::CannotWrite);
        assert!(error.to_string().contains("--full"), "{error}");
    }
}
