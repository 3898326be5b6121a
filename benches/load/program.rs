//! The program under test as a child process, and what a run of it cost: wall
//! time, CPU and peak memory, taken by GNU time.

use crate::Result;
use crate::memcached::Address;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// GNU time stands between us and the program for its peak memory: a process
/// started by a large parent begins with the parent's peak, its own child does not.
const GNU_TIME: &str = "/usr/bin/time";

/// Settings that would come from the environment of whoever runs the benchmark.
const ENVIRONMENT: [&str; 13] = [
    "MISP2MEMCACHED_CONFIG",
    "MISP2MEMCACHED_MISP_TOKEN",
    "MISP_KEY",
    "MISP_URL",
    "CREDENTIALS_DIRECTORY",
    "STATE_DIRECTORY",
    "RUST_LOG",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// What a run cost.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of CPU, user and system.
    pub cpu: f64,
    /// Peak resident memory in MiB.
    pub peak: f64,
}

/// The program, its configuration and its files.
pub struct Program {
    path: PathBuf,
    directory: PathBuf,
}

/// What the configuration file says.
pub struct Settings<'a> {
    pub memcached: &'a Address,
    pub misp: &'a str,
    pub page_size: u32,
    pub connections: usize,
}

impl Program {
    /// The program at `path`, with all its files in `directory`.
    pub fn new(path: &Path, directory: &Path) -> Result<Program> {
        if !Path::new(GNU_TIME).exists() {
            return Err(format!("{GNU_TIME} is missing: install the Debian package time").into());
        }
        if !path.is_file() {
            return Err(format!("--program {}: no such file", path.display()).into());
        }
        Ok(Program { path: path.to_owned(), directory: directory.to_owned() })
    }

    /// Writes the configuration.
    pub fn configure(&self, settings: &Settings) -> Result<()> {
        let (host, port) = match settings.memcached {
            Address::Tcp(port) => ("127.0.0.1".to_owned(), *port),
            Address::Unix(path) => (path.display().to_string(), 11211),
        };
        let Settings { misp, page_size, connections, .. } = settings;
        let text = format!(
            "memcached:\n  host: \"{host}\"\n  port: {port}\n\
             misp:\n  url: \"http://{misp}\"\n  token: \"benchmark\"\n  page_size: {page_size}\n  \
             connections: {connections}\n  initial_event_timestamp: 365d\n\
             hash: {{enabled: true}}\nnetwork: {{enabled: true}}\nweb: {{enabled: true}}\nother: {{enabled: false}}\n\
             state: {{directory: \"{}\"}}\n",
            self.state().display()
        );
        Ok(std::fs::write(self.config(), text)?)
    }

    /// Forgets everything of earlier runs.
    pub fn fresh_ledger(&self) -> Result<()> {
        if self.state().exists() {
            std::fs::remove_dir_all(self.state())?;
        }
        Ok(std::fs::create_dir_all(self.state())?)
    }

    /// Where the ledger is.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// One pass.
    pub fn load(&self) -> Result<Cost> {
        Ok(self.run(&["load", "--json"], None)?.0)
    }

    /// Looks up the values of a file, one a line; also returns the file of its answers.
    pub fn lookup(&self, values: &Path) -> Result<(Cost, PathBuf)> {
        self.run(&["lookup", "-", "--json"], Some(values))
    }

    fn run(&self, arguments: &[&str], input: Option<&Path>) -> Result<(Cost, PathBuf)> {
        let [out, err, took] = ["stdout", "stderr", "time"].map(|name| self.directory.join(name));
        let mut command = Command::new(GNU_TIME);
        command.args(["-f", "%e %U %S %M", "-o"]).arg(&took).arg(&self.path).arg("--config").arg(self.config());
        command.args(arguments).stdout(File::create(&out)?).stderr(File::create(&err)?);
        match input {
            Some(path) => command.stdin(File::open(path)?),
            None => command.stdin(Stdio::null()),
        };
        for name in ENVIRONMENT {
            command.env_remove(name);
        }
        let start = Instant::now();
        let status = command.status()?;
        let wall = start.elapsed().as_secs_f64();
        if !status.success() {
            let text = std::fs::read_to_string(&err)?;
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(20)..].join("\n");
            return Err(format!("{} {}: {status}\n{last}", self.path.display(), arguments.join(" ")).into());
        }
        let text = std::fs::read_to_string(&took)?;
        let figures: Vec<f64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        let [_, user, system, kibibytes] = figures[..] else {
            return Err(format!("{GNU_TIME} wrote {text:?}: is it GNU time?").into());
        };
        Ok((Cost { wall, cpu: user + system, peak: kibibytes / 1024.0 }, out))
    }

    fn config(&self) -> PathBuf {
        self.directory.join("misp2memcached.yaml")
    }
}
