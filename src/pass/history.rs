//! What came of the last passes, kept in the state directory for `status`.
//!
//! A pass that has something to do notes that it begins and how it ends, so that one that
//! was killed is told from one that failed. One that finds nothing new writes nothing.
//! Nobody decides anything by it: what cannot be written is warned about, what cannot be
//! read is no history.

use crate::atomic_file;
use crate::error::{Kind, Result};
use crate::misp::client::local_now;
use crate::report::Report;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Its name in the state directory.
const FILE_NAME: &str = "passes.json";

/// The name of our processes: Linux cuts it after 15 characters.
const PROCESS_NAME: &str = "misp2memcached";

/// The last passes; moments are Unix seconds of our own clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// The one that began and has not ended.
    pub begun: Option<Begun>,
    /// How many have failed since the last good one.
    pub failing: u64,
    /// When the first of these failed, or of the last row of failures there was.
    pub failing_since: u64,
    /// The last one that failed.
    pub last_error: Option<Ended>,
    /// The last one that changed indicators.
    pub last_change: Option<Ended>,
}

/// A pass that began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// When.
    pub at: u64,
    /// The process that runs it.
    pub process: u32,
}

/// A pass that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: u64,
    /// The exit code that it had, or would have had inside `follow`.
    pub code: u8,
    /// What it did, or why it failed: one line.
    pub text: String,
}

impl History {
    /// What is written down in a state directory.
    pub fn read(directory: &Path) -> History {
        fs::read(directory.join(FILE_NAME)).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
    }

    fn end(&mut self, outcome: &Result<Report>, at: u64) {
        self.begun = None;
        let ended = |code, text: String| Some(Ended { at, code, text: text.replace('\n', " ") });
        let failed = match outcome {
            Ok(report) => {
                let code = report.exit_code();
                if report.has_changes() {
                    self.last_change = ended(code, report.brief());
                }
                (code != 0).then(|| ended(code, report.warnings().join("; ")))
            }
            // Somebody has ended it: neither good nor bad.
            Err(e) if e.kind() == Kind::Interrupted => return,
            Err(e) => Some(ended(e.kind().exit_code(), e.to_string())),
        };
        if let Some(error) = failed {
            if self.failing == 0 {
                self.failing_since = at;
            }
            self.failing += 1;
            self.last_error = error;
        } else {
            self.failing = 0;
        }
    }

    fn write(&self, directory: &Path) {
        let json = serde_json::to_vec(self).unwrap_or_default();
        if let Err(e) = atomic_file::replace_if_changed(&directory.join(FILE_NAME), &json, 0o644) {
            log::debug!("{e}; `misp2memcached status` does not know of this pass");
        }
    }
}

impl Begun {
    /// Whether its process still runs.
    pub fn is_running(self) -> bool {
        fs::read_to_string(format!("/proc/{}/comm", self.process)).is_ok_and(|name| name.trim_end() == PROCESS_NAME)
    }
}

/// The note of one pass. Its owner holds the state directory's lock.
#[derive(Debug)]
pub struct Note<'a> {
    directory: &'a Path,
    history: History,
}

impl<'a> Note<'a> {
    /// A note of a pass that may have nothing to do.
    pub fn new(directory: &'a Path) -> Note<'a> {
        Note { directory, history: History::read(directory) }
    }

    /// The pass is about to change something.
    pub fn begin(&mut self) {
        self.history.begun = Some(Begun { at: local_now(), process: std::process::id() });
        self.history.write(self.directory);
    }

    /// The pass has come to this end.
    pub fn end(mut self, outcome: &Result<Report>) {
        let before = self.history.clone();
        self.history.end(outcome, local_now());
        if self.history != before {
            self.history.write(self.directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::report::{Namespace, Unreachable};

    fn away() -> Result<Report> {
        Err(Error::new(Kind::Unavailable, "MISP is away:\ntry later"))
    }

    #[test]
    fn beginning_and_end() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        Note::new(at).end(&Ok(Report::default()));
        assert!(!at.join(FILE_NAME).exists(), "a pass without news writes nothing");

        let mut note = Note::new(at);
        note.begin();
        assert_eq!(History::read(at).begun.map(|b| b.process), Some(std::process::id()));
        let namespaces = [("ip".to_owned(), Namespace { added: 2, ..Namespace::default() })].into();
        note.end(&Ok(Report { namespaces, window: "refresh".into(), ..Report::default() }));
        let history = History::read(at);
        assert_eq!((history.begun, history.failing, &history.last_error), (None, 0, &None));
        let change = history.last_change.unwrap();
        assert_eq!(change.text, "refresh, 0 of 0 events fetched, indicators +2 -0 =0, 0.0 s");

        fs::write(at.join(FILE_NAME), b"{\"failing\": []}").unwrap();
        assert_eq!(History::read(at), History::default(), "damaged");
        fs::write(at.join(FILE_NAME), b"{\"failing\": 3}").unwrap();
        assert_eq!(History::read(at).failing, 3, "of another version");
    }

    #[test]
    fn failures_in_a_row() {
        let mut history = History::default();
        history.end(&away(), 10);
        history.end(&away(), 20);
        assert_eq!((history.failing, history.failing_since), (2, 10));
        let error = Ended { at: 20, code: 69, text: "MISP is away: try later".into() };
        assert_eq!(history.last_error, Some(error.clone()));
        history.begun = Some(Begun { at: 21, process: 1 });
        history.end(&Err(Error::new(Kind::Interrupted, "a signal")), 22);
        assert_eq!((history.begun, history.failing, &history.last_error), (None, 2, &Some(error.clone())), "as it was");
        history.end(&Ok(Report::default()), 30);
        assert_eq!((history.failing, &history.last_error, &history.last_change), (0, &Some(error), &None));
        let unreachable = vec![Unreachable { address: "a:1".into(), reason: "memcached a:1: no route".into() }];
        history.end(&Ok(Report { unreachable, ..Report::default() }), 40);
        assert_eq!((history.failing, history.failing_since), (1, 40), "it did not reach everything");
        let text = history.last_error.unwrap().text;
        assert!(text.starts_with("memcached a:1: no route; it missed this pass"), "{text}");
    }

    #[test]
    fn a_process_that_is_no_more() {
        assert!(!Begun { at: 0, process: 0 }.is_running());
        // The test's own process has another name.
        assert!(!Begun { at: 0, process: std::process::id() }.is_running());
    }
}
