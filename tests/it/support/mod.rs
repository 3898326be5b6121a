//! What the tests of this crate stand on: a real memcached, a configuration file,
//! the built program, and a second opinion on what the keys should be.

pub mod authority;
pub mod cable;
pub mod config;
pub mod falco_lists;
pub mod hostile;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod live;
pub mod live_json;
pub mod memcached;
pub mod model;
pub mod not_worse;
pub mod program;
#[cfg(feature = "zmq")]
pub mod publisher;
pub mod random;
pub mod scene;
pub mod site;
pub mod tls_proxy;
pub mod truth;

use misp2memcached::demo::{SampleMisp, World};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// The key that the sample MISP lets in: 40 letters and digits, as MISP's are.
pub const KEY: &str = "SampleKeySampleKeySampleKeySampleKey0123";

/// A sample MISP on a free port.
pub fn sample(world: World) -> SampleMisp {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    SampleMisp::start(listener, Arc::new(Mutex::new(world)), KEY).expect("an address")
}
