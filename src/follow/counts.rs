//! What happened since `follow` began, for people and programs. Pure.

use crate::misp::live::message::{Action, Message};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts and moments; the moments are Unix seconds of our own clock, 0: never.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// When this was written.
    pub now: u64,
    /// Since when `follow` runs.
    pub started: u64,
    /// Whether the line to MISP's publisher is up.
    pub up: bool,
    /// How often it came up.
    pub connects: u64,
    /// How often it went down.
    pub disconnects: u64,
    /// Messages by kind.
    pub messages: BTreeMap<String, u64>,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// When the last message came, of any kind.
    pub last_message: u64,
    /// When the publisher last said that it is alive.
    pub last_heartbeat: u64,
    /// Indicators that messages added.
    pub added: u64,
    /// Requests for the state of events.
    pub looks: u64,
    /// Those that failed.
    pub failed_looks: u64,
    /// Passes that were made.
    pub passes: u64,
    /// Those that failed.
    pub failed_passes: u64,
    /// When the last pass was completed.
    pub last_pass: u64,
    /// Seconds from a message's arrival to its key in memcached: the longest of the last batch.
    pub lag: f64,
    /// The longest of all.
    pub longest_lag: f64,
    /// Why the last pass, look-up or line failed; empty: nothing did.
    pub last_error: String,
}

impl Counts {
    /// One more message of this kind at `now`.
    pub fn count(&mut self, message: &Message<'_>, now: u64) {
        let kind = match message {
            Message::Attribute(change) => match change.action {
                Action::Add => "attribute_add",
                Action::Edit => "attribute_edit",
                Action::Delete => "attribute_delete",
            },
            Message::Event(_) => "event",
            Message::EventGone(_) => "event_delete",
            Message::Published(_) => "event_publish",
            Message::Object(_) => "object",
            Message::Tagged(_) | Message::Tag(_) => "tag",
            Message::Alive => {
                self.last_heartbeat = now;
                "heartbeat"
            }
            Message::Other => "other",
        };
        self.last_message = now;
        match self.messages.get_mut(kind) {
            Some(count) => *count += 1,
            None => drop(self.messages.insert(kind.to_owned(), 1)),
        }
    }

    /// Messages of all kinds.
    pub fn total(&self) -> u64 {
        self.messages.values().sum()
    }

    /// Seconds from a message's arrival to its key.
    pub fn lagged(&mut self, seconds: f64) {
        self.lag = seconds;
        self.longest_lag = self.longest_lag.max(seconds);
    }

    /// One line for `systemctl status`.
    pub fn line(&self) -> String {
        let line = if self.up { "line up" } else { "line DOWN" };
        let mut text =
            format!("{line}, {} messages, {} indicators added, {} passes", self.total(), self.added, self.passes);
        if self.unreadable > 0 {
            text += &format!(", {} unreadable", self.unreadable);
        }
        if self.failed_passes + self.failed_looks > 0 {
            text += &format!(", {} failures", self.failed_passes + self.failed_looks);
        }
        text
    }
}

/// A file that was not written again for so many seconds is that of a run that ended
/// without a word.
const SILENT: u64 = 60;

impl Counts {
    /// For `status`, at `now`: one or more lines under the heading `Follow`.
    pub fn told(&self, now: u64) -> Vec<String> {
        let ago = |at: u64| {
            let span = humantime::format_duration(std::time::Duration::from_secs(now.saturating_sub(at)));
            if at == 0 { "never".to_owned() } else { format!("{span} ago") }
        };
        if now.saturating_sub(self.now) > SILENT {
            return vec![format!("does NOT RUN any more: last seen {}", ago(self.now))];
        }
        let mut lines = vec![
            format!(
                "{}; last message {}, last sign of life {}",
                self.line(),
                ago(self.last_message),
                ago(self.last_heartbeat)
            ),
            format!(
                "last pass {}; from message to key {:.0} ms, at the longest {:.0} ms",
                ago(self.last_pass),
                self.lag * 1e3,
                self.longest_lag * 1e3
            ),
        ];
        if !self.last_error.is_empty() {
            lines.push(format!("last error: {}", self.last_error.replace('\n', " ")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line() {
        let mut counts = Counts { up: true, ..Counts::default() };
        counts.count(&Message::Alive, 7);
        counts.count(&Message::Event(1), 9);
        counts.lagged(0.2);
        counts.lagged(0.1);
        assert_eq!(counts.line(), "line up, 2 messages, 0 indicators added, 0 passes");
        assert_eq!((counts.last_heartbeat, counts.last_message), (7, 9));
        assert_eq!((counts.lag, counts.longest_lag), (0.1, 0.2));
        let told = Counts { now: 100, last_pass: 40, last_error: "MISP\nis away".into(), ..counts.clone() }.told(109);
        assert_eq!(
            told,
            [
                "line up, 2 messages, 0 indicators added, 0 passes; last message 1m 40s ago, last sign of life 1m 42s ago",
                "last pass 1m 9s ago; from message to key 100 ms, at the longest 200 ms",
                "last error: MISP is away",
            ]
        );
        assert_eq!(Counts { now: 100, ..counts.clone() }.told(161), ["does NOT RUN any more: last seen 1m 1s ago"]);
        let down = Counts { up: false, unreadable: 2, failed_passes: 1, ..counts };
        assert_eq!(down.line(), "line DOWN, 2 messages, 0 indicators added, 0 passes, 2 unreadable, 1 failures");
    }
}
