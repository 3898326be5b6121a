//! The sample MISP on a port of the loopback interface, to try a built program or a package
//! against: `cargo run --example sample_misp`. Prints its address and its key, and stays
//! until its standard input ends.

use misp2memcached::demo::{SampleMisp, World, story};
use std::io::{self, Read};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// Opens this sample and nothing else.
const KEY: &str = "key-of-the-sample-misp";

fn main() -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let mut world = World::new();
    story::fill(&mut world, now.as_secs());
    let misp = SampleMisp::start(TcpListener::bind("127.0.0.1:0")?, Arc::new(Mutex::new(world)), KEY)?;
    println!("{} {KEY}", misp.url());
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}
