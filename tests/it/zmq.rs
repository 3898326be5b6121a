//! `zmq::run` with a real libzmq publisher at the other end.

use crate::support::publisher::Publisher;
use misp2memcached::config::Zmq;
use misp2memcached::misp::live::message::body;
use misp2memcached::misp::live::source::{Sink, Stop};
use misp2memcached::misp::live::zmq;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Longest wait for what must come, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than any message of MISP has.
const HUGE: usize = 64 << 20;

#[derive(Default)]
struct Heard {
    messages: Vec<Vec<u8>>,
    ups: usize,
    downs: Vec<String>,
    unreadable: usize,
}

/// Keeps all that it is told.
#[derive(Default)]
struct Collector(Mutex<Heard>, Condvar);

impl Collector {
    fn tell(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.0.lock().unwrap());
        self.1.notify_all();
    }

    /// Waits until it has heard this, and says what it finds then.
    fn wait_for<T>(&self, what: &str, has: impl Fn(&Heard) -> bool, then: impl FnOnce(&Heard) -> T) -> T {
        let waited = self.1.wait_timeout_while(self.0.lock().unwrap(), PATIENCE, |heard| !has(heard));
        let (heard, late) = waited.unwrap();
        let (n, ups, downs) = (heard.messages.len(), heard.ups, &heard.downs);
        assert!(!late.timed_out(), "not heard: {what}; {n} messages, {ups} times up, down {downs:?}");
        then(&heard)
    }

    fn messages(&self, number: usize) -> Vec<Vec<u8>> {
        self.wait_for(&format!("{number} messages"), |h| h.messages.len() >= number, |h| h.messages.clone())
    }

    /// Waits until the line was up and down so often.
    fn line(&self, ups: usize, downs: usize) {
        let what = format!("{ups} times up and {downs} times down");
        self.wait_for(&what, |h| (h.ups, h.downs.len()) == (ups, downs), |_| ());
    }
}

impl Sink for Collector {
    fn message(&self, number: u64, json: &[u8]) {
        self.tell(|heard| {
            heard.messages.push(json.to_vec());
            assert_eq!(number, heard.messages.len() as u64);
        });
    }

    fn unreadable(&self, _: &str) {
        self.tell(|heard| heard.unreadable += 1);
    }

    fn up(&self) {
        self.tell(|heard| heard.ups += 1);
    }

    fn down(&self, why: &str) {
        self.tell(|heard| heard.downs.push(why.to_owned()));
    }

    fn settled(&self) -> u64 {
        0
    }
}

/// A line to this port for as long as the test runs.
fn with_line(port: u16, test: impl FnOnce(&Collector)) {
    let (collector, stop) = (Collector::default(), Stop::default());
    let config = Zmq { host: "localhost".into(), port };
    std::thread::scope(|scope| {
        scope.spawn(|| zmq::run(&config, &collector, &stop));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&collector)));
        stop.now();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The exact frames that a real MISP sent, in order; none without the recordings.
fn recorded() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/misp-recordings/zmq");
    let mut files: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().map(|f| f.unwrap().path()).collect();
    files.sort();
    let mut frames = Vec::new();
    for file in files {
        let step: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for message in step["zmq_messages"].as_array().unwrap() {
            frames.push(message["raw_frame"].as_str().unwrap().as_bytes().to_vec());
        }
    }
    if frames.is_empty() {
        println!("no recordings in {}: nothing compared", folder.display());
    }
    frames
}

#[test]
fn every_recorded_frame_in_order() {
    let frames = recorded();
    let mut publisher = Publisher::start();
    with_line(publisher.port(), |heard| {
        publisher.await_subscriber();
        publisher.send_all(&frames);
        publisher.send(b"misp_json_self {}");
        let wanted = |frame: &&Vec<u8>| zmq::TOPICS.iter().any(|topic| frame.starts_with(topic.as_bytes()));
        let mut bodies: Vec<Vec<u8>> = frames.iter().filter(wanted).map(|f| body(f).to_vec()).collect();
        assert!(frames.is_empty() || (bodies.len() > 40 && bodies.len() < frames.len()), "{}", bodies.len());
        bodies.push(b"{}".to_vec());
        assert_eq!(heard.messages(bodies.len()), bodies);
        heard.line(1, 0);
    });
    assert!(!publisher.has_subscriber("misp_json"), "the floods of other topics are not asked for");
}

#[test]
fn the_publisher_comes_later_and_goes_and_comes_back() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    with_line(port, |heard| {
        heard.line(0, 1);
        let mut publisher = Publisher::start_at(port);
        for round in 1..=3 {
            publisher.await_subscriber();
            heard.line(round, round);
            publisher.send(format!("misp_json_tag {round}").as_bytes());
            assert_eq!(heard.messages(round)[round - 1], round.to_string().as_bytes());
            publisher.kill();
            heard.line(round, round + 1);
            publisher.restart();
        }
        publisher.await_subscriber();
        heard.line(4, 4);
        heard.wait_for(
            "why",
            |_| true,
            |heard| {
                assert!(heard.downs[0].contains("cannot be reached: Connection refused"), "{:?}", heard.downs);
                assert!(heard.downs[1..].iter().all(|d| !d.contains("cannot be reached")), "{:?}", heard.downs);
            },
        );
    });
}

#[test]
fn huge_and_broken_frames_are_handed_over() {
    let mut publisher = Publisher::start();
    with_line(publisher.port(), |heard| {
        publisher.await_subscriber();
        let huge = [b"misp_json ".as_slice(), &vec![b'x'; HUGE]].concat();
        let frames: [&[u8]; 4] = [b"misp_json_event \xff\xfe", b"misp_json {", &huge, b"misp_json_tag after"];
        publisher.send_all(frames);
        let messages = heard.messages(4);
        assert_eq!([&messages[0], &messages[1], &messages[3]], [b"\xff\xfe".as_slice(), b"{", b"after"]);
        assert_eq!(messages[2].len(), HUGE);
        heard.line(1, 0);
    });
}

#[test]
fn a_burst_arrives_whole() {
    const BURST: usize = 100_000;
    let mut publisher = Publisher::start();
    with_line(publisher.port(), |heard| {
        publisher.await_subscriber();
        publisher.send_all((0..BURST).map(|n| format!("misp_json_attribute {{\"number\":{n}}}")));
        let messages = heard.messages(BURST);
        let numbered = |(n, m): (usize, &Vec<u8>)| *m == format!("{{\"number\":{n}}}").as_bytes();
        assert!(messages.iter().enumerate().all(numbered), "the order");
        heard.line(1, 0);
    });
}
