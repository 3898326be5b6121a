//! `status`: what the cache holds, as the servers themselves tell it.

use super::{json_line, print, state_directory};
use crate::cache::fleet::Fleet;
use crate::cache::server::Server;
use crate::config::Config;
use crate::error::{Kind, Result};
use crate::follow::counts::Counts;
use crate::follow::run::FILE_NAME;
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
struct Status {
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

pub(super) fn run(config: &Config, json: bool) -> Result<u8> {
    let mut fleet = Fleet::open(&config.memcached)?;
    let prefix = config.memcached.prefix.clone();
    let (stats, last_load, networks) = (fleet.keys().stats(), fleet.keys().last_load(), fleet.keys().networks());
    let own = [stats, last_load, networks];
    let all: Vec<Status> =
        fleet.each(|server| one(server, &own, &prefix))?.into_iter().map(|(_, status)| status).collect();
    let missing: Vec<String> = fleet.unreachable().map(|(address, _)| address.to_string()).collect();
    let follow = following(config);
    if json {
        print(&json_line(&serde_json::json!({ "memcached": all, "unreachable": missing, "follow": follow }))?)?;
    } else {
        let mut text: Vec<String> = all.iter().map(|s| table(s, config)).collect();
        text.extend(follow.map(|counts| {
            let lines = counts.told(local_now());
            lines.iter().zip(["Follow"].into_iter().chain(std::iter::repeat(""))).fold(
                String::new(),
                |mut out, (line, head)| {
                    let _ = writeln!(out, "{head:11} {line}");
                    out
                },
            )
        }));
        text.extend(missing.iter().map(|address| format!("memcached   {address}: CANNOT BE REACHED\n")));
        print(text.join("\n").as_bytes())?;
    }
    Ok(if missing.is_empty() { 0 } else { Kind::Unavailable.exit_code() })
}

/// What a running `follow` has written down, if there is one on this machine.
fn following(config: &Config) -> Option<Counts> {
    let file = state_directory(config).ok()?.join(FILE_NAME);
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

fn one(server: &mut Server, own: &[Vec<u8>], prefix: &str) -> Result<Status> {
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

fn table(s: &Status, config: &Config) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "memcached   {} (version {})", s.address, s.version);
    let _ = match s.age_seconds {
        Some(age) => {
            let late = age > 2 * config.misp.refresh_event_timestamp.as_secs();
            let note = if late { ": older than two refresh windows, is the timer running?" } else { "" };
            writeln!(out, "Last load   {} ago{note}", humantime::format_duration(std::time::Duration::from_secs(age)))
        }
        None => writeln!(out, "Last load   never: run `misp2memcached load`"),
    };
    let width = s.namespaces.keys().map(String::len).chain([9]).max().unwrap_or(9);
    let _ = writeln!(out, "\n{:width$} {:>10}", "Namespace", "keys");
    for (name, keys) in &s.namespaces {
        let _ = writeln!(out, "{name:width$} {keys:>10}");
    }
    let _ = writeln!(out, "{:width$} {:>10}\n", "total", s.keys);
    let _ = writeln!(
        out,
        "Memory      {} of {} used by {} items, {} evicted since its start",
        bytes(s.bytes),
        bytes(s.limit_bytes),
        s.items,
        s.evictions
    );
    let missing = s.stats.unwrap_or(0).saturating_sub(s.keys);
    if !s.fits {
        let more = s.bytes * s.stats.unwrap_or(1).max(1) / s.keys.max(1);
        let _ = writeln!(
            out,
            "Warning     {missing} keys of the last pass are missing and memcached evicts: start it with -m {}",
            advice(more)
        );
    } else if missing * 100 > s.stats.unwrap_or(0) * MISSING_PERCENT {
        let _ = writeln!(out, "Note        {missing} keys of the last pass have expired or were deleted since");
    }
    out
}
