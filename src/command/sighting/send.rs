//! What waits in the spool goes to MISP, oldest first. One run at a time has the
//! right to send; another one waits for a moment, and then leaves it to that one.

use super::Terms;
use super::intake::{Cache, names};
use super::post::{Fate, Post};
use super::report::Report;
use crate::config::{Config, Misp, Span};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::lock::Lock;
use crate::misp::client::{Client, local_now};
use crate::sighting::Sighting;
use crate::sighting::batch::{Item, Job, jobs};
use crate::sighting::journal::Entry;
use crate::sighting::spool::Spool;
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Sightings that are begun at once: what a crash makes doubtful at most.
const CHUNK: usize = 500;

/// A hundred sightings take MISP some seconds: misp.timeout is meant for searches of
/// millions of rows.
const MAX_TIMEOUT: Span = Span::seconds(60);

/// How often MISP may fail on a sighting, in as many runs, while it takes others:
/// beyond that nobody waits for it any more.
const MAX_FAILURES: u32 = 5;

/// A run that stays counts such failures once in this time.
const BETWEEN_COUNTS: Duration = Duration::from_secs(600);

/// Seconds for which a run does not wait out failures, where one has done so before it:
/// one run for each line of a log must not wait each time.
const PATIENT_AFTER: u64 = 60;

/// How long another run that sends is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked for.
const POLL: Duration = Duration::from_millis(100);

/// While MISP cannot be reached a stream of sightings tries it so often, not at each of them.
const PAUSE: Duration = Duration::from_secs(5);

/// Those that MISP failed on, with the reason, and what ended the whole.
type Chunk = (Vec<(u64, String)>, Option<Error>);

/// Sends.
pub struct Sending {
    spool: Spool,
    post: Post,
    cache: Cache,
    failed: Option<Instant>,
    /// When failures were last counted.
    counted: Option<Instant>,
}

impl Sending {
    /// Nothing is sent yet.
    pub fn new(config: &Config, terms: &Terms) -> Result<Sending> {
        let timeout = config.misp.timeout.min(MAX_TIMEOUT);
        let client = Client::new(&Misp { timeout, ..config.misp.clone() })?;
        Ok(Sending {
            spool: terms.spool(config)?,
            post: Post::new(client, config.misp.connections, config.sighting.rate),
            cache: Cache::new(&config.memcached, true),
            failed: None,
            counted: None,
        })
    }

    /// Failures are not waited out: the caller comes again.
    pub fn be_impatient(&self) {
        self.post.be_impatient();
    }

    /// Whether MISP is worth trying again.
    pub fn is_due(&self) -> bool {
        self.failed.is_none_or(|at| at.elapsed() >= PAUSE)
    }

    /// How many wait.
    pub fn waiting(&mut self) -> Result<u64> {
        self.spool.refresh()?;
        Ok(self.spool.state().len() as u64)
    }

    /// Sends all that waits; `ours` are the numbers whose fate is of interest where
    /// another run sends.
    pub fn run(&mut self, report: &mut Report, ours: &[u64]) -> Result<()> {
        let Some(right) = self.right(report, ours)? else { return Ok(()) };
        self.spool.refresh()?;
        let now = local_now();
        if self.spool.state().down().is_some_and(|at| now.abs_diff(at) < PATIENT_AFTER) {
            self.post.be_impatient();
        }
        self.post.begin();
        let ended = self.all(report);
        if ended.is_err() {
            self.failed = Some(Instant::now());
            self.be_impatient();
        } else {
            self.failed = None;
        }
        if matches!(&ended, Err(e) if e.kind() != Kind::CannotWrite) {
            self.spool.note(&[Entry::Down(now)])?;
        }
        self.spool.tidy(local_now())?;
        report.waiting = self.spool.state().len() as u64;
        drop(right);
        ended
    }

    /// The right to send. `None`: another run has it, and has dealt with ours, or will.
    fn right(&mut self, report: &mut Report, ours: &[u64]) -> Result<Option<Lock>> {
        let begun = Instant::now();
        loop {
            if let Some(right) = self.spool.sender()? {
                return Ok(Some(right));
            }
            self.spool.refresh()?;
            let left = ours.iter().filter(|n| self.spool.state().waits(**n)).count();
            let in_vain = self.spool.state().down().is_some();
            if left == 0 || in_vain || begun.elapsed() > PATIENCE || interrupt::requested() {
                let refused: Vec<(&str, &str)> = ours.iter().filter_map(|n| self.spool.state().reason(*n)).collect();
                report.sent += (ours.len() - left - refused.len()) as u64;
                // What that run has before it besides is its own affair.
                report.waiting = left as u64;
                refused.iter().for_each(|(what, why)| report.refuse(what, why));
                log::info!("another run sends");
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }

    fn all(&mut self, report: &mut Report) -> Result<()> {
        let mut failed: BTreeMap<u64, (Item, String)> = BTreeMap::new();
        let before = report.sent + report.refused;
        while !self.post.is_over() {
            self.check(report)?;
            let items = self.spool.begin(CHUNK, &failed.keys().copied().collect())?;
            if items.is_empty() {
                break;
            }
            let by_number: BTreeMap<u64, Item> = items.iter().map(|item| (item.n, item.clone())).collect();
            let (bad, ended) = self.chunk(jobs(items), &by_number, report)?;
            if let Some(error) = ended {
                return Err(error);
            }
            failed.extend(bad.into_iter().filter_map(|(n, why)| Some((n, (by_number.get(&n)?.clone(), why)))));
        }
        let ill = report.sent + report.refused == before;
        match failed.values().next() {
            Some((_, why)) if ill => Err(Error::new(Kind::Unavailable, why.clone())),
            _ => self.give_up_on(failed, report),
        }
    }

    /// MISP fails on these, and takes others: after some runs nobody waits for them.
    fn give_up_on(&mut self, failed: BTreeMap<u64, (Item, String)>, report: &mut Report) -> Result<()> {
        // Of a run that stays each is not one run.
        if failed.is_empty() || self.counted.is_some_and(|at| at.elapsed() < BETWEEN_COUNTS) {
            return Ok(());
        }
        self.counted = Some(Instant::now());
        let mut entries = Vec::new();
        for (n, (item, why)) in failed {
            if item.failures + 1 < MAX_FAILURES {
                entries.push(Entry::Failed(vec![n]));
                continue;
            }
            let why = format!("MISP failed on it in {MAX_FAILURES} runs: {why}");
            let what = item.sighting.subject.text().to_owned();
            report.refuse(&what, &why);
            entries.push(Entry::Refused { n, what, why, at: local_now() });
        }
        self.spool.note(&entries)
    }

    /// Sends some, and notes what becomes of each as soon as it is known. Gives those that MISP failed on, and what ended it early.
    fn chunk(&mut self, jobs: Vec<Job>, items: &BTreeMap<u64, Item>, report: &mut Report) -> Result<Chunk> {
        let (told, fates) = mpsc::channel();
        let (post, spool) = (&mut self.post, &mut self.spool);
        let mut failed = Vec::new();
        let mut noted = Ok(());
        let ended = thread::scope(|scope| {
            let sending = scope.spawn(move || post.send(jobs, &told));
            while let Ok(first) = fates.recv() {
                let all: Vec<(u64, Fate)> = first.into_iter().chain(fates.try_iter().flatten()).collect();
                let (mut sent, mut unsent, mut entries) = (Vec::new(), Vec::new(), Vec::new());
                for (n, fate) in all {
                    match fate {
                        Fate::Sent => sent.push(n),
                        Fate::Unsent => unsent.push(n),
                        Fate::Unknown => {}
                        Fate::Failed(why) => failed.push((n, why)),
                        Fate::Refused(why) => {
                            let what = items.get(&n).map_or("", |item| item.sighting.subject.text()).to_owned();
                            report.refuse(&what, &why);
                            entries.push(Entry::Refused { n, what, why, at: local_now() });
                        }
                    }
                }
                report.sent += sent.len() as u64;
                entries.extend((!sent.is_empty()).then_some(Entry::Sent(sent)));
                entries.extend((!unsent.is_empty()).then_some(Entry::Unsent(unsent)));
                if noted.is_ok() {
                    noted = spool.note(&entries);
                }
            }
            sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        noted.map(|()| (failed, ended))
    }

    /// Asks the cache about those that came while it could not be asked.
    fn check(&mut self, report: &mut Report) -> Result<()> {
        loop {
            let unchecked = self.spool.state().unchecked(CHUNK);
            if unchecked.is_empty() {
                return Ok(());
            }
            let sightings: Vec<Sighting> = unchecked.iter().map(|added| added.sighting.clone()).collect();
            let Some(found) = self.cache.listed(&sightings)? else { return Ok(()) };
            let as_listed: Vec<(u64, Vec<Sighting>)> =
                unchecked.iter().map(|added| (added.n, names(&added.sighting, &found))).collect();
            report.unlisted += as_listed.iter().filter(|(_, names)| names.is_empty()).count() as u64;
            let taken = self.spool.checked(as_listed, local_now())?;
            report.folded += taken.folded;
            taken.refused.iter().for_each(|(what, why)| report.refuse(what, why));
        }
    }
}
