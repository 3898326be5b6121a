//! memcached in a thread of its own: while it takes one list of changes, the
//! ledger is made ready for the next.

use super::told::Told;
use crate::cache::bulk::Applied;
use crate::cache::changes::Changes;
use crate::cache::fleet::Fleet;
use crate::cache::merge::Expiry;
use crate::error::{Error, Kind, Result};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

/// The way to the thread. At most one list is under way.
pub struct Applier {
    jobs: Sender<Changes>,
    done: Receiver<Done>,
    under_way: bool,
}

/// What became of a list of changes.
pub struct Done {
    /// The list's memory, empty.
    pub memory: Changes,
    /// What the servers did; an error where none is left.
    pub applied: Result<Applied>,
    /// The addresses of servers that broke off: they may have a part of it, or nothing.
    pub lost: Vec<String>,
}

impl Applier {
    /// Starts the thread, which ends with this. `now` is the moment that expiries count
    /// from, `told` what readers know of the keys.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        fleet: &'scope mut Fleet,
        now: u64,
        told: &'scope mut Told,
    ) -> Applier {
        let (jobs, list) = channel::<Changes>();
        let (results, done) = channel();
        scope.spawn(move || {
            for mut memory in list {
                let ready = told.before(fleet, &memory);
                let applied = ready.and_then(|()| fleet.apply(&memory, Expiry::Delivered, now));
                memory.clear();
                if results.send(Done { memory, applied, lost: fleet.newly_lost() }).is_err() {
                    return;
                }
            }
        });
        Applier { jobs, done, under_way: false }
    }

    /// Hands a list over; the one before must have been waited for.
    ///
    /// # Errors
    /// [`Kind::Bug`]: the thread is gone.
    pub fn begin(&mut self, changes: Changes) -> Result<()> {
        debug_assert!(!self.under_way);
        self.under_way = true;
        self.jobs.send(changes).map_err(|_| gone())
    }

    /// Waits for the list that is under way; `None` if there is none.
    ///
    /// # Errors
    /// [`Kind::Bug`]: the thread is gone.
    pub fn wait(&mut self) -> Result<Option<Done>> {
        if !std::mem::take(&mut self.under_way) {
            return Ok(None);
        }
        self.done.recv().map(Some).map_err(|_| gone())
    }
}

fn gone() -> Error {
    Error::new(Kind::Bug, "the thread that writes to memcached ended")
}
