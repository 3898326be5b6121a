//! The report for people: a table, and one line for cron's log.

use super::{Mended, Namespace, Report};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Skipped attributes that the table names; JSON names all that were kept.
const NAMED_IN_TABLE: usize = 10;

impl Report {
    /// One line for a log.
    pub fn line(&self) -> String {
        let total = self.totals();
        let skipped: u64 = self.skipped.values().sum();
        let mut line = format!(
            "{}pass done: window {} ({}){}, events {} listed {} fetched {} gone, attributes {}, indicators +{} -{}{}, skipped {}{}, {:.1} s",
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
            if self.dry_run { String::new() } else { format!(" ={}", total.unchanged) },
            skipped,
            if self.dry_run { String::new() } else { format!(", keys {}", self.keys) },
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
        let _ = writeln!(out);
        // What stays is not counted in a dry run.
        let shown = if self.dry_run { 2 } else { 4 };
        let columns = ["added", "removed", "unchanged", "keys"].map(String::from);
        let mut row = |name: &str, cells: [String; 4]| {
            let cells: String = cells.iter().take(shown).map(|cell| format!(" {cell:>10}")).collect();
            let _ = writeln!(out, "{name:width$}{cells}");
        };
        let counted = |n: &Namespace| [n.added, n.removed, n.unchanged, n.keys].map(|n| n.to_string());
        row("Namespace", columns);
        for (name, n) in &self.namespaces {
            row(name, counted(n));
        }
        row("total", counted(&self.totals()));
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
