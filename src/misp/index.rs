//! The list of every event that the key may see and that has attributes.

use super::attribute::IndexEvent;
use super::client::{self, Client, Failure};
use super::fetch::{Retry, broken};
use super::stream::{self, BARE, RowType};
use crate::error::{Error, Kind, Result};
use crate::interrupt;

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
            Err(failure) => retry.wait(failure, &interrupt::requested)?,
        }
    }
}

fn once(client: &Client) -> Result<Index, Failure> {
    let path = "/events/index";
    let response = client.post(path, br#"{"minimal":1}"#.to_vec())?;
    let now = client::date(response.headers()).unwrap_or_else(client::local_now);
    let total = client::header(response.headers(), "x-result-count");
    let mut events = Vec::new();
    let rows = stream::rows::<Events, Reason>(response, BARE, |event| {
        events.push(event);
        Ok(())
    })
    .map_err(|Reason(b)| broken(client, path, b))?;
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

struct Reason(stream::Broken);
impl From<stream::Broken> for Reason {
    fn from(b: stream::Broken) -> Reason {
        Reason(b)
    }
}
