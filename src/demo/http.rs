//! Requests and responses of HTTP/1.1 as bytes: what a small server needs.
//!
//! It knows a stream and nothing of MISP. Bodies have a Content-Length, as the
//! clients it serves send them; anything else is refused.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest head of a request: far above what clients send, and no stranger can fill memory.
const MAX_HEAD: usize = 32 * 1024;

/// Longest body of a request: a batch of 100,000 event ids is under 1 MB.
const MAX_BODY: usize = 64 << 20;

/// How long to wait before looking again at a head that is not whole yet.
const HEAD_POLL: Duration = Duration::from_millis(1);

/// How long the rest of a head may take: a peer that has closed behind half a head cannot be told from a slow one.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` ...
    pub method: String,
    /// The target as sent, with its query.
    pub path: String,
    /// Names and values in the order sent.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }
}

/// A response. `Date`, `Content-Length` and `Connection` are added when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names and values in the order sent.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// The head as it stands on the wire; `Content-Length` is the body's.
    pub fn head(&self, now: u64, keep_alive: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\nDate: {}\r\n", self.status, reason(self.status), date(now));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let connection = if keep_alive { "keep-alive" } else { "close" };
        head.push_str(&format!("Content-Length: {}\r\nConnection: {connection}\r\n\r\n", self.body.len()));
        head.into_bytes()
    }
}

fn find_header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Reads the next request of a connection, but leaves its last byte in the
/// socket: a connection closed with that byte unread is reset, not ended.
/// [`take_last_byte`] takes it. `None`: the peer has closed.
///
/// # Errors
/// What the socket says, or that this is no request.
pub fn read_request(mut stream: &TcpStream) -> io::Result<Option<Request>> {
    let Some(head_len) = wait_for_head(stream)? else { return Ok(None) };
    // The head is read here but for its last byte, which may be the request's last.
    let mut head = vec![0; head_len - 1];
    stream.read_exact(&mut head)?;
    let text = std::str::from_utf8(&head).map_err(|_| bad("the head is no text"))?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path), Some("HTTP/1.1")) = (first.next(), first.next(), first.next()) else {
        return Err(bad("no HTTP/1.1 request line"));
    };
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let mut request = Request { method: method.to_owned(), path: path.to_owned(), headers, body: Vec::new() };
    if request.header("Transfer-Encoding").is_some() {
        return Err(bad("a body without Content-Length"));
    }
    let length = request.header("Content-Length").map_or(Ok(0), str::parse);
    let length: usize = length.map_err(|_| bad("Content-Length is no number"))?;
    if length > MAX_BODY {
        return Err(bad("the body is too long"));
    }
    if length > 0 {
        take_last_byte(stream)?;
        request.body = vec![0; length - 1];
        stream.read_exact(&mut request.body)?;
        let mut last = [0];
        if stream.peek(&mut last)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        request.body.push(last[0]);
    }
    Ok(Some(request))
}

/// Takes the byte that [`read_request`] left.
///
/// # Errors
/// What the socket says.
pub fn take_last_byte(mut stream: &TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0])
}

/// The length of the head, once all of it has arrived.
fn wait_for_head(stream: &TcpStream) -> io::Result<Option<usize>> {
    let mut buffer = vec![0; MAX_HEAD];
    let mut seen = 0;
    let mut begun: Option<Instant> = None;
    loop {
        let length = stream.peek(&mut buffer)?;
        if let Some(at) = buffer[..length].windows(4).position(|w| w == b"\r\n\r\n") {
            return Ok(Some(at + 4));
        }
        if length == 0 {
            return Ok(None);
        }
        if length == MAX_HEAD {
            return Err(bad("the head is too long"));
        }
        if begun.get_or_insert_with(Instant::now).elapsed() > HEAD_PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if length == seen {
            std::thread::sleep(HEAD_POLL);
        }
        seen = length;
    }
}

/// Sends bytes at once.
///
/// # Errors
/// What the socket says.
pub fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

/// Unix seconds as a `Date` header has them: `Sat, 21 Nov 2026 00:20:07 GMT`.
pub fn date(now: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, seconds) = (now / 86_400, now % 86_400);
    let (mut year, mut day) = (1970, days);
    while day >= year_length(year) {
        day -= year_length(year);
        year += 1;
    }
    let mut month = 0;
    while day >= month_length(year, month) {
        day -= month_length(year, month);
        month += 1;
    }
    let weekday = DAYS[(days % 7) as usize];
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT", day + 1, MONTHS[month])
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_length(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn month_length(year: u64, month: usize) -> u64 {
    match month {
        1 => 28 + u64::from(is_leap(year)),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(date(1_795_220_407), "Sat, 21 Nov 2026 00:20:07 GMT");
        assert_eq!(date(1_798_761_599), "Thu, 31 Dec 2026 23:59:59 GMT");
    }

    #[test]
    fn heads() {
        let response = Response { status: 404, headers: vec![("X-A".into(), "b".into())], body: b"abc".to_vec() };
        let head = String::from_utf8(response.head(0, true)).unwrap();
        assert_eq!(
            head,
            "HTTP/1.1 404 Not Found\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-A: b\r\n\
             Content-Length: 3\r\nConnection: keep-alive\r\n\r\n"
        );
        assert_eq!(response.header("x-a"), Some("b"));
    }
}
