//! Another program writes into our keys at the worst moment: between the read of a
//! value and the write that was made from it. What it wrote is never overwritten blindly.
//! (Many keys at any moments: `memcached_faults::a_foreign_writer`.)

use crate::support::site::Site;
use misp2memcached::demo::{Attribute, Event, World};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const NOW: u64 = 1_795_300_000;
const DAY: u64 = 86_400;

/// The key of these tests.
const KEY: &str = "misp-domain:shared.example";

/// Is shown each piece of what the program sends, before memcached is.
type Watch = Box<dyn FnMut(&str) + Send>;

/// Stands between the program and memcached; gives its address.
fn watched(site: &Site, watch: Arc<Mutex<Option<Watch>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server) = (listener.local_addr().unwrap().to_string(), site.memcached.server());
    // It ends with the test's process.
    thread::spawn(move || {
        for program in listener.incoming().flatten() {
            let memcached = TcpStream::connect(&server).unwrap();
            let (mut from, mut to) = (program.try_clone().unwrap(), memcached.try_clone().unwrap());
            let watch = watch.clone();
            thread::spawn(move || {
                let mut piece = vec![0; 64 * 1024];
                while let Ok(n @ 1..) = from.read(&mut piece) {
                    if let Some(watch) = watch.lock().unwrap().as_mut() {
                        watch(&String::from_utf8_lossy(&piece[..n]));
                    }
                    if to.write_all(&piece[..n]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                let (mut from, mut to) = (memcached, program);
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

struct Scene {
    site: Site,
    watch: Arc<Mutex<Option<Watch>>>,
}

impl Scene {
    /// One event lists the key, and is loaded.
    fn new() -> Scene {
        let watch: Arc<Mutex<Option<Watch>>> = Arc::default();
        let mut site = Site::new(World::new());
        let address = watched(&site, watch.clone());
        site.config.servers(&[address]).misp("max_shrink_percent: 100\n");
        let scene = Scene { site, watch };
        scene.event("shared.example");
        scene.site.misp.set_now(Some(NOW));
        scene.site.pass(&[]);
        assert_eq!(scene.value().as_deref(), Some("1#domain"));
        scene
    }

    fn event(&self, domain: &str) {
        self.site.misp.world().add_event(Event::new("e").with(Attribute::new("domain", domain)), NOW - DAY);
    }

    /// Does something right before a command on the key goes to memcached: the `from`th
    /// of its kind and all behind it, at most `times`. `None` deletes the key.
    fn meddle<const N: usize>(&self, deeds: [Deed; N]) {
        let mut seen = [0; N];
        let server = self.site.memcached.server();
        *self.watch.lock().unwrap() = Some(Box::new(move |commands| {
            for (deed, seen) in deeds.iter().zip(&mut seen) {
                let start = format!("{} {KEY} ", deed.before);
                if commands.lines().any(|line| line.starts_with(&start)) {
                    *seen += 1;
                    if (deed.from..deed.from.saturating_add(deed.times)).contains(seen) {
                        write(&server, deed.value);
                    }
                }
            }
        }));
    }

    fn alone_again(&self) {
        *self.watch.lock().unwrap() = None;
    }

    fn value(&self) -> Option<String> {
        self.site.memcached.get(KEY.as_bytes()).map(|v| String::from_utf8(v).unwrap())
    }
}

/// What another program does.
struct Deed {
    before: &'static str,
    from: usize,
    times: usize,
    value: Option<&'static str>,
}

fn once(before: &'static str, from: usize, value: Option<&'static str>) -> Deed {
    Deed { before, from, times: 1, value }
}

fn write(server: &str, value: Option<&str>) {
    let mut stream = BufReader::new(TcpStream::connect(server).unwrap());
    match value {
        Some(value) => write!(stream.get_mut(), "set {KEY} 0 0 {}\r\n{value}\r\n", value.len()).unwrap(),
        None => write!(stream.get_mut(), "delete {KEY}\r\n").unwrap(),
    }
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(["STORED\r\n", "DELETED\r\n"].contains(&line.as_str()), "{line}");
}

/// The pass first adds, which is refused since the key is there; reads; and then writes.
#[test]
fn a_key_that_changes_between_read_and_write_is_merged_again() {
    let scene = Scene::new();
    scene.event("shared.example");
    scene.meddle([once("ms", 2, Some("1#domain,77#domain")), once("ms", 3, Some("1#domain,78#domain"))]);
    scene.site.pass(&[]);
    assert_eq!(scene.value().as_deref(), Some("1#domain,2#domain,78#domain"));

    // The last of our tags goes while another one comes.
    scene.alone_again();
    write(&scene.site.memcached.server(), Some("1#domain,2#domain"));
    (1..=2).for_each(|id| assert!(scene.site.misp.world().delete_event(id)));
    scene.meddle([once("md", 1, Some("1#domain,2#domain,77#domain"))]);
    scene.site.pass(&[]);
    assert_eq!(scene.value().as_deref(), Some("77#domain"));
}

/// It was not there when it was looked for, and is when it is written.
#[test]
fn a_key_that_comes_up_at_this_moment_is_merged() {
    let scene = Scene::new();
    write(&scene.site.memcached.server(), None);
    scene.event("shared.example");
    scene.meddle([once("ms", 1, Some("77#domain"))]);
    scene.site.pass(&[]);
    assert_eq!(scene.value().as_deref(), Some("2#domain,77#domain"));
    // There at first, gone when it is read, and there again.
    scene.event("shared.example");
    scene.meddle([once("mg", 1, None), once("ms", 2, Some("78#domain"))]);
    scene.site.pass(&[]);
    assert_eq!(scene.value().as_deref(), Some("3#domain,78#domain"));
    // Gone when it is written.
    scene.event("shared.example");
    scene.meddle([once("ms", 2, None)]);
    scene.site.pass(&[]);
    assert_eq!(scene.value().as_deref(), Some("4#domain"));
}

/// Somebody who never stops: the pass says so, and the next one makes up for it.
#[test]
fn a_key_that_never_stays_ends_the_pass() {
    let scene = Scene::new();
    scene.event("shared.example");
    scene.meddle([Deed { before: "ms", from: 1, times: usize::MAX, value: Some("77#domain") }]);
    let log = scene.site.fails(&[], 69);
    assert!(log.contains("another program keeps changing 1 of our keys"), "{log}");
    assert_eq!(scene.value().as_deref(), Some("77#domain"));
    scene.alone_again();
    scene.site.pass(&[]);
    // A server that a pass gave up is held against the ledger by the next one.
    assert_eq!(scene.value().as_deref(), Some("1#domain,2#domain"));
}

/// The verification leaves a key that changes at this moment to the next time.
#[test]
fn a_key_that_changes_during_a_verification_is_left_to_the_next() {
    let scene = Scene::new();
    write(&scene.site.memcached.server(), Some("garbage"));
    let verified = Arc::new(Mutex::new(false));
    let (server, seen) = (scene.site.memcached.server(), verified.clone());
    let start = format!("ms {KEY} ");
    *scene.watch.lock().unwrap() = Some(Box::new(move |commands| {
        // Only the verification writes this one: the event did not change.
        if commands.lines().any(|line| line.starts_with(&start)) {
            *seen.lock().unwrap() = true;
            write(&server, Some("77#domain"));
        }
    }));
    scene.site.pass(&["--full"]);
    assert!(*verified.lock().unwrap());
    assert_eq!(scene.value().as_deref(), Some("77#domain"));
    scene.alone_again();
    scene.site.pass(&["--full"]);
    assert_eq!(scene.value().as_deref(), Some("1#domain"));
}
