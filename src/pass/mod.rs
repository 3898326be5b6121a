//! One pass: what MISP says now, into the ledger, memcached, Falco's files and Wazuh's lists.
//!
//! - Pure: [`window`], [`plan`], [`guard`], [`diff`], [`terms`], [`tally`], [`since`]
//! - [`between`]: live messages, between two passes
//! - [`refill`]: servers that lost their data; `standing`: servers that missed a pass; [`writer`]: events into ledger and
//!   memcached; [`verify`]: memcached held against the ledger; [`survey`]: the
//!   ledger read once; `finish`: files, the keys that sum up, the report; `left_out`: keys that
//!   too many events list; `dropped`: keys that a full memcached gave up; `bare`: servers that nobody has filled; `prefix`: another one than before; `question`: which one the ledger
//!   answers; `clock`: MISP's, if it was ahead; [`told`]: what readers have to know first;
//!   [`run`]: all of it in order; [`history`]: what came of the last ones

pub mod applier;
mod bare;
pub mod between;
pub(crate) mod cdb_files;
mod clock;
pub mod diff;
mod dropped;
mod falco_files;
mod finish;
pub mod guard;
pub mod history;
mod left_out;
pub mod plan;
mod prefix;
mod preview;
pub mod progress;
mod question;
pub mod refill;
pub mod run;
mod servers;
pub mod since;
mod standing;
pub mod survey;
pub mod tally;
pub mod terms;
pub mod told;
pub mod verify;
pub mod window;
pub mod writer;
