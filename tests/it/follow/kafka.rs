//! The same by Kafka: messages of a topic come in the order of their partition only, what
//! was not settled comes again, and brokers go and come back.

use super::operations::{TAGS_DECIDE, recorded, world};
use super::{Followed, Follower, now};
use crate::support::kafka::Cluster;
use crate::support::live::Operation::{self, *};
use crate::support::live::{Transport, operate};
use crate::support::random::Random;
use misp2memcached::demo::{Attribute, World};

const TOPICS: [&str; 5] = ["misp_attribute", "misp_event", "misp_event_publish", "misp_object", "misp_tag"];

const ATTRIBUTES: &str = TOPICS[0];

/// One with the brokers of a cluster.
type Scene = super::Scene<Cluster>;

impl Scene {
    /// One that follows topics of so many partitions each, its first pass made.
    fn start(world: World, partitions: i32, misp: &str, extra: &str) -> Scene {
        let cluster = Cluster::start(&TOPICS.map(|topic| (topic, partitions)));
        let section = format!("kafka:\n{}", indented(&cluster.yaml(&TOPICS, &[])));
        let scene = Scene { followed: Followed::start(world, misp, extra, &section), publisher: cluster };
        scene.await_reading(1);
        scene
    }

    /// Waits until it has been reading so many times, and has made its passes for that.
    fn await_reading(&self, times: u64) {
        self.await_counts("reading", |counts| counts.up && counts.connects >= times && counts.passes >= times);
    }

    /// Does it in MISP, which tells Kafka.
    fn operate(&mut self, operation: &Operation) {
        let messages = operate(&mut self.site.misp.world(), operation, now(), Transport::Kafka).expect("possible");
        for message in messages {
            self.publisher.send(&message.topic(), std::str::from_utf8(&message.body()).expect("ASCII"));
        }
    }

    /// Does it in MISP while no broker takes what it says.
    fn operate_unheard(&self, operation: &Operation) {
        operate(&mut self.site.misp.world(), operation, now(), Transport::Kafka).expect("possible");
    }

    /// The topics of which messages would come again.
    fn repeated(&self, partitions: i32) -> Vec<&str> {
        let all = |topic: &str| (0..partitions).map(|p| self.publisher.committed(topic, p)).sum::<Option<i64>>();
        TOPICS.into_iter().filter(|topic| all(topic) != Some(self.publisher.sent(topic))).collect()
    }

    /// What the group has committed of the attributes' first partition.
    fn committed(&self) -> i64 {
        self.publisher.committed(ATTRIBUTES, 0).unwrap_or_default()
    }
}

fn indented(yaml: &str) -> String {
    yaml.lines().map(|line| format!("  {line}\n")).collect()
}

fn add(value: &str) -> Operation {
    AddAttribute(1, Attribute::new("domain", value))
}

fn in_turn(partitions: i32, misp: &str, extra: &str) {
    let mut scene = Scene::start(world(), partitions, misp, extra);
    scene.settles("the first pass");
    for operation in recorded() {
        scene.operate(&operation);
        scene.settles(&format!("{misp:?}, {operation:?}"));
    }
    // The next start has nothing to repeat. For a tag that went there was a full pass first.
    super::await_that(
        || format!("{:?} is committed", scene.repeated(partitions)),
        || scene.repeated(partitions).is_empty(),
    );
    scene.end();
    assert!(scene.repeated(partitions).is_empty());
}

#[test]
fn each_operation_in_turn() {
    in_turn(1, "", "other:\n  enabled: true\n");
}

#[test]
fn each_operation_in_turn_where_tags_decide() {
    in_turn(3, TAGS_DECIDE, "");
}

#[test]
fn all_operations_at_once_over_several_partitions() {
    let mut scene = Scene::start(world(), 4, "", "");
    recorded().iter().for_each(|operation| scene.operate(operation));
    scene.settles("all at once");
}

#[test]
fn messages_in_another_order_and_more_than_once() {
    let scene = Scene::start(world(), 1, "", "");
    for seed in 0..4 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut messages = Vec::new();
        for operation in [
            add(&format!("first-{seed}.example")),
            add(&format!("second-{seed}.example")),
            SoftDelete(62 + 2 * seed),
            EditValue(63 + 2 * seed, format!("edited-{seed}.example")),
            ToIds(2 + seed, false),
        ] {
            let said = operate(&mut scene.site.misp.world(), &operation, now(), Transport::Kafka);
            messages.extend(said.unwrap_or_else(|| panic!("{operation:?}")));
        }
        let mut left: Vec<_> = messages.iter().chain(&messages).chain(&messages).collect();
        while !left.is_empty() {
            let message = left.swap_remove(random.below(left.len() as u64) as usize);
            scene.publisher.send(&message.topic(), std::str::from_utf8(&message.body()).unwrap());
        }
        scene.settles(&format!("seed {seed}"));
    }
}

#[test]
fn killed_between_the_change_and_the_commit() {
    let mut scene = Scene::start(world(), 1, "", "");
    for n in 0..5 {
        scene.operate(&add(&format!("settled-{n}.example")));
    }
    scene.settles("before");
    super::await_that(|| "a commit".into(), || scene.committed() == 5);
    // MISP does not answer, so this one cannot be settled; the next is applied and not committed either.
    scene.site.misp.set_fault(Box::new(|_, _| misp2memcached::demo::Fault::Reset));
    scene.operate(&SoftDelete(3));
    scene.operate(&add("applied.example"));
    super::await_that(|| "the key".into(), || scene.site.held().value("misp-domain:applied.example").is_some());
    scene.follower.signal("KILL");
    assert_eq!(scene.follower.ended(), None, "killed");
    assert_eq!(scene.committed(), 5);
    scene.site.misp.clear_fault();
    scene.operate_unheard(&SoftDelete(4));
    scene.operate(&add("while-away.example"));
    scene.follower = Follower::start(&scene.site.config, &[]);
    scene.settles("after it was killed");
    // What was not committed comes again, and does no harm.
    super::await_that(|| "the last commit".into(), || scene.committed() == 8);
    scene.settles("after what came again");
}

#[test]
fn brokers_away_and_back() {
    let mut scene = Scene::start(world(), 1, "", "");
    scene.operate(&add("before.example"));
    scene.settles("before");
    scene.publisher.set_down(true);
    scene.await_log("no messages come: no broker can be reached");
    scene.operate_unheard(&add("unheard.example"));
    scene.operate_unheard(&SoftDelete(1));
    scene.publisher.set_down(false);
    scene.await_reading(2);
    scene.settles("what was missed");
    scene.operate(&add("heard.example"));
    scene.settles("what came then");
    scene.end();
    let log = scene.follower.log();
    assert_eq!(log.matches("no messages come").count(), 1, "{log}");
}

#[test]
fn memcached_goes_and_comes_back_empty() {
    let mut scene = Scene::start(world(), 1, "", "");
    scene.site.memcached.kill();
    scene.operate(&add("while-away.example"));
    scene.operate(&SoftDelete(2));
    scene.await_log("cannot be reached");
    scene.site.memcached.restart();
    scene.settles("memcached is back");
    scene.operate(&add("afterwards.example"));
    scene.settles("afterwards");
    super::await_that(|| "the last commit".into(), || scene.committed() == 3);
}

#[test]
fn it_ends_soon_with_brokers_away() {
    let mut scene = Scene::start(world(), 1, "", "");
    scene.publisher.set_down(true);
    scene.await_log("no messages come: no broker can be reached");
    let begun = std::time::Instant::now();
    scene.end();
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_wrong_setting_ends_it() {
    let mut scene = Scene::start(world(), 1, "", "");
    scene.end();
    scene
        .site
        .config
        .extra("kafka:\n  topics: [a]\n  config: {bootstrap.servers: \"127.0.0.1:1\", sasl.passwort: hunter2}\n");
    let mut follower = Follower::start(&scene.site.config, &[]);
    assert_eq!(follower.ended(), Some(78), "{}", follower.log());
    let log = follower.log();
    assert!(log.contains("kafka.config.sasl.passwort: No such configuration property"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}
