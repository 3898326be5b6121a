//! The list of every event that the key may see and that has attributes.

use super::attribute::IndexEvent;
use super::client::{self, Client, Failure};
use super::fetch::{broken, too_many};
use super::retry::Retry;
use super::stream::{self, BARE, RowType};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use std::io::Read;

/// Events that are believed where MISP does not say how many there are: fifty
/// times a large MISP's, and little enough for memory.
const MAX_EVENTS: u64 = 5_000_000;

/// The list and the moment it was made.
#[derive(Debug, Clone)]
pub struct Index {
    /// By id, each once.
    pub events: Vec<IndexEvent>,
    /// MISP's clock; ours where MISP sends no `Date`.
    pub now: u64,
}

struct Events;
impl RowType for Events {
    type Row<'a> = IndexEvent;
}

/// Asks for the list; a failure that may pass is tried again.
///
/// # Errors
/// [`Kind::Unavailable`], [`Kind::Untrusted`], [`Kind::Refused`], [`Kind::Config`].
pub fn fetch(client: &Client) -> Result<Index> {
    let mut retry = Retry::default();
    loop {
        interrupt::check()?;
        match once(client) {
            Ok(index) => return Ok(index),
            Err(failure) => retry.wait(failure, false, &interrupt::requested)?,
        }
    }
}

fn once(client: &Client) -> Result<Index, Failure> {
    let path = "/events/index";
    let response = client.post(path, br#"{"minimal":1}"#.to_vec())?;
    let now = client::date(response.headers()).unwrap_or_else(client::local_now);
    let total = client::header(response.headers(), "x-result-count");
    let mut events = read(response, total.unwrap_or(MAX_EVENTS).min(MAX_EVENTS)).map_err(|reason| match reason {
        Reason::Broken(b) => broken(client, path, b),
        Reason::TooMany(most) => too_many(client, path, most, "events"),
    })?;
    let rows = events.len() as u64;
    if total.is_some_and(|t| t != rows) {
        let text = format!(
            "{}{path}: {rows} events came, X-Result-Count says {}: the answer is not whole",
            client.url(),
            total.unwrap_or_default()
        );
        return Err(Failure::Passing(Error::new(Kind::Untrusted, text)));
    }
    events.sort_unstable_by_key(|e| e.id);
    events.dedup_by_key(|e| e.id);
    Ok(Index { events, now })
}

/// Reads the list up to the event that is one too many.
fn read(answer: impl Read, most: u64) -> Result<Vec<IndexEvent>, Reason> {
    let mut events = Vec::new();
    stream::rows::<Events, Reason>(answer, BARE, |event| {
        if events.len() as u64 == most {
            return Err(Reason::TooMany(most));
        }
        events.push(event);
        Ok(())
    })?;
    Ok(events)
}

#[derive(Debug)]
enum Reason {
    Broken(stream::Broken),
    TooMany(u64),
}

impl From<stream::Broken> for Reason {
    fn from(b: stream::Broken) -> Reason {
        Reason::Broken(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    const ROW: &str = r#"{"id":"1","timestamp":"1795220000","published":true}"#;

    #[test]
    fn a_list_without_end_is_given_up() {
        let list = |n: usize| format!("[{}]", vec![ROW; n].join(","));
        assert_eq!(read(Cursor::new(list(3)), 3).unwrap().len(), 3);
        let endless = Cursor::new(b"[").chain(Cursor::new(format!("{ROW},").repeat(3))).chain(std::io::repeat(b'x'));
        assert!(matches!(read(endless, 2), Err(Reason::TooMany(2))));
        assert!(matches!(read(Cursor::new(list(4)), 3), Err(Reason::TooMany(3))));
    }
}
