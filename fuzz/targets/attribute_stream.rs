//! Any bytes as MISP's answer, in pieces of any size and with the read buffer's end
//! anywhere in them: always the same rows; what counts as whole is JSON to serde_json
//! as well, with the same rows; and no beginning of it counts as whole.

#![no_main]

use libfuzzer_sys::fuzz_target;
use misp2memcached::misp::attribute::{Attribute, IndexEvent};
use misp2memcached::misp::stream::{ATTRIBUTES, BARE, Broken, RowType, rows};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, ErrorKind, Read};

struct Attributes;
impl RowType for Attributes {
    type Row<'a> = Attribute<'a>;
}

struct Events;
impl RowType for Events {
    type Row<'a> = IndexEvent;
}

/// The same answer to serde_json, all at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer<'a> {
    #[serde(borrow)]
    response: Response<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response<'a> {
    #[serde(borrow, rename = "Attribute")]
    attributes: Vec<Attribute<'a>>,
}

/// Blanks before the bytes, then the bytes in pieces, with interruptions.
struct Slowly<'a> {
    blanks: usize,
    bytes: &'a [u8],
    piece: usize,
    calls: usize,
}

impl Read for Slowly<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls % 5 == 3 {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.blanks > 0 {
            let n = self.blanks.min(into.len());
            into[..n].fill(b' ');
            self.blanks -= n;
            return Ok(n);
        }
        let n = self.bytes.len().min(self.piece).min(into.len());
        into[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole(u64),
    CutShort,
    NotJson,
    Io,
}

fn end(result: Result<u64, Broken>) -> End {
    match result {
        Ok(rows) => End::Whole(rows),
        Err(Broken::CutShort) => End::CutShort,
        Err(Broken::NotJson(_)) => End::NotJson,
        Err(Broken::Io(_)) => End::Io,
    }
}

/// The rows that came before the end, and the end.
fn read(bytes: &[u8], blanks: usize, piece: usize) -> (Vec<String>, End) {
    let mut seen = Vec::new();
    let slowly = Slowly { blanks, bytes, piece: piece.max(1), calls: 0 };
    let result = rows::<Attributes, Broken>(slowly, ATTRIBUTES, |row| {
        seen.push(format!("{row:?}"));
        Ok(())
    });
    let end = end(result);
    if let End::Whole(n) = end {
        assert_eq!(n, seen.len() as u64);
    }
    (seen, end)
}

fn raw(bytes: &[u8], control: [u8; 3]) {
    let whole = read(bytes, 0, bytes.len());
    let piece = usize::from(control[0]);
    assert_eq!(read(bytes, 0, piece), whole, "in pieces of {piece}");
    // Whatever the size of the buffer is, a power of two: its end falls into the bytes.
    let buffer = 1_usize << (12 + control[1] % 7);
    let inside = usize::from(control[2]) * 64 % (bytes.len() + 1);
    assert_eq!(read(bytes, buffer - inside.min(buffer), 4096), whole, "the buffer ends {inside} bytes into it");

    if let (seen, End::Whole(_)) = &whole {
        // A form feed is a blank to the stream, and to JSON it is not.
        let json: Vec<u8> = bytes.iter().map(|b| if *b == 0x0c { b' ' } else { *b }).collect();
        let answer: Answer = serde_json::from_slice(&json).expect("JSON of the right shape");
        let rows: Vec<String> = answer.response.attributes.iter().map(|row| format!("{row:?}")).collect();
        assert_eq!(&rows, seen);
        let text = bytes.trim_ascii_end();
        for cut in [text.len() - 1, text.len() - 2, text.len() - 3, inside.min(text.len() - 1)] {
            assert_eq!(read(&text[..cut], 0, 4096).1, End::CutShort, "cut to {cut} of {} bytes", text.len());
        }
    }
    // The event index, read by the same code.
    let mut events = Vec::new();
    let slowly = Slowly { blanks: 0, bytes, piece: piece.max(1), calls: 0 };
    let index = rows::<Events, Broken>(slowly, BARE, |event| {
        events.push(event);
        Ok(())
    });
    if index.is_ok() {
        let json: Vec<u8> = bytes.iter().map(|b| if *b == 0x0c { b' ' } else { *b }).collect();
        assert_eq!(serde_json::from_slice::<Vec<IndexEvent>>(&json).expect("JSON of the right shape"), events);
    }
}

/// A good answer whose values are the fuzzer's, as MISP 2.5 writes it.
fn well_formed(text: &str, control: [u8; 3]) {
    let expected: Vec<Value> = text
        .split('\u{1}')
        .enumerate()
        .map(|(i, value)| {
            let id = i as u64 * 7 + u64::from(control[0]);
            json!({
                "id": if i % 2 == 0 { json!(id.to_string()) } else { json!(id) },
                "event_id": "3", "category": value, "type": if i % 3 == 0 { value } else { "url" },
                "to_ids": i % 2 == 0, "timestamp": "1795220308", "value": value,
                "Event": {"id": "3", "info": value, "publish_timestamp": id.to_string()},
            })
        })
        .collect();
    let answer = json!({"response": {"Attribute": expected}});
    let bytes = if control[1] % 2 == 0 { serde_json::to_vec(&answer) } else { serde_json::to_vec_pretty(&answer) };
    let bytes = bytes.expect("JSON");
    let mut seen = Vec::new();
    let slowly = Slowly { blanks: 0, bytes: &bytes, piece: usize::from(control[2]).max(1), calls: 0 };
    let result = rows::<Attributes, Broken>(slowly, ATTRIBUTES, |row| {
        seen.push((row.id, row.event_id, row.kind.into_owned(), row.value.into_owned(), row.timestamp, row.to_ids));
        assert_eq!(row.event.publish_timestamp, row.id);
        Ok(())
    });
    assert_eq!(end(result), End::Whole(expected.len() as u64));
    let number = |v: &Value| v.as_u64().or_else(|| v.as_str()?.parse().ok()).expect("a number");
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    let expected: Vec<_> = expected
        .iter()
        .map(|v| {
            let to_ids = v["to_ids"] == true;
            (number(&v["id"]), 3, text(&v["type"]), text(&v["value"]), number(&v["timestamp"]), to_ids)
        })
        .collect();
    assert_eq!(seen, expected);
    let cut = usize::from(u16::from_le_bytes([control[0], control[1]])) % bytes.len();
    assert_eq!(read(&bytes[..cut], 0, 4096).1, End::CutShort, "cut to {cut} of {} bytes", bytes.len());
}

fuzz_target!(|input: ([u8; 3], &[u8])| {
    let (control, bytes) = input;
    raw(bytes, control);
    if let Ok(text) = std::str::from_utf8(bytes) {
        well_formed(text, control);
    }
});
