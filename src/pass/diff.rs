//! Two sorted lists of records compared. Pure but for the errors of its sources.

use crate::error::Result;
use crate::ledger::Records;
use crate::ledger::record::Record;
use std::cmp::Ordering;

/// A sorted list, read one record after the other.
pub trait Cursor {
    /// The current record; `None` behind the last.
    ///
    /// # Errors
    /// Those of the list's source.
    fn current(&self) -> Result<Option<Record<'_>>>;

    /// Goes on to the next record.
    ///
    /// # Errors
    /// Those of the list's source.
    fn advance(&mut self) -> Result<()>;
}

impl Cursor for Records<'_> {
    fn current(&self) -> Result<Option<Record<'_>>> {
        Records::current(self)
    }

    fn advance(&mut self) -> Result<()> {
        Records::advance(self)
    }
}

/// No records: an event that the ledger does not know.
pub struct Nothing;

impl Cursor for Nothing {
    fn current(&self) -> Result<Option<Record<'_>>> {
        Ok(None)
    }

    fn advance(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Only in the new list.
    Added,
    /// In both, and what of it changed.
    Kept {
        /// Its timestamp is another one now.
        moved: bool,
        /// Its context is another one now.
        retold: bool,
    },
    /// Only in the old list.
    Gone,
}

/// Hands each record of either list to `each`, in order, with what became of it.
/// A record that is in both is given as the new list has it, and one that stands
/// several times in the new list once, with its newest timestamp and the context that
/// came with it (of several the greatest, so that the order of rows does not matter).
///
/// # Errors
/// Those of the lists and of `each`.
pub fn diff(
    old: &mut impl Cursor,
    new: &mut impl Cursor,
    mut each: impl FnMut(Fate, Record<'_>) -> Result<()>,
) -> Result<()> {
    let mut held = Held::default();
    loop {
        held.take(new)?;
        let fresh = held.record();
        let order = match (old.current()?, fresh) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.order(&b),
        };
        match (order, old.current()?, fresh) {
            (Ordering::Less, Some(gone), _) => {
                each(Fate::Gone, gone)?;
                old.advance()?;
            }
            (Ordering::Greater, _, Some(added)) => {
                each(Fate::Added, added)?;
                held.clear();
            }
            (_, Some(before), Some(now)) => {
                let (moved, retold) = (before.timestamp != now.timestamp, before.context != now.context);
                each(Fate::Kept { moved, retold }, now)?;
                old.advance()?;
                held.clear();
            }
            _ => return Ok(()),
        }
    }
}

/// The next distinct record of the new list, copied out of it, since its
/// duplicates have to be passed before it can be used.
#[derive(Default)]
struct Held {
    value: String,
    context: String,
    fixed: Option<(crate::indicator::Namespace, crate::indicator::MispType, u32)>,
}

impl Held {
    fn record(&self) -> Option<Record<'_>> {
        let (value, context) = (&self.value, &self.context);
        self.fixed.map(|(namespace, kind, timestamp)| Record { namespace, kind, timestamp, value, context })
    }

    fn clear(&mut self) {
        self.fixed = None;
    }

    fn take(&mut self, new: &mut impl Cursor) -> Result<()> {
        if self.fixed.is_some() {
            return Ok(());
        }
        let Some(first) = new.current()? else { return Ok(()) };
        self.value.clear();
        self.value.push_str(first.value);
        self.context.clear();
        self.context.push_str(first.context);
        let (namespace, kind, mut timestamp) = (first.namespace, first.kind, first.timestamp);
        new.advance()?;
        while let Some(next) = new.current()? {
            if next.namespace != namespace || next.kind != kind || next.value != self.value {
                break;
            }
            if (next.timestamp, next.context) > (timestamp, self.context.as_str()) {
                timestamp = next.timestamp;
                self.context.clear();
                self.context.push_str(next.context);
            }
            new.advance()?;
        }
        self.fixed = Some((namespace, kind, timestamp));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::{MispType, Namespace};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type Row = (String, (u32, String));

    struct List(Vec<Row>, usize);

    fn record<'a>(value: &'a str, (timestamp, context): &'a (u32, String)) -> Record<'a> {
        let (namespace, kind) = (Namespace::Md5, MispType::from_name("md5").unwrap());
        Record { namespace, kind, timestamp: *timestamp, value, context }
    }

    impl Cursor for List {
        fn current(&self) -> Result<Option<Record<'_>>> {
            Ok(self.0.get(self.1).map(|(v, t)| record(v, t)))
        }

        fn advance(&mut self) -> Result<()> {
            self.1 += 1;
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn agrees_with_sets(
            old in proptest::collection::btree_map("[a-e]{1,2}", (0u32..3, "[xy]?"), 0..12),
            mut new in proptest::collection::vec(("[a-e]{1,2}", (0u32..3, "[xy]?")), 0..16),
        ) {
            // By value only, as the order of records is.
            new.sort_by(|a: &Row, b: &Row| a.0.cmp(&b.0));
            let mut fates = Vec::new();
            let old_list: Vec<Row> = old.clone().into_iter().collect();
            diff(&mut List(old_list, 0), &mut List(new.clone(), 0), |fate, r| {
                fates.push((r.value.to_owned(), (r.timestamp, r.context.to_owned()), fate));
                Ok(())
            }).unwrap();
            let mut newest: BTreeMap<String, (u32, String)> = BTreeMap::new();
            for (v, t) in new {
                let at = newest.entry(v).or_default();
                *at = t.max(at.clone());
            }
            let all: BTreeSet<&String> = old.keys().chain(newest.keys()).collect();
            let expected: Vec<(String, (u32, String), Fate)> = all.into_iter().map(|v| match (old.get(v), newest.get(v)) {
                (Some(a), Some(b)) => {
                    (v.clone(), b.clone(), Fate::Kept { moved: a.0 != b.0, retold: a.1 != b.1 })
                }
                (None, Some(b)) => (v.clone(), b.clone(), Fate::Added),
                (Some(a), None) => (v.clone(), a.clone(), Fate::Gone),
                (None, None) => unreachable!(),
            }).collect();
            prop_assert_eq!(fates, expected);
        }
    }
}
