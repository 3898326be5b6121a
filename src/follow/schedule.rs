//! When the writer does what no message asks for. Pure: the moment is always handed in.

use std::time::{Duration, Instant};

/// How often memcached is asked whether it still has what it was given.
const PING: Duration = Duration::from_secs(10);

/// The wait after a pass that failed; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// No such wait is longer.
const MAX_RETRY: Duration = Duration::from_secs(300);

/// A look that took less is no burden.
const SHORT: Duration = Duration::from_secs(1);

/// Else MISP is asked for events at most a tenth of the time, so that a very large one that
/// is edited again and again does not keep it busy.
const REST: u32 = 9;

/// The longest of these rests.
const MAX_REST: Duration = Duration::from_secs(60);

/// How often what was counted is written down.
const WRITTEN: Duration = Duration::from_secs(10);

/// When what is due.
#[derive(Debug)]
pub struct Schedule {
    refresh: Duration,
    falco_interval: Option<Duration>,
    pass: Instant,
    /// Passes that failed, in a row.
    failures: u32,
    ping: Instant,
    look: Instant,
    written: Instant,
    /// Since when Falco's files may be out of date.
    changed: Option<Instant>,
    falco: Option<Instant>,
}

impl Schedule {
    /// All of it is due at once. A pass every `refresh`; Falco's files at most once in
    /// `falco_interval`, if there are any.
    pub fn new(refresh: Duration, falco_interval: Option<Duration>, now: Instant) -> Schedule {
        Schedule {
            refresh,
            falco_interval,
            pass: now,
            failures: 0,
            ping: now + PING,
            look: now,
            written: now,
            changed: None,
            falco: None,
        }
    }

    /// The first moment at which something is due.
    pub fn next(&self) -> Instant {
        let soon = self.pass.min(self.ping).min(self.written);
        self.falco_due().map_or(soon, |falco| falco.min(soon))
    }

    /// Whether a pass is due.
    pub fn pass_is_due(&self, now: Instant) -> bool {
        now >= self.pass
    }

    /// A pass is due then, if not before.
    pub fn want_pass(&mut self, at: Instant) {
        self.pass = self.pass.min(at);
    }

    /// Whether the last pass failed.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// A pass went well. It has written Falco's files too.
    pub fn passed(&mut self, now: Instant) {
        self.failures = 0;
        self.pass = now + self.refresh;
        self.ping = now + PING;
        (self.changed, self.falco) = (None, Some(now));
    }

    /// A pass failed; how long the next one waits.
    pub fn pass_failed(&mut self, now: Instant) -> Duration {
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(MAX_RETRY);
        self.failures += 1;
        self.pass = now + wait;
        self.ping = now + PING;
        wait
    }

    /// Whether memcached is to be asked how it is; the next time is set.
    pub fn ping_is_due(&mut self, now: Instant) -> bool {
        take(&mut self.ping, now, PING)
    }

    /// Whether the counts are to be written down; the next time is set.
    pub fn counts_are_due(&mut self, now: Instant) -> bool {
        take(&mut self.written, now, WRITTEN)
    }

    /// Whether MISP may be asked for events.
    pub fn look_may_begin(&self, now: Instant) -> bool {
        now >= self.look
    }

    /// MISP took so long to answer for some.
    pub fn looked(&mut self, took: Duration, now: Instant) {
        self.look = if took < SHORT { now } else { now + (took * REST).min(MAX_REST) };
    }

    /// Indicators were changed.
    pub fn changed(&mut self, now: Instant) {
        self.changed.get_or_insert(now);
    }

    /// Whether Falco's files are to be written; the next time is set.
    pub fn falco_is_due(&mut self, now: Instant) -> bool {
        let due = self.falco_due().is_some_and(|at| now >= at);
        if due {
            (self.changed, self.falco) = (None, Some(now));
        }
        due
    }

    fn falco_due(&self) -> Option<Instant> {
        let (changed, interval) = (self.changed?, self.falco_interval?);
        Some(self.falco.map_or(changed, |last| (last + interval).max(changed)))
    }
}

fn take(due: &mut Instant, now: Instant, interval: Duration) -> bool {
    let is_due = now >= *due;
    if is_due {
        *due = now + interval;
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn passes() {
        let now = Instant::now();
        let mut schedule = Schedule::new(HOUR, None, now);
        assert!(schedule.pass_is_due(now));
        let waits: Vec<u64> = (0..8).map(|_| schedule.pass_failed(now).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert!(schedule.is_failing() && !schedule.pass_is_due(now + 299 * SECOND));
        schedule.passed(now);
        assert!(
            !schedule.is_failing() && !schedule.pass_is_due(now + HOUR - SECOND) && schedule.pass_is_due(now + HOUR)
        );
        schedule.want_pass(now + SECOND);
        schedule.want_pass(now + HOUR);
        assert!(schedule.pass_is_due(now + SECOND));
    }

    #[test]
    fn what_comes_again_and_again() {
        let now = Instant::now();
        let mut schedule = Schedule::new(HOUR, None, now);
        assert!(
            schedule.counts_are_due(now) && !schedule.counts_are_due(now) && schedule.counts_are_due(now + WRITTEN)
        );
        assert!(!schedule.ping_is_due(now) && schedule.ping_is_due(now + PING) && !schedule.ping_is_due(now + PING));
        schedule.passed(now);
        assert_eq!(schedule.next(), now + PING);
    }

    #[test]
    fn misp_rests_after_long_answers() {
        let now = Instant::now();
        let mut schedule = Schedule::new(HOUR, None, now);
        for (took, rest) in [(0, 0), (1, 9), (4, 36), (100, 60)] {
            schedule.looked(took * SECOND, now);
            let begins = |after| schedule.look_may_begin(now + after * SECOND);
            assert!(begins(rest) && (rest == 0 || !begins(rest - 1)), "{took}");
        }
    }

    #[test]
    fn falcos_files() {
        let now = Instant::now();
        let mut schedule = Schedule::new(HOUR, Some(60 * SECOND), now);
        assert!(!schedule.falco_is_due(now), "nothing changed");
        schedule.changed(now);
        assert!(schedule.falco_is_due(now) && !schedule.falco_is_due(now));
        schedule.changed(now + SECOND);
        assert!(!schedule.falco_is_due(now + 59 * SECOND) && schedule.falco_is_due(now + 60 * SECOND));
        schedule.passed(now + 70 * SECOND);
        schedule.changed(now + 71 * SECOND);
        assert!(!schedule.falco_is_due(now + 129 * SECOND) && schedule.falco_is_due(now + 130 * SECOND));
        let mut without = Schedule::new(HOUR, None, now);
        without.changed(now);
        assert!(!without.falco_is_due(now + HOUR));
    }
}
