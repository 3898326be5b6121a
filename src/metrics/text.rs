//! Metrics as text: Prometheus' text format 0.0.4, names by its conventions. Pure.

use super::totals::{Memory, Totals};
use crate::follow::counts::Counts;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};

/// The whole file. `ledger`: its bytes.
pub fn render(totals: &Totals, ledger: u64, follow: Option<&Counts>) -> String {
    let mut page = Page::default();
    page.one("last_run_timestamp_seconds", "gauge", "When the last pass ended.", totals.last_run);
    page.one("last_run_exit_code", "gauge", "The exit code of the last pass; 0 is good.", totals.last_code);
    page.one("last_success_timestamp_seconds", "gauge", "When the last good pass ended.", totals.last_success);
    page.one("last_success_duration_seconds", "gauge", "How long the last good pass took.", totals.last_seconds);
    page.all("runs_total", "counter", "Passes by exit code.", "exit_code", &totals.runs);
    page.all("keys", "gauge", "Indicator keys after the last good pass.", "namespace", &totals.keys);
    page.all(
        "indicators",
        "gauge",
        "Indicators: one for each event and type that lists a key.",
        "namespace",
        &totals.indicators,
    );
    page.all("added_total", "counter", "Indicators that passes added.", "namespace", &totals.added);
    page.all("removed_total", "counter", "Indicators that passes removed.", "namespace", &totals.removed);
    page.all("skipped_total", "counter", "Attributes that were no indicators.", "reason", &totals.skipped);
    page.one("attributes_total", "counter", "Attributes that MISP sent.", totals.attributes);
    page.all("events", "gauge", "Events of the last good pass by what became of them.", "fate", &totals.events);
    page.one("refilled_total", "counter", "Indicators put back on servers that had lost their data.", totals.refilled);
    page.all("mended_total", "counter", "Keys that were put right without MISP.", "what", &totals.mended);
    page.head("misp_request_seconds", "summary", "How long MISP took to answer requests.");
    page.line("misp_request_seconds_sum", &[], totals.request_seconds);
    page.line("misp_request_seconds_count", &[], totals.requests);
    page.one("misp_request_failures_total", "counter", "Requests to MISP that failed.", totals.failed_requests);
    page.one("ledger_bytes", "gauge", "Size of the ledger's file.", ledger);
    if let Some(listed) = totals.falco_listed {
        page.one("falco_listed", "gauge", "Addresses and networks in Falco's rules.", listed);
    }
    servers(&mut page, totals);
    if let Some(counts) = follow {
        live(&mut page, counts);
    }
    page.0
}

fn servers(page: &mut Page, totals: &Totals) {
    page.head("memcached_up", "gauge", "Whether the last good pass could serve the server.");
    let all = totals.servers.iter().map(|s| (&s.address, 1)).chain(totals.unreachable.iter().map(|a| (a, 0)));
    for (address, up) in all {
        page.line("memcached_up", &[("server", address)], up);
    }
    type Figure = fn(&Memory) -> u64;
    let figures: [(&str, &str, &str, Figure); 5] = [
        ("memcached_items", "gauge", "Items the server holds.", |m| m.items),
        ("memcached_bytes", "gauge", "Bytes its items take.", |m| m.bytes),
        ("memcached_limit_bytes", "gauge", "The most it may use.", |m| m.limit),
        ("memcached_needed_bytes", "gauge", "About what our keys take.", |m| m.needed),
        ("memcached_evictions_total", "counter", "Items it threw out since it started.", |m| m.evictions),
    ];
    for (name, kind, help, figure) in figures {
        page.head(name, kind, help);
        for server in &totals.servers {
            page.line(name, &[("server", &server.address)], figure(server));
        }
    }
}

fn live(page: &mut Page, c: &Counts) {
    page.one("follow_up", "gauge", "Whether the line to MISP's publisher is up.", u8::from(c.up));
    page.all("follow_messages_total", "counter", "Messages by kind.", "kind", &c.messages);
    page.one("follow_unreadable_total", "counter", "Messages that could not be read.", c.unreadable);
    page.one("follow_connects_total", "counter", "How often the line came up.", c.connects);
    page.one("follow_disconnects_total", "counter", "How often the line went down.", c.disconnects);
    page.one("follow_last_message_timestamp_seconds", "gauge", "When the last message came.", c.last_message);
    let alive = "When the publisher last said that it is alive.";
    page.one("follow_last_heartbeat_timestamp_seconds", "gauge", alive, c.last_heartbeat);
    page.one("follow_written_timestamp_seconds", "gauge", "When these were written.", c.now);
    page.one("follow_added_total", "counter", "Indicators that messages added.", c.added);
    page.one("follow_looks_total", "counter", "Requests for the state of events.", c.looks);
    page.one("follow_failed_looks_total", "counter", "Those that failed.", c.failed_looks);
    page.one("follow_passes_total", "counter", "Passes that follow made.", c.passes);
    page.one("follow_failed_passes_total", "counter", "Those that failed.", c.failed_passes);
    page.one("follow_lag_seconds", "gauge", "From a message's arrival to its key, the last time.", c.lag);
    page.one("follow_longest_lag_seconds", "gauge", "The same at the longest.", c.longest_lag);
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP misp2memcached_{name} {help}\n# TYPE misp2memcached_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "misp2memcached_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }

    fn all<K: ToString>(&mut self, name: &str, kind: &str, help: &str, label: &str, values: &BTreeMap<K, u64>) {
        self.head(name, kind, help);
        for (text, value) in values {
            self.line(name, &[(label, &text.to_string())], value);
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
