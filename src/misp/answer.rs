//! The body of an answer while it comes: one that never ends, or that comes so
//! slowly that it might as well not, is given up.
//!
//! It knows nothing of what the bytes mean, but that JSON has no megabyte of blanks.
//! How many rows are believed is for those who count them.

use reqwest::blocking::Response;
use reqwest::header::HeaderMap;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Bytes a second, on average, below which an answer is no answer. The time-out of
/// each read does not see a server that sends a byte now and then for ever.
const MIN_RATE: u64 = 4 * 1024;

/// Blanks in a row: a value has at most 65,535 bytes, and no server indents so far.
const MAX_BLANKS: u64 = 1024 * 1024;

/// An answer with status and headers read, and its body to come.
pub struct Answer {
    response: Response,
    flow: Flow,
    begun: Instant,
}

impl Answer {
    /// What is left of this response; it may take `patience`, and longer if it is long.
    pub(super) fn new(response: Response, patience: Duration) -> Answer {
        Answer { response, flow: Flow { patience, received: 0, blanks: 0 }, begun: Instant::now() }
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }
}

impl Read for Answer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.response.read(into)?;
        self.flow.came(&into[..n], self.begun.elapsed())?;
        Ok(n)
    }
}

/// What has come so far.
#[derive(Debug)]
struct Flow {
    patience: Duration,
    received: u64,
    /// Blanks at the end of it.
    blanks: u64,
}

impl Flow {
    fn came(&mut self, bytes: &[u8], elapsed: Duration) -> io::Result<()> {
        self.received += bytes.len() as u64;
        let blanks = bytes.iter().rev().take_while(|b| b.is_ascii_whitespace()).count();
        self.blanks = blanks as u64 + if blanks == bytes.len() { self.blanks } else { 0 };
        if self.blanks > MAX_BLANKS {
            return Err(io::Error::other(format!("more than {MAX_BLANKS} blanks came in a row")));
        }
        let allowed = self.patience + Duration::from_secs(self.received / MIN_RATE);
        if elapsed > allowed {
            let (received, seconds) = (self.received, elapsed.as_secs());
            return Err(io::Error::other(format!("only {received} bytes came in {seconds} s (misp.timeout)")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(300);

    fn flow() -> Flow {
        Flow { patience: PATIENCE, received: 0, blanks: 0 }
    }

    #[test]
    fn a_drip_ends_and_a_long_answer_does_not() {
        let mut drip = flow();
        let second = Duration::from_secs(1);
        let given_up = (1..).find(|n| drip.came(b"x", second * 10 * *n).is_err());
        assert_eq!(given_up, Some(31));
        // An hour at 100 kB a second.
        let mut long = flow();
        let megabyte = vec![b'x'; 1_000_000];
        assert!((1..360).all(|n| long.came(&megabyte, second * 10 * n).is_ok()));
    }

    #[test]
    fn blanks_are_counted_across_pieces() {
        let mut flow = flow();
        let blanks = vec![b' '; 1024 * 1024];
        flow.came(&blanks[1..], Duration::ZERO).unwrap();
        flow.came(b"x\n\t", Duration::ZERO).unwrap();
        flow.came(&blanks[2..], Duration::ZERO).unwrap();
        flow.came(b"", Duration::ZERO).unwrap();
        let e = flow.came(b" ", Duration::ZERO).unwrap_err();
        assert!(e.to_string().contains("blanks came in a row"), "{e}");
    }
}
