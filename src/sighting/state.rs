//! What the lines of the journal come to: the sightings that wait, in the order they
//! came, and what was reported lately. Pure.

use super::batch::Item;
use super::journal::{Added, Entry, key_of};
use super::memory::{Memory, key};
use super::{Sighting, Standing, memory};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Refusals whose reasons are kept for a run that waits for another to send.
const MAX_REASONS: usize = 1000;

/// Below this a rewriting saves nothing.
const SMALL: u64 = 256 * 1024;

/// About the length of a line of what is remembered.
const SEEN_LINE: u64 = 100;

/// Seconds for which a refusal is believed: then MISP is asked again, for the attribute
/// may have been added since.
const REFUSED_FOR: u64 = 600;

/// Refusals that are remembered at once.
const MAX_REFUSALS: usize = 10_000;

/// What the journal says.
#[derive(Debug, Clone)]
pub struct State {
    waiting: BTreeMap<u64, Added>,
    /// Bytes of the lines that wait.
    bytes: u64,
    memory: Memory,
    reasons: BTreeMap<u64, (String, String)>,
    /// When and why MISP refused a sighting of this key.
    refusals: HashMap<memory::Key, (u64, String)>,
    next: u64,
    /// When MISP could not be reached, if it has taken nothing since.
    down: Option<u64>,
    /// Lines that count for nothing any more.
    spent: u64,
}

impl State {
    /// That of an empty journal.
    pub fn new(window: u64) -> State {
        let (waiting, reasons, refusals) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
        State { waiting, bytes: 0, memory: Memory::new(window), reasons, refusals, next: 1, down: None, spent: 0 }
    }

    /// Takes a line in.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Add(added) => {
                self.next = self.next.max(added.n + 1);
                self.memory.note(key(&added.sighting, added.unchecked), added.sighting.at, added.noted);
                self.bytes += cost(&added);
                self.waiting.insert(added.n, added);
                return;
            }
            Entry::Begun(all) => self.each(&all, |added| added.begun = true),
            Entry::Unsent(all) => self.each(&all, |added| added.begun = false),
            Entry::Failed(all) => self.each(&all, |added| added.failures += 1),
            Entry::Sent(all) => {
                self.down = None;
                all.iter().for_each(|n| drop(self.take(*n)));
            }
            Entry::Down(at) => self.down = Some(at),
            Entry::Unlisted(all) => {
                for n in all {
                    self.come_to_nothing(n);
                }
            }
            Entry::Refused { n, what, why, at } => {
                if let Some(key) = self.come_to_nothing(n) {
                    if self.refusals.len() >= MAX_REFUSALS {
                        self.refusals.clear();
                    }
                    self.refusals.insert(key, (at, why.clone()));
                }
                self.reasons.insert(n, (what, why));
                if self.reasons.len() > MAX_REASONS {
                    self.reasons.pop_first();
                }
            }
            Entry::Seen { key, at, noted } => {
                if let Some(key) = key_of(&key) {
                    self.memory.note(key, at, noted);
                }
                return;
            }
            Entry::Next(next) => self.next = self.next.max(next),
        }
        self.spent += 1;
    }

    fn each(&mut self, all: &[u64], change: impl Fn(&mut Added)) {
        for n in all {
            if let Some(added) = self.waiting.get_mut(n) {
                change(added);
            }
        }
    }

    fn take(&mut self, n: u64) -> Option<Added> {
        let added = self.waiting.remove(&n)?;
        self.bytes -= cost(&added);
        self.spent += 1;
        Some(added)
    }

    fn come_to_nothing(&mut self, n: u64) -> Option<memory::Key> {
        let added = self.take(n)?;
        let key = key(&added.sighting, added.unchecked);
        self.memory.forget(&key, added.sighting.at);
        Some(key)
    }

    /// Why MISP did not want the same a few minutes ago.
    pub fn refused_lately(&self, sighting: &Sighting, now: u64) -> Option<&str> {
        let (at, why) = self.refusals.get(&key(sighting, false))?;
        (now.abs_diff(*at) < REFUSED_FOR).then_some(why)
    }

    /// Whether a sighting is one of which MISP was told lately, or will be.
    pub fn folds(&self, sighting: &Sighting, unchecked: bool) -> bool {
        self.memory.folds(&memory::key(sighting, unchecked), sighting.at)
    }

    /// A line for a sighting that is to wait, with the next number.
    pub fn entry(&self, sighting: Sighting, standing: Standing, noted: u64) -> Added {
        let (unchecked, listed) = (standing == Standing::Unchecked, standing == Standing::Listed);
        Added { n: self.next, noted, unchecked, listed, begun: false, failures: 0, sighting }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes of the lines of those that wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether this one still waits.
    pub fn waits(&self, n: u64) -> bool {
        self.waiting.contains_key(&n)
    }

    /// When MISP could not be reached, if it has taken nothing since.
    pub fn down(&self) -> Option<u64> {
        self.down
    }

    /// What this one was, and why it was refused.
    pub fn reason(&self, n: u64) -> Option<(&str, &str)> {
        self.reasons.get(&n).map(|(what, why)| (what.as_str(), why.as_str()))
    }

    /// The oldest that can be sent, but for those of `skip`.
    pub fn oldest(&self, most: usize, skip: &BTreeSet<u64>) -> Vec<Item> {
        let ready = self.waiting.values().filter(|added| !added.unchecked && !skip.contains(&added.n));
        let item = |added: &Added| Item {
            n: added.n,
            sighting: added.sighting.clone(),
            doubtful: added.begun,
            failures: added.failures,
            listed: added.listed,
        };
        ready.take(most).map(item).collect()
    }

    /// The oldest of which the cache is still to be asked.
    pub fn unchecked(&self, most: usize) -> Vec<Added> {
        self.waiting.values().filter(|added| added.unchecked).take(most).cloned().collect()
    }

    /// Whether a journal of so many bytes is mostly of the past.
    pub fn is_worth_compacting(&mut self, bytes: u64, now: u64) -> bool {
        if bytes < SMALL || self.spent < 1000 {
            return false;
        }
        self.memory.expire(now);
        bytes > 2 * (self.bytes + SEEN_LINE * self.memory.all().count() as u64)
    }

    /// The same state in as few lines as can be.
    pub fn compacted(&mut self, now: u64) -> Vec<Entry> {
        self.memory.expire(now);
        // What waits is remembered by its own line.
        let mut own: BTreeSet<(memory::Key, u64)> = BTreeSet::new();
        for added in self.waiting.values() {
            own.insert((key(&added.sighting, added.unchecked), added.sighting.at));
        }
        let seen = self.memory.all().filter(|(key, at, _)| !own.contains(&(**key, *at)));
        let seen: Vec<Entry> = seen.map(|(key, at, noted)| Entry::seen(key, at, noted)).collect();
        let reason = |(n, (what, why)): (&u64, &(String, String))| Entry::Refused {
            n: *n,
            what: what.clone(),
            why: why.clone(),
            // Old enough not to be believed: whose it was is not known any more.
            at: 0,
        };
        let reasons = self.reasons.iter().map(reason);
        let waiting = self.waiting.values().cloned().map(Entry::Add);
        [Entry::Next(self.next)].into_iter().chain(seen).chain(reasons).chain(waiting).collect()
    }
}

/// What a sighting that waits takes on disk.
fn cost(added: &Added) -> u64 {
    // The line without what may be added to it later, so that it costs the same when it goes.
    let plain = Added { begun: false, failures: 0, ..added.clone() };
    Entry::Add(plain).encode().len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::{Kind, Subject};
    use proptest::prelude::*;

    fn sighting(value: &str, at: u64) -> Sighting {
        Sighting { subject: Subject::Value(value.to_owned()), kind: Kind::Sighting, source: "s".to_owned(), at }
    }

    fn add(state: &mut State, value: &str, standing: Standing) -> u64 {
        let added = state.entry(sighting(value, 1000), standing, 1000);
        let n = added.n;
        state.apply(Entry::Add(added));
        n
    }

    fn waiting(state: &State) -> Vec<(u64, bool)> {
        state.oldest(usize::MAX, &BTreeSet::new()).iter().map(|item| (item.n, item.doubtful)).collect()
    }

    #[test]
    fn from_line_to_line() {
        let mut state = State::new(3600);
        let all: Vec<u64> = ["a", "b", "c", "d"].iter().map(|value| add(&mut state, value, Standing::Listed)).collect();
        assert_eq!(all, [1, 2, 3, 4]);
        state.apply(Entry::Begun(all));
        state.apply(Entry::Unsent(vec![2]));
        state.apply(Entry::Sent(vec![1]));
        state.apply(Entry::Refused { n: 3, what: "c".into(), why: "unknown".into(), at: 2000 });
        assert_eq!(waiting(&state), [(2, false), (4, true)]);
        assert_eq!((state.reason(3), state.reason(1), state.len()), (Some(("c", "unknown")), None, 2));
        // What was sent is folded, what was refused is not.
        assert!(state.folds(&sighting("A", 1500), false) && !state.folds(&sighting("c", 1500), false));
        assert_eq!(state.refused_lately(&sighting("C", 1500), 2599), Some("unknown"));
        assert_eq!(state.refused_lately(&sighting("C", 1500), 2600), None);
        assert_eq!(state.refused_lately(&sighting("a", 1500), 2599), None);
        state.apply(Entry::Failed(vec![4]));
        assert_eq!(state.oldest(9, &BTreeSet::from([2]))[0].failures, 1);
        state.apply(Entry::Sent(vec![2, 4, 4, 77]));
        assert_eq!((state.len(), state.bytes()), (0, 0));
    }

    #[test]
    fn those_to_be_checked_are_not_sent() {
        let mut state = State::new(3600);
        let n = add(&mut state, "a", Standing::Unchecked);
        assert!(waiting(&state).is_empty() && state.unchecked(9)[0].n == n);
        state.apply(Entry::Unlisted(vec![n]));
        assert!(state.is_empty() && !state.folds(&sighting("a", 1000), true));
    }

    proptest! {
        /// Whatever the lines: the compacted journal comes to the same.
        #[test]
        fn compacting_changes_nothing(steps in proptest::collection::vec((0..7_u8, 0..12_u64), 0..60)) {
            let mut state = State::new(3600);
            for (what, n) in steps {
                let entry = match what {
                    0 | 1 => Entry::Add(state.entry(sighting(&format!("v{n}"), 1000 + n), if what == 1 { Standing::Unchecked } else { Standing::Given }, 1000)),
                    2 => Entry::Begun(vec![n, n + 1]),
                    3 => Entry::Sent(vec![n]),
                    4 => Entry::Refused { n, what: "v".into(), why: "no".into(), at: 1 },
                    5 => Entry::Failed(vec![n]),
                    _ => Entry::Unsent(vec![n]),
                };
                state.apply(entry);
            }
            let mut again = State::new(3600);
            for entry in state.compacted(1001) {
                again.apply(Entry::decode(entry.encode().trim_end().as_bytes()).unwrap());
            }
            prop_assert_eq!(waiting(&again), waiting(&state));
            prop_assert_eq!(again.unchecked(99), state.unchecked(99));
            prop_assert_eq!((again.bytes(), again.next), (state.bytes(), state.next));
            for n in 0..12 {
                let one = sighting(&format!("v{n}"), 1000 + n);
                prop_assert_eq!(again.folds(&one, false), state.folds(&one, false));
                prop_assert_eq!(again.reason(n), state.reason(n));
            }
        }
    }
}
