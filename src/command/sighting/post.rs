//! Jobs done at MISP: over several connections, at a bounded rate, each tried again
//! as often as the one retry policy says. A request of which nobody knows whether
//! MISP acted on it is never just repeated: MISP is asked first what it has. Here is
//! one sighting's way; that of several together is in [`lists`].

mod lists;

use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::misp::client::{Client, Failure};
use crate::misp::retry::Retry;
use crate::misp::sighting::{
    Mark, SEARCH_ROWS, Search, Seen, Verdict, Whose, add, is_searchable, organisation, search,
};
use crate::sighting::batch::{Item, Job};
use crate::sighting::spelling::{Other, has_others, is_network, is_port, other};
use crate::sighting::{Sighting, Subject};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Sightings in a row that MISP fails on, though it can be reached, after which it is
/// held to be ill and not the sightings.
const FAILURES_OF_MISP: u32 = 4;

/// How long sending goes on after a signal.
const GRACE: Duration = Duration::from_secs(5);

/// What became of a sighting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// MISP has it.
    Sent,
    /// MISP does not want it.
    Refused(String),
    /// It never left.
    Unsent,
    /// It may have arrived.
    Unknown,
    /// MISP answers with errors: it may have arrived, or may be what MISP fails on.
    Failed(String),
}

/// The way to MISP.
pub struct Post {
    client: Client,
    connections: usize,
    pace: Pace,
    stop: AtomicBool,
    /// Until when requests are made though a signal came.
    deadline: Option<Instant>,
    failures: AtomicU32,
    /// Whether failures are waited out.
    patient: AtomicBool,
    /// Ours, as MISP numbers it, once it was asked for.
    organisation: OnceLock<Option<String>>,
}

/// The earliest moment of the next request.
#[derive(Debug)]
struct Pace {
    next: Mutex<Instant>,
    gap: Duration,
}

type Given<T> = std::result::Result<T, (Fate, Option<Error>)>;

impl Post {
    /// Over so many connections, with so many requests a second.
    pub fn new(client: Client, connections: usize, rate: u32) -> Post {
        let pace = Pace { next: Mutex::new(Instant::now()), gap: Duration::from_secs(1) / rate.max(1) };
        Post {
            client,
            connections,
            pace,
            stop: AtomicBool::new(false),
            deadline: None,
            failures: AtomicU32::new(0),
            patient: AtomicBool::new(true),
            organisation: OnceLock::new(),
        }
    }

    /// Until MISP has taken something, a failure is the end, and the caller decides when
    /// to try again.
    pub fn be_impatient(&self) {
        self.patient.store(false, Ordering::Relaxed);
    }

    fn is_patient(&self) -> bool {
        self.patient.load(Ordering::Relaxed)
    }

    /// MISP has taken something, so it is well.
    fn well(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.patient.store(true, Ordering::Relaxed);
    }

    /// Where a signal has come already, there is some time left for what waits.
    pub fn begin(&mut self) {
        self.deadline = interrupt::requested().then(|| Instant::now() + GRACE);
    }

    /// Whether a signal says that it is time to end.
    pub fn is_over(&self) -> bool {
        interrupt::requested() && self.deadline.is_none_or(|deadline| Instant::now() > deadline)
    }

    /// Does the jobs, and tells what became of each sighting as it is known. Gives what
    /// ended it early, if anything did.
    pub fn send(&mut self, jobs: Vec<Job>, told: &Sender<Vec<(u64, Fate)>>) -> Option<Error> {
        self.stop = AtomicBool::new(false);
        self.failures = AtomicU32::new(0);
        let workers = self.connections.min(jobs.len());
        let queue = Mutex::new(VecDeque::from(jobs));
        let ended = Mutex::new(None);
        let post = &*self;
        thread::scope(|scope| {
            for _ in 0..workers {
                let told = told.clone();
                scope.spawn(|| post.work(&queue, &ended, told));
            }
        });
        ended.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, queue: &Mutex<VecDeque<Job>>, ended: &Mutex<Option<Error>>, told: Sender<Vec<(u64, Fate)>>) {
        while let Some(job) = lock(queue).pop_front() {
            let fates = self.job(job, &mut |error| {
                self.stop.store(true, Ordering::Relaxed);
                lock(ended).get_or_insert(error);
            });
            if told.send(fates).is_err() {
                return;
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.is_over()
    }

    fn job(&self, job: Job, end: &mut dyn FnMut(Error)) -> Vec<(u64, Fate)> {
        match job {
            Job::One(item) => vec![(item.n, self.settled(self.one(&item), end))],
            Job::Doubtful(items) => self.doubtful(&items, end),
            Job::Many(items) => self.many(items, end),
        }
    }

    /// The fate; where something ended the whole, `end` hears of it.
    fn settled(&self, given: Given<Fate>, end: &mut dyn FnMut(Error)) -> Fate {
        match given {
            Ok(fate) => {
                if matches!(fate, Fate::Sent | Fate::Refused(_)) {
                    self.well();
                }
                fate
            }
            Err((fate, error)) => {
                if let Some(error) = error {
                    let ill = self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_OF_MISP;
                    if ill || !matches!(fate, Fate::Failed(_)) {
                        end(error);
                    }
                }
                fate
            }
        }
    }

    /// One sighting, of which it is known that MISP does not have it.
    fn one(&self, item: &Item) -> Given<Fate> {
        self.one_with(item, &mut Retry::default(), false)
    }

    fn one_with(&self, item: &Item, retry: &mut Retry, mut doubtful: bool) -> Given<Fate> {
        loop {
            let done = if is_only_whole(item) {
                self.of_whole(item)
            } else if doubtful && can_be_searched(&item.sighting) {
                match self.search_for(std::slice::from_ref(item), true) {
                    Ok(rows) => self.complete(item, &rows),
                    // What cannot be asked for is sent: twice is better than never.
                    Err(Failure::Final(e)) if e.kind() == Kind::Untrusted => {
                        doubtful = false;
                        continue;
                    }
                    Err(failure) => Err(failure),
                }
            } else {
                self.request()
                    .and_then(|()| add(&self.client, whose(&item.sighting, &mut [""; 1]), mark(&item.sighting)))
            };
            let done = match done {
                Ok(Verdict::Refused(_)) if item.listed => self.spelled_otherwise(item).map(|found| found.or(done.ok())),
                Ok(Verdict::Added) if is_of_several(item) => self.spelled_otherwise(item).map(|_| Some(Verdict::Added)),
                done => done.map(Some),
            };
            match done {
                Ok(verdict) => return Ok(verdict.map_or(Fate::Unknown, fate)),
                Err(failure) => self.wait(failure, retry, &mut doubtful)?,
            }
        }
    }

    /// A value that the cache lists and MISP does not find by it: attributes that have it
    /// in another form get the sighting one by one, where they do not have it yet.
    fn spelled_otherwise(&self, item: &Item) -> Result<Option<Verdict>, Failure> {
        let Some(other) = other(item.sighting.subject.text()) else { return Ok(None) };
        self.request()?;
        let mut rows = match &other {
            Other::Value(value) => search(&self.client, Search::Values(&[value]), true)?,
            Other::Endings(endings, _) => search(&self.client, Search::Addresses(endings), true)?,
        };
        rows.retain(|row| match &other {
            Other::Value(value) => row.has(value),
            Other::Endings(_, network) => is_network(&row.value, network),
        });
        self.mark_each(rows.iter(), mark(&item.sighting))?;
        Ok((!rows.is_empty()).then_some(Verdict::Added))
    }

    /// A value that MISP would take for a port as well: the attributes that are this get the
    /// sighting one by one.
    fn of_whole(&self, item: &Item) -> Result<Verdict, Failure> {
        let value = item.sighting.subject.text();
        self.request()?;
        let mut rows = search(&self.client, Search::Whole(value), true)?;
        rows.retain(|row| row.value.eq_ignore_ascii_case(value));
        self.mark_each(rows.iter(), mark(&item.sighting))?;
        let none = || Verdict::Refused("MISP has it only as the half of other values".to_owned());
        Ok(if rows.is_empty() { none() } else { Verdict::Added })
    }

    /// Adds the sighting to those that do not show it.
    fn mark_each<'a>(&self, rows: impl Iterator<Item = &'a Seen>, mark: Mark<'_>) -> Result<(), Failure> {
        let organisation = self.organisation()?;
        for row in rows.filter(|row| !row.is_marked(mark, organisation)) {
            self.request()?;
            add(&self.client, Whose::Attribute(row.id), mark)?;
        }
        Ok(())
    }

    /// Whether there is another try: waits for it then.
    fn wait(&self, failure: Failure, retry: &mut Retry, doubtful: &mut bool) -> Given<()> {
        let refusal = match &failure {
            // MISP has read this request, and will say the same of it another time.
            Failure::Final(e) if e.kind() == Kind::Untrusted => Some(e.to_string()),
            _ => None,
        };
        if let Some(why) = refusal {
            return Err((Fate::Refused(why), None));
        }
        let answers = matches!(failure, Failure::Passing(_));
        *doubtful |= answers;
        let so_far = if *doubtful { Fate::Unknown } else { Fate::Unsent };
        let waited = if self.stopped() {
            return Err((so_far, None));
        } else if self.is_patient() || matches!(failure, Failure::RateLimited(_)) {
            retry.wait(failure, false, &|| self.stopped())
        } else {
            Err(failure.into_error())
        };
        waited.map_err(|error| {
            let fate = if answers { Fate::Failed(error.to_string()) } else { so_far };
            (fate, Some(error))
        })
    }

    /// Adds the sighting where MISP's rows do not show it.
    fn complete(&self, item: &Item, rows: &[Seen]) -> Result<Verdict, Failure> {
        let (mark, organisation) = (mark(&item.sighting), self.organisation()?);
        let of_it = |row: &&Seen| match &item.sighting.subject {
            Subject::Value(value) => row.has(value),
            Subject::Uuid(uuid) => row.uuid == *uuid,
        };
        if !rows.iter().filter(of_it).any(|row| row.is_marked(mark, organisation)) {
            self.request()?;
            return add(&self.client, whose(&item.sighting, &mut [""; 1]), mark);
        }
        // MISP was ended in the middle: only what is missing is added.
        self.mark_each(rows.iter().filter(of_it), mark)?;
        Ok(Verdict::Added)
    }

    fn organisation(&self) -> Result<Option<&str>, Failure> {
        if self.organisation.get().is_none() {
            self.request()?;
            let found = organisation(&self.client)?;
            // Another connection may have asked the same meanwhile.
            let _ = self.organisation.set(found);
        }
        Ok(self.organisation.get().and_then(Option::as_deref))
    }

    fn search_for(&self, items: &[Item], with_sightings: bool) -> Result<Vec<Seen>, Failure> {
        self.request()?;
        let values: Vec<&str> = items.iter().map(|item| item.sighting.subject.text()).collect();
        let what = match items {
            [Item { sighting: Sighting { subject: Subject::Uuid(uuid), .. }, .. }] => Search::Uuid(uuid),
            _ => Search::Values(&values),
        };
        let rows = search(&self.client, what, with_sightings)?;
        if rows.len() >= SEARCH_ROWS {
            log::debug!("{} values have {SEARCH_ROWS} attributes or more", items.len());
        }
        Ok(rows)
    }

    /// Waits for the turn of a request.
    fn request(&self) -> Result<(), Failure> {
        let turn = {
            let mut next = lock(&self.pace.next);
            let turn = (*next).max(Instant::now());
            *next = turn + self.pace.gap;
            turn
        };
        thread::sleep(turn.saturating_duration_since(Instant::now()));
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn can_be_searched(sighting: &Sighting) -> bool {
    match &sighting.subject {
        Subject::Value(value) => is_searchable(value),
        Subject::Uuid(_) => true,
    }
}

/// Whether MISP would take the listed value for a port too.
fn is_only_whole(item: &Item) -> bool {
    item.listed && matches!(&item.sighting.subject, Subject::Value(value) if is_port(value))
}

/// Whether MISP may have the listed value in several ways, of which it finds one.
fn is_of_several(item: &Item) -> bool {
    item.listed && matches!(&item.sighting.subject, Subject::Value(value) if has_others(value))
}

/// Whether it takes more than one request or another than the common one.
fn goes_alone(item: &Item) -> bool {
    is_only_whole(item) || is_of_several(item)
}

fn whose<'a>(sighting: &'a Sighting, one: &'a mut [&'a str; 1]) -> Whose<'a> {
    match &sighting.subject {
        Subject::Value(value) => {
            one[0] = value;
            Whose::Values(one)
        }
        Subject::Uuid(uuid) => Whose::Uuid(uuid),
    }
}

fn mark(sighting: &Sighting) -> Mark<'_> {
    Mark { kind: sighting.kind as u8, source: &sighting.source, at: sighting.at }
}

fn fate(verdict: Verdict) -> Fate {
    match verdict {
        Verdict::Added => Fate::Sent,
        Verdict::Refused(why) => Fate::Refused(why),
    }
}
