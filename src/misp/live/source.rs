//! What every transport does: hand over messages as they come, and say when the line
//! is up and when it was down, since what was sent meanwhile is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes what a transport brings. A source calls it from a thread of its own.
pub trait Sink: Send + Sync {
    /// A message's JSON; `number` counts the messages of this source from 1.
    fn message(&self, number: u64, json: &[u8]);

    /// A message that no JSON can be taken from, and why.
    fn unreadable(&self, why: &str);

    /// The line is up: what is sent from now on comes.
    fn up(&self);

    /// The line is down, and why.
    fn down(&self, why: &str);

    /// The number of the last message all of whose effects, and those of the ones before,
    /// are in the ledger and in memcached.
    fn settled(&self) -> u64;
}

/// Tells a source to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends it.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
