//! Values from a stream, one a line: bounded, lossy on bad UTF-8, and aware of when
//! the stream has to be waited for.

use super::form::MAX_VALUE;
use std::io::{self, BufRead, ErrorKind};

/// The lines of `reader`, without their ends (`\n` or `\r\n`).
///
/// Bytes that are not UTF-8 become U+FFFD. Of a line over [`MAX_VALUE`] bytes just
/// so much is kept that it can be seen to be too long. Before the reader has to be
/// waited for, an empty line is given: whoever collects lines into batches should
/// then answer those at hand, so that `tail -f` can be piped in.
pub fn read_lines(reader: impl BufRead) -> impl Iterator<Item = io::Result<String>> {
    Lines { reader, line: Vec::new(), unanswered: false, may_wait: true, ended: false }
}

struct Lines<R> {
    reader: R,
    /// The line that is being read.
    line: Vec<u8>,
    /// Lines were given since the last empty one.
    unanswered: bool,
    /// All bytes that were at hand are used up, so the next ones may take time.
    may_wait: bool,
    ended: bool,
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        while !self.ended {
            if self.may_wait && self.unanswered {
                self.unanswered = false;
                return Some(Ok(String::new()));
            }
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => {
                    self.ended = true;
                    return Some(Err(e));
                }
            };
            if bytes.is_empty() {
                self.ended = true;
                return (!self.line.is_empty()).then(|| Ok(self.take()));
            }
            let end = bytes.iter().position(|b| *b == b'\n');
            // Two bytes more than fit: a `\r` may go, and too long must stay so.
            let room = MAX_VALUE + 2 - self.line.len();
            let part = &bytes[..end.unwrap_or(bytes.len())];
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(end.is_some());
            self.may_wait = used == bytes.len();
            self.reader.consume(used);
            if end.is_some() {
                self.unanswered = true;
                return Some(Ok(self.take()));
            }
        }
        None
    }
}

impl<R> Lines<R> {
    fn take(&mut self) -> String {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{BufReader, Read};

    /// Gives one piece at each read, as a pipe does.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            if piece == b"!" {
                return Err(io::Error::other("gone"));
            }
            buf[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn lines(pieces: &[&'static [u8]]) -> Vec<String> {
        let reader = BufReader::new(Pieces(pieces.to_vec()));
        read_lines(reader).map(|line| line.unwrap_or_else(|e| format!("error: {e}"))).collect()
    }

    #[test]
    fn an_empty_line_before_each_wait() {
        assert_eq!(lines(&[b"a\r\nb\n", b"c", b"d\ne", b"f"]), ["a", "b", "", "cd", "", "ef"]);
        assert_eq!(lines(&[b"a\n", b"!", b"b\n"]), ["a", "", "error: gone"]);
        assert_eq!(lines(&[]), [""; 0]);
    }

    #[test]
    fn bad_utf8_and_lone_ends() {
        assert_eq!(lines(&[b"a\xffb\n\n\r\nz\r"]), ["a\u{fffd}b", "", "", "", "z"]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_its_neighbours_live() {
        let fits = "x".repeat(MAX_VALUE);
        let text = format!("a\n{}\n{fits}\r\n{fits}yz\nb\n", "y".repeat(10 * MAX_VALUE));
        let got: Vec<String> =
            read_lines(BufReader::new(text.as_bytes())).map(Result::unwrap).filter(|l| !l.is_empty()).collect();
        assert_eq!(got.len(), 5);
        assert_eq!((got[0].as_str(), got[4].as_str()), ("a", "b"));
        assert_eq!(got[2], fits);
        for cut in [&got[1], &got[3]] {
            assert!(cut.len() > MAX_VALUE && cut.len() <= MAX_VALUE + 2);
        }
    }

    proptest! {
        /// However the bytes arrive, the lines are those of the text.
        #[test]
        fn the_lines_of_the_text(text in "[a-cü\\n\\r]{0,60}", buffer in 1usize..9) {
            let got: Vec<String> = read_lines(BufReader::with_capacity(buffer, text.as_bytes()))
                .map(Result::unwrap)
                .filter(|l| !l.is_empty())
                .collect();
            let end = |l: &str| l.strip_suffix('\r').unwrap_or(l).to_owned();
            let wanted: Vec<String> = text.split('\n').map(end).filter(|l| !l.is_empty()).collect();
            prop_assert_eq!(got, wanted);
        }
    }
}
