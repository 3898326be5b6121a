//! The one writer: messages, MISP's answers and passes, one after the other.

mod looks;

use self::looks::UnderWay;
use super::decide::Rules;
use super::inbox::{Fetched, Inbox, Work};
use super::notify::Notify;
use super::pending::Adds;
use super::schedule::Schedule;
use crate::atomic_file;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::lock::Lock;
use crate::metrics;
use crate::misp::client::{Client, local_now};
use crate::misp::live::source::Stop;
use crate::misp::live::transport::Transport;
use crate::pass::between::Between;
use crate::pass::progress::Progress;
use crate::pass::run::{self as pass, Options};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a signal may go unnoticed.
const ROUND: Duration = Duration::from_millis(200);

/// How long the first pass waits for the line: one that comes up later needs a pass of its
/// own. A Kafka group takes three seconds to join.
const FIRST_LINE: Duration = Duration::from_secs(6);

/// Name of the file in the state directory that says how `follow` is doing.
pub const FILE_NAME: &str = "follow.json";

/// Follows MISP's messages until a signal comes.
///
/// # Errors
/// [`Kind::Config`]: neither `zmq` nor `kafka` is configured, or this program was built
/// without it; [`Kind::Locked`], [`Kind::CannotWrite`]; and [`Kind::Refused`] where the
/// first pass meets it.
pub fn run(config: &Config, directory: &Path) -> Result<()> {
    let transport = Transport::of(config)?;
    // Whatever the configuration has wrong is told before a thread is begun.
    let client = Client::new(&config.misp)?;
    let lock = pass::lock(directory)?;
    let notify = Notify::from_environment();
    let inbox = Arc::new(Inbox::new(Rules::new(config), transport.is_unordered()));
    let stop = Stop::default();
    let source = {
        let (inbox, stop, transport) = (Arc::clone(&inbox), stop.clone(), transport.clone());
        thread::spawn(move || {
            if let Err(e) = transport.run(&*inbox, &stop) {
                inbox.end(e);
            }
        })
    };
    let now = Instant::now();
    let refresh = config.misp.refresh_event_timestamp.duration();
    let falco = config.falco.enabled.then(|| config.falco.min_interval.duration());
    let mut writer = Writer {
        config,
        directory,
        lock: &lock,
        inbox: &inbox,
        notify: &notify,
        client,
        between: None,
        ahead: 0,
        schedule: Schedule::new(refresh, falco, config.memcached.timeout.duration(), now),
        first: true,
        look: None,
    };
    let result = writer.run();
    notify.stopping();
    stop.now();
    // The source may still have offsets to commit for what was settled at the end.
    let _ = source.join();
    inbox.close();
    writer.write_counts();
    if result.is_ok() {
        // Who ended it knows that it does not run.
        let _ = std::fs::remove_file(directory.join(FILE_NAME));
    }
    result
}

struct Writer<'a> {
    config: &'a Config,
    directory: &'a Path,
    lock: &'a Lock,
    inbox: &'a Arc<Inbox>,
    notify: &'a Notify,
    client: Client,
    /// `None` before the first pass, and where memcached is away.
    between: Option<Between<'a>>,
    /// MISP's clock less ours.
    ahead: i64,
    schedule: Schedule,
    /// No pass has gone well yet.
    first: bool,
    look: Option<UnderWay>,
}

impl Writer<'_> {
    fn run(&mut self) -> Result<()> {
        self.wait_for_line()?;
        while !interrupt::requested() {
            self.notify.round();
            let now = Instant::now();
            if self.schedule.counts_are_due(now) {
                self.write_counts();
            }
            if self.schedule.pass_is_due(now) {
                self.pass(false)?;
                continue;
            }
            self.look_after_memcached(now);
            if self.schedule.falco_is_due(now) {
                self.write_falco()?;
            }
            let until = self.schedule.next().min(now + ROUND);
            let work = self.inbox.take(until, self.looks());
            self.work(work)?;
        }
        // What was taken in is brought to its end.
        let rest = self.inbox.take(Instant::now(), self.looks());
        self.apply(rest.adds, &rest.gone)?;
        self.between.as_mut().map_or(Ok(()), Between::settle)
    }

    /// From when on MISP may be asked for events; `None`: nothing can be applied now.
    fn looks(&self) -> Option<Instant> {
        self.between.as_ref().map(|_| self.schedule.next_look())
    }

    /// A pass that begins before the line is up would have to be made again.
    fn wait_for_line(&mut self) -> Result<()> {
        let until = Instant::now() + FIRST_LINE;
        while !interrupt::requested() && Instant::now() < until {
            let work = self.inbox.take(until.min(Instant::now() + ROUND), None);
            if let Some(e) = work.ended {
                return Err(e);
            }
            if work.came_up {
                log::info!("messages come");
                break;
            }
            if self.inbox.counts(|c| !c.last_error.is_empty()) {
                break;
            }
        }
        Ok(())
    }

    fn work(&mut self, work: Work) -> Result<()> {
        if let Some(e) = work.ended {
            return Err(e);
        }
        if work.came_up {
            log::info!("messages come (again): a pass finds what was missed");
            self.schedule.want_pass(Instant::now());
        }
        if work.went_down {
            // Who watches need not wait for the next time.
            self.write_counts();
        }
        self.apply(work.adds, &work.gone)?;
        match work.fetched {
            Some(Fetched::Batch(batch)) => self.answered(*batch)?,
            Some(Fetched::End(result)) => self.looked(result)?,
            None => {}
        }
        if work.everything && !self.schedule.is_failing() {
            return self.pass(true);
        }
        let now = Instant::now();
        let due = work.next_look.is_some_and(|due| due <= now);
        if due && self.schedule.next_look() <= now && self.look.is_none() {
            self.begin_look(now)?;
        }
        Ok(())
    }

    fn apply(&mut self, adds: Option<Adds>, gone: &[u64]) -> Result<()> {
        let Some(between) = &mut self.between else { return Ok(()) };
        if adds.is_none() && gone.is_empty() {
            return Ok(());
        }
        self.schedule.changed(Instant::now());
        let mut done = Ok(());
        if let Some(Adds { events, since }) = adds {
            let count: usize = events.values().map(Vec::len).sum();
            done = between.add(events).map(|unknown| {
                self.inbox.pending(|p| p.ask_anew(unknown, Instant::now()));
                self.inbox.counts(|c| {
                    c.added += count as u64;
                    c.lagged(since.elapsed().as_secs_f64());
                });
            });
        }
        if done.is_ok() && !gone.is_empty() {
            done = between.remove(gone);
        }
        // What failed is marked in the ledger and repaired by the next pass; but an event
        // that goes is not.
        if done.is_err() {
            let now = Instant::now();
            self.inbox.pending(|p| p.put_gone_back(gone, now));
        }
        self.inbox.pending(|p| p.done());
        done.or_else(|e| self.stumble(e))
    }

    /// memcached is away: a pass puts it right when it is back. What else fails ends the run.
    fn stumble(&mut self, e: Error) -> Result<()> {
        if e.kind() != Kind::Unavailable {
            return Err(e);
        }
        log::warn!("{e}; what waits is applied when memcached is back");
        self.inbox.counts(|c| c.last_error = e.to_string());
        self.close_between();
        self.schedule.want_pass(Instant::now());
        Ok(())
    }

    fn close_between(&mut self) {
        self.between = None;
        self.give_up_look(false);
    }

    fn look_after_memcached(&mut self, now: Instant) {
        let due = self.schedule.ping_is_due(now);
        let Some(between) = &mut self.between else { return };
        if between.is_back() || due && between.is_unwell() {
            log::info!("a memcached server is back, or lost its keys: a pass makes it right");
            self.close_between();
            self.schedule.want_pass(now);
        }
    }

    fn pass(&mut self, full: bool) -> Result<()> {
        if let Some(between) = &mut self.between {
            between.settle()?;
        }
        self.close_between();
        // What messages brought a moment ago may be missing in the answers of this pass.
        let (begun, lately) = self.inbox.pending(|p| (p.last(), p.recent().events(Instant::now())));
        let started = local_now();
        self.notify.in_pass(true);
        let options = Options { full, ..Options::default() };
        let result = pass::run_under(self.lock, self.config, self.directory, options, &Progress::new(false));
        self.notify.in_pass(false);
        metrics::pass(self.config, self.directory, &result, Some(&self.inbox.counts(|c| c.clone())));
        let now = Instant::now();
        let passed = result.map(|report| {
            report.warnings().iter().for_each(|w| log::warn!("{w}"));
            log::info!("{}", report.line());
            self.ahead = report.misp_time.cast_signed().saturating_sub(started.cast_signed());
        });
        let opened = match passed {
            Err(e) if self.is_fatal(&e) => return Err(e),
            passed => {
                let opened = Between::open(self.config, self.directory, self.ahead).and_then(|mut between| {
                    if let (Some(between), Err(_)) = (&mut between, &passed) {
                        between.pass_failed()?;
                    }
                    Ok(between)
                });
                passed.and(opened.map(|between| self.between = between))
            }
        };
        self.inbox.set_ahead(self.ahead);
        match opened {
            Ok(()) => {
                self.first = false;
                self.schedule.passed(now);
                self.inbox.pending(|p| {
                    if full {
                        p.everything_done(begun);
                    }
                    p.make_sure(lately, now);
                });
                self.inbox.counts(|c| {
                    c.passes += 1;
                    c.last_pass = local_now();
                });
            }
            Err(e) if self.is_fatal(&e) => return Err(e),
            Err(e) if e.kind() == Kind::Interrupted => {}
            Err(e) => {
                let wait = self.schedule.pass_failed(now);
                log::error!("the pass failed: {e}; the next one is in {} s", wait.as_secs());
                self.inbox.counts(|c| {
                    c.failed_passes += 1;
                    c.last_error = e.to_string();
                });
            }
        }
        // Also where MISP is away: messages are applied, and passes go on being tried.
        self.notify.ready();
        self.write_counts();
        Ok(())
    }

    /// Whether there is no use in going on.
    fn is_fatal(&self, e: &Error) -> bool {
        match e.kind() {
            Kind::Unavailable | Kind::Untrusted | Kind::Interrupted => false,
            // A key that worked may work again.
            Kind::Refused => self.first,
            Kind::Usage | Kind::Bug | Kind::CannotWrite | Kind::Locked | Kind::Config => true,
        }
    }

    fn write_falco(&self) -> Result<()> {
        let Some(between) = &self.between else { return Ok(()) };
        let written = between.write_falco()?.map(|falco| falco.written).unwrap_or_default();
        if !written.is_empty() {
            log::info!("written for Falco: {}", written.join(", "));
        }
        Ok(())
    }

    /// Writes down what was counted, for `status`, and tells systemd.
    fn write_counts(&mut self) {
        let counts = self.inbox.counts(|c| {
            c.now = local_now();
            c.clone()
        });
        self.notify.status(&counts.line());
        metrics::follow(self.config, self.directory, &counts);
        let text = serde_json::to_vec(&counts).unwrap_or_default();
        if let Err(e) = atomic_file::replace_if_changed(&self.directory.join(FILE_NAME), &text, 0o644) {
            log::warn!("{e}");
        }
    }
}
