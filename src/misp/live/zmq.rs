//! MISP's ZeroMQ publisher: one connection, made again whenever it breaks.
//!
//! It knows topics, frames and signs of life, and nothing of what a message says. The
//! library would connect again by itself, but after up to 30 s and without a word;
//! here a socket is thrown away with its connection, since a connection that broke is
//! a gap in what was heard, and the sink has to be told.

use super::message::body;
use super::source::{Sink, Stop};
use crate::config::Zmq;
use std::pin::pin;
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;
use zeromq::{Socket, SocketEvent, SocketOptions, SocketRecv, SubSocket};

/// What changes indicators, and the sign of life; each with the blank that ends it, since `misp_json` begins them
/// all. The others are floods: an audit entry for nearly everything that anybody does, and each sighting.
pub const TOPICS: [&str; 6] = [
    "misp_json_attribute ",
    "misp_json_event ",
    "misp_json ",
    "misp_json_tag ",
    "misp_json_object ",
    "misp_json_self ",
];

/// All topics of MISP.
const ANY: &str = "misp_json";

/// How often `stop` is looked at, and whether the connection is still there.
const TICK: Duration = Duration::from_millis(50);

/// How long things may take.
struct Patience {
    /// To connect and to agree on the protocol.
    connect: Duration,
    /// Without a message of the wanted topics, before the others are listened to as well. MISP's sign of life comes
    /// after 10 s without a message of *any* topic: where somebody logs in every 5 s, there is none.
    quiet: Duration,
    /// Without any message, until the line is given up: three signs of life and their delay.
    silence: Duration,
    /// Before the second try to connect; each further wait is twice as long.
    shortest: Duration,
    /// The longest wait. A connection that lasted as long counts as one that held.
    longest: Duration,
}

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    quiet: Duration::from_secs(12),
    silence: Duration::from_secs(35),
    shortest: Duration::from_millis(100),
    longest: Duration::from_secs(3),
};

/// Hands over what MISP publishes, until `stop`. The sink must take a message without delay: the publisher keeps a
/// thousand messages for one who does not read, and drops the rest without a word.
pub fn run(config: &Zmq, sink: &dyn Sink, stop: &Stop) {
    Line::new(config, sink, stop, PATIENCE).run();
}

struct Line<'a> {
    /// Without the brackets that an IPv6 address may stand in.
    host: &'a str,
    port: u16,
    sink: &'a dyn Sink,
    stop: &'a Stop,
    patience: Patience,
    /// Since when this connection is up.
    up_since: Option<Instant>,
    /// What the sink was told last: up or down.
    told: Option<bool>,
    /// Messages handed over so far.
    number: u64,
}

impl<'a> Line<'a> {
    fn new(config: &'a Zmq, sink: &'a dyn Sink, stop: &'a Stop, patience: Patience) -> Line<'a> {
        let host = config.host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&config.host);
        Line { host, port: config.port, sink, stop, patience, up_since: None, told: None, number: 0 }
    }

    fn run(mut self) {
        let mut wait = self.patience.shortest;
        while !self.stop.is_set() {
            // All that belongs to a connection ends with its runtime, the library's own tasks among it.
            let why = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let why = runtime.block_on(self.connection());
                    // Without waiting for the resolver, which may take its time for a name.
                    runtime.shutdown_background();
                    why
                }
                Err(e) => Some(format!("cannot be reached: {e}")),
            };
            let Some(why) = why else { return };
            let held = self.up_since.take().is_some_and(|up| up.elapsed() >= self.patience.longest);
            self.tell_down(&format!("tcp://{}:{} {why}", self.host, self.port));
            if held {
                wait = Duration::ZERO;
            }
            self.pause(wait);
            wait = (wait * 2).clamp(self.patience.shortest, self.patience.longest);
        }
    }

    /// Once for each change: tries that fail are not told one by one.
    fn tell_down(&mut self, why: &str) {
        if self.told != Some(false) {
            self.told = Some(false);
            self.sink.down(why);
        } else {
            log::debug!("{why}");
        }
    }

    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.stop.is_set() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(TICK));
        }
    }

    /// One connection from its first byte to its last; why it ended, or nothing where `stop` ended it.
    async fn connection(&mut self) -> Option<String> {
        let mut socket = match unless(self.stop, self.connect()).await? {
            Ok(socket) => socket,
            Err(why) => return Some(why),
        };
        self.up_since = Some(Instant::now());
        self.told = Some(true);
        self.sink.up();
        self.listen(&mut socket).await
    }

    async fn connect(&self) -> Result<SubSocket, String> {
        let connect = self.patience.connect;
        let seconds = connect.as_secs_f32();
        // The library tries a refused connection again by itself and forgets why; a first one of ours tells.
        match timeout(connect, TcpStream::connect((self.host, self.port))).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => return Err(format!("cannot be reached: {e}; is MISP's setting Plugin.ZeroMQ_enable on?")),
            Err(_) => return Err(format!("cannot be reached: no answer within {seconds} s")),
        }
        let mut options = SocketOptions::default();
        options.connect_timeout(connect);
        let mut socket = SubSocket::with_options(options);
        let no_publisher = |e| format!("is no ZeroMQ publisher, or one that asks for a password: {e}");
        socket.connect(&format!("tcp://{}:{}", self.host, self.port)).await.map_err(no_publisher)?;
        for topic in TOPICS {
            match timeout(connect, socket.subscribe(topic)).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => return Err(no_publisher(e)),
                Err(_) => return Err(format!("takes no subscription within {seconds} s")),
            }
        }
        Ok(socket)
    }

    /// Hands over messages until the connection ends or `stop` is set.
    async fn listen(&mut self, socket: &mut SubSocket) -> Option<String> {
        let mut events = socket.monitor();
        let mut heard = Instant::now();
        let mut to_all = false;
        while !self.stop.is_set() {
            match timeout(TICK, socket.recv()).await {
                Ok(Ok(message)) => {
                    match message.get(0) {
                        Some(frame) if message.len() == 1 => {
                            self.number += 1;
                            self.sink.message(self.number, body(frame));
                        }
                        _ => self.sink.unreadable(&format!("it has {} frames, and MISP's have one", message.len())),
                    }
                    heard = Instant::now();
                    if to_all {
                        to_all = false;
                        self.widen(&mut *socket, false).await;
                    }
                    continue;
                }
                Ok(Err(e)) => return Some(format!("breaks off: {e}")),
                Err(_) => {}
            }
            if matches!(events.try_recv(), Ok(SocketEvent::Disconnected(_))) {
                return Some("has closed the connection".into());
            }
            let silent = heard.elapsed();
            if silent >= self.patience.silence {
                return Some(format!("has sent nothing for {} s, not even its sign of life", silent.as_secs()));
            }
            if silent >= self.patience.quiet && !to_all {
                to_all = true;
                self.widen(&mut *socket, true).await;
            }
        }
        None
    }

    /// Listens to all topics, or to those wanted alone again. Where it fails the connection is broken, and that shows.
    async fn widen(&self, socket: &mut SubSocket, wide: bool) {
        let asked = async { if wide { socket.subscribe(ANY).await } else { socket.unsubscribe(ANY).await } };
        match timeout(TICK, asked).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => log::debug!("{e}"),
            Err(_) => log::debug!("the publisher takes no subscription"),
        }
    }
}

/// What a future comes to, or nothing if `stop` is set before.
async fn unless<F: Future>(stop: &Stop, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    while !stop.is_set() {
        if let Ok(output) = timeout(TICK, future.as_mut()).await {
            return Some(output);
        }
    }
    None
}

#[cfg(test)]
#[path = "zmq_tests.rs"]
mod tests;
