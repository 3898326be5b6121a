//! A sample MISP inside this process: what `demo` loads from, and what the
//! integration tests talk to.
//!
//! - [`event`]: events and attributes (pure)
//! - [`story`]: what the demo tells (pure)
//! - [`world`]: all of them, and what each operation does to them (pure)
//! - [`row`]: an attribute as MISP's search shows it (pure)
//! - [`search`]: the parameters of an attribute search (pure)
//! - [`mod@answer`]: from request to response (pure)
//! - [`mod@events`]: the same for requests that add events (pure but for the world)
//! - [`sightings`]: the same for requests that add sightings (pure but for the world)
//! - [`http`]: requests and responses as bytes
//! - [`fault`]: answers that go wrong on purpose
//! - [`server`]: sockets and threads
//!
//! It knows a part of MISP. What MISP would honour and this does not know is
//! refused with 501, so that a caller never takes a wrong answer for MISP's.

pub mod answer;
pub mod event;
pub mod events;
pub mod fault;
pub mod http;
pub mod row;
pub mod search;
pub mod server;
pub mod sightings;
pub mod story;
mod words;
pub mod world;

#[cfg(test)]
mod recorded;

pub use answer::{Options, answer};
pub use event::{Attribute, Event};
pub use fault::Fault;
pub use http::{Request, Response};
pub use server::SampleMisp;
pub use world::World;
