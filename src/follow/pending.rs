//! What messages asked for and what is not done yet: coalesced by event, and bounded.
//! Pure: the moment is always handed in.
//!
//! Nothing is forgotten where there is too much: indicators to add become events to ask
//! MISP for, and too many of those become one full pass.

use super::decide::Step;
use super::recent::Recent;
use crate::pass::between::Fresh;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Bytes of indicators that wait to be added, about; a burst beyond it costs less to
/// fetch than to remember.
const MAX_ADD_BYTES: usize = 8 * 1024 * 1024;

/// Events that wait to be asked for or to go; beyond it the whole of MISP is.
const MAX_EVENTS: usize = 50_000;

/// Bytes that one indicator takes beside its value.
const FRESH_BYTES: usize = size_of::<Fresh>() + 16;

/// When MISP is asked for an event after a message. MISP sends its message inside the
/// transaction that makes it true (CakePHP saves so), hence not at once; and once more,
/// for a transaction that took longer.
const SOON: &[Duration] = &[Duration::from_millis(250), Duration::from_secs(5)];

/// After an event was published: its flag is set at the end of all that publishing does.
const LATE: &[Duration] = &[Duration::from_millis(250), Duration::from_secs(2), Duration::from_secs(8)];

/// To make sure of what was applied as the message said.
const SURE: &[Duration] = &[Duration::from_secs(5)];

/// When everything is asked for after the last message that asks for it: a tag goes from
/// all that it was attached to in one transaction, and a full pass is not made twice.
const EVERYTHING: Duration = Duration::from_secs(5);

/// However many such messages come, the first of them waits no longer.
const MAX_EVERYTHING: Duration = Duration::from_secs(60);

/// When an event is asked for again that MISP could not be asked for.
const RETRY: Duration = Duration::from_secs(30);

/// All that waits.
#[derive(Debug, Default)]
pub struct Pending {
    adds: BTreeMap<u64, Vec<Fresh>>,
    bytes: usize,
    /// Number and arrival of the first message among them.
    first_add: Option<(u64, Instant)>,
    gone: BTreeMap<u64, u64>,
    looks: BTreeMap<u64, Look>,
    everything: Option<Everything>,
    /// The first message of what the writer has taken and not done yet.
    taken: Option<u64>,
    /// The last message that was put in.
    last: u64,
    recent: Recent,
    /// The transport may bring an event's messages in another order than MISP sent them.
    pub unordered: bool,
}

/// An event to ask MISP for.
#[derive(Debug, Clone, Copy)]
struct Look {
    due: Instant,
    rest: &'static [Duration],
    /// The first message that waits for it; `None` where it only makes sure.
    number: Option<u64>,
    /// Whatever the ledger has of it, no answer of MISP's has borne out: it is asked for like one
    /// that the ledger does not know.
    anew: bool,
}

/// All events to ask MISP for.
#[derive(Debug, Clone, Copy)]
struct Everything {
    /// The first message that asks for it, and the last.
    first: u64,
    last: u64,
    due: Instant,
    /// It is not put off beyond this.
    latest: Instant,
}

/// Events that MISP is being asked for.
#[derive(Debug, Default)]
pub struct Taken(BTreeMap<u64, Look>);

impl Taken {
    /// The events, ascending.
    pub fn events(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.keys().copied()
    }

    /// Those of which the ledger has nothing that MISP's answers bore out.
    pub fn anew(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().filter(|(_, look)| look.anew).map(|(event, _)| *event)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Indicators to add, by event.
#[derive(Debug)]
pub struct Adds {
    /// The indicators.
    pub events: BTreeMap<u64, Vec<Fresh>>,
    /// When the first of their messages came.
    pub since: Instant,
}

impl Pending {
    /// A message with this number asks for this.
    pub fn put(&mut self, number: u64, step: Step, now: Instant) {
        self.last = self.last.max(number);
        match step {
            Step::Nothing => {}
            Step::Add { event, attribute, fresh, look } => {
                self.recent.remember((event, attribute), &fresh, now);
                self.bytes += fresh.iter().map(|f| f.value.len() + FRESH_BYTES).sum::<usize>();
                self.adds.entry(event).or_default().extend(fresh);
                self.first_add.get_or_insert((number, now));
                if look {
                    self.look(event, Some(number), SOON, now);
                } else if self.unordered {
                    self.look(event, None, SURE, now);
                }
                if self.bytes > MAX_ADD_BYTES {
                    self.adds_to_looks(now);
                }
            }
            Step::Look { event, late, withdrawn } => {
                if let Some(attribute) = withdrawn {
                    self.recent.withdraw((event, attribute));
                }
                self.look(event, Some(number), if late { LATE } else { SOON }, now);
            }
            Step::Gone(event) => {
                self.adds.remove(&event);
                self.looks.remove(&event);
                self.gone.entry(event).or_insert(number);
                // An answer that is on its way, or a pass, may have had it still and bring it back.
                self.ask_anew([event], now);
            }
            Step::Everything => self.all(number, now),
        }
        if self.looks.len() + self.gone.len() > MAX_EVENTS {
            let first = self.looks.values().filter_map(|l| l.number).chain(self.gone.values().copied()).min();
            self.all(first.unwrap_or(number), now);
            self.looks.clear();
            self.gone.clear();
        }
    }

    /// What messages brought lately.
    pub fn recent(&mut self) -> &mut Recent {
        &mut self.recent
    }

    fn all(&mut self, number: u64, now: Instant) {
        let fresh = Everything { first: number, last: self.last, due: now + EVERYTHING, latest: now + MAX_EVERYTHING };
        let all = self.everything.get_or_insert(fresh);
        *all = Everything {
            first: all.first.min(number),
            last: fresh.last,
            due: fresh.due.min(all.latest),
            latest: all.latest,
        };
    }

    fn look(&mut self, event: u64, number: Option<u64>, delays: &'static [Duration], now: Instant) {
        let Some((first, rest)) = delays.split_first() else { return };
        let wanted = Look { due: now + *first, rest, number, anew: false };
        let look = self.looks.entry(event).or_insert(wanted);
        let later = look.due.max(wanted.due);
        look.due = look.due.min(wanted.due);
        if wanted.rest.len() > look.rest.len() {
            look.rest = wanted.rest;
        }
        if look.rest.is_empty() && later > look.due {
            // The earlier one cannot make sure of what the later one was for.
            look.rest = SURE;
        }
        look.number = look.number.into_iter().chain(number).min();
    }

    fn adds_to_looks(&mut self, now: Instant) {
        let number = self.first_add.take().map(|(number, _)| number);
        self.bytes = 0;
        for event in std::mem::take(&mut self.adds).into_keys() {
            self.look(event, number, SOON, now);
        }
    }

    /// What was added to these events has to be made sure of.
    pub fn make_sure(&mut self, events: impl IntoIterator<Item = u64>, now: Instant) {
        events.into_iter().for_each(|event| self.look(event, None, SURE, now));
    }

    /// The same for events that are deleted, or of which the ledger has only what messages
    /// brought: MISP's word for them is awaited.
    pub fn ask_anew(&mut self, events: impl IntoIterator<Item = u64>, now: Instant) {
        for event in events {
            self.look(event, None, SURE, now);
            self.is_anew(event);
        }
    }

    fn is_anew(&mut self, event: u64) {
        if let Some(look) = self.looks.get_mut(&event) {
            look.anew = true;
        }
    }

    /// The indicators to add; [`Pending::done`] has to follow.
    pub fn take_adds(&mut self) -> Option<Adds> {
        let (number, since) = self.first_add.take()?;
        self.bytes = 0;
        self.taken = Some(self.taken.map_or(number, |first| first.min(number)));
        Some(Adds { events: std::mem::take(&mut self.adds), since })
    }

    /// The events that go; [`Pending::done`] has to follow.
    pub fn take_gone(&mut self) -> Vec<u64> {
        let gone = std::mem::take(&mut self.gone);
        self.taken = self.taken.into_iter().chain(gone.values().copied()).min();
        gone.into_keys().collect()
    }

    /// What was taken is in ledger and memcached.
    pub fn done(&mut self) {
        self.taken = None;
    }

    /// Events that were to go and could not: MISP is asked for them.
    pub fn put_gone_back(&mut self, events: &[u64], now: Instant) {
        events.iter().for_each(|event| self.look(*event, self.taken, SOON, now));
    }

    /// When the first event has to be asked for.
    pub fn next_look(&self) -> Option<Instant> {
        self.looks.values().map(|look| look.due).min()
    }

    /// The events that are due, `most` of them.
    pub fn take_looks(&mut self, now: Instant, most: usize) -> Taken {
        self.recent.forget(now);
        let due: Vec<u64> = self.looks.iter().filter(|(_, l)| l.due <= now).map(|(e, _)| *e).take(most).collect();
        Taken(due.into_iter().filter_map(|event| Some((event, self.looks.remove(&event)?))).collect())
    }

    /// MISP was asked for these; some have to be asked for again.
    pub fn looked(&mut self, taken: Taken, now: Instant) {
        for (event, look) in taken.0 {
            self.look(event, None, look.rest, now);
            if look.anew {
                self.is_anew(event);
            }
        }
    }

    /// MISP was not asked for these, and will be: at once, or in a while after a failure.
    pub fn put_back(&mut self, taken: Taken, failed: bool, now: Instant) {
        let due = if failed { now + RETRY } else { now };
        for (event, before) in taken.0 {
            let look = self.looks.entry(event).or_insert(Look { due, ..before });
            look.number = look.number.into_iter().chain(before.number).min();
            look.anew |= before.anew;
        }
    }

    /// Whether a full pass is due.
    pub fn wants_everything(&self, now: Instant) -> bool {
        self.everything.is_some_and(|all| all.due <= now)
    }

    /// A full pass was made, which began when `number` was the last message.
    pub fn everything_done(&mut self, number: u64) {
        // What came during the pass it may not have seen.
        self.everything = self.everything.filter(|all| all.last > number);
        if let Some(all) = &mut self.everything {
            all.first = all.first.max(number + 1);
        }
    }

    /// The last message that was put in.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The last message before which nothing waits, `under_way` being asked for.
    pub fn settled(&self, under_way: Option<&Taken>) -> u64 {
        let looks = self.looks.values().chain(under_way.into_iter().flat_map(|t| t.0.values()));
        let waiting = looks
            .filter_map(|look| look.number)
            .chain(self.gone.values().copied())
            .chain(self.first_add.map(|(number, _)| number))
            .chain(self.everything.map(|all| all.first))
            .chain(self.taken);
        waiting.min().map_or(self.last, |first| first.saturating_sub(1))
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
