//! Where the threads meet: a transport puts in what its messages ask for, the writer
//! takes it out, and MISP's answers come in between.

use super::counts::Counts;
use super::decide::Rules;
use super::pending::{Adds, Pending, Taken};
use crate::misp::client::local_now;
use crate::misp::fetch::Batch;
use crate::misp::live::message;
use crate::misp::live::source::Sink;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Unreadable messages that are logged one by one; further ones at each power of ten.
const NAMED_UNREADABLE: u64 = 10;

/// What an answer of MISP's brings.
pub enum Fetched {
    /// The attributes of some events.
    Batch(Box<Batch>),
    /// All came, or an error.
    End(crate::error::Result<()>),
}

/// The meeting point.
pub struct Inbox {
    state: Mutex<State>,
    news: Condvar,
    /// Told when an answer was taken, for there is room for one.
    room: Condvar,
    rules: Rules,
    /// MISP's clock less ours.
    ahead: AtomicI64,
}

#[derive(Default)]
struct State {
    pending: Pending,
    under_way: Option<Taken>,
    /// The number of the last look that was begun: the answer to one that was given up
    /// may still come, and is older than what the ledger has by then.
    look: u64,
    fetched: Option<Fetched>,
    /// The line came up since the writer last looked.
    came_up: bool,
    /// The line went down since then.
    went_down: bool,
    closed: bool,
    /// A transport ended by itself, and why.
    ended: Option<crate::error::Error>,
    counts: Counts,
}

/// What there is to do.
#[derive(Default)]
pub struct Work {
    /// Indicators to add.
    pub adds: Option<Adds>,
    /// Events that go.
    pub gone: Vec<u64>,
    /// Something that MISP answered.
    pub fetched: Option<Fetched>,
    /// The line came up: what was sent before is lost.
    pub came_up: bool,
    /// The line went down.
    pub went_down: bool,
    /// Any event may have changed.
    pub everything: bool,
    /// When the first event has to be asked for.
    pub next_look: Option<Instant>,
    /// The transport cannot go on.
    pub ended: Option<crate::error::Error>,
}

impl Work {
    fn is_something(&self) -> bool {
        let line = self.came_up || self.went_down;
        self.adds.is_some() || !self.gone.is_empty() || self.fetched.is_some() || line || self.ended.is_some()
    }
}

impl Inbox {
    /// An empty one. Messages of a transport that is `unordered` may overtake each other.
    pub fn new(rules: Rules, unordered: bool) -> Inbox {
        let mut state = State::default();
        state.pending.unordered = unordered;
        state.counts.started = local_now();
        Inbox { state: Mutex::new(state), news: Condvar::new(), room: Condvar::new(), rules, ahead: AtomicI64::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// MISP's clock is so many seconds before ours.
    pub fn set_ahead(&self, seconds: i64) {
        self.ahead.store(seconds, Ordering::Relaxed);
    }

    /// Waits until there is something to do, or until `until`. `looks`: indicators and
    /// events are taken, and MISP may be asked for events from then on; else they wait.
    pub fn take(&self, until: Instant, looks: Option<Instant>) -> Work {
        let mut state = self.state();
        loop {
            let mut work = Work {
                fetched: state.fetched.take(),
                came_up: std::mem::take(&mut state.came_up),
                went_down: std::mem::take(&mut state.went_down),
                ended: state.ended.take(),
                ..Work::default()
            };
            if looks.is_some() {
                work.adds = state.pending.take_adds();
                work.gone = state.pending.take_gone();
            }
            let now = Instant::now();
            work.everything = state.pending.wants_everything(now);
            work.next_look = state.pending.next_look();
            if work.fetched.is_some() {
                self.room.notify_all();
            }
            let look = work.next_look.zip(looks).filter(|_| state.under_way.is_none());
            let wake = look.map_or(until, |(due, from)| until.min(due.max(from)));
            if work.is_something() || now >= wake {
                return work;
            }
            state = self.news.wait_timeout(state, wake - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Does something with what waits.
    pub fn pending<T>(&self, job: impl FnOnce(&mut Pending) -> T) -> T {
        job(&mut self.state().pending)
    }

    /// Does something with the counts.
    pub fn counts<T>(&self, job: impl FnOnce(&mut Counts) -> T) -> T {
        job(&mut self.state().counts)
    }

    /// The events that are due to be asked for, `most` of them, which of them anew, and the
    /// number of this look; none while others are asked for.
    pub fn begin_look(&self, now: Instant, most: usize) -> Option<(u64, Vec<u64>, BTreeSet<u64>)> {
        let mut state = self.state();
        if state.under_way.is_some() {
            return None;
        }
        let taken = state.pending.take_looks(now, most);
        if taken.is_empty() {
            return None;
        }
        let (events, anew) = (taken.events().collect(), taken.anew().collect());
        state.under_way = Some(taken);
        state.look += 1;
        Some((state.look, events, anew))
    }

    /// MISP was asked for what was taken; or not, and `failed` says whether it was tried.
    pub fn end_look(&self, asked: bool, failed: bool, now: Instant) {
        let mut state = self.state();
        if let Some(taken) = state.under_way.take() {
            if asked { state.pending.looked(taken, now) } else { state.pending.put_back(taken, failed, now) }
        }
        state.fetched = None;
        self.room.notify_all();
    }

    /// Hands over what MISP answered in this look, as soon as there is room; false where
    /// nobody wants it any more.
    pub fn fetched(&self, look: u64, fetched: Fetched) -> bool {
        let mut state = self.state();
        let wanted = |state: &State| state.under_way.is_some() && state.look == look && !state.closed;
        while state.fetched.is_some() && wanted(&state) {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !wanted(&state) {
            return false;
        }
        state.fetched = Some(fetched);
        self.news.notify_all();
        true
    }

    /// The transport ended by itself.
    pub fn end(&self, why: crate::error::Error) {
        self.state().ended = Some(why);
        self.news.notify_all();
    }

    /// Nobody takes anything any more.
    pub fn close(&self) {
        self.state().closed = true;
        self.room.notify_all();
        self.news.notify_all();
    }
}

impl Sink for Inbox {
    fn message(&self, number: u64, json: &[u8]) {
        let now = local_now();
        let message = match message::read(json) {
            Ok(message) => message,
            Err(broken) => {
                self.unreadable(&broken.to_string());
                return self.pending(|p| p.put(number, super::decide::Step::Nothing, Instant::now()));
            }
        };
        let misp_now = now.saturating_add_signed(self.ahead.load(Ordering::Relaxed));
        let step = self.rules.step(&message, misp_now);
        let mut state = self.state();
        state.counts.count(&message, now);
        state.pending.put(number, step, Instant::now());
        drop(state);
        self.news.notify_all();
    }

    fn unreadable(&self, why: &str) {
        let count = self.counts(|counts| {
            counts.unreadable += 1;
            counts.last_message = local_now();
            counts.unreadable
        });
        if count <= NAMED_UNREADABLE || 10_u64.pow(count.ilog10()) == count {
            log::warn!("a message cannot be read: {why} ({count} so far)");
        }
    }

    fn up(&self) {
        let mut state = self.state();
        state.came_up = true;
        state.counts.up = true;
        state.counts.connects += 1;
        drop(state);
        self.news.notify_all();
    }

    fn down(&self, why: &str) {
        log::warn!("no messages come: {why}");
        let mut state = self.state();
        state.went_down = true;
        state.counts.disconnects += u64::from(state.counts.up);
        state.counts.up = false;
        state.counts.last_error = why.to_owned();
        drop(state);
        self.news.notify_all();
    }

    fn settled(&self) -> u64 {
        let state = self.state();
        state.pending.settled(state.under_way.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn inbox() -> Inbox {
        Inbox::new(Rules::new(&serde_yaml::from_str("{}").unwrap()), false)
    }

    const EDITED: &[u8] = br#"{"Event":{"id":"7"},"action":"edit"}"#;
    const DELETED: &[u8] = br#"{"Event":{"id":"7"},"action":"delete"}"#;

    /// MISP is asked for what is due; how often until nothing is.
    fn ask_for_all(inbox: &Inbox, meanwhile: impl Fn(u32)) -> u32 {
        let mut asked = 0;
        let mut now = Instant::now();
        while let Some(due) = inbox.pending(|p| p.next_look()) {
            now = now.max(due);
            assert_eq!(inbox.begin_look(now, 9).map(|(_, events, _)| events), Some(vec![7]));
            asked += 1;
            meanwhile(asked);
            inbox.end_look(true, false, now);
        }
        asked
    }

    /// A slow MISP answers after its look was given up and the next one has begun.
    #[test]
    fn an_answer_to_another_look_is_not_taken() {
        let inbox = inbox();
        inbox.message(1, EDITED);
        let look = || {
            let due = inbox.pending(|p| p.next_look()).expect("a look that waits");
            inbox.begin_look(due, 9).expect("it is due").0
        };
        let first = look();
        inbox.end_look(false, false, Instant::now());
        assert!(!inbox.fetched(first, Fetched::End(Ok(()))), "nobody asks");
        let second = look();
        assert!(!inbox.fetched(first, Fetched::End(Ok(()))), "another one asks");
        assert!(inbox.take(Instant::now(), None).fetched.is_none());
        assert!(inbox.fetched(second, Fetched::End(Ok(()))));
        assert!(inbox.take(Instant::now(), None).fetched.is_some());
    }

    #[test]
    fn an_event_that_goes_is_made_sure_of() {
        let inbox = inbox();
        inbox.message(1, EDITED);
        assert_eq!(ask_for_all(&inbox, |_| {}), 2, "an event that stays is asked for twice");
        inbox.message(2, EDITED);
        let goes = |asked| {
            if asked == 2 {
                inbox.message(3, DELETED);
            }
        };
        assert_eq!(ask_for_all(&inbox, goes), 3, "the second answer may have had it still");
        assert_eq!(inbox.take(Instant::now(), Some(Instant::now())).gone, [7]);
    }

    #[test]
    fn who_may_not_ask_yet_is_not_woken_to_ask() {
        let inbox = inbox();
        inbox.message(1, EDITED);
        let (begun, wait) = (Instant::now(), Duration::from_millis(400));
        let due = inbox.pending(|p| p.next_look()).unwrap();
        assert!(due < begun + wait);
        inbox.take(begun + wait, Some(begun + 2 * wait));
        assert!(begun.elapsed() >= wait, "{:?}", begun.elapsed());
        inbox.take(begun + 100 * wait, Some(begun));
        assert!(begun.elapsed() < 100 * wait);
    }
}
