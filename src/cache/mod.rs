//! memcached: keys, values, and the way there.
//!
//! - Pure: [`key`], [`value`], [`context`], [`ttl`], [`merge`], [`reply`], [`ring`], [`changes`], [`encode`],
//!   [`answers`], [`sent`], [`networks`]
//! - How servers are reached: [`address`], [`dialer`], `tls`
//! - One socket: `stream`, [`connection`]; what a server is asked over it: [`server`]; and
//!   what is changed there: [`bulk`]; held against what it must be: [`enforce`]
//! - All servers: [`fleet`]

pub mod address;
pub mod answers;
pub mod bulk;
pub mod changes;
pub mod connection;
pub mod context;
pub mod dialer;
pub mod encode;
pub mod enforce;
pub mod fleet;
pub mod key;
pub mod merge;
pub mod networks;
pub mod reply;
pub mod ring;
pub mod sent;
pub mod server;
mod stream;
mod tls;
pub mod ttl;
pub mod value;
