//! From a message to what has to be done. Pure.
//!
//! A message that says all of it is applied as it is: a new attribute that every
//! condition of the configuration lets pass and that everybody on the server may see.
//! Where it does not say enough (an edit does not name the old value, tags are not in
//! an attribute's message) MISP is asked for the whole event.

use crate::config::{Config, FilterClause};
use crate::indicator::MispType;
use crate::misp::attribute::Attribute;
use crate::misp::live::message::{Action, Change, EventOf, Message, Shared};
use crate::misp::query::{self, Query};
use crate::misp::rows::indicators;
use crate::pass::between::Fresh;
use std::convert::Infallible;

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// These indicators are the event's from now on.
    Add {
        /// The event.
        event: u64,
        /// The attribute they are of.
        attribute: u64,
        /// Its new indicators.
        fresh: Vec<Fresh>,
        /// MISP has to be asked for the whole event besides.
        look: bool,
    },
    /// MISP has to be asked for the event.
    Look {
        /// The event.
        event: u64,
        /// What it waits for becomes true only some time after the message.
        late: bool,
        /// An attribute of it that may stand for nothing any more.
        withdrawn: Option<u64>,
    },
    /// The event and all of its indicators go.
    Gone(u64),
    /// Any event may have changed: a full pass.
    Everything,
}

/// The configuration, as far as it decides.
#[derive(Debug)]
pub struct Rules {
    config: Config,
    query: Query,
    clauses: Vec<Clause>,
    /// Some condition is on something that no attribute's message tells.
    asks_always: bool,
    tags_matter: bool,
}

#[derive(Debug)]
struct Clause {
    filter: FilterClause,
    types: Vec<MispType>,
}

/// Whether an attribute is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    No,
    Ask,
    Yes,
}

impl Rules {
    /// The rules of a configuration.
    pub fn new(config: &Config) -> Rules {
        let misp = &config.misp;
        let types = |filter: &FilterClause| filter.types.iter().filter_map(|name| MispType::from_name(name)).collect();
        let clauses: Vec<Clause> =
            misp.filter.iter().map(|filter| Clause { filter: filter.clone(), types: types(filter) }).collect();
        let shows_context = !config.memcached.context.is_empty();
        Rules {
            // Its times do not count here.
            query: Query::new(config, 0),
            asks_always: misp.published
                || misp.enforce_warninglist
                || misp.exclude_decayed
                || misp.event_published_after.is_some()
                || shows_context,
            tags_matter: shows_context || misp.exclude_decayed || clauses.iter().any(|c| !c.filter.tags.is_empty()),
            clauses,
            config: config.clone(),
        }
    }

    /// What a message asks for at `now`, MISP's clock.
    pub fn step(&self, message: &Message<'_>, now: u64) -> Step {
        let look = |event: u64| Step::Look { event, late: false, withdrawn: None };
        match message {
            Message::Attribute(change) => self.attribute(change, now),
            Message::Event(event) | Message::Object(event) => look(*event),
            Message::EventGone(event) => Step::Gone(*event),
            // Sent before the flag is set.
            Message::Published(event) => {
                let late = self.config.misp.published || self.config.misp.event_published_after.is_some();
                Step::Look { event: *event, late, withdrawn: None }
            }
            Message::Tagged(event) if self.tags_matter => look(*event),
            Message::Tag(_) if self.tags_matter => Step::Everything,
            Message::Tagged(_) | Message::Tag(_) | Message::Alive | Message::Other => Step::Nothing,
        }
    }

    fn attribute(&self, change: &Change<'_>, now: u64) -> Step {
        let (event, attribute) = (change.attribute.event_id, change.attribute.id);
        let verdict = self.verdict(change, now);
        match (change.action, verdict) {
            (Action::Add, Verdict::No) => Step::Nothing,
            (Action::Add, Verdict::Yes) => match self.fresh(&change.attribute) {
                fresh if fresh.is_empty() => Step::Nothing,
                fresh => Step::Add { event, attribute, fresh, look: false },
            },
            // The old value is not known; the new one need not wait for it.
            (Action::Edit, Verdict::Yes) => {
                Step::Add { event, attribute, fresh: self.fresh(&change.attribute), look: true }
            }
            (Action::Add, Verdict::Ask) => Step::Look { event, late: false, withdrawn: None },
            (Action::Edit | Action::Delete, _) => Step::Look { event, late: false, withdrawn: Some(attribute) },
        }
    }

    fn fresh(&self, attribute: &Attribute<'_>) -> Vec<Fresh> {
        let mut all = Vec::new();
        // What is no indicator is counted and named by the next pass.
        let _: Result<_, Infallible> = indicators(attribute, &self.query, "", |record| {
            all.push(Fresh {
                namespace: record.namespace,
                kind: record.kind,
                timestamp: record.timestamp,
                value: record.value.to_owned(),
            });
            Ok(())
        });
        all
    }

    fn verdict(&self, change: &Change<'_>, now: u64) -> Verdict {
        let (row, misp) = (&change.attribute, &self.config.misp);
        let Some(kind) = MispType::from_name(&row.kind).filter(|kind| self.query.wants(*kind)) else {
            return Verdict::No;
        };
        if row.deleted || misp.to_ids && !row.to_ids {
            return Verdict::No;
        }
        if !misp.categories.is_empty() && !misp.categories.iter().any(|c| c.eq_ignore_ascii_case(&change.category)) {
            return Verdict::No;
        }
        if query::attribute_cutoff(misp, now).is_some_and(|cutoff| row.timestamp < cutoff) {
            return Verdict::No;
        }
        let Some(event) = &change.event else { return Verdict::Ask };
        let threat = match misp.min_threat_level {
            None => Verdict::Yes,
            Some(_) if event.threat_level_id == 0 => Verdict::Ask,
            Some(least) if event.threat_level_id <= least as u64 => Verdict::Yes,
            Some(_) => Verdict::No,
        };
        let clauses = self.clauses.iter().map(|clause| clause.verdict(kind, event)).max().unwrap_or(Verdict::Yes);
        // A feed's events are as old as they were there. Its event may be outside the window, of which no message tells.
        let old = row.timestamp < now.saturating_sub(misp.initial_event_timestamp.as_secs());
        // MISP's database makes a question mark of such a character, and its message has it still (recordings,
        // "Normalisation").
        let garbled = row.value.chars().any(|c| c > '\u{ffff}');
        let unseen = self.asks_always || old || garbled || change.shared == Shared::Perhaps;
        let seen = if unseen { Verdict::Ask } else { Verdict::Yes };
        threat.min(clauses).min(seen)
    }
}

impl Clause {
    fn verdict(&self, kind: MispType, event: &EventOf<'_>) -> Verdict {
        if !self.types.is_empty() && !self.types.contains(&kind) {
            return Verdict::No;
        }
        let tags = if self.filter.tags.is_empty() { Verdict::Yes } else { Verdict::Ask };
        self.org(event).min(tags)
    }

    /// MISP knows an organisation by id, name or UUID (recordings `org_*`). A name that
    /// does not look equal may still be so to its database.
    fn org(&self, event: &EventOf<'_>) -> Verdict {
        let orgs = &self.filter.orgs;
        let is = |org: &String| {
            let creator = event.creator.as_ref();
            *org == event.orgc_id.to_string()
                || creator.is_some_and(|c| *org == c.name || org.eq_ignore_ascii_case(&c.uuid))
        };
        if orgs.is_empty() || orgs.iter().any(is) {
            Verdict::Yes
        } else if event.orgc_id > 0 && orgs.iter().all(|org| org.bytes().all(|b| b.is_ascii_digit())) {
            Verdict::No
        } else {
            Verdict::Ask
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
