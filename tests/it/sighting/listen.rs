//! `--listen`: JSON lines on a socket, until a signal comes.

use super::{counts, domains, finish, noted, report, sight, site, start};
use crate::support::site::Site;
use misp2memcached::demo::Fault;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long something is waited for on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Listener {
    child: Child,
    address: String,
}

impl Listener {
    fn new(site: &Site, address: &str) -> Listener {
        let mut child = start(site, &["--listen", address, "--unlisted", "--source", "s"]);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut address = None;
        let mut line = String::new();
        while address.is_none() && stderr.read_line(&mut line).unwrap() > 0 {
            address = line.split_once("listening on ").map(|(_, rest)| rest.trim().to_owned());
            line.clear();
        }
        let address = address.expect("it listens");
        // What it says from here on must not fill the pipe.
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| println!("{line}")));
        Listener { child, address }
    }

    fn tcp(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    fn end(self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        finish(self.child).code
    }
}

fn line(n: usize) -> String {
    json!({"value": format!("d{n}.example"), "timestamp": 1_795_200_000}).to_string() + "\n"
}

fn once_each(count: usize) -> BTreeMap<String, usize> {
    (0..count).map(|n| (format!("d{n}.example s 0"), 1)).collect()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn tcp_with_good_and_bad_lines() {
    let site = site(domains(4));
    let listener = Listener::new(&site, "127.0.0.1:0");
    let mut first = listener.tcp();
    // Byte by byte, and over a line end.
    for byte in line(0).bytes() {
        first.write_all(&[byte]).unwrap();
    }
    wait_for("the first arrives", || noted(&site) == once_each(1));
    let mut second = listener.tcp();
    second.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n{\"value\": \"cut\n").unwrap();
    second.write_all("y".repeat(3 << 20).as_bytes()).unwrap();
    second.write_all(format!("\n{}{}", line(1), line(1)).as_bytes()).unwrap();
    // A line without an end counts when the connection closes.
    second.write_all(line(2).trim_end().as_bytes()).unwrap();
    drop(second);
    wait_for("the others arrive", || noted(&site) == once_each(3));
    first.write_all(line(3).as_bytes()).unwrap();
    wait_for("the connection is still good", || noted(&site) == once_each(4));
    // Some were no sightings.
    assert_eq!(listener.end(), Some(65));
    assert_eq!(counts(&report(&site, &[], "", 0))[5], 0);
}

#[test]
fn a_signal_ends_it_with_everything_sent_or_in_the_spool() {
    const ALL: usize = 3000;
    let site = site(domains(ALL));
    let socket = site.config.directory().join("socket");
    let address = format!("unix:{}", socket.display());
    // Left by a run that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    site.misp.set_fault(Box::new(|_, _| Fault::Delay(Duration::from_millis(20))));
    let listener = Listener::new(&site, &address);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all((0..ALL).map(line).collect::<String>().as_bytes()).unwrap();
    wait_for("some arrive", || !site.misp.world().sightings().is_empty());
    let code = listener.end();
    assert!(matches!(code, Some(0 | 69)), "{code:?}");
    assert!(!socket.exists());
    site.misp.clear_fault();
    assert_eq!(sight(&site, &[], "").code, Some(0));
    assert_eq!(noted(&site), once_each(ALL));
}

/// Whoever has connected and sent his lines before the signal is heard, also where nobody has
/// let him in yet.
#[test]
fn a_signal_right_behind_a_connection() {
    const SENDERS: usize = 20;
    let site = site(domains(SENDERS));
    let listener = Listener::new(&site, "127.0.0.1:0");
    listener.tcp().write_all(line(0).as_bytes()).unwrap();
    wait_for("the first arrives, and nobody is waited for any more", || noted(&site) == once_each(1));
    for n in 1..SENDERS {
        listener.tcp().write_all(line(n).as_bytes()).unwrap();
    }
    let code = listener.end();
    assert!(matches!(code, Some(0 | 69)), "{code:?}");
    assert_eq!(sight(&site, &[], "").code, Some(0));
    assert_eq!(noted(&site), once_each(SENDERS));
}

#[test]
fn misp_goes_and_comes_back_meanwhile_and_others_hand_over() {
    let site = site(domains(30));
    let listener = Listener::new(&site, "127.0.0.1:0");
    site.misp.set_fault(Box::new(|_, _| Fault::Reset));
    let mut stream = listener.tcp();
    (0..10).for_each(|n| stream.write_all(line(n).as_bytes()).unwrap());
    wait_for("MISP is tried", || !site.misp.requests().is_empty());
    (10..20).for_each(|n| stream.write_all(line(n).as_bytes()).unwrap());
    assert!(site.misp.world().sightings().is_empty());
    site.misp.clear_fault();
    wait_for("all arrive", || noted(&site) == once_each(20));
    // Another run leaves its sightings to the one that listens.
    let input: String = (20..30).map(line).collect();
    let other = sight(&site, &["--unlisted", "--source", "s", "-"], &input);
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    assert_eq!(noted(&site), once_each(30));
    assert_eq!(listener.end(), Some(0));
}

#[test]
fn connections_are_bounded() {
    let site = site(domains(1));
    let listener = Listener::new(&site, "127.0.0.1:0");
    let mut open: Vec<TcpStream> = (0..80).map(|_| listener.tcp()).collect();
    let closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        matches!(std::io::Read::read(stream, &mut [0]), Ok(0))
    };
    wait_for("those too many are closed", || open.iter_mut().map(closed).filter(|closed| *closed).count() >= 80 - 64);
    open[0].write_all(line(0).as_bytes()).unwrap();
    wait_for("the others are served", || noted(&site) == once_each(1));
    drop(open);
    assert_eq!(listener.end(), Some(0));
}
