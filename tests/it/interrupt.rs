//! SIGTERM and SIGINT in the middle of a pass.

use crate::support::config::Configuration;
use crate::support::memcached::Memcached;
use crate::support::model::expected;
use crate::support::program::run;
use crate::support::sample;
use misp2memcached::demo::{Attribute, Event, Fault, World};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ATTRIBUTES: &str = "/attributes/restSearch";

/// The program ends soon after the signal although MISP does not answer, says so,
/// and the next run is exact.
#[test]
fn a_signal_ends_the_run_and_the_next_goes_on() {
    for signal in ["TERM", "INT"] {
        let mut world = World::new();
        for event in 0..60 {
            let draft = Event::new("event").with(Attribute::new("ip-dst", &format!("198.18.0.{event}")));
            world.add_event(draft, 1_795_000_000);
        }
        let misp = sample(world);
        misp.set_now(Some(1_795_000_000 + 86_400));
        // The first batches come, then MISP hangs.
        misp.set_fault(Box::new(|request, nth| {
            if request.path == ATTRIBUTES && nth > 2 { Fault::Hang(Duration::from_secs(60)) } else { Fault::None }
        }));
        let memcached = Memcached::start(&[]);
        let mut configuration = Configuration::new(&misp, &memcached);
        let file = configuration.misp("connections: 1").write();
        let mut child = Command::new(env!("CARGO_BIN_EXE_misp2memcached"))
            .arg("--config")
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while misp.count(ATTRIBUTES) < 3 {
            assert!(start.elapsed() < Duration::from_secs(20), "MISP was not asked");
            thread::sleep(Duration::from_millis(5));
        }
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
        let signalled = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(signalled.elapsed() < Duration::from_secs(10), "it goes on after SIG{signal}");
            thread::sleep(Duration::from_millis(5));
        }
        let done = child.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(75), "SIG{signal}");
        assert!(String::from_utf8_lossy(&done.stderr).contains("interrupted"));
        assert_eq!(memcached.get(b"misp-stats"), None);

        misp.clear_fault();
        misp.forget_requests();
        let done = run(&["--config", &file.display().to_string()], &[]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let ours: BTreeMap<_, _> = memcached.dump("misp-").into_iter().filter(|(k, _)| k.contains(&b':')).collect();
        assert_eq!(ours, expected(&misp.world(), |_, a| a.to_ids));
        assert_eq!(memcached.get(b"misp-stats").unwrap(), b"60");
    }
}
