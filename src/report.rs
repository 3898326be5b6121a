//! What a pass did: a table for people, one line for cron's log, JSON for programs. Pure.

use crate::error::Kind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Skipped attributes that the table names; JSON names all that were kept.
const NAMED_IN_TABLE: usize = 10;

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
    /// Indicator keys held (the value of `misp-stats`).
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
    /// Indicators that stayed.
    pub unchanged: u64,
    /// Keys held.
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

    /// The exit code that says so: what was refused, thrown out again or not delivered is
    /// not there for the readers.
    pub fn exit_code(&self) -> u8 {
        let thrown_out = self.memcached.iter().any(|server| server.evicted_now > 0);
        let lost = self.keys_refused > 0 || thrown_out || !self.unreachable.is_empty();
        if lost { Kind::Unavailable.exit_code() } else { 0 }
    }

    /// One line for a log.
    pub fn line(&self) -> String {
        let total = self.totals();
        let skipped: u64 = self.skipped.values().sum();
        let mut line = format!(
            "{}pass done: window {} ({}){}, events {} listed {} fetched {} gone, attributes {}, indicators +{} -{} ={}, skipped {}, keys {}, {:.1} s",
            if self.dry_run { "dry run, nothing written; " } else { "" },
            self.window,
            crate::config::Span::seconds(self.window_seconds),
            if self.full { " full" } else { "" },
            self.events.listed,
            self.events.fetched,
            self.events.gone,
            self.attributes,
            total.added,
            total.removed,
            total.unchanged,
            skipped,
            self.keys,
            self.seconds,
        );
        if self.refilled > 0 {
            let _ = write!(line, ", refilled {}", self.refilled);
        }
        if self.mended != Mended::default() {
            let Mended { restored, corrected, swept } = self.mended;
            let _ = write!(line, ", mended: {restored} restored {corrected} corrected {swept} swept");
        }
        if !self.unreachable.is_empty() {
            let all = self.memcached.len() + self.unreachable.len();
            let _ = write!(line, ", {} of {all} memcached not served", self.unreachable.len());
        }
        line
    }

    /// Whether indicators came or went.
    pub fn has_changes(&self) -> bool {
        self.namespaces.values().any(|n| n.added + n.removed > 0)
    }

    /// The least that is worth knowing of a pass that went well.
    pub fn brief(&self) -> String {
        let total = self.totals();
        format!(
            "{}{}, {} of {} events fetched, indicators +{} -{} ={}, {:.1} s",
            self.window,
            if self.full { " full" } else { "" },
            self.events.fetched,
            self.events.listed,
            total.added,
            total.removed,
            total.unchanged,
            self.seconds,
        )
    }

    /// What somebody has to look at, a line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for server in &self.unreachable {
            warnings.push(format!(
                "{}; it missed this pass, and the first one that reaches it again makes it exact",
                server.reason
            ));
        }
        for server in &self.memcached {
            if !server.fits {
                warnings.push(format!(
                    "memcached {} is too small: our keys take about {}, its limit is {} and it threw out {} items during this pass; start it with -m {}",
                    server.address,
                    bytes(server.needed_bytes),
                    bytes(server.limit_bytes),
                    server.evicted_now,
                    advice(server.needed_bytes),
                ));
            }
        }
        if self.tags_left_out > 0 {
            warnings.push(format!(
                "{} tags did not fit below memcached's item limit: the newest events were kept; a larger -I helps",
                self.tags_left_out
            ));
        }
        if self.keys_refused > 0 {
            warnings.push(format!("memcached refused {} keys; the next pass tries them again", self.keys_refused));
        }
        if let Some(falco) = &self.falco
            && falco.cut > 0
        {
            warnings.push(format!(
                "{} addresses and networks are not in Falco's lists: the newest were kept (falco.max_addresses, falco.max_networks)",
                falco.cut
            ));
        }
        warnings
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let window = crate::config::Span::seconds(self.window_seconds);
        let _ = writeln!(
            out,
            "Window      {} ({window}){}{}",
            self.window,
            if self.full { ", every event fetched again" } else { "" },
            if self.dry_run { ", dry run: nothing was written" } else { "" },
        );
        let e = &self.events;
        let _ =
            write!(out, "Events      {} listed, {} wanted, {} fetched, {} gone", e.listed, e.wanted, e.fetched, e.gone);
        let _ =
            if e.unpublished > 0 { writeln!(out, ", {} kept while unpublished", e.unpublished) } else { writeln!(out) };
        let _ = writeln!(out, "Attributes  {} received", self.attributes);
        if self.refilled > 0 {
            let _ = writeln!(out, "Refilled    {} indicators from the ledger", self.refilled);
        }
        if self.mended != Mended::default() {
            let Mended { restored, corrected, swept } = self.mended;
            let _ = writeln!(out, "Mended      {restored} keys restored, {corrected} corrected, {swept} swept");
        }
        let width = self.namespaces.keys().map(String::len).chain([9]).max().unwrap_or(9);
        let _ = writeln!(
            out,
            "\n{:width$} {:>10} {:>10} {:>10} {:>10}",
            "Namespace", "added", "removed", "unchanged", "keys"
        );
        for (name, n) in &self.namespaces {
            let _ = writeln!(out, "{name:width$} {:>10} {:>10} {:>10} {:>10}", n.added, n.removed, n.unchanged, n.keys);
        }
        let t = self.totals();
        let _ =
            writeln!(out, "{:width$} {:>10} {:>10} {:>10} {:>10}", "total", t.added, t.removed, t.unchanged, t.keys);
        if !self.skipped.is_empty() {
            let _ = writeln!(out, "\nSkipped");
            for (reason, count) in &self.skipped {
                let _ = writeln!(out, "  {count:>8}  {reason}");
            }
            for s in self.skipped_attributes.iter().take(NAMED_IN_TABLE) {
                let _ = writeln!(
                    out,
                    "            event {}, attribute {} ({}): {}",
                    s.event, s.attribute, s.kind, s.reason
                );
            }
            let more = self.skipped.values().sum::<u64>().saturating_sub(NAMED_IN_TABLE as u64);
            if more > 0 {
                let _ = writeln!(out, "            and {more} more (--json names {})", self.skipped_attributes.len());
            }
        }
        let _ = writeln!(out);
        for s in &self.memcached {
            let verdict = if s.fits { "it fits" } else { "TOO SMALL" };
            let _ = writeln!(
                out,
                "memcached   {}: {} items, {} of {} used, {} evicted; our keys take about {}: {verdict}",
                s.address,
                s.items,
                bytes(s.bytes),
                bytes(s.limit_bytes),
                s.evictions,
                bytes(s.needed_bytes),
            );
        }
        for s in &self.unreachable {
            let _ = writeln!(out, "memcached   {}: NOT SERVED", s.address);
        }
        if let Some(f) = &self.falco {
            let _ = write!(out, "Falco       {} addresses and networks", f.listed);
            files(&mut out, &f.left_out, &f.written);
        }
        if let Some(c) = &self.cdb {
            let _ = write!(out, "Wazuh       {} keys in CDB lists", c.keys);
            files(&mut out, &c.left_out, &c.written);
        }
        let _ = writeln!(out, "Time        {:.1} s", self.seconds);
        for warning in self.warnings() {
            let _ = writeln!(out, "Warning     {warning}");
        }
        out
    }
}

/// The rest of a line of the table: what is not in files, and which were written.
fn files(out: &mut String, left_out: &BTreeMap<String, u64>, written: &[String]) {
    for (reason, count) in left_out {
        let _ = write!(out, ", {count} {reason}");
    }
    let _ = match written {
        [] => writeln!(out, "; files unchanged"),
        files => writeln!(out, "; written: {}", files.join(", ")),
    };
}

/// A number of bytes as people read it.
pub fn bytes(n: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    match n {
        0..=1023 => format!("{n} B"),
        1024..MIB => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / MIB as f64),
    }
}

/// The `-m` (megabytes) that holds so many bytes with a third of room to spare.
pub fn advice(needed: u64) -> u64 {
    (needed + needed / 3).div_ceil(1024 * 1024).max(64)
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
