//! The attributes of many events: batches over several connections at once.
//!
//! A batch counts only when it came whole; until then its rows are held apart, and a
//! failed batch is asked for again, smaller.
//!
//! Only a single event is read page by page. MISP cuts its pages out of the rows of all
//! events that were asked for, without an order: where a row of an earlier page goes, one
//! that stays is on no page that is read (recordings, "limit, page, order, chunking").
//! It may be another event's, of whose loss no list of events tells.

use super::attribute::Attribute;
use super::client::{self, Client, Failure};
use super::context::Described;
use super::pace::ONE_QUERY;
use super::page::{Next, Page};
use super::query::Query;
use super::queue::Queue;
use super::retry::Retry;
use super::rows::indicators;
use super::skipped::Skips;
use super::stream::{self, ATTRIBUTES, Broken, RowType};
use crate::error::{Error, Kind, Result};
use crate::indicator::MispType;
use crate::interrupt;
use crate::ledger::sort::{Order, RUN_BYTES, Sorted, Sorter};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

const SEARCH: &str = "/attributes/restSearch";

/// Rows of one event that are believed, ten times an event of a million: its
/// temporary file stays below about 1 GiB.
const MAX_ROWS: u64 = 10_000_000;

/// Batches that wait for the ledger: enough to keep it busy, few enough for memory.
const WAITING: usize = 1;

/// How long a signal may go unnoticed while MISP is waited for.
const LOOK_UP: Duration = Duration::from_millis(200);

/// The attributes of some events, proved whole.
#[derive(Debug)]
pub struct Batch {
    /// The events asked for, ascending; some may have no rows.
    pub events: Vec<u64>,
    /// Their indicators.
    pub rows: Sorted,
    /// It took several queries of MISP's: what changed between them is in the one answer and not in
    /// the other.
    pub several: bool,
    /// Attributes that came.
    pub attributes: u64,
    /// What was no indicator.
    pub skipped: Skips,
    /// Publish timestamps that the rows show.
    pub published_at: HashMap<u64, u64>,
}

/// Fetches the attributes of `events` (ascending) over `connections` at once and
/// hands each batch to `each` as it is whole. An error of `each` ends the work.
///
/// # Errors
/// Those of `each`, and [`Kind::Unavailable`], [`Kind::Untrusted`], [`Kind::Refused`].
pub fn fetch(
    client: &Client,
    query: &Query,
    events: &[u64],
    connections: usize,
    page_size: usize,
    directory: &Path,
    mut each: impl FnMut(Batch) -> Result<()>,
) -> Result<()> {
    if events.is_empty() || query.searches() == 0 {
        return Ok(());
    }
    let work = Arc::new(Work {
        queue: Mutex::new(Queue::new(events.iter().copied(), page_size)),
        stop: AtomicBool::new(false),
        client: client.clone(),
        query: query.clone(),
        directory: directory.to_owned(),
        most: MAX_ROWS,
    });
    let (sender, receiver) = sync_channel::<Result<Batch>>(WAITING);
    for _ in 0..connections.min(events.len()) {
        let (sender, work) = (sender.clone(), Arc::clone(&work));
        thread::spawn(move || work.run(&sender));
    }
    drop(sender);
    // A connection that waits for MISP's answer cannot be woken: after an error it
    // is left to end by itself, and what it brings is dropped.
    let _stop = Stop(&work.stop);
    let mut missing = events.len();
    while missing > 0 {
        match receiver.recv_timeout(LOOK_UP) {
            Ok(batch) => {
                let batch = batch?;
                missing -= batch.events.len();
                each(batch)?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let text = format!("{missing} events were not fetched, and nobody said why");
                return Err(Error::new(Kind::Bug, text));
            }
        }
        interrupt::check()?;
    }
    Ok(())
}

/// Tells the connections to end when the work does, however it does.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the connections share.
struct Work {
    queue: Mutex<Queue>,
    stop: AtomicBool,
    client: Client,
    query: Query,
    directory: PathBuf,
    /// [`MAX_ROWS`].
    most: u64,
}

/// What became of a batch.
enum Came {
    Whole(Box<Batch>),
    /// More than a page of several events; which of them has most of its rows.
    TooLarge(Option<u64>),
}

impl Work {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// One connection: takes batches until none are left.
    fn run(&self, sender: &SyncSender<Result<Batch>>) {
        let mut retry = Retry::default();
        while !self.stopped() {
            let (events, limit) = self.queue().take();
            if events.is_empty() {
                return;
            }
            match self.batch(&events, limit) {
                Ok(Came::TooLarge(largest)) => {
                    log::debug!("{} events have more than {limit} attributes, too many for one batch", events.len());
                    self.queue().split(&events, largest);
                }
                Ok(Came::Whole(batch)) => {
                    retry = Retry::default();
                    self.queue().succeeded(events.len(), batch.attributes);
                    if sender.send(Ok(*batch)).is_err() {
                        return;
                    }
                }
                Err(failure) => {
                    let smaller = self.queue().give_back(&events, limit, &failure);
                    if smaller {
                        log::info!("{} events are asked for again in smaller batches", events.len());
                    }
                    if let Err(e) = retry.wait(failure, smaller, &|| self.stopped()) {
                        self.stop.store(true, Ordering::Relaxed);
                        let _ = sender.send(Err(e));
                        return;
                    }
                }
            }
        }
    }

    fn batch(&self, events: &[u64], limit: usize) -> Result<Came, Failure> {
        let mut taker = Taker {
            events,
            client: &self.client,
            query: &self.query,
            sorter: Sorter::new(&self.directory, RUN_BYTES, Order::ByEvent),
            attributes: vec![0; events.len()],
            skipped: Skips::default(),
            published_at: HashMap::new(),
        };
        let mut paged = false;
        for search in 0..self.query.searches() {
            let mut page = 1;
            while self.page(search, events, limit, page, &mut taker)? == Next::Page {
                if events.len() > 1 {
                    return Ok(Came::TooLarge(taker.largest()));
                }
                if self.stopped() {
                    let text = "the pass ends before this batch is whole";
                    return Err(Failure::Final(Error::new(Kind::Unavailable, text)));
                }
                if page.saturating_mul(limit as u64) >= self.most {
                    return Err(too_many(&self.client, SEARCH, self.most, "rows"));
                }
                page += 1;
                paged = true;
            }
        }
        let rows = taker.sorter.finish().map_err(|e| Failure::Final(temporary(&self.directory, &e)))?;
        let attributes = taker.attributes.iter().sum();
        Ok(Came::Whole(Box::new(Batch {
            events: events.to_vec(),
            rows,
            several: paged || self.query.searches() > 1 || attributes > ONE_QUERY as u64,
            attributes,
            skipped: taker.skipped,
            published_at: taker.published_at,
        })))
    }

    fn page(&self, search: usize, events: &[u64], limit: usize, page: u64, taker: &mut Taker) -> Result<Next, Failure> {
        let path = SEARCH;
        let response = self.client.post(path, self.query.page(search, events, limit, page))?;
        let count = client::header(response.headers(), "x-result-count");
        let skipped = client::header(response.headers(), "x-skipped-elements-count").unwrap_or(0);
        let (limit, mut came) = (limit as u64, 0);
        let mut take = |row: &Attribute<'_>, context: &str| {
            came += 1;
            if came > limit { Err(Reason::TooMany) } else { taker.take(search, row, context) }
        };
        let fields = self.query.context();
        let rows = if fields.is_empty() {
            stream::rows::<Attributes, Reason>(response, ATTRIBUTES, |row| take(&row, ""))
        } else {
            let mut context = String::new();
            stream::rows::<Descriptions, Reason>(response, ATTRIBUTES, |row| {
                context.clear();
                row.write(fields, &mut context);
                take(&row.into_row(), &context)
            })
        };
        let rows = rows.map_err(|reason| {
            match reason {
                Reason::Broken(b) => broken(&self.client, path, b),
                Reason::TooMany => too_many(&self.client, path, limit, "rows"),
                Reason::Foreign(event) => {
                    let text = format!(
                        "{}{path}: an attribute of event {event} came, which was not asked for: MISP did not read the request's filter",
                        self.client.url()
                    );
                    Failure::Final(Error::new(Kind::Untrusted, text))
                }
                Reason::Temporary(e) => Failure::Final(temporary(&self.directory, &e)),
            }
        })?;
        let whole = Page { limit, rows, skipped, result_count: count };
        whole.check().map_err(|what| {
            let text = format!("{}{path}: the answer is not whole: {what}", self.client.url());
            Failure::Passing(Error::new(Kind::Untrusted, text))
        })
    }
}

struct Attributes;
impl RowType for Attributes {
    type Row<'a> = Attribute<'a>;
}

struct Descriptions;
impl RowType for Descriptions {
    type Row<'a> = Described<'a>;
}

enum Reason {
    Broken(Broken),
    Foreign(u64),
    TooMany,
    Temporary(io::Error),
}

impl From<Broken> for Reason {
    fn from(b: Broken) -> Reason {
        Reason::Broken(b)
    }
}

/// Takes the rows of one batch.
struct Taker<'a> {
    events: &'a [u64],
    client: &'a Client,
    query: &'a Query,
    sorter: Sorter,
    /// Attributes that came, of each event.
    attributes: Vec<u64>,
    skipped: Skips,
    published_at: HashMap<u64, u64>,
}

impl Taker<'_> {
    /// The event that has at least half of the attributes that came.
    fn largest(&self) -> Option<u64> {
        let half = self.attributes.iter().sum::<u64>().div_ceil(2).max(1);
        self.attributes.iter().position(|n| *n >= half).map(|at| self.events[at])
    }

    fn take(&mut self, search: usize, row: &Attribute, context: &str) -> Result<(), Reason> {
        let Ok(at) = self.events.binary_search(&row.event_id) else {
            return Err(Reason::Foreign(row.event_id));
        };
        self.attributes[at] += 1;
        if row.event.publish_timestamp > 0 {
            let at = self.published_at.entry(row.event_id).or_default();
            *at = row.event.publish_timestamp.max(*at);
        }
        if MispType::from_name(&row.kind).is_some_and(|kind| !self.query.searches_for(search, kind)) {
            return Ok(());
        }
        let (event, sorter) = (row.event_id, &mut self.sorter);
        let skip = indicators(row, self.query, context, |record| sorter.push(event, record));
        if let Some(reason) = skip.map_err(Reason::Temporary)? {
            self.skipped.add(row, reason, self.client.quoting());
        }
        Ok(())
    }
}

/// What a broken answer means.
pub(super) fn broken(client: &Client, path: &str, reason: Broken) -> Failure {
    let url = client.url();
    match reason {
        Broken::Io(e) => {
            let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
            if inner.is_some_and(reqwest::Error::is_timeout) {
                let text = format!("{url}{path}: the answer stopped coming (misp.timeout)");
                return Failure::Passing(Error::new(Kind::Unavailable, text));
            }
            let why = inner.map_or_else(|| e.to_string(), client::chain);
            Failure::Passing(Error::new(Kind::Untrusted, format!("{url}{path}: the answer broke off: {why}")))
        }
        Broken::CutShort => Failure::Passing(Error::new(
            Kind::Untrusted,
            format!("{url}{path}: the answer is not whole: the JSON is cut short"),
        )),
        Broken::NotJson(what) => Failure::Passing(Error::new(
            Kind::Untrusted,
            format!(
                "{url}{path}: the answer is not MISP's JSON ({}); is misp.url right, is there a login page or a proxy before it?",
                client.quote(&what)
            ),
        )),
    }
}

/// An answer that goes on behind the row where it has to end: it is not read
/// further, since it may have no end.
pub(super) fn too_many(client: &Client, path: &str, most: u64, what: &str) -> Failure {
    let text = format!("{}{path}: the answer is not whole: more than {most} {what} came", client.url());
    Failure::Passing(Error::new(Kind::Untrusted, text))
}

fn temporary(directory: &Path, e: &io::Error) -> Error {
    let text = format!("a temporary file in {} cannot be used: {e}", directory.display());
    Error::new(Kind::CannotWrite, text)
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
