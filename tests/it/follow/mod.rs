//! `follow` with a real libzmq publisher, a sample MISP that changes and tells, and a
//! real memcached: what it holds is what a fresh `load --full` of the same world puts
//! into another one.

mod burst;
mod doubts;
mod faults;
mod fleets;
#[cfg(feature = "kafka")]
mod kafka;
mod operations;
mod outputs;
mod service;
mod worlds;

use crate::support::config::Configuration;
use crate::support::live::{Operation, Transport, operate};
use crate::support::memcached::Memcached;
use crate::support::program::{command, peak_of, run};
use crate::support::publisher::Publisher;
use crate::support::site::{Held, Site};
use misp2memcached::demo::World;
use misp2memcached::follow::counts::Counts;
use misp2memcached::follow::run::FILE_NAME;
use std::io::{BufRead, BufReader};
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest wait for what must become true, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at memcached.
const LOOK: Duration = Duration::from_millis(20);

/// Our clock, which is the sample MISP's.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

/// Waits until this is true; `what` says what was waited for.
fn await_that(what: impl Fn() -> String, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "it never comes: {}", what());
        std::thread::sleep(LOOK);
    }
}

/// A running `follow`; it is killed when this is dropped.
struct Follower {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Follower {
    fn start(config: &Configuration, environment: &[(&str, &str)]) -> Follower {
        let path = config.write();
        let mut command = command(&["--config", path.to_str().unwrap(), "follow"], environment);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().expect("its log"));
        std::thread::spawn({
            let log = log.clone();
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    *log.lock().unwrap() += &(line + "\n");
                }
            }
        });
        Follower { child, log }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|s| s.success()), "follow takes a signal");
    }

    /// The most memory that it has taken so far, in MiB.
    fn peak(&self) -> u64 {
        peak_of(self.child.id()).expect("it runs, on Linux")
    }

    /// Ends it at once, as a crash does.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end; its exit code.
    fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        await_that(
            || format!("the end of follow\n{}", self.log.lock().unwrap()),
            || {
                status = self.child.try_wait().expect("a child");
                status.is_some()
            },
        );
        status.and_then(|s| s.code())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.kill();
    }
}

/// All that a test of `follow` needs but the transport.
struct Followed {
    site: Site,
    follower: Follower,
    /// What a fresh load fills.
    other: Memcached,
    fresh: Configuration,
}

/// The same with whoever publishes what MISP says.
struct Scene<P = Publisher> {
    followed: Followed,
    publisher: P,
}

impl<P> Deref for Scene<P> {
    type Target = Followed;

    fn deref(&self) -> &Followed {
        &self.followed
    }
}

impl<P> DerefMut for Scene<P> {
    fn deref_mut(&mut self) -> &mut Followed {
        &mut self.followed
    }
}

impl Scene {
    /// One that follows, its first pass made. `misp`: lines of that section; `extra`: further sections.
    fn start(world: World, misp: &str, extra: &str) -> Scene {
        Scene::with(Site::new(world), "", misp, extra)
    }

    /// The same with the servers of this site, and lines of the section `memcached`.
    fn with(site: Site, memcached: &str, misp: &str, extra: &str) -> Scene {
        let publisher = Publisher::start();
        let zmq = format!("zmq:\n  host: 127.0.0.1\n  port: {}\n", publisher.port());
        let scene = Scene { followed: Followed::with(site, memcached, misp, extra, &zmq), publisher };
        scene.await_first_pass();
        scene
    }

    fn await_first_pass(&self) {
        self.publisher.await_subscriber();
        self.await_counts("the first pass", |counts| counts.passes > 0 && counts.up);
    }

    /// Starts it once more, and waits for the first pass.
    fn start_again(&mut self) {
        self.follower = Follower::start(&self.site.config, &[]);
        self.await_first_pass();
    }

    /// Does it in MISP, which publishes what it says of it; false: MISP would have refused it.
    fn operate(&mut self, operation: &Operation) -> bool {
        let messages = operate(&mut self.site.misp.world(), operation, now(), Transport::Zmq);
        let done = messages.is_some();
        self.publisher.send_all(messages.into_iter().flatten().map(|message| message.frame()));
        done
    }
}

impl Followed {
    /// A `follow` that was started. `transport`: a section that the fresh load does without.
    #[cfg(feature = "kafka")]
    fn start(world: World, misp: &str, extra: &str, transport: &str) -> Followed {
        Followed::with(Site::new(world), "", misp, extra, transport)
    }

    /// The same with the servers of this site, and lines of the section `memcached`.
    fn with(mut site: Site, memcached: &str, misp: &str, extra: &str, transport: &str) -> Followed {
        let other = Memcached::start(&[]);
        let mut fresh = Configuration::new(&site.misp, &other);
        fresh.memcached(memcached).misp(misp).extra(extra);
        site.config.memcached(memcached).misp(misp).extra(&format!("{extra}{transport}"));
        let follower = Follower::start(&site.config, &[]);
        Followed { site, follower, other, fresh }
    }

    /// Kills it.
    fn kill(&mut self) {
        self.follower.kill();
        // What it said of itself would be taken for the next one's word.
        std::fs::remove_file(self.site.config.state().join(FILE_NAME)).expect("what it said of itself");
    }

    /// What `follow` says of itself.
    fn counts(&self) -> Option<Counts> {
        serde_json::from_slice(&std::fs::read(self.site.config.state().join(FILE_NAME)).ok()?).ok()
    }

    fn await_counts(&self, what: &str, is: impl Fn(&Counts) -> bool) {
        await_that(
            || format!("{what}: {:?}\n{}", self.counts(), self.follower.log()),
            || self.counts().is_some_and(|counts| is(&counts)),
        );
    }

    /// Waits for a line of the log.
    fn await_log(&self, part: &str) {
        await_that(|| format!("{part:?} in the log\n{}", self.follower.log()), || self.follower.log().contains(part));
    }

    /// Ends it in order.
    fn end(&mut self) {
        self.follower.signal("TERM");
        assert_eq!(self.follower.ended(), Some(0), "{}", self.follower.log());
    }

    /// Does it in MISP while nobody publishes anything.
    fn operate_unheard(&self, operation: &Operation) {
        operate(&mut self.site.misp.world(), operation, now(), Transport::Zmq);
    }

    /// What a fresh load of the world gives.
    fn truth(&self) -> Held {
        let path = self.fresh.write();
        let finished = run(&["--config", path.to_str().unwrap(), "load", "--full", "--allow-shrink"], &[]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        Held::of(&self.other, "misp")
    }

    /// Waits until memcached holds what a fresh load gives.
    fn settles(&self, story: &str) {
        self.settles_in(story, || self.site.held());
    }

    /// The same of what `held` finds.
    fn settles_in(&self, story: &str, held: impl Fn() -> Held) {
        let truth = self.truth();
        await_that(
            || format!("{story}\n{}\n{}", difference(&held(), &truth), self.follower.log()),
            || held().indicators == truth.indicators,
        );
        let held = held();
        // Without the one readers look in every namespace; without the other they look for no network.
        for (told, needed) in
            [(held.namespaces, truth.namespaces), (Some(held.networks.unwrap_or_default()), truth.networks)]
        {
            let (Some(told), Some(needed)) = (told, needed.filter(|n| !n.is_empty())) else { continue };
            let words: Vec<&str> = told.split([';', ',', ':']).collect();
            assert!(
                needed.split([';', ',', ':']).all(|w| words.contains(&w)),
                "{story}: readers know {told}, not {needed}"
            );
        }
    }
}

/// Keys that differ.
fn difference(held: &Held, truth: &Held) -> String {
    let text = |bytes: Option<&Vec<u8>>| bytes.map_or("nothing".into(), |b| String::from_utf8_lossy(b).into_owned());
    let keys = held.indicators.keys().chain(truth.indicators.keys());
    let mut lines: Vec<String> = keys
        .filter(|key| held.indicators.get(*key) != truth.indicators.get(*key))
        .map(|key| {
            let (is, should) = (held.indicators.get(key), truth.indicators.get(key));
            format!("{}: {} and not {}", String::from_utf8_lossy(key), text(is), text(should))
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}
