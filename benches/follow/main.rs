//! How fast `follow` is: from a published message to its key in memcached, one by one
//! and in a burst, beside what the machine itself takes for the same way.
//!
//! A real libzmq publishes (python3-zmq), a real memcached is asked; the ledger is on
//! disk (`TMPDIR`), since its commits are most of the time.

#[allow(dead_code, reason = "the other benchmark asks more of it")]
#[path = "../load/memcached.rs"]
mod memcached;

use memcached::{Address, Memcached, Stream};
use misp2memcached::demo::{Attribute, Event, SampleMisp, World};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What may go wrong is told and ends the benchmark.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const KEY: &str = "SampleKeySampleKeySampleKeySampleKey0123";

/// A key that is not there by then never comes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Options {
    messages: usize,
    burst: usize,
    held: usize,
}

fn main() -> ExitCode {
    // `cargo test` runs benchmarks with this flag: a short one then.
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)?.parse().ok()
    };
    let short = !arguments.iter().any(|a| a == "--bench");
    let options = Options {
        messages: number("--messages").unwrap_or(if short { 50 } else { 10_000 }),
        burst: number("--burst").unwrap_or(if short { 500 } else { 100_000 }),
        held: number("--held").unwrap_or(if short { 100 } else { 100_000 }),
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let memcached = Memcached::start(None, 512)?;
    let Address::Tcp(port) = memcached.address().clone() else { return Err("a TCP port was asked for".into()) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut world = World::new();
    let mut event = Event::new("what was there before");
    for i in 0..options.held {
        event = event.with(Attribute::new("domain", &format!("held-{i}.example")));
    }
    let event = world.add_event(event, now);
    let misp = SampleMisp::start(TcpListener::bind("127.0.0.1:0")?, Arc::new(Mutex::new(world)), KEY)?;
    let mut publisher = Publisher::start()?;
    let config = directory.path().join("misp2memcached.yaml");
    fs::write(
        &config,
        format!(
            "memcached: {{host: 127.0.0.1, port: {port}}}\nmisp: {{url: \"{}\", token: \"{KEY}\"}}\nzmq: {{host: 127.0.0.1, port: {}}}\nstate: {{directory: \"{}\"}}\n",
            misp.url(),
            publisher.port,
            directory.path().join("state").display(),
        ),
    )?;
    let log = directory.path().join("log");
    let _follow = Running(
        Command::new(env!("CARGO_BIN_EXE_misp2memcached"))
            .args([Path::new("--config"), &config, Path::new("follow")])
            .stderr(File::create(&log)?)
            .spawn()?,
    );
    let mut cache = Cache::connect(&memcached)?;
    let ready = cache
        .wait_for(&format!("misp-domain:held-{}.example", options.held - 1))
        .and_then(|()| cache.wait_for("misp-stats"));
    ready.map_err(|e| format!("{e}\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
    publisher.await_subscriber()?;
    // The pass that follows a line that came up late is over when this is there.
    publisher.send(&[message(event, now, "warm-up.example")])?;
    cache.wait_for("misp-domain:warm-up.example")?;

    let mut live = Vec::new();
    for i in 0..options.messages {
        let value = format!("live-{i}.example");
        let begun = Instant::now();
        publisher.send(&[message(event, now, &value)])?;
        cache.wait_for(&format!("misp-domain:{value}"))?;
        live.push(begun.elapsed());
    }
    let burst: Vec<Vec<u8>> = (0..options.burst).map(|i| message(event, now, &format!("burst-{i}.example"))).collect();
    let begun = Instant::now();
    publisher.send(&burst)?;
    cache.wait_for(&format!("misp-domain:burst-{}.example", options.burst - 1))?;
    let burst_seconds = begun.elapsed().as_secs_f64();
    let missing =
        (0..options.burst).filter(|i| !cache.has(&format!("misp-domain:burst-{i}.example")).unwrap_or(false)).count();
    if missing > 0 {
        return Err(format!("{missing} keys of the burst are missing").into());
    }

    let mut baseline = Vec::new();
    let mut file = File::create(directory.path().join("baseline"))?;
    for i in 0..options.messages.min(1000) {
        let key = format!("baseline-{i}");
        let begun = Instant::now();
        // What no way around: the ledger has it on disk before memcached has it.
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        cache.set(&key)?;
        cache.wait_for(&key)?;
        baseline.push(begun.elapsed());
    }
    let (p50, p99) = (percentile(&mut live, 50), percentile(&mut live, 99));
    let (base50, base99) = (percentile(&mut baseline, 50), percentile(&mut baseline, 99));
    println!("{:>8} indicators held, event of as many", options.held);
    println!("{:>8} messages one by one: p50 {p50:.2} ms, p99 {p99:.2} ms (goal: p99 <= 10 ms)", options.messages);
    println!(
        "         baseline, 4 KiB to disk and one set: p50 {base50:.2} ms, p99 {base99:.2} ms; ratio {:.1}, {:.1}",
        p50 / base50,
        p99 / base99
    );
    println!(
        "{:>8} messages in a burst: {burst_seconds:.2} s, {:.0} messages/s",
        options.burst,
        options.burst as f64 / burst_seconds
    );
    Ok(())
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * percent).div_ceil(100).clamp(1, times.len().max(1)) - 1;
    times.get(at).map_or(0.0, |t| t.as_secs_f64() * 1e3)
}

/// The message of a new attribute, as MISP 2.5.1 sends it.
fn message(event: u64, now: u64, value: &str) -> Vec<u8> {
    format!(
        r#"misp_json_attribute {{"Attribute":{{"id":"190","event_id":"{event}","object_id":"0","object_relation":null,"category":"Network activity","type":"domain","value1":"{value}","value2":"","to_ids":true,"uuid":"60bb7367-bf87-4839-9375-0148d41da379","timestamp":"{now}","distribution":"5","sharing_group_id":"0","comment":"","deleted":false,"disable_correlation":false,"first_seen":null,"last_seen":null,"value":"{value}","Sighting":[]}},"Event":{{"id":"{event}","date":"2026-11-20","info":"benchmark","uuid":"98799a99-4c4d-4395-abaf-239d13d1829b","published":false,"analysis":"0","threat_level_id":"2","org_id":"1","orgc_id":"1","distribution":"3","sharing_group_id":"0","Orgc":{{"id":"1","uuid":"5a0c1f30-1111-4c5b-9d2b-0a0a0a0a0a01","name":"ORGNAME"}}}},"action":"add"}}"#
    )
    .into_bytes()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection that asks for one key after the other.
struct Cache {
    stream: Stream,
    input: BufReader<Stream>,
}

impl Cache {
    fn connect(memcached: &Memcached) -> Result<Cache> {
        let stream = memcached.connect()?;
        Ok(Cache { input: BufReader::new(stream.try_clone()?), stream })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.input.read_line(&mut line)?;
        Ok(line)
    }

    fn has(&mut self, key: &str) -> Result<bool> {
        self.stream.write_all(format!("get {key}\r\n").as_bytes())?;
        let line = self.line()?;
        let Some(length) = line.trim_end().rsplit(' ').next().filter(|_| line.starts_with("VALUE")) else {
            return Ok(false);
        };
        let mut value = vec![0; length.parse::<usize>()? + 2];
        self.input.read_exact(&mut value)?;
        self.line()?;
        Ok(true)
    }

    fn set(&mut self, key: &str) -> Result<()> {
        self.stream.write_all(format!("set {key} 0 0 1\r\nx\r\n").as_bytes())?;
        self.line().map(drop)
    }

    fn wait_for(&mut self, key: &str) -> Result<()> {
        let begun = Instant::now();
        while !self.has(key)? {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{key} did not come within {} s", PATIENCE.as_secs()).into());
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }
}

/// MISP's publisher.
struct Publisher {
    _child: Running,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Publisher {
    fn start() -> Result<Publisher> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zmq/publisher.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .arg("0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipe".into());
        };
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let port = line.trim().strip_prefix("port ").ok_or("is python3-zmq installed?")?.parse()?;
        Ok(Publisher { _child: Running(child), input, output, port })
    }

    fn await_subscriber(&mut self) -> Result<()> {
        let mut seen = BTreeMap::new();
        while !seen.contains_key("+misp_json_attribute") {
            let mut line = String::new();
            self.output.read_line(&mut line)?;
            seen.insert(line.trim().to_owned(), ());
        }
        Ok(())
    }

    fn send(&mut self, frames: &[Vec<u8>]) -> Result<()> {
        let mut bytes = Vec::new();
        for frame in frames {
            writeln!(bytes, "{}", frame.len())?;
            bytes.extend_from_slice(frame);
        }
        Ok(self.input.write_all(&bytes)?)
    }
}
