//! Lines out of a stream, and JSON that goes over several lines, put together again:
//! a STIX bundle is often written so. Bounded: a line or an object too long is told
//! and passed over, and its neighbours live.

use std::io::{self, BufRead, ErrorKind};

/// Longest line. An event of Logstash has some kilobytes.
pub const MAX_LINE: usize = 1 << 20;

/// Longest JSON over several lines: a bundle with some ten thousand sightings.
pub const MAX_JSON: usize = 32 << 20;

/// Deepest JSON that is read (serde_json's own limit).
const MAX_DEPTH: u32 = 127;

/// What a line costs besides its bytes while it waits for the rest of a JSON value.
const LINE_COST: usize = 64;

/// What stands in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// A line, or the lines of one JSON value.
    Text(String),
    /// The line with this number is over [`MAX_LINE`].
    TooLong(u64),
    /// Nothing more is at hand: what was read should be dealt with.
    Pause,
}

/// The units of a stream, each with the number of its first line.
pub struct Units<R> {
    lines: Lines<R>,
    /// Lines of a JSON value that is not whole yet, with the number of the first.
    open: Vec<String>,
    first: u64,
    shape: Shape,
    length: usize,
    /// What is to be read again, line by line, since it was no JSON after all.
    again: std::vec::IntoIter<(u64, String)>,
    /// JSON may go over several lines.
    joins: bool,
}

impl<R: BufRead> Units<R> {
    /// Those of this reader.
    pub fn new(reader: R) -> Units<R> {
        Units {
            lines: Lines { reader, line: Vec::new(), too_long: false, number: 0, may_wait: false },
            open: Vec::new(),
            first: 0,
            shape: Shape::default(),
            length: 0,
            again: Vec::new().into_iter(),
            joins: true,
        }
    }

    /// Those of this reader where each line stands for itself.
    pub fn of_lines(reader: R) -> Units<R> {
        Units { joins: false, ..Units::new(reader) }
    }

    /// The lines so far were no JSON value: each for itself.
    fn give_up(&mut self) {
        let first = self.first;
        let lines: Vec<(u64, String)> = (first..).zip(std::mem::take(&mut self.open)).collect();
        self.again = lines.into_iter();
        self.shape = Shape::default();
        self.length = 0;
    }
}

impl<R: BufRead> Iterator for Units<R> {
    type Item = io::Result<(u64, Unit)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((number, line)) = self.again.next() {
                return Some(Ok((number, Unit::Text(line))));
            }
            let line = match self.lines.next() {
                None if self.open.is_empty() => return None,
                None => {
                    self.give_up();
                    continue;
                }
                Some(Err(e)) => return Some(Err(e)),
                Some(Ok((number, Unit::Text(line)))) => {
                    if self.open.is_empty() {
                        self.first = number;
                    }
                    line
                }
                Some(Ok((_, Unit::Pause))) if !self.open.is_empty() => continue,
                Some(Ok(other)) => {
                    if matches!(other.1, Unit::TooLong(_)) {
                        self.give_up();
                    }
                    return Some(Ok(other));
                }
            };
            let opens = self.joins && line.trim_start().starts_with(['{', '[']);
            if self.open.is_empty() && !opens {
                return Some(Ok((self.first, Unit::Text(line))));
            }
            self.length += line.len() + LINE_COST;
            let state = self.shape.take(&line);
            self.open.push(line);
            match state {
                Some(0) => {
                    let text = self.open.join("\n");
                    self.open.clear();
                    self.shape = Shape::default();
                    self.length = 0;
                    return Some(Ok((self.first, Unit::Text(text))));
                }
                None => self.give_up(),
                Some(_) if self.length > MAX_JSON => self.give_up(),
                Some(_) => {}
            }
        }
    }
}

/// How deep inside brackets a JSON text is.
#[derive(Debug, Default)]
struct Shape {
    depth: u32,
}

impl Shape {
    /// The depth behind this line; `None`: it is no JSON, for it ends inside a string,
    /// closes what was not opened, or is too deep.
    fn take(&mut self, line: &str) -> Option<u32> {
        let (mut string, mut escaped) = (false, false);
        for byte in line.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if string => escaped = true,
                b'"' => string = !string,
                b'{' | b'[' if !string => self.depth += 1,
                b'}' | b']' if !string => self.depth = self.depth.checked_sub(1)?,
                _ => {}
            }
        }
        (!string && self.depth <= MAX_DEPTH).then_some(self.depth)
    }
}

/// Lines, bounded.
struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    too_long: bool,
    number: u64,
    /// All that was at hand is read: the next line may take time.
    may_wait: bool,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Option<io::Result<(u64, Unit)>> {
        loop {
            if std::mem::take(&mut self.may_wait) && self.line.is_empty() && !self.too_long {
                return Some(Ok((self.number, Unit::Pause)));
            }
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Some(Err(e)),
            };
            if bytes.is_empty() {
                return (!self.line.is_empty() || self.too_long).then(|| Ok(self.take()));
            }
            let end = bytes.iter().position(|b| *b == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + part.len() > MAX_LINE {
                self.too_long = true;
                self.line.clear();
            } else if !self.too_long {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            let all = used == bytes.len();
            self.reader.consume(used);
            if end.is_some() {
                self.may_wait = all;
                return Some(Ok(self.take()));
            }
        }
    }

    fn take(&mut self) -> (u64, Unit) {
        self.number += 1;
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            return (self.number, Unit::TooLong(self.number));
        }
        let text = String::from_utf8(line).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        (self.number, Unit::Text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<String> {
        Units::new(text.as_bytes())
            .map(Result::unwrap)
            .filter_map(|(number, unit)| match unit {
                Unit::Text(text) => Some(format!("{number}:{}", text.replace('\n', "/"))),
                Unit::TooLong(_) => Some(format!("{number}!")),
                Unit::Pause => None,
            })
            .collect()
    }

    #[test]
    fn lines_and_json_over_lines() {
        assert_eq!(units("a\r\n\nb"), ["1:a\r", "2:", "3:b"]);
        assert_eq!(units("{\"a\": 1}\n{\"b\": \"}\"}\nc\n"), ["1:{\"a\": 1}", "2:{\"b\": \"}\"}", "3:c"]);
        assert_eq!(units("{\n \"a\": [\n1\n]\n}\nb\n"), ["1:{/ \"a\": [/1/]/}", "6:b"]);
        assert_eq!(units("[2001:db8::1]:443\nb"), ["1:[2001:db8::1]:443", "2:b"]);
    }

    #[test]
    fn a_broken_object_takes_no_neighbour_with_it() {
        let cut = ["1:{\"value\": \"a", "2:{\"value\": \"b\"}"];
        assert_eq!(units("{\"value\": \"a\n{\"value\": \"b\"}\n"), cut);
        assert_eq!(units("{\"a\": 1,\nb\nc\n"), ["1:{\"a\": 1,", "2:b", "3:c"]);
        assert_eq!(units("]\n{\"a\": 1}"), ["1:]", "2:{\"a\": 1}"]);
        let long = format!("{{\"a\": 1,\n{}\n{{\"b\": 2}}\n", "x".repeat(MAX_LINE + 1));
        assert_eq!(units(&long), ["2!", "1:{\"a\": 1,", "3:{\"b\": 2}"]);
        assert_eq!(units(&"{\n".repeat(1000)).len(), 1000);
        let endless = format!("[\n{}", "1,\n".repeat(MAX_JSON / LINE_COST));
        assert_eq!(units(&endless).len(), 1 + MAX_JSON / LINE_COST);
    }

    #[test]
    fn where_each_line_stands_for_itself() {
        let found: Vec<_> = Units::of_lines("{\n}\n".as_bytes()).map(Result::unwrap).collect();
        assert_eq!(found.iter().filter(|(_, unit)| matches!(unit, Unit::Text(_))).count(), 2);
    }

    #[test]
    fn a_long_line_is_told() {
        let text = format!("a\n{}\n{}\nb\n", "y".repeat(MAX_LINE), "x".repeat(3 * MAX_LINE));
        let found = units(&text);
        assert_eq!((found.len(), found[0].as_str(), found[2].as_str(), found[3].as_str()), (4, "1:a", "3!", "4:b"));
    }
}
