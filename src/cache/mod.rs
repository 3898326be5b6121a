//! memcached: keys, values, and the way there.
//!
//! [`key`] and [`value`] are pure codecs.

pub mod key;
pub mod value;
