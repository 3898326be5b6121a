//! A real memcached for one test, and the text protocol to look into it, written
//! without the program's own client so that a shared mistake cannot hide.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a memcached may take to accept, on a busy machine.
const START: Duration = Duration::from_secs(20);

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(20);

#[derive(Clone)]
enum Place {
    Tcp(u16),
    Unix(PathBuf),
    /// The first port without TLS, for the tests themselves; the second with it.
    Tls(u16, u16),
}

/// A running memcached; it is killed when this is dropped.
pub struct Memcached {
    child: Child,
    place: Place,
    arguments: Vec<String>,
    /// What the tests' own connections say first, where it asks for a password.
    login: String,
}

/// What memcached holds under one key.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    pub value: Vec<u8>,
    /// The client flags.
    pub flags: u32,
    /// Seconds until it expires; -1: never.
    pub ttl: i64,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Memcached {
    /// One on a free TCP port of 127.0.0.1, with further arguments (`["-I", "2m"]`).
    pub fn start(arguments: &[&str]) -> Memcached {
        Memcached::start_at(|| Place::Tcp(free_port()), arguments, "")
    }

    /// One that wants TLS on its port, with the settings of `arguments`.
    pub fn start_tls(arguments: &[&str]) -> Memcached {
        Memcached::start_at(|| Place::Tls(free_port(), free_port()), &[&["-Z"], arguments].concat(), "")
    }

    /// One that asks for a password: that of `user` in the file of `-Y`.
    pub fn start_with_login(authfile: &Path, user: &str, password: &str) -> Memcached {
        let login = format!("set login 0 0 {}\r\n{user} {password}\r\n", user.len() + 1 + password.len());
        let authfile = authfile.to_str().expect("a path in UTF-8");
        Memcached::start_at(|| Place::Tcp(free_port()), &["-Y", authfile], &login)
    }

    fn start_at(place: impl Fn() -> Place, arguments: &[&str], login: &str) -> Memcached {
        // Between finding a free port and memcached taking it, someone else may: try again.
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        for _ in 0..10 {
            if let Some(memcached) = Memcached::launch(place(), arguments.clone(), login.to_owned()) {
                return memcached;
            }
        }
        panic!("memcached does not start (is it installed?)");
    }

    /// One on a unix socket.
    pub fn start_unix(socket: &Path) -> Memcached {
        let place = Place::Unix(socket.to_owned());
        Memcached::launch(place, Vec::new(), String::new()).expect("memcached starts on a unix socket")
    }

    fn launch(place: Place, arguments: Vec<String>, login: String) -> Option<Memcached> {
        let mut command = Command::new("memcached");
        match &place {
            Place::Tcp(port) => command.args(["-U", "0", "-l", "127.0.0.1", "-p", &port.to_string()]),
            Place::Unix(socket) => command.arg("-s").arg(socket),
            Place::Tls(plain, tls) => {
                let (plain, tls) = (format!("notls:127.0.0.1:{plain}"), format!("127.0.0.1:{tls}"));
                command.args(["-U", "0", "-l", &plain, "-l", &tls])
            }
        };
        command.args(["-m", "64"]).args(&arguments).stdout(Stdio::null()).stderr(Stdio::null());
        // It refuses to run as root unless it is told whom to run as.
        if std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0) {
            command.args(["-u", "root"]);
        }
        let mut memcached =
            Memcached { child: command.spawn().expect("memcached is on the PATH"), place, arguments, login };
        let begun = Instant::now();
        while begun.elapsed() < START {
            // Answering with its own process id proves that it is not someone else's.
            if memcached.is_mine() {
                return Some(memcached);
            }
            if memcached.child.try_wait().ok().flatten().is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    fn is_mine(&self) -> bool {
        // Another one that gives way at this moment may break off.
        self.pid().is_ok_and(|pid| pid == self.child.id().to_string())
    }

    fn pid(&self) -> std::io::Result<String> {
        let mut stream = self.connect()?;
        stream.get_mut().write_all(b"stats\r\n")?;
        let mut line = String::new();
        while stream.read_line(&mut line)? > 0 && !line.starts_with("END") {
            if let Some(pid) = line.strip_prefix("STAT pid ") {
                return Ok(pid.trim_end().to_owned());
            }
            line.clear();
        }
        Err(ErrorKind::UnexpectedEof.into())
    }

    /// Starts it again in the same place, empty; kills it before if it still runs.
    pub fn restart(&mut self) {
        self.kill();
        let again = Memcached::launch(self.place.clone(), self.arguments.clone(), self.login.clone());
        *self = again.expect("memcached starts again");
    }

    /// Sends it a signal (`STOP`, `CONT`).
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.is_ok_and(|s| s.success()), "memcached takes a signal");
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) {
        let _ = self.child.wait();
    }

    /// Kills it.
    pub fn kill(&mut self) {
        // Once it has ended, the socket in its place is its successor's.
        let was_running = matches!(self.child.try_wait(), Ok(None));
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Place::Unix(socket) = &self.place
            && was_running
        {
            let _ = std::fs::remove_file(socket);
        }
    }

    /// As the configuration's `servers` names it.
    pub fn server(&self) -> String {
        match &self.place {
            Place::Tcp(port) | Place::Tls(_, port) => format!("127.0.0.1:{port}"),
            Place::Unix(socket) => socket.display().to_string(),
        }
    }

    fn connect(&self) -> std::io::Result<BufReader<Box<dyn Stream>>> {
        let stream: Box<dyn Stream> = match &self.place {
            Place::Tcp(port) | Place::Tls(port, _) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_read_timeout(Some(ANSWER))?;
                Box::new(stream)
            }
            Place::Unix(socket) => {
                let stream = UnixStream::connect(socket)?;
                stream.set_read_timeout(Some(ANSWER))?;
                Box::new(stream)
            }
        };
        let mut stream = BufReader::new(stream);
        if !self.login.is_empty() {
            stream.get_mut().write_all(self.login.as_bytes())?;
            assert_eq!(line(&mut stream), "STORED");
        }
        Ok(stream)
    }

    /// A connection on which `command` was sent.
    fn ask(&self, command: &[u8]) -> BufReader<Box<dyn Stream>> {
        let mut stream = self.connect().expect("memcached accepts");
        stream.get_mut().write_all(command).expect("memcached takes a command");
        stream
    }

    /// Sends raw bytes, returns the first line of the answer.
    pub fn command(&self, command: &[u8]) -> String {
        line(&mut self.ask(command))
    }

    /// The value of a key; a key with blanks or control bytes is asked for in base64.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.item(key).map(|item| item.value)
    }

    /// Value, flags and time to live of a key.
    pub fn item(&self, key: &[u8]) -> Option<Item> {
        read_item(&mut self.connect().expect("memcached accepts"), key)
    }

    /// Sets a key as a foreign writer would; it never expires.
    pub fn set(&self, key: &[u8], value: &[u8]) {
        let (key, base64) = wire_key(key);
        let mut command = format!("ms {key} {}{base64}\r\n", value.len()).into_bytes();
        command.extend_from_slice(value);
        command.extend_from_slice(b"\r\n");
        assert_eq!(self.command(&command), "HD");
    }

    /// Deletes a key; whether it was there.
    pub fn delete(&self, key: &[u8]) -> bool {
        let (key, base64) = wire_key(key);
        self.command(format!("md {key}{base64}\r\n").as_bytes()) == "HD"
    }

    /// Forgets everything at once.
    pub fn flush_all(&self) {
        assert_eq!(self.command(b"flush_all\r\n"), "OK");
    }

    /// All keys it holds.
    pub fn keys(&self) -> BTreeSet<Vec<u8>> {
        let begun = Instant::now();
        loop {
            let mut stream = self.ask(b"lru_crawler metadump hash\r\n");
            let mut keys = BTreeSet::new();
            loop {
                let line = line(&mut stream);
                match line.split(' ').next() {
                    Some("END") => return keys,
                    // Its crawler does one thing at a time.
                    Some("BUSY" | "LOCKED") => break,
                    // Its crawler starts behind its socket.
                    Some("ERROR" | "CLIENT_ERROR") => {
                        self.command(b"lru_crawler enable\r\n");
                        break;
                    }
                    Some(word) => keys.insert(percent_decoded(word.strip_prefix("key=").expect("a key"))),
                    None => unreachable!("split gives one word at least"),
                };
            }
            assert!(begun.elapsed() < ANSWER, "memcached does not list its keys");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All keys and values whose key begins with `start`.
    pub fn dump(&self, start: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let keys = self.keys().into_iter().filter(|key| key.starts_with(start.as_bytes()));
        let mut stream = self.connect().expect("memcached accepts");
        keys.filter_map(|key| read_item(&mut stream, &key).map(|item| (key, item.value))).collect()
    }

    /// Its counters by name.
    pub fn stats(&self) -> BTreeMap<String, String> {
        let mut stream = self.ask(b"stats\r\n");
        let mut stats = BTreeMap::new();
        loop {
            let line = line(&mut stream);
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("STAT"), Some(name), Some(value)) => stats.insert(name.to_owned(), value.to_owned()),
                _ => return stats,
            };
        }
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    loop {
        match stream.read_line(&mut line) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => {
                result.expect("memcached answers");
                return line.trim_end_matches("\r\n").to_owned();
            }
        }
    }
}

/// Asks for one item on an open connection.
fn read_item(stream: &mut BufReader<Box<dyn Stream>>, key: &[u8]) -> Option<Item> {
    let (key, base64) = wire_key(key);
    let command = format!("mg {key} v f t{base64}\r\n");
    stream.get_mut().write_all(command.as_bytes()).expect("memcached takes a command");
    let head = line(stream);
    let mut words = head.split(' ');
    match words.next() {
        Some("EN") => return None,
        Some("VA") => {}
        _ => panic!("memcached answered {head:?} for {key}"),
    }
    let length: usize = words.next().and_then(|w| w.parse().ok()).expect("a length");
    let mut item = Item { value: vec![0; length], flags: 0, ttl: 0 };
    for word in words {
        match word.split_at(1) {
            ("f", flags) => item.flags = flags.parse().expect("flags"),
            ("t", ttl) => item.ttl = ttl.parse().expect("a time to live"),
            _ => {}
        }
    }
    let mut end = [0; 2];
    stream.read_exact(&mut item.value).and_then(|()| stream.read_exact(&mut end)).expect("the whole value");
    Some(item)
}

/// A key as it goes over the wire, and the flag that says that it is base64.
fn wire_key(key: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(key) {
        Ok(text) if !key.iter().any(|b| *b <= b' ' || *b == 0x7f) => (text.to_owned(), ""),
        _ => (base64(key), " b"),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).expect("two hexadecimal digits") as u8;
        out.push(hex(bytes.next()) << 4 | hex(bytes.next()));
    }
    out
}

#[test]
fn what_is_set_is_found() {
    let mut memcached = Memcached::start(&["-I", "2m"]);
    let odd = "misp-filename:a b\t\u{e9}%".as_bytes();
    memcached.set(b"misp-ip:198.51.100.1", b"1#ip-dst");
    memcached.set(odd, b"2#filename");
    assert_eq!(memcached.get(odd).as_deref(), Some(&b"2#filename"[..]));
    assert_eq!(memcached.keys(), [b"misp-ip:198.51.100.1".to_vec(), odd.to_vec()].into());
    assert_eq!(memcached.dump("misp-ip:").len(), 1);
    assert_eq!(memcached.command(b"set misp-md5:x 7 3600 1\r\n1\r\n"), "STORED");
    let item = memcached.item(b"misp-md5:x").unwrap();
    assert_eq!((item.flags, item.ttl > 3500, item.value.as_slice()), (7, true, &b"1"[..]));
    assert!(memcached.delete(odd) && !memcached.delete(odd));
    assert_eq!(memcached.stats()["curr_items"], "2");
    memcached.flush_all();
    assert_eq!(memcached.get(b"misp-md5:x"), None);
    memcached.set(b"again", b"1");
    memcached.restart();
    assert_eq!(memcached.keys().len(), 0);
}

#[test]
fn a_unix_socket_serves_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut memcached = Memcached::start_unix(&directory.path().join("memcached.sock"));
    memcached.set(b"k", b"v");
    assert_eq!(memcached.item(b"k"), Some(Item { value: b"v".to_vec(), flags: 0, ttl: -1 }));
    assert!(memcached.server().ends_with("/memcached.sock"));
    memcached.restart();
    assert_eq!(memcached.item(b"k"), None);
}

#[test]
fn base64_has_its_padding() {
    assert_eq!([base64(b"a"), base64(b"ab"), base64(b"abc"), base64(b"\xff\xfe")], ["YQ==", "YWI=", "YWJj", "//4="]);
}
