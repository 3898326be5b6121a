//! What a run did with the sightings it was given, and those that waited.

use super::super::{json_line, print};
use crate::error::{Kind, Result};
use serde::Serialize;
use std::io::{self, IsTerminal};

/// Refusals that are named; of the rest the number is told.
const MAX_NAMED: usize = 1000;

/// What came of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Sightings that were read.
    pub read: u64,
    /// Those that MISP took, also from earlier runs.
    pub sent: u64,
    /// Those that were reported lately.
    pub folded: u64,
    /// Those whose values the cache does not list.
    pub unlisted: u64,
    /// Those that are none, or that MISP does not want.
    pub refused: u64,
    /// Why.
    pub refusals: Vec<Refusal>,
    /// Those there was no room for: they are lost.
    pub lost: u64,
    /// Those that wait for the next run.
    pub waiting: u64,
}

/// One that was refused.
#[derive(Debug, Serialize)]
pub struct Refusal {
    /// The value or UUID, or the place in the input.
    pub what: String,
    /// The reason.
    pub why: String,
}

impl Report {
    /// Counts a refusal, and names it at once.
    pub fn refuse(&mut self, what: &str, why: &str) {
        let what: String = what.chars().filter(|c| !c.is_control()).take(200).collect();
        self.refused += 1;
        if self.refusals.len() < MAX_NAMED {
            log::warn!("refused: {what}: {why}");
            self.refusals.push(Refusal { what, why: why.to_owned() });
        }
    }

    /// Prints it.
    pub fn show(&self, json: bool) -> Result<()> {
        if json {
            return print(&json_line(self)?).map(drop);
        }
        let line = self.line();
        if io::stdout().is_terminal() {
            return print(format!("{line}\n").as_bytes()).map(drop);
        }
        log::info!("{line}");
        Ok(())
    }

    fn line(&self) -> String {
        let mut line = format!("{} read, {} sent, {} folded", self.read, self.sent, self.folded);
        let rest = [
            (self.unlisted, "not listed by the cache"),
            (self.refused, "refused"),
            (self.lost, "lost for want of room"),
            (self.waiting, "waiting for the next run"),
        ];
        for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
            line.push_str(&format!(", {count} {what}"));
        }
        line
    }

    /// The gravest first.
    pub fn exit_code(&self) -> u8 {
        match self {
            Report { lost: 1.., .. } => Kind::CannotWrite.exit_code(),
            Report { waiting: 1.., .. } => Kind::Unavailable.exit_code(),
            Report { refused: 1.., .. } => Kind::Untrusted.exit_code(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_codes() {
        let mut report = Report { read: 5, sent: 3, folded: 1, ..Report::default() };
        assert_eq!((report.line().as_str(), report.exit_code()), ("5 read, 3 sent, 1 folded", 0));
        report.refuse("a\n\u{1b}[31m", "unknown");
        assert_eq!((report.refusals[0].what.as_str(), report.exit_code()), ("a[31m", 65));
        report.waiting = 2;
        assert_eq!(report.exit_code(), 69);
        report.lost = 1;
        assert_eq!(report.exit_code(), 73);
        assert!(report.line().ends_with(", 1 refused, 1 lost for want of room, 2 waiting for the next run"));
        (0..2 * MAX_NAMED).for_each(|_| report.refuse("x", "y"));
        assert_eq!((report.refusals.len(), report.refused), (MAX_NAMED, 2 * MAX_NAMED as u64 + 1));
    }
}
