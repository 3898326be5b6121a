//! The state of some events, asked of MISP in a thread of its own, while the writer
//! goes on with what messages bring.

use super::inbox::{Fetched, Inbox};
use crate::error::{Error, Kind};
use crate::misp::client::Client;
use crate::misp::fetch::fetch;
use crate::misp::query::Query;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// What is asked, and how.
pub struct Look {
    /// Its number.
    pub number: u64,
    /// MISP.
    pub client: Client,
    /// What a pass asks of events that the ledger knows.
    pub query: Query,
    /// Those events.
    pub known: Vec<u64>,
    /// Events before this are outside the window, unless the ledger knows them.
    pub window: u64,
    /// Events that the ledger does not know.
    pub unknown: Vec<u64>,
    /// Requests under way at once.
    pub connections: usize,
    /// Attributes of a page.
    pub page_size: usize,
    /// For temporary files.
    pub directory: PathBuf,
}

/// Asks, and hands what comes to the inbox, [`Fetched::End`] last.
pub fn begin(look: Look, inbox: Arc<Inbox>) {
    thread::spawn(move || {
        let Look { number, client, query, known, window, unknown, connections, page_size, directory } = look;
        let ask = |query: &Query, events: &[u64]| {
            fetch(&client, query, events, connections, page_size, &directory, |batch| {
                if inbox.fetched(number, Fetched::Batch(Box::new(batch))) {
                    return Ok(());
                }
                Err(Error::new(Kind::Interrupted, "nobody waits for MISP's answer any more"))
            })
        };
        let done = ask(&query, &known).and_then(|()| ask(&query.clone().changed_since(window), &unknown));
        inbox.fetched(number, Fetched::End(done));
    });
}
