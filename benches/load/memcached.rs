//! A real memcached of our own: started, asked, killed and started again at the
//! same address. It speaks the few commands that checks and baselines need.

use crate::Result;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long memcached may take to listen.
const START: Duration = Duration::from_secs(10);

/// Keys asked in one go: few enough that neither side's buffers fill.
const GET_BATCH: usize = 100;

/// Where it listens.
#[derive(Clone)]
pub enum Address {
    Tcp(u16),
    Unix(PathBuf),
}

/// A connection, either way.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// A second handle of the same connection.
    pub fn try_clone(&self) -> io::Result<Stream> {
        Ok(match self {
            Stream::Tcp(s) => Stream::Tcp(s.try_clone()?),
            Stream::Unix(s) => Stream::Unix(s.try_clone()?),
        })
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.read(buf),
            Stream::Unix(s) => s.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.write(buf),
            Stream::Unix(s) => s.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The server; killed when dropped.
pub struct Memcached {
    child: Child,
    address: Address,
    mebibytes: u64,
}

impl Memcached {
    /// Starts one with room for `mebibytes`, on a free TCP port or on a unix socket.
    pub fn start(socket: Option<PathBuf>, mebibytes: u64) -> Result<Memcached> {
        let address = match socket {
            Some(path) => Address::Unix(path),
            None => Address::Tcp(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()),
        };
        let child = spawn(&address, mebibytes)?;
        let mut memcached = Memcached { child, address, mebibytes };
        memcached.wait_until_it_listens()?;
        Ok(memcached)
    }

    /// Kills it and starts an empty one at the same address.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.child = spawn(&self.address, self.mebibytes)?;
        self.wait_until_it_listens()
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A new connection.
    pub fn connect(&self) -> io::Result<Stream> {
        Ok(match &self.address {
            Address::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        })
    }

    /// What `stats` says.
    pub fn stats(&self) -> Result<HashMap<String, String>> {
        let mut stream = BufReader::new(self.connect()?);
        stream.get_mut().write_all(b"stats\r\n")?;
        let mut stats = HashMap::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err("memcached closed the connection".into());
            }
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["END"] => return Ok(stats),
                ["STAT", name, value] => stats.insert(name.to_owned(), value.to_owned()),
                _ => None,
            };
        }
    }

    /// One number of `stats`.
    pub fn stat(&self, name: &str) -> Result<u64> {
        let stats = self.stats()?;
        Ok(stats.get(name).ok_or_else(|| format!("memcached has no stat {name}"))?.parse()?)
    }

    /// The values of some keys, in their order.
    pub fn get(&self, keys: &[String]) -> Result<Vec<Option<String>>> {
        let mut stream = BufReader::new(self.connect()?);
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(GET_BATCH) {
            let asked: String = keys.iter().map(|key| format!("mg {key} v\r\n")).collect();
            stream.get_mut().write_all(asked.as_bytes())?;
            for key in keys {
                let mut line = String::new();
                stream.read_line(&mut line)?;
                match line.split_whitespace().collect::<Vec<_>>()[..] {
                    ["EN"] => values.push(None),
                    ["VA", length, ..] => {
                        let mut value = vec![0; length.parse::<usize>()? + 2];
                        stream.read_exact(&mut value)?;
                        value.truncate(value.len() - 2);
                        values.push(Some(String::from_utf8_lossy(&value).into_owned()));
                    }
                    _ => return Err(format!("mg {key}: {line:?}").into()),
                }
            }
        }
        Ok(values)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            match self.connect() {
                Ok(_) => return Ok(()),
                Err(e) if start.elapsed() > START => return Err(format!("memcached does not listen: {e}").into()),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("memcached ended at once: {status}").into());
            }
        }
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(address: &Address, mebibytes: u64) -> Result<Child> {
    let mut command = Command::new("memcached");
    // The user counts only when root starts it, which memcached refuses without one.
    command.args(["-m", &mebibytes.to_string(), "-U", "0", "-u", "root"]).stdin(Stdio::null());
    match address {
        Address::Tcp(port) => command.args(["-l", "127.0.0.1", "-p", &port.to_string()]),
        Address::Unix(path) => command.arg("-s").arg(path),
    };
    command.spawn().map_err(|e| format!("memcached cannot be started (Debian package memcached): {e}").into())
}

/// The version on the PATH, for the report.
pub fn version() -> String {
    let output = Command::new("memcached").arg("-V").output();
    output.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}
