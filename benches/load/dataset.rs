//! The data: which attribute stands at which place of which event. Every place
//! can be computed by itself, so the server, the expected result and the look-ups
//! agree without a file between them and without holding the data in memory.
//!
//! All events are built alike. The first `own` places hold values of the event
//! itself, of which the first few are listed by other events too; the places
//! behind hold such values of other events.

use crate::attribute::Attribute;
use crate::prng::Prng;
use std::collections::BTreeSet;

/// Fixed, so that every run has the same data.
const SEED: u64 = 0x6d69_7370_6d65_6d63;

/// Streams of [`SEED`] beside those of the values, which count from 0.
const PLAN_STREAM: u64 = 1 << 60;
const EVENT_STREAM: u64 = 2 << 60;

/// Of 100 values, so many are listed by several events.
const SHARED_PERCENT: u32 = 8;

/// A shared value is listed by so many other events, in turn.
const OTHERS: [u32; 10] = [1, 1, 1, 1, 3, 1, 1, 1, 1, 5];

/// Ids as they look on a server with some history.
pub const FIRST_EVENT_ID: u32 = 10_001;

/// The rows of an event are found by 32-bit offsets, about 600 bytes each.
const MAX_PER_EVENT: u32 = 1_000_000;

/// The youngest and the oldest event, in seconds before the start of the benchmark:
/// all are inside the initial window, none inside the refresh window.
const YOUNGEST: u32 = 2 * 3600 + 60;
const OLDEST: u32 = 300 * 86_400;

/// In an event that was touched one of so many of its own values is another one.
const CHANGED_OF_TOUCHED: u32 = 10;

/// A value that another event lists too.
#[derive(Clone, Copy)]
struct Shared {
    /// Its place in the event it comes from.
    place: u32,
    /// How many events further on it is listed again.
    distance: u32,
    /// 1 for the first listing again, and so on.
    listing: u64,
}

/// All attributes of one benchmark.
#[derive(Clone)]
pub struct Dataset {
    events: u32,
    per_event: u32,
    own: u32,
    shared: u32,
    again: Vec<Shared>,
    touched: BTreeSet<u32>,
}

impl Dataset {
    /// `attributes` in events of `per_event`.
    ///
    /// # Errors
    /// When the events would not be full, or the ids not fit.
    pub fn new(attributes: u32, per_event: u32) -> Result<Dataset, String> {
        if per_event == 0 || attributes == 0 || !attributes.is_multiple_of(per_event) {
            return Err(format!("--attributes {attributes} is not a multiple of --per-event {per_event}"));
        }
        if per_event > MAX_PER_EVENT {
            return Err(format!("--per-event {per_event} is over {MAX_PER_EVENT}"));
        }
        let events = attributes / per_event;
        let others = |place: u32| OTHERS[place as usize % OTHERS.len()].min(events - 1);
        // The most shared values that are still SHARED_PERCENT of the event's own ones.
        let (mut shared, mut listed) = (0, 0);
        while events > 1
            && listed + others(shared) < per_event
            && (shared + 1) * 100 <= (per_event - listed - others(shared)) * SHARED_PERCENT
        {
            listed += others(shared);
            shared += 1;
        }
        let mut random = Prng::new(SEED, PLAN_STREAM);
        let mut again: Vec<Shared> = Vec::with_capacity(listed as usize);
        for place in 0..shared {
            for listing in 1..=u64::from(others(place)) {
                let mut distance = 1 + random.below(events - 1);
                // The same value twice in one event is what MISP refuses.
                while again.iter().rev().take_while(|a| a.place == place).any(|a| a.distance == distance) {
                    distance = 1 + distance % (events - 1);
                }
                again.push(Shared { place, distance, listing });
            }
        }
        Ok(Dataset { events, per_event, own: per_event - listed, shared, again, touched: BTreeSet::new() })
    }

    /// The number of events.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// The number of attributes of each event.
    pub fn per_event(&self) -> u32 {
        self.per_event
    }

    /// The number of different values.
    pub fn values(&self) -> u64 {
        u64::from(self.events) * u64::from(self.own)
    }

    /// The number of values that several events list.
    pub fn shared_values(&self) -> u64 {
        u64::from(self.events) * u64::from(self.shared)
    }

    /// From now on these events (counted from 0) are as somebody edited them.
    pub fn touch(&mut self, events: impl IntoIterator<Item = u32>) {
        self.touched.extend(events);
    }

    /// The attribute at a place of an event, both counted from 0.
    pub fn attribute(&self, event: u32, place: u32) -> Attribute {
        if place >= self.own {
            let again = self.again[(place - self.own) as usize];
            let home = (event + self.events - again.distance) % self.events;
            return Attribute::new(self.value(home, again.place, 0), again.listing);
        }
        let edited = place >= self.shared && place.is_multiple_of(CHANGED_OF_TOUCHED) && self.touched.contains(&event);
        Attribute::new(self.value(event, place, u64::from(edited)), 0)
    }

    fn value(&self, event: u32, place: u32, edition: u64) -> Prng {
        let number = u64::from(event) * u64::from(self.own) + u64::from(place);
        Prng::new(SEED ^ edition, number)
    }

    /// Attributes that no event has, without end.
    pub fn unlisted(&self) -> impl Iterator<Item = Attribute> {
        (self.values()..).map(|number| Attribute::new(Prng::new(SEED, number), 0))
    }

    /// When an event was last changed, `now` being the start of the benchmark.
    pub fn timestamp(&self, event: u32, now: u64) -> u64 {
        let age = YOUNGEST + self.event_random(event).below(OLDEST - YOUNGEST);
        now.saturating_sub(u64::from(age))
    }

    /// Random numbers for what else there is to say of an event.
    pub fn event_random(&self, event: u32) -> Prng {
        Prng::new(SEED, EVENT_STREAM | u64::from(event))
    }
}
