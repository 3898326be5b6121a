//! MISP's live messages: what they say, and the transports they come by.
//!
//! - Pure: [`message`]
//! - [`source`]: what every transport does
//! - `zmq` (feature `zmq`): MISP's ZeroMQ publisher
//! - `kafka` (feature `kafka`): topics of a Kafka cluster

pub mod message;
pub mod source;
#[cfg(feature = "zmq")]
pub mod zmq;
