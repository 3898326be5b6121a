//! The sample MISP on a socket: one thread a connection, keep-alive, a log of
//! what was asked, a clock that can be set, and faults on demand.
//!
//! It knows sockets and threads; what is answered is [`answer()`]'s work.

use super::answer::{Options, answer};
use super::events;
use super::fault::{Fault, Hook, Plan};
use super::http::{self, Request};
use super::sightings;
use super::world::World;
use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A running sample MISP. It stops, and its threads end, when it is dropped.
pub struct SampleMisp {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    world: Arc<Mutex<World>>,
    key: String,
    state: Mutex<State>,
    /// Wakes whoever waits on purpose, when the server stops.
    stopped: Condvar,
}

#[derive(Default)]
struct State {
    stopping: bool,
    now: Option<u64>,
    fault: Option<Arc<Hook>>,
    log: Vec<Request>,
    next_connection: u64,
    connections: HashMap<u64, TcpStream>,
}

/// A panic elsewhere leaves nothing half done here: go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The path of a request, without its query.
fn path_of(request: &Request) -> &str {
    request.path.split('?').next().unwrap_or_default()
}

impl SampleMisp {
    /// Serves `world` on a bound listener (port 0 gives a free one) to whoever has `key`.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start(listener: TcpListener, world: Arc<Mutex<World>>, key: impl Into<String>) -> io::Result<SampleMisp> {
        let address = listener.local_addr()?;
        let state = Mutex::new(State::default());
        let shared = Arc::new(Shared { world, key: key.into(), state, stopped: Condvar::new() });
        let acceptor = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Ok(SampleMisp { shared, address, acceptor: Some(acceptor) })
    }

    /// `http://ADDRESS:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The key that is let in.
    pub fn key(&self) -> &str {
        &self.shared.key
    }

    /// The world it answers from, to look at or to change. Answers wait while it is held.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.shared.world)
    }

    /// Sets the clock (the `Date` header, relative times) to Unix seconds; `None`: the system's.
    pub fn set_now(&self, now: Option<u64>) {
        lock(&self.shared.state).now = now;
    }

    /// Asks `hook` for a fault at each request from now on.
    pub fn set_fault(&self, hook: Hook) {
        lock(&self.shared.state).fault = Some(Arc::new(hook));
    }

    /// Answers rightly again.
    pub fn clear_fault(&self) {
        lock(&self.shared.state).fault = None;
    }

    /// All requests so far, in the order they came.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.state).log.clone()
    }

    /// How many requests had this path.
    pub fn count(&self, path: &str) -> usize {
        lock(&self.shared.state).log.iter().filter(|r| path_of(r) == path).count()
    }

    /// Empties the log, and counts from 1 again.
    pub fn forget_requests(&self) {
        lock(&self.shared.state).log.clear();
    }
}

impl Drop for SampleMisp {
    fn drop(&mut self) {
        {
            let mut state = lock(&self.shared.state);
            state.stopping = true;
            for connection in state.connections.values() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        self.shared.stopped.notify_all();
        // The acceptor wakes up for a connection only.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let Some(number) = shared.enter(&stream) else { break };
        let shared = shared.clone();
        threads.retain(|thread| !thread.is_finished());
        threads.push(std::thread::spawn(move || {
            // What ends a connection early is the peer's affair.
            let _ = serve(&stream, &shared);
            shared.leave(number);
        }));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// Answers one request after the other until either side has enough.
fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(request) = http::read_request(stream)? {
        let fault = shared.fault(&request);
        if fault == Fault::Reset {
            return Ok(());
        }
        http::take_last_byte(stream)?;
        let plan = Plan::new(fault, || shared.answer(&request));
        shared.wait(plan.wait);
        let Some(response) = plan.answer else { return Ok(()) };
        let asked_to_close = request.header("Connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
        let keep = plan.keep && !asked_to_close;
        // A connection that breaks off in the body promised to stay, as a real one does.
        http::send(stream, &response.head(shared.now(), !asked_to_close))?;
        let body = &response.body[..plan.body];
        match plan.pieces {
            None => http::send(stream, body)?,
            Some((piece, pause)) => {
                for part in body.chunks(piece) {
                    http::send(stream, part)?;
                    shared.wait(pause);
                }
            }
        }
        if !keep {
            return Ok(());
        }
    }
    Ok(())
}

impl Shared {
    /// Notes a new connection, so that stopping can end it; `None`: stopping.
    fn enter(&self, stream: &TcpStream) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.stopping {
            return None;
        }
        let number = state.next_connection;
        state.next_connection += 1;
        if let Ok(clone) = stream.try_clone() {
            state.connections.insert(number, clone);
        }
        Some(number)
    }

    fn leave(&self, number: u64) {
        lock(&self.state).connections.remove(&number);
    }

    /// Notes a request and asks for its fault.
    fn fault(&self, request: &Request) -> Fault {
        let (hook, nth) = {
            let mut state = lock(&self.state);
            state.log.push(request.clone());
            let nth = state.log.iter().filter(|r| path_of(r) == path_of(request)).count();
            (state.fault.clone(), nth)
        };
        hook.map_or(Fault::None, |hook| hook(request, nth))
    }

    fn answer(&self, request: &Request) -> super::http::Response {
        let options = Options::new(&self.key, self.now());
        let mut world = lock(&self.world);
        events::answer(request, &mut world, &options)
            .or_else(|| sightings::answer(request, &mut world, &options))
            .unwrap_or_else(|| answer(request, &world, &options))
    }

    fn now(&self) -> u64 {
        let set = lock(&self.state).now;
        set.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// Waits, but not longer than the server lives.
    fn wait(&self, time: Duration) {
        if !time.is_zero() {
            let state = lock(&self.state);
            drop(self.stopped.wait_timeout_while(state, time, |state| !state.stopping));
        }
    }
}
