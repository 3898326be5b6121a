//! `wazuh`: an integration of Wazuh. The alert file in, one look-up in memcached, the
//! answer to Wazuh's queue; all within the times that the configuration gives.
//!
//! Wazuh starts it for every alert and waits for it, and takes its exit code for that
//! of an integration of its own (see [`exit`]).

use crate::cache::fleet::{Fleet, addresses, ring};
use crate::cli;
use crate::config::{self, Config, Memcached, Span};
use crate::error::{Error, Kind, Result};
use crate::lookup;
use crate::wazuh::answer::{failed, found, hits};
use crate::wazuh::datagram::{MAX_DATAGRAM, header};
use crate::wazuh::{Alert, Hit, Wanted, exit};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Wazuh's own alerts have 64 kB; what is so much larger is another file.
const MAX_FILE: u64 = 8 << 20;

/// Linux' number for a socket of another type; the standard library has no name for it.
const EPROTOTYPE: i32 = 91;

/// Looks the alert up. What Wazuh should know comes back as an exit code, not as an error.
pub(super) fn run(config: &Config, flags: &cli::Wazuh) -> Result<u8> {
    let path = flags.alert.display();
    let bytes = match bytes_of(&flags.alert) {
        Ok(bytes) => bytes,
        Err(e) => {
            log::error!("cannot read the alert file {path}: {e}");
            return Ok(exit::NO_FILE);
        }
    };
    let alert = match Alert::parse(&bytes) {
        Ok(alert) => alert,
        Err(why) => {
            log::error!("the alert file {path}: {why}");
            return Ok(exit::NOT_JSON);
        }
    };
    if alert.is_ours() {
        log::debug!("an alert about an answer of ours: nothing is looked up");
        return Ok(exit::DONE);
    }
    let wanted = alert.wanted(&config.wazuh.fields);
    for w in &wanted {
        log::debug!("{}: {:?}", w.field, w.shown);
    }
    if wanted.is_empty() {
        return Ok(exit::DONE);
    }
    let header = header(&alert.agent());
    let bug = |e: serde_json::Error| Error::new(Kind::Bug, format!("JSON cannot be written: {e}"));
    let (text, code) = match look_up_in_time(&config.memcached, wanted, config.wazuh.timeout) {
        Ok(hits) => match found(&alert, &hits, MAX_DATAGRAM - header.len()).map_err(bug)? {
            Some(text) => (text, exit::DONE),
            None => return Ok(exit::DONE),
        },
        Err(e) => {
            log::error!("{e}");
            (failed(&e.to_string()).map_err(bug)?, exit::NO_RESPONSE)
        }
    };
    log::debug!("{header}{text}");
    if let Err(e) = send(config.wazuh.queue(), &format!("{header}{text}"), config.wazuh.timeout.duration()) {
        log::error!("Wazuh's queue {}: {}", config.wazuh.queue().display(), said(&e));
        return Ok(if code == exit::DONE { exit::SOCKET } else { code });
    }
    Ok(code)
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("larger than {MAX_FILE} bytes, so it is no alert")));
    }
    Ok(bytes)
}

/// Asks within `timeout`. The servers of `replicate` are asked one after the other until
/// one answers: each holds everything, and one that hangs must leave time for the next.
/// What an earlier one did not use of its share is left to the later ones.
fn look_up_in_time(memcached: &Memcached, wanted: Vec<Wanted>, timeout: Span) -> Result<Vec<Hit>> {
    let wanted = Arc::from(wanted);
    let all = addresses(memcached)?;
    if all.len() == 1 || ring(memcached, &all).is_some() {
        let late = || format!("memcached gave no answer within {timeout} (wazuh.timeout)");
        return look_up_within(memcached.clone(), &wanted, timeout.duration(), late);
    }
    let deadline = Instant::now() + timeout.duration();
    let mut silent = Vec::new();
    for (server, left) in memcached.servers.iter().zip((1..=all.len() as u32).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let late = || {
            let seconds = share.as_secs_f64();
            format!("memcached {server}: it gave no answer within {seconds:.1} s (its share of wazuh.timeout)")
        };
        match look_up_within(Memcached { servers: vec![server.clone()], ..memcached.clone() }, &wanted, share, late) {
            Err(e) if e.kind() == Kind::Unavailable => silent.push(e.to_string()),
            other => return other,
        }
    }
    Err(Error::new(Kind::Unavailable, silent.join("\n")))
}

/// The look-up in a thread of its own, since no single time-out bounds a name that is
/// looked up, a connection and several answers together. One that is late is left
/// behind and ends with the process; `late` says what was too short for it.
fn look_up_within(
    memcached: Memcached,
    wanted: &Arc<[Wanted]>,
    time: Duration,
    late: impl Fn() -> String,
) -> Result<Vec<Hit>> {
    let (done, answer) = mpsc::channel();
    let wanted = wanted.clone();
    thread::spawn(move || {
        // Nobody waits any more for an answer that is late.
        let _ = done.send(look_up(&memcached, &wanted));
    });
    answer.recv_timeout(time).unwrap_or_else(|_| Err(Error::new(Kind::Unavailable, late())))
}

fn look_up(memcached: &Memcached, wanted: &[Wanted]) -> Result<Vec<Hit>> {
    let mut fleet = Fleet::open(memcached)?;
    let keys = fleet.keys().clone();
    let names: Vec<&'static str> = memcached.context.iter().map(|field| field.name()).collect();
    let mut all = Vec::new();
    // Answers come in the order of the values.
    let mut asked = wanted.iter();
    lookup::look_up(&mut fleet, &keys, wanted.iter().map(|w| Ok(w.asked.clone())), |mut found| {
        found.name_fields(&names);
        if let Some(wanted) = asked.next() {
            all.extend(hits(wanted, found.matches, &keys));
        }
        Ok(())
    })?;
    if all.is_empty() && fleet.get(vec![keys.last_load()])?.iter().all(Option::is_none) {
        let message = "memcached holds no complete load, so nothing can be found in it; run `misp2memcached load`";
        return Err(Error::new(Kind::Unavailable, message));
    }
    Ok(all)
}

fn send(queue: &Path, datagram: &str, timeout: Duration) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(timeout))?;
    socket.connect(queue)?;
    socket.send(datagram.as_bytes()).map(drop)
}

/// Whether answers could be sent, for `check`: the queue is there and takes a connection.
/// Nothing is sent. `None` where nobody named it and there is no Wazuh manager either.
pub(super) fn try_queue(config: &config::Wazuh) -> Option<Result<String>> {
    let queue = config.queue();
    if config.queue.is_none() && fs::symlink_metadata(queue).is_err() {
        return None;
    }
    let wrong = |kind, why: String| Err(Error::new(kind, format!("{}: {why}", queue.display())));
    Some(match fs::metadata(queue) {
        Ok(found) if !found.file_type().is_socket() => wrong(Kind::Config, "no socket; correct wazuh.queue".into()),
        Err(e) => wrong(Kind::Unavailable, said(&e)),
        Ok(_) => match UnixDatagram::unbound().and_then(|socket| socket.connect(queue)) {
            Ok(()) => Ok(format!("{} takes answers", queue.display())),
            Err(e) => wrong(Kind::Unavailable, said(&e)),
        },
    })
}

/// What to do about it, where that is known.
fn said(e: &io::Error) -> String {
    let hint = match e.kind() {
        ErrorKind::NotFound => "; is this the manager's machine, and does wazuh.queue name its queue?",
        ErrorKind::ConnectionRefused => "; is the Wazuh manager running?",
        ErrorKind::PermissionDenied => "; only the user and the group wazuh may write to it",
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "; it is full: the manager does not keep up with its events",
        _ if e.raw_os_error() == Some(EPROTOTYPE) => "; it takes no datagrams, so it is no queue of Wazuh's",
        _ => "",
    };
    format!("{e}{hint}")
}
