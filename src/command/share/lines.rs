//! Lines of standard input, as they come: read by a thread of their own, so that whoever
//! takes them can also wait for a while and for signals.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// A detection with ten thousand targets has 400 kB.
const MAX_LINE: u64 = 1 << 20;

/// Lines that are read ahead.
const AHEAD: usize = 256;

/// A line, or why there is none.
pub(super) type Line = io::Result<String>;

/// The lines of a stream; one that is too long is an error, and so is one that cannot be
/// read, which is the last.
pub(super) fn lines(input: impl Read + Send + 'static) -> Receiver<Line> {
    let (sender, receiver) = sync_channel(AHEAD);
    thread::spawn(move || {
        let mut input = BufReader::new(input);
        loop {
            let line = next(&mut input);
            let last =
                matches!(&line, Ok(None)) || line.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::InvalidData);
            // Nobody wants more lines where the receiver is gone.
            if line.transpose().is_some_and(|line| sender.send(line).is_err()) || last {
                return;
            }
        }
    });
    receiver
}

fn next(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if input.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 == MAX_LINE && bytes.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {MAX_LINE} bytes")));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_left_out() {
        let mut text = b"a\n\xff\n".to_vec();
        text.extend(vec![b'x'; MAX_LINE as usize * 2]);
        text.extend(b"\nb");
        let all: Vec<Option<String>> = lines(io::Cursor::new(text)).iter().map(Result::ok).collect();
        assert_eq!(all, [Some("a\n".to_owned()), Some("\u{fffd}\n".into()), None, Some("b".into())]);
    }
}
