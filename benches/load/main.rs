//! `cargo bench`: how fast is the program, against what its machine can do?
//! docs/performance.md says what is measured and how to read it.
//!
//! # Layout
//! - [`dataset`], [`attribute`], [`prng`]: the data, the same in every run
//! - [`expected`]: what memcached must hold, computed from the data alone
//! - [`replay`], [`search`], [`rows`], [`http`]: a MISP that answers from memory
//! - [`baselines`]: what the machine can do without the program
//! - [`program`], [`memcached`]: the two processes that are measured and used
//! - [`measure`], [`check`], [`report`]: the runs, their proof, their figures
//! - [`selftest`]: the benchmark's own tests (`cargo test --bench load`)

mod attribute;
mod baselines;
mod check;
mod dataset;
mod expected;
mod http;
mod measure;
mod memcached;
mod prng;
mod program;
mod replay;
mod report;
mod rows;
mod search;
mod selftest;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whatever goes wrong ends the benchmark with a message.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Measures a first load, idle passes, a refill, a refresh and look-ups against
/// a MISP that answers from memory and a real memcached.
#[derive(Parser)]
#[command(name = "load")]
struct Options {
    /// The program under test [default: this package's own, built for release]
    #[arg(long, default_value = env!("CARGO_BIN_EXE_misp2memcached"), hide_default_value = true)]
    program: PathBuf,
    #[command(flatten)]
    size: Size,
    /// Attributes in one page: misp.page_size
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    page_size: u32,
    /// Requests at once: misp.connections
    #[arg(long, default_value_t = 3, value_parser = positive)]
    connections: usize,
    /// Reach memcached over a unix socket instead of TCP
    #[arg(long)]
    unix_socket: bool,
    /// Baselines and first loads are run so often; medians count
    #[arg(long, default_value_t = 3, value_parser = positive)]
    repeats: usize,
    /// Measure what the machine can do, without the program
    #[arg(long)]
    baselines_only: bool,
    /// Where a temporary directory with the ledger is made [default: the system's]
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
    /// cargo bench gives this, cargo test does not
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much data.
#[derive(clap::Args)]
struct Size {
    /// Attributes in all
    #[arg(long, default_value_t = 1_000_000)]
    attributes: u32,
    /// Attributes in each event
    #[arg(long, default_value_t = 1_000)]
    per_event: u32,
}

#[derive(Subcommand)]
enum Command {
    /// Be the MISP: render the data and answer until standard input ends
    Serve {
        #[command(flatten)]
        size: Size,
        /// The time (Unix seconds) that the ages of events count from [default: now]
        #[arg(long)]
        now: Option<u64>,
        /// The port on 127.0.0.1 [default: a free one]
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Test the benchmark itself
    Selftest,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "a whole number from 1 on".into())
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("benchmark: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    match &options.command {
        Some(Command::Serve { size, now, port }) => {
            let data = dataset::Dataset::new(size.attributes, size.per_event)?;
            replay::serve(data, now.unwrap_or_else(unix_now), *port)
        }
        Some(Command::Selftest) => selftest::run(),
        None if !options.bench => selftest::run(),
        None => {
            let report = measure::run(options)?;
            if options.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                print!("{}", report.table());
            }
            Ok(())
        }
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
