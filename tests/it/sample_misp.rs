//! The sample MISP through its socket, spoken to in raw HTTP: what it says to a
//! client, and what goes wrong when it is told to.

use crate::support::{KEY, sample};
use misp2memcached::demo::{Attribute, Event, Fault, Request, Response, SampleMisp, World};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const SEARCH: &str = "/attributes/restSearch";

/// What a client saw: the head's lines, the body, and how the connection ended, if it did.
struct Got {
    head: String,
    body: Vec<u8>,
    end: Option<ErrorKind>,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn announced(&self) -> usize {
        self.header("Content-Length").unwrap().parse().unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn connect(misp: &SampleMisp) -> TcpStream {
    let stream = TcpStream::connect(misp.url().strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn post(stream: &mut TcpStream, path: &str, body: &str) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: misp.example\r\nAuthorization: {KEY}\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
}

/// Reads one answer, byte by byte up to its body.
fn read(stream: &mut TcpStream) -> Got {
    let mut got = Got { head: String::new(), body: Vec::new(), end: None };
    let mut byte = [0];
    while !got.head.ends_with("\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => got.head.push(char::from(byte[0])),
            Ok(_) => got.end = Some(ErrorKind::UnexpectedEof),
            Err(error) => got.end = Some(error.kind()),
        }
        if got.end.is_some() {
            return got;
        }
    }
    while got.body.len() < got.announced() {
        match stream.read(&mut byte) {
            Ok(1) => got.body.push(byte[0]),
            Ok(_) => got.end = Some(ErrorKind::UnexpectedEof),
            Err(error) => got.end = Some(error.kind()),
        }
        if got.end.is_some() {
            break;
        }
    }
    got
}

fn ask(misp: &SampleMisp, path: &str, body: &str) -> Got {
    let mut stream = connect(misp);
    post(&mut stream, path, body);
    read(&mut stream)
}

fn small() -> SampleMisp {
    let mut world = World::new();
    let values = (1..=5).map(|n| Attribute::new("ip-dst", &format!("198.51.100.{n}")));
    world.add_event(values.fold(Event::new("five addresses"), Event::with), 1_795_220_000);
    sample(world)
}

#[test]
fn one_connection_many_requests() {
    let misp = small();
    misp.set_now(Some(1_795_220_407));
    let mut stream = connect(&misp);
    for page in 1..=3 {
        post(&mut stream, SEARCH, &format!(r#"{{"type":"ip-dst","limit":2,"page":{page}}}"#));
        let got = read(&mut stream);
        assert!(got.head.starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(got.header("Date"), Some("Sat, 21 Nov 2026 00:20:07 GMT"));
        assert_eq!(got.header("X-Result-Count"), Some(if page == 3 { "1" } else { "3" }));
        assert!(got.text().starts_with("{\"response\": {\"Attribute\": [{\"id\":\"") && got.text().ends_with("]}}\n"));
    }
    post(&mut stream, "/events/index", r#"{"minimal":1}"#);
    let index = read(&mut stream);
    assert!(index.text().starts_with("[\n    {\n        \"id\": \"1\",\n        \"timestamp\": \"1795220000\","));
    let requests = misp.requests();
    assert_eq!((misp.count(SEARCH), misp.count("/events/index"), requests.len()), (3, 1, 4));
    assert_eq!((requests[3].method.as_str(), requests[3].body.as_slice()), ("POST", &br#"{"minimal":1}"#[..]));
    assert_eq!(requests[3].header("authorization"), Some(misp.key()));
    misp.forget_requests();
    misp.set_now(None);
    post(&mut stream, SEARCH, r#"{"event_timestamp":"1d"}"#);
    assert_eq!(read(&mut stream).header("X-Result-Count").is_some(), misp.count(SEARCH) == 1);
}

#[test]
fn a_request_in_pieces_and_a_connection_that_closes() {
    let misp = small();
    let mut stream = connect(&misp);
    for piece in ["GET /servers/getV", "ersion HTTP/1.1\r\nAccept: application/json\r", "\nConnection: close\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let got = read(&mut stream);
    assert!(got.head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "no key: {}", got.head);
    assert_eq!(got.header("Connection"), Some("close"));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let mut stream = connect(&misp);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_ne!(stream.read(&mut [0]).ok(), Some(1), "no HTTP/1.1: no answer");
}

#[test]
fn the_world_can_change_between_requests() {
    let misp = small();
    let all = |expected: &str| {
        assert_eq!(ask(&misp, SEARCH, r#"{"to_ids":1}"#).header("X-Result-Count"), Some(expected));
    };
    all("5");
    assert!(misp.world().soft_delete(1, 1_795_220_001));
    all("4");
    assert!(misp.world().delete_event(1));
    all("0");
    assert_eq!(ask(&misp, "/events/index", r#"{"minimal":1}"#).text(), "[]");
}

#[test]
fn faults_spoil_answers() {
    let misp = small();
    let whole = ask(&misp, SEARCH, "{}");
    let spoilt = |fault: Fault| {
        misp.set_fault(Box::new(move |_, _| fault.clone()));
        ask(&misp, SEARCH, "{}")
    };
    let got = spoilt(Fault::TruncateBody(100));
    assert_eq!((got.announced(), got.body.len()), (whole.body.len(), 100));
    assert_eq!(got.end, Some(ErrorKind::UnexpectedEof));
    let got = spoilt(Fault::CutJson(100));
    assert_eq!((got.announced(), got.body.as_slice(), got.end), (100, &whole.body[..100], None));
    let got = spoilt(Fault::Reset);
    assert_eq!((got.head.as_str(), got.end), ("", Some(ErrorKind::ConnectionReset)));
    let got = spoilt(Fault::Status(503, vec![("Retry-After".into(), "1".into())], b"busy".to_vec()));
    assert!(got.head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    assert_eq!((got.header("Retry-After"), got.text()), (Some("1"), "busy"));
    let got = spoilt(Fault::Html);
    assert_eq!(got.header("Content-Type"), Some("text/html; charset=UTF-8"));
    let other = Response { status: 200, headers: Vec::new(), body: b"null".to_vec() };
    assert_eq!(spoilt(Fault::Replace(other)).text(), "null");
    misp.clear_fault();
    assert_eq!(ask(&misp, SEARCH, "{}").body, whole.body);
}

#[test]
fn faults_take_time() {
    let misp = small();
    let whole = ask(&misp, SEARCH, "{}");
    for (fault, body) in [
        (Fault::Delay(Duration::from_millis(200)), whole.body.as_slice()),
        (Fault::SlowDrip(Duration::from_millis(200)), whole.body.as_slice()),
        (Fault::Hang(Duration::from_millis(200)), b""),
    ] {
        misp.set_fault(Box::new({
            let fault = fault.clone();
            move |_, _| fault.clone()
        }));
        let begun = Instant::now();
        let got = ask(&misp, SEARCH, "{}");
        assert_eq!(got.body, body, "{fault:?}");
        assert!(begun.elapsed() >= Duration::from_millis(190), "{fault:?}");
    }
}

#[test]
fn a_fault_can_pick_its_request() {
    let misp = small();
    misp.set_fault(Box::new(|request: &Request, nth| match (request.path.as_str(), nth) {
        (SEARCH, 2) => Fault::Status(500, Vec::new(), Vec::new()),
        _ => Fault::None,
    }));
    let status = || ask(&misp, SEARCH, "{}").head[9..12].to_owned();
    assert_eq!([status(), status(), status()], ["200", "500", "200"]);
}

#[test]
fn stopping_ends_what_hangs() {
    let misp = small();
    misp.set_fault(Box::new(|_, _| Fault::Hang(Duration::from_secs(600))));
    let mut idle = connect(&misp);
    let mut hanging = connect(&misp);
    post(&mut hanging, SEARCH, "{}");
    while misp.count(SEARCH) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    drop(misp);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!((read(&mut hanging).head.as_str(), idle.read(&mut [0]).unwrap_or(0)), ("", 0));
}
