//! Standard input that ends at a signal, so that what was read so far is dealt with.

use crate::interrupt;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read};

/// How soon a signal is noticed.
const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Standard input.
pub struct Stdin;

impl Read for Stdin {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        loop {
            if interrupt::requested() {
                return Ok(0);
            }
            match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&POLL)) {
                // At the end of a pipe that is a hang-up, which reads as nothing.
                Ok(ready) if ready > 0 => return stdin.lock().read(into),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                // What cannot be polled can be read.
                Err(_) => return stdin.lock().read(into),
            }
        }
    }
}
