//! The server: a MISP that has rendered everything beforehand, so that a
//! benchmark measures its client. A process of its own, because its memory and
//! CPU must not count for anybody else. It ends when its standard input does.
//!
//! What it knows: the event index, restSearch by event ids, types, limit and page,
//! the version, and three paths of its own below `/bench/`. What a real MISP would
//! do and this one cannot is refused, so no measurement rests on a wrong answer.

use crate::dataset::{Dataset, FIRST_EVENT_ID};
use crate::http::{Request, read_request, write_answer};
use crate::rows::{Rows, uuid};
use crate::search::Search;
use crate::{Result, unix_now};
use serde_json::{Value, json};
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

/// Small pieces are gathered up to this; larger ones go to the kernel as they are.
const WRITE_BUFFER: usize = 64 << 10;

/// What `GET /servers/getVersion` says.
const VERSION: &str = r#"{"version":"2.5.1","pymisp_recommended_version":"2.5.1","perm_sync":false,"perm_sighting":true,"perm_galaxy_editor":false,"perm_analyst_data":false,"uuid":"5f1e1ff0-1b1e-4e4b-9d2b-0a0a0a0a0a01","request_encoding":["gzip"],"filter_sightings":true}"#;

struct Event {
    timestamp: u64,
    uuid: String,
    orgc_uuid: String,
    rows: Arc<Rows>,
}

struct World {
    data: Dataset,
    events: Vec<Event>,
    index: Arc<Vec<u8>>,
}

#[derive(Default)]
struct Counters {
    index: AtomicU64,
    searches: AtomicU64,
    rows: AtomicU64,
}

struct Server {
    world: RwLock<World>,
    counters: Counters,
}

/// Renders the data, says `listening ADDRESS` on standard output, and serves.
pub fn serve(data: Dataset, now: u64, port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut world = World { events: render_all(&data, now), data, index: Arc::default() };
    world.render_index();
    let server = Arc::new(Server { world: RwLock::new(world), counters: Counters::default() });
    println!("listening {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    for stream in listener.incoming() {
        let (stream, server) = (stream?, Arc::clone(&server));
        std::thread::spawn(move || {
            if let Err(e) = server.connection(&stream) {
                eprintln!("replay server: {e}");
            }
        });
    }
    Ok(())
}

fn render_all(data: &Dataset, now: u64) -> Vec<Event> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    let share = data.events().div_ceil(threads);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|part| {
                let range = part * share..data.events().min((part + 1) * share);
                scope.spawn(move || range.map(|event| render(data, event, data.timestamp(event, now))).collect())
            })
            .collect();
        parts.into_iter().flat_map(|part| -> Vec<Event> { part.join().expect("a rendering thread panicked") }).collect()
    })
}

fn render(data: &Dataset, event: u32, timestamp: u64) -> Event {
    let mut random = data.event_random(event);
    random.next();
    Event {
        timestamp,
        uuid: uuid(&mut random),
        orgc_uuid: format!("5a0c1f30-1111-4c5b-9d2b-{:012x}", 1 + event % 40),
        rows: Arc::new(Rows::render(data, event, timestamp)),
    }
}

impl World {
    fn render_index(&mut self) {
        let mut out = Vec::with_capacity(self.events.len() * 190);
        out.push(b'[');
        for (id, event) in (FIRST_EVENT_ID..).zip(&self.events) {
            if out.len() > 1 {
                out.push(b',');
            }
            let Event { timestamp, uuid, orgc_uuid, .. } = event;
            let done = write!(
                out,
                "{{\"id\":\"{id}\",\"timestamp\":\"{timestamp}\",\"sighting_timestamp\":\"0\",\"published\":true,\
                 \"uuid\":\"{uuid}\",\"orgc_uuid\":\"{orgc_uuid}\"}}"
            );
            done.expect("writing to memory cannot fail");
        }
        out.push(b']');
        self.index = Arc::new(out);
    }

    /// As if somebody had edited these events now.
    fn touch(&mut self, events: &[u32]) {
        self.data.touch(events.iter().copied());
        for event in events {
            self.events[*event as usize] = render(&self.data, *event, unix_now());
        }
        self.render_index();
    }
}

impl Server {
    fn connection(&self, stream: &TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut input = BufReader::new(stream.try_clone()?);
        let mut output = BufWriter::with_capacity(WRITE_BUFFER, stream.try_clone()?);
        while let Some(request) = read_request(&mut input)? {
            if let Err(e) = self.answer(&request, &mut output)? {
                eprintln!("replay server: {} {}: {e}", request.method, request.path);
                let body = json!({"name": e, "message": e, "url": request.path}).to_string();
                write_answer(&mut output, "400 Bad Request", "", [body.as_bytes()].into_iter())?;
            }
            if request.close {
                break;
            }
        }
        Ok(())
    }

    /// The outer result is the connection's, the inner one the request's.
    fn answer(&self, request: &Request, output: &mut BufWriter<TcpStream>) -> Result<Result<(), String>> {
        let known = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/servers/getVersion") => Ok(VERSION.to_owned()),
            ("GET", "/bench/counts") => Ok(self.counts()),
            ("POST", "/bench/touch") => self.touch(&request.body),
            ("POST", "/events/index") => return self.index(&request.body, output),
            ("POST", "/attributes/restSearch") => return self.search(&request.body, output),
            _ => Err("the replay server has no such path".into()),
        };
        Ok(match known {
            Ok(body) => Ok(write_answer(output, "200 OK", "", [body.as_bytes()].into_iter())?),
            Err(e) => Err(e),
        })
    }

    fn index(&self, body: &[u8], output: &mut BufWriter<TcpStream>) -> Result<Result<(), String>> {
        let Ok(Value::Object(asked)) = serde_json::from_slice(body) else {
            return Ok(Err("the body is no JSON object".into()));
        };
        if let Some(other) = asked.keys().find(|key| *key != "minimal") {
            return Ok(Err(format!("the replay server does not know {other:?} in the event index")));
        }
        let (index, count) = {
            let world = self.world.read().expect("no thread panics with the lock");
            (Arc::clone(&world.index), world.events.len())
        };
        self.counters.index.fetch_add(1, Relaxed);
        let extra = format!("X-Result-Count: {count}\r\n");
        write_answer(output, "200 OK", &extra, [index.as_slice()].into_iter())?;
        Ok(Ok(()))
    }

    fn search(&self, body: &[u8], output: &mut BufWriter<TcpStream>) -> Result<Result<(), String>> {
        let search = match Search::parse(body) {
            Ok(search) => search,
            Err(e) => return Ok(Err(e)),
        };
        let events: Vec<Arc<Rows>> = {
            let world = self.world.read().expect("no thread panics with the lock");
            search.events(world.events.len()).map(|event| Arc::clone(&world.events[event].rows)).collect()
        };
        let page = search.cut(&events);
        self.counters.searches.fetch_add(1, Relaxed);
        self.counters.rows.fetch_add(page.rows as u64, Relaxed);
        let extra = format!(
            "X-Result-Count: {}\r\nX-Export-Module-Used: json\r\nX-Response-Format: json\r\nX-Skipped-Elements-Count: 0\r\n",
            page.result_count
        );
        let between = |i: usize| if i == 0 { &b""[..] } else { b"," };
        let rows = page
            .slices
            .iter()
            .enumerate()
            .flat_map(|(i, (event, rows))| [between(i), events[*event].slice(rows.clone())].into_iter());
        let body = std::iter::once(&b"{\"response\": {\"Attribute\": ["[..]).chain(rows).chain([&b"]}}\n"[..]]);
        write_answer(output, "200 OK", &extra, body)?;
        Ok(Ok(()))
    }

    fn counts(&self) -> String {
        let Counters { index, searches, rows } = &self.counters;
        json!({"index": index.load(Relaxed), "searches": searches.load(Relaxed), "rows": rows.load(Relaxed)})
            .to_string()
    }

    /// `{"events": [ids]}` or `{"percent": 1}`; answers which events it touched.
    fn touch(&self, body: &[u8]) -> Result<String, String> {
        let asked: Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let mut world = self.world.write().expect("no thread panics with the lock");
        let all = world.events.len() as u64;
        let events: Vec<u32> = if let Some(ids) = asked["events"].as_array() {
            let number = |id: &Value| id.as_u64().and_then(|id| id.checked_sub(FIRST_EVENT_ID.into()));
            let events: Option<Vec<u64>> = ids.iter().map(number).collect();
            let events = events.filter(|e| e.iter().all(|e| *e < all)).ok_or("an id that no event has")?;
            events.into_iter().map(|e| e as u32).collect()
        } else {
            let percent = asked["percent"].as_u64().ok_or("neither \"events\" nor \"percent\"")?.min(100);
            let count = (all * percent).div_ceil(100).max(1);
            (0..count).map(|n| (n * all / count) as u32).collect()
        };
        world.touch(&events);
        let ids: Vec<u32> = events.iter().map(|event| FIRST_EVENT_ID + event).collect();
        Ok(json!({ "events": ids }).to_string())
    }
}

/// The server as its parent sees it; killed when dropped.
pub struct Process {
    child: std::process::Child,
    /// Host and port.
    pub address: String,
}

impl Process {
    /// Starts this same binary as a server and waits until everything is rendered.
    pub fn start(attributes: u32, per_event: u32, now: u64) -> Result<Process> {
        let mut child = std::process::Command::new(std::env::current_exe()?)
            .args(["serve", "--attributes", &attributes.to_string(), "--per-event", &per_event.to_string()])
            .args(["--now", &now.to_string()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()?;
        let mut out = child.stdout.take().ok_or("no standard output")?;
        let mut said = Vec::new();
        let mut byte = [0];
        while out.read(&mut byte)? == 1 && byte != *b"\n" {
            said.push(byte[0]);
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        let mut process = Process { child, address: String::new() };
        process.address = said.strip_prefix("listening ").ok_or("the replay server did not start")?.to_owned();
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
