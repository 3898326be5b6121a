//! misp2memcached keeps memcached exactly equal to what MISP says now.
//!
//! # Layout
//! Data flows one way: config -> plan -> MISP -> ledger -> memcached, Falco.
//!
//! - [`cli`]: what was typed; [`config`]: what was written; [`command`]: what is done with both;
//!   [`completion`]: what a shell may offer
//! - [`misp`]: what is asked of MISP, and the proof that an answer is whole
//! - [`indicator`]: MISP types, splitting, validation (pure)
//! - [`ledger`]: event -> indicators, on an embedded store
//! - [`cache`]: keys, values, memcached
//! - [`falco`]: lists and rules
//! - [`pass`]: window, plan, guard, and one pass in order
//! - [`follow`]: the cache kept true between passes, by live messages
//! - [`lookup`]: from what a log shows to keys, and back (pure)
//! - [`kibana`]: saved objects for Kibana (pure)
//! - [`wazuh`]: from a Wazuh alert to values, and from matches to an answer (pure)
//! - [`metrics`]: figures for Prometheus
//! - [`share`]: from a sensor's detections to MISP events, and what never leaves (pure)
//! - [`sighting`]: from what sensors saw to what MISP is told of it (pure)
//! - [`report`]: what a pass did, for people and programs (pure)
//! - [`demo`]: a sample MISP, for the demo and for the tests
//! - [`error`]: what ends a run, and its exit code
//! - [`logging`]: the log, in the form that its reader takes; [`printable`]: what strangers wrote, for people
//! - [`interrupt`]: signals; [`atomic_file`], [`lock`], [`state`]: files that are replaced whole, one run
//!   at a time, and where the program's own files are

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod atomic_file;
pub mod cache;
pub mod cli;
pub mod command;
pub mod completion;
pub mod config;
pub mod demo;
pub mod error;
pub mod falco;
pub mod follow;
pub mod indicator;
pub mod interrupt;
pub mod kibana;
pub mod ledger;
pub mod lock;
pub mod logging;
pub mod lookup;
pub mod metrics;
pub mod misp;
pub mod pass;
pub mod printable;
pub mod report;
pub mod share;
pub mod sighting;
pub mod state;
pub mod wazuh;
