//! Which transport the configuration names.

use super::kafka;
use super::source::{Sink, Stop};
#[cfg(feature = "zmq")]
use super::zmq;
use crate::config::{Config, Kafka, Zmq};
use crate::error::{Error, Kind, Result};

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
        match (&config.zmq, &config.kafka) {
            (Some(_), _) if !cfg!(feature = "zmq") => Err(Error::new(
                Kind::Config,
                "zmq: this program was built without ZeroMQ: build it with `cargo build --release --features zmq`",
            )),
            (Some(zmq), _) => Ok(Transport::Zmq(zmq.clone())),
            (None, Some(kafka)) => kafka::check(kafka).map(|()| Transport::Kafka(kafka.clone())),
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
            #[cfg(feature = "zmq")]
            Transport::Zmq(config) => {
                zmq::run(config, sink, stop);
                Ok(())
            }
            #[cfg(not(feature = "zmq"))]
            Transport::Zmq(_) => Ok(()),
            Transport::Kafka(config) => kafka::run(config, sink, stop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(yaml: &str) -> Result<Transport> {
        Transport::of(&serde_yaml::from_str(yaml).expect("a configuration"))
    }

    #[test]
    fn a_build_says_what_it_was_built_without() {
        let zmq = of("zmq: {host: misp.example, port: 50000}");
        let kafka = of("kafka: {topics: [misp_attribute], config: {bootstrap.servers: 'localhost:9092'}}");
        for (transport, built_in, feature) in
            [(zmq, cfg!(feature = "zmq"), "--features zmq"), (kafka, kafka::BUILT_IN, "--features kafka")]
        {
            match transport {
                Ok(transport) => assert!(built_in, "{transport:?}"),
                Err(e) => {
                    assert!(!built_in && e.kind() == Kind::Config && e.to_string().contains(feature), "{e}");
                }
            }
        }
    }

    #[test]
    fn without_a_section_it_says_which_to_write() {
        let error = of("{}").unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("`zmq:` or `kafka:`"), "{error}");
    }
}
