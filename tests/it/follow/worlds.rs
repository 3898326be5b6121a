//! Random worlds that change at random while they are followed, with all that may
//! happen to publisher, memcached and `follow` itself meanwhile.
//!
//! `FOLLOW_SEEDS=1..500` runs other worlds than the usual ones.

use super::{Scene, now};
use crate::support::live::Operation::{self, *};
use crate::support::random::{Random, attribute};
use crate::support::site::Site;
use misp2memcached::demo::{Event, World};
use std::fmt::Write;

/// Moments at which memcached is compared.
const STEPS: u64 = 6;

const TAGS: [&str; 3] = ["tlp:red", "tlp:amber", "Feed-xyz"];

const ORG_SEVEN: &str = "00000007-0000-4000-8000-000000000007";

/// What may be configured; a seed picks one: lines of `memcached` and of `misp`, further sections.
const QUESTIONS: [(&str, &str, &str); 9] = [
    ("", "", "other:\n  enabled: true\n"),
    ("", "published: true\n", ""),
    ("", "filter:\n  - tags: [\"tlp:red\"]\n  - types: [ip-dst, md5]\n", ""),
    ("", "filter:\n  - tags: [\"Feed-xyz\"]\n    types: [ip-dst, ip-src, domain]\nmin_threat_level: medium\n", ""),
    ("", "to_ids: false\ncategories: [\"Network activity\"]\n", ""),
    ("", "filter:\n  - orgs: [\"1\"]\n  - orgs: [\"7\"]\n    tags: [\"tlp:amber\"]\n", ""),
    ("", "published: true\nfilter:\n  - orgs: [\"Org Seven\"]\n  - types: [domain]\n", ""),
    ("context: [event_info, tlp, org, threat_level]\n", "", ""),
    ("context: [category, tlp]\n", "published: true\nfilter:\n  - orgs: [\"1\"]\n    tags: [\"tlp:red\"]\n", ""),
];

/// Whether `follow` gets the messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Yes,
    /// It may die before it has done what they ask for.
    Perhaps,
    Never,
}

struct Life {
    seed: u64,
    random: Random,
    scene: Scene,
    published: bool,
    story: String,
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut random = Random::new(seed);
        let (memcached, misp, extra) = QUESTIONS[(seed % QUESTIONS.len() as u64) as usize];
        let mut world = World::new();
        for _ in 0..8 {
            let id = world.add_event(draft(&mut random), now() - 7200);
            world.publish(id, now() - 7100);
        }
        let misp = format!("{misp}max_shrink_percent: 100\n");
        let scene = Scene::with(Site::new(world), &format!("{memcached}timeout: 3s\n"), &misp, extra);
        Life { seed, random, scene, published: misp.contains("published"), story: String::new() }
    }

    fn live(mut self) {
        for step in 0..STEPS {
            let _ = writeln!(self.story, "seed {}, step {step}", self.seed);
            match self.random.below(100) {
                0..15 => {
                    self.tell("the publisher is away");
                    self.scene.publisher.kill();
                    self.some(Heard::Never);
                    self.scene.publisher.restart();
                    self.scene.publisher.await_subscriber();
                }
                15..35 => {
                    self.some(Heard::Perhaps);
                    self.tell("follow is killed");
                    self.scene.kill();
                    self.some(Heard::Never);
                    self.tell("and starts again");
                    self.scene.start_again();
                }
                _ => self.some(Heard::Yes),
            }
            // At any moment, also within a pass: its connections break. Whoever empties it within a pass does to it
            // what somebody does who deletes keys, and a pass does not look for that.
            if self.random.below(40) == 0 {
                self.tell("memcached is restarted");
                self.scene.site.memcached.restart();
            }
            self.scene.settles(&self.story);
        }
    }

    /// Somebody works in MISP for a while.
    fn some(&mut self, heard: Heard) {
        for _ in 0..self.random.between(1, 12) {
            self.operate(heard);
        }
        if self.published {
            let drafts: Vec<u64> =
                self.scene.site.misp.world().events().filter(|e| !e.published).map(|e| e.id).collect();
            drafts.into_iter().for_each(|id| self.perform(&Publish(id), heard));
        }
    }

    fn tell(&mut self, what: &str) {
        let _ = writeln!(self.story, "  {what}");
    }

    fn perform(&mut self, operation: &Operation, heard: Heard) {
        // A pass cannot make good what moves no timestamp.
        let silent = matches!(
            operation,
            UntagAttribute(..) | DeleteTag(_) | TagAttributeLocally(..) | TagEventLocally(..) | UntagEventLocally(..)
        );
        if silent && heard != Heard::Yes {
            return;
        }
        self.tell(&format!("{operation:?}"));
        if heard == Heard::Never {
            self.scene.operate_unheard(operation);
        } else {
            self.scene.operate(operation);
        }
    }

    fn operate(&mut self, heard: Heard) {
        let random = &mut self.random;
        let (events, attributes, objects) = {
            let world = self.scene.site.misp.world();
            let events: Vec<u64> = world.events().map(|e| e.id).collect();
            let all = || world.events().flat_map(|e| e.attributes.iter().map(move |a| (e.id, a)));
            let attributes: Vec<u64> = all().map(|(_, a)| a.id).collect();
            let objects: Vec<(u64, u64)> =
                all().filter(|(_, a)| a.object_id != 0).map(|(e, a)| (e, a.object_id)).collect();
            (events, attributes, objects)
        };
        if events.is_empty() || attributes.is_empty() {
            let draft = draft(random);
            return self.perform(&AddEvent(draft), heard);
        }
        let (event, id) = (*random.pick(&events), *random.pick(&attributes));
        let tag = (*random.pick(&TAGS)).to_owned();
        let operation = match random.below(100) {
            0..6 => AddEvent(draft(random)),
            6..26 => AddAttribute(event, attribute(random)),
            26..40 => EditValue(id, attribute(random).value),
            40..50 => ToIds(id, random.percent(50)),
            50..58 => SoftDelete(id),
            58..64 => Restore(id),
            64..70 => HardDelete(id),
            70..75 => TagAttribute(id, tag),
            75..78 => UntagAttribute(id, tag),
            78..82 => TagEvent(event, tag),
            82..85 => UntagEvent(event, tag),
            85..88 => EditEvent(event, "edited".into(), random.between(1, 4) as u8),
            88..90 => DeleteEvent(event),
            90..93 => Publish(event),
            93..95 => Unpublish(event),
            95 => DeleteTag(tag),
            96 => TagAttributeLocally(id, tag),
            97 => TagEventLocally(event, tag),
            98 => UntagEventLocally(event, tag),
            _ if objects.is_empty() => return,
            _ => {
                let (event, object) = *random.pick(&objects);
                DeleteObject(event, object)
            }
        };
        self.perform(&operation, heard);
    }
}

fn draft(random: &mut Random) -> Event {
    let mut event = Event::new("random");
    if random.percent(40) {
        (event.orgc_id, event.orgc, event.orgc_uuid) = (7, "Org Seven".into(), ORG_SEVEN.into());
    }
    event.threat_level = random.between(1, 4) as u8;
    event.distribution = random.below(5) as u8;
    event.tags = TAGS.iter().filter(|_| random.percent(20)).map(|t| (*t).to_owned()).collect();
    let object = random.between(1, 1_000_000);
    for _ in 0..random.between(0, 9) {
        let mut one = attribute(random);
        one.tags = TAGS.iter().filter(|_| random.percent(15)).map(|t| (*t).to_owned()).collect();
        if random.percent(25) {
            (one.object_id, one.object_relation) = (object, Some(one.kind.clone()));
        }
        // In one event MISP has a value of a type once.
        if !event.attributes.iter().any(|a| a.kind == one.kind && a.value == one.value) {
            event.attributes.push(one);
        }
    }
    event
}

fn seeds() -> Vec<u64> {
    let Ok(range) = std::env::var("FOLLOW_SEEDS") else { return (1..=12).collect() };
    let (from, to) = range.split_once("..").expect("FOLLOW_SEEDS=1..500");
    (from.parse().unwrap()..to.parse().unwrap()).collect()
}

#[test]
fn random_worlds_are_followed() {
    // Most of the time is waiting.
    let seeds = seeds();
    for some in seeds.chunks(6) {
        std::thread::scope(|scope| {
            for seed in some {
                scope.spawn(move || Life::new(*seed).live());
            }
        });
    }
}
