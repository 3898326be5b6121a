//! `load`: one pass, and its report.

use super::{json_line, print, state_directory};
use crate::cli::Load;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::pass::progress::Progress;
use crate::pass::run::{Options, run as pass};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};

pub(super) fn run(config: &Config, flags: &Load, quiet: bool) -> Result<u8> {
    let directory = state_directory(config)?;
    let options = Options { full: flags.full, dry_run: flags.dry_run, allow_shrink: flags.allow_shrink };
    let progress = Progress::new(!quiet && !flags.json);
    // In a dry run the difference is the result; with --json only the report is.
    let mut difference: Box<dyn Write> =
        if flags.json { Box::new(io::sink()) } else { Box::new(BufWriter::new(io::stdout().lock())) };
    let result = pass(config, &directory, options, &progress, &mut difference);
    let flushed = difference.flush();
    drop(difference);
    progress.end();
    let report = result?;
    if let Err(e) = flushed
        && e.kind() != ErrorKind::BrokenPipe
    {
        return Err(Error::new(Kind::CannotWrite, format!("standard output: {e}")));
    }
    report.warnings().iter().for_each(|w| log::warn!("{w}"));
    if flags.json {
        print(&json_line(&report)?)?;
    } else if io::stdout().is_terminal() {
        print(report.table().as_bytes())?;
    } else {
        log::info!("{}", report.line());
    }
    // What was refused, thrown out again or not delivered is not there for the readers.
    let thrown_out = report.memcached.iter().any(|server| server.evicted_now > 0);
    let lost = report.keys_refused > 0 || thrown_out || !report.unreachable.is_empty();
    Ok(if lost { Kind::Unavailable.exit_code() } else { 0 })
}
