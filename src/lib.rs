//! misp2memcached keeps memcached exactly equal to what MISP says now.
//!
//! # Layout
//! Data flows one way: config -> plan -> MISP -> ledger -> memcached, Falco.
//!
//! - [`config`]: what was written
//! - [`indicator`]: MISP types, splitting, validation (pure)
//! - [`cache`]: keys, values, memcached
//! - [`error`]: what ends a run, and its exit code

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod atomic_file;
pub mod cache;
pub mod config;
pub mod error;
pub mod falco;
pub mod indicator;
