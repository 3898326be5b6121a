//! MISP: what is asked of it, and the proof that an answer is whole.
//!
//! - Pure: [`query`] (request bodies), [`attribute`] (wire types, lenient),
//!   [`context`] (what else rows say),
//!   [`rows`] (from a row to indicators), [`page`] (does the count agree), [`skipped`] (what is no indicator),
//!   [`queue`] (which events are asked for next), [`pace`] (how many at once)
//! - [`stream`]: rows out of a byte stream, in constant memory
//! - [`client`]: one request; [`answer`]: its body while it comes; [`quote`]: MISP's words in
//!   our messages; [`retry`]: the wait before it is tried again; [`index`]:
//!   the list of events; [`fetch`]: their attributes; [`live`]: messages; [`sighting`]: what goes back
//! - [`draft`]: an event as it is sent, and whether all of it came back (pure); [`event`]: sending it

pub mod answer;
pub mod attribute;
pub mod client;
pub mod context;
pub mod draft;
pub mod event;
pub mod fetch;
pub mod index;
pub mod live;
pub mod pace;
pub mod page;
pub mod query;
pub mod queue;
pub mod quote;
pub mod retry;
pub mod rows;
pub mod sighting;
pub mod skipped;
pub mod stream;
