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
    let mut input = Input { reader, buffer: vec![0; PIECE], start: 0, end: 0, over: false };
    for token in envelope.open {
        input.expect(token)?;
    }
    let mut list = List { place: Place::First, rows: 0 };
    loop {
        let text = utf8(&input.buffer[input.start..input.end])?;
        let used = list.read::<T, E>(text, &mut each)?;
        input.start += used;
        if list.place == Place::End {
            break;
        }
        if input.end - input.start > MAX_ROW {
            return Err(Broken::NotJson(format!("row {} is larger than {MAX_ROW} bytes", list.rows + 1)).into());
        }
        input.more()?;
    }
    for token in envelope.close {
        input.expect(token)?;
    }
    input.only_blanks_follow()?;
    Ok(list.rows)
}

/// The text that `bytes` begin with: a character that the end cuts is left for
/// later. Checked once for many rows, which is what makes it cheap.
fn utf8(bytes: &[u8]) -> Result<&str, Broken> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(e) if e.error_len().is_none() => Ok(std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default()),
        Err(_) => Err(Broken::NotJson("it is not UTF-8".into())),
    }
}

/// Where in the list the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind the `[`: a row, or the end of the list.
    First,
    /// Behind a row: a comma, or the end of the list.
    Behind,
    /// Behind a comma: a row.
    Row,
    /// At the `]`.
    End,
}

/// A list that is read piece by piece.
struct List {
    place: Place,
    rows: u64,
}

impl List {
    /// Takes all rows that `text` holds whole; returns how many bytes that were.
    fn read<T, E>(&mut self, text: &str, each: &mut impl for<'a> FnMut(T::Row<'a>) -> Result<(), E>) -> Result<usize, E>
    where
        T: RowType,
        E: From<Broken>,
    {
        let mut at = 0;
        loop {
            at += text[at..].bytes().take_while(u8::is_ascii_whitespace).count();
            let Some(next) = text.as_bytes().get(at) else { return Ok(at) };
            match (self.place, next) {
                (Place::First | Place::Behind, b']') => {
                    self.place = Place::End;
                    return Ok(at);
                }
                (Place::Behind, b',') => {
                    at += 1;
                    self.place = Place::Row;
                }
                (Place::First | Place::Row, _) => {
                    let mut stream = serde_json::Deserializer::from_str(&text[at..]).into_iter::<T::Row<'_>>();
                    match stream.next() {
                        Some(Ok(row)) => {
                            at += stream.byte_offset();
                            each(row)?;
                            self.rows += 1;
                            self.place = Place::Behind;
                        }
                        Some(Err(e)) if !e.is_eof() => {
                            return Err(Broken::NotJson(format!("row {}: {e}", self.rows + 1)).into());
                        }
                        // The row goes on behind the end of the text.
                        _ => return Ok(at),
                    }
                }
                (Place::Behind | Place::End, _) => {
                    let there: String = text[at..].chars().take(40).collect();
                    let what =
                        format!("a comma was expected behind row {}, found: {}", self.rows, there.escape_debug());
                    return Err(Broken::NotJson(what).into());
                }
            }
        }
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
                Ok(n) => self.end += n,
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
            "{\"response\": {\"Attribute\": []]}}",
        ] {
            assert!(matches!(read_all(text, 50), Err(Broken::NotJson(_))), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text() {
        let mut answer = format!("{{\"response\": {{\"Attribute\": [{}]}}}}", row("a")).into_bytes();
        let at = answer.iter().position(|b| *b == b'a').unwrap();
        answer[at] = 0xff;
        let read = rows::<Attributes, Broken>(&answer[..], ATTRIBUTES, |_| Ok(()));
        assert!(matches!(read, Err(Broken::NotJson(_))));
    }

    #[test]
    fn a_row_without_end_is_given_up() {
        let answer = format!("{{\"response\": {{\"Attribute\": [{{\"value\":\"{}", "x".repeat(5 * 1024 * 1024));
        assert!(matches!(read_all(&answer, 1 << 20), Err(Broken::NotJson(_))));
    }
}
