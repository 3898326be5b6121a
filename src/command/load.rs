//! `load`: one pass, and its report.

use super::{json_line, print, state_directory};
use crate::cli::Load;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::metrics;
use crate::pass::progress::Progress;
use crate::pass::run::{Options, run as pass};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};

pub(super) fn run(config: &Config, flags: &Load, quiet: bool) -> Result<u8> {
    let directory = state_directory(config)?;
    let options = Options { full: flags.full, dry_run: flags.dry_run, allow_shrink: flags.allow_shrink };
    let progress = Progress::new(!quiet && !flags.json);
    // In a dry run the difference is the result; with --json only the report is.
    let mut difference: Box<dyn Write> =
        if flags.json { Box::new(io::sink()) } else { Box::new(BufWriter::new(UntilClosed(io::stdout().lock()))) };
    let result = pass(config, &directory, options, &progress, &mut difference);
    let flushed = difference.flush();
    drop(difference);
    progress.end();
    if !flags.dry_run {
        metrics::pass(config, &directory, &result, None);
    }
    let report = result?;
    flushed.map_err(|e| Error::new(Kind::CannotWrite, format!("standard output: {e}")))?;
    report.warnings().iter().for_each(|w| log::warn!("{w}"));
    if flags.json {
        print(&json_line(&report)?)?;
    } else if io::stdout().is_terminal() {
        print(report.table().as_bytes())?;
    } else {
        log::info!("{}", report.line());
    }
    Ok(report.exit_code())
}

/// Standard output that may be closed by its reader (`| head`): the rest is for nobody.
struct UntilClosed<W>(W);

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let mut out = UntilClosed(Closed);
        assert!(out.write_all(b"+ misp-ip:1.2.3.4 7#ip-dst\n").and_then(|()| out.flush()).is_ok());
    }
}
