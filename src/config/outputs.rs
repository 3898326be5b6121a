//! The sections of what comes out beside memcached: Falco's files, sightings, Wazuh's
//! look-ups and lists, and figures for Prometheus.

use super::{CdbList, Span};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Falco's rules and the plain lists beside them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Falco {
    /// Whether the rules file is written.
    pub enabled: bool,
    /// The directory that Falco reads rules from.
    pub directory: PathBuf,
    /// Name of the rules file in it.
    pub file: String,
    /// Only attributes changed within this; 0: any age.
    pub timeframe: Span,
    /// Addresses per direction at most; the newest are kept.
    pub max_addresses: usize,
    /// Networks per direction at most; the newest are kept.
    pub max_networks: usize,
    /// Also list private, loopback, link-local, multicast and unspecified addresses.
    pub allow_private: bool,
    /// Also list networks wider than /8 (IPv4) or /16 (IPv6).
    pub allow_wide_networks: bool,
    /// The priority of both rules.
    pub priority: FalcoPriority,
    /// Write a list of SHA-256 hashes here (`sha256,file name` a line).
    pub hash_list: Option<PathBuf>,
    /// Write a list of domains and host names here, one a line.
    pub domain_list: Option<PathBuf>,
    /// How long `follow` waits at least between two writings of the files.
    pub min_interval: Span,
    /// The falco to check the file with before it is put in place; default: the one on the PATH. `""`: no check.
    pub falco_binary: Option<PathBuf>,
}

impl Default for Falco {
    fn default() -> Self {
        Falco {
            enabled: false,
            directory: "/etc/falco/rules.d".into(),
            file: "misp2memcached.yaml".into(),
            timeframe: Span::zero(),
            max_addresses: 100_000,
            max_networks: 10_000,
            allow_private: false,
            allow_wide_networks: false,
            priority: FalcoPriority::Critical,
            hash_list: None,
            domain_list: None,
            min_interval: Span::seconds(60),
            falco_binary: None,
        }
    }
}

/// Falco's rule priorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "Falco's own names")]
pub enum FalcoPriority {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
    Debug,
}

/// How the command `sighting` reports.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sighting {
    /// Who saw it, unless the sighting itself or `--source` says so.
    pub source: String,
    /// Of the same value, type and source one sighting in this time is reported; 0: each.
    pub window: Span,
    /// Requests to MISP in a second at most.
    pub rate: u32,
    /// How much may wait while MISP is down; what comes then is refused.
    pub spool_mib: u64,
}

impl Default for Sighting {
    fn default() -> Self {
        Sighting { source: "misp2memcached".into(), window: Span::seconds(3600), rate: 20, spool_mib: 16 }
    }
}

/// What the command `wazuh` looks up and where it answers, and lists for Wazuh.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wazuh {
    /// The socket of Wazuh's queue; default: [`Wazuh::QUEUE`].
    pub queue: Option<PathBuf>,
    /// Fields of an alert whose values are looked up, as paths with dots; the first that matches comes first.
    pub fields: Vec<String>,
    /// How long the look-up may take, and then the answer: later alerts wait meanwhile.
    pub timeout: Span,
    /// The directory that a pass writes CDB lists to; absent: none are written.
    pub cdb_directory: Option<PathBuf>,
    /// Which lists: `ip`, `domain`, `url`, `md5`, `sha1`, `sha256`.
    pub cdb_lists: Vec<CdbList>,
}

impl Default for Wazuh {
    fn default() -> Self {
        Wazuh {
            queue: None,
            fields: crate::wazuh::fields::DEFAULT.iter().map(ToString::to_string).collect(),
            timeout: Span::seconds(2),
            cdb_directory: None,
            cdb_lists: CdbList::DEFAULT.to_vec(),
        }
    }
}

impl Wazuh {
    /// Where the manager's packages have the queue.
    pub const QUEUE: &str = "/var/ossec/queue/sockets/queue";

    /// The socket of Wazuh's queue.
    pub fn queue(&self) -> &Path {
        self.queue.as_deref().unwrap_or(Path::new(Wazuh::QUEUE))
    }
}

/// Figures for Prometheus.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// A file whose name ends in `.prom`, in the directory of node_exporter's textfile collector.
    pub file: Option<PathBuf>,
}
