//! What this machine knows of the cache: how the last passes went, the ledger, what waits
//! for MISP, and how `follow` is doing. All of it is read from the state directory; what is
//! not there is not told.

use super::{line, span};
use crate::command::share;
use crate::config::Config;
use crate::follow::counts::Counts;
use crate::follow::run::FILE_NAME;
use crate::ledger;
use crate::pass::history::{Begun, History};
use crate::report::bytes;
use crate::sighting::spool::Spool;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// What the state directory holds.
pub(super) struct Here {
    directory: PathBuf,
    history: History,
    /// Whether the pass that has not ended still runs.
    running: bool,
    /// Size of the ledger's file.
    ledger: Option<u64>,
    /// Sightings that wait; `None`: their file cannot be read.
    sightings: Option<usize>,
    /// Events of `share` that wait.
    shared: usize,
    follow: Option<Counts>,
}

impl Here {
    pub(super) fn read(config: &Config, directory: &Path) -> Here {
        let history = History::read(directory);
        let settings = &config.sighting;
        let mut spool = Spool::new(directory, settings.window.as_secs(), settings.spool_mib << 20);
        Here {
            directory: directory.to_owned(),
            running: history.begun.is_some_and(Begun::is_running),
            history,
            ledger: fs::metadata(directory.join(ledger::FILE_NAME)).ok().map(|file| file.len()),
            sightings: spool.look().ok().map(|()| spool.state().len()),
            shared: share::waiting(directory),
            follow: fs::read(directory.join(FILE_NAME)).ok().and_then(|json| serde_json::from_slice(&json).ok()),
        }
    }

    /// For `status --json`.
    pub(super) fn passes(&self) -> Value {
        let History { begun, failing, failing_since, last_error, last_change } = &self.history;
        json!({
            "under_way_since": begun.filter(|_| self.running).map(|b| b.at),
            "cut_off_since": begun.filter(|_| !self.running).map(|b| b.at),
            "failing": failing,
            "failing_since": (*failing > 0).then_some(failing_since),
            "last_error": last_error,
            "last_change": last_change,
        })
    }

    /// For `status --json`.
    pub(super) fn ledger(&self) -> Option<Value> {
        let bytes = self.ledger?;
        Some(json!({ "file": self.directory.join(ledger::FILE_NAME), "bytes": bytes }))
    }

    /// For `status --json`.
    pub(super) fn waiting(&self) -> Value {
        json!({ "sightings": self.sightings, "shared_events": self.shared })
    }

    /// For `status --json`.
    pub(super) fn follow(&self) -> Option<&Counts> {
        self.follow.as_ref()
    }

    /// The lines for people; `loaded`: memcached says that there was a pass.
    pub(super) fn table(&self, now: u64, loaded: bool) -> String {
        let ago = |at: u64| span(now.saturating_sub(at));
        let mut out = String::new();
        match (self.history.begun, self.running) {
            (Some(b), true) => out += &line("Pass", format!("under way for {}", ago(b.at))),
            (Some(b), false) => {
                let text = "its process is gone (killed? out of memory?); the next one repairs what is half done";
                out += &line("Pass", format!("WAS CUT OFF: it began {} ago and {text}", ago(b.at)));
            }
            (None, _) => {}
        }
        let History { failing, failing_since, last_error, last_change, .. } = &self.history;
        if let Some(error) = last_error {
            let (when, what) = (ago(error.at), format!("with {}: {}", error.code, error.text));
            out += &match failing {
                0 => line("Last error", format!("{when} ago, {what}; passes are good again")),
                1 => line("Last pass", format!("FAILED {when} ago {what}")),
                n => {
                    let since = ago(*failing_since);
                    line("Last pass", format!("FAILED {when} ago {what}; {n} in a row, since {since}"))
                }
            };
        }
        if let Some(change) = last_change {
            out += &line("Last change", format!("{} ago: {}", ago(change.at), change.text));
        }
        if loaded && self.ledger.is_none() {
            let text =
                "there is none, but memcached was loaded: by another machine or user, or another state.directory";
            out += &line("Ledger", format!("{}: {text}", self.directory.display()));
        }
        if let Some(size) = self.ledger {
            out += &line("Ledger", format!("{}, {}", self.directory.join(ledger::FILE_NAME).display(), bytes(size)));
        }
        if self.sightings.is_none_or(|waiting| waiting > 0) || self.shared > 0 {
            let sightings = self.sightings.map_or("unreadable".to_owned(), |waiting| waiting.to_string());
            let text = format!(
                "for MISP: {sightings} sightings, {} shared events; the next `sighting` or `share` sends them",
                self.shared
            );
            out += &line("Waiting", text);
        }
        let told = self.follow.as_ref().map(|counts| counts.told(now)).unwrap_or_default();
        let headings = ["Follow"].into_iter().chain(std::iter::repeat(""));
        out.extend(told.iter().zip(headings).map(|(text, heading)| line(heading, text)));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::history::Ended;

    fn here(history: History, running: bool) -> Here {
        Here {
            directory: "/var/lib/misp2memcached".into(),
            history,
            running,
            ledger: Some(3 << 20),
            sightings: Some(0),
            shared: 0,
            follow: None,
        }
    }

    fn ended(at: u64, code: u8, text: &str) -> Option<Ended> {
        Some(Ended { at, code, text: text.into() })
    }

    #[test]
    fn what_is_told() {
        let change = ended(40, 0, "refresh, 1 of 9 events fetched");
        let good = here(History { last_change: change.clone(), ..History::default() }, false);
        assert_eq!(
            good.table(100, true),
            "Last change 1m ago: refresh, 1 of 9 events fetched\nLedger      /var/lib/misp2memcached/ledger.redb, 3.0 MiB\n"
        );
        let begun = Some(Begun { at: 90, process: 1 });
        let last_error = ended(10, 69, "MISP is away");
        let mut bad = here(History { begun, last_error, last_change: change, ..History::default() }, true);
        bad.sightings = Some(3);
        bad.ledger = None;
        assert_eq!(
            bad.table(100, false),
            "Pass        under way for 10s\n\
             Last error  1m 30s ago, with 69: MISP is away; passes are good again\n\
             Last change 1m ago: refresh, 1 of 9 events fetched\n\
             Waiting     for MISP: 3 sightings, 0 shared events; the next `sighting` or `share` sends them\n"
        );
        bad.running = false;
        assert!(bad.table(100, true).starts_with("Pass        WAS CUT OFF: it began 10s ago and its process is gone"));
        bad.history.begun = None;
        bad.history.failing = 1;
        assert!(bad.table(100, true).starts_with("Last pass   FAILED 1m 30s ago with 69: MISP is away\n"));
        (bad.history.failing, bad.history.failing_since) = (3, 4);
        let row = "Last pass   FAILED 1m 30s ago with 69: MISP is away; 3 in a row, since 1m 36s\n";
        assert!(bad.table(100, true).starts_with(row), "{}", bad.table(100, true));
    }

    #[test]
    fn a_state_directory_without_passes() {
        let nothing = Here { ledger: None, ..here(History::default(), false) };
        assert_eq!(nothing.table(100, false), "", "a first run is still to come");
        assert!(nothing.table(100, true).starts_with("Ledger      /var/lib/misp2memcached: there is none, but "));
    }
}
