//! What the cache holds, as each memcached tells it.

use super::{line, span};
use crate::cache::fleet::Fleet;
use crate::cache::server::Server;
use crate::config::Config;
use crate::error::Result;
use crate::misp::client::local_now;
use crate::pass::window::held;
use crate::report::{advice, bytes};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Evicted or expired keys are normal in small numbers; a share of missing keys
/// above this is worth a line.
const MISSING_PERCENT: u64 = 1;

/// One server, as it is now. Its fields are the keys of `status --json`.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    address: String,
    version: String,
    /// `misp-stats`: keys after the last pass.
    stats: Option<u64>,
    /// `misp-last-load`, Unix seconds.
    last_load: Option<u64>,
    /// Seconds since then.
    age_seconds: Option<u64>,
    /// `misp-networks`.
    networks: String,
    /// Keys it holds now, by namespace.
    namespaces: BTreeMap<String, u64>,
    /// All of these.
    keys: u64,
    items: u64,
    bytes: u64,
    limit_bytes: u64,
    evictions: u64,
    /// Whether all keys of the last pass are still there and nothing was thrown out.
    fits: bool,
}

impl Status {
    /// All servers that can be reached.
    pub(super) fn read(fleet: &mut Fleet, config: &Config) -> Result<Vec<Status>> {
        let own = [fleet.keys().stats(), fleet.keys().last_load(), fleet.keys().networks()];
        let prefix = &config.memcached.prefix;
        let all = fleet.each(|server| Status::of(server, &own, prefix))?;
        Ok(all.into_iter().map(|(_, status)| status).collect())
    }

    /// Whether a pass ever wrote to it.
    pub(super) fn is_loaded(&self) -> bool {
        self.last_load.is_some()
    }

    fn of(server: &mut Server, own: &[Vec<u8>], prefix: &str) -> Result<Status> {
        let values = server.get(own)?;
        let text = |i: usize| values[i].as_deref().map(|v| String::from_utf8_lossy(v).trim().to_owned());
        let last_load: Option<u64> = text(1).and_then(|t| t.parse().ok());
        let general = server.stats("")?;
        let number = |name: &str| general.get(name).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
        let namespaces = server.count_keys(prefix)?;
        let keys = namespaces.values().sum();
        let stats = values[0].as_deref().map(|v| held(Some(v)));
        let evictions = number("evictions");
        Ok(Status {
            address: server.address().to_string(),
            version: general.get("version").cloned().unwrap_or_default(),
            stats,
            last_load,
            age_seconds: last_load.map(|at| local_now().saturating_sub(at)),
            networks: text(2).unwrap_or_default(),
            keys,
            items: number("curr_items"),
            bytes: number("bytes"),
            limit_bytes: number("limit_maxbytes"),
            evictions,
            fits: evictions == 0 || keys >= stats.unwrap_or(0),
            namespaces,
        })
    }

    /// The lines for people; of a load that is older than `late` seconds they say so.
    pub(super) fn table(&self, late: u64) -> String {
        let mut out = line("memcached", format!("{} (version {})", self.address, self.version));
        out += &match self.age_seconds {
            Some(age) if age > late => {
                let text = format!("{} ago: older than two refresh windows, is the timer running?", span(age));
                line("Last load", text)
            }
            Some(age) => line("Last load", format!("{} ago", span(age))),
            None => line("Last load", "never: run `misp2memcached load`"),
        };
        let width = self.namespaces.keys().map(String::len).chain([9]).max().unwrap_or(9);
        let _ = writeln!(out, "\n{:width$} {:>10}", "Namespace", "keys");
        for (name, keys) in &self.namespaces {
            let _ = writeln!(out, "{name:width$} {keys:>10}");
        }
        let _ = writeln!(out, "{:width$} {:>10}\n", "total", self.keys);
        out += &line("Memory", self.memory());
        let wanted = self.stats.unwrap_or(0);
        let missing = wanted.saturating_sub(self.keys);
        if !self.fits {
            let more = self.bytes * wanted.max(1) / self.keys.max(1);
            let text = format!(
                "{missing} keys of the last pass are missing and memcached evicts: start it with -m {}",
                advice(more)
            );
            out += &line("Warning", text);
        } else if missing * 100 > wanted * MISSING_PERCENT {
            out += &line("Note", format!("{missing} keys of the last pass have expired or were deleted since"));
        }
        out
    }

    fn memory(&self) -> String {
        format!(
            "{} of {} used ({} %) by {} items, {} evicted since its start",
            bytes(self.bytes),
            bytes(self.limit_bytes),
            (self.bytes * 100).checked_div(self.limit_bytes).unwrap_or(0),
            self.items,
            self.evictions
        )
    }
}
