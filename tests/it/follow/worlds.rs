//! Random worlds that change at random while they are followed, with all that may
//! happen to publisher and memcached meanwhile.
//!
//! `FOLLOW_SEEDS=1..500` runs other worlds than the usual ones.

use super::{Scene, now};
use crate::support::live::Operation::{self, *};
use crate::support::random::{Random, attribute};
use misp2memcached::demo::{Event, World};
use std::fmt::Write;

/// Moments at which memcached is compared.
const STEPS: u64 = 6;

const TAGS: [&str; 3] = ["tlp:red", "tlp:amber", "Feed-xyz"];

/// What may be configured; a seed picks one.
const QUESTIONS: [(&str, &str); 5] = [
    ("", "other:\n  enabled: true\n"),
    ("published: true\n", ""),
    ("filter:\n  - tags: [\"tlp:red\"]\n  - types: [ip-dst, md5]\n", ""),
    ("filter:\n  - tags: [\"Feed-xyz\"]\n    types: [ip-dst, ip-src, domain]\nmin_threat_level: medium\n", ""),
    ("to_ids: false\ncategories: [\"Network activity\"]\n", ""),
];

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
        let (misp, extra) = QUESTIONS[(seed % QUESTIONS.len() as u64) as usize];
        let mut world = World::new();
        for _ in 0..8 {
            let id = world.add_event(draft(&mut random), now() - 7200);
            world.publish(id, now() - 7100);
        }
        let scene = Scene::start(world, &format!("{misp}max_shrink_percent: 100\n"), extra);
        Life { seed, random, scene, published: misp.contains("published"), story: String::new() }
    }

    fn live(mut self) {
        for step in 0..STEPS {
            let _ = writeln!(self.story, "seed {}, step {step}", self.seed);
            let away = self.random.percent(15);
            if away {
                self.tell("the publisher is away");
                self.scene.publisher.kill();
            }
            for _ in 0..self.random.between(1, 12) {
                self.operate(away);
            }
            if self.published {
                let drafts: Vec<u64> =
                    self.scene.site.misp.world().events().filter(|e| !e.published).map(|e| e.id).collect();
                drafts.into_iter().for_each(|id| self.perform(&Publish(id), away));
            }
            if away {
                self.scene.publisher.restart();
            }
            match self.random.below(80) {
                0 => {
                    self.tell("memcached is restarted");
                    self.scene.site.memcached.restart();
                }
                1 => {
                    self.tell("memcached is emptied");
                    self.scene.site.memcached.flush_all();
                }
                _ => {}
            }
            self.scene.settles(&self.story);
        }
    }

    fn tell(&mut self, what: &str) {
        let _ = writeln!(self.story, "  {what}");
    }

    fn perform(&mut self, operation: &Operation, unheard: bool) {
        self.tell(&format!("{operation:?}"));
        if unheard {
            self.scene.operate_unheard(operation);
        } else {
            self.scene.operate(operation);
        }
    }

    fn operate(&mut self, unheard: bool) {
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
            return self.perform(&AddEvent(draft), unheard);
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
            95..96 => DeleteTag(tag),
            _ if objects.is_empty() => return,
            _ => {
                let (event, object) = *random.pick(&objects);
                DeleteObject(event, object)
            }
        };
        self.perform(&operation, unheard);
    }
}

fn draft(random: &mut Random) -> Event {
    let mut event = Event::new("random");
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
    let Ok(range) = std::env::var("FOLLOW_SEEDS") else { return (1..=10).collect() };
    let (from, to) = range.split_once("..").expect("FOLLOW_SEEDS=1..500");
    (from.parse().unwrap()..to.parse().unwrap()).collect()
}

#[test]
fn random_worlds_are_followed() {
    // Most of the time is waiting.
    let seeds = seeds();
    for some in seeds.chunks(5) {
        std::thread::scope(|scope| {
            for seed in some {
                scope.spawn(move || Life::new(*seed).live());
            }
        });
    }
}
