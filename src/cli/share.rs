//! The flags of `share`, as they were typed.

use crate::share::input::From;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Flags of `share`. MISP's key comes from the configuration or the environment,
/// never from the command line, which others can read.
#[derive(Debug, Args)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventPer {
    /// A detection with its updates.
    Detection,
    /// All detections of a method, a sensor and a day.
    Day,
}
