//! Events that wait to be sent, each once, however many detections it has.
//!
//! It also remembers what was sent, so that a beacon that goes on for hours costs no
//! request more.

use super::detection::Detection;
use crate::misp::draft::Draft;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

/// Attributes that are remembered as sent; each takes about 100 bytes. When there are
/// more, all are forgotten: MISP is asked once more what it has.
const MAX_SENT: usize = 200_000;

/// An event, and the UUIDs of its attributes.
#[derive(Debug)]
struct Waiting {
    draft: Draft,
    known: HashSet<String>,
}

/// Detections that are remembered as seen; each takes some ten bytes.
const MAX_SEEN: usize = 1_000_000;

/// Tells a detection that brings nothing new before anything is done with it: a beacon's
/// come by the hundred thousand. The hash has a key that nobody knows, so that nobody can
/// make a detection that looks like another.
#[derive(Debug, Default)]
pub struct Seen {
    key: RandomState,
    hashes: HashSet<u64>,
}

impl Seen {
    /// Whether there was none yet with this identity, these values, tags and severity.
    /// Its texts may differ: they are those of the first.
    pub fn first(&mut self, detection: &Detection) -> bool {
        let Detection { identity, date, level, items, tags, .. } = detection;
        let values: Vec<_> = items.iter().map(|item| (&item.kind, &item.value)).collect();
        let hash = self.key.hash_one((identity, date, level, values, tags));
        if self.hashes.len() >= MAX_SEEN {
            self.hashes.clear();
        }
        self.hashes.insert(hash)
    }
}

/// The events, in the order in which they were first seen.
#[derive(Debug, Default)]
pub struct Pending {
    waiting: Vec<Waiting>,
    places: HashMap<String, usize>,
    sent: HashMap<String, HashSet<String>>,
    remembered: usize,
}

impl Pending {
    /// Takes one more detection's event; false: it brings nothing that was not sent.
    pub fn add(&mut self, mut draft: Draft) -> bool {
        if let Some(sent) = self.sent.get(&draft.uuid) {
            draft.attributes.retain(|attribute| !sent.contains(&attribute.uuid));
            if draft.attributes.is_empty() {
                return false;
            }
        }
        match self.places.get(&draft.uuid) {
            Some(place) => self.waiting[*place].merge(draft),
            None => {
                self.places.insert(draft.uuid.clone(), self.waiting.len());
                let known = draft.attributes.iter().map(|attribute| attribute.uuid.clone()).collect();
                self.waiting.push(Waiting { draft, known });
                true
            }
        }
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes all of them out.
    pub fn take(&mut self) -> Vec<Draft> {
        self.places.clear();
        std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.draft).collect()
    }

    /// MISP has this event now, or will not take it.
    pub fn sent(&mut self, draft: &Draft) {
        if self.remembered >= MAX_SENT {
            self.sent.clear();
            self.remembered = 0;
        }
        self.remembered += draft.attributes.len() + 1;
        let sent = self.sent.entry(draft.uuid.clone()).or_default();
        sent.extend(draft.attributes.iter().map(|attribute| attribute.uuid.clone()));
    }
}

impl Waiting {
    /// Adds what `more` has; false: nothing.
    fn merge(&mut self, more: Draft) -> bool {
        let draft = &mut self.draft;
        draft.threat_level_id = draft.threat_level_id.min(more.threat_level_id);
        for tag in more.tags {
            if !draft.tags.contains(&tag) {
                draft.tags.push(tag);
            }
        }
        let before = draft.attributes.len();
        draft.attributes.extend(more.attributes.into_iter().filter(|a| self.known.insert(a.uuid.clone())));
        draft.attributes.len() > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::event::Terms;
    use crate::share::input::{From, detection};

    fn draft(line: &str) -> Draft {
        Terms::default().build(detection(From::Json, line, false).unwrap().unwrap()).draft.unwrap()
    }

    fn of(values: &[&str]) -> Draft {
        let list: Vec<String> = values.iter().map(|v| format!(r#"{{"type": "domain", "value": "{v}"}}"#)).collect();
        draft(&format!(r#"{{"info": "a", "attributes": [{}], "tags": ["x"]}}"#, list.join(",")))
    }

    #[test]
    fn detections_of_one_event_are_folded() {
        let mut pending = Pending::default();
        assert!(pending.add(of(&["a.org"])) && !pending.add(of(&["a.org"])) && pending.add(of(&["a.org", "b.org"])));
        assert_eq!(pending.len(), 1);
        let taken = pending.take();
        let values: Vec<&str> = taken[0].attributes.iter().map(|a| a.value.as_str()).collect();
        assert_eq!((values, taken[0].tags.len(), pending.is_empty()), (vec!["a.org", "b.org"], 1, true));
        pending.sent(&taken[0]);
        assert!(!pending.add(of(&["b.org", "a.org"])) && pending.is_empty());
        assert!(pending.add(of(&["b.org", "c.org"])));
        assert_eq!(pending.take()[0].attributes.len(), 1, "only what is new");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut pending = Pending::default();
        let many: Vec<String> = (0..1000).map(|i| format!("h{i}.org")).collect();
        let names: Vec<&str> = many.iter().map(String::as_str).collect();
        let draft = of(&names);
        for i in 0..300 {
            pending.sent(&Draft { uuid: i.to_string(), ..draft.clone() });
        }
        assert!(pending.sent.values().map(HashSet::len).sum::<usize>() <= MAX_SENT + 1000);
    }
}
