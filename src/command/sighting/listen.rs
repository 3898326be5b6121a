//! `--listen`: takes JSON lines on a socket until a signal comes. Three hands that do
//! not wait for each other: readers of connections, one that takes what they read
//! into the spool, one that sends what waits there.
//!
//! A line counts as taken when it is on the disk, within a second of its arrival. The
//! protocol has no answers, so whoever sends does not know.

use super::intake::Intake;
use super::report::Report;
use super::send::Sending;
use super::{Read, Terms};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::misp::client::local_now;
use crate::sighting::input::{self, Defaults};
use crate::sighting::units::{Unit, Units};
use std::fs;
use std::io::{self, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// Connections at once: each costs a thread. Further ones are closed.
const MAX_CONNECTIONS: usize = 64;

/// Lines that wait to be taken; beyond it readers wait, and with them those who send.
const MAX_READ: usize = 1_000;

/// Sightings that are taken together at most.
const MAX_TAKEN: usize = 2_000;

/// How long others are waited for, so that they are taken together.
const GATHER: Duration = Duration::from_millis(200);

/// How soon a signal, a new connection or a sighting of another run is noticed.
const POLL: Duration = Duration::from_millis(100);

/// The first wait after MISP could not be reached; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest such wait.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The pause where MISP answers and some wait all the same.
const LEFT_OVER: Duration = Duration::from_secs(5);

/// How often the list of refusals begins anew.
const RENEWED: Duration = Duration::from_secs(600);

/// After the signal a connection may go on to send for so long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// User and group may write to the socket.
const SOCKET_MODE: u32 = 0o660;

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Socket {
    fn open(address: &str) -> Result<Socket> {
        let cannot = |why: &dyn std::fmt::Display| Error::new(Kind::Usage, format!("--listen {address}: {why}"));
        if let Some(path) = address.strip_prefix("unix:") {
            return unix(Path::new(path)).map_err(|e| cannot(&e));
        }
        let all: Vec<SocketAddr> = address.to_socket_addrs().map_err(|e| cannot(&e))?.collect();
        if all.iter().any(|a| !a.ip().is_loopback()) {
            log::warn!("--listen {address}: whoever reaches it can report sightings; there is no password");
        }
        let listener = TcpListener::bind(&all[..]).map_err(|e| cannot(&e))?;
        listener.set_nonblocking(true).map_err(|e| cannot(&e))?;
        Ok(Socket::Tcp(listener))
    }

    fn name(&self) -> String {
        match self {
            Socket::Tcp(listener) => listener.local_addr().map_or_else(|e| e.to_string(), |a| a.to_string()),
            Socket::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }

    /// A new connection, if there is one.
    fn accept(&self) -> io::Result<Stream> {
        match self {
            Socket::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            Socket::Unix(listener, _) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Socket::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

fn unix(path: &Path) -> io::Result<Socket> {
    // One that nobody listens on was left by a run that was killed.
    if fs::metadata(path).is_ok_and(|m| m.file_type().is_socket()) && UnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    listener.set_nonblocking(true)?;
    Ok(Socket::Unix(listener, path.to_owned()))
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn prepare(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(POLL))),
            Stream::Unix(stream) => stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(POLL))),
        }
    }
}

impl io::Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(into),
            Stream::Unix(stream) => stream.read(into),
        }
    }
}

/// Listens until a signal comes; then everything that was read is sent or waits.
pub fn run(config: &Config, terms: &Terms, address: &str) -> Result<u8> {
    let socket = Socket::open(address)?;
    let mut intake = Intake::new(config, terms, terms.spool(config)?, false);
    let mut sending = Sending::new(config, terms)?;
    sending.be_impatient();
    log::info!("listening on {}", socket.name());
    let (lines, read) = mpsc::sync_channel(MAX_READ);
    let taken_all = Arc::new(AtomicBool::new(false));
    let sender = thread::spawn({
        let taken_all = Arc::clone(&taken_all);
        move || send(&mut sending, &taken_all)
    });
    let taker = thread::spawn(move || take(&mut intake, &read));
    accept(&socket, &lines, &terms.defaults, &taker, &sender);
    drop((socket, lines));
    let taken = taker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    taken_all.store(true, Ordering::Relaxed);
    let sent = sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (taken, sent) = (taken?, sent?);
    let report = Report {
        sent: sent.sent,
        waiting: sent.waiting,
        refused: taken.refused + sent.refused,
        unlisted: taken.unlisted + sent.unlisted,
        folded: taken.folded + sent.folded,
        ..taken
    };
    super::finish(&report, false)
}

/// Lets connections in until a signal comes, or one of the other hands ends; those that
/// were there by then too.
fn accept<A, B>(
    socket: &Socket,
    lines: &SyncSender<Read>,
    defaults: &Defaults,
    taker: &thread::JoinHandle<A>,
    sender: &thread::JoinHandle<B>,
) {
    let open = Arc::new(AtomicUsize::new(0));
    let mut ended: Option<Instant> = None;
    loop {
        if interrupt::requested() || taker.is_finished() || sender.is_finished() {
            ended.get_or_insert_with(Instant::now);
        }
        if ended.is_some_and(|at| at.elapsed() > LAST_WORDS) {
            break;
        }
        let stream = match socket.accept() {
            Ok(stream) => stream,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if ended.is_some() {
                    break;
                }
                thread::sleep(POLL);
                continue;
            }
            Err(e) => {
                log::warn!("a connection cannot be taken: {e}");
                thread::sleep(POLL);
                continue;
            }
        };
        if open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            log::warn!("more than {MAX_CONNECTIONS} connections: one is closed");
            continue;
        }
        let (lines, defaults) = (lines.clone(), defaults.clone());
        let guest = Guest::enter(&open);
        thread::spawn(move || {
            let _guest = guest;
            connection(stream, &lines, &defaults);
        });
    }
    // Readers notice the signal, and finish with what is at hand.
    let begun = Instant::now();
    while open.load(Ordering::Relaxed) > 0 && begun.elapsed() < LAST_WORDS + 5 * POLL {
        thread::sleep(POLL / 10);
    }
}

/// Counts a connection for as long as it is there.
struct Guest(Arc<AtomicUsize>);

impl Guest {
    fn enter(open: &Arc<AtomicUsize>) -> Guest {
        open.fetch_add(1, Ordering::Relaxed);
        Guest(Arc::clone(open))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads one connection to its end; after the signal only what is there already.
fn connection(stream: Stream, lines: &SyncSender<Read>, defaults: &Defaults) {
    if stream.prepare().is_err() {
        return;
    }
    let mut signal: Option<Instant> = None;
    for unit in Units::of_lines(BufReader::new(stream)) {
        if interrupt::requested() && signal.get_or_insert_with(Instant::now).elapsed() > LAST_WORDS {
            return;
        }
        let read: Vec<Read> = match unit {
            Ok((number, Unit::Text(text))) => {
                let defaults = Defaults { now: local_now(), ..defaults.clone() };
                let all = input::read(&text, false, &defaults).into_iter();
                all.map(|one| (format!("line {number} of a connection"), one)).collect()
            }
            Ok((number, Unit::TooLong(_))) => {
                vec![(format!("line {number} of a connection"), Err("a line that is too long".to_owned()))]
            }
            Ok((_, Unit::Pause)) => Vec::new(),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if interrupt::requested() {
                    return;
                }
                continue;
            }
            Err(e) => {
                log::debug!("a connection broke off: {e}");
                return;
            }
        };
        for one in read {
            // Nobody takes any more: the run ends.
            if lines.send(one).is_err() {
                return;
            }
        }
    }
}

/// A report names so many refusals and no more; of one that stays the list begins anew
/// from time to time, so that the log goes on naming them.
struct Named(Instant);

impl Default for Named {
    fn default() -> Named {
        Named(Instant::now())
    }
}

impl Named {
    fn renew(&mut self, report: &mut Report) {
        if self.0.elapsed() > RENEWED {
            self.0 = Instant::now();
            report.refusals.clear();
        }
    }
}

/// Takes what was read, until there are no readers any more.
fn take(intake: &mut Intake, read: &Receiver<Read>) -> Result<Report> {
    let (mut report, mut named) = (Report::default(), Named::default());
    loop {
        let mut batch = match read.recv() {
            Ok(first) => vec![first],
            Err(_) => return Ok(report),
        };
        let begun = Instant::now();
        while batch.len() < MAX_TAKEN {
            match read.recv_timeout(GATHER.saturating_sub(begun.elapsed())) {
                Ok(one) => batch.push(one),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        intake.take(batch, &mut report)?;
        intake.forget_numbers();
        named.renew(&mut report);
    }
}

/// Sends what waits, also of other runs, until all is taken; then once more.
fn send(sending: &mut Sending, taken_all: &AtomicBool) -> Result<Report> {
    let mut report = Report::default();
    let (mut pause, mut named) = (Duration::ZERO, Named::default());
    let mut tried = Instant::now();
    loop {
        let last = taken_all.load(Ordering::Relaxed);
        if last || (!interrupt::requested() && tried.elapsed() >= pause && sending.waiting()? > 0) {
            match sending.run(&mut report, &[]) {
                Ok(()) => pause = if sending.waiting()? > 0 { LEFT_OVER } else { Duration::ZERO },
                Err(e) if e.kind() == Kind::CannotWrite => return Err(e),
                Err(e) => {
                    pause = (pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
                    log::warn!("{e}; {} sightings wait, the next try is in {} s", sending.waiting()?, pause.as_secs());
                }
            }
            tried = Instant::now();
            named.renew(&mut report);
        }
        if last {
            report.waiting = sending.waiting()?;
            return Ok(report);
        }
        thread::sleep(POLL);
    }
}
