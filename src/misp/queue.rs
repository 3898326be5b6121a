//! The events that are still to be fetched, and how many of them are asked for at once. Pure.

use super::client::Failure;
use super::pace::Pace;
use std::collections::VecDeque;

/// The events that nobody asks for at this moment.
#[derive(Debug)]
pub struct Queue {
    waiting: VecDeque<u64>,
    /// Those that are too large for a batch.
    alone: Vec<u64>,
    pace: Pace,
}

impl Queue {
    /// These events, to be asked for in pages of `page_size` rows.
    pub fn new(events: impl Iterator<Item = u64>, page_size: usize) -> Queue {
        Queue { waiting: events.collect(), alone: Vec::new(), pace: Pace::new(page_size) }
    }

    /// A batch of `events` came whole with `rows` rows.
    pub fn succeeded(&mut self, events: usize, rows: u64) {
        self.pace.succeeded(events, rows);
    }

    /// The events of the next batch, and the rows of its pages. What failed stands
    /// in the queue in the order in which it failed, a batch is ascending.
    pub fn take(&mut self) -> (Vec<u64>, usize) {
        if let Some(event) = self.alone.pop() {
            return (vec![event], self.pace.limit(1));
        }
        let n = self.pace.events().min(self.waiting.len());
        let mut events: Vec<u64> = self.waiting.drain(..n).collect();
        events.sort_unstable();
        let limit = self.pace.limit(n);
        (events, limit)
    }

    /// Puts a batch back that has more rows than a page: without the one event that is
    /// the reason, or else for smaller batches.
    pub fn split(&mut self, events: &[u64], largest: Option<u64>) {
        match largest {
            Some(event) => self.alone.push(event),
            None => self.pace.too_large(events.len()),
        }
        events.iter().rev().filter(|e| Some(**e) != largest).for_each(|e| self.waiting.push_front(*e));
    }

    /// Puts a batch that failed back; whether the next one asks for less.
    pub fn give_back(&mut self, events: &[u64], limit: usize, failure: &Failure) -> bool {
        events.iter().rev().for_each(|e| self.waiting.push_front(*e));
        let (Failure::Passing(_) | Failure::Unreached(_)) = failure else { return false };
        self.pace.failed(events.len());
        self.pace.events() < events.len() || self.pace.limit(1) < limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};
    use crate::misp::pace::ONE_QUERY;

    #[test]
    fn what_failed_is_asked_for_in_order() {
        let mut queue = Queue::new(1..=9, 100);
        queue.pace.failed(6);
        let first = queue.take();
        let second = queue.take();
        assert_eq!((&first, &second), (&(vec![1, 2, 3], 100), &(vec![4, 5, 6], 100)));
        let failure = || Failure::Passing(Error::new(Kind::Unavailable, "500"));
        assert!(queue.give_back(&first.0, 100, &failure()));
        assert!(queue.give_back(&second.0, 100, &failure()));
        queue.pace.succeeded(1, 1);
        queue.pace.succeeded(2, 1);
        assert_eq!(queue.take().0, [1, 4, 5, 6]);
        assert!(!queue.give_back(&[2], 100, &Failure::RateLimited(std::time::Duration::ZERO)));
        queue.pace.failed(1);
        assert!(!queue.give_back(&[2], 100, &failure()), "it cannot be smaller");
    }

    /// The one event that fills the page comes alone; where there is none, batches shrink.
    #[test]
    fn what_is_too_large_for_a_batch_is_split() {
        let mut queue = Queue::new(1..=40, 50_000);
        let (events, limit) = queue.take();
        assert_eq!((events.len(), limit), (16, ONE_QUERY));
        queue.split(&events, Some(5));
        assert_eq!(queue.take(), (vec![5], 50_000));
        let (events, _) = queue.take();
        assert_eq!(events, (1..=17).filter(|e| *e != 5).collect::<Vec<u64>>());
        queue.split(&events, None);
        assert_eq!(queue.take().0, [1, 2, 3, 4, 6, 7, 8, 9]);
    }
}
