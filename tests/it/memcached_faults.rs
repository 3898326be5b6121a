//! memcached misbehaves: it hangs, closes in the middle of a reply, answers what is
//! no answer, has no memory left, is restarted while a pass goes on, or another
//! program writes into our keys meanwhile. The run says so and the next one against
//! a good memcached leaves everything exact.

use crate::support::memcached::Memcached;
use crate::support::program::{Finished, command};
use crate::support::scene::{INDEX, OWN, Random, SEARCH, Scene, change, held, old_world};
use misp2memcached::demo::Fault;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What comes instead of the rest of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instead {
    Silence,
    TheEnd,
    Garbage,
}

/// Another protocol's words.
const GARBAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";

/// Stands between the program and a memcached and lets so many bytes of its
/// replies pass.
struct Between {
    address: String,
    /// Bytes that may still pass.
    left: Arc<AtomicI64>,
    /// The fault has happened.
    tripped: Arc<AtomicBool>,
}

/// More than any reply has.
const EVERYTHING: i64 = i64::MAX / 2;

impl Between {
    fn start(memcached: &Memcached, instead: Instead) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let between = Between {
            address: listener.local_addr().unwrap().to_string(),
            left: Arc::new(AtomicI64::new(EVERYTHING)),
            tripped: Arc::default(),
        };
        let (server, left, tripped) = (memcached.server(), between.left.clone(), between.tripped.clone());
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&server).unwrap();
                let (mut commands, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut commands, &mut to_server);
                    let _ = to_server.shutdown(Shutdown::Both);
                });
                let (left, tripped) = (left.clone(), tripped.clone());
                thread::spawn(move || pass_on(server, client, &left, instead, &tripped));
            }
        });
        between
    }

    /// Lets `bytes` pass; the fault comes behind them.
    fn allow(&self, bytes: i64) {
        self.tripped.store(false, Ordering::Relaxed);
        self.left.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that have passed since [`EVERYTHING`] was allowed.
    fn passed(&self) -> i64 {
        EVERYTHING - self.left.load(Ordering::Relaxed)
    }
}

fn pass_on(mut server: TcpStream, mut client: TcpStream, left: &AtomicI64, instead: Instead, tripped: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        let before = left.fetch_sub(read as i64, Ordering::Relaxed);
        let passes = (read as i64).min(before.max(0)) as usize;
        if client.write_all(&buffer[..passes]).is_err() {
            break;
        }
        if passes < read {
            tripped.store(true, Ordering::Relaxed);
            match instead {
                // The client gives up in the end, and closes.
                Instead::Silence => drop(std::io::copy(&mut server, &mut std::io::sink())),
                Instead::TheEnd => {}
                Instead::Garbage => {
                    let _ = client.write_all(GARBAGE);
                    let _ = std::io::copy(&mut server, &mut std::io::sink());
                }
            }
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// Writes the configuration with another server than its own, and a short time-out.
fn through(scene: &Scene, own: &Memcached, other: &str) {
    let yaml = scene.configuration.yaml().replace(&own.server(), other);
    fs::write(scene.file(), yaml.replacen("memcached:\n", "memcached:\n  timeout: 1s\n", 1)).unwrap();
}

/// The last line of the log of a run that failed.
fn message(finished: &Finished) -> &str {
    let line = finished.stderr.lines().last().unwrap_or_default();
    line.strip_prefix("misp2memcached: ").unwrap_or_else(|| panic!("{}", finished.stderr))
}

/// Silence, an end and garbage at many places of a first load's replies and of a refresh's.
#[test]
fn replies_that_stop() {
    let all = [Instead::Silence, Instead::TheEnd, Instead::Garbage];
    let runs: usize = thread::scope(|scope| {
        let cases = all.into_iter().flat_map(|instead| [(instead, false), (instead, true)]);
        let threads: Vec<_> =
            cases.map(|(instead, refresh)| scope.spawn(move || replies_stop(instead, refresh))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    println!("{runs} runs");
}

fn replies_stop(instead: Instead, refresh: bool) -> usize {
    let mut random = Random::new(1);
    let mut runs = 0;
    let scene = Scene::new(old_world(&mut random, 20, 10), "page_size: 100\nmax_shrink_percent: 100");
    let between = Between::start(&scene.memcached, instead);
    through(&scene, &scene.memcached, &between.address);
    scene.good("through");
    // What a first load takes of replies; a refresh takes about as much.
    let first = between.passed();
    let mut places = vec![0, 5, first / 4, first / 2, first * 3 / 4, first - 5, first - 2];
    places.extend((0..5).map(|_| random.below(first as u64) as i64));
    for place in places {
        if refresh {
            change(&mut scene.world(), &mut random, 20);
        } else {
            scene.forget();
        }
        between.allow(place);
        let finished = scene.run(&["load"]);
        let what = format!("{instead:?} after {place} of {first} bytes, refresh: {refresh}");
        if between.tripped.load(Ordering::Relaxed) {
            runs += 1;
            assert_eq!(finished.code, Some(69), "{what}: {}", finished.stderr);
            let said = message(&finished);
            let silence = "it has been silent for 1 s (memcached.timeout)";
            let words: &[&str] = match instead {
                Instead::Silence => &[silence],
                Instead::TheEnd => &["it closed the connection", "Connection reset by peer", "Broken pipe"],
                // In the middle of a line or value it may pass for a part of it, and nothing follows.
                Instead::Garbage => &["it answered \"", "it refuses ", silence],
            };
            assert!(said.starts_with(&format!("memcached {}: ", between.address)), "{what}: {said}");
            assert!(words.iter().any(|w| said.contains(w)), "{what}: {said}");
        } else {
            // A run's replies are not always as long.
            assert_eq!(finished.code, Some(0), "{what}: {}", finished.stderr);
        }
        between.allow(EVERYTHING);
        scene.good(&what);
    }
    runs
}

/// The first signal waits for memcached, which does not answer; the second waits for
/// nobody. The next run goes on as after a crash.
#[test]
fn a_second_signal_ends_the_run_at_once() {
    let mut random = Random::new(6);
    let scene = Scene::new(old_world(&mut random, 20, 10), "page_size: 100\nmax_shrink_percent: 100");
    let between = Between::start(&scene.memcached, Instead::Silence);
    through(&scene, &scene.memcached, &between.address);
    let patient = fs::read_to_string(scene.file()).unwrap().replace("timeout: 1s", "timeout: 10m");
    fs::write(scene.file(), patient).unwrap();
    scene.good("through");
    let first = between.passed();
    for signals in [["TERM", "INT"], ["INT", "TERM"], ["TERM", "TERM"]] {
        scene.forget();
        between.allow(first / 2);
        let mut child = command(&["--config", &scene.file(), "load"], &[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("memcached to fall silent", || between.tripped.load(Ordering::Relaxed));
        let process = child.id();
        let kill = |name| {
            assert!(Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap().success());
        };
        kill(signals[0]);
        // Two of a kind at once would be one.
        wait_for("the first signal", || !pending(process));
        assert_eq!(child.try_wait().unwrap(), None, "it can wait for ten minutes");
        kill(signals[1]);
        wait_for("the end", || child.try_wait().unwrap().is_some());
        let status = child.wait().unwrap();
        assert!(matches!(status.signal(), Some(2 | 15)), "{signals:?}: {status}");
        between.allow(EVERYTHING);
        scene.good("after the second signal");
    }
}

/// Whether a signal waits for being handled, from Linux.
fn pending(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let set = |line: &str| line.split_once(':').is_some_and(|(_, mask)| mask.trim().bytes().any(|b| b != b'0'));
    status.lines().filter(|line| line.starts_with("SigPnd:") || line.starts_with("ShdPnd:")).any(set)
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} takes too long");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A port where something else listens.
#[test]
fn what_is_no_memcached() {
    let mut random = Random::new(2);
    let scene = Scene::new(old_world(&mut random, 5, 5), "");
    let between = Between::start(&scene.memcached, Instead::Garbage);
    between.allow(0);
    through(&scene, &scene.memcached, &between.address);
    for arguments in [&["load"][..], &["lookup", "bad.example"], &["status"]] {
        let begun = Instant::now();
        let finished = scene.run(arguments);
        assert_eq!(finished.code, Some(69), "{}", finished.stderr);
        let expected = format!("memcached {}: it answered \"HTTP/1.1 400 Bad Request\"", between.address);
        assert_eq!(message(&finished), expected);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(scene.misp.count(INDEX), 0, "MISP was asked in vain");
}

/// A memcached that evicts nothing and has no room left (`-M`).
#[test]
fn a_memcached_without_memory() {
    let mut random = Random::new(3);
    let mut scene = Scene::new(old_world(&mut random, 20, 10), "");
    let good = std::mem::replace(&mut scene.memcached, Memcached::start(&["-t", "1", "-m", "2", "-M"]));
    through(&scene, &good, &scene.memcached.server());
    fill_up(&scene.memcached);
    let full = scene.run(&["load"]);
    assert_eq!(full.code, Some(69), "{}", full.stderr);
    let said = message(&full);
    assert!(said.starts_with(&format!("memcached {}: it refuses ", scene.memcached.server())), "{said}");
    assert!(said.contains("out of memory storing object"), "{said}");
    assert!(full.stderr.lines().count() < 50, "a line for each key: {}", full.stderr.lines().count());
    assert!(!scene.held().contains_key("misp-stats"), "readers would rely on it");

    // Room again, on the same server: MISP is not asked for what the ledger has.
    scene.memcached.flush_all();
    scene.good("room again");
    // And on another one.
    scene.memcached = good;
    scene.configuration.write();
    scene.good("another server");
}

/// Somebody empties it between two batches: no connection breaks, and `misp-stats` is
/// written as if nothing had been. The next pass looks at every key.
#[test]
fn a_memcached_emptied_within_a_pass() {
    let mut random = Random::new(7);
    let scene = Scene::new(old_world(&mut random, 60, 12), "page_size: 100\nconnections: 1");
    let server = scene.memcached.server();
    let searches = AtomicI64::new(0);
    /// More than what a pass writes for itself, and fewer than a batch.
    const ENOUGH: u64 = 20;
    scene.misp.set_fault(Box::new(move |request, _| {
        if request.path.starts_with(SEARCH) && searches.fetch_add(1, Ordering::Relaxed) == 4 {
            // The first batches have come; on a busy machine they are written a little later.
            let begun = Instant::now();
            let items =
                || asked(&server, "stats", "END").iter().find_map(|l| l.strip_prefix("STAT curr_items ")?.parse().ok());
            while items() < Some(ENOUGH) {
                assert!(begun.elapsed() < PATIENCE, "nothing is written");
            }
            asked(&server, "flush_all", "OK");
        }
        Fault::None
    }));
    let misp = scene.run(&["load"]);
    scene.misp.clear_fault();
    assert_eq!(misp.code, Some(0), "{}", misp.stderr);
    let (held, wanted) = (scene.held(), scene.wanted());
    assert!(wanted.keys().any(|key| !held.contains_key(key)), "nothing was lost");
    scene.good("the pass after it");
}

/// The lines that a memcached answers, up to the last one.
fn asked(server: &str, command: &str, last: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(server).expect("memcached");
    stream.write_all(format!("{command}\r\n").as_bytes()).expect("memcached reads");
    let lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    lines.take_while(|line| line != last).collect()
}

/// Foreign items of every size that ours have, until none is taken any more.
fn fill_up(memcached: &Memcached) {
    let mut stream = BufReader::new(TcpStream::connect(memcached.server()).unwrap());
    for size in (1..600).step_by(16) {
        let mut refused = 0;
        for round in 0.. {
            let mut sets = Vec::new();
            for n in 0..100 {
                let key = format!("tenant-{size}-{round}-{n}");
                sets.extend(format!("set {key} 0 0 {size}\r\n{}\r\n", "x".repeat(size)).into_bytes());
            }
            stream.get_mut().write_all(&sets).unwrap();
            for _ in 0..100 {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                refused += usize::from(line.starts_with("SERVER_ERROR"));
            }
            if refused > 0 {
                break;
            }
        }
    }
}

/// It comes back empty: the run notices or has ended before; the next one refills it.
#[test]
fn restarted_during_a_pass() {
    let mut random = Random::new(4);
    let mut scene = Scene::new(old_world(&mut random, 60, 12), "page_size: 100\nmax_shrink_percent: 100");
    let begun = Instant::now();
    scene.good("before");
    let longest = begun.elapsed().as_micros() as u64;
    let mut noticed = 0;
    for round in 0..20 {
        change(&mut scene.world(), &mut random, 30);
        let file = scene.file();
        let mut child =
            command(&["--config", &file, "load"], &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(random.below(longest)));
        scene.memcached.restart();
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 69)), "{code:?}");
        noticed += usize::from(code == Some(69));
        scene.misp.forget_requests();
        scene.good(&format!("round {round}, exit code {code:?}"));
        // Only what the run that failed had not fetched, and what has just changed.
        assert!(scene.misp.count(SEARCH) < 60);
    }
    assert!(noticed > 0, "no restart came during a run");
}

/// Another program spoils values and deletes keys while passes go on. No other key
/// suffers, and `load --full` puts right what it did.
#[test]
fn a_foreign_writer() {
    let mut random = Random::new(5);
    let scene = Scene::new(old_world(&mut random, 40, 12), "page_size: 100\nmax_shrink_percent: 100");
    scene.good("before");
    for round in 0..6 {
        change(&mut scene.world(), &mut random, 60);
        let wanted = scene.wanted();
        let keys: Vec<String> = wanted.keys().cloned().collect();
        let victims: BTreeSet<&String> = (0..keys.len() / 4).map(|_| random.of(&keys)).collect();
        let stop = AtomicBool::new(false);
        let finished = thread::scope(|scope| {
            scope.spawn(|| spoil(&scene.memcached, &victims, &mut random.clone(), &stop));
            let finished = scene.run(&["load"]);
            stop.store(true, Ordering::Relaxed);
            finished
        });
        // It may be told that it is not alone.
        assert!(matches!(finished.code, Some(0 | 69)), "{}", finished.stderr);
        if finished.code == Some(69) {
            assert!(message(&finished).contains("another program keeps changing"), "{}", finished.stderr);
        } else {
            let held = held(&scene.memcached);
            let others = |key: &&String| !victims.contains(*key) && !OWN.contains(&key.as_str());
            let there: BTreeSet<_> = held.iter().filter(|(key, _)| others(key)).collect();
            let meant: BTreeSet<_> = wanted.iter().filter(|(key, _)| others(key)).collect();
            assert!(there == meant, "round {round}: keys that nobody touched");
        }
        let full = scene.run(&["load", "--full"]);
        assert_eq!(full.code, Some(0), "{}", full.stderr);
        scene.exact("after a full pass");
    }
}

/// Replaces values by garbage and deletes keys, again and again.
fn spoil(memcached: &Memcached, keys: &BTreeSet<&String>, random: &mut Random, stop: &AtomicBool) {
    let mut stream = BufReader::new(TcpStream::connect(memcached.server()).unwrap());
    while !stop.load(Ordering::Relaxed) {
        for key in keys {
            let value =
                *random.of(&["garbage", "", "#", "7#", "-1#md5", "1#md5#x,\0", ",,,", "99999999999999999999#md5"]);
            // Replaced only where it is there: a key that no event backs is another test's.
            let command = match random.below(3) {
                0 => format!("md {key}\r\n"),
                _ => format!("ms {key} {} MR\r\n{value}\r\n", value.len()),
            };
            stream.get_mut().write_all(command.as_bytes()).unwrap();
            stream.read_line(&mut String::new()).unwrap();
        }
    }
}
