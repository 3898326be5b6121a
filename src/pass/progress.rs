//! A progress bar on a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::Duration;

/// How far a pass is.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar on standard error where that is a terminal and `wanted` says so.
    pub fn new(wanted: bool) -> Progress {
        let bar = (wanted && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // Nothing to count yet: the default style would show a bar of 0/0.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Progress { bar }
    }

    /// What is being done, where there is nothing to count.
    pub fn say(&self, what: &'static str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what);
        }
    }

    /// So many events are to be fetched.
    pub fn begin(&self, events: u64) {
        if let Some(bar) = &self.bar {
            // The template is ours; should it not parse, the default one does.
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} events, {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_length(events);
            bar.set_message("fetching");
        }
    }

    /// So many events came, with so many attributes.
    pub fn advance(&self, events: u64, attributes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(events);
            log::trace!("{events} events, {attributes} attributes");
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
