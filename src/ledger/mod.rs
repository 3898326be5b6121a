//! The ledger: event -> indicators, what we last saw of each MISP event.
//!
//! An embedded store in the state directory. Its cache is sized by us; each event
//! has one header and its records in chunks, sorted, so that comparing an event
//! with MISP's answer is a merge of two sorted lists.
//!
//! - Pure: [`header`], [`record`]
//! - [`records`]: the records of one event, read; [`mod@change`]: events written; [`insert`]: a
//!   few records put among the others
//! - [`sort`]: the rows of a batch in order, in bounded memory
//! - [`mod@damage`]: a file that is not what we wrote, told from a disk that fails

pub mod change;
pub mod damage;
mod file;
pub mod header;
pub mod insert;
pub mod record;
pub mod records;
pub mod sort;

pub use change::{Change, Chunks};
pub use records::Records;

use crate::error::{Error, Kind, Result};
use header::Header;
use record::Record;
use redb::{Builder, Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use std::cell::RefCell;
use std::path::{Path, PathBuf};

const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
const RECORDS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("records");
/// Records that MISP no longer has, until memcached has been told.
const REMOVALS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("removals");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Format of the tables above; a file with another number is not touched.
const FORMAT: &[u8] = b"1";

/// The same with records that may have a context, which older versions cannot read.
const FORMAT_WITH_CONTEXT: &[u8] = b"2";

/// Memory for the store's pages (its own default is 1 GiB).
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// The meta value that is reckoned from all records. A change of records takes it
/// away, so it is there only if it is true and all that follows from it was done.
pub const SUMMARY: &str = "summary";

/// Name of the file in the state directory.
pub const FILE_NAME: &str = "ledger.redb";

/// The open ledger.
pub struct Ledger {
    store: RefCell<Store>,
    path: PathBuf,
    /// Why the file cannot be one of ours, once something has shown it.
    unfit: RefCell<Option<String>>,
}

/// The file. Opening it for writing marks it at once, so that is left until
/// something is to be written: a pass without news does not touch it.
enum Store {
    Reading(ReadOnlyDatabase),
    Writing(Database),
    /// Between the two; also where the second could not be opened.
    Closed,
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

impl Ledger {
    /// Opens the ledger of a state directory, or makes one.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be opened, or is not one of ours.
    pub fn open(directory: &Path) -> Result<Ledger> {
        let ledger = Ledger::closed(directory);
        ledger.begin().map(|()| ledger)
    }

    fn closed(directory: &Path) -> Ledger {
        let path = directory.join(FILE_NAME);
        Ledger { store: RefCell::new(Store::Closed), path, unfit: RefCell::new(None) }
    }

    fn begin(&self) -> Result<()> {
        // What cannot be read so (it does not exist, or was cut off while written)
        // is opened for writing, which makes or repairs it.
        match builder().open_read_only(&self.path) {
            Ok(database) => *self.store.borrow_mut() = Store::Reading(database),
            Err(_) => self.open_for_writing()?,
        }
        match self.meta("format")? {
            Some(format) if format == FORMAT || format == FORMAT_WITH_CONTEXT => Ok(()),
            Some(format) => {
                let format = String::from_utf8_lossy(&format).into_owned();
                Err(self.unfit(
                    format!("has format {format:?}, this program knows formats 1 and 2"),
                    "use the version that wrote it, or ",
                ))
            }
            None => {
                let mut change = self.change()?;
                change.set_meta("format", FORMAT)?;
                change.create_tables()?;
                change.commit()
            }
        }
    }

    /// Says in the file that its records may have a context; to be done before one is written.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn allow_context(&self) -> Result<()> {
        if self.meta("format")?.as_deref() == Some(FORMAT_WITH_CONTEXT) {
            return Ok(());
        }
        let mut change = self.change()?;
        change.set_meta("format", FORMAT_WITH_CONTEXT)?;
        change.commit()
    }

    fn open_for_writing(&self) -> Result<()> {
        let mut store = self.store.borrow_mut();
        if matches!(*store, Store::Writing(_)) {
            return Ok(());
        }
        *store = Store::Closed;
        let database =
            file::open(&self.path).and_then(|file| builder().create_file(file)).map_err(|e| self.broken(e))?;
        *store = Store::Writing(database);
        Ok(())
    }

    fn begin_read(&self) -> Result<ReadTransaction> {
        let begun = match &*self.store.borrow() {
            Store::Reading(database) => database.begin_read(),
            Store::Writing(database) => database.begin_read(),
            Store::Closed => return Err(self.shut()),
        };
        begun.map_err(|e| self.broken(e))
    }

    /// Bytes of the file.
    pub fn file_size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |m| m.len())
    }

    /// What the store says: damage, or a disk that fails.
    fn broken(&self, e: impl Into<redb::Error>) -> Error {
        let e = e.into();
        if damage::is_damage(&e) {
            return self.unfit(format!("is damaged ({e})"), "");
        }
        Error::new(Kind::CannotWrite, format!("the ledger {}: {e}", self.path.display()))
    }

    fn damaged(&self) -> Error {
        self.unfit("is damaged (a record cannot be read)".into(), "")
    }

    fn shut(&self) -> Error {
        Error::new(Kind::CannotWrite, format!("the ledger {}: it is closed", self.path.display()))
    }

    /// The file is not what this program wrote.
    fn unfit(&self, why: String, or: &str) -> Error {
        let reason = format!("the ledger {} {why}", self.path.display());
        let advice = damage::advice(or);
        let error = Error::new(Kind::CannotWrite, format!("{reason}; {advice}"));
        *self.unfit.borrow_mut() = Some(reason);
        error
    }

    /// A value that stands beside the events.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be read.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let read = self.begin_read()?;
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
        let read = self.begin_read()?;
        let table = read.open_table(EVENTS).map_err(|e| self.broken(e))?;
        let mut headers = Vec::new();
        for row in table.iter().map_err(|e| self.broken(e))? {
            let (id, header) = row.map_err(|e| self.broken(e))?;
            headers.push((id.value(), Header::decode(header.value()).ok_or_else(|| self.damaged())?));
        }
        Ok(headers)
    }

    /// The header of one event.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`]: the file cannot be read.
    pub fn header(&self, event: u64) -> Result<Option<Header>> {
        let read = self.begin_read()?;
        let table = read.open_table(EVENTS).map_err(|e| self.broken(e))?;
        let header = table.get(event).map_err(|e| self.broken(e))?;
        header.map(|h| Header::decode(h.value()).ok_or_else(|| self.damaged())).transpose()
    }

    /// Hands every record of every event to `each`, by event and record.
    ///
    /// # Errors
    /// Those of `each`, and [`Kind::CannotWrite`]: the file cannot be read.
    pub fn for_each(&self, mut each: impl FnMut(u64, Record<'_>) -> Result<()>) -> Result<()> {
        let read = self.begin_read()?;
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
        let read = self.begin_read()?;
        let table = read.open_table(REMOVALS).map_err(|e| self.broken(e))?;
        Ok(table.first().map_err(|e| self.broken(e))?.is_some())
    }

    /// Begins a change. Records that are being read must have been opened after the
    /// first change began.
    ///
    /// # Errors
    /// [`Kind::CannotWrite`].
    pub fn change(&self) -> Result<Change<'_>> {
        self.open_for_writing()?;
        match &*self.store.borrow() {
            Store::Writing(database) => {
                let transaction = database.begin_write().map_err(|e| self.broken(e))?;
                Ok(Change::new(transaction, self))
            }
            Store::Reading(_) | Store::Closed => Err(self.shut()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::{MispType, Namespace};

    pub(super) fn record(value: &str) -> Record<'_> {
        Record {
            namespace: Namespace::Md5,
            kind: MispType::from_name("md5").unwrap(),
            timestamp: 1,
            value,
            context: "",
        }
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
    fn reading_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        drop(Ledger::open(directory.path()).unwrap());
        let path = directory.path().join(FILE_NAME);
        let state = || (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap());
        let before = state();
        let ledger = Ledger::open(directory.path()).unwrap();
        assert!(ledger.headers().unwrap().is_empty() && !ledger.has_removals().unwrap());
        drop(ledger);
        assert_eq!(state(), before);
    }

    /// Older versions take no file in which they could not read every record.
    #[test]
    fn a_file_that_may_hold_contexts_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        assert_eq!(ledger.meta("format").unwrap().unwrap(), FORMAT);
        ledger.allow_context().unwrap();
        drop(ledger);
        let ledger = Ledger::open(directory.path()).unwrap();
        assert_eq!(ledger.meta("format").unwrap().unwrap(), b"2");
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
