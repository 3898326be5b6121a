//! `zmq` and `kafka`: where `follow` hears of MISP's changes.

use super::Config;
use super::problem::{Problem, quoted};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// What Kafka allows in the name of a topic (`org.apache.kafka.common.internals.Topic`).
const TOPIC_LENGTH: usize = 249;

/// MISP's ZeroMQ publisher.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Zmq {
    /// Host name or address.
    pub host: String,
    /// TCP port; MISP's default is 50000.
    pub port: u16,
}

impl Default for Zmq {
    fn default() -> Self {
        Zmq { host: "localhost".into(), port: 50_000 }
    }
}

impl Zmq {
    /// `zmq:` with nothing below it is the publisher of this host.
    pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Zmq>, D::Error> {
        Zmq::deserialize(deserializer).map(Some)
    }
}

/// MISP's topics of a Kafka cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// Topics, as MISP's settings `Plugin.Kafka_*_notifications_topic` name them.
    pub topics: Vec<String>,
    /// Seconds between two commits of what was read and is done.
    pub poll_interval: f64,
    /// librdkafka's own settings, passed on as they are. Their values are secrets, since passwords are among them.
    pub config: BTreeMap<String, Setting>,
}

impl Default for Kafka {
    fn default() -> Self {
        Kafka { topics: Vec::new(), poll_interval: 1.0, config: BTreeMap::new() }
    }
}

impl Kafka {
    pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Kafka>, D::Error> {
        Kafka::deserialize(deserializer).map(Some)
    }
}

/// The value of one of librdkafka's settings: a text, a number or a flag.
#[derive(Debug, Clone)]
pub struct Setting(pub SecretString);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Setting, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a flag")
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Setting, E> {
                Ok(Setting(flag.to_string().into()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Setting, E> {
                Ok(Setting(number.to_string().into()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Setting, E> {
                Ok(Setting(number.to_string().into()))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Setting, E> {
                Ok(Setting(number.to_string().into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Setting, E> {
                Ok(Setting(text.into()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

/// What is wrong with both sections.
pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    if config.zmq.is_some() && config.kafka.is_some() {
        problems.push(Problem::new("kafka", "stands beside `zmq`; both bring the same messages: take one of them out"));
    }
    if let Some(zmq) = &config.zmq {
        if zmq.host.trim().is_empty() || zmq.host.contains([' ', '/']) {
            problems.push(Problem::found("zmq.host", quoted(&zmq.host)));
        }
        if zmq.port == 0 {
            problems.push(Problem::found("zmq.port", 0));
        }
    }
    if let Some(kafka) = &config.kafka {
        check_kafka(kafka, problems);
    }
}

fn check_kafka(kafka: &Kafka, problems: &mut Vec<Problem>) {
    if kafka.topics.is_empty() {
        problems.push(Problem::found("kafka.topics", "nothing"));
    }
    for (index, topic) in kafka.topics.iter().enumerate() {
        let letters = topic.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !letters || topic.is_empty() || topic.len() > TOPIC_LENGTH || matches!(topic.as_str(), "." | "..") {
            problems.push(Problem::found(&format!("kafka.topics[{index}]"), quoted(topic)));
        }
    }
    if !(0.01..=60.0).contains(&kafka.poll_interval) {
        problems.push(Problem::found("kafka.poll_interval", kafka.poll_interval));
    }
    if !["bootstrap.servers", "metadata.broker.list"].iter().any(|name| kafka.config.contains_key(*name)) {
        problems.push(Problem::new("kafka.config", "names no broker; write `bootstrap.servers: HOST:9092` there"));
    }
}
