//! The program is killed: SIGKILL at random moments of first loads, refreshes and
//! full passes. After each kill (or some in a row) one good pass leaves everything
//! exact: memcached, Falco's file and the keys that sum up.
//!
//! `MISP2MEMCACHED_KILLS=300` asks for more kills, `MISP2MEMCACHED_SEED` for others;
//! where a kill lands is a matter of time, so a seed gives the same worlds and
//! delays, not the same moments.

use crate::support::cable::Cable;
use crate::support::program::command;
use crate::support::scene::{INDEX, Random, SEARCH, Scene, change_at, now, old_world};
use misp2memcached::demo::{Attribute, Event, World};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Kills where the environment names no number.
const KILLS: u64 = 60;

/// Scenes at once.
const AT_ONCE: u64 = 3;

/// A number of the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// How far a run was when it was killed, by what it had asked MISP for.
#[derive(Debug, Default)]
struct Landed {
    before_misp: u64,
    at_the_list: u64,
    at_attributes: u64,
    after_the_last: u64,
}

fn world(random: &mut Random) -> World {
    old_world(random, 60, 12)
}

/// One scene that is loaded and killed again and again.
struct Victim {
    scene: Scene,
    random: Random,
    /// How long a whole run takes.
    first: Duration,
    refresh: Duration,
    /// Attribute requests of the last whole run.
    requests: usize,
    /// When MISP changed last: a day ago, each time a second later. So nothing but its
    /// mark brings an event back that a killed run has fetched.
    changed: u64,
}

impl Victim {
    fn new(seed: u64) -> Victim {
        let mut random = Random::new(seed);
        // Many small batches: many moments between a commit and the next.
        let scene = Scene::new(world(&mut random), "page_size: 100\nmax_shrink_percent: 100");
        let mut victim = Victim {
            scene,
            random,
            first: Duration::ZERO,
            refresh: Duration::ZERO,
            requests: 0,
            changed: now() - 86_400,
        };
        victim.first = victim.whole("the first load");
        victim.refresh = victim.whole("a refresh");
        victim
    }

    /// A good pass, and how long it took.
    fn whole(&mut self, what: &str) -> Duration {
        self.scene.misp.forget_requests();
        let begun = Instant::now();
        let finished = self.scene.run(&["load"]);
        let time = begun.elapsed();
        assert_eq!(finished.code, Some(0), "{what}: {}", finished.stderr);
        self.requests = self.scene.misp.count(SEARCH);
        self.scene.exact(what);
        let aside = self.scene.configuration.state().join("ledger.redb.damaged");
        assert!(!aside.exists(), "{what}: a full pass took a ledger that was cut off for a damaged one");
        time
    }

    fn change(&mut self, changes: usize) {
        self.changed += 1;
        change_at(&mut self.scene.world(), &mut self.random, changes, self.changed);
    }

    /// Kills a run at a random moment; false: it had ended by then.
    fn kill(&mut self, arguments: &[&str], longest: Duration, landed: &Mutex<Landed>) -> bool {
        self.scene.misp.forget_requests();
        // A little of it is the process's own beginning, where nothing can go wrong.
        let (least, more) = (longest / 8, longest.as_micros() as u64);
        let delay = least + Duration::from_micros(self.random.below(more));
        let file = self.scene.file();
        let mut child = command(&[&["--config", &file], arguments].concat(), &[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(delay);
        let ended = child.try_wait().unwrap();
        let _ = child.kill();
        let _ = child.wait();
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(0), "a run that ended before it was killed");
            return false;
        }
        let mut landed = landed.lock().unwrap();
        match (self.scene.misp.count(INDEX), self.scene.misp.count(SEARCH)) {
            (0, _) => landed.before_misp += 1,
            (_, 0) => landed.at_the_list += 1,
            (_, n) if n < self.requests => landed.at_attributes += 1,
            _ => landed.after_the_last += 1,
        }
        true
    }

    /// Kills until so many runs were killed.
    fn torment(&mut self, kills: u64, landed: &Mutex<Landed>) {
        let mut done = 0;
        while done < kills {
            let first = self.random.below(3) == 0;
            if first {
                // A new world too: the old one grows from change to change.
                self.scene.forget();
                *self.scene.world() = world(&mut self.random);
            } else {
                let changes = 1 + self.random.below(60) as usize;
                self.change(changes);
            }
            let full = self.random.below(6) == 0;
            let (arguments, longest) = match (first, full) {
                (_, true) => (&["load", "--full"][..], self.first * 3 / 2),
                (true, false) => (&["load"][..], self.first),
                (false, false) => (&["load"][..], self.refresh.max(self.first / 2)),
            };
            // Now and then the next run is killed too, before or after MISP has changed again.
            for _ in 0..1 + self.random.below(5) / 3 {
                done += u64::from(self.kill(arguments, longest, landed));
                if self.random.below(4) == 0 {
                    self.change(5);
                }
            }
            self.whole(&format!("after {done} kills ({arguments:?}, from nothing: {first})"));
        }
    }
}

#[test]
fn killed_at_any_moment() {
    let kills = number("MISP2MEMCACHED_KILLS").unwrap_or(KILLS);
    let seed = number("MISP2MEMCACHED_SEED").unwrap_or(1);
    println!("seed {seed}");
    let landed = Mutex::new(Landed::default());
    thread::scope(|scope| {
        for victim in 0..AT_ONCE {
            let landed = &landed;
            scope.spawn(move || Victim::new(seed * AT_ONCE + victim).torment(kills.div_ceil(AT_ONCE), landed));
        }
    });
    let landed = landed.into_inner().unwrap();
    println!("{landed:?}");
    let Landed { before_misp, at_the_list, at_attributes, after_the_last } = landed;
    assert!(before_misp + at_the_list + at_attributes + after_the_last >= kills);
    assert!(at_attributes > 0 && after_the_last > 0, "every kill landed before the work: {landed:?}");
}

/// MISP's list misses an event for a moment, and the program is killed while it takes
/// the event's keys out; then the list has it again, unchanged. What became of its keys
/// no timestamp tells.
#[test]
fn killed_while_the_list_misses_an_event() {
    let mut world = World::new();
    let names = (0..20).map(|n| Attribute::new("domain", &format!("n{n}.example")));
    world.add_event(names.fold(Event::new("missed"), Event::with), now() - 86_400);
    world.add_event(Event::new("stays").with(Attribute::new("md5", &"a".repeat(32))), now() - 86_400);
    let mut scene = Scene::new(world, "max_shrink_percent: 100");
    let cable = Cable::to(&scene.memcached.server());
    scene.configuration.servers(&[cable.server()]).write();
    scene.good("the first load");
    let miss = |is: bool| {
        let mut world = scene.world();
        world.event_mut(1).expect("the event").attributes.iter_mut().for_each(|a| a.deleted = is);
    };
    // Some of the keys, or all of them, were gone at so many of these moments.
    let mut gone = 0;
    for bytes in (0..4_000).step_by(250) {
        miss(true);
        let (sender, receiver) = channel::<u32>();
        cable.break_after(bytes, move || {
            let id = receiver.recv().expect("the program's id");
            assert!(Command::new("kill").args(["-s", "KILL", &id.to_string()]).status().is_ok_and(|s| s.success()));
        });
        let file = scene.file();
        let mut program = command(&["--config", &file, "load"], &[]);
        let mut child = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
        sender.send(child.id()).expect("the cable waits");
        let ended = child.wait().expect("a child").code();
        assert_eq!((ended, cable.is_broken()), if cable.is_broken() { (None, true) } else { (Some(0), false) });
        cable.mend();
        gone += u32::from(ended.is_none() && scene.held().len() < 20);
        miss(false);
        scene.good(&format!("killed after {bytes} bytes"));
    }
    assert!(gone > 0, "every kill landed before a key was taken out");
}
