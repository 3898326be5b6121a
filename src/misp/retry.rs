//! The wait between two tries of a request, and when there is no other. It knows
//! what a failure means, not what was asked.

use super::client::Failure;
use crate::error::Result;
use std::thread;
use std::time::Duration;

/// Failures in a row, without a whole batch in between, that end the pass. Those
/// that made the next request smaller do not count: they end by themselves.
const MAX_FAILURES: u32 = 6;

/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// No wait between two tries is longer, but for one that MISP asks for.
const MAX_WAIT: Duration = Duration::from_secs(8);

/// MISP's rate limit is reset every 15 minutes (recordings, `ratelimit/`); a
/// server that asks for more is not waited for.
const MAX_RATE_WAIT: Duration = Duration::from_secs(16 * 60);

/// Waits between tries, and gives up in the end.
#[derive(Debug, Default)]
pub struct Retry {
    failures: u32,
    waited_for_rate: Duration,
}

impl Retry {
    /// Waits as long as the failure asks for, a moment where `smaller` says that the
    /// next request asks for less; returns early where `stopped` says so.
    ///
    /// # Errors
    /// The failure's error, where another try is of no use.
    pub fn wait(&mut self, failure: Failure, smaller: bool, stopped: &dyn Fn() -> bool) -> Result<()> {
        let mut left = match &failure {
            Failure::Final(_) => return Err(failure.into_error()),
            Failure::RateLimited(wait) => {
                self.waited_for_rate += *wait;
                if self.waited_for_rate > MAX_RATE_WAIT {
                    return Err(failure.into_error());
                }
                log::warn!("MISP limits the rate of this key: waiting {} s", wait.as_secs());
                *wait
            }
            Failure::Passing(e) | Failure::Unreached(e) if smaller => {
                log::warn!("{e}; trying again");
                FIRST_WAIT
            }
            Failure::Passing(e) | Failure::Unreached(e) => {
                self.failures += 1;
                if self.failures >= MAX_FAILURES {
                    return Err(failure.into_error());
                }
                log::warn!("{e}; trying again");
                (FIRST_WAIT * 2_u32.pow(self.failures - 1)).min(MAX_WAIT)
            }
        };
        while !left.is_zero() && !stopped() {
            let step = left.min(Duration::from_millis(100));
            thread::sleep(step);
            left -= step;
        }
        Ok(())
    }
}
