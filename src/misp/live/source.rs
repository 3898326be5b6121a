//! What every transport does: hand over messages as they come, and say when the line
//! is up and when it was down, since what was sent meanwhile is lost.

use crate::config::{Config, Kafka, Zmq};
use crate::error::{Error, Kind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes what a transport brings. A source calls it from a thread of its own.
pub trait Sink: Send + Sync {
    /// A message's JSON; `number` counts the messages of this source from 1.
    fn message(&self, number: u64, json: &[u8]);

    /// A message that no JSON can be taken from, and why.
    fn unreadable(&self, why: &str);

    /// The line is up: what is sent from now on comes.
    fn up(&self);

    /// The line is down, and why.
    fn down(&self, why: &str);

    /// The number of the last message all of whose effects, and those of the ones before,
    /// are in the ledger and in memcached.
    fn settled(&self) -> u64;
}

/// Tells a source to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends it.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the configuration names.
#[derive(Debug, Clone)]
pub enum Transport {
    /// MISP's ZeroMQ publisher.
    Zmq(Zmq),
    /// Topics of a Kafka cluster.
    Kafka(Kafka),
}

impl Transport {
    /// The one of the configuration.
    ///
    /// # Errors
    /// [`Kind::Config`]: there is none, or this program was built without it.
    pub fn of(config: &Config) -> Result<Transport> {
        let without = |section: &str| {
            let text = format!(
                "{section}: this program was built without it; build it with `cargo build --release --features {section}`"
            );
            Err(Error::new(Kind::Config, text))
        };
        match (&config.zmq, &config.kafka) {
            (Some(_), _) if !cfg!(feature = "zmq") => without("zmq"),
            (_, Some(_)) if !cfg!(feature = "kafka") => without("kafka"),
            (Some(zmq), _) => Ok(Transport::Zmq(zmq.clone())),
            (None, Some(kafka)) => Ok(Transport::Kafka(kafka.clone())),
            (None, None) => Err(Error::new(
                Kind::Config,
                "follow needs to know where MISP's messages come from: write a section `zmq:` or `kafka:` (docs/follow.md)",
            )),
        }
    }

    /// Whether messages of one event may come in another order than MISP sent them: MISP
    /// names no key, so a topic's partitions mix them (recordings, "Kafka").
    pub fn is_unordered(&self) -> bool {
        matches!(self, Transport::Kafka(_))
    }

    /// Hands messages to the sink until it is told to stop.
    ///
    /// # Errors
    /// [`Kind::Config`]: the transport's settings cannot be used.
    pub fn run(&self, sink: &dyn Sink, stop: &Stop) -> Result<()> {
        match self {
            Transport::Zmq(config) => zmq(config, sink, stop),
            Transport::Kafka(config) => kafka(config, sink, stop),
        }
    }
}
