//! `sighting`: what was seen goes back to MISP.
//!
//! [`intake`] takes sightings into the spool, [`send`] sends what waits there, by
//! way of [`post`]; [`listen`] does both until it is told to end. Between the two
//! stands the disk, so that nothing that was taken is lost.

mod intake;
mod listen;
mod post;
mod report;
mod send;
mod stdin;

use super::{print, state_directory};
use crate::cli;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::sighting::input::Defaults;
use crate::sighting::spool::Spool;
use crate::sighting::units::{Unit, Units};
use crate::sighting::{self, Sighting};
use crate::{interrupt, state};
use intake::Intake;
use report::Report;
use send::Sending;
use std::io::BufReader;
use std::time::{Duration, Instant};

/// Standard input is read in pieces of this size.
const INPUT_BYTES: usize = 256 * 1024;

/// Sightings after which those read so far are taken, though more are at hand.
const COLLECT: usize = 5_000;

/// A stream without a pause is interrupted so often, to send what was taken.
const WITHOUT_PAUSE: Duration = Duration::from_secs(5);

/// What is asked for, from flags and configuration.
struct Terms {
    defaults: Defaults,
    window: u64,
    unlisted: bool,
}

impl Terms {
    fn new(config: &Config, flags: &cli::Sighting) -> Result<Terms> {
        let source = flags.source.as_deref().unwrap_or(&config.sighting.source);
        let source = sighting::source(source).map_err(|why| Error::new(Kind::Usage, format!("--source: {why}")))?;
        Ok(Terms {
            defaults: Defaults { kind: flags.kind, source, now: 0 },
            window: flags.window.unwrap_or(config.sighting.window).as_secs(),
            unlisted: flags.unlisted,
        })
    }

    fn spool(&self, config: &Config) -> Result<Spool> {
        let directory = state_directory(config)?;
        Ok(Spool::new(&directory, self.window, config.sighting.spool_mib << 20))
    }
}

pub(super) fn run(config: &Config, flags: &cli::Sighting) -> Result<u8> {
    let terms = Terms::new(config, flags)?;
    let mut report = Report::default();
    if flags.dry_run {
        let mut intake = Intake::new(config, &terms, terms.spool(config)?, true);
        intake.look()?;
        each_batch(&terms, flags, |read, _| {
            let lines = intake.try_out(read, &mut report)?;
            print(lines.as_bytes()).map(drop)
        })?;
        return finish(&report, flags.json);
    }
    state::make(&state_directory(config)?)?;
    if let Some(address) = &flags.listen {
        return listen::run(config, &terms, address);
    }
    let mut intake = Intake::new(config, &terms, terms.spool(config)?, false);
    let mut sending = Sending::new(config, &terms)?;
    // Nothing is lost where sending fails: the end is that of the last attempt.
    let mut ended = Ok(());
    let mut last = Instant::now();
    let taken = each_batch(&terms, flags, |read, more| {
        intake.take(read, &mut report)?;
        if (!more || last.elapsed() > WITHOUT_PAUSE) && sending.is_due() {
            ended = sending.run(&mut report, &[]);
            last = Instant::now();
        }
        Ok(())
    });
    if sending.is_due() || taken.is_err() {
        ended = sending.run(&mut report, intake.waiting());
    } else {
        report.waiting = sending.waiting()?;
    }
    taken?;
    let code = finish(&report, flags.json)?;
    match ended {
        // What hangs in the air is told by the code; what somebody has to mend is told first.
        Err(e) if e.kind() == Kind::Unavailable || e.kind() == Kind::Untrusted => {
            log::error!("{e}; {} wait for the next run", report.waiting);
            Ok(code)
        }
        Err(e) => Err(e.context(format!("{} sightings wait for the next run", report.waiting))),
        Ok(()) => Ok(code),
    }
}

/// What one line or argument says, with its place in the input.
type Read = (String, std::result::Result<Sighting, String>);

/// Hands over what stands in the arguments or comes from standard input, in batches;
/// with whether more is at hand.
fn each_batch(terms: &Terms, flags: &cli::Sighting, mut each: impl FnMut(Vec<Read>, bool) -> Result<()>) -> Result<()> {
    let read = |place: &str, text: &str| -> Vec<Read> {
        let defaults = Defaults { now: crate::misp::client::local_now(), ..terms.defaults.clone() };
        sighting::input::read(text, true, &defaults).into_iter().map(|one| (place.to_owned(), one)).collect()
    };
    if flags.values != ["-"] {
        let all: Vec<Read> = flags.values.iter().flat_map(|value| read("argument", value)).collect();
        return each(all, true);
    }
    let mut batch = Vec::new();
    for unit in Units::new(BufReader::with_capacity(INPUT_BYTES, stdin::Stdin)) {
        match unit {
            Ok((number, Unit::Text(text))) => batch.extend(read(&format!("line {number}"), &text)),
            Ok((_, Unit::TooLong(number))) => {
                batch.push((format!("line {number}"), Err("a line that is too long".to_owned())));
            }
            Ok((_, Unit::Pause)) => each(std::mem::take(&mut batch), false)?,
            Err(e) => {
                each(std::mem::take(&mut batch), true)?;
                return Err(Error::new(Kind::Usage, format!("standard input cannot be read: {e}")));
            }
        }
        if batch.len() >= COLLECT {
            each(std::mem::take(&mut batch), true)?;
        }
        if interrupt::requested() {
            break;
        }
    }
    each(batch, true)
}

fn finish(report: &Report, json: bool) -> Result<u8> {
    report.show(json)?;
    Ok(report.exit_code())
}
