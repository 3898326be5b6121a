//! What was reported lately: a second sighting of the same by the same source inside
//! the window is folded into the first, so that a beacon does not write a million.
//! Pure, and bounded.

use super::{Sighting, Subject};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Sightings that are remembered at once, some 20 MB. Beyond it the older half is
/// forgotten: what comes again then is reported once more.
pub const MAX_REMEMBERED: usize = 200_000;

/// Subject, type and source, as a hash.
pub type Key = [u8; 16];

/// A sighting that was taken: when it was seen, and when that was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Anchor {
    at: u64,
    noted: u64,
}

/// The sightings of the last window.
#[derive(Debug, Clone)]
pub struct Memory {
    window: u64,
    seen: HashMap<Key, Vec<Anchor>>,
    count: usize,
}

/// The key of a sighting. MISP does not tell upper from lower case, nor do we;
/// `unchecked` is a value of which nobody knows yet how MISP writes it.
pub fn key(sighting: &Sighting, unchecked: bool) -> Key {
    let mut hash = Sha256::new();
    let subject = match (&sighting.subject, unchecked) {
        (Subject::Value(_), false) => 0,
        (Subject::Uuid(_), _) => 1,
        (Subject::Value(_), true) => 2,
    };
    hash.update([subject, sighting.kind as u8]);
    hash.update(sighting.source.as_bytes());
    hash.update([0]);
    hash.update(sighting.subject.text().to_lowercase().as_bytes());
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}

impl Memory {
    /// An empty one; with a window of 0 only the very same sighting is folded.
    pub fn new(window: u64) -> Memory {
        Memory { window, seen: HashMap::new(), count: 0 }
    }

    /// Whether one of this key was seen less than a window before or after.
    pub fn folds(&self, key: &Key, at: u64) -> bool {
        let near = |anchor: &Anchor| anchor.at.abs_diff(at) < self.window.max(1);
        self.seen.get(key).is_some_and(|anchors| anchors.iter().any(near))
    }

    /// Remembers one. Whether others had to be forgotten for it.
    pub fn note(&mut self, key: Key, at: u64, noted: u64) -> bool {
        let full = self.count >= MAX_REMEMBERED;
        if full {
            self.halve();
        }
        self.seen.entry(key).or_default().push(Anchor { at, noted });
        self.count += 1;
        full
    }

    /// Forgets one that came to nothing: the next one is a first again.
    pub fn forget(&mut self, key: &Key, at: u64) {
        let Some(anchors) = self.seen.get_mut(key) else { return };
        if let Some(place) = anchors.iter().position(|anchor| anchor.at == at) {
            anchors.swap_remove(place);
            self.count -= 1;
        }
        if anchors.is_empty() {
            self.seen.remove(key);
        }
    }

    /// Forgets what no sighting of now can be folded into: its window is over by the
    /// time it was seen and by the time it was noted, for logs may come late.
    pub fn expire(&mut self, now: u64) {
        let window = self.window;
        self.retain(|anchor| anchor.at.max(anchor.noted).saturating_add(window) > now);
    }

    fn halve(&mut self) {
        let mut noted: Vec<u64> = self.seen.values().flatten().map(|anchor| anchor.noted).collect();
        noted.sort_unstable();
        let middle = noted[noted.len() / 2];
        self.retain(|anchor| anchor.noted > middle);
        if self.count >= MAX_REMEMBERED {
            // All of one moment.
            self.seen.clear();
            self.count = 0;
        }
    }

    fn retain(&mut self, keep: impl Fn(&Anchor) -> bool) {
        self.seen.retain(|_, anchors| {
            anchors.retain(&keep);
            !anchors.is_empty()
        });
        self.count = self.seen.values().map(Vec::len).sum();
    }

    /// All that is remembered: key, when it was seen, when that was noted.
    pub fn all(&self) -> impl Iterator<Item = (&Key, u64, u64)> {
        self.seen.iter().flat_map(|(key, anchors)| anchors.iter().map(move |a| (key, a.at, a.noted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::Kind;
    use proptest::prelude::*;

    fn sighting(value: &str, source: &str, kind: Kind) -> Sighting {
        Sighting { subject: Subject::Value(value.to_owned()), kind, source: source.to_owned(), at: 1 }
    }

    #[test]
    fn one_in_a_window() {
        let mut memory = Memory::new(3600);
        let beacon = key(&sighting("Evil.Example", "s", Kind::Sighting), false);
        assert_eq!(beacon, key(&sighting("evil.example", "s", Kind::Sighting), false));
        for other in [
            key(&sighting("evil.example", "t", Kind::Sighting), false),
            key(&sighting("evil.example", "s", Kind::FalsePositive), false),
            key(&sighting("evil.example", "s", Kind::Sighting), true),
            key(
                &Sighting { subject: Subject::Uuid("evil.example".into()), ..sighting("", "s", Kind::Sighting) },
                false,
            ),
        ] {
            assert_ne!(beacon, other);
        }
        memory.note(beacon, 10_000, 10_000);
        for (at, folded) in [(10_000, true), (13_599, true), (13_600, false), (6_401, true), (6_400, false)] {
            assert_eq!(memory.folds(&beacon, at), folded, "{at}");
        }
        memory.forget(&beacon, 10_000);
        assert!(!memory.folds(&beacon, 10_000));
        let mut none = Memory::new(0);
        none.note(beacon, 5, 5);
        assert!(none.folds(&beacon, 5) && !none.folds(&beacon, 6));
    }

    /// A log that comes a day late is folded all the same, until a window after it came.
    #[test]
    fn forgetting() {
        let mut memory = Memory::new(3600);
        let late = key(&sighting("late.example", "s", Kind::Sighting), false);
        memory.note(late, 1_000, 90_000);
        memory.expire(93_599);
        assert!(memory.folds(&late, 1_500));
        memory.expire(93_600);
        assert!(!memory.folds(&late, 1_500) && memory.all().count() == 0);
    }

    #[test]
    fn bounded() {
        let mut memory = Memory::new(3600);
        let key = |n: usize| (n as u128).to_be_bytes();
        let forgotten = (0..MAX_REMEMBERED + 10).filter(|n| memory.note(key(*n), 5, *n as u64)).count();
        assert_eq!(forgotten, 1);
        assert!(memory.folds(&key(MAX_REMEMBERED + 9), 5) && !memory.folds(&key(0), 5));
        let mut sudden = Memory::new(3600);
        for n in 0..MAX_REMEMBERED + 10 {
            sudden.note(key(n), 5, 5);
        }
        assert!(sudden.all().count() <= MAX_REMEMBERED);
    }

    proptest! {
        /// In whatever order sightings come: no two that are taken are less than a window
        /// apart, and none is folded that is a window away from all that were taken.
        #[test]
        fn as_few_as_the_window_says(times in proptest::collection::vec(1_u64..20_000, 1..60)) {
            let mut memory = Memory::new(1000);
            let key = Key::default();
            let mut taken: Vec<u64> = Vec::new();
            for at in times {
                let near = taken.iter().any(|t| t.abs_diff(at) < 1000);
                prop_assert_eq!(memory.folds(&key, at), near);
                if !near {
                    memory.note(key, at, at);
                    taken.push(at);
                }
            }
        }
    }
}
