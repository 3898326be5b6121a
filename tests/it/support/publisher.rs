//! A ZeroMQ publisher as MISP has one: a real libzmq in a process of its own
//! (`tests/zmq/publisher.py`), which can be killed and started again on the same port.
//!
//! It knows frames, and not what is in them.

use misp2memcached::misp::live::zmq::TOPICS;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Longest wait for a subscriber, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running publisher; it is killed when this is dropped.
pub struct Publisher {
    child: Child,
    input: Option<ChildStdin>,
    port: u16,
    told: Arc<(Mutex<Told>, Condvar)>,
}

#[derive(Default)]
struct Told {
    port: Option<u16>,
    topics: BTreeSet<String>,
    ended: bool,
}

impl Publisher {
    /// One on a free port of 127.0.0.1.
    pub fn start() -> Publisher {
        Publisher::start_at(0)
    }

    /// One on this port.
    pub fn start_at(port: u16) -> Publisher {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zmq/publisher.py");
        // The distribution's, which has the distribution's modules, before another on the PATH.
        let python = if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" };
        let mut command = Command::new(python);
        command.arg(script).arg(port.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is there");
        let told = Arc::new((Mutex::new(Told::default()), Condvar::new()));
        let output = child.stdout.take().expect("its output");
        std::thread::spawn({
            let told = told.clone();
            move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    told.0.lock().unwrap().take(&line);
                    told.1.notify_all();
                }
                told.0.lock().unwrap().ended = true;
                told.1.notify_all();
            }
        });
        let mut publisher = Publisher { input: child.stdin.take(), child, port, told };
        publisher.port = publisher.wait_for("a port (is python3-zmq installed?)", |told| told.port);
        publisher
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until somebody has subscribed to all that is needed: what is sent before is lost to him.
    pub fn await_subscriber(&self) {
        self.wait_for("a subscriber", |told| TOPICS.iter().all(|t| told.topics.contains(*t)).then_some(()));
    }

    /// Whether somebody has subscribed to this very topic.
    pub fn has_subscriber(&self, topic: &str) -> bool {
        self.told.0.lock().unwrap().topics.contains(topic)
    }

    fn wait_for<T>(&self, what: &str, has: impl Fn(&Told) -> Option<T>) -> T {
        let told = self.told.0.lock().unwrap();
        let waited = self.told.1.wait_timeout_while(told, PATIENCE, |told| has(told).is_none() && !told.ended);
        let (told, _) = waited.unwrap();
        has(&told).unwrap_or_else(|| panic!("the publisher has not got {what}: {:?}", told.topics))
    }

    /// Publishes a message of one frame.
    pub fn send(&mut self, frame: &[u8]) {
        self.send_all([frame]);
    }

    /// Publishes messages of one frame each.
    pub fn send_all<F: AsRef<[u8]>>(&mut self, frames: impl IntoIterator<Item = F>) {
        let mut input = std::io::BufWriter::new(self.input.as_mut().expect("a running publisher"));
        for frame in frames {
            let frame = frame.as_ref();
            writeln!(input, "{}", frame.len()).and_then(|()| input.write_all(frame)).expect("the publisher reads");
        }
        input.flush().expect("the publisher reads");
    }

    /// Kills it: its connections break.
    pub fn kill(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on its port; kills it before if it still runs.
    pub fn restart(&mut self) {
        self.kill();
        *self = Publisher::start_at(self.port);
    }
}

impl Told {
    fn take(&mut self, line: &str) {
        match line.split_at_checked(1) {
            Some(("+", topic)) => {
                self.topics.insert(topic.to_owned());
            }
            Some(("-", topic)) => {
                self.topics.remove(topic);
            }
            _ => self.port = line.strip_prefix("port ").and_then(|port| port.parse().ok()),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.kill();
    }
}
