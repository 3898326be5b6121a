//! A sample MISP, a real memcached and a configuration that belong together, and
//! what memcached holds after a pass, parted as readers see it.

use super::config::Configuration;
use super::memcached::Memcached;
use super::program::{Finished, run};
use super::sample;
use misp2memcached::demo::{SampleMisp, World};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where attributes are asked for.
pub const SEARCH: &str = "/attributes/restSearch";

/// Everything that one test needs.
pub struct Site {
    pub misp: SampleMisp,
    pub memcached: Memcached,
    pub config: Configuration,
}

/// What one memcached holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    /// Indicator keys and their values.
    pub indicators: BTreeMap<Vec<u8>, Vec<u8>>,
    pub stats: Option<String>,
    pub last_load: Option<String>,
    pub networks: Option<String>,
    pub namespaces: Option<String>,
}

/// Bytes and times of the files of a directory.
pub fn files(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|e| e.expect("an entry").path());
    let read = |path: &Path| std::fs::read(path).expect("a file");
    let time = |path: &Path| path.metadata().and_then(|m| m.modified()).expect("a time");
    entries.map(|path| (path.clone(), (read(&path), time(&path)))).collect()
}

impl Held {
    /// What the server holds under `prefix`; other keys are left out.
    pub fn of(memcached: &Memcached, prefix: &str) -> Held {
        let mut all = memcached.dump(&format!("{prefix}-"));
        let mut own = |name: &str| {
            let value = all.remove(format!("{prefix}-{name}").as_bytes());
            value.map(|v| String::from_utf8(v).expect("own values are ASCII"))
        };
        let (stats, last_load) = (own("stats"), own("last-load"));
        let (networks, namespaces) = (own("networks"), own("namespaces"));
        Held { indicators: all, stats, last_load, networks, namespaces }
    }

    /// One indicator's value as text.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.indicators.get(key.as_bytes()).map(|v| std::str::from_utf8(v).expect("values are ASCII"))
    }
}

impl Site {
    /// A MISP with this world, and a memcached with further arguments.
    pub fn with(world: World, arguments: &[&str]) -> Site {
        let misp = sample(world);
        let memcached = Memcached::start(arguments);
        let config = Configuration::new(&misp, &memcached);
        Site { misp, memcached, config }
    }

    /// A MISP with this world.
    pub fn new(world: World) -> Site {
        Site::with(world, &[])
    }

    /// Runs `load` with these flags.
    pub fn load(&self, flags: &[&str]) -> Finished {
        let path = self.config.write();
        let mut arguments = vec!["--config", path.to_str().expect("a path in UTF-8"), "load"];
        arguments.extend(flags);
        run(&arguments, &[])
    }

    /// Runs `load --json` with these flags; it must exit 0. Gives the report.
    pub fn pass(&self, flags: &[&str]) -> Value {
        self.pass_with_code(flags, 0)
    }

    /// The same where it must exit otherwise, but still reports.
    pub fn pass_with_code(&self, flags: &[&str], code: i32) -> Value {
        let finished = self.load(&[&["--json"], flags].concat());
        assert_eq!(finished.code, Some(code), "{}", finished.stderr);
        serde_json::from_str(&finished.stdout).expect("a report")
    }

    /// Runs `load` with these flags; it must fail with this code. Gives its message.
    pub fn fails(&self, flags: &[&str], code: i32) -> String {
        let finished = self.load(flags);
        assert_eq!(finished.code, Some(code), "{}", finished.stderr);
        finished.stderr
    }

    /// What memcached holds.
    pub fn held(&self) -> Held {
        Held::of(&self.memcached, "misp")
    }

    /// The keys and values of memcached as text, for short worlds.
    pub fn shown(&self) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.held().indicators.iter().map(|(k, v)| format!("{} {}", text(k), text(v))).collect()
    }
}
