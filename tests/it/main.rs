//! The built program and its parts against a sample MISP and a real memcached.
//!
//! One crate, so that the harness in `support` is compiled once: a topic is a
//! file beside this one, named here.

mod cut_off_end;
mod dalli_vectors;
mod docs;
mod fleet;
mod interrupt;
mod misp_faults;
mod misp_limits;
mod recorded;
mod sample_misp;
mod secured;
mod support;
mod verify;
mod worlds;
