//! The built program and its parts against a sample MISP and a real memcached.
//!
//! One crate, so that the harness in `support` is compiled once: a topic is a
//! file beside this one, named here.

mod between;
mod commands;
mod context;
mod crash;
mod cut_off_end;
mod dalli_vectors;
mod disk;
mod docs;
mod edges;
mod fleet;
#[cfg(feature = "zmq")]
mod follow;
mod foreign_writer;
mod getting_started;
mod hostile_misp;
mod interrupt;
#[cfg(feature = "kafka")]
mod kafka;
mod kibana;
mod ledger_faults;
mod live_messages;
mod log;
mod logstash;
mod manners;
mod memcached_faults;
mod messages;
mod metrics;
mod migration;
mod misp_faults;
mod misp_limits;
mod packaging;
mod recorded;
mod sample_misp;
mod secrets;
mod secured;
mod share;
mod sighting;
mod spellings;
mod status;
mod support;
mod tls;
mod verify;
mod wazuh;
mod worlds;
#[cfg(feature = "zmq")]
mod zmq;
