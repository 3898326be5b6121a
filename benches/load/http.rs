//! As much HTTP/1.1 as the replay server and the plain client need: requests with
//! a Content-Length, connections that stay open. It knows nothing of MISP.

use crate::Result;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

/// A request that names a thousand events is some kilobytes.
const MAX_BODY: usize = 64 << 20;

/// What the kernel hands over in one read; larger ones gained nothing.
const BUFFER: usize = 256 << 10;

/// One request.
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
    /// Whether the client wants the connection to end.
    pub close: bool,
}

/// The next request of a connection; `None` at its end.
pub fn read_request(stream: &mut impl BufRead) -> Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, path) = match (words.next(), words.next()) {
        (Some(method), Some(path)) => (method.to_owned(), path.to_owned()),
        _ => return Err(format!("no HTTP request: {line:?}").into()),
    };
    let head = read_head(stream)?;
    if head.length > MAX_BODY {
        return Err(format!("a request of {} bytes", head.length).into());
    }
    if head.chunked {
        return Err("a request in chunks: the replay server takes a Content-Length only".into());
    }
    let mut body = vec![0; head.length];
    stream.read_exact(&mut body)?;
    Ok(Some(Request { method, path, body, close: head.close }))
}

struct Head {
    length: usize,
    chunked: bool,
    close: bool,
}

fn read_head(stream: &mut impl BufRead) -> Result<Head> {
    let mut head = Head { length: 0, chunked: false, close: false };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(head);
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.length = value.parse()?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = true;
        } else if name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        }
    }
}

/// Writes an answer of several pieces, none of which is copied when it is large.
pub fn write_answer<'a>(
    stream: &mut BufWriter<TcpStream>,
    status: &str,
    extra: &str,
    body: impl Iterator<Item = &'a [u8]> + Clone,
) -> std::io::Result<()> {
    let length: usize = body.clone().map(<[u8]>::len).sum();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nServer: replay\r\nDate: {}\r\nContent-Type: application/json; charset=UTF-8\r\n\
         Content-Length: {length}\r\n{extra}\r\n",
        date(SystemTime::now())
    )?;
    for piece in body {
        stream.write_all(piece)?;
    }
    stream.flush()
}

/// The date as HTTP writes it.
pub fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let days = seconds / 86_400;
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
    // "2026-11-21T01:23:17Z"
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + std::time::Duration::from_secs(seconds)).to_string();
    let month: usize = text[5..7].parse().unwrap_or(1);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    format!("{weekday}, {} {} {} {} GMT", &text[8..10], months[month - 1], &text[..4], &text[11..19])
}

/// A client that does nothing but ask and read.
pub struct Client {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Client {
    /// Connects to `address`, a host and port.
    pub fn connect(address: &str) -> Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::with_capacity(BUFFER, stream), address: address.to_owned() })
    }

    /// Sends a request, hands the answer's bytes to `each` as they come, and returns their number.
    ///
    /// # Errors
    /// Every status but 200, with what the server said.
    pub fn request(&mut self, method: &str, path: &str, body: &str, mut each: impl FnMut(&[u8])) -> Result<usize> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: benchmark\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut status = String::new();
        self.stream.read_line(&mut status)?;
        let head = read_head(&mut self.stream)?;
        if status.split_whitespace().nth(1) != Some("200") {
            let mut text = String::new();
            Read::by_ref(&mut self.stream).take(head.length as u64).read_to_string(&mut text)?;
            return Err(format!("{method} {path}: {} {text}", status.trim_end()).into());
        }
        let mut left = head.length;
        while left > 0 {
            let piece = self.stream.fill_buf()?;
            if piece.is_empty() {
                return Err(format!("{method} {path}: the answer ended {left} bytes early").into());
            }
            let taken = piece.len().min(left);
            each(&piece[..taken]);
            self.stream.consume(taken);
            left -= taken;
        }
        Ok(head.length)
    }

    /// The same, the answer read as JSON.
    pub fn json(&mut self, method: &str, path: &str, body: &str) -> Result<serde_json::Value> {
        let mut text = Vec::new();
        self.request(method, path, body, |piece| text.extend_from_slice(piece))?;
        Ok(serde_json::from_slice(&text)?)
    }
}
