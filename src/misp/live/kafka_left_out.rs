//! In the place of `kafka` in a program that was built without librdkafka: says so.

use super::source::{Sink, Stop};
use crate::config::Kafka;
use crate::error::{Error, Kind, Result};

/// Whether this program can read Kafka.
pub const BUILT_IN: bool = false;

/// Says what is missing.
///
/// # Errors
/// Always, [`Kind::Config`].
pub fn check(_: &Kafka) -> Result<()> {
    let text = "kafka: this program was built without Kafka: build it with `cargo build --release --features kafka`, \
                or take MISP's ZeroMQ (section `zmq`)";
    Err(Error::new(Kind::Config, text))
}

/// Says what is missing.
///
/// # Errors
/// Always, [`Kind::Config`].
pub fn run(config: &Kafka, _: &dyn Sink, _: &Stop) -> Result<()> {
    check(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_to_build() {
        let error = check(&Kafka::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("--features kafka"));
    }
}
