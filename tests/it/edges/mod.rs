//! One case at a time, each against a real memcached: what the random worlds reach
//! too rarely or not at all.

mod clocks;
mod expiry;
mod falco_files;
mod fleets;
mod limits;
mod publishing;
mod questions;
mod selection;

use misp2memcached::demo::{Attribute, Event};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

/// MISP's clock in most of these tests.
const NOW: u64 = 1_795_300_000;

/// An event of these attributes, to be added.
fn event(attributes: &[(&str, &str)]) -> Event {
    attributes.iter().fold(Event::new("e"), |event, (kind, value)| event.with(Attribute::new(kind, value)))
}

/// Unix seconds of this machine.
fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// Waits until this is so, but not for ever.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}
