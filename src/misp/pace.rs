//! How much to ask MISP for at once. Pure.
//!
//! MISP builds a whole answer before its first byte and answers 500 when that
//! takes more memory than it may use. So batches shrink when it fails and grow
//! again while it does well. A batch of several events never has more than MISP
//! reads from its database at once.

/// Events asked for in one request, at most: the list of ids stays a few kilobytes.
const MAX_EVENTS: usize = 1_000;

/// Events of the first request, when nothing is known of their size.
const FIRST_EVENTS: usize = 16;

/// Rows that MISP reads with one query, for its whole answer: its chunk is the megabytes
/// of PHP's `memory_limit` times 50 (recordings, "limit, page, order, chunking"), and
/// 512 are a quarter of what MISP asks for. Rows that are read with several queries
/// may shift in between.
pub const ONE_QUERY: usize = 25_600;

/// The share of that to aim for, in percent: events differ in size.
const FILLED: usize = 70;

/// The page is never made smaller than this by failures.
const MIN_LIMIT: usize = 500;

/// The present size of requests.
#[derive(Debug, Clone)]
pub struct Pace {
    events: usize,
    limit: usize,
    page_size: usize,
}

impl Pace {
    /// Starts with pages of `page_size` rows.
    pub fn new(page_size: usize) -> Pace {
        Pace { events: FIRST_EVENTS, limit: page_size, page_size }
    }

    /// Events to ask for in the next request.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Rows to ask for in one page of so many events.
    pub fn limit(&self, events: usize) -> usize {
        if events > 1 { self.limit.min(ONE_QUERY) } else { self.limit }
    }

    /// A batch of `events` came whole with `rows` rows. It grows as long as more would
    /// fit one page, with room to spare.
    pub fn succeeded(&mut self, events: usize, rows: u64) {
        self.limit = (self.limit * 2).min(self.page_size);
        if events >= self.events {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX).max(1);
            let fit = self.limit.min(ONE_QUERY) * FILLED / 100 * events / rows;
            self.events = fit.clamp(self.events, self.events * 2).min(MAX_EVENTS);
        }
    }

    /// A batch of so many events has more rows than a page.
    pub fn too_large(&mut self, events: usize) {
        self.events = self.events.min(events / 2).max(1);
    }

    /// A batch of `events` failed. What takes MISP's memory is the rows of a page,
    /// and either number bounds them: both are halved.
    pub fn failed(&mut self, events: usize) {
        self.too_large(events);
        self.limit = (self.limit / 2).max(MIN_LIMIT.min(self.page_size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_events_make_large_batches() {
        let mut pace = Pace::new(50_000);
        for _ in 0..20 {
            let n = pace.events();
            pace.succeeded(n, n as u64 * 10);
        }
        assert_eq!(pace.events(), MAX_EVENTS);
    }

    #[test]
    fn large_events_stay_within_a_page() {
        let mut pace = Pace::new(50_000);
        for rows in [1_000, 1_400, 25_000, 50_000, 1] {
            for _ in 0..20 {
                let n = pace.events();
                if n > 1 && n * rows >= pace.limit(n) {
                    pace.too_large(n);
                } else {
                    pace.succeeded(n, (n * rows) as u64);
                }
            }
            let n = pace.events();
            assert!(n == 1 || n * rows < pace.limit(n), "{n} events of {rows}");
            assert!(n == MAX_EVENTS || (n + 1) * rows > ONE_QUERY / 2, "{n} events of {rows}");
        }
    }

    /// Several events are one query of MISP's, one event may be many pages.
    #[test]
    fn several_events_are_one_query() {
        let mut pace = Pace::new(1_000_000);
        assert_eq!((pace.limit(1), pace.limit(2), pace.limit(1000)), (1_000_000, ONE_QUERY, ONE_QUERY));
        pace.too_large(9);
        assert_eq!((pace.events(), pace.limit(1)), (4, 1_000_000));
        assert_eq!(Pace::new(100).limit(16), 100);
    }

    #[test]
    fn failures_shrink_and_success_grows_again() {
        let mut pace = Pace::new(50_000);
        pace.failed(16);
        assert_eq!((pace.events(), pace.limit(1)), (8, 25_000));
        for events in [8, 4, 2, 1] {
            pace.failed(events);
        }
        assert_eq!((pace.events(), pace.limit(1)), (1, 1_562));
        for _ in 0..20 {
            pace.failed(1);
        }
        assert_eq!((pace.events(), pace.limit(1)), (1, MIN_LIMIT));
        for _ in 0..20 {
            pace.succeeded(pace.events(), 10);
        }
        assert_eq!((pace.events(), pace.limit(1)), (MAX_EVENTS, 50_000));
    }
}
