//! `status`: the place to look first.
//!
//! - [`servers`]: what the cache holds, as memcached itself tells it
//! - [`here`]: what this machine knows: the last passes, the ledger, what waits, `follow`

mod here;
mod servers;

use super::{json_line, print, state_directory};
use crate::cache::fleet::Fleet;
use crate::config::Config;
use crate::error::{Kind, Result};
use crate::misp::client::local_now;
use here::Here;
use servers::Status;
use std::fmt::Display;
use std::time::Duration;

pub(super) fn run(config: &Config, json: bool) -> Result<u8> {
    let mut fleet = Fleet::open(&config.memcached)?;
    let all = Status::read(&mut fleet, config)?;
    let missing: Vec<String> = fleet.unreachable().map(|(address, _)| address.to_string()).collect();
    let here = state_directory(config).ok().map(|directory| Here::read(config, &directory));
    if json {
        print(&json_line(&serde_json::json!({
            "memcached": all,
            "unreachable": missing,
            "passes": here.as_ref().map(Here::passes),
            "ledger": here.as_ref().and_then(Here::ledger),
            "waiting": here.as_ref().map(Here::waiting),
            "follow": here.as_ref().and_then(Here::follow),
        }))?)?;
    } else {
        let late = config.misp.refresh_event_timestamp.as_secs().saturating_mul(2);
        let mut text: Vec<String> = all.iter().map(|server| server.table(late)).collect();
        let loaded = all.iter().any(|server| server.is_loaded());
        text.extend(here.map(|here| here.table(local_now(), loaded)).filter(|text| !text.is_empty()));
        text.extend(missing.iter().map(|address| line("memcached", format!("{address}: CANNOT BE REACHED"))));
        print(text.join("\n").as_bytes())?;
    }
    Ok(if missing.is_empty() { 0 } else { Kind::Unavailable.exit_code() })
}

/// A line of the table: a heading, or nothing below one, and what there is to say.
fn line(heading: &str, text: impl Display) -> String {
    format!("{heading:11} {text}\n")
}

/// A number of seconds as people read it.
fn span(seconds: u64) -> impl Display {
    humantime::format_duration(Duration::from_secs(seconds))
}
