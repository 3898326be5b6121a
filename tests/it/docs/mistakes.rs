//! What the program says to mistakes that are common, as docs/commands.md shows it: each
//! is made here, against a sample MISP and a real memcached where one is needed.
//!
//! Addresses, ports and directories of the test are shown as those of an installation.

use super::manual;
use super::tour::{blocks, compare};
use crate::messages::free_port;
use crate::support::KEY;
use crate::support::authority::Authority;
use crate::support::program::command;
use crate::support::scene::{Scene, now};
use crate::support::tls_proxy::TlsProxy;
use misp2memcached::demo::{Attribute, Event, Fault, World};
use misp2memcached::lock::Lock;
use rustls::version::{TLS12, TLS13};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

/// A key that is found wherever it is shown.
const TOKEN: &str = "Di5tinctiveT0kenDi5tinctiveT0kenDi5tinct";

/// Longest line on the page: longer ones are folded, as a terminal does.
const WIDTH: usize = 116;

/// Makes a mistake; what a terminal shows then.
type Mistake = fn() -> String;

/// Each block of the page, and what makes it.
const MISTAKES: [(&str, Mistake); 15] = [
    ("no-configuration", no_configuration),
    ("misspelt-key", misspelt_key),
    ("tab", tab),
    ("indentation", indentation),
    ("readable-by-all", readable_by_all),
    ("wrong-key", wrong_key),
    ("http-for-https", http_for_https),
    ("path-of-a-page", path_of_a_page),
    ("own-authority", own_authority),
    ("memcached-down", memcached_down),
    ("misspelt-command", || misspelt("misp2memcached laod")),
    ("misspelt-flag", || misspelt("misp2memcached load --dryrun")),
    ("misspelt-namespace", || misspelt("misp2memcached lookup --namespace sha265 bad.example")),
    ("beside-follow", beside_follow),
    ("too-much-would-go", too_much_would_go),
];

#[test]
fn ten_common_mistakes() {
    thread::scope(|scope| {
        let runs: Vec<_> = MISTAKES.iter().map(|(name, make)| (name, scope.spawn(make))).collect();
        for (name, said) in runs {
            let said = said.join().unwrap();
            assert!(!said.contains(TOKEN), "{said}");
            assert!(!said.replace("127.0.0.1:11211", "").contains("127.0.0.1:"), "a port of this run: {said}");
            compare("mistake", name, &said);
        }
    });
    assert_eq!(blocks("mistake"), MISTAKES.iter().map(|(name, _)| (*name).to_owned()).collect());
    let page = manual("docs/commands.md");
    let section = page.split_once("\n## Ten common mistakes\n").unwrap().1.split("\n## ").next().unwrap();
    assert_eq!(section.lines().filter(|line| line.starts_with("### ")).count(), 10);
}

/// What is typed in this directory, and what somebody at a terminal would see then.
fn typed(directory: &Path, line: &str, shown: &[(&str, &str)]) -> String {
    let arguments: Vec<&str> = line.split(' ').skip(1).collect();
    let done = command(&arguments, &[]).current_dir(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let mut said = as_at_a_terminal(&text(done.stderr)) + &text(done.stdout);
    for (is, shown) in shown {
        said = said.replace(is, shown);
    }
    format!("$ {line}\n{}[exit code {}]\n", folded(&said), done.status.code().unwrap())
}

/// There a line of the log has no time, and the level in small letters.
fn as_at_a_terminal(log: &str) -> String {
    let line = |line: &str| match line.split_once("Z WARN ") {
        Some((_, text)) => format!("warn: {text}\n"),
        None => format!("{line}\n"),
    };
    log.lines().map(line).collect()
}

fn folded(text: &str) -> String {
    let mut out = String::new();
    for mut line in text.lines() {
        while line.chars().count() > WIDTH {
            let fits = line.char_indices().nth(WIDTH).map_or(line.len(), |(at, _)| at);
            let at = line[..fits].rfind(' ').unwrap_or(fits);
            out += &format!("{}\n", &line[..at]);
            line = line[at..].trim_start();
        }
        out += &format!("{line}\n");
    }
    out
}

/// A directory with this configuration, which is its owner's alone.
fn with(yaml: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("misp2memcached.yaml"), yaml, 0o600);
    directory
}

fn write(file: &Path, yaml: &str, mode: u32) {
    fs::write(file, yaml).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

/// A hundred domains in ten events, loaded.
fn loaded() -> Scene {
    let mut world = World::new();
    for event in 0..10 {
        let domains = (0..10).map(|n| Attribute::new("domain", &format!("n{n}.e{event}.example")));
        world.add_event(domains.fold(Event::new("event"), Event::with), now() - 86_400);
    }
    let scene = Scene::new(world, "");
    scene.good("before");
    scene
}

/// What is said to `line` with a configuration that only its owner may read, after `spoil`;
/// `shown`: further texts, and what stands for them on the page.
fn said(scene: &Scene, line: &str, spoil: impl Fn(&str) -> String, shown: &[(&str, &str)]) -> String {
    write(scene.file().as_ref(), &spoil(&scene.configuration.yaml()), 0o600);
    typed_at(scene, line, shown)
}

fn typed_at(scene: &Scene, line: &str, shown: &[(&str, &str)]) -> String {
    let (url, server, state) = (scene.misp.url(), scene.memcached.server(), scene.configuration.state());
    let places = [
        (url.as_str(), "https://misp.example"),
        (server.as_str(), "127.0.0.1:11211"),
        (state.to_str().unwrap(), "/var/lib/misp2memcached"),
    ];
    typed(scene.configuration.directory(), line, &[shown, &places].concat())
}

fn no_configuration() -> String {
    typed(tempfile::tempdir().unwrap().path(), "misp2memcached load", &[])
}

fn misspelt_key() -> String {
    let directory = with("misp:\n  url: https://misp.example\n  page_sise: 500\n");
    typed(directory.path(), "misp2memcached load", &[])
}

fn tab() -> String {
    let directory = with("misp:\n\turl: https://misp.example\n");
    typed(directory.path(), "misp2memcached load", &[])
}

fn indentation() -> String {
    let directory = with("misp:\nurl: https://misp.example\n");
    typed(directory.path(), "misp2memcached load", &[])
}

fn readable_by_all() -> String {
    let scene = loaded();
    write(scene.file().as_ref(), &scene.configuration.yaml(), 0o644);
    typed_at(&scene, "misp2memcached lookup nowhere.example", &[])
}

fn wrong_key() -> String {
    said(&loaded(), "misp2memcached load", |yaml| yaml.replace(KEY, TOKEN), &[])
}

/// As web servers send people from http to https.
fn http_for_https() -> String {
    let scene = loaded();
    scene.misp.set_fault(Box::new(|request, _| {
        let location = format!("https://misp.example{}", request.path);
        Fault::Status(301, vec![("Location".into(), location)], Vec::new())
    }));
    said(&scene, "misp2memcached load", str::to_owned, &[(&scene.misp.url(), "http://misp.example")])
}

fn path_of_a_page() -> String {
    let scene = loaded();
    let url = scene.misp.url();
    said(&scene, "misp2memcached load", |yaml| yaml.replace(&url, &format!("{url}/events/index")), &[])
}

fn own_authority() -> String {
    let scene = loaded();
    let authority = Authority::new();
    authority.issue("server", "IP:127.0.0.1");
    let (certificate, key) = (authority.path("server.pem"), authority.path("server.key"));
    let misp = scene.misp.url();
    let proxy = TlsProxy::start(&misp, &certificate, &key, None, &[&TLS12, &TLS13]).url();
    said(&scene, "misp2memcached load", |yaml| yaml.replace(&misp, &proxy), &[(&proxy, "https://misp.example")])
}

fn memcached_down() -> String {
    let port = free_port();
    let directory = with(&format!("memcached:\n  port: {port}\n"));
    let address = format!("127.0.0.1:{port}");
    typed(directory.path(), "misp2memcached lookup bad.example", &[(&address, "127.0.0.1:11211")])
}

fn misspelt(line: &str) -> String {
    typed(with("memcached:\n  host: 127.0.0.1\n").path(), line, &[])
}

/// The lock is held, as `follow` does.
fn beside_follow() -> String {
    let scene = loaded();
    let _lock = Lock::take(&scene.configuration.state()).unwrap();
    said(&scene, "misp2memcached load", str::to_owned, &[])
}

fn too_much_would_go() -> String {
    let scene = loaded();
    (1..=6).for_each(|event| assert!(scene.world().delete_event(event)));
    said(&scene, "misp2memcached load", str::to_owned, &[])
}
