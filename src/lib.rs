//! misp2memcached keeps memcached exactly equal to what MISP says now.
//!
//! # Layout
//! Data flows one way: config -> plan -> MISP -> ledger -> memcached, Falco.
//!
//! - [`config`]: what was written
//! - [`indicator`]: MISP types, splitting, validation (pure)
//! - [`cache`]: keys, values, memcached
//! - [`lookup`]: from what was typed to keys, from answers to output
//! - [`error`]: what ends a run, and its exit code

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod cache;
pub mod config;
pub mod error;
pub mod indicator;
pub mod lookup;
