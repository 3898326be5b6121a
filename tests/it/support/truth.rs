//! What a pass should leave, by the design's words: a model of the events that are
//! loaded, without ledger, batches or memcached.

use super::falco_lists::{self, Lists};
use super::model::{Indicator, indicators};
use misp2memcached::demo::{Attribute, Event, World};
use std::collections::{BTreeMap, BTreeSet};

/// Types of the section `other`, of those that random worlds have.
const OTHER: &[&str] = &["mutex", "filename", "regkey|value"];

/// The configuration, as far as it decides what is loaded.
#[derive(Debug, Clone)]
pub struct Question {
    /// Only published events.
    pub published: bool,
    /// Seconds that a loaded event may be unpublished.
    pub grace: u64,
    /// Seconds that the initial window reaches back.
    pub initial: u64,
    /// The section `other` is on.
    pub other: bool,
}

/// The events that are loaded.
#[derive(Debug, Clone)]
pub struct Truth {
    question: Question,
    loaded: BTreeMap<u64, Loaded>,
}

/// An event as it was last seen while it was wanted.
#[derive(Debug, Clone)]
struct Loaded {
    event: Event,
    unpublished_since: Option<u64>,
}

impl Truth {
    /// Nothing is loaded.
    pub fn new(question: Question) -> Truth {
        Truth { question, loaded: BTreeMap::new() }
    }

    /// What is loaded after a pass at `now`.
    pub fn pass(&self, world: &World, now: u64, full: bool) -> Truth {
        let mut loaded = BTreeMap::new();
        // MISP's list leaves out events without a live attribute.
        for event in world.events().filter(|e| e.attributes.iter().any(|a| !a.deleted)) {
            let before = self.loaded.get(&event.id);
            if self.question.published && !event.published {
                // What was loaded stays as it was, for a while.
                if let Some(before) = before {
                    let since = before.unpublished_since.unwrap_or(now);
                    if now - since <= self.question.grace {
                        let unpublished_since = Some(since);
                        loaded.insert(event.id, Loaded { unpublished_since, event: before.event.clone() });
                    }
                }
                continue;
            }
            let inside = event.timestamp + self.question.initial >= now;
            if inside || (before.is_some() && !full) {
                loaded.insert(event.id, Loaded { event: event.clone(), unpublished_since: None });
            }
        }
        Truth { question: self.question.clone(), loaded }
    }

    /// The same events under another question.
    pub fn asked(self, question: &Question) -> Truth {
        Truth { question: question.clone(), ..self }
    }

    fn wanted(&self) -> impl Fn(&Attribute) -> bool {
        let other = self.question.other;
        move |a: &Attribute| a.to_ids && (other || !OTHER.contains(&a.kind.as_str()))
    }

    /// All indicators of the loaded events.
    pub fn indicators(&self) -> BTreeSet<Indicator> {
        self.loaded.values().flat_map(|loaded| indicators(&loaded.event, self.wanted())).collect()
    }

    /// Falco's lists: outbound and inbound.
    pub fn falco(&self) -> (Lists, Lists) {
        let events = || self.loaded.values().map(|loaded| &loaded.event);
        let lists = |types| falco_lists::expected(events(), types, self.wanted());
        (lists(["ip-dst", "ip-dst|port"]), lists(["ip-src", "ip-src|port"]))
    }
}
