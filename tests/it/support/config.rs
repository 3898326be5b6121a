//! The configuration file of one test.

use super::KEY;
use super::memcached::Memcached;
use misp2memcached::demo::SampleMisp;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A new directory, in memory where the machine has such a place: each pass waits for
/// the disk several times, and some hundred passes on a busy disk take minutes.
fn directory() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("a directory for temporary files")
}

/// A configuration of the program, with everything it writes in one directory.
pub struct Configuration {
    directory: tempfile::TempDir,
    url: String,
    token: String,
    servers: Vec<String>,
    memcached: String,
    misp: String,
    extra: String,
    state: Option<PathBuf>,
}

impl Configuration {
    /// One that loads from `misp` into `memcached`.
    pub fn new(misp: &SampleMisp, memcached: &Memcached) -> Configuration {
        Configuration {
            directory: directory(),
            url: misp.url(),
            token: KEY.to_owned(),
            servers: vec![memcached.server()],
            memcached: String::new(),
            misp: String::new(),
            extra: String::new(),
            state: None,
        }
    }

    /// Another address of MISP.
    pub fn url(&mut self, url: &str) -> &mut Configuration {
        url.clone_into(&mut self.url);
        self
    }

    /// Another key for MISP.
    pub fn token(&mut self, token: &str) -> &mut Configuration {
        token.clone_into(&mut self.token);
        self
    }

    /// One more memcached.
    pub fn and(&mut self, memcached: &Memcached) -> &mut Configuration {
        self.servers.push(memcached.server());
        self
    }

    /// These servers and no others.
    pub fn servers(&mut self, servers: &[String]) -> &mut Configuration {
        servers.clone_into(&mut self.servers);
        self
    }

    /// Lines of the `memcached` section, without its indentation, instead of those given before.
    pub fn memcached(&mut self, yaml: &str) -> &mut Configuration {
        yaml.clone_into(&mut self.memcached);
        self
    }

    /// Lines of the `misp` section, without its indentation, instead of those given before.
    pub fn misp(&mut self, yaml: &str) -> &mut Configuration {
        yaml.clone_into(&mut self.misp);
        self
    }

    /// Further sections, instead of those given before.
    pub fn extra(&mut self, yaml: &str) -> &mut Configuration {
        yaml.clone_into(&mut self.extra);
        self
    }

    /// The directory of everything that belongs to this test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The state directory of another configuration instead of one of its own.
    pub fn state_of(&mut self, directory: &Path) -> &mut Configuration {
        self.state = Some(directory.to_owned());
        self
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| self.directory().join("state"))
    }

    /// The file's text.
    pub fn yaml(&self) -> String {
        let mut yaml = String::from("memcached:\n  servers:\n");
        for server in &self.servers {
            let _ = writeln!(yaml, "    - \"{server}\"");
        }
        for line in self.memcached.lines() {
            let _ = writeln!(yaml, "  {line}");
        }
        let _ = writeln!(yaml, "misp:\n  url: \"{}\"\n  token: \"{}\"", self.url, self.token);
        for line in self.misp.lines() {
            let _ = writeln!(yaml, "  {line}");
        }
        let _ = writeln!(yaml, "state:\n  directory: \"{}\"", self.state().display());
        yaml.push_str(&self.extra);
        yaml
    }

    /// Writes the file, and makes the state directory; returns the file's path.
    pub fn write(&self) -> PathBuf {
        let path = self.directory().join("misp2memcached.yaml");
        std::fs::create_dir_all(self.state()).expect("a state directory");
        std::fs::write(&path, self.yaml()).expect("a configuration file");
        path
    }
}

#[test]
fn the_file_says_what_was_asked_for() {
    let misp = super::sample(misp2memcached::demo::World::new());
    let (one, two) = (Memcached::start(&[]), Memcached::start(&[]));
    let mut configuration = Configuration::new(&misp, &one);
    configuration
        .and(&two)
        .memcached("prefix: other\n")
        .misp("to_ids: false\npage_size: 7\n")
        .extra("other:\n  enabled: true\n");
    let path = configuration.write();
    let yaml: serde_yaml::Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(yaml["memcached"]["servers"][1].as_str(), Some(two.server().as_str()));
    assert_eq!(yaml["memcached"]["prefix"].as_str(), Some("other"));
    assert_eq!(yaml["misp"]["url"].as_str(), Some(misp.url().as_str()));
    assert_eq!(yaml["misp"]["token"].as_str(), Some(KEY));
    assert_eq!((yaml["misp"]["page_size"].as_u64(), yaml["other"]["enabled"].as_bool()), (Some(7), Some(true)));
    assert!(configuration.state().is_dir());
    let yaml = configuration.url("http://192.0.2.1").token("other").yaml();
    assert!(yaml.contains("http://192.0.2.1") && !yaml.contains(KEY));
}
