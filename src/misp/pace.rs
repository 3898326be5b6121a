//! How much to ask MISP for at once. Pure.
//!
//! MISP builds a whole answer before its first byte and answers 500 when that
//! takes more memory than it may use. So batches shrink when it fails and grow
//! again while it does well.

/// Events asked for in one request, at most: the list of ids stays a few kilobytes.
const MAX_EVENTS: usize = 1_000;

/// Events of the first request, when nothing is known of their size.
const FIRST_EVENTS: usize = 16;

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

    /// Rows to ask for in one page.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A batch of `events` came whole with `rows` rows. It grows as long as twice
    /// as much would fit one page with room to spare.
    pub fn succeeded(&mut self, events: usize, rows: u64) {
        self.limit = (self.limit * 2).min(self.page_size);
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        if rows > self.page_size {
            self.events = (self.events / 2).max(1);
        } else if events >= self.events && rows.saturating_mul(2) < self.page_size / 2 {
            self.events = (self.events * 2).min(MAX_EVENTS);
        }
    }

    /// A batch of `events` failed. What takes MISP's memory is the rows of a page,
    /// and either number bounds them: both are halved.
    pub fn failed(&mut self, events: usize) {
        self.events = self.events.min(events / 2).max(1);
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
        for _ in 0..20 {
            let n = pace.events();
            pace.succeeded(n, n as u64 * 1000);
        }
        assert!(pace.events() * 1000 <= 50_000, "{}", pace.events());
        pace.succeeded(pace.events(), 200_000);
        assert_eq!(pace.events(), 8);
    }

    #[test]
    fn failures_shrink_and_success_grows_again() {
        let mut pace = Pace::new(50_000);
        pace.failed(16);
        assert_eq!((pace.events(), pace.limit()), (8, 25_000));
        for events in [8, 4, 2, 1] {
            pace.failed(events);
        }
        assert_eq!((pace.events(), pace.limit()), (1, 1_562));
        for _ in 0..20 {
            pace.failed(1);
        }
        assert_eq!((pace.events(), pace.limit()), (1, MIN_LIMIT));
        for _ in 0..20 {
            pace.succeeded(pace.events(), 10);
        }
        assert_eq!((pace.events(), pace.limit()), (MAX_EVENTS, 50_000));
    }
}
