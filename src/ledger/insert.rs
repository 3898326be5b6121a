//! A few records put among those of an event, without writing the others again: what
//! a live message brings.
//!
//! Chunks stay sorted and in order. One that grows beyond `GROWN_BYTES` is cut, and
//! those behind it are moved up; which is rare, as each cut makes room for hundreds.

use super::change::CHUNK_BYTES;
use super::record::{self, Record};
use super::{Change, EVENTS, RECORDS};
use crate::error::Result;
use crate::ledger::header::Header;
use redb::{ReadableTable, Table};
use std::cmp::Ordering;

/// A chunk may grow to this before it is cut: four times what a pass writes.
const GROWN_BYTES: usize = 4 * CHUNK_BYTES;

/// What became of a record that was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The event did not have it.
    New,
    /// It had it; the timestamp is another one now if `moved`.
    Known {
        /// Whether anything of it changed.
        moved: bool,
    },
}

type Rows<'t> = Table<'t, (u64, u32), &'static [u8]>;

impl Change<'_> {
    /// The header of an event as this change has it.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn header(&self, event: u64) -> Result<Option<Header>> {
        let table = self.transaction.open_table(EVENTS).map_err(|e| self.ledger.broken(e))?;
        let header = table.get(event).map_err(|e| self.ledger.broken(e))?;
        header.map(|h| Header::decode(h.value()).ok_or_else(|| self.ledger.damaged())).transpose()
    }

    /// Puts records (in their order, each once) among those of an event, and tells of
    /// each what became of it.
    ///
    /// # Errors
    /// [`crate::error::Kind::CannotWrite`].
    pub fn insert(&mut self, event: u64, records: &[Record<'_>]) -> Result<Vec<Put>> {
        debug_assert!(records.is_sorted_by(|a, b| a.order(b) == Ordering::Less));
        self.records_changed = true;
        let ledger = self.ledger;
        let mut table = self.transaction.open_table(RECORDS).map_err(|e| ledger.broken(e))?;
        let mut outcome = Vec::with_capacity(records.len());
        let mut rest = records;
        while let Some(first) = rest.first() {
            let count = self.chunks(&table, event)?;
            // The last chunk that begins at or before it; the first if there is none.
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = low + (high - low) / 2;
                if self.begins_behind(&table, event, middle, first)? { high = middle } else { low = middle + 1 }
            }
            let number = low.saturating_sub(1);
            let mut taken = rest.len();
            if number + 1 < count {
                taken = 0;
                for record in rest {
                    if !self.begins_behind(&table, event, number + 1, record)? {
                        break;
                    }
                    taken += 1;
                }
            }
            let old = table.get((event, number)).map_err(|e| ledger.broken(e))?.map(|c| c.value().to_vec());
            let (here, behind) = rest.split_at(taken);
            let chunks = merge(&old.unwrap_or_default(), here, &mut outcome).map_err(|_| ledger.damaged())?;
            self.replace(&mut table, event, number, count, &chunks)?;
            rest = behind;
        }
        Ok(outcome)
    }

    /// The number of an event's chunks.
    fn chunks(&self, table: &Rows<'_>, event: u64) -> Result<u32> {
        let mut range = table.range((event, 0)..=(event, u32::MAX)).map_err(|e| self.ledger.broken(e))?;
        let last = range.next_back().transpose().map_err(|e| self.ledger.broken(e))?;
        Ok(last.map_or(0, |(key, _)| key.value().1 + 1))
    }

    /// Whether the chunk begins with a greater record.
    fn begins_behind(&self, table: &Rows<'_>, event: u64, number: u32, record: &Record<'_>) -> Result<bool> {
        let chunk = table.get((event, number)).map_err(|e| self.ledger.broken(e))?;
        let bytes = chunk.as_ref().map_or(&[][..], |c| c.value());
        let first = record::read(bytes).map_err(|_| self.ledger.damaged())?;
        Ok(first.is_some_and(|(first, _)| first.order(record) == Ordering::Greater))
    }

    /// Puts `chunks` in the place of one of the `count` chunks of an event.
    fn replace(&self, table: &mut Rows<'_>, event: u64, number: u32, count: u32, chunks: &[Vec<u8>]) -> Result<()> {
        let more = (chunks.len() as u32).saturating_sub(1);
        if more > 0 {
            for old in (number + 1..count).rev() {
                let moved = table.remove((event, old)).map_err(|e| self.ledger.broken(e))?.map(|c| c.value().to_vec());
                let moved = moved.ok_or_else(|| self.ledger.damaged())?;
                table.insert((event, old + more), moved.as_slice()).map_err(|e| self.ledger.broken(e))?;
            }
        }
        for (i, chunk) in (number..).zip(chunks) {
            table.insert((event, i), chunk.as_slice()).map_err(|e| self.ledger.broken(e))?;
        }
        Ok(())
    }
}

/// The records of a chunk with others among them, as chunks; those that are in both as
/// the others have them.
fn merge(old: &[u8], new: &[Record<'_>], outcome: &mut Vec<Put>) -> Result<Vec<Vec<u8>>, record::Damaged> {
    let mut out = Vec::with_capacity(old.len() + new.iter().map(Record::encoded_len).sum::<usize>());
    // Where each record ends.
    let mut ends = Vec::new();
    let mut write = |record: &Record<'_>| {
        record.write(&mut out);
        ends.push(out.len());
    };
    let mut new = new.iter().peekable();
    let mut rest = old;
    while let Some((held, behind)) = record::read(rest)? {
        rest = behind;
        while let Some(record) = new.next_if(|r| r.order(&held) == Ordering::Less) {
            write(record);
            outcome.push(Put::New);
        }
        if let Some(record) = new.next_if(|r| r.order(&held) == Ordering::Equal) {
            write(record);
            outcome.push(Put::Known { moved: record.timestamp != held.timestamp || record.context != held.context });
        } else {
            write(&held);
        }
    }
    for record in new {
        write(record);
        outcome.push(Put::New);
    }
    Ok(cut(&out, &ends))
}

/// One chunk, or several of the size that a pass writes.
fn cut(bytes: &[u8], ends: &[usize]) -> Vec<Vec<u8>> {
    if bytes.len() <= GROWN_BYTES {
        return vec![bytes.to_vec()];
    }
    let (mut chunks, mut start, mut last) = (Vec::new(), 0, 0);
    for end in ends {
        if end - start > CHUNK_BYTES && last > start {
            chunks.push(bytes[start..last].to_vec());
            start = last;
        }
        last = *end;
    }
    chunks.push(bytes[start..].to_vec());
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::{MispType, Namespace};
    use crate::ledger::{Chunks, Ledger};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn record(value: &str, timestamp: u32) -> Record<'_> {
        let kind = MispType::from_name("url").unwrap();
        Record { namespace: Namespace::Url, kind, timestamp, value, context: "" }
    }

    fn held(ledger: &Ledger, event: u64) -> Vec<(String, u32)> {
        let mut records = ledger.records(event).unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.current().unwrap() {
            all.push((record.value.to_owned(), record.timestamp));
            records.advance().unwrap();
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Whatever is put in, in whatever portions: the records are those of a map.
        #[test]
        fn agrees_with_a_map(
            first in proptest::collection::btree_map(0u32..400, 1u32..3, 0..300),
            portions in proptest::collection::vec(proptest::collection::btree_map(0u32..400, 1u32..3, 1..60), 1..8),
            length in 1usize..1500,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let ledger = Ledger::open(directory.path()).unwrap();
            // Long values fill many chunks.
            let value = |n: &u32| format!("{n:05}{}", "x".repeat(length));
            let mut model: BTreeMap<String, u32> = first.iter().map(|(n, t)| (value(n), *t)).collect();
            let mut change = ledger.change().unwrap();
            for event in [6, 7, 8] {
                let mut chunks = Chunks::default();
                for (v, t) in &model {
                    change.put(event, &mut chunks, record(v, *t)).unwrap();
                }
                change.finish(event, chunks).unwrap();
            }
            change.commit().unwrap();
            let before: Vec<(String, u32)> = model.clone().into_iter().collect();
            for portion in portions {
                let values: Vec<(String, u32)> = portion.iter().map(|(n, t)| (value(n), *t)).collect();
                let records: Vec<Record> = values.iter().map(|(v, t)| record(v, *t)).collect();
                let mut change = ledger.change().unwrap();
                let outcome = change.insert(7, &records).unwrap();
                change.commit().unwrap();
                let expected: Vec<Put> = values.iter().map(|(v, t)| match model.insert(v.clone(), *t) {
                    None => Put::New,
                    Some(old) => Put::Known { moved: old != *t },
                }).collect();
                prop_assert_eq!(outcome, expected);
                prop_assert_eq!(held(&ledger, 7), model.clone().into_iter().collect::<Vec<_>>());
            }
            // The neighbours are what they were.
            prop_assert_eq!(held(&ledger, 6), before.clone());
            prop_assert_eq!(held(&ledger, 8), before);
        }
    }

    #[test]
    fn headers_as_the_change_has_them() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).unwrap();
        let mut change = ledger.change().unwrap();
        assert_eq!(change.header(1).unwrap(), None);
        let header = Header { records: 3, ..Header::default() };
        change.set_header(1, &header).unwrap();
        assert_eq!(change.header(1).unwrap(), Some(header));
    }
}
