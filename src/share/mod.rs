//! From a sensor's detections to MISP events, and what must not get into them.
//!
//! - [`input`]: one line, whatever its form; [`flowmon`], [`cef`], [`json`]: the forms
//! - [`detection`]: what all of them become
//! - [`reserved`]: addresses that never leave; [`exclude`]: those that a site adds to
//!   them; [`withheld`]: both, looked for in any text
//! - [`event`]: from a detection to the event that is sent; [`pending`]: many detections of one event
//! - [`uuid`]: names that come out the same again; [`date`]: days and seconds
//!
//! Pure: no socket, no file, no clock.

pub mod cef;
pub mod date;
pub mod detection;
pub mod event;
pub mod exclude;
pub mod flowmon;
pub mod input;
pub mod json;
pub mod pending;
pub mod reserved;
pub mod uuid;
pub mod withheld;
