//! What a pass did, as data: the keys of `load --json`, and the exit code that follows. As
//! table and line it is in `text`, and what to do about it in `advice`. Pure.

mod advice;
mod text;

pub use advice::advice;
pub use text::bytes;

use crate::error::Kind;
use serde::Serialize;
use std::collections::BTreeMap;

/// The report of one pass. Its fields are the keys of `load --json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Nothing was written.
    pub dry_run: bool,
    /// `initial` or `refresh`, chosen by `misp-stats`.
    pub window: String,
    /// The length of that window in seconds.
    pub window_seconds: u64,
    /// Every event was fetched again: asked for, or because the configuration asks another question.
    pub full: bool,
    /// MISP's clock, Unix seconds.
    pub misp_time: u64,
    /// Events.
    pub events: Events,
    /// Attributes that MISP sent.
    pub attributes: u64,
    /// By namespace; an indicator counts once for each event and type that lists it.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Attributes that were no indicators, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// The first of them by name.
    pub skipped_attributes: Vec<Skipped>,
    /// Indicator keys held (the value of `misp-stats`); not counted in a dry run.
    pub keys: u64,
    /// Indicators put back on servers that had lost their data.
    pub refilled: u64,
    /// What was put right in memcached without asking MISP.
    pub mended: Mended,
    /// Tags that did not fit below memcached's item limit.
    pub tags_left_out: u64,
    /// Keys that memcached refused to store.
    pub keys_refused: u64,
    /// The servers.
    pub memcached: Vec<Server>,
    /// Servers that could not be reached, or broke off: they miss this pass.
    pub unreachable: Vec<Unreachable>,
    /// Falco's files.
    pub falco: Option<Falco>,
    /// Wazuh's CDB lists.
    pub cdb: Option<Cdb>,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// Events of a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Events {
    /// In MISP's list.
    pub listed: u64,
    /// Of these inside the window and the filter of the list.
    pub wanted: u64,
    /// Whose attributes were fetched.
    pub fetched: u64,
    /// That MISP no longer has, or that are no longer wanted.
    pub gone: u64,
    /// That stay though an edit has unpublished them.
    pub unpublished: u64,
}

/// Keys that were not as the ledger says, found by a full pass or after evictions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Mended {
    /// Keys that memcached had lost.
    pub restored: u64,
    /// Keys that had another value or expiry.
    pub corrected: u64,
    /// Keys that no event backs, which went.
    pub swept: u64,
}

impl From<crate::cache::enforce::Mended> for Mended {
    fn from(m: crate::cache::enforce::Mended) -> Mended {
        Mended { restored: m.restored, corrected: m.corrected, swept: m.swept }
    }
}

impl std::ops::AddAssign for Mended {
    fn add_assign(&mut self, other: Mended) {
        self.restored += other.restored;
        self.corrected += other.corrected;
        self.swept += other.swept;
    }
}

/// One namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// Indicators that are new.
    pub added: u64,
    /// Indicators that went.
    pub removed: u64,
    /// Indicators that stayed; not counted in a dry run.
    pub unchanged: u64,
    /// Keys held; not counted in a dry run.
    pub keys: u64,
}

/// A skipped attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Event id.
    pub event: u64,
    /// Attribute id.
    pub attribute: u64,
    /// Attribute type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Why.
    pub reason: &'static str,
}

/// One memcached server after the pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Its address.
    pub address: String,
    /// Items it holds, ours and others'.
    pub items: u64,
    /// Bytes they take.
    pub bytes: u64,
    /// The most it may use (`-m`).
    pub limit_bytes: u64,
    /// Items it threw out since it started, for want of memory.
    pub evictions: u64,
    /// Items it threw out during this pass.
    pub evicted_now: u64,
    /// About what our keys take.
    pub needed_bytes: u64,
    /// Whether that fits.
    pub fits: bool,
}

/// A memcached server that was not served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    /// Its address.
    pub address: String,
    /// Why, and what to change.
    pub reason: String,
}

/// Falco's files after the pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Falco {
    /// Files whose bytes changed.
    pub written: Vec<String>,
    /// Addresses and networks listed.
    pub listed: u64,
    /// Left out, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// Left out because of the caps.
    pub cut: u64,
}

/// Wazuh's CDB lists after the pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cdb {
    /// Files whose bytes changed.
    pub written: Vec<String>,
    /// Keys in all lists.
    pub keys: u64,
    /// Indicators left out, by reason.
    pub left_out: BTreeMap<String, u64>,
}

impl Report {
    /// Added and removed in all.
    fn totals(&self) -> Namespace {
        let mut total = Namespace { keys: self.keys, ..Namespace::default() };
        for n in self.namespaces.values() {
            total.added += n.added;
            total.removed += n.removed;
            total.unchanged += n.unchanged;
        }
        total
    }

    /// Whether indicators came or went.
    pub fn has_changes(&self) -> bool {
        self.namespaces.values().any(|n| n.added + n.removed > 0)
    }

    /// The exit code that says so: what was refused, thrown out again or not delivered is
    /// not there for the readers.
    pub fn exit_code(&self) -> u8 {
        let thrown_out = self.memcached.iter().any(|server| server.evicted_now > 0);
        let lost = self.keys_refused > 0 || thrown_out || !self.unreachable.is_empty();
        if lost { Kind::Unavailable.exit_code() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            window: "initial".into(),
            window_seconds: 365 * 86_400,
            misp_time: 1_795_220_400,
            events: Events { listed: 13, wanted: 12, fetched: 12, gone: 1, unpublished: 2 },
            attributes: 177,
            namespaces: BTreeMap::from([
                ("ip".to_owned(), Namespace { added: 30, removed: 1, unchanged: 4, keys: 33 }),
                ("user-agent".to_owned(), Namespace { added: 1, removed: 0, unchanged: 0, keys: 1 }),
            ]),
            skipped: BTreeMap::from([("bad address".to_owned(), 12)]),
            skipped_attributes: (1..=12)
                .map(|i| Skipped { event: 3, attribute: i, kind: "ip-dst".into(), reason: "bad address" })
                .collect(),
            keys: 34,
            refilled: 5,
            mended: Mended { restored: 3, corrected: 2, swept: 1 },
            memcached: vec![Server {
                address: "127.0.0.1:11211".into(),
                items: 37,
                bytes: 3_000,
                limit_bytes: 64 << 20,
                evictions: 0,
                evicted_now: 0,
                needed_bytes: 4_000,
                fits: true,
            }],
            falco: Some(Falco {
                written: vec!["/etc/falco/rules.d/misp2memcached.yaml".into()],
                listed: 28,
                left_out: BTreeMap::from([("private".to_owned(), 2)]),
                cut: 0,
            }),
            cdb: Some(Cdb {
                written: vec!["/var/ossec/etc/lists/misp-ip".into(), "/var/ossec/etc/lists/misp-md5".into()],
                keys: 30,
                left_out: BTreeMap::from([("IPv6 network".to_owned(), 1)]),
            }),
            seconds: 0.25,
            ..Report::default()
        }
    }

    fn golden(name: &str, text: &str) {
        let path = format!("{}/tests/golden/report/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, expected, "{path} differs");
    }

    #[test]
    fn table_and_line() {
        golden("table.txt", &report().table());
        golden("line.txt", &format!("{}\n", report().line()));
        assert_eq!(report().brief(), "initial, 12 of 13 events fetched, indicators +31 -1 =4, 0.2 s");
        let dry = Report { dry_run: true, ..report() };
        assert!(dry.line().contains("indicators +31 -1, skipped 12, 0.2 s"), "{}", dry.line());
        assert!(dry.table().contains("Namespace       added    removed\nip"), "{}", dry.table());
    }

    #[test]
    fn a_cache_that_is_too_small_is_named() {
        let mut small = report();
        small.memcached[0].fits = false;
        small.memcached[0].needed_bytes = 113_000_000;
        small.memcached[0].evicted_now = 511_000;
        small.tags_left_out = 3;
        small.unreachable = vec![Unreachable {
            address: "10.0.0.5:11211".into(),
            reason: "memcached 10.0.0.5:11211: it closed the connection".into(),
        }];
        assert!(small.line().ends_with(", 1 of 2 memcached not served"));
        assert!(small.table().contains("memcached   10.0.0.5:11211: NOT SERVED\n"));
        golden("warnings.txt", &format!("{}\n", small.warnings().join("\n")));
    }
}
