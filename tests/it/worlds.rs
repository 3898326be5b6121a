//! Random worlds of events, changed at random between passes of the built program:
//! after every pass a real memcached and Falco's rules file equal an independent
//! model, and a pass over an unchanged world asks for no attribute and rewrites
//! nothing.
//!
//! `WORLD_SEEDS=1..500` runs other worlds than the usual ones.

use crate::support::falco_lists;
use crate::support::memcached::Memcached;
use crate::support::model::{Indicator, namespaces, networks, rendered};
use crate::support::random::{Random, attribute};
use crate::support::site::{Held, SEARCH, Site, files};
use crate::support::truth::{Question, Truth};
use misp2memcached::demo::{Event, World};
use misp2memcached::ledger::Ledger;
use misp2memcached::ledger::header::Header;
use misp2memcached::ledger::record::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

/// Steps in the life of a world.
const STEPS: u64 = 12;

/// The first pass.
const BEGINNING: u64 = 1_795_300_000;

const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

/// `misp.refresh_event_timestamp` by default.
const REFRESH: u64 = HOUR;

/// `misp.initial_event_timestamp` here: worlds outlive it.
const INITIAL: u64 = 10 * DAY;

/// `misp.unpublished_grace` here.
const GRACE: u64 = 2 * DAY;

/// Seconds that MISP's answers may be dated too late.
const CLOCK_SLACK: u64 = 2;

#[derive(Default)]
struct Counts {
    passes: u64,
    idle: u64,
    refused: u64,
    keys: u64,
    largest: usize,
}

/// A world, what is around it, and what should be loaded of it.
struct Life {
    seed: u64,
    random: Random,
    site: Site,
    /// Beside the one of `site`.
    more: Vec<Memcached>,
    ring: bool,
    question: Question,
    truth: Truth,
    /// MISP's clock at the last pass.
    now: u64,
    /// The world at the last pass, and whether it was another one than at the pass before.
    seen: (World, bool),
    /// What was done in this step, for the message of a failure.
    story: String,
    counts: Counts,
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut site = Site::new(World::new());
        let question = Question {
            published: seed.is_multiple_of(3),
            grace: GRACE,
            initial: INITIAL,
            other: seed.is_multiple_of(2),
        };
        let ring = seed.is_multiple_of(7);
        let more = match (ring, seed.is_multiple_of(5)) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        };
        let more: Vec<Memcached> = (0..more).map(|_| Memcached::start(&[])).collect();
        for memcached in &more {
            site.config.and(memcached);
        }
        site.config.memcached(if ring { "distribution: ring\n" } else { "" });
        site.config.misp(&format!(
            "initial_event_timestamp: 10d\nunpublished_grace: 2d\npage_size: 100\npublished: {}\n",
            question.published
        ));
        std::fs::create_dir(site.config.directory().join("rules.d")).unwrap();
        let mut life = Life {
            seed,
            random: Random::new(seed),
            site,
            more,
            ring,
            truth: Truth::new(question.clone()),
            question,
            now: BEGINNING,
            seen: (World::new(), true),
            story: String::new(),
            counts: Counts::default(),
        };
        life.switch_other(life.question.other);
        life
    }

    /// Switches the section `other`, which is another question.
    fn switch_other(&mut self, on: bool) {
        self.question.other = on;
        self.site.config.extra(&format!(
            "other:\n  enabled: {on}\nfalco:\n  enabled: true\n  directory: \"{}\"\n  falco_binary: \"\"\n",
            self.rules().display()
        ));
    }

    fn tell(&mut self, what: String) {
        let _ = writeln!(self.story, "  {what}");
    }

    /// Where a failure is, and what led to it.
    fn place(&self) -> String {
        format!("seed {}, at {}, {:?}, ring {}:\n{}", self.seed, self.now, self.question, self.ring, self.story)
    }

    fn live(mut self) -> Counts {
        for step in 0..STEPS {
            self.story = format!("step {step}\n");
            let before = self.now;
            self.now += match self.random.below(10) {
                _ if step == 0 => 0,
                // Two passes in one second.
                0 => 0,
                1..6 => self.random.between(1, 600),
                6..8 => self.random.between(HOUR, 5 * HOUR),
                _ => self.random.between(DAY, 4 * DAY),
            };
            self.change(before);
            self.disturb();
            let full = self.random.percent(10);
            // Drafts that are kept answer the old question until they are published.
            let switched = self.random.percent(8) && !self.question.published && step > 0;
            if switched {
                self.tell(format!("section other: {}", !self.question.other));
                self.switch_other(!self.question.other);
            }
            self.pass(full, switched);
            // Not always: else no change would follow in the second of a fetch.
            if self.random.percent(60) {
                self.idle();
            }
        }
        self.counts
    }

    /// Changes the world at moments since the last pass, its second included.
    fn change(&mut self, since: u64) {
        let n = if self.now == BEGINNING { 20 } else { self.random.between(0, 6) };
        let moment = |random: &mut Random, now| match random.below(4) {
            0 => since,
            1 => now,
            _ => random.between(since, now),
        };
        let mut moments: Vec<u64> = (0..n).map(|_| moment(&mut self.random, self.now)).collect();
        moments.sort_unstable();
        for at in moments {
            self.operate(at);
        }
        if self.random.percent(8) {
            let all: Vec<u64> = self.attributes().into_iter().filter(|_| self.random.percent(60)).collect();
            self.tell(format!("{} soft deletions at {}", all.len(), self.now));
            let now = self.now;
            for id in all {
                self.site.misp.world().soft_delete(id, now);
            }
        }
        if self.question.published {
            // Most of what was edited is published again.
            let drafts: Vec<u64> = self.site.misp.world().events().filter(|e| !e.published).map(|e| e.id).collect();
            for id in drafts {
                if self.random.percent(60) {
                    let now = self.now;
                    self.tell(format!("publish {id} at {now}"));
                    self.site.misp.world().publish(id, now);
                }
            }
        }
    }

    fn attributes(&self) -> Vec<u64> {
        self.site.misp.world().events().flat_map(|e| &e.attributes).map(|a| a.id).collect()
    }

    fn operate(&mut self, at: u64) {
        let events: Vec<u64> = self.site.misp.world().events().map(|e| e.id).collect();
        let attributes = self.attributes();
        let what = self.random.below(100);
        if what < 18 || events.is_empty() || attributes.is_empty() || self.now == BEGINNING {
            // A page has 100 rows.
            let most = if self.random.percent(5) { 250 } else { 12 };
            let n = self.random.between(0, most);
            let draft = (0..n).map(|_| attribute(&mut self.random)).fold(Event::new("random"), Event::with);
            let id = self.site.misp.world().add_event(draft, at);
            return self.tell(format!("event {id} of {n} attributes at {at}"));
        }
        let (event, id) = (*self.random.pick(&events), *self.random.pick(&attributes));
        let random = attribute(&mut self.random);
        let mut world = self.site.misp.world();
        let told = match what {
            18..40 => {
                let told = format!("{} {:?} into {event}", random.kind, random.value);
                let _ = world.add_attribute(event, random, at);
                told
            }
            40..52 => {
                let found = world.attribute_mut(id).map(|a| a.kind.clone());
                // A value of its own kind, or of any.
                let same = (0..20).map(|_| attribute(&mut self.random)).find(|a| Some(&a.kind) == found.as_ref());
                let value = same.unwrap_or(random).value;
                world.edit_value(id, &value, at);
                format!("{id} is {value:?}")
            }
            52..62 => {
                let on = self.random.percent(50);
                world.set_to_ids(id, on, at);
                format!("to_ids of {id}: {on}")
            }
            62..72 => format!("soft delete {id}: {}", world.soft_delete(id, at)),
            72..80 => format!("restore {id}: {}", world.restore(id, at)),
            80..87 => format!("hard delete {id}: {}", world.hard_delete(id, at)),
            87..91 => format!("delete event {event}: {}", world.delete_event(event)),
            91..94 => format!("publish {event}: {}", world.publish(event, at)),
            94..96 => format!("unpublish {event}: {}", world.unpublish(event)),
            96..98 => format!("tag {id}: {}", world.tag_attribute(id, "tlp:red", at)),
            _ => format!("tag event {event}: {}", world.tag_event(event, "tlp:red", at)),
        };
        drop(world);
        self.tell(format!("{told} at {at}"));
    }

    /// Sometimes a memcached loses everything.
    fn disturb(&mut self) {
        let which = self.random.below(1 + self.more.len() as u64) as usize;
        let chance = self.random.below(100);
        let memcached = if which == 0 { &mut self.site.memcached } else { &mut self.more[which - 1] };
        let what = match chance {
            0..10 => {
                memcached.restart();
                "restarted"
            }
            10..18 => {
                memcached.flush_all();
                "emptied"
            }
            18..22 => {
                memcached.delete(b"misp-stats");
                "without misp-stats"
            }
            _ => return,
        };
        self.tell(format!("memcached {which} is {what}"));
    }

    /// One pass, which has to be told where much goes, and the comparison.
    fn pass(&mut self, full: bool, switched: bool) {
        self.site.misp.set_now(Some(self.now));
        let world = self.site.misp.world().clone();
        self.seen = (world.clone(), world != self.seen.0);
        // Another question fetches all events again, as `--full` does.
        let next = self.truth.pass(&self.site.misp.world(), self.now, full || switched).asked(&self.question);
        let (old, new) = (self.truth.indicators(), next.indicators());
        let going = old.difference(&new).count();
        let mut flags = if full { vec!["--full"] } else { Vec::new() };
        self.tell(format!("pass {flags:?} at {}: {} indicators, {going} of {} go", self.now, new.len(), old.len()));
        if going * 5 > old.len() {
            let before = files(&self.rules());
            let finished = self.site.load(&flags);
            assert_eq!(finished.code, Some(65), "{}\n{}", finished.stderr, self.place());
            assert!(finished.stderr.contains("--allow-shrink"), "{}", finished.stderr);
            self.nothing_is_lost(&old, &new);
            assert_eq!(before, files(&self.rules()), "{}", self.place());
            self.counts.refused += 1;
            flags.push("--allow-shrink");
        }
        let finished = self.site.load(&flags);
        assert_eq!(finished.code, Some(0), "{}\n{}", finished.stderr, self.place());
        self.truth = next;
        self.counts.passes += 1;
        self.compare(&new);
    }

    fn rules(&self) -> std::path::PathBuf {
        self.site.config.directory().join("rules.d")
    }

    fn held(&self) -> Vec<Held> {
        let all = std::iter::once(&self.site.memcached).chain(&self.more);
        let mut held: Vec<Held> = all.map(|memcached| Held::of(memcached, "misp")).collect();
        if self.ring {
            let mut union = BTreeMap::new();
            let mut sum = 0;
            for one in &mut held {
                sum += one.indicators.len();
                union.append(&mut one.indicators);
            }
            assert_eq!(union.len(), sum, "a key on two servers of a ring\n{}", self.place());
            held.iter_mut().for_each(|one| one.indicators = union.clone());
        }
        held
    }

    fn compare(&mut self, indicators: &BTreeSet<Indicator>) {
        let expected = rendered(indicators.iter().cloned());
        for held in self.held() {
            let place = || self.place();
            assert_same(&held.indicators, &expected, place);
            assert_eq!(held.stats, Some(expected.len().to_string()), "{}", place());
            assert_eq!(held.last_load, Some(self.now.to_string()), "{}", place());
            assert_eq!(held.networks, Some(networks(expected.keys())), "{}", place());
            assert_eq!(held.namespaces, Some(namespaces(expected.keys())), "{}", place());
        }
        let text = std::fs::read_to_string(self.rules().join("misp2memcached.yaml")).unwrap();
        let (outbound, inbound, rest) = falco_lists::read(&text);
        assert_eq!((outbound, inbound), self.truth.falco(), "{}", self.place());
        assert_eq!(rest, falco_lists::read(include_str!("../golden/falco/rules.yaml")).2, "{}", self.place());
        self.counts.keys += expected.len() as u64;
        self.counts.largest = self.counts.largest.max(expected.len());
    }

    /// After a refusal every key and tag is still there, and no other than what was or will be.
    fn nothing_is_lost(&self, old: &BTreeSet<Indicator>, new: &BTreeSet<Indicator>) {
        let least = rendered(old.iter().cloned());
        let most = rendered(old.union(new).cloned());
        let tags = |value: &[u8]| -> BTreeSet<Vec<u8>> { value.split(|b| *b == b',').map(<[u8]>::to_vec).collect() };
        for held in self.held() {
            for (key, value) in &least {
                let there = held.indicators.get(key).unwrap_or_else(|| panic!("{key:?} is lost\n{}", self.place()));
                assert!(tags(there).is_superset(&tags(value)), "{key:?} lost tags\n{}", self.place());
            }
            for (key, value) in &held.indicators {
                let allowed = most.get(key).unwrap_or_else(|| panic!("{key:?} is nobody's\n{}", self.place()));
                assert!(tags(value).is_subset(&tags(allowed)), "{key:?} has foreign tags\n{}", self.place());
            }
        }
    }

    /// Nothing happens, and the refresh window is over: nothing is asked for.
    fn idle(&mut self) {
        // In the second of a fetch more may have happened after it: asked for once more.
        let unsure = self.site.misp.world().events().any(|e| e.timestamp + CLOCK_SLACK >= self.now);
        // What changed may not have been saved whole: asked for once more, too.
        let unsure = unsure || self.seen.1;
        for round in 0..=u64::from(unsure) {
            self.now += REFRESH + 1 + self.random.below(60);
            self.site.misp.set_now(Some(self.now));
            let next = self.truth.pass(&self.site.misp.world(), self.now, false);
            let same = next.indicators() == self.truth.indicators();
            let before = files(&self.rules());
            let ledger = ledger(&self.site.config.state());
            self.site.misp.forget_requests();
            self.tell(format!("idle pass at {}", self.now));
            let finished = self.site.load(&["--allow-shrink"]);
            assert_eq!(finished.code, Some(0), "{}\n{}", finished.stderr, self.place());
            let asked = self.site.misp.count(SEARCH);
            // A ledger without indicators proves nothing: its events are asked for again.
            let allowed = (unsure && round == 0) || self.truth.indicators().is_empty();
            assert!(asked == 0 || allowed, "{asked} attribute requests\n{}", self.place());
            if same {
                assert!(before == files(&self.rules()), "a file of Falco changed\n{}", self.place());
                // Of an event that was not asked for nothing is written; a mark that an
                // unpublished event has, it has since the pass before.
                if asked == 0 {
                    assert_eq!(ledger, self::ledger(&self.site.config.state()), "{}", self.place());
                }
            }
            self.truth = next;
            self.counts.idle += 1;
            self.compare(&self.truth.indicators());
        }
    }
}

/// What the ledger says. Not its bytes: the store writes its own pages anew whenever
/// it is opened and closed.
fn ledger(state: &Path) -> (Vec<(u64, Header)>, Vec<String>) {
    let ledger = Ledger::open(state).unwrap();
    let mut records = Vec::new();
    let mut each = |event, record: Record<'_>| {
        records.push(format!("{event} {record:?}"));
        Ok(())
    };
    ledger.for_each(&mut each).unwrap();
    (ledger.headers().unwrap(), records)
}

/// Equal, or the first differences.
fn assert_same(got: &BTreeMap<Vec<u8>, Vec<u8>>, want: &BTreeMap<Vec<u8>, Vec<u8>>, place: impl Fn() -> String) {
    if got == want {
        return;
    }
    let mut text = String::new();
    let keys: BTreeSet<&Vec<u8>> = got.keys().chain(want.keys()).collect();
    for key in keys.into_iter().filter(|key| got.get(*key) != want.get(*key)).take(10) {
        let show = |value: Option<&Vec<u8>>| value.map(|v| String::from_utf8_lossy(v).into_owned());
        let (got, want) = (show(got.get(key)), show(want.get(key)));
        let _ = writeln!(text, "{:?}: got {got:?}, expected {want:?}", String::from_utf8_lossy(key));
    }
    panic!("memcached is not what MISP says\n{text}{}", place());
}

fn worlds(seeds: Range<u64>) {
    let mut total = Counts::default();
    let worlds = seeds.end - seeds.start;
    for seed in seeds {
        let counts = Life::new(seed).live();
        total.passes += counts.passes;
        total.idle += counts.idle;
        total.refused += counts.refused;
        total.keys += counts.keys;
        total.largest = total.largest.max(counts.largest);
    }
    println!(
        "{worlds} worlds, {} passes and {} idle passes compared, {} keys, {} at most; {} passes refused at first",
        total.passes, total.idle, total.keys, total.largest, total.refused
    );
}

#[test]
fn random_worlds_one() {
    let seeds = std::env::var("WORLD_SEEDS").ok().and_then(|text| {
        let (first, end) = text.split_once("..")?;
        Some(first.parse().ok()?..end.parse().ok()?)
    });
    worlds(seeds.unwrap_or(1..14));
}

#[test]
fn random_worlds_two() {
    worlds(14..26);
}
