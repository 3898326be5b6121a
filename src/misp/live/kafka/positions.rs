//! Up to where each partition may be committed: only what is in memcached and in the
//! ledger. Pure; it does not know Kafka.

use std::collections::VecDeque;

/// Messages that are remembered one by one, some two megabytes of them: while memcached
/// is away for hours nothing is settled.
const REMEMBERED: usize = 100_000;

/// What was taken of each partition, in the order it was handed over.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// Few, so they are searched one by one.
    partitions: Vec<Partition>,
    waiting: VecDeque<Taken>,
}

#[derive(Debug)]
struct Partition {
    topic: String,
    number: i32,
    /// The offset after the last message that is settled.
    settled: Option<i64>,
    /// What Kafka was told last.
    committed: Option<i64>,
}

#[derive(Debug)]
struct Taken {
    message: u64,
    partition: usize,
    offset: i64,
}

impl Positions {
    /// The message of this number is the one at `offset`. What was not handed over
    /// has the number of the message before it.
    pub(super) fn took(&mut self, message: u64, topic: &str, partition: i32, offset: i64) {
        let partition = self.index(topic, partition);
        self.waiting.push_back(Taken { message, partition, offset });
        if self.waiting.len() > REMEMBERED {
            self.thin();
        }
    }

    /// Forgets every other message of each partition: those before it are then committed
    /// with the one after it.
    fn thin(&mut self) {
        let mut kept = vec![false; self.partitions.len()];
        let mut few: VecDeque<Taken> = VecDeque::with_capacity(REMEMBERED);
        // From the back: a partition's last one stays.
        while let Some(taken) = self.waiting.pop_back() {
            let keep = &mut kept[taken.partition];
            *keep = !*keep;
            if *keep {
                few.push_front(taken);
            }
        }
        self.waiting = few;
    }

    /// A partition is read from this offset on, and nothing before it is asked for again.
    pub(super) fn starts_at(&mut self, topic: &str, partition: i32, offset: i64) {
        let index = self.index(topic, partition);
        self.partitions[index].settled = Some(offset);
    }

    /// All messages up to this number are done with.
    pub(super) fn settle(&mut self, message: u64) {
        while let Some(taken) = self.waiting.front().filter(|taken| taken.message <= message) {
            self.partitions[taken.partition].settled = Some(taken.offset + 1);
            self.waiting.pop_front();
        }
    }

    /// Topic, partition and offset of what is to be committed.
    pub(super) fn due(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        let due = self.partitions.iter().filter(|p| p.settled != p.committed);
        due.filter_map(|p| Some((p.topic.as_str(), p.number, p.settled?)))
    }

    /// The offset after the last settled message of each partition.
    pub(super) fn settled(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.partitions.iter().filter_map(|p| Some((p.topic.as_str(), p.number, p.settled?)))
    }

    /// Kafka was told.
    pub(super) fn committed(&mut self, topic: &str, partition: i32, offset: i64) {
        let found = self.partitions.iter_mut().find(|p| p.number == partition && p.topic == topic);
        if let Some(partition) = found.filter(|p| p.settled.is_some()) {
            partition.committed = Some(offset);
        }
    }

    /// Another loader may have the partition: it is no longer ours to commit.
    pub(super) fn forget(&mut self, topic: &str, partition: i32) {
        let index = self.index(topic, partition);
        self.waiting.retain(|taken| taken.partition != index);
        let partition = &mut self.partitions[index];
        (partition.settled, partition.committed) = (None, None);
    }

    fn index(&mut self, topic: &str, number: i32) -> usize {
        let found = self.partitions.iter().position(|p| p.number == number && p.topic == topic);
        found.unwrap_or_else(|| {
            self.partitions.push(Partition { topic: topic.to_owned(), number, settled: None, committed: None });
            self.partitions.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(positions: &Positions) -> Vec<(&str, i32, i64)> {
        positions.due().collect()
    }

    #[test]
    fn only_what_is_settled_is_due() {
        let mut positions = Positions::default();
        positions.took(1, "a", 0, 10);
        positions.took(2, "b", 0, 70);
        positions.took(3, "a", 0, 11);
        assert_eq!(due(&positions), []);
        positions.settle(1);
        assert_eq!(due(&positions), [("a", 0, 11)]);
        positions.settle(2);
        assert_eq!(due(&positions), [("a", 0, 11), ("b", 0, 71)]);
        positions.committed("a", 0, 11);
        positions.committed("b", 0, 71);
        assert_eq!(due(&positions), []);
        positions.settle(9);
        assert_eq!(due(&positions), [("a", 0, 12)]);
    }

    #[test]
    fn what_was_not_handed_over_waits_for_the_message_before_it() {
        let mut positions = Positions::default();
        positions.took(0, "a", 0, 4);
        positions.took(1, "a", 0, 5);
        positions.took(1, "a", 0, 6);
        positions.settle(0);
        assert_eq!(due(&positions), [("a", 0, 5)]);
        positions.settle(1);
        assert_eq!(due(&positions), [("a", 0, 7)]);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_committed_too_early() {
        let mut positions = Positions::default();
        let count = 3 * REMEMBERED as u64 + 1;
        for n in 1..=count {
            positions.took(n, "a", (n % 3) as i32, n.cast_signed());
            assert!(positions.waiting.len() <= REMEMBERED);
        }
        let mut behind = 0;
        for n in [1, 777, 100_000, 250_000, count - 1] {
            positions.settle(n);
            for (_, partition, offset) in positions.due() {
                assert!(offset <= n.cast_signed() + 1, "{partition} {offset} {n}");
                behind = behind.max(n.cast_signed() + 1 - offset);
            }
        }
        assert!(behind <= 100, "{behind}");
        positions.settle(count);
        let due: Vec<_> = positions.due().map(|(_, partition, offset)| (partition, offset)).collect();
        let count = count.cast_signed();
        let last = |partition: i64| (count - 2..=count).find(|n| n % 3 == partition).unwrap() + 1;
        assert_eq!(due, [(1, last(1)), (2, last(2)), (0, last(0))]);
    }

    #[test]
    fn a_partition_that_is_gone_is_not_committed() {
        let mut positions = Positions::default();
        positions.starts_at("a", 0, 3);
        positions.took(1, "a", 0, 3);
        positions.took(2, "a", 1, 8);
        positions.forget("a", 0);
        positions.settle(2);
        assert_eq!(due(&positions), [("a", 1, 9)]);
        // An answer that comes late says nothing of the partition's next time.
        positions.committed("a", 0, 3);
        positions.starts_at("a", 0, 3);
        assert_eq!(due(&positions), [("a", 0, 3), ("a", 1, 9)]);
    }
}
