//! `share`: detections from standard input, events into MISP.
//!
//! Input is read to its end, or as long as it comes: after a pause what has gathered is
//! sent. What MISP cannot take now waits in the state directory for the next run.

mod lines;
mod spool;

use super::{print, state_directory, warned};
use crate::cli::{Cli, EventPer, Share};
use crate::config::{self, Sources, ThreatLevel};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::misp::client::Client;
use crate::misp::draft::Draft;
use crate::misp::event::{Done, Events, Outcome};
use crate::share::event::{LeftOut, Terms};
use crate::share::exclude::Exclude;
use crate::share::input::detection;
use crate::share::pending::{Pending, Seen};
use crate::share::withheld::Withheld;
use spool::Spool;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// Some events or lines were refused; the rest is done.
const REFUSED: u8 = 65;

/// Events that gather before they are sent, however fast more come: what is in memory is
/// lost if the machine stops.
const MAX_GATHERED: usize = 1000;

/// Input that pauses so long may not go on: what has gathered is sent.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a signal is looked for while nothing comes.
const POLL: Duration = Duration::from_millis(100);

/// So long a MISP that is down is not asked again while more detections come.
const HOLD_OFF: Duration = Duration::from_secs(30);

/// The most of a line that a message shows.
const SHOWN: usize = 80;

/// What the environment calls MISP's address.
const URL_VARIABLE: &str = "MISP_URL";

/// How many events wait in this state directory.
pub(super) fn waiting(directory: &Path) -> usize {
    spool::files(directory).len()
}

pub(super) fn run(cli: &Cli, flags: &Share) -> Result<u8> {
    let terms = terms(flags)?;
    if flags.dry_run {
        let mut desk = Desk::new(flags, terms);
        desk.take_all(&mut |_| Ok(()))?;
        for draft in desk.pending.take() {
            let mut body = draft.body().map_err(|e| Error::new(Kind::Bug, format!("JSON cannot be written: {e}")))?;
            body.push(b'\n');
            print(&body)?;
        }
        return Ok(if desk.unread + desk.unusable > 0 { REFUSED } else { 0 });
    }
    let mut sources = Sources::from_process(cli.config.clone());
    if let Some(server) = &flags.server {
        sources.env.insert(URL_VARIABLE.into(), server.clone());
    }
    let config = warned(config::load(&sources).map_err(|e| server_named(e, flags))?)?.config;
    let client = Client::new(&config.misp)?;
    let spool = Spool::new(&state_directory(&config)?, client.url());
    let mut post = Post {
        client: &client,
        publish: !flags.no_publish,
        json: flags.json,
        spool,
        trouble: None,
        down: None,
        lost: None,
    };
    let mut desk = Desk::new(flags, terms);
    desk.take_all(&mut |desk| post.deliver(desk))?;
    post.deliver(&mut desk)?;
    desk.tell();
    post.code(&desk)
}

/// The message of a wrong `--server` names the flag that was used.
fn server_named(e: Error, flags: &Share) -> Error {
    if flags.server.is_some() && e.to_string().starts_with(URL_VARIABLE) { e.context("--server") } else { e }
}

fn terms(flags: &Share) -> Result<Terms> {
    let mut exclude = Exclude::default();
    let usage = |text: String| Error::new(Kind::Usage, text);
    for list in &flags.exclude {
        exclude.add(list).map_err(|why| usage(format!("--exclude: {why}")))?;
    }
    for file in &flags.exclude_file {
        let named = |why: String| usage(format!("--exclude-file {}: {why}", file.display()));
        let text = fs::read_to_string(file).map_err(|e| named(e.to_string()))?;
        exclude.add(&text).map_err(named)?;
    }
    let level = flags.threat_level.map(|level| match level {
        1 => ThreatLevel::High,
        2 => ThreatLevel::Medium,
        3 => ThreatLevel::Low,
        _ => ThreatLevel::Undefined,
    });
    Ok(Terms {
        ids: flags.ids == 1,
        distribution: if flags.sharing_group.is_some() { 4 } else { flags.distribution.unwrap_or(0) },
        sharing_group: flags.sharing_group.map(|id| id.to_string()),
        level,
        tags: flags.tag.iter().map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect(),
        sensor: flags.sensor.trim().to_owned(),
        per_day: flags.event_per == EventPer::Day,
        withheld: Withheld::new(exclude),
    })
}

/// Where detections become events.
struct Desk<'a> {
    flags: &'a Share,
    terms: Terms,
    pending: Pending,
    seen: Seen,
    detections: usize,
    /// Those that bring nothing that another did not bring before.
    again: usize,
    /// Those of which nothing is left.
    withheld: usize,
    /// Lines that are none.
    unread: usize,
    /// Values that cannot be what they are called.
    unusable: usize,
    counts: Counts,
}

/// What became of the events.
#[derive(Default)]
struct Counts {
    added: usize,
    updated: usize,
    unchanged: usize,
    withdrawn: usize,
    refused: usize,
    /// Those of which MISP did not take a part.
    partly: usize,
}

impl<'a> Desk<'a> {
    fn new(flags: &'a Share, terms: Terms) -> Desk<'a> {
        let (pending, seen, counts) = (Pending::default(), Seen::default(), Counts::default());
        Desk { flags, terms, pending, seen, detections: 0, again: 0, withheld: 0, unread: 0, unusable: 0, counts }
    }

    /// Takes lines until there are no more or a signal comes; calls `send` where it is time to.
    fn take_all(&mut self, send: &mut dyn FnMut(&mut Desk) -> Result<()>) -> Result<()> {
        let lines = lines::lines(io::stdin());
        let mut number = 0;
        let mut last = Instant::now();
        while !interrupt::requested() {
            match lines.recv_timeout(POLL) {
                Ok(line) => {
                    number += 1;
                    last = Instant::now();
                    self.take(number, line);
                    if self.pending.len() >= MAX_GATHERED && !self.flags.dry_run {
                        send(self)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) if last.elapsed() >= PAUSE && !self.pending.is_empty() => send(self)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, number: usize, line: lines::Line) {
        let read = match &line {
            Ok(line) => detection(self.flags.from, line, self.flags.user_identity),
            Err(e) => Err(e.to_string()),
        };
        let detection = match read {
            Ok(None) => return,
            Ok(Some(detection)) => detection,
            Err(why) => {
                self.unread += 1;
                let shown: String = line.unwrap_or_default().chars().filter(|c| !c.is_control()).take(SHOWN).collect();
                log::error!("line {number} is no detection: {why}: {shown}");
                return;
            }
        };
        self.detections += 1;
        if !self.seen.first(&detection) {
            self.again += 1;
            return;
        }
        let built = self.terms.build(detection);
        for LeftOut { kind, value, why, withheld } in &built.left_out {
            if *withheld {
                log::debug!("line {number}: {kind} {value:?} is left out: {why}");
            } else {
                log::error!("line {number}: {kind} {value:?} is left out: {why}");
                self.unusable += 1;
            }
        }
        match built.draft {
            Some(draft) => {
                self.pending.add(draft);
            }
            None => self.withheld += 1,
        }
    }

    fn count(&mut self, done: &Done) {
        match done.result {
            Outcome::Added => self.counts.added += 1,
            Outcome::Updated => self.counts.updated += 1,
            Outcome::Unchanged => self.counts.unchanged += 1,
            Outcome::Withdrawn => self.counts.withdrawn += 1,
            Outcome::Refused => self.counts.refused += 1,
        }
        if done.result != Outcome::Refused && !done.problems.is_empty() {
            self.counts.partly += 1;
        }
    }

    fn tell(&self) {
        let Desk { detections, again, withheld, unread, .. } = self;
        let Counts { added, updated, unchanged, withdrawn, refused, partly } = self.counts;
        log::info!(
            "{detections} detections: {again} seen before, {withheld} with nothing that may leave; {unread} lines are none"
        );
        log::info!(
            "events: {added} added, {updated} updated, {unchanged} unchanged, {withdrawn} withdrawn in MISP, {refused} refused, \
             {partly} taken in part"
        );
    }
}

/// The way to MISP, and what waits for it.
struct Post<'a> {
    client: &'a Client,
    publish: bool,
    json: bool,
    spool: Spool,
    /// Why MISP takes nothing at present.
    trouble: Option<Error>,
    /// When MISP was found to take nothing.
    down: Option<Instant>,
    /// Why something is lost.
    lost: Option<Error>,
}

impl Post<'_> {
    /// Sends what waits in the state directory, then what has gathered. What cannot be
    /// sent waits.
    fn deliver(&mut self, desk: &mut Desk) -> Result<()> {
        let mut down = self.down.is_some_and(|since| since.elapsed() < HOLD_OFF);
        if !down {
            self.trouble = None;
        }
        for file in self.spool.files() {
            if down {
                break;
            }
            let Some(waiting) = self.spool.read(&file) else { continue };
            match self.send(&waiting.draft, waiting.publish, desk)? {
                Ok(()) => self.spool.done(&file),
                Err(e) => down = self.is_down(e),
            }
        }
        for draft in desk.pending.take() {
            if !down {
                match self.send(&draft, self.publish, desk)? {
                    Ok(()) => continue,
                    Err(e) => down = self.is_down(e),
                }
            }
            let (uuid, info) = (draft.uuid.clone(), draft.info.clone());
            desk.pending.sent(&draft);
            if let Err(e) = self.spool.keep(draft, self.publish) {
                log::error!("event {uuid} ({info}) is lost: {e}");
                self.lost = Some(e);
            }
        }
        Ok(())
    }

    /// Whether the next event need not be tried. One that MISP chokes on must not hold
    /// up all others, so a MISP that failed is asked for something small.
    fn is_down(&mut self, e: Error) -> bool {
        let of_one = matches!(e.kind(), Kind::Unavailable | Kind::Untrusted);
        let down = !of_one || self.client.get("/servers/getVersion").is_err();
        self.down = down.then(Instant::now);
        self.trouble = Some(e);
        down
    }

    /// Sends one event; the inner error: not now.
    fn send(&self, draft: &Draft, publish: bool, desk: &mut Desk) -> Result<Result<()>> {
        if interrupt::requested() {
            return Ok(Err(Error::new(Kind::Interrupted, "interrupted")));
        }
        let done = match Events::new(self.client, publish, &interrupt::requested).share(draft) {
            Ok(done) => done,
            Err(e) => return Ok(Err(e)),
        };
        for problem in &done.problems {
            log::error!("event {} ({}): {}: {}", done.uuid, draft.info, problem.what, problem.why);
        }
        desk.count(&done);
        desk.pending.sent(draft);
        let line = if self.json { super::json_line(&done)? } else { text(&done, draft) };
        print(&line)?;
        Ok(Ok(()))
    }

    fn code(mut self, desk: &Desk) -> Result<u8> {
        if let Some(e) = self.lost {
            return Err(e);
        }
        if let Some(e) = self.trouble {
            let waiting = self.spool.files().len();
            let place = self.spool.directory().display();
            return Err(Error::new(
                e.kind(),
                format!("{e}\n{waiting} events wait in {place} for the next run of share"),
            ));
        }
        let refused = desk.unread + desk.unusable + desk.counts.refused + desk.counts.partly;
        Ok(if refused > 0 { REFUSED } else { 0 })
    }
}

/// What was done for an event, for people.
fn text(done: &Done, draft: &Draft) -> Vec<u8> {
    let what = match done.result {
        Outcome::Added => "added",
        Outcome::Updated => "updated",
        Outcome::Unchanged => "unchanged",
        Outcome::Withdrawn => "withdrawn in MISP, left alone",
        Outcome::Refused => "refused",
    };
    let number = if done.event.is_empty() { String::new() } else { format!(" (event {})", done.event) };
    let published = if done.published { "published" } else { "not published" };
    let (uuid, attributes, info) = (&done.uuid, done.attributes, &draft.info);
    format!("{uuid}{number}: {what}, {attributes} attributes added, {published}: {info}\n").into_bytes()
}
