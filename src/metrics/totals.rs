//! What metrics count over all runs. Pure.

use crate::error::Result;
use crate::misp::client::Requests;
use crate::report::{Namespace, Report, Server};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The counters of all runs and the gauges of the last good one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Passes by exit code.
    pub runs: BTreeMap<u8, u64>,
    /// When the last pass ended, Unix seconds of our own clock.
    pub last_run: u64,
    /// The exit code that it had, or would have had.
    pub last_code: u8,
    /// When the last good one ended.
    pub last_success: u64,
    /// How long that took, in seconds.
    pub last_seconds: f64,
    /// Indicators added, by namespace.
    pub added: BTreeMap<String, u64>,
    /// Indicators removed, by namespace.
    pub removed: BTreeMap<String, u64>,
    /// Attributes that were no indicators, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Attributes that MISP sent.
    pub attributes: u64,
    /// Indicators put back on servers that had lost their data.
    pub refilled: u64,
    /// Keys put right without MISP: restored, corrected, swept.
    pub mended: BTreeMap<String, u64>,
    /// Requests to MISP.
    pub requests: u64,
    /// Those that failed.
    pub failed_requests: u64,
    /// Seconds that MISP took for them.
    pub request_seconds: f64,
    /// Keys by namespace.
    pub keys: BTreeMap<String, u64>,
    /// Indicators by namespace: one for each event and type that lists a key.
    pub indicators: BTreeMap<String, u64>,
    /// Events by what became of them in the last good pass.
    pub events: BTreeMap<String, u64>,
    /// The servers after it.
    pub servers: Vec<Memory>,
    /// Servers that were not served by it.
    pub unreachable: Vec<String>,
    /// Addresses and networks in Falco's rules.
    pub falco_listed: Option<u64>,
}

/// One server's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Its address.
    pub address: String,
    /// Items it holds.
    pub items: u64,
    /// Bytes they take.
    pub bytes: u64,
    /// The most it may use.
    pub limit: u64,
    /// About what our keys take.
    pub needed: u64,
    /// Items it threw out since it started.
    pub evictions: u64,
}

impl From<&Server> for Memory {
    fn from(s: &Server) -> Memory {
        Memory {
            address: s.address.clone(),
            items: s.items,
            bytes: s.bytes,
            limit: s.limit_bytes,
            needed: s.needed_bytes,
            evictions: s.evictions,
        }
    }
}

impl Totals {
    /// Counts a pass that ended at `now`; `requests` are those of this process that were not counted yet.
    pub fn count(&mut self, outcome: &Result<Report>, now: u64, requests: Requests) {
        self.last_run = now;
        self.last_code = match outcome {
            Ok(report) => report.exit_code(),
            Err(e) => e.kind().exit_code(),
        };
        *self.runs.entry(self.last_code).or_default() += 1;
        self.requests += requests.all;
        self.failed_requests += requests.failed;
        self.request_seconds += requests.seconds;
        if let Ok(report) = outcome {
            self.take(report, now);
        }
    }

    fn take(&mut self, report: &Report, now: u64) {
        self.last_success = now;
        self.last_seconds = report.seconds;
        self.attributes += report.attributes;
        self.refilled += report.refilled;
        let mended = report.mended;
        for (what, n) in [("restored", mended.restored), ("corrected", mended.corrected), ("swept", mended.swept)] {
            *self.mended.entry(what.to_owned()).or_default() += n;
        }
        let sum = |into: &mut BTreeMap<String, u64>, of: &dyn Fn(&Namespace) -> u64| {
            for (name, namespace) in &report.namespaces {
                *into.entry(name.clone()).or_default() += of(namespace);
            }
        };
        sum(&mut self.added, &|n| n.added);
        sum(&mut self.removed, &|n| n.removed);
        for (reason, n) in &report.skipped {
            *self.skipped.entry(reason.clone()).or_default() += n;
        }
        self.keys = report.namespaces.iter().map(|(name, n)| (name.clone(), n.keys)).collect();
        self.indicators = report.namespaces.iter().map(|(name, n)| (name.clone(), n.added + n.unchanged)).collect();
        let events = &report.events;
        let by_fate = [
            ("listed", events.listed),
            ("wanted", events.wanted),
            ("fetched", events.fetched),
            ("gone", events.gone),
            ("unpublished", events.unpublished),
        ];
        self.events = by_fate.into_iter().map(|(fate, n)| (fate.to_owned(), n)).collect();
        self.servers = report.memcached.iter().map(Memory::from).collect();
        self.unreachable = report.unreachable.iter().map(|u| u.address.clone()).collect();
        self.falco_listed = report.falco.as_ref().map(|f| f.listed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    #[test]
    fn counters_grow_and_gauges_are_of_the_last_good_pass() {
        let mut totals = Totals::default();
        let namespace = Namespace { added: 3, removed: 1, unchanged: 4, keys: 6 };
        let report = Report {
            namespaces: [("ip".to_owned(), namespace)].into(),
            skipped: [("not an address".to_owned(), 2)].into(),
            attributes: 10,
            seconds: 1.5,
            ..Report::default()
        };
        let requests = Requests { all: 4, failed: 1, seconds: 0.5 };
        totals.count(&Ok(report.clone()), 100, requests);
        totals.count(&Ok(report), 200, requests);
        totals.count(&Err(Error::new(Kind::Unavailable, "away")), 300, requests);
        assert_eq!((totals.added["ip"], totals.removed["ip"], totals.skipped["not an address"]), (6, 2, 4));
        assert_eq!((totals.keys["ip"], totals.indicators["ip"], totals.attributes), (6, 7, 20));
        assert_eq!((totals.last_run, totals.last_success, totals.last_code), (300, 200, 69));
        assert_eq!((totals.runs[&0], totals.runs[&69], totals.requests, totals.failed_requests), (2, 1, 12, 3));
        let text = serde_json::to_string(&totals).unwrap();
        assert_eq!(serde_json::from_str::<Totals>(&text).unwrap(), totals);
        assert_eq!(serde_json::from_str::<Totals>("{}").unwrap(), Totals::default(), "of another version");
    }
}
