//! MISP's live messages: what they say, and the transports they come by.
//!
//! - Pure: [`message`]
//! - [`source`]: what every transport does; [`transport`]: which one is configured
//! - `zmq` (feature `zmq`): MISP's ZeroMQ publisher
//! - `kafka` (feature `kafka`): topics of a Kafka cluster

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(not(feature = "kafka"))]
#[path = "kafka_left_out.rs"]
pub mod kafka;
pub mod message;
pub mod source;
pub mod transport;
#[cfg(feature = "zmq")]
pub mod zmq;
