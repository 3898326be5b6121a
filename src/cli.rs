//! What was typed: the command line as plain data. Help, man page and completions
//! come out of this definition.

use crate::completion::NamespaceName;
use crate::config::Span;
use crate::kibana::{INDICES, Version};
use crate::logging::Format;
use crate::share::input::From;
use crate::sighting::Kind;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;

const EXIT_CODES: &str = "Exit codes:
  0   done (lookup: at least one value matched)
  1   lookup found nothing
  2   a flag or argument that does not exist
  64  wrong usage
  65  MISP's answer cannot be trusted; nothing was removed
  69  MISP or memcached cannot be reached, or memcached has too little room
  70  a bug in this program
  73  an output cannot be written
  75  another run holds the lock, or a signal ended this one
  77  MISP refuses the key
  78  the configuration is wrong";

/// Keeps memcached exactly equal to what MISP says now.
///
/// Without a command it runs one pass, as `load` does: what cron or a systemd
/// timer runs. The configuration is read from --config, else from
/// $MISP2MEMCACHED_CONFIG, else from ./misp2memcached.yaml, else from
/// /etc/misp2memcached/misp2memcached.yaml.
#[derive(Debug, Parser)]
#[command(name = "misp2memcached", version, after_help = EXIT_CODES, max_term_width = 80)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Say more on standard error; twice: every request.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Say nothing but errors on standard error.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// The log on standard error: lines for people, or JSON objects.
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    pub log_format: Format,

    /// What to do; nothing means `load`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one pass: MISP into memcached and Falco's lists.
    Load(Load),
    /// Stay, and apply MISP's ZeroMQ or Kafka messages as they come.
    Follow,
    /// Tell which MISP events list these values.
    Lookup(Lookup),
    /// Show what the cache holds, how old it is, and whether it fits.
    Status(Output),
    /// Try the configuration, MISP, memcached and every output.
    Check(Output),
    /// Print saved objects for Kibana, with links to this MISP.
    Kibana(Kibana),
    /// Report to MISP what was seen.
    ///
    /// What MISP could not take waits in the state directory and goes at the next
    /// run, oldest first; without a VALUE that is all that is done.
    Sighting(Sighting),
    /// Look a Wazuh alert up: an integration of Wazuh.
    Wazuh(Wazuh),
    /// Share detections: lines from standard input, events into MISP.
    Share(Share),
    /// See it work with a sample MISP and a memcached of its own.
    Demo,
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands.
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
    #[arg(long)]
    pub full: bool,

    /// Print what would change, and write nothing: `+` comes, `-` goes, `~` stays
    /// with another context.
    #[arg(long)]
    pub dry_run: bool,

    /// Let more indicators go at once than misp.max_shrink_percent allows.
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
    #[arg(long, value_enum, default_value = "8", value_name = "VERSION")]
    pub version: Version,

    /// The indices of the data view, as Kibana writes them.
    #[arg(long, default_value = INDICES, value_name = "PATTERN")]
    pub index: String,
}

const SIGHTING_EXIT_CODES: &str = "Exit codes:
  0   MISP has them all, or had them lately, or the cache does not list them
  65  some were refused: by MISP, or because they are no sightings
  69  some wait for the next run, since MISP or memcached cannot be reached
  73  the spool is full or cannot be written: some are lost
  77  MISP refuses the key; what was not sent waits
  78  the configuration is wrong";

/// Flags of `sighting`.
#[derive(Debug, Args)]
#[command(after_help = SIGHTING_EXIT_CODES)]
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

    /// Report one sighting of the same value, type and source in this time.
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

const WAZUH_EXIT_CODES: &str = "Exit codes, those of Wazuh's own integrations:
  0   looked up, and answered if anything matched
  2   no alert file named
  4   memcached gave no answer; the queue was told so
  5   Wazuh's queue did not take the answer
  6   the alert file cannot be read
  7   the alert file holds no JSON
  78  the configuration is wrong";

/// Arguments of `wazuh`, as Wazuh's integratord passes them.
#[derive(Debug, Args)]
#[command(after_help = WAZUH_EXIT_CODES)]
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

const SHARE_EXIT_CODES: &str = "Exit codes:
  0   done: MISP has every event, or there was nothing that may leave
  64  wrong usage
  65  some lines or events, or parts of events, were refused; each is named
  69  MISP cannot be reached; the events wait in the state directory
  73  events can neither be sent nor kept; each is named
  75  a signal ended the run; the events wait in the state directory
  77  MISP refuses the key; the events wait in the state directory
  78  the configuration is wrong";

/// Flags of `share`. MISP's key comes from the configuration or the environment,
/// never from the command line, which others can read.
#[derive(Debug, Args)]
#[command(after_help = SHARE_EXIT_CODES)]
pub struct Share {
    /// Whose lines they are.
    #[arg(long, value_enum, value_name = "FORM")]
    pub from: From,

    /// MISP's address, instead of misp.url.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,

    /// A tag of every event, made in MISP if it is missing; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub tag: Vec<String>,

    /// Whether the attributes are meant for detection, where the input does not say.
    #[arg(long, default_value = "0", value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    pub ids: u8,

    /// Who may see the events: 0 your organisation (the default), 1 this community,
    /// 2 connected communities, 3 all communities.
    #[arg(long, value_name = "0-3", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub distribution: Option<u8>,

    /// The sharing group that may see the events, by its number in MISP.
    #[arg(long, value_name = "ID", conflicts_with = "distribution")]
    pub sharing_group: Option<u64>,

    /// The threat level of the events: 1 high, 2 medium, 3 low, 4 undefined;
    /// default: from the severity.
    #[arg(long, value_name = "1-4", value_parser = clap::value_parser!(u8).range(1..=4))]
    pub threat_level: Option<u8>,

    /// Publish the events: the default.
    #[arg(long, overrides_with = "no_publish")]
    pub publish: bool,

    /// Leave the events as drafts.
    #[arg(long, overrides_with = "publish")]
    pub no_publish: bool,

    /// Addresses, networks, ranges and names (.corp.example) that do not leave
    /// either, separated by commas; may be repeated.
    #[arg(long, value_name = "LIST")]
    pub exclude: Vec<String>,

    /// A file with such a list, an entry a line; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub exclude_file: Vec<PathBuf>,

    /// Also share who was logged on, as target-user.
    #[arg(long)]
    pub user_identity: bool,

    /// The sensor's name, where several have detections of the same numbers.
    #[arg(long, default_value = "", value_name = "NAME")]
    pub sensor: String,

    /// What makes one event: a detection and its updates, or all detections of a
    /// method and a day.
    #[arg(long, value_enum, default_value = "detection", value_name = "WHAT")]
    pub event_per: EventPer,

    /// Print the events as they would be sent, one JSON object a line, and send nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Print what was done as one JSON object a line, one for each event.
    #[arg(long)]
    pub json: bool,
}

/// What makes one event of `share`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EventPer {
    /// A detection with its updates.
    Detection,
    /// All detections of a method, a sensor and a day.
    Day,
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

    #[test]
    fn help_fits_80_columns() {
        let mut command = Cli::command();
        let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
        let mut texts = vec![command.render_long_help().to_string()];
        for name in names {
            let sub = command.find_subcommand_mut(&name).unwrap();
            texts.push(sub.render_long_help().to_string());
        }
        for line in texts.iter().flat_map(|t| t.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
