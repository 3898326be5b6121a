//! From a result to an exit code; everything else is the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    misp2memcached::command::main()
}
