//! The newest so many of a stream of dated items: exact, each item once, in
//! memory that grows with the number kept and not with the stream.
//!
//! Knows nothing of addresses: an item is what can be compared and hashed.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The least number of items (and of hashes) held before any is thrown away, so
/// that small limits do not sort at every item.
const LEAST_ROOM: usize = 1024;

/// Rank of an item, the best first: by time, and then in the items' own order, so
/// that what is kept does not depend on the order of the stream.
type Rank<T> = (Reverse<u64>, T);

/// Keeps the newest `limit` distinct items.
#[derive(Debug, Clone)]
pub(super) struct Newest<T> {
    limit: usize,
    /// Up to twice the limit, repetitions among them; tidied when that is full.
    ranked: Vec<Rank<T>>,
    /// The worst of a full house: what ranks behind it can never be kept.
    worst: Option<Rank<T>>,
    /// Counts from when the house was first full: before, nothing is lost.
    distinct: Option<Distinct>,
}

impl<T: Copy + Ord + Hash> Newest<T> {
    pub(super) fn new(limit: usize) -> Newest<T> {
        Newest { limit, ranked: Vec::new(), worst: None, distinct: None }
    }

    /// One more item; one that was there counts with the newer of its times.
    pub(super) fn add(&mut self, item: T, timestamp: u64) {
        if let Some(distinct) = &mut self.distinct {
            distinct.add(item);
        }
        let rank = (Reverse(timestamp), item);
        if self.worst.is_some_and(|worst| rank > worst) {
            return;
        }
        self.ranked.push(rank);
        if self.ranked.len() >= self.limit.saturating_mul(2).max(LEAST_ROOM) {
            self.tidy();
        }
    }

    /// The items kept, each with its newest time, the best first; and how many
    /// were not kept: exact while it is below the limit, then an estimate (an
    /// exact one would have to remember all that was thrown away).
    pub(super) fn finish(mut self) -> (Vec<(T, u64)>, u64) {
        self.tidy();
        let seen = self.distinct.map_or(0, |distinct| distinct.count());
        let kept: Vec<(T, u64)> = self.ranked.into_iter().map(|(Reverse(timestamp), item)| (item, timestamp)).collect();
        let cut = seen.saturating_sub(kept.len() as u64);
        (kept, cut)
    }

    fn tidy(&mut self) {
        self.ranked.sort_unstable_by_key(|&(timestamp, item)| (item, timestamp));
        self.ranked.dedup_by_key(|(_, item)| *item);
        if self.ranked.len() >= self.limit && self.distinct.is_none() {
            let mut distinct = Distinct::new(self.limit);
            self.ranked.iter().for_each(|(_, item)| distinct.add(*item));
            self.distinct = Some(distinct);
        }
        self.ranked.sort_unstable();
        self.ranked.truncate(self.limit);
        if self.ranked.len() == self.limit {
            self.worst = self.ranked.last().copied();
        }
    }
}

/// How many different items there were, from the smallest of their hashes: were
/// the hashes of a whole crowd spread evenly, the place of the k-th would tell
/// its size.
#[derive(Debug, Clone)]
struct Distinct {
    size: usize,
    smallest: BTreeSet<u64>,
}

impl Distinct {
    /// Exact up to twice `limit`; beyond, off by about 1/sqrt(2 * limit).
    fn new(limit: usize) -> Distinct {
        Distinct { size: limit.saturating_mul(2).max(LEAST_ROOM), smallest: BTreeSet::new() }
    }

    fn add(&mut self, item: impl Hash) {
        // Without a random key: the same stream is counted the same at every run.
        let mut hasher = DefaultHasher::new();
        item.hash(&mut hasher);
        let hash = hasher.finish();
        if self.smallest.len() < self.size {
            self.smallest.insert(hash);
        } else if self.smallest.last().is_some_and(|largest| hash < *largest) && self.smallest.insert(hash) {
            self.smallest.pop_last();
        }
    }

    fn count(&self) -> u64 {
        match self.smallest.last() {
            Some(largest) if self.smallest.len() == self.size => {
                let share = (*largest as f64 + 1.0) / (u64::MAX as f64 + 1.0);
                (((self.size - 1) as f64 / share) as u64).max(self.size as u64)
            }
            _ => self.smallest.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn fed(limit: usize, stream: impl IntoIterator<Item = (u32, u64)>) -> (Vec<(u32, u64)>, u64) {
        let mut newest = Newest::new(limit);
        for (item, timestamp) in stream {
            newest.add(item, timestamp);
        }
        newest.finish()
    }

    #[test]
    fn newest_first_and_ties_by_the_item() {
        assert_eq!(fed(3, [(7, 1), (5, 2), (9, 2), (1, 1), (7, 0)]), (vec![(5, 2), (9, 2), (1, 1)], 1));
        assert_eq!(fed(4, [(7, 1), (7, 3), (7, 2)]), (vec![(7, 3)], 0));
        assert_eq!(fed(0, [(7, 1), (8, 3)]), (vec![], 2));
        assert_eq!(fed(2, []), (vec![], 0));
    }

    /// An item that was thrown away comes back newer: it is kept, and not counted as cut.
    #[test]
    fn a_late_newer_time() {
        let old = (0..5000u32).map(|item| (item, 10));
        let again = (4990..5000u32).map(|item| (item, 20));
        let (kept, cut) = fed(1000, old.chain(again));
        assert_eq!(kept.len(), 1000);
        assert!((4990..5000).all(|item| kept.contains(&(item, 20))));
        // 5,000 items are more than the 2,000 counted exactly: within a tenth.
        assert!((3500..4500).contains(&cut), "{cut}");
    }

    #[test]
    fn memory_stays_bounded() {
        let mut newest = Newest::new(1000);
        for i in 0..100_000u32 {
            newest.add(i.wrapping_mul(2_654_435_761), u64::from(i));
            assert!(newest.ranked.len() < 2000);
        }
        assert!(newest.ranked.capacity() <= 4096);
        assert_eq!(newest.distinct.as_ref().unwrap().smallest.len(), 2000);
        let (kept, cut) = newest.finish();
        assert!(kept.iter().all(|(_, timestamp)| *timestamp >= 99_000));
        assert!((90_000..110_000).contains(&cut), "{cut}");
    }

    proptest! {
        /// Against the plain way, which remembers everything.
        #[test]
        fn exact(stream in proptest::collection::vec((0u32..1500, 0u64..40), 0..6000), limit in 0usize..700) {
            let mut all = BTreeMap::new();
            for &(item, timestamp) in &stream {
                let newest = all.entry(item).or_insert(timestamp);
                *newest = timestamp.max(*newest);
            }
            let mut expected: Vec<(u32, u64)> = all.into_iter().collect();
            expected.sort_by_key(|&(item, timestamp)| (Reverse(timestamp), item));
            let exact = expected.len() < (2 * limit).max(LEAST_ROOM);
            let lost = expected.len().saturating_sub(limit) as u64;
            expected.truncate(limit);
            let (kept, cut) = fed(limit, stream.iter().copied());
            prop_assert_eq!(&kept, &expected);
            if exact {
                prop_assert_eq!(cut, lost);
            }
            let backwards = fed(limit, stream.into_iter().rev());
            prop_assert_eq!(backwards, (kept, cut));
        }
    }
}
