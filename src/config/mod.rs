//! What was written: the YAML file as plain data. The doc comments are the
//! reference (docs/configuration.md says the same with examples).
//!
//! Nothing here looks at the clock, the network or a server: that is the plan's
//! work. Unknown keys are errors with line and column.

mod cdb;
mod check;
mod context;
mod decode;
mod exposed;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod golden;
mod keys;
mod live;
mod load;
#[cfg(test)]
mod manual;
mod memcached;
pub(crate) mod nearest;
mod node;
mod outputs;
mod password;
mod problem;
mod since;
mod sources;
mod span;
mod token;

pub use cdb::CdbList;
pub use context::ContextField;
pub use live::{Kafka, Zmq};
pub use load::{Loaded, load};
pub use outputs::{Falco, FalcoPriority, Metrics, Sighting, Wazuh};
pub use since::Since;
pub use sources::Sources;
pub use span::Span;

use secrecy::SecretString;
use serde::Deserialize;
use std::path::PathBuf;

/// The whole configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the indicators are kept.
    #[serde(default)]
    pub memcached: Memcached,
    /// Where the indicators come from.
    #[serde(default)]
    pub misp: Misp,
    /// Hash namespaces (md5, sha256, imphash, ssdeep ...).
    #[serde(default = "Category::on")]
    pub hash: Category,
    /// Addresses, networks, domains and host names.
    #[serde(default = "Category::on")]
    pub network: Category,
    /// URLs and URIs.
    #[serde(default = "Category::on")]
    pub web: Category,
    /// Everything else: e-mail, user-agent, regkey, mutex, ja3, file names ...
    #[serde(default = "Category::off", deserialize_with = "Category::off_unless_said")]
    pub other: Category,
    /// Lists for Falco, written by the same pass.
    #[serde(default)]
    pub falco: Falco,
    /// MISP's ZeroMQ publisher, for the command `follow`.
    #[serde(default, deserialize_with = "Zmq::present")]
    pub zmq: Option<Zmq>,
    /// MISP's Kafka topics instead.
    #[serde(default, deserialize_with = "Kafka::present")]
    pub kafka: Option<Kafka>,
    /// Figures for Prometheus.
    #[serde(default)]
    pub metrics: Metrics,
    /// Where the ledger and the lock live.
    #[serde(default)]
    pub state: State,
    /// What goes back to MISP: read by the command `sighting` only.
    #[serde(default)]
    pub sighting: Sighting,
    /// The integration of Wazuh, and lists for it.
    #[serde(default)]
    pub wazuh: Wazuh,
}

/// The memcached servers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Memcached {
    /// Host name, address, or path of a unix socket of the one server.
    pub host: String,
    /// TCP port of the one server.
    pub port: u16,
    /// Several servers instead: `host:port`, `[v6]:port` or `/path/of.sock`, for a ring
    /// with `:weight` behind it if Logstash's `hosts` has one.
    pub servers: Vec<String>,
    /// What several servers hold: all keys on each, or each key where Dalli looks for it.
    pub distribution: Distribution,
    /// First part of every key: `PREFIX-NAMESPACE:VALUE`.
    pub prefix: String,
    /// What follows `EVENTID#TYPE` in values, in this order, each behind a `#`.
    pub context: Vec<ContextField>,
    /// How long to wait for a connection, an answer, or room to write.
    pub timeout: Span,
    /// Speak TLS; on as soon as the section is there, with or without keys in it.
    #[serde(deserialize_with = "Tls::present")]
    pub tls: Option<Tls>,
    /// The user of memcached's text authentication (`-Y`); with `password_file`.
    pub username: Option<String>,
    /// A file that holds that user's password and nothing else.
    pub password_file: Option<PathBuf>,
    /// What that file holds.
    #[serde(skip)]
    pub password: Option<SecretString>,
}

impl Default for Memcached {
    fn default() -> Self {
        Memcached {
            host: "127.0.0.1".into(),
            port: 11211,
            servers: Vec::new(),
            distribution: Distribution::Replicate,
            prefix: "misp".into(),
            context: Vec::new(),
            timeout: Span::seconds(10),
            tls: None,
            username: None,
            password_file: None,
            password: None,
        }
    }
}

/// TLS to memcached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file of the authorities to trust; default: the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of a client certificate and its chain (with `key_file`).
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    pub key_file: Option<PathBuf>,
    /// The name that every server's certificate must have; default: the server's host.
    pub server_name: Option<String>,
}

impl Tls {
    /// `tls:` with nothing below it, or all of it commented out, is TLS too: what
    /// was meant to be secret does not go in the clear.
    fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Tls>, D::Error> {
        Tls::deserialize(deserializer).map(Some)
    }
}

/// How keys are spread over several servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// All keys on every server: it never matters which one a reader asks.
    Replicate,
    /// Each key on the one server where Dalli (Logstash) looks for it.
    Ring,
}

/// The MISP server and what is asked of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Misp {
    /// `https://misp.example`; a path below the host is kept. Environment: `MISP_URL`.
    pub url: String,
    /// The automation key. Environment: `MISP2MEMCACHED_MISP_TOKEN` or `MISP_KEY`.
    pub token: Option<SecretString>,
    /// A file that holds the key and nothing else.
    pub token_file: Option<PathBuf>,
    /// Accept any certificate. A warning is given at each run.
    pub ignore_cert_errors: bool,
    /// PEM file of the authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of a client certificate (with `client_key_file`).
    pub client_cert_file: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    pub client_key_file: Option<PathBuf>,
    /// `http://`, `https://` or `socks5://` proxy; default: the usual environment variables. `""`: none.
    /// A secret, since a password may stand in it.
    pub proxy: Option<SecretString>,
    /// How long an answer may take: MISP sends its first byte last.
    pub timeout: Span,
    /// Attribute requests under way at once.
    pub connections: usize,
    /// Attributes asked for in one page.
    pub page_size: usize,
    /// How far back the first load looks (by the event's timestamp).
    pub initial_event_timestamp: Span,
    /// Events changed within this are fetched again at every pass.
    pub refresh_event_timestamp: Span,
    /// Any of these clauses may match; absent: everything.
    pub filter: Vec<FilterClause>,
    /// `true`: only published events; `false` or absent: drafts too.
    pub published: bool,
    /// How long an event that was loaded stays while an edit keeps it unpublished (with `published`).
    pub unpublished_grace: Span,
    /// `true`: only attributes flagged for detection; `false`: all of them.
    pub to_ids: bool,
    /// Leave out what MISP's warninglists name (public DNS servers, RFC 1918 ...).
    pub enforce_warninglist: bool,
    /// Leave out what MISP's decaying models call expired.
    pub exclude_decayed: bool,
    /// Only these attribute categories, such as `Network activity`.
    pub categories: Vec<String>,
    /// Only events of this threat level or a higher one.
    pub min_threat_level: Option<ThreatLevel>,
    /// Only events published after: a span back from now, or a date.
    pub event_published_after: Option<Since>,
    /// Only attributes changed within this (by the attribute's timestamp); 0: any.
    pub timeframe: Span,
    /// The share of indicators (percent) that may go in one pass without `--allow-shrink`.
    pub max_shrink_percent: u8,
}

impl Default for Misp {
    fn default() -> Self {
        Misp {
            url: String::new(),
            token: None,
            token_file: None,
            ignore_cert_errors: false,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            proxy: None,
            timeout: Span::seconds(300),
            connections: 3,
            page_size: 50_000,
            initial_event_timestamp: Span::seconds(365 * 86_400),
            refresh_event_timestamp: Span::seconds(3600),
            filter: Vec::new(),
            published: false,
            unpublished_grace: Span::seconds(7 * 86_400),
            to_ids: true,
            enforce_warninglist: false,
            exclude_decayed: false,
            categories: Vec::new(),
            min_threat_level: None,
            event_published_after: None,
            timeframe: Span::seconds(0),
            max_shrink_percent: 20,
        }
    }
}

/// One clause of `misp.filter`: orgs AND tags AND types, each list an OR.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterClause {
    /// Organisations that created the event: id, name or UUID.
    #[serde(deserialize_with = "decode::ids")]
    pub orgs: Vec<String>,
    /// Tags of the attribute or its event, case as in MISP; `%` is a wildcard.
    pub tags: Vec<String>,
    /// Attribute types, of those the enabled categories load.
    pub types: Vec<String>,
}

/// MISP's threat levels, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThreatLevel {
    /// 1
    High = 1,
    /// 2
    Medium = 2,
    /// 3
    Low = 3,
    /// 4
    Undefined = 4,
}

/// One category of namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Whether its types are loaded.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How long an indicator stays after the pass that last delivered it; 0: for ever.
    #[serde(default = "Span::zero")]
    pub expires: Span,
}

fn yes() -> bool {
    true
}

impl Category {
    fn on() -> Category {
        Category { enabled: true, expires: Span::zero() }
    }

    fn off() -> Category {
        Category { enabled: false, expires: Span::zero() }
    }

    /// `other: {expires: 30d}` says nothing about `enabled`: it stays off.
    fn off_unless_said<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Category, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Other {
            #[serde(default)]
            enabled: bool,
            #[serde(default = "Span::zero")]
            expires: Span,
        }
        Other::deserialize(deserializer).map(|Other { enabled, expires }| Category { enabled, expires })
    }
}

/// The program's own files.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// Default: `$STATE_DIRECTORY`, else `/var/lib/misp2memcached` if writable,
    /// else `$XDG_STATE_HOME/misp2memcached` (`~/.local/state`).
    pub directory: Option<PathBuf>,
}
