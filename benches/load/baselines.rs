//! What the machine can do without the program: fetch everything and throw it
//! away, write the finished result, and write it the naive way. A first load
//! cannot be faster than the slower of the first two, on whatever machine.

use crate::Result;
use crate::dataset::{Dataset, FIRST_EVENT_ID};
use crate::expected::Expected;
use crate::http::Client;
use crate::memcached::{Memcached, Stream};
use std::io::{BufRead, BufReader, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Keys between two `mn`: far below the 1,400 unread replies that stop memcached
/// on a unix socket, even if every one of them failed.
const QUIET_BATCH: usize = 1_000;

/// Bytes in one write.
const WRITE: usize = 256 << 10;

/// The keys of the naive client: enough to measure, few enough to wait for.
const NAIVE_SAMPLE: usize = 20_000;

/// Fetches the event index and then all attributes in batches of whole events,
/// over so many connections, and throws the bytes away. Returns time and bytes.
pub fn download(address: &str, data: &Dataset, page_size: u32, connections: usize) -> Result<(Duration, usize)> {
    let start = Instant::now();
    let mut bytes = Client::connect(address)?.request("POST", "/events/index", "{\"minimal\":1}", |_| {})?;
    let per_batch = (page_size / data.per_event()).max(1);
    // An event larger than a page is fetched page by page.
    let pages = data.per_event().div_ceil(page_size);
    let batches = Mutex::new((0..data.events()).step_by(per_batch as usize));
    bytes += std::thread::scope(|scope| {
        let fetch = || -> Result<usize> {
            let mut client = Client::connect(address)?;
            let mut bytes = 0;
            loop {
                let next = batches.lock().expect("no thread panics with the lock").next();
                let Some(first) = next else { return Ok(bytes) };
                let ids = first..data.events().min(first + per_batch);
                let ids: Vec<String> = ids.map(|event| (FIRST_EVENT_ID + event).to_string()).collect();
                for page in 1..=pages {
                    let body = format!(
                        "{{\"returnFormat\":\"json\",\"eventid\":[{}],\"limit\":{page_size},\"page\":{page}}}",
                        ids.join(",")
                    );
                    bytes += client.request("POST", "/attributes/restSearch", &body, |_| {})?;
                }
            }
        };
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(fetch)).collect();
        threads.into_iter().map(|t| t.join().expect("a download thread panicked")).sum::<Result<usize>>()
    })?;
    Ok((start.elapsed(), bytes))
}

/// All keys and values, ready to be sent.
pub struct QuietSets {
    bytes: Vec<u8>,
    batches: usize,
}

impl QuietSets {
    /// Renders them; this is not measured.
    pub fn render(expected: &Expected) -> QuietSets {
        let mut bytes = Vec::with_capacity(expected.keys() * 100);
        for n in 0..expected.keys() {
            let (key, value) = expected.pair(n);
            let done = write!(bytes, "ms {key} {} T0 q\r\n{value}\r\n", value.len());
            done.expect("writing to memory cannot fail");
            if (n + 1) % QUIET_BATCH == 0 || n + 1 == expected.keys() {
                bytes.extend_from_slice(b"mn\r\n");
            }
        }
        QuietSets { bytes, batches: expected.keys().div_ceil(QUIET_BATCH) }
    }

    /// Writes them over one connection while another thread reads the replies.
    pub fn write(&self, memcached: &Memcached) -> Result<Duration> {
        let mut output = memcached.connect()?;
        let input = output.try_clone()?;
        let start = Instant::now();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| self.read_replies(input));
            for piece in self.bytes.chunks(WRITE) {
                output.write_all(piece)?;
            }
            reader.join().expect("the reader panicked")
        })?;
        Ok(start.elapsed())
    }

    /// Reads to the end even after a failure: unread replies would stop memcached, and us with it.
    fn read_replies(&self, input: Stream) -> Result<()> {
        let mut lines = BufReader::new(input).lines();
        let (mut ended, mut failed) = (0, None);
        while ended < self.batches {
            match lines.next().transpose()? {
                Some(line) if line == "MN" => ended += 1,
                Some(line) => failed = failed.or(Some(line)),
                None => return Err("memcached closed the connection".into()),
            }
        }
        failed.map_or(Ok(()), |line| Err(format!("a quiet set was answered: {line}").into()))
    }
}

/// `set`, wait for `STORED`, next: the time for all keys, reckoned from a sample.
pub fn set_at_a_time(memcached: &Memcached, expected: &Expected) -> Result<Duration> {
    let sample = expected.keys().min(NAIVE_SAMPLE);
    let pairs: Vec<(String, String)> = (0..sample).map(|n| expected.pair(n)).collect();
    let mut stream = BufReader::new(memcached.connect()?);
    let mut line = String::new();
    let start = Instant::now();
    for (key, value) in &pairs {
        write!(stream.get_mut(), "{}", format_args!("set {key} 0 0 {}\r\n{value}\r\n", value.len()))?;
        line.clear();
        stream.read_line(&mut line)?;
        if line != "STORED\r\n" {
            return Err(format!("set {key}: {line:?}").into());
        }
    }
    Ok(start.elapsed().mul_f64(expected.keys() as f64 / sample as f64))
}
