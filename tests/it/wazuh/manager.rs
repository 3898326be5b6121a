//! What stands for Wazuh's manager: a socket in the place of its queue, alert files, and
//! the program run on them as integratord does.

use crate::support::program::{Finished, run};
use crate::support::site::Site;
use misp2memcached::demo::World;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// What no shell takes away: Wazuh appends it to its command.
pub const REDIRECTION: [&str; 3] = [">", "/dev/null", "2>&1"];

/// A socket in the place of Wazuh's queue, and what belongs to it.
pub struct Manager {
    pub site: Site,
    pub queue: UnixDatagram,
}

impl Manager {
    /// With a MISP of this world, which nobody has loaded yet.
    pub fn new(world: World) -> Manager {
        let mut site = Site::new(world);
        let path = site.config.directory().join("queue");
        let queue = UnixDatagram::bind(&path).unwrap();
        queue.set_nonblocking(true).unwrap();
        let manager_section = section(&path, "60s");
        site.config.extra(&manager_section).write();
        Manager { site, queue }
    }

    /// One whose memcached has just these keys, as after a load.
    pub fn holding(keys: &[(&str, &str)]) -> Manager {
        let manager = Manager::new(World::new());
        for (key, value) in keys.iter().chain(&[("misp-last-load", "1767225600")]) {
            manager.site.memcached.set(key.as_bytes(), value.as_bytes());
        }
        manager
    }

    /// Another time-out.
    pub fn configure(&mut self, timeout: &str) {
        let section = section(&self.site.config.directory().join("queue"), timeout);
        self.site.config.extra(&section).write();
    }

    /// The configuration.
    pub fn file(&self) -> String {
        self.site.config.directory().join("misp2memcached.yaml").display().to_string()
    }

    /// Runs the integration on an alert file as Wazuh does.
    pub fn run(&self, alert: &Path) -> (Finished, Vec<String>) {
        let (file, alert) = (self.file(), alert.display().to_string());
        let arguments = [&["--config", &file, "wazuh", &alert, "", "", ""][..], &REDIRECTION].concat();
        let finished = run(&arguments, &[]);
        (finished, self.received())
    }

    /// The same with an alert that is no file yet.
    pub fn look_up(&self, alert: &Value) -> (Finished, Vec<String>) {
        self.run(&self.alert(alert))
    }

    /// Writes an alert file.
    pub fn alert(&self, alert: &Value) -> PathBuf {
        let path = self.site.config.directory().join("alert.json");
        fs::write(&path, alert.to_string()).unwrap();
        path
    }

    /// What came since this was last asked: a datagram is there once it is sent.
    pub fn received(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        while let Ok(length) = self.queue.recv(&mut buffer) {
            all.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        all
    }
}

/// The section of the configuration.
pub fn section(queue: &Path, timeout: &str) -> String {
    format!("wazuh:\n  queue: \"{}\"\n  timeout: {timeout}\n", queue.display())
}

/// A datagram's JSON, behind a header as analysisd parts it: the location ends at the
/// first `:` that is not escaped.
pub fn answer(datagram: &str) -> Value {
    let rest = datagram.strip_prefix("1:").expect("the queue's number");
    let mut escaped = false;
    let end = rest
        .char_indices()
        .find(|(_, c)| {
            let ends = *c == ':' && !escaped;
            escaped = *c == '|' && !escaped;
            ends
        })
        .expect("an end of the location")
        .0;
    assert!(rest[..end].ends_with("misp"), "{datagram}");
    serde_json::from_str(&rest[end + 1..]).expect("JSON")
}

/// An alert with a value that [`Manager::holding`] may hold.
pub fn listed() -> Value {
    json!({"data": {"srcip": "203.0.113.7"}})
}
