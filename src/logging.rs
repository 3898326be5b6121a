//! The log on standard error: one line a record, in the form that its reader takes.
//!
//! A person at a terminal gets the level and the text. systemd's journal keeps time and
//! priority of each line itself, and takes the priority from a prefix (sd-daemon(3)).
//! A file gets time, level and text, and a program that collects logs gets JSON.
//! It knows nothing of what is logged.

use crate::error::{Error, Kind};
use crate::printable::printable;
use env_logger::Builder;
use log::Level;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

/// How `--log-format` can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line: time, level, message.
    Json,
}

/// The form of this process's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    format: Format,
    reader: Reader,
}

/// Who reads standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Terminal,
    Journal,
    /// A file, or a program.
    Other,
}

/// A line's weight, with the name and the number that syslog has for it.
#[derive(Debug, Clone, Copy)]
struct Weight {
    name: &'static str,
    priority: u8,
}

const ERROR: Weight = Weight { name: "error", priority: 3 };
/// How a run ends that another one or a signal ended: nobody has to see to it.
const NOTICE: Weight = Weight { name: "notice", priority: 5 };

/// A line of `--log-format json`.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
}

impl Style {
    /// As standard error and its reader want it.
    pub fn new(format: Format) -> Style {
        let reader = if io::stderr().is_terminal() {
            Reader::Terminal
        } else if std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_journal(&stream, io::stderr())) {
            Reader::Journal
        } else {
            Reader::Other
        };
        Style { format, reader }
    }

    /// The log's records in this form.
    pub fn apply(self, builder: &mut Builder) {
        builder.format(move |out, record| {
            let text = record.args().to_string();
            out.write_all(self.record(record.level(), &text, SystemTime::now()).as_bytes())
        });
    }

    /// What is said of the error that ends the run.
    pub fn last_words(self, error: &Error) -> String {
        let weight = if matches!(error.kind(), Kind::Locked | Kind::Interrupted) { NOTICE } else { ERROR };
        let text = error.to_string();
        match (self.format, self.reader) {
            (Format::Json, _) => self.json(weight, &text, Some(error.kind().exit_code()), SystemTime::now()),
            (Format::Text, Reader::Journal) => each_line(&text, &format!("<{}>", weight.priority)),
            // A command's errors begin with its name.
            (Format::Text, _) => each_line(&text, "misp2memcached: "),
        }
    }

    fn record(self, level: Level, text: &str, now: SystemTime) -> String {
        let weight = weight(level);
        match (self.format, self.reader) {
            (Format::Json, _) => self.json(weight, text, None, now),
            (Format::Text, Reader::Terminal) => each_line(text, &format!("{}: ", weight.name)),
            (Format::Text, Reader::Journal) => each_line(text, &format!("<{}>", weight.priority)),
            (Format::Text, Reader::Other) => {
                each_line(text, &format!("{} {level} ", humantime::format_rfc3339_seconds(now)))
            }
        }
    }

    fn json(self, weight: Weight, message: &str, exit_code: Option<u8>, now: SystemTime) -> String {
        let time = humantime::format_rfc3339_millis(now).to_string();
        let line = Line { time, level: weight.name, message, exit_code };
        // Texts and a number can always be written as JSON.
        let line = serde_json::to_string(&line).unwrap_or_default();
        if self.reader == Reader::Journal { each_line(&line, &format!("<{}>", weight.priority)) } else { line + "\n" }
    }
}

fn weight(level: Level) -> Weight {
    match level {
        Level::Error => ERROR,
        Level::Warn => Weight { name: "warn", priority: 4 },
        Level::Info => Weight { name: "info", priority: 6 },
        Level::Debug => Weight { name: "debug", priority: 7 },
        Level::Trace => Weight { name: "trace", priority: 7 },
    }
}

/// Each line with its prefix: the journal takes it for a message of its own, and a line that
/// a stranger put into a value should not look like one.
fn each_line(text: &str, prefix: &str) -> String {
    text.lines().map(|line| format!("{prefix}{}\n", printable(line))).collect()
}

/// Whether `$JOURNAL_STREAM` (device and inode of the journal's socket) means this very
/// stream: the variable is inherited by programs whose output goes elsewhere.
fn is_journal(variable: &str, stream: impl AsFd) -> bool {
    let own = stream.as_fd().try_clone_to_owned().map(std::fs::File::from).and_then(|file| file.metadata());
    own.is_ok_and(|own| variable == format!("{}:{}", own.dev(), own.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TEXT: &str = "one\ntwo";

    fn styled(format: Format, reader: Reader) -> String {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Style { format, reader }.record(Level::Warn, TEXT, then)
    }

    #[test]
    fn each_reader_has_its_form() {
        assert_eq!(styled(Format::Text, Reader::Terminal), "warn: one\nwarn: two\n");
        let lines = "2023-11-14T22:13:20Z WARN one\n2023-11-14T22:13:20Z WARN two\n";
        assert_eq!(styled(Format::Text, Reader::Other), lines);
        assert_eq!(styled(Format::Text, Reader::Journal), "<4>one\n<4>two\n");
        let json = r#"{"time":"2023-11-14T22:13:20.000Z","level":"warn","message":"one\ntwo"}"#.to_owned() + "\n";
        assert_eq!(styled(Format::Json, Reader::Other), json);
        assert_eq!(styled(Format::Json, Reader::Terminal), json);
        assert_eq!(styled(Format::Json, Reader::Journal), format!("<4>{json}"));
    }

    #[test]
    fn no_terminal_obeys_what_strangers_wrote() {
        for reader in [Reader::Terminal, Reader::Journal, Reader::Other] {
            let style = Style { format: Format::Text, reader };
            let lines = [
                style.record(Level::Warn, "unknown field `\u{1b}[2J\r\u{202e}`", SystemTime::UNIX_EPOCH),
                style.last_words(&Error::new(Kind::Config, "\u{9b}2J\u{7}")),
            ];
            assert!(lines.iter().all(|line| printable(line.trim_end()) == line.trim_end()), "{lines:?}");
        }
    }

    #[test]
    fn last_words_weigh_what_they_mean() {
        let said = |kind, format, reader| Style { format, reader }.last_words(&Error::new(kind, TEXT));
        assert_eq!(said(Kind::Config, Format::Text, Reader::Other), "misp2memcached: one\nmisp2memcached: two\n");
        assert_eq!(said(Kind::Config, Format::Text, Reader::Journal), "<3>one\n<3>two\n");
        assert_eq!(said(Kind::Locked, Format::Text, Reader::Journal), "<5>one\n<5>two\n");
        let json = said(Kind::Refused, Format::Json, Reader::Other);
        assert!(json.ends_with("\"level\":\"error\",\"message\":\"one\\ntwo\",\"exit_code\":77}\n"), "{json}");
    }

    #[test]
    fn the_journal_is_known_by_its_socket() {
        let file = tempfile::tempfile().unwrap();
        let own = file.metadata().unwrap();
        assert!(is_journal(&format!("{}:{}", own.dev(), own.ino()), &file));
        assert!(!is_journal(&format!("{}:{}", own.dev(), own.ino() + 1), &file));
        assert!(!is_journal("", &file) && !is_journal("journal", &file));
    }
}
