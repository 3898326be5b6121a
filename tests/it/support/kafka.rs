//! A Kafka cluster inside the test process (librdkafka's own mock), a producer that
//! sends as MISP does, and a sink that keeps what it is given.

use misp2memcached::config::Kafka;
use misp2memcached::error::Result;
use misp2memcached::misp::live::kafka;
use misp2memcached::misp::live::source::{Sink, Stop};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The mock lets a group wait three seconds for further members.
const PATIENCE: Duration = Duration::from_secs(60);

/// The group of [`Cluster::section`].
const GROUP: &str = "misp2memcached";

/// Brokers, and a producer.
pub struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
    sent: Mutex<BTreeMap<String, i64>>,
}

impl Cluster {
    /// With these topics, each with so many partitions.
    pub fn start(topics: &[(&str, i32)]) -> Cluster {
        let mock = MockCluster::new(1).expect("a mock cluster");
        for (topic, partitions) in topics {
            mock.create_topic(topic, *partitions, 1).expect("a topic");
        }
        let producer = ClientConfig::new().set("bootstrap.servers", mock.bootstrap_servers()).create();
        Cluster { mock, producer: producer.expect("a producer"), sent: Mutex::default() }
    }

    /// `HOST:PORT` of the brokers.
    pub fn servers(&self) -> String {
        self.mock.bootstrap_servers()
    }

    /// The section `kafka` of a loader of this cluster, with more of librdkafka's settings.
    pub fn section(&self, topics: &[&str], more: &[(&str, &str)]) -> Kafka {
        serde_yaml::from_str(&self.yaml(topics, more)).unwrap()
    }

    /// The same as text.
    pub fn yaml(&self, topics: &[&str], more: &[(&str, &str)]) -> String {
        let servers = self.servers();
        let mut yaml = format!("topics: {topics:?}\npoll_interval: 0.05\nconfig:\n  bootstrap.servers: {servers}\n");
        // The mock takes this time for every change of a group.
        for (name, value) in [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "200")].iter().chain(more) {
            writeln!(yaml, "  {name}: \"{value}\"").unwrap();
        }
        yaml
    }

    /// Sends as MISP does: to any partition, without a key.
    pub fn send(&self, topic: &str, payload: &str) {
        self.produce(BaseRecord::<(), str>::to(topic).payload(payload));
    }

    /// Sends to one partition.
    pub fn send_to(&self, topic: &str, partition: i32, payload: &str) {
        self.produce(BaseRecord::<(), str>::to(topic).partition(partition).payload(payload));
    }

    /// Sends a message without a payload.
    pub fn send_nothing(&self, topic: &str) {
        self.produce(BaseRecord::<(), str>::to(topic));
    }

    /// Messages that were sent to a topic.
    pub fn sent(&self, topic: &str) -> i64 {
        self.sent.lock().unwrap().get(topic).copied().unwrap_or_default()
    }

    fn produce(&self, record: BaseRecord<'_, (), str>) {
        *self.sent.lock().unwrap().entry(record.topic.to_owned()).or_default() += 1;
        self.producer.send(record).map_err(|(e, _)| e).expect("the producer takes it");
        self.producer.flush(PATIENCE).expect("the broker takes it");
    }

    /// Every broker is gone, or back. The mock aborts the process if its port is held by a
    /// child that another thread starts at this moment: such a test is named `brokers_away`,
    /// and run without others beside it (Makefile).
    pub fn set_down(&self, down: bool) {
        if down { self.mock.broker_down(-1) } else { self.mock.broker_up(-1) }.expect("brokers");
    }

    /// What the group has committed of a partition.
    pub fn committed(&self, topic: &str, partition: i32) -> Option<i64> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.servers()).set("group.id", GROUP);
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let answer = consumer.committed_offsets(list, PATIENCE).expect("an answer");
        match answer.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// Waits until the group has committed this offset.
    pub fn await_committed(&self, topic: &str, partition: i32, offset: i64) {
        await_that(&format!("{topic} [{partition}] at {offset}"), || self.committed(topic, partition) == Some(offset));
    }
}

/// Waits until this is true.
pub fn await_that(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "it never comes: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a source said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Message(u64, String),
    Unreadable,
    Up,
    Down(String),
}

/// Keeps what a source says; settles what the test says.
#[derive(Default)]
pub struct Kept {
    said: Mutex<Vec<Said>>,
    changed: Condvar,
    settled: AtomicU64,
}

impl Kept {
    /// What was said up to now.
    pub fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap().clone()
    }

    /// The messages among it.
    pub fn messages(&self) -> Vec<String> {
        let texts = self.said().into_iter().filter_map(|said| match said {
            Said::Message(_, text) => Some(text),
            _ => None,
        });
        texts.collect()
    }

    /// Waits until enough was said.
    pub fn wait(&self, what: &str, enough: impl Fn(&[Said]) -> bool) {
        let said = self.said.lock().unwrap();
        let (said, late) = self.changed.wait_timeout_while(said, PATIENCE, |said| !enough(said)).unwrap();
        assert!(!late.timed_out(), "{what}: {said:?}");
    }

    /// Waits for so many lines up.
    pub fn wait_up(&self, times: usize) {
        self.wait("up", |said| said.iter().filter(|s| **s == Said::Up).count() >= times);
    }

    /// Waits for so many messages.
    pub fn wait_messages(&self, count: usize) {
        self.wait("messages", |said| said.iter().filter(|s| matches!(s, Said::Message(..))).count() >= count);
    }

    /// All up to this message is done with.
    pub fn settle(&self, number: u64) {
        self.settled.store(number, Ordering::SeqCst);
    }

    fn say(&self, said: Said) {
        self.said.lock().unwrap().push(said);
        self.changed.notify_all();
    }
}

impl Sink for Kept {
    fn message(&self, number: u64, json: &[u8]) {
        self.say(Said::Message(number, String::from_utf8(json.to_vec()).unwrap()));
    }

    fn unreadable(&self, _: &str) {
        self.say(Said::Unreadable);
    }

    fn up(&self) {
        self.say(Said::Up);
    }

    fn down(&self, why: &str) {
        self.say(Said::Down(why.to_owned()));
    }

    fn settled(&self) -> u64 {
        self.settled.load(Ordering::SeqCst)
    }
}

/// A source that runs.
pub struct Loader {
    pub kept: Arc<Kept>,
    stop: Stop,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Loader {
    pub fn start(section: Kafka) -> Loader {
        let (kept, stop) = (Arc::new(Kept::default()), Stop::default());
        let (sink, end) = (Arc::clone(&kept), stop.clone());
        let thread = thread::spawn(move || kafka::run(&section, &*sink, &end));
        Loader { kept, stop, thread: Some(thread) }
    }

    /// Starts one and waits until it reads.
    pub fn reading(section: Kafka) -> Loader {
        let loader = Loader::start(section);
        loader.kept.wait_up(1);
        loader
    }

    /// Ends it, and says how long that took.
    pub fn end(mut self) -> Duration {
        let start = Instant::now();
        self.stop.now();
        self.thread.take().unwrap().join().expect("no panic").expect("no error");
        start.elapsed()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.now();
    }
}
