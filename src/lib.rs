//! misp2memcached keeps memcached exactly equal to what MISP says now.
//!
//! # Layout
//! Data flows one way: config -> plan -> MISP -> ledger -> memcached, Falco.
//!
//! - [`config`]: what was written
//! - [`indicator`]: MISP types, splitting, validation (pure)
//! - [`cache`]: keys, values, memcached
//! - [`demo`]: a sample MISP in this process
//! - [`error`]: what ends a run, and its exit code

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod atomic_file;
pub mod cache;
pub mod config;
pub mod demo;
pub mod error;
pub mod falco;
pub mod indicator;
pub mod ledger;
pub mod lock;
pub mod misp;
pub mod pass;
pub mod report;
pub mod state;
