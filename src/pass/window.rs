//! The choice of window by `misp-stats`. Pure.
//!
//! `misp-stats` is written last, by a whole pass only: where a server has it with
//! a number above zero, the server holds what the last pass left; where it is
//! absent, zero or no number, the server holds nothing that can be relied on.

use crate::config::Misp;
use std::fmt;

/// How far back a pass looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// A server holds nothing: everything since `misp.initial_event_timestamp`.
    Initial,
    /// All servers hold the last pass: what changed, and at any rate what changed
    /// since `misp.refresh_event_timestamp`.
    Refresh,
}

impl Window {
    /// Its length.
    pub fn seconds(self, misp: &Misp) -> u64 {
        match self {
            Window::Initial => misp.initial_event_timestamp.as_secs(),
            Window::Refresh => misp.refresh_event_timestamp.as_secs(),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Window::Initial => "initial",
            Window::Refresh => "refresh",
        })
    }
}

/// What follows from the servers' `misp-stats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The window of the pass.
    pub window: Window,
    /// The servers that hold nothing, by index: they are filled from the ledger.
    pub fill: Vec<usize>,
}

/// Chooses by the `misp-stats` of each server that can be reached, as memcached
/// answered, with the server's index.
pub fn choose(stats: &[(usize, Option<Vec<u8>>)]) -> Choice {
    let fill: Vec<usize> = stats.iter().filter(|(_, s)| held(s.as_deref()) == 0).map(|(index, _)| *index).collect();
    Choice { window: if fill.is_empty() { Window::Refresh } else { Window::Initial }, fill }
}

/// The number of keys that a `misp-stats` stands for. Older writers padded it with blanks (`incr` does so).
pub fn held(stats: Option<&[u8]>) -> u64 {
    let text = stats.and_then(|s| std::str::from_utf8(s).ok());
    text.and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(stats: &[Option<&str>]) -> (Window, Vec<usize>) {
        let stats: Vec<_> = stats.iter().map(|s| s.map(|s| s.as_bytes().to_vec())).enumerate().collect();
        let Choice { window, fill } = choose(&stats);
        (window, fill)
    }

    #[test]
    fn one_server() {
        assert_eq!(choice(&[None]), (Window::Initial, vec![0]));
        assert_eq!(choice(&[Some("0")]), (Window::Initial, vec![0]));
        assert_eq!(choice(&[Some("1")]), (Window::Refresh, vec![]));
        assert_eq!(choice(&[Some("489000")]), (Window::Refresh, vec![]));
    }

    #[test]
    fn what_is_no_number_holds_nothing() {
        for garbage in ["", "x", "-1", "1e6", "99999999999999999999999"] {
            assert_eq!(choice(&[Some(garbage)]), (Window::Initial, vec![0]), "{garbage:?}");
        }
    }

    /// memcached's `decr` leaves blanks behind a number that got shorter.
    #[test]
    fn padded_numbers_count() {
        assert_eq!(choice(&[Some("99 ")]), (Window::Refresh, vec![]));
    }

    #[test]
    fn one_empty_server_among_several() {
        assert_eq!(choice(&[Some("7"), None, Some("7"), Some("0")]), (Window::Initial, vec![1, 3]));
        assert_eq!(choice(&[Some("7"), Some("7")]), (Window::Refresh, vec![]));
    }
}
