//! What is said when something is wrong before a pass can begin or as it begins:
//! the exit code, the words (golden files under `tests/golden/messages`), that the
//! key is never among them, and that nothing was changed.
//!
//! After a message was changed on purpose, `UPDATE_GOLDEN=1 cargo test --test it
//! messages` writes the files anew; read the difference before it is kept.

use crate::support::KEY;
use crate::support::memcached::Memcached;
use crate::support::program::{Finished, command, run};
use crate::support::scene::{INDEX, Outside, Random, Scene, change, old_world};
use misp2memcached::demo::Fault;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// A key that is found wherever it is shown.
const TOKEN: &str = "Di5tinctiveT0kenDi5tinctiveT0kenDi5tinct";

/// A scene that was loaded; since then MISP has changed, so that a run that went
/// on would change memcached and Falco's file.
struct Before {
    scene: Scene,
    outside: Outside,
}

impl Before {
    fn new() -> Before {
        let mut random = Random::new(1);
        let mut scene = Scene::new(old_world(&mut random, 10, 10), "");
        scene.good("before");
        let outside = scene.outside();
        change(&mut scene.world(), &mut random, 10);
        scene.configuration.token(TOKEN).write();
        Before { scene, outside }
    }

    /// The configuration file with some of its text replaced.
    fn with(self, from: &str, to: &str) -> Before {
        let yaml = self.scene.configuration.yaml();
        assert!(yaml.contains(from), "{from} in {yaml}");
        fs::write(self.scene.file(), yaml.replace(from, to)).unwrap();
        self
    }

    /// A load says what the golden file has and changes nothing.
    fn load(&self, name: &str) {
        self.says(name, &["load"]);
        assert!(self.scene.outside() == self.outside, "{name}: something was changed");
        assert_eq!(leftovers(&self.scene.configuration.state()), [""; 0], "{name}");
    }

    fn says(&self, name: &str, arguments: &[&str]) {
        // The run with everything logged goes beside the other, with a lock of its own.
        let file = self.scene.file();
        let second = file.replace(".yaml", "2.yaml");
        let yaml = fs::read_to_string(&file).unwrap();
        let directory = self.scene.configuration.directory();
        let state = |name: &str| format!("{}/{name}\"", directory.display());
        fs::write(&second, yaml.replace(&state("state"), &state("state2"))).unwrap();
        says(name, directory, |more| {
            let file = if more.is_empty() { &file } else { &second };
            run(&[&["--config", file], arguments, more].concat(), &[])
        });
    }
}

/// What is neither the ledger nor the lock.
fn leftovers(state: &Path) -> Vec<String> {
    let names = fs::read_dir(state).into_iter().flatten().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !["ledger.redb", "lock", "passes.json"].contains(&name.as_str())).collect()
}

/// Runs as people do and with everything logged, compares the first with the golden
/// file, and looks for keys in both.
fn says(name: &str, directory: &Path, run: impl Fn(&[&str]) -> Finished + Sync) {
    let (plain, everything) = thread::scope(|scope| {
        let everything = scope.spawn(|| run(&["-vv"]));
        (run(&[]), everything.join().unwrap())
    });
    for finished in [&plain, &everything] {
        for key in [TOKEN, KEY] {
            assert!(!finished.stdout.contains(key) && !finished.stderr.contains(key), "{name}: {}", finished.stderr);
        }
        assert_eq!(finished.stdout, "", "{name}");
        assert_eq!(finished.code, plain.code, "{name}: {}", finished.stderr);
    }
    let said = format!("exit code {}\n{}", plain.code.unwrap_or(-1), normalised(&plain.stderr, directory));
    let path = format!("{}/tests/golden/messages/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &said).unwrap();
    }
    assert_eq!(said, fs::read_to_string(&path).unwrap_or_default(), "{path} differs");
}

/// The log without what differs from run to run: time, place, ports, the system's
/// words for a name that cannot be resolved, and how often a line comes again.
fn normalised(log: &str, directory: &Path) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines().filter(|line| !line.contains("everybody on this machine may read")) {
        let mut line = line.replace(directory.to_str().unwrap(), "DIRECTORY");
        if line.get(10..11) == Some("T") && line.get(19..20) == Some("Z") {
            line.replace_range(..20, "TIME");
        }
        let mut parts = line.split("127.0.0.1:");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            text.push_str("127.0.0.1:PORT");
            text.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
        for words in
            ["Name or service not known", "Temporary failure in name resolution", "No address associated with hostname"]
        {
            text = text.replace(words, "WHAT THE RESOLVER SAYS");
        }
        if lines.last() != Some(&text) {
            lines.push(text);
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A port that refuses.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The address of a server that speaks no TLS, and says so as they do.
fn plain_http() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the test's process.
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

#[test]
fn no_configuration() {
    let before = Before::new();
    let directory = before.scene.configuration.directory().to_owned();
    let missing = directory.join("missing.yaml").display().to_string();
    says("no_such_file", &directory, |more| run(&[&["--config", &missing], more].concat(), &[]));
    let nowhere = directory.join("nowhere");
    fs::create_dir(&nowhere).unwrap();
    says("no_file", &directory, |more| {
        let done = command(more, &[]).current_dir(&nowhere).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Finished { code: done.status.code(), stdout: text(done.stdout), stderr: text(done.stderr) }
    });
    assert!(before.scene.outside() == before.outside);
}

#[test]
fn a_wrong_configuration() {
    Before::new().with("misp:\n", "misp:\n  page_sise: 5\n").load("unknown_key");
    Before::new().with("misp:\n", "misp:\n  refresh_event_timestamp: 1M\n").load("window_1M");
    Before::new().with("misp:\n", "misp:\n  initial_event_timestamp: 1m\n").load("windows_turned");
}

#[test]
fn a_wrong_key() {
    Before::new().load("wrong_key");
}

#[test]
fn a_wrong_address_of_misp() {
    let one = |name: &str, other: &dyn Fn(&str) -> String| {
        let before = Before::new();
        let url = before.scene.misp.url();
        before.with(&format!("\"{url}\""), &format!("\"{}\"", other(&url))).load(name);
    };
    thread::scope(|scope| {
        scope.spawn(|| one("wrong_host", &|_| "http://misp.invalid".into()));
        scope.spawn(|| one("wrong_port", &|_| format!("http://127.0.0.1:{}", free_port())));
        scope.spawn(|| one("https_at_http", &|_| format!("https://{}", plain_http())));
        scope.spawn(|| {
            let before = Before::new();
            before.scene.misp.set_fault(Box::new(|_, _| Fault::Html));
            before.load("html_page");
        });
    });
    let before = Before::new();
    before.scene.misp.set_fault(Box::new(|_, _| Fault::Status(404, Vec::new(), b"<html>".to_vec())));
    before.load("not_there");
}

/// Whoever answers at the other address must not get the key.
#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let location = format!("http://{}/login", elsewhere.local_addr().unwrap());
    for status in [301, 302, 307, 308] {
        let before = Before::new();
        let location = location.clone();
        before.scene.misp.set_fault(Box::new(move |_, _| {
            Fault::Status(status, vec![("Location".into(), location.clone())], Vec::new())
        }));
        before.load("redirect");
        assert_eq!(elsewhere.accept().err().map(|e| e.kind()), Some(ErrorKind::WouldBlock));
    }
}

#[test]
fn a_wrong_address_of_memcached() {
    for (name, to) in [
        ("memcached_port", format!("127.0.0.1:{}", free_port())),
        ("memcached_host", "memcached.invalid:11211".to_owned()),
    ] {
        let before = Before::new();
        let from = before.scene.memcached.server();
        before.with(&from, &to).load(name);
    }
}

#[test]
fn memcached_is_down() {
    let mut before = Before::new();
    drop(std::mem::replace(&mut before.scene.memcached, Memcached::start(&[])));
    for arguments in [&["load"][..], &["lookup", "bad.example"], &["status"]] {
        before.says("memcached_port", arguments);
    }
    assert_eq!(before.scene.falco(), before.outside.1);
    assert_eq!(before.scene.misp.count(INDEX), 1, "MISP was asked in vain");
}

/// The tests may run as root, who may write anywhere but below a file and in /proc.
#[test]
fn a_state_directory_that_cannot_be_written() {
    for (name, below) in [("state_below_a_file", true), ("state_in_proc", false)] {
        let before = Before::new();
        let state = before.scene.configuration.state().display().to_string();
        let other = if below { format!("{}/state", before.scene.file()) } else { "/proc/misp2memcached".to_owned() };
        before.with(&state, &other).load(name);
    }
}

#[test]
fn a_falco_directory_that_cannot_be_written() {
    for (to, name) in [("/missing", "falco_missing"), ("/misp2memcached.yaml/rules.d", "falco_below_a_file")] {
        let before = Before::new();
        let directory = before.scene.configuration.directory().display().to_string();
        before.with(&format!("{directory}/falco"), &format!("{directory}{to}")).load(name);
    }
    let before = Before::new();
    let directory = before.scene.configuration.directory().display().to_string();
    before.with(&format!("{directory}/falco"), "/proc").load("falco_in_proc");
}

/// The second of two runs at once gives way; the first one is not disturbed.
#[test]
fn two_runs_at_once() {
    let mut before = Before::new();
    before.scene.configuration.token(KEY).write();
    let ((arrived, waiting), (release, released)) = (channel(), channel());
    let (arrived, released) = (Mutex::new(arrived), Mutex::new(released));
    before.scene.misp.set_fault(Box::new(move |request, _| {
        if request.path == INDEX {
            let _ = arrived.lock().unwrap_or_else(PoisonError::into_inner).send(());
            let _: Result<(), _> = released.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
        Fault::None
    }));
    thread::scope(|scope| {
        let first = scope.spawn(|| before.scene.run(&["load"]));
        waiting.recv().unwrap();
        // A dry run reads the same ledger.
        for arguments in [&["load"][..], &["load", "--dry-run"]] {
            let run = |more: &[&str]| before.scene.run(&[arguments, more].concat());
            says("two_runs", before.scene.configuration.directory(), run);
        }
        // What only reads memcached is not kept out.
        assert_eq!(before.scene.run(&["status"]).code, Some(0));
        assert!(before.scene.outside() == before.outside, "something was changed");
        drop(release);
        let first = first.join().unwrap();
        assert_eq!(first.code, Some(0), "{}", first.stderr);
    });
    before.scene.exact("the first run");
}
