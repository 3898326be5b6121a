//! A MISP that means ill, or a proxy before it: whatever it answers, memory and
//! time are bounded, the exit code is one of the documented, and memcached keeps
//! what it has.

use crate::support::hostile::{Hostile, Wire, gzip_bomb};
use crate::support::program::{Finished, run_measured};
use crate::support::scene::{INDEX, Random, SEARCH, Scene, asked, old_world};
use misp2memcached::demo::Request;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// MiB that a run takes at most, in a debug build, with an answer that is a fraud.
const MEMORY: u64 = 96;

/// Bytes that are taken from a server at most, all tries together.
const TAKEN: u64 = 256 << 20;

/// What 10 GB of one byte are in the bomb's code: 13 bits for 258 bytes.
const TEN_GB: u64 = 10_000_000_000 / 258 * 13 / 8;

/// Longest run; most of it is the wait between tries.
const TIME: Duration = Duration::from_secs(90);

/// Cases at once: most of a run is the wait between tries.
const AT_ONCE: usize = 24;

/// The first bytes of a good answer to a search.
const ROWS: &str = r#"{"response": {"Attribute": ["#;

/// The beginning of a row, up to the value of an unknown field.
const ROW: &str = r#"{"id":"1","event_id":"1","type":"domain","to_ids":true,"timestamp":"1","value":"a.example","x":"#;

type Answer = fn(&Wire) -> bool;

/// What is answered, on the list of events or on a search, and what becomes of it.
struct Case {
    name: &'static str,
    path: &'static str,
    answer: Answer,
    code: i32,
    words: &'static str,
}

const fn case(name: &'static str, path: &'static str, answer: Answer, code: i32, words: &'static str) -> Case {
    Case { name, path, answer, code, words }
}

/// One row whose unknown field is this.
fn row(wire: &Wire, field: &str) -> bool {
    wire.ok("X-Result-Count: 1\r\n", format!("{ROWS}{ROW}{field}}}]}}}}").as_bytes())
}

fn bomb(wire: &Wire, text: &str, filler: u8) -> bool {
    let (head, more) = gzip_bomb(text.as_bytes(), filler);
    let _ = wire.open("Content-Encoding: gzip\r\nX-Result-Count: 1\r\n") && wire.send(&head);
    wire.pour(&more, TEN_GB);
    false
}

/// Without end, in chunks.
fn chunked(wire: &Wire, text: &str, filler: &str) -> bool {
    let head = format!("Transfer-Encoding: chunked\r\nX-Result-Count: 1\r\n\r\n{:x}\r\n{text}\r\n", text.len());
    let _ = wire.send(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes());
    wire.pour(format!("{:x}\r\n{}\r\n", 4096, filler.repeat(4096)).as_bytes(), u64::MAX);
    false
}

/// A head without end: `line` again and again.
fn head(wire: &Wire, line: &str, most: u64) -> bool {
    let _ = wire.send(b"HTTP/1.1 200 OK\r\n");
    wire.pour(line.as_bytes(), most);
    false
}

const NOT_JSON: &str = "the answer is not MISP's JSON";

const CASES: &[Case] = &[
    case("deep, in a field that is not read", SEARCH, |w| row(w, &nested(100_000)), 0, ""),
    case(
        "deep, in a field that is read",
        SEARCH,
        |w| row(w, &format!("1,\"value\":{}", nested(100_000))),
        65,
        NOT_JSON,
    ),
    case("deep, and never closed", INDEX, |w| w.ok("", "[".repeat(100_000).as_bytes()), 65, NOT_JSON),
    case("deep objects", INDEX, |w| w.ok("", "[{\"id\":".repeat(100_000).as_bytes()), 65, NOT_JSON),
    case("a row of 10 MB", SEARCH, |w| row(w, &format!("\"{}\"", "x".repeat(10 << 20))), 65, "larger than"),
    case(
        "a text of 10 MB for a flag",
        SEARCH,
        |w| w.ok("", format!("{ROWS}{{\"to_ids\":\"{}\"}}]}}}}", "x".repeat(3 << 20)).as_bytes()),
        65,
        "row 1: invalid type: string \"xxx",
    ),
    case("zeros in gzip", SEARCH, |w| bomb(w, "", 0), 65, NOT_JSON),
    case("zeros in gzip", INDEX, |w| bomb(w, "", 0), 65, NOT_JSON),
    case("blanks in gzip", SEARCH, |w| bomb(w, ROWS, b' '), 65, "blanks came in a row"),
    case("a value in gzip", SEARCH, |w| bomb(w, &format!("{ROWS}{ROW}\""), b'a'), 65, "larger than"),
    case("a number in gzip", INDEX, |w| bomb(w, "[{\"id\":", b'1'), 65, "number out of range"),
    case("no gzip at all", SEARCH, |w| w.ok("Content-Encoding: gzip\r\n", b"[{}]"), 65, "the answer broke off"),
    case("blanks without end", INDEX, |w| chunked(w, "[", " "), 65, "blanks came in a row"),
    case("line breaks without end", SEARCH, |w| chunked(w, ROWS, "\n"), 65, "blanks came in a row"),
    case("a value without end", SEARCH, |w| chunked(w, &format!("{ROWS}{ROW}\""), "a"), 65, "larger than"),
    case("blanks behind the end", INDEX, |w| chunked(w, "[]", " "), 65, "blanks came in a row"),
    case("a million headers", INDEX, |w| head(w, "X-Header: value\r\n", 17_000_000), 69, ""),
    case("one header without end", INDEX, |w| head(w, "x", u64::MAX), 69, ""),
    case(
        "an error page without end",
        INDEX,
        |w| {
            let _ = w.send(b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\n");
            w.pour(b"sorry ", u64::MAX);
            false
        },
        69,
        "500 Internal Server Error: sorry sorry",
    ),
    case(
        "bytes that are no text",
        SEARCH,
        |w| w.ok("", &[ROWS.as_bytes(), ROW.as_bytes(), b"\"\xff\xfe\"}]}}"].concat()),
        65,
        "it is not UTF-8",
    ),
    case(
        "half a character",
        SEARCH,
        |w| w.ok("", &[ROWS.as_bytes(), ROW.as_bytes(), b"\"\xc3\"}]}}"].concat()),
        65,
        "it is not UTF-8",
    ),
    case(
        "numbers at their end",
        INDEX,
        |w| w.ok("", br#"[{"id":"18446744073709551615","timestamp":"18446744073709551615","published":true}]"#),
        65,
        "",
    ),
    case("numbers beyond it", INDEX, |w| w.ok("", br#"[{"id":"18446744073709551616","timestamp":1}]"#), 65, NOT_JSON),
    case(
        "skipped at their end",
        SEARCH,
        |w| {
            let counts = "X-Result-Count: 1\r\nX-Skipped-Elements-Count: 18446744073709551615\r\n";
            w.ok(counts, format!("{ROWS}{ROW}1}}]}}}}").as_bytes())
        },
        65,
        "the answer is not whole",
    ),
];

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Answers `path` by `answer`, and elsewhere what the scene would say.
fn before(scene: &Scene, path: &'static str, answer: Answer) -> Hostile {
    let right = scene.answers();
    Hostile::start(move |request: &Request, wire| {
        if request.path == path && (path != SEARCH || asked(request).contains(&1)) {
            return answer(wire);
        }
        let good = right(request);
        let headers: String = good.headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        wire.ok(&headers, &good.body)
    })
}

fn bounded(name: &str, finished: &Finished, memory: u64, time: Duration, hostile: &Hostile) {
    let told = format!("{name}: {memory} MiB, {time:?}, {} bytes taken", hostile.sent());
    assert!((1..=MEMORY).contains(&memory), "{told}");
    assert!(time < TIME, "{told}");
    assert!(hostile.sent() < TAKEN, "{told}");
    assert!(finished.stderr.lines().all(|l| l.len() < 1_000), "{name}: a line without end");
    println!("{told}, {} requests, exit {:?}", hostile.asked(), finished.code);
}

#[test]
fn what_means_ill_is_bounded_and_named() {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = CASES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    try_case(case);
                }
            });
        }
    });
}

fn try_case(Case { name, path, answer, code, words }: &Case) {
    let mut scene = Scene::new(old_world(&mut Random::new(1), 3, 5), "connections: 1");
    if *code != 0 {
        scene.good(name);
    }
    let outside = scene.outside();
    let hostile = before(&scene, path, *answer);
    let good = scene.misp.url();
    scene.configuration.url(hostile.url()).write();
    let begun = Instant::now();
    let (finished, memory) = run_measured(&["--config", &scene.file(), "load", "--full"]);
    assert_eq!(finished.code, Some(*code), "{name}: {}", finished.stderr);
    assert!(finished.stderr.contains(words), "{name}: {words}: {}", finished.stderr);
    bounded(name, &finished, memory, begun.elapsed(), &hostile);
    if *code != 0 {
        assert!(scene.outside() == outside, "{name}: something was changed");
    }
    scene.configuration.url(&good).write();
    let finished = scene.run(&["load", "--full", "--allow-shrink"]);
    assert_eq!(finished.code, Some(0), "{name}, and then a good one: {}", finished.stderr);
    scene.exact(name);
}

/// A rate limit that asks for no wait at all is no leave to ask without end; one that
/// asks for all time there is ends the run.
#[test]
fn rate_limits_that_mean_ill() {
    let limited = |wire: &Wire, header: &str| {
        wire.send(format!("HTTP/1.1 429 No\r\nContent-Length: 0\r\n{header}\r\n").as_bytes())
    };
    let scene = |resets: [&'static str; 2]| {
        let mut scene = Scene::new(old_world(&mut Random::new(2), 2, 3), "");
        let (right, nth) = (scene.answers(), AtomicUsize::new(0));
        let hostile = Hostile::start(move |request, wire| {
            if let Some(reset) = resets.get(nth.fetch_add(1, Ordering::Relaxed)) {
                return limited(wire, reset);
            }
            let good = right(request);
            let headers: String = good.headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
            wire.ok(&headers, &good.body)
        });
        scene.configuration.url(hostile.url()).write();
        let begun = Instant::now();
        (scene.run(&["load"]), begun.elapsed())
    };
    let (finished, time) = scene(["X-Rate-Limit-Reset: 0\r\n", "Retry-After: 0\r\n"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(time >= Duration::from_secs(2), "{time:?}");
    let (finished, _) = scene(["X-Rate-Limit-Reset: 1\r\n", "X-Rate-Limit-Reset: 18446744073709551615\r\n"]);
    assert_eq!(finished.code, Some(69), "{}", finished.stderr);
    assert!(finished.stderr.contains("asks to wait 86400 s"), "{}", finished.stderr);
}
