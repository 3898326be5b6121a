//! Rows out of a JSON answer of any size, in constant memory.
//!
//! The answer is read in pieces; each row is parsed from the piece that holds it
//! (a slice, which is three times as fast as parsing from a reader), and a row
//! that is cut by the end of a piece is parsed again when more is there.

use serde::Deserialize;
use std::io::{self, Read};

/// Bytes read at once.
const PIECE: usize = 256 * 1024;

/// Largest row that is believed: a value has at most 65,535 bytes, which JSON may
/// write six times as long, and an event's title as much again.
const MAX_ROW: usize = 4 * 1024 * 1024;

/// Why an answer is no list of rows.
#[derive(Debug)]
pub enum Broken {
    /// The bytes stopped coming, or the connection failed.
    Io(io::Error),
    /// The bytes ended before the JSON did.
    CutShort,
    /// It is not the JSON that was asked for; the text says what stands there.
    NotJson(String),
}

/// What stands around the rows.
#[derive(Debug, Clone, Copy)]
pub struct Envelope {
    /// Tokens before the first row; blanks between them do not count.
    open: &'static [&'static str],
    /// Tokens behind the last row.
    close: &'static [&'static str],
}

/// `[...]`, as `/events/index` answers.
pub const BARE: Envelope = Envelope { open: &["["], close: &["]"] };

/// `{"response": {"Attribute": [...]}}`, as `/attributes/restSearch` answers.
pub const ATTRIBUTES: Envelope =
    Envelope { open: &["{", "\"response\"", ":", "{", "\"Attribute\"", ":", "["], close: &["]", "}", "}"] };

/// Reads all rows and hands each to `each`; returns their number.
///
/// # Errors
/// The answer is not whole ([`Broken`]), or the error of `each`.
pub fn rows<T, E>(
    reader: impl Read,
    envelope: Envelope,
    mut each: impl for<'a> FnMut(T::Row<'a>) -> Result<(), E>,
) -> Result<u64, E>
where
    T: RowType,
    E: From<Broken>,
{
    let mut input = Input { reader, buffer: vec![0; PIECE], start: 0, end: 0, over: false, read: 0 };
    for token in envelope.open {
        input.expect(token)?;
    }
    let mut count = 0;
    if input.peek()? != b']' {
        loop {
            let used = loop {
                if let Some(used) = one::<T, E>(&input.buffer[input.start..input.end], count + 1, &mut each)? {
                    break used;
                }
                if input.end - input.start > MAX_ROW {
                    return Err(Broken::NotJson(format!("row {} is larger than {MAX_ROW} bytes", count + 1)).into());
                }
                input.more()?;
            };
            input.start += used;
            count += 1;
            if input.peek()? != b',' {
                break;
            }
            input.start += 1;
            input.peek()?;
        }
    }
    for token in envelope.close {
        input.expect(token)?;
    }
    input.only_blanks_follow()?;
    Ok(count)
}

/// Parses the row that `bytes` begin with; `None` where it is not all there.
fn one<T, E>(
    bytes: &[u8],
    number: u64,
    each: &mut impl for<'a> FnMut(T::Row<'a>) -> Result<(), E>,
) -> Result<Option<usize>, E>
where
    T: RowType,
    E: From<Broken>,
{
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<T::Row<'_>>();
    match stream.next() {
        Some(Ok(row)) => {
            let used = stream.byte_offset();
            each(row)?;
            Ok(Some(used))
        }
        Some(Err(e)) if !e.is_eof() => Err(Broken::NotJson(format!("row {number}: {e}")).into()),
        _ => Ok(None),
    }
}

/// A row type whose lifetime is that of the bytes it is parsed from.
pub trait RowType {
    /// The row.
    type Row<'a>: Deserialize<'a>;
}

struct Input<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    over: bool,
    read: u64,
}

impl<R: Read> Input<R> {
    /// Reads at least one more byte.
    fn more(&mut self) -> Result<(), Broken> {
        if self.over {
            return Err(Broken::CutShort);
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        // As much as comes at once: a parse of a cut row is wasted work.
        while self.end < self.buffer.len() {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.over = true;
                    break;
                }
                Ok(n) => {
                    self.end += n;
                    self.read += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Broken::Io(e)),
            }
        }
        if self.start == self.end { Err(Broken::CutShort) } else { Ok(()) }
    }

    /// The next byte that is no blank; it stays.
    fn peek(&mut self) -> Result<u8, Broken> {
        loop {
            match self.buffer[self.start..self.end].iter().position(|b| !b.is_ascii_whitespace()) {
                Some(at) => {
                    self.start += at;
                    return Ok(self.buffer[self.start]);
                }
                None => {
                    self.start = self.end;
                    self.more()?;
                }
            }
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), Broken> {
        self.peek()?;
        while self.end - self.start < token.len() && !self.over {
            self.more()?;
        }
        let there = &self.buffer[self.start..self.end];
        if there.starts_with(token.as_bytes()) {
            self.start += token.len();
            return Ok(());
        }
        if token.as_bytes().starts_with(there) {
            return Err(Broken::CutShort);
        }
        let text: String = String::from_utf8_lossy(&there[..there.len().min(60)]).escape_debug().collect();
        Err(Broken::NotJson(format!("{token} was expected, found: {text}")))
    }

    fn only_blanks_follow(&mut self) -> Result<(), Broken> {
        match self.peek() {
            Err(Broken::CutShort) => Ok(()),
            Err(other) => Err(other),
            Ok(_) => Err(Broken::NotJson("more text behind the end of the JSON".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misp::attribute::Attribute;

    struct Attributes;
    impl RowType for Attributes {
        type Row<'a> = Attribute<'a>;
    }

    /// Gives its bytes in pieces of the given size.
    struct Slowly<'a>(&'a [u8], usize);
    impl Read for Slowly<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(self.1).min(into.len());
            into[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn read_all(text: &str, piece: usize) -> Result<Vec<String>, Broken> {
        let mut values = Vec::new();
        rows::<Attributes, Broken>(Slowly(text.as_bytes(), piece), ATTRIBUTES, |row| {
            values.push(row.value.into_owned());
            Ok(())
        })?;
        Ok(values)
    }

    fn row(value: &str) -> String {
        format!(
            r#"{{"id":"1","event_id":"2","type":"url","to_ids":true,"timestamp":"3","value":{value:?},"Event":{{"id":"2"}}}}"#
        )
    }

    #[test]
    fn rows_across_pieces() {
        let answer = format!("{{\"response\": {{\"Attribute\": [{},{}, {}]}}}}\n", row("a"), row("é]}\""), row("c"));
        for piece in [1, 2, 3, 7, 64, 100_000] {
            assert_eq!(read_all(&answer, piece).unwrap(), ["a", "é]}\"", "c"]);
        }
        assert!(read_all("{\"response\": {\"Attribute\": []}}\n", 3).unwrap().is_empty());
    }

    #[test]
    fn every_cut_is_noticed() {
        let answer = format!("{{\"response\": {{\"Attribute\": [{},{}]}}}}", row("a"), row("b"));
        for cut in 0..answer.len() {
            assert!(
                matches!(read_all(&answer[..cut], 50), Err(Broken::CutShort)),
                "{cut}: {:?}",
                read_all(&answer[..cut], 50)
            );
        }
    }

    #[test]
    fn other_answers_are_named() {
        for text in [
            "<!DOCTYPE html><html>",
            "{\"name\":\"An Internal Error Has Occurred.\"}",
            "{\"response\": {\"Attribute\": [{\"id\":\"1\"}]}}",
            "{\"response\": {\"Attribute\": [7]}}",
            "{\"response\": {\"Attribute\": []}} and more",
            "{\"response\": {\"Attribute\": [,]}}",
        ] {
            assert!(matches!(read_all(text, 50), Err(Broken::NotJson(_))), "{text}");
        }
    }

    #[test]
    fn a_row_without_end_is_given_up() {
        let answer = format!("{{\"response\": {{\"Attribute\": [{{\"value\":\"{}", "x".repeat(5 * 1024 * 1024));
        assert!(matches!(read_all(&answer, 1 << 20), Err(Broken::NotJson(_))));
    }
}
