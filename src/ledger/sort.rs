//! Rows sorted by event and record, or by record and event, in bounded memory.
//!
//! Rows arrive as MISP sends them (by type, by id). What does not fit is sorted
//! and written to an unnamed temporary file; the runs are merged when read. So an
//! event of a million attributes takes no more memory than a batch of small ones.

use super::record::{Damaged, Record, read};
use crate::indicator::{MispType, Namespace};
use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::iter;
use std::path::Path;

/// Bytes of rows that are held before a run goes to disk.
pub const RUN_BYTES: usize = 6 * 1024 * 1024;

/// One row, found in the arena.
#[derive(Debug, Clone, Copy)]
struct Entry {
    event: u64,
    /// The first bytes of the value: most comparisons end here.
    head: u64,
    start: u32,
    timestamp: u32,
    len: u16,
    /// Bytes of the context, which stands behind the value.
    context_len: u16,
    namespace: Namespace,
    kind: MispType,
}

/// What rows are sorted by first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Event, namespace, value, type: the rows of an event stand together.
    ByEvent,
    /// Namespace, value, event, type: the rows of a key stand together.
    ByKey,
}

impl Order {
    fn compare(self, a: &(u64, Record<'_>), b: &(u64, Record<'_>)) -> Ordering {
        match self {
            Order::ByEvent => a.0.cmp(&b.0).then_with(|| a.1.order(&b.1)),
            Order::ByKey => (a.1.namespace, a.1.value.as_bytes(), a.0, a.1.kind).cmp(&(
                b.1.namespace,
                b.1.value.as_bytes(),
                b.0,
                b.1.kind,
            )),
        }
    }
}

/// Takes rows in any order.
#[derive(Debug)]
pub struct Sorter {
    order: Order,
    arena: String,
    entries: Vec<Entry>,
    runs: Vec<File>,
    directory: std::path::PathBuf,
    run_bytes: usize,
}

impl Sorter {
    /// A sorter whose temporary files are made in `directory`.
    pub fn new(directory: &Path, run_bytes: usize, order: Order) -> Sorter {
        Sorter {
            order,
            arena: String::new(),
            entries: Vec::new(),
            runs: Vec::new(),
            directory: directory.to_owned(),
            run_bytes,
        }
    }

    /// Takes one row.
    ///
    /// # Errors
    /// A run cannot be written.
    pub fn push(&mut self, event: u64, record: Record<'_>) -> io::Result<()> {
        let start = self.arena.len() as u32;
        let value = record.value.as_bytes();
        self.arena.push_str(record.value);
        self.arena.push_str(record.context);
        let mut head = [0; 8];
        let n = value.len().min(8);
        head[..n].copy_from_slice(&value[..n]);
        self.entries.push(Entry {
            event,
            head: u64::from_be_bytes(head),
            start,
            timestamp: record.timestamp,
            len: value.len() as u16,
            context_len: record.context.len() as u16,
            namespace: record.namespace,
            kind: record.kind,
        });
        if self.arena.len() + self.entries.len() * size_of::<Entry>() > self.run_bytes {
            self.spill()?;
        }
        Ok(())
    }

    fn value(&self, entry: &Entry) -> &str {
        &self.arena[entry.start as usize..entry.start as usize + usize::from(entry.len)]
    }

    fn sort(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        match self.order {
            Order::ByEvent => entries.sort_unstable_by(|a, b| {
                (a.event, a.namespace, a.head)
                    .cmp(&(b.event, b.namespace, b.head))
                    .then_with(|| self.value(a).cmp(self.value(b)))
                    .then_with(|| a.kind.cmp(&b.kind))
            }),
            Order::ByKey => entries.sort_unstable_by(|a, b| {
                (a.namespace, a.head)
                    .cmp(&(b.namespace, b.head))
                    .then_with(|| self.value(a).cmp(self.value(b)))
                    .then_with(|| (a.event, a.kind).cmp(&(b.event, b.kind)))
            }),
        }
        self.entries = entries;
    }

    fn row(&self, entry: &Entry) -> (u64, Record<'_>) {
        let value = self.value(entry);
        let behind = entry.start as usize + value.len();
        let context = &self.arena[behind..behind + usize::from(entry.context_len)];
        (
            entry.event,
            Record { namespace: entry.namespace, kind: entry.kind, timestamp: entry.timestamp, value, context },
        )
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let mut out = BufWriter::new(tempfile::tempfile_in(&self.directory)?);
        let mut bytes = Vec::new();
        for entry in &self.entries {
            let (event, record) = self.row(entry);
            bytes.clear();
            bytes.extend_from_slice(&(record.encoded_len() as u32).to_le_bytes());
            bytes.extend_from_slice(&event.to_le_bytes());
            record.write(&mut bytes);
            out.write_all(&bytes)?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.runs.push(file);
        self.arena.clear();
        self.entries.clear();
        Ok(())
    }

    /// The rows in order.
    ///
    /// # Errors
    /// A run cannot be read back.
    pub fn finish(mut self) -> io::Result<Sorted> {
        self.sort();
        let mut runs = Vec::new();
        for file in self.runs.drain(..) {
            let mut run = Run { file: BufReader::new(file), event: 0, bytes: Vec::new(), ended: false };
            run.advance()?;
            runs.push(run);
        }
        let sources = iter::once(Source::Memory).chain((0..runs.len()).map(Source::Run));
        let mut sorted = Sorted { heap: sources.collect(), memory: self, next: 0, runs };
        sorted.heap.retain(|source| row_of(&sorted.memory, sorted.next, &sorted.runs, *source).is_some());
        (0..sorted.heap.len() / 2).rev().for_each(|at| sorted.sift(at));
        Ok(sorted)
    }
}

/// A run on disk, at one of its rows.
#[derive(Debug)]
struct Run {
    file: BufReader<File>,
    event: u64,
    bytes: Vec<u8>,
    ended: bool,
}

impl Run {
    fn advance(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                self.ended = true;
                return Ok(());
            }
            other => other?,
        }
        let mut event = [0; 8];
        self.file.read_exact(&mut event)?;
        self.event = u64::from_le_bytes(event);
        self.bytes.resize(u32::from_le_bytes(length) as usize, 0);
        self.file.read_exact(&mut self.bytes)
    }

    fn row(&self) -> Result<Option<(u64, Record<'_>)>, Damaged> {
        if self.ended {
            return Ok(None);
        }
        Ok(read(&self.bytes)?.map(|(record, _)| (self.event, record)))
    }
}

/// Where rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Memory,
    Run(usize),
}

/// The row at which a source is; `None` behind its last.
fn row_of<'a>(memory: &'a Sorter, next: usize, runs: &'a [Run], source: Source) -> Option<(u64, Record<'a>)> {
    match source {
        Source::Memory => memory.entries.get(next).map(|e| memory.row(e)),
        Source::Run(i) => runs[i].row().ok().flatten(),
    }
}

/// Sorted rows, read one after the other.
#[derive(Debug)]
pub struct Sorted {
    memory: Sorter,
    next: usize,
    runs: Vec<Run>,
    /// The sources that have rows, as a binary heap with the least row first: ten million
    /// rows are in hundreds of runs.
    heap: Vec<Source>,
}

impl Sorted {
    /// The least row that was not passed yet.
    pub fn current(&self) -> Option<(u64, Record<'_>)> {
        self.row(0)
    }

    /// Goes on to the next row.
    ///
    /// # Errors
    /// A run cannot be read back.
    pub fn advance(&mut self) -> io::Result<()> {
        match self.heap.first() {
            Some(Source::Memory) => self.next += 1,
            Some(Source::Run(i)) => self.runs[*i].advance()?,
            None => return Ok(()),
        }
        if self.row(0).is_none() {
            self.heap.swap_remove(0);
        }
        self.sift(0);
        Ok(())
    }

    /// The row of the source at this place of the heap.
    fn row(&self, at: usize) -> Option<(u64, Record<'_>)> {
        row_of(&self.memory, self.next, &self.runs, *self.heap.get(at)?)
    }

    /// Brings the source at this place down to where no lesser row is below it.
    fn sift(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if self.is_less(right, left) { right } else { left };
            if !self.is_less(child, at) {
                return;
            }
            self.heap.swap(child, at);
            at = child;
        }
    }

    /// Whether both places have a row, and the first one's is less.
    fn is_less(&self, a: usize, b: usize) -> bool {
        match (self.row(a), self.row(b)) {
            (Some(a), Some(b)) => self.memory.order.compare(&a, &b) == Ordering::Less,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(rows: &[(u64, u8, String)], run_bytes: usize, order: Order) -> Vec<(u64, u8, String)> {
        let kind = MispType::from_name("md5").unwrap();
        let mut sorter = Sorter::new(&std::env::temp_dir(), run_bytes, order);
        for (event, code, value) in rows {
            let namespace = Namespace::from_code(*code).unwrap();
            sorter.push(*event, Record { namespace, kind, timestamp: 1, value, context: value }).unwrap();
        }
        let mut sorted = sorter.finish().unwrap();
        let mut out = Vec::new();
        while let Some((event, record)) = sorted.current() {
            assert_eq!(record.context, record.value);
            out.push((event, record.namespace.code(), record.value.to_owned()));
            sorted.advance().unwrap();
        }
        out
    }

    /// Hundreds of thousands are held at once.
    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 32);
    }

    /// Whoever looks into the directory: a run has no name that could be opened.
    #[test]
    fn a_run_on_disk_has_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let kind = MispType::from_name("md5").unwrap();
        let mut sorter = Sorter::new(directory.path(), 1, Order::ByEvent);
        sorter
            .push(1, Record { namespace: Namespace::Md5, kind, timestamp: 1, value: "a value", context: "" })
            .unwrap();
        assert_eq!(sorter.runs.len(), 1);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn in_memory_and_from_runs(rows in proptest::collection::vec((1u64..5, 0u8..4, "[a-c\\x00é]{0,12}"), 0..200)) {
            let mut expected = rows.clone();
            expected.sort();
            prop_assert_eq!(&sorted(&rows, RUN_BYTES, Order::ByEvent), &expected);
            prop_assert_eq!(&sorted(&rows, 500, Order::ByEvent), &expected);
            expected.sort_by(|a, b| (a.1, &a.2, a.0).cmp(&(b.1, &b.2, b.0)));
            prop_assert_eq!(&sorted(&rows, RUN_BYTES, Order::ByKey), &expected);
            prop_assert_eq!(&sorted(&rows, 500, Order::ByKey), &expected);
        }
    }
}
