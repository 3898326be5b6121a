//! memcached in a thread of its own: while it takes one list of changes, the
//! ledger is made ready for the next.

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
    done: Receiver<(Changes, Result<Applied>)>,
    under_way: bool,
}

impl Applier {
    /// Starts the thread, which ends with this. `now` is the moment that expiries count from.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>, fleet: &'scope mut Fleet, now: u64) -> Applier {
        let (jobs, list) = channel::<Changes>();
        let (results, done) = channel();
        scope.spawn(move || {
            for changes in list {
                let applied = fleet.apply(&changes, Expiry::Delivered, now);
                if results.send((changes, applied)).is_err() {
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

    /// Waits for the list that is under way and gives its memory back, empty; `None` if there is none.
    ///
    /// # Errors
    /// What memcached did not take.
    pub fn wait(&mut self) -> Result<Option<(Changes, Applied)>> {
        if !std::mem::take(&mut self.under_way) {
            return Ok(None);
        }
        let (mut changes, applied) = self.done.recv().map_err(|_| gone())?;
        changes.clear();
        applied.map(|applied| Some((changes, applied)))
    }
}

fn gone() -> Error {
    Error::new(Kind::Bug, "the thread that writes to memcached ended")
}
