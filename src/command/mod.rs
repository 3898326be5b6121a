//! The commands: each turns what was typed into what is done and printed.

mod check;
mod demo;
mod kibana;
mod load;
mod lookup;
mod man;
mod share;
mod sighting;
mod status;
mod wazuh;

use crate::cli::{Cli, Command, Load};
use crate::config::{self, Config, Loaded, Sources};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::logging::Style;
use clap::{CommandFactory, Parser};
use log::LevelFilter;
use std::io::{self, ErrorKind, Write};
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the program on this process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let style = Style::new(cli.log_format);
    start_log(&cli, style);
    if let Err(e) = interrupt::listen() {
        log::warn!("signals end the run at once: {e}");
    }
    let result = panic::catch_unwind(|| run(&cli)).unwrap_or_else(|_| {
        Err(Error::new(Kind::Bug, "a bug in this program stopped the run (see above); please report it"))
    });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            // Nothing is left to tell it to if standard error is closed.
            let _ = io::stderr().write_all(style.last_words(&e).as_bytes());
            ExitCode::from(e.kind().exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<u8> {
    let default = Command::Load(Load::default());
    match cli.command.as_ref().unwrap_or(&default) {
        Command::Load(flags) => load::run(&configured(cli)?.config, flags, cli.quiet),
        Command::Follow => {
            let config = configured(cli)?.config;
            crate::follow::run::run(&config, &state_directory(&config)?).map(|()| 0)
        }
        Command::Lookup(flags) => lookup::run(&reader(cli)?, flags),
        Command::Status(output) => status::run(&reader(cli)?, output.json),
        Command::Check(output) => check::run(&configured(cli)?, output.json),
        Command::Kibana(flags) => kibana::run(&reader(cli)?, flags),
        Command::Sighting(flags) => sighting::run(&configured(cli)?.config, flags),
        Command::Wazuh(flags) => wazuh::run(&reader(cli)?, flags),
        Command::Share(flags) => share::run(cli, flags),
        Command::Demo => demo::run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "misp2memcached", &mut script);
            print(&script)
        }
        Command::Man { directory } => man::run(directory.as_deref()),
    }
}

/// The configuration for commands that talk to MISP.
fn configured(cli: &Cli) -> Result<Loaded> {
    warned(config::load(&Sources::from_process(cli.config.clone()))?)
}

/// The configuration for commands that only read memcached: MISP's key may be absent.
fn reader(cli: &Cli) -> Result<Config> {
    let sources = Sources { without_misp: true, ..Sources::from_process(cli.config.clone()) };
    Ok(warned(config::load(&sources)?)?.config)
}

fn warned(loaded: Loaded) -> Result<Loaded> {
    loaded.warnings.iter().for_each(|w| log::warn!("{w}"));
    Ok(loaded)
}

/// The state directory of this process's environment.
fn state_directory(config: &Config) -> Result<PathBuf> {
    crate::state::directory(&config.state, |name| std::env::var(name).ok())
}

fn start_log(cli: &Cli, style: Style) {
    let debug = matches!(&cli.command, Some(Command::Wazuh(flags)) if flags.debug());
    let verbose = cli.verbose.max(u8::from(debug));
    let level = match (cli.quiet, verbose) {
        (true, _) => LevelFilter::Error,
        (_, 0) => LevelFilter::Info,
        (_, 1) => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let mut builder = env_logger::Builder::new();
    // Other crates' messages only where everything is asked for.
    builder.filter_level(if cli.verbose > 1 { LevelFilter::Debug } else { LevelFilter::Error });
    builder.filter_module("misp2memcached", level);
    if cli.verbose < 2 {
        // Of a certificate that is refused it has less to say than the error that ends the run.
        builder.filter_module("rustls", LevelFilter::Off);
    }
    style.apply(&mut builder);
    // Fails only if a log was started before.
    let _ = builder.try_init();
}

/// Prints to standard output; a reader that went away is no error.
fn print(bytes: &[u8]) -> Result<u8> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(0),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(0),
        Err(e) => Err(Error::new(Kind::CannotWrite, format!("standard output: {e}"))),
    }
}

/// A value as one line of JSON.
fn json_line(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut line =
        serde_json::to_vec(value).map_err(|e| Error::new(Kind::Bug, format!("JSON cannot be written: {e}")))?;
    line.push(b'\n');
    Ok(line)
}
