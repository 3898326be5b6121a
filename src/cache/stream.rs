//! The socket to one server, whatever kind it is: bytes in, bytes out, without waiting.

use super::address::{Address, Place};
use super::tls::{Tls, TlsStream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// An open, non-blocking socket.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Connects within `timeout`.
    pub(super) fn open(address: &Address, tls: Option<&Tls>, timeout: Duration) -> io::Result<Stream> {
        let stream = match (&address.place, tls) {
            // The configuration allows no TLS here.
            (Place::Unix(path), _) => Stream::Unix(UnixStream::connect(path)?),
            (Place::Tcp(host, port), None) => Stream::Tcp(connect(host, *port, timeout)?),
            (Place::Tcp(host, port), Some(tls)) => {
                Stream::Tls(Box::new(tls.handshake(connect(host, *port, timeout)?, host, timeout)?))
            }
        };
        match &stream {
            Stream::Unix(s) => s.set_nonblocking(true)?,
            Stream::Tcp(s) => s.set_nonblocking(true)?,
            Stream::Tls(s) => s.socket().set_nonblocking(true)?,
        }
        Ok(stream)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.read(buffer),
            Stream::Unix(s) => s.read(buffer),
            Stream::Tls(s) => s.read(buffer),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.write(bytes),
            Stream::Unix(s) => s.write(bytes),
            Stream::Tls(s) => s.write(bytes),
        }
    }

    /// Sends what TLS holds back; true if that was anything.
    pub(super) fn push(&mut self) -> io::Result<bool> {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => Ok(false),
            Stream::Tls(s) => s.push(),
        }
    }

    /// Whether TLS holds bytes that were written but are not sent.
    pub(super) fn holds_unsent(&self) -> bool {
        matches!(self, Stream::Tls(s) if s.holds_unsent())
    }

    /// Whether TLS holds bytes that came but were not read: the socket may have no more.
    pub(super) fn holds_unread(&self) -> bool {
        matches!(self, Stream::Tls(s) if s.holds_unread())
    }

    /// Waits until there is something to read (or room to write), a second at most.
    pub(super) fn wait(&self, writing: bool) -> io::Result<()> {
        let mut interest = PollFlags::IN;
        if writing {
            interest |= PollFlags::OUT;
        }
        let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
        match poll(&mut [PollFd::from_borrowed_fd(self.fd(), interest)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(s) => s.as_fd(),
            Stream::Unix(s) => s.as_fd(),
            Stream::Tls(s) => s.socket().as_fd(),
        }
    }
}

/// Whether an error only says that nothing can be done at this moment.
pub(super) fn waits(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Tries each address of the name in turn.
fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}
