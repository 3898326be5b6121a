//! MISP misbehaves: what goes wrong, on the list of events and on the attributes,
//! at the first load and at a refresh, for a moment, for good, and for one event.
//!
//! After a run that failed nothing is worse than before it; the next run against
//! a good MISP leaves everything exact. Worlds that shrink, the size of batches and
//! answers without end are in `misp_limits`.

use crate::support::not_worse::not_worse;
use crate::support::scene::{INDEX, Random, SEARCH, Scene, asked, change, now, old_world, page};
use misp2memcached::demo::{Fault, Request, Response};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Cases at once: they wait most of their time.
const AT_ONCE: usize = 48;

/// Requests that fail before a fault passes.
const PASSING: usize = 2;

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    /// The first requests fail.
    Passing,
    /// All fail.
    ForGood,
    /// All fail in which one event is asked for.
    OneEvent,
}

/// What a run under a fault comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// It is no fault to the program.
    Harmless,
    /// Tried again; if it does not pass, this code and a message with these words.
    Retried(i32, &'static str),
    /// Not tried again.
    AtOnce(i32, &'static str),
}

struct Row {
    name: &'static str,
    /// The fault, of a request and its right answer.
    spoil: fn(Right<'_>) -> Fault,
    index: Option<Ends>,
    page: Option<Ends>,
    misp: &'static str,
}

/// What a fault is made of.
struct Right<'a> {
    lasts: Lasts,
    answer: &'a dyn Fn() -> Response,
}

impl Right<'_> {
    fn body(&self) -> String {
        String::from_utf8((self.answer)().body).unwrap()
    }

    /// The right answer with another body.
    fn with_body(&self, change: impl Fn(String) -> String) -> Fault {
        let answer = (self.answer)();
        let body = change(String::from_utf8(answer.body).unwrap()).into_bytes();
        Fault::Replace(Response { body, ..answer })
    }

    /// The right answer with another count.
    fn with_count(&self, change: impl Fn(u64) -> Option<u64>) -> Fault {
        Fault::Replace(counted((self.answer)(), change))
    }

    /// The right answer with its first row twice, and the count that goes with it if `counted`.
    fn with_first_row_twice(&self, adjust: bool) -> Fault {
        let mut answer = (self.answer)();
        let mut json: Value = serde_json::from_slice(&answer.body).unwrap();
        let is_index = json.is_array();
        let rows = if is_index { &mut json } else { &mut json["response"]["Attribute"] };
        let rows = rows.as_array_mut().unwrap();
        if let Some(first) = rows.first().cloned() {
            rows.insert(1, first);
            answer.body = serde_json::to_vec(&json).unwrap();
            if adjust {
                answer = counted(answer, |count| Some(count + 1));
            }
        }
        Fault::Replace(answer)
    }
}

fn counted(mut answer: Response, change: impl Fn(u64) -> Option<u64>) -> Response {
    let count = answer.header("X-Result-Count").unwrap().parse().unwrap();
    answer.headers.retain(|(name, _)| name != "X-Result-Count");
    answer.headers.extend(change(count).map(|n| ("X-Result-Count".to_owned(), n.to_string())));
    answer
}

fn status(code: u16) -> Fault {
    let body = br#"{"name":"An Internal Error Has Occurred.","message":"An Internal Error Has Occurred.","url":"\/"}"#;
    Fault::Status(code, Vec::new(), body.to_vec())
}

const fn both(name: &'static str, spoil: fn(Right<'_>) -> Fault, ends: Ends) -> Row {
    Row { name, spoil, index: Some(ends), page: Some(ends), misp: "" }
}

const TABLE: &[Row] = &[
    // These take longest.
    Row {
        misp: "timeout: 1s",
        ..both(
            "hang",
            |_| Fault::Hang(Duration::from_secs(60)),
            Ends::Retried(69, "did not answer within 1 s (misp.timeout)"),
        )
    },
    Row {
        misp: "timeout: 1s",
        ..both(
            "stall in the body",
            |_| Fault::SlowDrip(Duration::from_secs(100)),
            Ends::Retried(69, "the answer stopped coming (misp.timeout)"),
        )
    },
    both("500", |_| status(500), Ends::Retried(69, "answers 500 Internal Server Error: An Internal Error")),
    both(
        "502",
        |_| Fault::Status(502, Vec::new(), b"<html>".to_vec()),
        Ends::Retried(69, "502 Bad Gateway: an HTML page"),
    ),
    both(
        "429",
        // A server that asks for more than a quarter of an hour is not waited for.
        |right| {
            let reset = if right.lasts == Lasts::Passing { "1" } else { "1000" };
            Fault::Status(429, vec![("X-Rate-Limit-Reset".into(), reset.into())], b"{}".to_vec())
        },
        Ends::Retried(69, "MISP limits the rate of this key and asks to wait 1000 s"),
    ),
    both("reset", |_| Fault::Reset, Ends::Retried(69, "MISP at http://127.0.0.1:")),
    both(
        "truncated body",
        |right| Fault::TruncateBody(right.body().len() / 2),
        Ends::Retried(65, "the answer broke off"),
    ),
    both(
        "JSON cut short",
        |right| Fault::CutJson(right.body().trim_end().len() - 1),
        Ends::Retried(65, "the JSON is cut short"),
    ),
    both("HTML page", |_| Fault::Html, Ends::Retried(65, "is misp.url right, is there a login page")),
    both("null", |right| right.with_body(|_| "null".into()), Ends::Retried(65, "the answer is not MISP's JSON")),
    both(
        "rows of another shape",
        |right| right.with_body(|body| body.replace("\"timestamp\"", "\"time\"").replace("\"value\"", "\"text\"")),
        Ends::Retried(65, "row 1: missing field"),
    ),
    both("slow first byte", |_| Fault::Delay(Duration::from_millis(300)), Ends::Harmless),
    both("slow body", |_| Fault::SlowDrip(Duration::from_millis(400)), Ends::Harmless),
    both("key refused", |_| status(403), Ends::AtOnce(77, "MISP refuses the key (403 Forbidden)")),
    both("rows twice, counted", |right| right.with_first_row_twice(true), Ends::Harmless),
    both(
        "rows twice, not counted",
        |right| right.with_first_row_twice(false),
        Ends::Retried(65, "the answer is not whole"),
    ),
    both("count too large", |right| right.with_count(|n| Some(n + 2)), Ends::Retried(65, "the answer is not whole")),
    Row {
        index: Some(Ends::Harmless),
        ..both(
            "count missing",
            |right| right.with_count(|_| None),
            Ends::Retried(65, "it has no X-Result-Count header; does a proxy before MISP remove it?"),
        )
    },
    Row {
        index: None,
        ..both(
            "rows of another event",
            |right| right.with_body(|body| body.replacen("\"event_id\":\"", "\"event_id\":\"9", 1)),
            Ends::AtOnce(65, "which was not asked for: MISP did not read the request's filter"),
        )
    },
];

/// One run of the table.
#[derive(Clone, Copy)]
struct Case {
    row: &'static Row,
    path: &'static str,
    ends: Ends,
    refresh: bool,
    lasts: Lasts,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for row in TABLE {
        for (path, ends) in [(INDEX, row.index), (SEARCH, row.page)] {
            let Some(ends) = ends else { continue };
            for refresh in [false, true] {
                let lasts: &[Lasts] = match (ends, path) {
                    (Ends::Harmless, _) => &[Lasts::ForGood],
                    (_, INDEX) => &[Lasts::ForGood, Lasts::Passing],
                    _ => &[Lasts::ForGood, Lasts::OneEvent, Lasts::Passing],
                };
                cases.extend(lasts.iter().map(|lasts| Case { row, path, ends, refresh, lasts: *lasts }));
            }
        }
    }
    cases
}

impl Case {
    fn run(self, seed: u64) {
        let mut random = Random::new(seed);
        let yaml = format!("page_size: 100\nmax_shrink_percent: 100\n{}", self.row.misp);
        let scene = Scene::new(old_world(&mut random, 30, 8), &yaml);
        if self.refresh {
            scene.good("before the fault");
            change(&mut scene.world(), &mut random, 40);
            scene.misp.forget_requests();
        }
        let before = scene.outside();
        let one = self.one_event(&scene);
        let (answers, Case { row, path, lasts, .. }) = (scene.answers(), self);
        let spoilt = Arc::new(Mutex::new(Vec::new()));
        let spoilt_too = spoilt.clone();
        scene.misp.set_fault(Box::new(move |request, nth| {
            let spoil = request.path == path
                && match lasts {
                    Lasts::Passing => nth <= PASSING,
                    Lasts::ForGood => true,
                    Lasts::OneEvent => asked(request).contains(&one),
                };
            if !spoil {
                return Fault::None;
            }
            spoilt_too.lock().unwrap().push(of(request));
            (row.spoil)(Right { lasts, answer: &|| answers(request) })
        }));
        let finished = scene.run(&["load"]);
        let (code, words) = match self.ends {
            Ends::Harmless => (0, ""),
            Ends::Retried(..) if lasts == Lasts::Passing => (0, ""),
            Ends::Retried(code, words) | Ends::AtOnce(code, words) => (code, words),
        };
        assert_eq!(finished.code, Some(code), "{}", finished.stderr);
        let message = finished.stderr.lines().filter(|line| line.starts_with("misp2memcached: ")).collect::<String>();
        assert!(message.contains(words) && message.is_empty() == (code == 0), "{words:?} in {}", finished.stderr);
        if matches!(self.ends, Ends::AtOnce(..)) {
            self.asked_once(&scene, &spoilt.lock().unwrap());
        }
        if code == 0 {
            scene.exact("at once");
            return;
        }
        not_worse(&scene, &before);
        scene.misp.clear_fault();
        scene.good("after the fault");
    }

    /// Nothing of what these requests asked for was asked for again.
    fn asked_once(self, scene: &Scene, spoilt: &[Asked]) {
        let requests = scene.misp.requests();
        let all: Vec<_> = requests.iter().filter(|request| request.path == self.path).map(of).collect();
        assert!(!spoilt.is_empty());
        for this in spoilt {
            let at = all.iter().position(|asked| asked == this).unwrap();
            let again = all[at + 1..].iter().find(|(events, _)| events.iter().any(|event| this.0.contains(event)));
            assert_eq!(again, None, "tried again: {this:?} in {all:?}");
        }
    }

    /// An event that the run will ask for.
    fn one_event(self, scene: &Scene) -> u64 {
        let world = scene.world();
        let recent = now() - 3600;
        let asked: Vec<u64> =
            world.events().filter(|e| e.is_listed() && (!self.refresh || e.timestamp > recent)).map(|e| e.id).collect();
        asked[asked.len() / 2]
    }
}

/// What a request asks for: the list, which is no event's, or these events; and the page.
type Asked = (Vec<u64>, Option<u64>);

fn of(request: &Request) -> Asked {
    (if request.path == INDEX { vec![0] } else { asked(request) }, page(request))
}

/// The table, all of it.
#[test]
fn faults_leave_nothing_worse() {
    let (cases, next, failed) = (cases(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((at, case)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    cases.get(at).map(|case| (at, case))
                } {
                    let name = format!(
                        "{} on {}, {}, {:?}, seed {at}",
                        case.row.name,
                        case.path,
                        if case.refresh { "refresh" } else { "first load" },
                        case.lasts
                    );
                    let begun = Instant::now();
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case.run(at as u64))) {
                        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                        failed.lock().unwrap().push(format!("== {name}\n{text}"));
                    }
                    println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
    println!("{} cases", cases.len());
}
