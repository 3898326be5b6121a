//! What was typed: the command line as plain data. Help, man page and completions
//! come out of this definition; what stands behind the flags in `--help` is in `after`.

mod after;
mod share;

pub use share::{EventPer, Share};

use crate::completion::NamespaceName;
use crate::config::Span;
use crate::kibana::{INDICES, Version};
use crate::logging::Format;
use crate::sighting::Kind;
use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;

/// Keeps memcached exactly equal to what MISP says now.
///
/// Without a command it runs one pass, as `load` does: what cron or a systemd
/// timer runs.
#[derive(Debug, Parser)]
#[command(
    name = "misp2memcached",
    version,
    after_long_help = after::PROGRAM,
    max_term_width = 80,
    // They stand below, so that they come under the heading of the others.
    disable_help_flag = true,
    disable_version_flag = true,
    next_help_heading = "Common options",
    // Behind a command's own in its synopsis.
    next_display_order = 900
)]
pub struct Cli {
    /// The configuration file.
    ///
    /// Default: $MISP2MEMCACHED_CONFIG, else ./misp2memcached.yaml, else
    /// /etc/misp2memcached/misp2memcached.yaml.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Say more on standard error; twice: every request.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Say nothing but errors on standard error.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// The log on standard error: `text` for people, or `json`, an object a line.
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Format,

    /// Print help; `--help` says more, with examples.
    #[arg(short, long, global = true, action = ArgAction::Help)]
    pub help: Option<bool>,

    /// Print version.
    #[arg(short = 'V', long, action = ArgAction::Version)]
    pub version: Option<bool>,

    /// What to do; nothing means `load`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one pass: MISP into memcached and Falco's lists.
    ///
    /// Asks MISP what has changed since the last pass and makes memcached equal to it:
    /// what is new comes, what MISP no longer says goes. Needs MISP's key, memcached and
    /// the state directory; writes Falco's rules, Wazuh's lists and metrics too where they
    /// are configured. Changes nothing in MISP and no key with another prefix.
    ///
    /// Prints a table on a terminal, and logs one line elsewhere. One run at a time:
    /// beside another one, or `follow`, it ends with 75.
    #[command(after_long_help = after::LOAD)]
    Load(Load),
    /// Stay, and apply MISP's ZeroMQ or Kafka messages as they come.
    ///
    /// An attribute that an analyst adds is in memcached milliseconds later. It runs the
    /// passes of `load` as well, so neither cron nor a timer is needed beside it. Needs
    /// the section `zmq` or `kafka` of the configuration besides what `load` needs.
    ///
    /// Prints nothing; the log tells what happens, and `status` how it is doing. SIGTERM
    /// or Ctrl-C ends it in order. While it runs, `load` ends with 75.
    #[command(after_long_help = after::FOLLOW)]
    Follow,
    /// Tell which MISP events list these values.
    ///
    /// Asks memcached and nothing else, so it needs no key, sees what the last pass
    /// loaded, and changes nothing. An address is also found by a listed network around
    /// it, a name or a URL by a listed domain above it: the key that is shown says which.
    ///
    /// Exit codes as grep's: 0 if at least one value matched, 1 if none did; more if
    /// memcached could not be asked.
    #[command(after_long_help = after::LOOKUP)]
    Lookup(Lookup),
    /// Show what the cache holds, how old it is, and what failed.
    ///
    /// The place to look first. Of each memcached: the last load, the keys by namespace,
    /// the memory. From the state directory, if its user may read it: whether passes fail
    /// or were killed, since when and why; the last change; the ledger; what waits for
    /// MISP; and how `follow` is doing. Does not ask MISP, needs no key, and changes
    /// nothing. Ends with 69 if a memcached cannot be reached.
    #[command(after_long_help = after::STATUS)]
    Status(Output),
    /// Try the configuration, MISP, memcached and every output.
    ///
    /// Reads the configuration, asks MISP whose key it is, asks each memcached, and tries
    /// whether the state directory and every output can be written. Prints a line for
    /// each, `ok` or `FAIL` with the reason, and changes nothing. The exit code is that
    /// of the first that fails.
    #[command(after_long_help = after::CHECK)]
    Check(Output),
    /// Print saved objects for Kibana, with links to this MISP.
    ///
    /// A data view in which event ids are links, a search and a dashboard, all named
    /// MISP hits: for Kibana's Stack Management, Saved Objects, Import. Needs misp.url
    /// and no key; asks neither MISP nor memcached.
    #[command(after_long_help = after::KIBANA)]
    Kibana(Kibana),
    /// Report to MISP what was seen.
    ///
    /// Values that the cache lists become sightings of the attributes that have them; the
    /// same value is reported once in a window. Needs memcached and a key that may add
    /// sightings.
    ///
    /// What MISP could not take waits in the state directory and goes at the next
    /// run, oldest first; without a VALUE that is all that is done.
    #[command(after_long_help = after::SIGHTING)]
    Sighting(Sighting),
    /// Look a Wazuh alert up: an integration of Wazuh.
    ///
    /// Wazuh's manager starts it for each alert, by way of the script custom-misp. Hashes,
    /// addresses, names and URLs of the alert are looked up in memcached, and what MISP
    /// lists goes to Wazuh's queue, where rules make an alert of it. Needs no key of
    /// MISP's, prints nothing, and leaves the alert file as it is.
    #[command(after_long_help = after::WAZUH)]
    Wazuh(Wazuh),
    /// Share detections: lines from standard input, events into MISP.
    ///
    /// Reads to the end, or as long as lines come, and logs what became of each event.
    /// Needs MISP and a key that may add events, no memcached. Private and reserved
    /// addresses never leave, nor does what --exclude names.
    ///
    /// What MISP could not take waits in the state directory and goes at the next run.
    #[command(after_long_help = after::SHARE)]
    Share(Share),
    /// See it work with a sample MISP and a memcached of its own.
    ///
    /// Loads, looks up, changes what the sample MISP says, loads again, and prints each
    /// step. Needs the program memcached and half a minute. Reads no configuration, asks no other
    /// MISP or memcached, and leaves nothing behind.
    #[command(after_long_help = after::DEMO)]
    Demo,
    /// Print the completions of a shell.
    ///
    /// Commands, flags and the namespaces of `lookup`. Prints a script and reads no
    /// configuration. The Debian package and `make install` put those of bash, zsh and
    /// fish where the shells look.
    #[command(after_long_help = after::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands.
    ///
    /// In roff, for `man`. Reads no configuration. The Debian package and `make install`
    /// put all pages where `man` looks.
    #[command(after_long_help = after::MAN)]
    Man {
        /// Write the page of the program and one for each command into here.
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// Flags of `load`.
#[derive(Debug, Default, Args)]
pub struct Load {
    /// Fetch every event again, drop what is outside the window, and hold every
    /// key of memcached against the result.
    ///
    /// For once a night: it sees the changes that move no timestamp in MISP (local
    /// tags, sightings, warninglists), and mends what others did to the keys. Also
    /// makes a new ledger where the old one is damaged.
    #[arg(long)]
    pub full: bool,

    /// Print what would change, and write nothing: `+` comes, `-` goes, `~` stays
    /// with another context.
    #[arg(long)]
    pub dry_run: bool,

    /// Let more indicators go at once than misp.max_shrink_percent allows.
    ///
    /// For when a run ended with 65 and MISP is right; --dry-run shows what would go.
    #[arg(long)]
    pub allow_shrink: bool,

    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `lookup`.
#[derive(Debug, Args)]
pub struct Lookup {
    /// Values in any form they occur in: defanged, upper case, with a port; `-`
    /// reads them from standard input, one a line.
    #[arg(required = true, value_name = "VALUE")]
    pub values: Vec<String>,

    /// Look in this namespace only, such as `ip` or `sha256`.
    #[arg(short, long, value_name = "NAMESPACE", value_parser = NamespaceName, hide_possible_values = true)]
    pub namespace: Option<String>,

    /// Print one JSON object a line, one for each value, in order.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `kibana`.
#[derive(Debug, Args)]
pub struct Kibana {
    /// For which Kibana: 7 is for 7.11 to 8.7, 8 for 8.8 and later.
    #[arg(long, value_enum, default_value = "8", value_name = "7|8")]
    pub version: Version,

    /// The indices of the data view, as Kibana writes them.
    #[arg(long, default_value = INDICES, value_name = "PATTERN")]
    pub index: String,
}

/// Flags of `sighting`.
#[derive(Debug, Args)]
pub struct Sighting {
    /// Values, or JSON as on standard input; `-` reads standard input: values, JSON
    /// lines, STIX 2.1 sightings and bundles, events of Logstash with misp.match.
    #[arg(value_name = "VALUE", conflicts_with = "listen")]
    pub values: Vec<String>,

    /// Who saw it, where the sighting itself does not say so.
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,

    /// What it is, where the sighting itself does not say so.
    #[arg(long = "type", value_enum, default_value = "sighting", value_name = "TYPE")]
    pub kind: Kind,

    /// Report one sighting of the same value, type and source in this time, such as
    /// `1h` or `1d`; default: sighting.window.
    #[arg(long, value_name = "SPAN")]
    pub window: Option<Span>,

    /// Report values too that the cache does not list, and as they are given.
    #[arg(long)]
    pub unlisted: bool,

    /// Print the sightings that would be reported, and send and write nothing.
    #[arg(long, conflicts_with = "listen")]
    pub dry_run: bool,

    /// Stay, and take JSON lines on this socket.
    #[arg(long, value_name = "unix:/PATH|HOST:PORT")]
    pub listen: Option<String>,

    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `wazuh`, as Wazuh's integratord passes them.
#[derive(Debug, Args)]
pub struct Wazuh {
    /// The file with the alert, in JSON.
    #[arg(value_name = "ALERT")]
    pub alert: PathBuf,

    /// What Wazuh passes besides: API key, hook URL, options. Only the word `debug`
    /// means something: say more on standard error.
    #[arg(value_name = "MORE", trailing_var_arg = true, allow_hyphen_values = true)]
    pub more: Vec<OsString>,
}

impl Wazuh {
    /// Whether one of the further arguments is `debug`. Their places cannot be relied
    /// on: Wazuh splits its command at blanks, so that empty ones get lost.
    pub fn debug(&self) -> bool {
        self.more.iter().any(|word| word == "debug")
    }
}

/// How `status` and `check` print.
#[derive(Debug, Args)]
pub struct Output {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    /// The program and every command of ours, with the flags that all have.
    fn all() -> Vec<clap::Command> {
        let mut program = Cli::command();
        program.build();
        let commands: Vec<_> = program.get_subcommands().filter(|c| c.get_name() != "help").cloned().collect();
        [vec![program], commands].concat()
    }

    /// The text behind the flags is broken where it is too wide: so it is looked at as it is written.
    #[test]
    fn help_fits_80_columns() {
        for mut command in all() {
            let behind = command.get_after_long_help().unwrap().to_string();
            let long = command.render_long_help().to_string();
            for line in long.lines().chain(command.render_help().to_string().lines()).chain(behind.lines()) {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn help_ends_with_examples() {
        for mut command in all() {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            let (before, examples) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{name}"));
            assert!(!before.contains("Examples"), "{name}");
            let lines: Vec<&str> = examples.trim_end().lines().collect();
            // A word on each, and the line itself.
            assert!((4..=10).contains(&lines.len()), "{name}: {lines:?}");
            for two in lines.chunks(2) {
                assert!(two[0].starts_with("  # ") && two[1].contains("misp2memcached"), "{name}: {two:?}");
            }
            let short = command.render_help().to_string();
            assert!(!short.contains("Examples:") && short.lines().count() < 60, "{name}: {short}");
        }
    }

    #[test]
    fn what_a_command_does_and_leaves_alone_is_said() {
        for command in all() {
            let about = command.get_long_about().unwrap_or_else(|| panic!("{}", command.get_name())).to_string();
            assert!(about.lines().count() > 1, "{about}");
        }
    }

    /// A command's own flags once stood among those that all have.
    #[test]
    fn flags_of_all_commands_stand_apart() {
        for mut command in all() {
            let help = command.render_long_help().to_string();
            let (own, common) = help.split_once("\nCommon options:\n").unwrap();
            for flag in ["--config", "--verbose", "--quiet", "--log-format", "--help"] {
                let there = |text: &str| text.lines().any(|l| l.trim_start().starts_with('-') && l.contains(flag));
                assert!(!there(own) && there(common), "{}: {flag}", command.get_name());
            }
        }
    }
}
