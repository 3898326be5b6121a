//! The pure half of `wazuh`, an integration of Wazuh 4.x: from an alert to the values
//! to look up, and from what was found to the datagram for Wazuh's queue.
//!
//! [`fields`] knows where values stand in an alert, [`alert`] the alert itself,
//! [`local`] which addresses mean nothing elsewhere, [`answer`] the JSON that Wazuh's
//! rules see, [`datagram`] what stands before it, [`cdb`] lists in Wazuh's own form. Which groups and rules an alert has
//! does not matter: what is in it decides. No file, no socket, no memcached.

pub mod alert;
pub mod answer;
pub mod cdb;
pub mod datagram;
pub mod fields;
pub mod local;

pub use alert::{Agent, Alert, Wanted};
pub use answer::Hit;

/// What the answer's `integration` says; Wazuh's rules recognise the answer by it.
pub const INTEGRATION: &str = "misp";

/// The exit codes that Wazuh's own integrations have. They are not those of the
/// program's other commands: whoever reads the manager's log knows these.
pub mod exit {
    /// Looked up, and answered if there was something to say.
    pub const DONE: u8 = 0;
    /// memcached gave no answer in time.
    pub const NO_RESPONSE: u8 = 4;
    /// Wazuh's queue did not take the answer.
    pub const SOCKET: u8 = 5;
    /// The alert file cannot be read.
    pub const NO_FILE: u8 = 6;
    /// The alert file holds no alert in JSON.
    pub const NOT_JSON: u8 = 7;
}
