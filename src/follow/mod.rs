//! `follow`: the cache kept true between passes, by MISP's live messages.
//!
//! A transport's thread reads messages and decides what they mean; one thread alone
//! writes, so that messages and passes never fight:
//!
//! - Pure: [`decide`] (from a message to what has to be done), [`pending`] (what waits to
//!   be done, coalesced and bounded), [`recent`] (what messages brought a moment ago), [`schedule`] (when what no message asks for is due), [`counts`] (what is told of it all)
//! - [`inbox`]: where the threads meet
//! - `look`: the state of some events asked of MISP, in a thread of its own
//! - [`run`]: the one writer, `run/looks.rs`: what it asks MISP for; `notify`: what systemd is told

pub mod counts;
pub mod decide;
pub mod inbox;
mod look;
mod notify;
pub mod pending;
pub mod recent;
pub mod run;
pub mod schedule;
