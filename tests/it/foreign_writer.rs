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

    /// Writes `value` right before each of the first `times` commands on the key that
    /// are of this kind.
    fn meddle(&self, kind: &'static str, times: usize, value: &'static str) {
        let mut left = times;
        let server = self.site.memcached.server();
        let start = format!("{kind} {KEY} ");
        *self.watch.lock().unwrap() = Some(Box::new(move |commands| {
            if left > 0 && commands.lines().any(|line| line.starts_with(&start)) {
                left -= 1;
                set(&server, value);
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

fn set(server: &str, value: &str) {
    let mut stream = BufReader::new(TcpStream::connect(server).unwrap());
    write!(stream.get_mut(), "set {KEY} 0 0 {}\r\n{value}\r\n", value.len()).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert_eq!(line, "STORED\r\n");
}

/// The pass first adds, which is refused since the key is there; reads; and then writes.
#[test]
fn a_key_that_changes_between_read_and_write_is_merged_again() {
    let scene = Scene::new();
    scene.event("shared.example");
    // The first `ms` is the addition, the second the merged value.
    scene.meddle("ms", 2, "1#domain,77#domain");
    scene.site.pass(&[]);
    assert_eq!(scene.value().as_deref(), Some("1#domain,2#domain,77#domain"));

    // The last of our tags goes while another one comes.
    scene.alone_again();
    set(&scene.site.memcached.server(), "1#domain,2#domain");
    (1..=2).for_each(|id| assert!(scene.site.misp.world().delete_event(id)));
    scene.meddle("md", 1, "1#domain,2#domain,77#domain");
    scene.site.pass(&[]);
    assert_eq!(scene.value().as_deref(), Some("77#domain"));
}

/// It was not there when it was looked for, and is when it is written.
#[test]
fn a_key_that_comes_up_at_this_moment_is_merged() {
    let scene = Scene::new();
    assert!(scene.site.memcached.delete(KEY.as_bytes()));
    scene.event("shared.example");
    scene.meddle("ms", 1, "77#domain");
    scene.site.pass(&[]);
    assert_eq!(scene.value().as_deref(), Some("2#domain,77#domain"));
}

/// Somebody who never stops: the pass says so, and the next one makes up for it.
#[test]
fn a_key_that_never_stays_ends_the_pass() {
    let scene = Scene::new();
    scene.event("shared.example");
    scene.meddle("ms", usize::MAX, "77#domain");
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
    set(&scene.site.memcached.server(), "garbage");
    let verified = Arc::new(Mutex::new(false));
    let (server, seen) = (scene.site.memcached.server(), verified.clone());
    let start = format!("ms {KEY} ");
    *scene.watch.lock().unwrap() = Some(Box::new(move |commands| {
        // Only the verification writes this one: the event did not change.
        if commands.lines().any(|line| line.starts_with(&start)) {
            *seen.lock().unwrap() = true;
            set(&server, "77#domain");
        }
    }));
    scene.site.pass(&["--full"]);
    assert!(*verified.lock().unwrap());
    assert_eq!(scene.value().as_deref(), Some("77#domain"));
    scene.alone_again();
    scene.site.pass(&["--full"]);
    assert_eq!(scene.value().as_deref(), Some("1#domain"));
}
