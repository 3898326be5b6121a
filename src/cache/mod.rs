//! memcached: keys, values, and the way there.
//!
//! - Pure: [`key`], [`value`], [`ttl`], [`merge`], [`reply`], [`ring`], [`changes`], [`encode`]
//! - One socket: [`connection`]; what a server is asked over it: [`server`]; and
//!   what is changed there: [`bulk`]; held against what it must be: [`enforce`]
//! - All servers: [`fleet`]

pub mod address;
pub mod bulk;
pub mod changes;
pub mod connection;
pub mod encode;
pub mod enforce;
pub mod fleet;
pub mod key;
pub mod merge;
pub mod reply;
pub mod ring;
pub mod server;
pub mod ttl;
pub mod value;
