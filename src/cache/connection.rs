//! One connection to one server: bytes out while bytes come in.
//!
//! The socket is non-blocking, so replies are read whenever they are there, also
//! in the middle of writing: memcached stops reading once about 1,400 of its
//! replies wait unread on a unix socket (measured with 1.6.18), and a writer that
//! waits for it would wait for ever.

use super::address::Address;
use super::dialer::{Dialer, Login};
use super::reply::{self, Garbage, Reply};
use super::stream::{Stream, waits};
use crate::error::{Error, Kind, Result};
use memcache::exp::ReturnCode;
use std::io;
use std::time::{Duration, Instant};

/// Bytes asked of the socket at once.
const READ_SIZE: usize = 64 * 1024;

/// How memcached's crawler, which lists keys, declines: it does one thing at a time,
/// it may be off, and it has nothing to do on an empty server.
const NOT_NOW: [&[u8]; 4] = [b"BUSY", b"LOCKED", b"NOTSTARTED", b"CLIENT_ERROR lru crawler disabled"];

/// What a server with `-Y` answers before the login.
const UNAUTHENTICATED: &str = "CLIENT_ERROR unauthenticated";

/// An open connection.
pub struct Connection {
    stream: Stream,
    address: Address,
    timeout: Duration,
    /// What is being sent, and how much of it is.
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    /// How much of `input` has been handed out.
    taken: usize,
    /// How much of `input` holds bytes.
    filled: usize,
    /// Whether the server has said anything yet.
    heard: bool,
}

impl Connection {
    /// Connects and logs in; each wait of the connection is bounded by the dialer's time-out.
    ///
    /// # Errors
    /// [`Kind::Unavailable`], naming the address.
    pub fn open(address: &Address, dialer: &Dialer) -> Result<Connection> {
        let stream = Stream::open(address, dialer.tls.as_ref(), dialer.timeout).map_err(|e| {
            let text = format!("memcached {address} cannot be reached: {e}; is it running, and do memcached.host and memcached.port (or memcached.servers) name it?");
            // What TLS says tells what to change.
            let text = if e.kind() == io::ErrorKind::Other { format!("memcached {address}: {e}") } else { text };
            Error::new(Kind::Unavailable, text)
        })?;
        let mut connection = Connection {
            stream,
            address: address.clone(),
            timeout: dialer.timeout,
            out: Vec::new(),
            written: 0,
            input: vec![0; READ_SIZE],
            taken: 0,
            filled: 0,
            heard: false,
        };
        if let Some(login) = &dialer.login {
            connection.log_in(login)?;
        }
        Ok(connection)
    }

    /// Gives user and password to a server that asks for them.
    fn log_in(&mut self, login: &Login) -> Result<()> {
        self.out.extend_from_slice(b"mn\r\n");
        if self.one_line()? != UNAUTHENTICATED {
            // Without -Y it would store the password as a key.
            log::warn!("memcached {} asks for no password (it runs without -Y), so none was sent", self.address);
            return Ok(());
        }
        self.out.clear();
        self.written = 0;
        login.command(&mut self.out);
        let answer = self.one_line();
        self.out.fill(0);
        if answer? == "STORED" {
            return Ok(());
        }
        Err(self.broken(
            "it refuses the user or the password; check memcached.username and memcached.password_file against its authfile (-Y)",
        ))
    }

    /// Sends what stands in `out` and gives the one line that is the answer.
    fn one_line(&mut self) -> Result<String> {
        let mut answer = String::new();
        self.talk(|bytes| {
            let Some((line, used)) = reply::line(bytes)? else { return Ok(None) };
            answer = String::from_utf8_lossy(line).into_owned();
            Ok(Some((used, true)))
        })?;
        Ok(answer)
    }

    /// How long a wait may be.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The server's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends `commands`, which end with `mn`, and hands each reply before the `MN` to `each`.
    /// `commands` is empty afterwards.
    ///
    /// # Errors
    /// [`Kind::Unavailable`]: the server closed, stalled longer than the time-out or
    /// sent what is no reply. The connection is of no more use then.
    pub fn exchange(&mut self, commands: &mut Vec<u8>, each: impl FnMut(Reply<'_>)) -> Result<()> {
        self.begin(commands)?;
        self.complete(each)
    }

    /// Takes `commands`, which end with `mn`, and sends as much of them as the
    /// socket takes at once. [`Connection::complete`] has to follow; in between the
    /// next commands can be made while the server works on these.
    ///
    /// # Errors
    /// As [`Connection::exchange`].
    pub fn begin(&mut self, commands: &mut Vec<u8>) -> Result<()> {
        debug_assert!(commands.ends_with(b"mn\r\n"));
        debug_assert!(self.written == self.out.len());
        self.out.clear();
        self.written = 0;
        std::mem::swap(&mut self.out, commands);
        self.write().map(drop)
    }

    /// Sends the rest of what was begun and hands each reply before the `MN` to `each`.
    ///
    /// # Errors
    /// As [`Connection::exchange`].
    pub fn complete(&mut self, mut each: impl FnMut(Reply<'_>)) -> Result<()> {
        self.talk(|bytes| match reply::parse(bytes)? {
            None => Ok(None),
            Some((Reply::Meta { code: ReturnCode::Mn, .. }, used)) => Ok(Some((used, true))),
            Some((reply, used)) => {
                each(reply);
                Ok(Some((used, false)))
            }
        })
    }

    /// Sends a text command whose answer is lines up to `END`, such as `stats`, or the
    /// one line with which the crawler says that it cannot list keys now.
    ///
    /// # Errors
    /// As [`Connection::exchange`]; also where the server refuses the command.
    pub fn lines(&mut self, command: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
        self.out.clear();
        self.out.extend_from_slice(command);
        self.written = 0;
        self.talk(|bytes| {
            let Some((line, used)) = reply::line(bytes)? else { return Ok(None) };
            if line == b"END" || line == b"RESET" || line == b"OK" {
                return Ok(Some((used, true)));
            }
            if NOT_NOW.iter().any(|words| line.starts_with(words)) {
                each(line);
                return Ok(Some((used, true)));
            }
            if line.starts_with(b"ERROR") || line.starts_with(b"CLIENT_ERROR") || line.starts_with(b"SERVER_ERROR") {
                return Err(Garbage(String::from_utf8_lossy(line).into_owned()));
            }
            each(line);
            Ok(Some((used, false)))
        })
    }

    /// Writes as much as the socket takes; true if that was anything.
    fn write(&mut self) -> Result<bool> {
        let mut progress = false;
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(self.broken("it takes no more bytes")),
                Ok(n) => {
                    self.written += n;
                    progress = true;
                }
                Err(e) if waits(&e) => break,
                Err(e) => return Err(self.broken(&e.to_string())),
            }
        }
        progress |= self.stream.push().map_err(|e| self.broken(&e.to_string()))?;
        Ok(progress)
    }

    /// Writes what is left to write and reads until `next` says that the answer is
    /// complete. `next` gets the unread bytes and says how many it took and whether
    /// that was the end.
    fn talk(&mut self, mut next: impl FnMut(&[u8]) -> Result<Option<(usize, bool)>, Garbage>) -> Result<()> {
        let mut done = false;
        let mut last_progress = Instant::now();
        loop {
            let mut progress = self.write()?;
            match self.fill() {
                Ok(0) => return Err(self.closed("it closed the connection")),
                Ok(_) => {
                    self.heard = true;
                    progress = true;
                }
                Err(e) if waits(&e) => {}
                Err(e) => return Err(self.closed(&e.to_string())),
            }
            while !done {
                match next(&self.input[self.taken..self.filled]) {
                    Ok(Some((used, end))) => {
                        self.taken += used;
                        done = end;
                    }
                    Ok(None) => break,
                    Err(Garbage(what)) if what == UNAUTHENTICATED => {
                        let todo = "set memcached.username and memcached.password_file";
                        return Err(self.broken(&format!("it asks for a user and a password; {todo}")));
                    }
                    Err(Garbage(what)) => return Err(self.broken(&format!("it answered {what:?}"))),
                }
            }
            let writing = self.written < self.out.len() || self.stream.holds_unsent();
            if done && !writing {
                return Ok(());
            }
            if progress {
                last_progress = Instant::now();
            } else if last_progress.elapsed() > self.timeout {
                let text = format!("it has been silent for {} s (memcached.timeout)", self.timeout.as_secs());
                return Err(self.broken(&text));
            }
            if !self.stream.holds_unread() {
                self.stream.wait(writing).map_err(|e| self.broken(&e.to_string()))?;
            }
        }
    }

    /// Reads what is there behind the unread bytes.
    fn fill(&mut self) -> io::Result<usize> {
        if self.taken == self.filled {
            self.taken = 0;
            self.filled = 0;
        } else if self.taken > 0 && self.filled == self.input.len() {
            self.input.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
        }
        if self.filled == self.input.len() {
            // One reply larger than the buffer: memcached's values are at most 1 GiB,
            // ours at most the item limit, so this stays small.
            self.input.resize(self.input.len() * 2, 0);
        }
        let n = self.stream.read(&mut self.input[self.filled..])?;
        self.filled += n;
        Ok(n)
    }

    /// An end of the connection; what is closed at once was not spoken to as it wants.
    fn closed(&self, what: &str) -> Error {
        let hint = match (self.heard, &self.stream) {
            (false, Stream::Tcp(_)) => "; if it wants TLS (-Z), set memcached.tls",
            (false, Stream::Tls(_)) => "; if it wants a client certificate, set memcached.tls.cert_file and key_file",
            _ => "",
        };
        self.broken(&format!("{what}{hint}"))
    }

    fn broken(&self, what: &str) -> Error {
        Error::new(Kind::Unavailable, format!("memcached {}: {what}", self.address))
    }
}
