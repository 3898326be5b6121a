//! MISP's key is in the configuration and in the requests, and nowhere else: not
//! in what is printed or logged, not in files, arguments or the environment of
//! children, whatever goes wrong and whatever MISP sends back.

use crate::support::KEY;
use crate::support::hostile::{Hostile, Wire};
use crate::support::program::{Finished, run};
use crate::support::scene::{INDEX, Random, SEARCH, Scene, asked, old_world};
use misp2memcached::config::{self, Sources};
use misp2memcached::demo::{Fault, Request, World};
use misp2memcached::misp::client::Client;
use secrecy::ExposeSecret;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

/// So much of the key in a row is too much.
const PART: usize = 8;

/// Fails if a text holds a part of the key.
fn hidden(what: &str, text: &str) {
    for part in KEY.as_bytes().windows(PART) {
        let part = std::str::from_utf8(part).unwrap();
        assert!(!text.to_lowercase().contains(&part.to_lowercase()), "{what} shows {part}: {text}");
    }
}

fn hidden_in(what: &str, finished: &Finished) {
    hidden(what, &finished.stdout);
    hidden(what, &finished.stderr);
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A scene whose falco writes down what it sees of its own process and of ours.
fn scene() -> Scene {
    let mut scene = Scene::new(old_world(&mut Random::new(3), 5, 10), "");
    let directory = scene.configuration.directory().to_owned();
    let falco = directory.join("bin-falco");
    let script = format!(
        "#!/bin/sh\n{{ env; tr '\\0' '\\n' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$PPID/cmdline; }} >> '{}'\n",
        seen(&directory).display()
    );
    fs::write(&falco, script).unwrap();
    fs::set_permissions(&falco, Permissions::from_mode(0o755)).unwrap();
    let rules = directory.join("falco");
    scene.configuration.extra(&format!(
        "other: {{enabled: true}}\nfalco: {{enabled: true, directory: {rules:?}, falco_binary: {falco:?}, allow_private: true, \
         hash_list: {:?}, domain_list: {:?}}}\n",
        rules.join("hashes.csv"),
        rules.join("domains.txt")
    ));
    scene.configuration.write();
    scene
}

fn seen(directory: &Path) -> PathBuf {
    directory.join("seen-by-falco")
}

/// What a run left behind: the files but those that hold the key on purpose, and memcached.
fn nothing_left(scene: &Scene) {
    for path in files(scene.configuration.directory()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name != "misp2memcached.yaml" && name != "token" && name != "misp-token" {
            hidden(&name, &String::from_utf8_lossy(&fs::read(&path).unwrap()));
        }
    }
    for (key, value) in scene.held() {
        hidden("memcached", &format!("{key} {value}"));
    }
}

const COMMANDS: [&[&str]; 15] = [
    &["load", "-vv"],
    &["load", "-vv", "--full"],
    &["load", "-vv", "--dry-run"],
    &["load", "-vv", "--json", "--full", "--allow-shrink"],
    &["load", "--quiet"],
    &["lookup", "-vv", "host1.example", "198.18.0.1"],
    &["lookup", "-vv", "--json", "x"],
    &["status", "-vv"],
    &["status", "-vv", "--json"],
    &["kibana"],
    &["wazuh", "-vv", "/nonexistent/alert", KEY, "https://misp.example/"],
    &["share", "-vv", "--from", "json"],
    &["check", "-vv"],
    &["check", "-vv", "--json"],
    &["man"],
];

/// Runs every command; gives the codes.
fn all(scene: &Scene, what: &str) -> Vec<Option<i32>> {
    let finished = COMMANDS.map(|arguments| {
        let finished = scene.run(arguments);
        hidden_in(&format!("{what}: {arguments:?}"), &finished);
        finished.code
    });
    nothing_left(scene);
    finished.to_vec()
}

#[test]
fn every_command_where_all_is_well() {
    let scene = scene();
    let codes = all(&scene, "well");
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), COMMANDS.len() - 3, "{codes:?}");
    let seen = fs::read_to_string(seen(scene.configuration.directory())).unwrap();
    assert!(seen.contains("PATH=") && seen.contains("-V") && seen.contains("--config"), "{seen}");
}

/// The key in each of the other places that it is looked for.
#[test]
fn wherever_the_key_comes_from() {
    let scene = scene();
    let directory = scene.configuration.directory().to_owned();
    for name in ["token", "misp-token"] {
        fs::write(directory.join(name), format!("{KEY}\n")).unwrap();
    }
    let token = format!("token: \"{KEY}\"");
    let bare = scene.configuration.yaml().replace(&token, "");
    let from_file = scene.configuration.yaml().replace(&token, &format!("token_file: {:?}", directory.join("token")));
    let credentials = directory.display().to_string();
    let places: [(&str, &str, &str); 4] = [
        (&from_file, "X", "x"),
        (&bare, "MISP_KEY", KEY),
        (&bare, "MISP2MEMCACHED_MISP_TOKEN", KEY),
        (&bare, "CREDENTIALS_DIRECTORY", &credentials),
    ];
    for (yaml, name, value) in places {
        fs::write(scene.file(), yaml).unwrap();
        let _ = fs::remove_file(seen(&directory));
        let _ = fs::remove_file(scene.rules());
        for arguments in [["load", "-vv"], ["check", "-vv"]] {
            let file = scene.file();
            let finished = run(&[&["--config", file.as_str()][..], &arguments].concat(), &[(name, value)]);
            assert_eq!(finished.code, Some(0), "{name}: {}", finished.stderr);
            hidden_in(name, &finished);
        }
        let seen = fs::read_to_string(seen(&directory)).unwrap();
        assert!(seen.contains("PATH=") && !seen.contains("CREDENTIALS_DIRECTORY"), "{seen}");
        nothing_left(&scene);
    }
}

fn fault(fault: Fault) -> impl Fn(&mut Scene) {
    move |scene| {
        let fault = fault.clone();
        scene.misp.set_fault(Box::new(move |_, _| fault.clone()));
    }
}

fn status(code: u16, body: &str) -> Fault {
    Fault::Status(code, Vec::new(), body.as_bytes().to_vec())
}

/// Each kind of failure there is, from the configuration to the disk.
#[test]
fn every_command_where_something_fails() {
    type Spoil = Box<dyn Fn(&mut Scene) + Sync>;
    let cases: Vec<(&str, i32, Spoil)> = vec![
        ("MISP is not there", 69, Box::new(|s| drop(s.configuration.url("http://127.0.0.1:9").write()))),
        ("MISP's certificate", 69, Box::new(|s| drop(s.configuration.url("https://127.0.0.1:9").write()))),
        ("another key", 77, Box::new(fault(status(403, r#"{"message":"Authentication failed."}"#)))),
        ("a page", 65, Box::new(fault(Fault::Html))),
        ("not JSON", 65, Box::new(fault(status(200, "Sorry, we are closed")))),
        ("not there", 78, Box::new(fault(status(404, "{}")))),
        ("an unknown key", 78, Box::new(|s| drop(s.configuration.misp("tokn: x\nurl: twice").write()))),
        (
            "memcached is not there",
            69,
            Box::new(|s| {
                let yaml = s.configuration.yaml().replace(&s.memcached.server(), "127.0.0.1:9");
                fs::write(s.file(), yaml).unwrap();
            }),
        ),
        (
            "the ledger is damaged",
            73,
            Box::new(|s| {
                let ledger =
                    files(&s.configuration.state()).into_iter().find(|p| p.extension().is_some_and(|e| e == "redb"));
                fs::write(ledger.expect("a ledger"), "no ledger").unwrap();
            }),
        ),
        (
            "nowhere to write",
            73,
            Box::new(|s| {
                fs::remove_dir_all(s.configuration.directory().join("falco")).unwrap();
            }),
        ),
        ("a world that shrinks", 65, Box::new(|s| *s.world() = World::new())),
    ];
    // Most of their time is the wait between tries.
    thread::scope(|scope| {
        for (what, code, spoil) in &cases {
            scope.spawn(move || fails_silently(what, *code, spoil));
        }
    });
}

fn fails_silently(what: &str, code: i32, spoil: &dyn Fn(&mut Scene)) {
    let mut scene = scene();
    let good = scene.run(&["load"]);
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    spoil(&mut scene);
    for arguments in
        [&["load", "-vv"][..], &["load", "-vv", "--json"], &["load", "-vv", "--dry-run"], &["check", "-vv"]]
    {
        let finished = scene.run(arguments);
        hidden_in(&format!("{what}: {arguments:?}"), &finished);
        if arguments == ["load", "-vv"] {
            assert_eq!(finished.code, Some(code), "{what}: {}", finished.stderr);
        }
    }
    nothing_left(&scene);
}

/// A MISP, or a proxy before it, that sends back what it was sent.
#[test]
fn a_key_that_is_sent_back() {
    type Echo = fn(&Request, &Wire) -> bool;
    fn sent_key(request: &Request) -> String {
        let key = request.header("Authorization").expect("the key was sent").to_owned();
        assert_eq!(key, KEY);
        key
    }
    fn status(wire: &Wire, status: u16, headers: &str, body: &str) -> bool {
        wire.send(
            format!("HTTP/1.1 {status} {KEY}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).as_bytes(),
        )
    }
    const ROW: &str = r#"{"id":"1","event_id":"1","type":"TYPE","to_ids":TO_IDS,"timestamp":"1","value":"198.18.0.1"}"#;
    fn rows(wire: &Wire, request: &Request, row: &str) -> bool {
        let first = asked(request).first().copied().unwrap_or(1).to_string();
        let row = row.replace(r#""event_id":"1""#, &format!(r#""event_id":"{first}""#));
        wire.ok("X-Result-Count: 1\r\n", format!(r#"{{"response": {{"Attribute": [{row}]}}}}"#).as_bytes())
    }
    let echoes: [(&str, &str, i32, Echo); 14] = [
        (INDEX, "403", 77, |r, w| {
            status(w, 403, "", &format!(r#"{{"message":"no user has the key {}"}}"#, sent_key(r)))
        }),
        (INDEX, "401, in another case", 77, |r, w| {
            status(w, 401, "", &format!(r#"{{"name":"{}?"}}"#, sent_key(r).to_uppercase()))
        }),
        (INDEX, "500, as text", 69, |r, w| {
            status(w, 500, "", &format!("Authorization: {}\r\nAccept: ...", sent_key(r)))
        }),
        (INDEX, "502, beside HTML", 69, |r, w| status(w, 502, "", &format!("{} <html>", sent_key(r)))),
        (INDEX, "400, cut", 65, |r, w| status(w, 400, "", &format!("{}{}", "x".repeat(185), sent_key(r)))),
        (INDEX, "418, many times", 65, |r, w| status(w, 418, "", &sent_key(r).repeat(100))),
        (INDEX, "a redirect", 78, |r, w| {
            status(w, 302, &format!("Location: https://elsewhere.example/{}\r\n", sent_key(r)), "")
        }),
        (INDEX, "200, as it is", 65, |r, w| w.ok("", sent_key(r).as_bytes())),
        (INDEX, "200, late", 65, |r, w| w.ok("", format!("[{{\"id\":1,\"timestamp\":1}} {}", sent_key(r)).as_bytes())),
        (INDEX, "200, for a number", 65, |r, w| w.ok("", format!("[{{\"id\":\"{}\"}}]", sent_key(r)).as_bytes())),
        (INDEX, "headers", 65, |r, w| {
            w.ok(&format!("X-Result-Count: 7\r\nDate: {0}\r\nX-{0}: {0}\r\n", sent_key(r)), b"[]")
        }),
        (SEARCH, "a flag", 65, |r, w| {
            rows(w, r, &ROW.replace("TYPE", "ip-dst").replace("TO_IDS", &format!("\"{}\"", sent_key(r))))
        }),
        (SEARCH, "behind the rows", 65, |r, w| {
            w.ok(
                "",
                format!(r#"{{"response": {{"Attribute": []}}, "request": {{"Authorization": "{}"}}}}"#, sent_key(r))
                    .as_bytes(),
            )
        }),
        (SEARCH, "a type", 0, |r, w| rows(w, r, &ROW.replace("TYPE", &sent_key(r)).replace("TO_IDS", "true"))),
    ];
    thread::scope(|scope| {
        for (path, what, code, echo) in echoes {
            scope.spawn(move || {
                let mut scene = Scene::new(old_world(&mut Random::new(4), 2, 3), "connections: 1");
                let right = scene.answers();
                let hostile = Hostile::start(move |request, wire| {
                    if request.path == path {
                        return echo(request, wire);
                    }
                    let good = right(request);
                    let headers: String = good.headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
                    wire.ok(&headers, &good.body)
                });
                scene.configuration.url(hostile.url()).write();
                for arguments in [&["load", "-vv", "--json"][..], &["load", "-vv"]] {
                    let finished = scene.run(arguments);
                    assert_eq!(finished.code, Some(code), "{what}: {}", finished.stderr);
                    hidden_in(what, &finished);
                }
                nothing_left(&scene);
            });
        }
    });
}

/// `check` shows what MISP says of itself and of the user.
#[test]
fn a_key_that_is_sent_back_to_check() {
    let mut scene = Scene::new(World::new(), "");
    let hostile = Hostile::start(|_, wire| {
        let body = format!(
            r#"{{"version":"2.5 {KEY}","User":{{"email":"{KEY}@\u001b[31mmisp.example"}},"Role":{{"name":"{KEY}{KEY}"}}}}"#
        );
        wire.ok("", body.as_bytes())
    });
    scene.configuration.url(hostile.url()).write();
    for arguments in [&["check", "-vv"][..], &["check", "--json"]] {
        let finished = scene.run(arguments);
        assert_eq!(finished.code, Some(0), "{}", finished.stdout);
        hidden_in("check", &finished);
        assert!(
            finished.stdout.contains("version 2.5 ***, user ***@[31mmisp.example, role ***"),
            "{}",
            finished.stdout
        );
    }
}

#[test]
fn debug_shows_no_key() {
    let scene = scene();
    let env = [("MISP_KEY".to_owned(), KEY.to_owned()), ("CREDENTIALS_DIRECTORY".to_owned(), "/run".to_owned())];
    let sources = Sources { file: Some(scene.file().into()), env: env.into(), without_misp: false };
    hidden("Sources", &format!("{sources:?} {sources:#?}"));
    let loaded = config::load(&sources).unwrap();
    assert_eq!(loaded.config.misp.token.as_ref().unwrap().expose_secret(), KEY);
    hidden("Loaded", &format!("{loaded:?} {loaded:#?}"));
    let client = Client::new(&loaded.config.misp).unwrap();
    hidden("Client", &format!("{client:?} {client:#?}"));
    scene.misp.set_fault(Box::new(|_, _| status(500, KEY)));
    let failure = client.get("/servers/getVersion").err().unwrap();
    hidden("Failure", &format!("{failure:?} {failure:#?}"));
}

/// A proxy's address may hold a password: it is as secret as the key.
#[test]
fn a_proxys_password() {
    const PASSWORD: &str = "Sw0rdf1sh";
    let mut scene = scene();
    for (proxy, code) in [("http", 69), ("https", 69), ("socks5", 69), ("ftp", 78)] {
        // Nobody listens there.
        let line = format!("proxy: \"{proxy}://user:{PASSWORD}@127.0.0.1:9\"\ntimeout: 5s");
        scene.configuration.misp(&line).url("http://misp.example").write();
        for arguments in [["load", "-vv"], ["check", "-vv"]] {
            let finished = scene.run(&arguments);
            assert_eq!(finished.code, Some(code), "{proxy}: {}", finished.stderr);
            for shown in [&finished.stdout, &finished.stderr] {
                assert!(!shown.contains(PASSWORD), "{proxy}: {shown}");
                assert!(!shown.contains("dXNlcjpTdzByZGYxc2g="), "{proxy}: {shown}");
            }
        }
    }
    scene.configuration.misp(&format!("proxy: \"http://user:{PASSWORD}@127.0.0.1:9\"")).write();
    let sources = Sources { file: Some(scene.file().into()), ..Sources::default() };
    let loaded = config::load(&sources).unwrap();
    let client = Client::new(&loaded.config.misp).unwrap();
    for shown in [format!("{loaded:?}"), format!("{client:?}")] {
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
}

/// A file that holds the key and that everybody may read.
#[test]
fn a_file_for_everybody_is_warned_about() {
    let scene = scene();
    for (mode, warned) in [(0o644, true), (0o604, true), (0o600, false), (0o640, false)] {
        fs::set_permissions(scene.file(), Permissions::from_mode(mode)).unwrap();
        let finished = scene.run(&["load"]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert_eq!(
            finished.stderr.contains("everybody on this machine may read"),
            warned,
            "{mode:o}: {}",
            finished.stderr
        );
    }
}
