//! What was typed: the command line as plain data. Help, man page and completions
//! come out of this definition.

use crate::completion::NamespaceName;
use crate::kibana::{INDICES, Version};
use crate::logging::Format;
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
    /// Look a Wazuh alert up: an integration of Wazuh.
    Wazuh(Wazuh),
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
