//! Publishers that libzmq would not be: silent ones, busy ones that send nothing of
//! interest, and such as are none. Their protocol (ZMTP 3.0) is written out by hand.

use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream as Peer};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

/// How long a test waits for what must come.
const PATIENCE_OF_TEST: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
enum Heard {
    Message(u64, String),
    Unreadable(String),
    Up,
    Down(String),
}

struct Ears(Mutex<Sender<Heard>>);

impl Ears {
    fn say(&self, heard: Heard) {
        let _ = self.0.lock().unwrap().send(heard);
    }
}

impl Sink for Ears {
    fn message(&self, number: u64, json: &[u8]) {
        self.say(Heard::Message(number, String::from_utf8_lossy(json).into_owned()));
    }

    fn unreadable(&self, why: &str) {
        self.say(Heard::Unreadable(why.into()));
    }

    fn up(&self) {
        self.say(Heard::Up);
    }

    fn down(&self, why: &str) {
        self.say(Heard::Down(why.into()));
    }

    fn settled(&self) -> u64 {
        0
    }
}

/// A line to `publisher` under this patience, and a test that hears what the sink hears.
fn with_line(publisher: &TcpListener, patience: Patience, test: impl FnOnce(&Receiver<Heard>)) {
    let (say, heard) = channel();
    let (ears, stop) = (Ears(Mutex::new(say)), Stop::default());
    let config = Zmq { host: "127.0.0.1".into(), port: publisher.local_addr().unwrap().port() };
    thread::scope(|scope| {
        let line = scope.spawn(|| Line::new(&config, &ears, &stop, patience).run());
        // A test that fails must end the line as well.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&heard)));
        let asked = Instant::now();
        stop.now();
        line.join().unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(2), "the end took {took:?}");
    });
}

fn next(heard: &Receiver<Heard>) -> Heard {
    heard.recv_timeout(PATIENCE_OF_TEST).expect("the sink hears something")
}

fn brief() -> Patience {
    Patience {
        connect: Duration::from_secs(1),
        quiet: Duration::from_millis(200),
        silence: Duration::from_millis(1200),
        shortest: Duration::from_millis(10),
        longest: Duration::from_millis(50),
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// The next connection that says something: before each the line looks whether anybody is there.
fn accept(publisher: &TcpListener) -> Peer {
    loop {
        let (mut peer, _) = publisher.accept().unwrap();
        peer.set_read_timeout(Some(PATIENCE_OF_TEST)).unwrap();
        let mut greeting = [0; 64];
        if peer.read_exact(&mut greeting).is_ok() {
            assert_eq!((greeting[0], greeting[9], greeting[10]), (0xff, 0x7f, 3));
            return peer;
        }
    }
}

fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    [&[flags | 2][..], &(body.len() as u64).to_be_bytes(), body].concat()
}

fn read_frame(peer: &mut Peer) -> Vec<u8> {
    let mut head = [0; 2];
    peer.read_exact(&mut head).unwrap();
    assert_eq!(head[0] & 2, 0, "a short frame");
    let mut body = vec![0; head[1].into()];
    peer.read_exact(&mut body).unwrap();
    body
}

/// Agrees on the protocol and takes the subscriptions.
fn publish(publisher: &TcpListener) -> Peer {
    let mut peer = accept(publisher);
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    peer.write_all(&greeting).unwrap();
    peer.write_all(&frame(4, b"\x05READY\x0bSocket-Type\0\0\0\x03PUB")).unwrap();
    read_frame(&mut peer);
    let mut topics: Vec<_> = TOPICS.iter().map(|_| read_frame(&mut peer)).collect();
    topics.sort();
    let mut wanted: Vec<_> = TOPICS.iter().map(|topic| [b"\x01", topic.as_bytes()].concat()).collect();
    wanted.sort();
    assert_eq!(topics, wanted);
    peer
}

fn say(peer: &mut Peer, text: &str) {
    peer.write_all(&frame(0, text.as_bytes())).unwrap();
}

fn down(heard: &Receiver<Heard>, part: &str) {
    match next(heard) {
        Heard::Down(why) => assert!(why.contains(part) && why.starts_with("tcp://127.0.0.1:"), "{why}"),
        other => panic!("{other:?} and not down: {part}"),
    }
}

#[test]
fn a_line_without_a_sign_of_life_is_given_up() {
    let publisher = listener();
    with_line(&publisher, brief(), |heard| {
        let mut peer = publish(&publisher);
        assert_eq!(next(heard), Heard::Up);
        let since = Instant::now();
        assert_eq!(read_frame(&mut peer), b"\x01misp_json", "it asks for all topics before it gives up");
        down(heard, "has sent nothing for 1 s");
        assert!(since.elapsed() >= brief().silence);
        let mut peer = publish(&publisher);
        assert_eq!(next(heard), Heard::Up);
        say(&mut peer, "misp_json_self {}");
        assert_eq!(next(heard), Heard::Message(1, "{}".into()));
    });
}

#[test]
fn a_busy_publisher_of_other_topics_is_alive() {
    let publisher = listener();
    with_line(&publisher, brief(), |heard| {
        let mut peer = publish(&publisher);
        assert_eq!(next(heard), Heard::Up);
        // MISP sends no sign of life where it has audit entries to send: twice as long as silence lasts.
        for number in 1..=12 {
            assert_eq!(read_frame(&mut peer), b"\x01misp_json");
            say(&mut peer, "misp_json_audit {}");
            assert_eq!(next(heard), Heard::Message(number, "{}".into()));
            assert_eq!(read_frame(&mut peer), b"\0misp_json", "the flood is turned off again");
        }
    });
}

#[test]
fn who_is_no_publisher_is_told_once() {
    let publisher = listener();
    with_line(&publisher, brief(), |heard| {
        // Accepts, and says nothing.
        let silent = accept(&publisher);
        down(heard, "is no ZeroMQ publisher, or one that asks for a password: Connect timed out");
        // Speaks of something else; as MISP itself does, or a publisher with a password.
        for _ in 0..3 {
            let mut other = accept(&publisher);
            let _ = other.write_all(format!("HTTP/1.1 400 Bad Request\r\n{}", "x".repeat(64)).as_bytes());
        }
        drop(silent);
        let mut peer = publish(&publisher);
        assert_eq!(next(heard), Heard::Up, "what failed meanwhile is not told one by one");
        peer.write_all(&frame(4, b"\x05PRINT")).unwrap();
        down(heard, "breaks off");
        drop(publish(&publisher));
        assert_eq!(next(heard), Heard::Up);
        down(heard, "has closed the connection");
    });
}

#[test]
fn frames_are_handed_over_as_they_are() {
    let publisher = listener();
    with_line(&publisher, PATIENCE, |heard| {
        let mut peer = publish(&publisher);
        assert_eq!(next(heard), Heard::Up);
        peer.write_all(&[frame(1, b"misp_json_tag "), frame(1, b""), frame(0, b"{}")].concat()).unwrap();
        assert_eq!(next(heard), Heard::Unreadable("it has 3 frames, and MISP's have one".into()));
        for (number, text) in (1..).zip(["misp_json {\"a b\": 1}", "noblank", "", "misp_json_tag "]) {
            say(&mut peer, text);
            let json = text.split_once(' ').map_or(text, |(_, json)| json);
            assert_eq!(next(heard), Heard::Message(number, json.into()));
        }
        // A frame that is not whole is no message.
        peer.write_all(&frame(0, b"misp_json {}")[..12]).unwrap();
        drop(peer);
        down(heard, "breaks off");
    });
}

#[test]
fn nobody_is_there() {
    let publisher = listener();
    let config = Zmq { host: "[::1]".into(), port: publisher.local_addr().unwrap().port() };
    let (say, heard) = channel();
    let (ears, stop) = (Ears(Mutex::new(say)), Stop::default());
    thread::scope(|scope| {
        scope.spawn(|| Line::new(&config, &ears, &stop, brief()).run());
        // Somebody else may listen at this port of ::1, but not as a publisher.
        let told = next(&heard);
        stop.now();
        match told {
            Heard::Down(why) => assert!(why.contains("cannot be reached: ") || why.contains("is no ZeroMQ"), "{why}"),
            other => panic!("{other:?}"),
        }
    });
}
