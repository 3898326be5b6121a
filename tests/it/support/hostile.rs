//! A server that is asked what MISP is asked, and answers any bytes it likes,
//! without end if it likes.

use misp2memcached::demo::Request;
use misp2memcached::demo::http::{read_request, send, take_last_byte};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// Where an answer goes; it counts what the other side took.
pub struct Wire<'a> {
    stream: &'a TcpStream,
    sent: &'a AtomicU64,
}

impl Wire<'_> {
    /// Sends bytes; false: nobody listens any more.
    pub fn send(&self, bytes: &[u8]) -> bool {
        let taken = send(self.stream, bytes).is_ok();
        if taken {
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        taken
    }

    /// A whole answer with status 200.
    pub fn ok(&self, headers: &str, body: &[u8]) -> bool {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        self.send(head.as_bytes()) && self.send(body)
    }

    /// The head of an answer whose body ends with the connection.
    pub fn open(&self, headers: &str) -> bool {
        self.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n").as_bytes())
    }

    /// The same bytes again and again, `most` in all or until nobody listens.
    pub fn pour(&self, bytes: &[u8], most: u64) {
        let piece = bytes.repeat((64 * 1024 / bytes.len()).max(1));
        let mut left = most;
        while left > 0 && self.send(&piece) {
            left = left.saturating_sub(piece.len() as u64);
        }
    }
}

/// The server; its threads end with the test's process.
pub struct Hostile {
    url: String,
    sent: Arc<AtomicU64>,
    asked: Arc<AtomicUsize>,
}

impl Hostile {
    /// Answers each request by `answer`; true: the connection may be used again.
    pub fn start(answer: impl Fn(&Request, &Wire) -> bool + Send + Sync + 'static) -> Hostile {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (sent, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let (answer, bytes, requests) = (Arc::new(answer), sent.clone(), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, bytes, requests) = (answer.clone(), bytes.clone(), requests.clone());
                thread::spawn(move || {
                    while let Ok(Some(request)) = read_request(&stream) {
                        requests.fetch_add(1, Ordering::Relaxed);
                        let wire = Wire { stream: &stream, sent: &bytes };
                        if take_last_byte(&stream).is_err() || !answer(&request, &wire) {
                            return;
                        }
                    }
                });
            }
        });
        Hostile { url, sent, asked }
    }

    /// `http://ADDRESS:PORT`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Bytes that were taken from it so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Requests so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// The beginning of a gzip stream that becomes `text`, and then `filler` for as
/// long as `more` follows again and again: 258 bytes for every 13 bits (RFC 1951).
pub fn gzip_bomb(text: &[u8], filler: u8) -> (Vec<u8>, Vec<u8>) {
    assert!(filler < 144, "a literal of eight bits");
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    // A stored block, not the last one.
    let length = u16::try_from(text.len()).expect("a short text");
    out.push(0);
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(text);
    // A block with the fixed codes: not the last one, the filler once, then "the last byte 258 times more".
    let mut bits = vec![false, true, false];
    let mut code = |value: u16, length: u32| bits.extend((0..length).rev().map(|i| value >> i & 1 == 1));
    code(0x30 + u16::from(filler), 8);
    for _ in 0..16 {
        code(0b1100_0101, 8);
        code(0, 5);
    }
    let byte = |bits: &[bool]| bits.iter().enumerate().fold(0, |byte, (i, bit)| byte | u8::from(*bit) << i);
    let bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
    // Eleven bits, then a pattern that is the same after each 13 bytes.
    out.extend(&bytes[..2]);
    (out, bytes[2..15].to_vec())
}
