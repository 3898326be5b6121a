//! The rows of one event as MISP writes them in a restSearch answer: key order
//! and fields as recorded from MISP 2.5.1, compact, slashes as they are.

use crate::attribute::KINDS;
use crate::dataset::{Dataset, FIRST_EVENT_ID};
use crate::prng::Prng;
use std::io::Write;
use std::ops::Range;

/// The rows of one event, joined by commas, rendered once.
pub struct Rows {
    bytes: Box<[u8]>,
    /// Where each row begins, and one past the comma that the last does not have.
    starts: Box<[u32]>,
    /// The type of each row.
    kinds: Box<[u8]>,
}

impl Rows {
    /// Renders an event, changed last at `timestamp`.
    pub fn render(data: &Dataset, event: u32, timestamp: u64) -> Rows {
        let id = FIRST_EVENT_ID + event;
        let mut random = data.event_random(event);
        // The first number is the event's age.
        random.next();
        let uuid = uuid(&mut random);
        let info = format!(
            "{} {} indicators, collection {event}",
            random.pick(&["Weekly", "Partner feed:", "Incident", "Sandbox:", "Honeypot:"]),
            random.pick(&["phishing", "ransomware", "botnet C2", "stealer", "loader", "scanner"]),
        );
        let published = timestamp + 1;
        let tail = format!(
            "\",\"Event\":{{\"org_id\":\"1\",\"distribution\":\"3\",\"publish_timestamp\":\"{published}\",\"id\":\"{id}\",\
             \"info\":\"{info}\",\"orgc_id\":\"{}\",\"uuid\":\"{uuid}\"}}}}",
            1 + random.below(40),
        );
        let count = data.per_event();
        let mut bytes = Vec::with_capacity(count as usize * 640);
        let mut starts = Vec::with_capacity(count as usize + 1);
        let mut kinds = Vec::with_capacity(count as usize);
        for place in 0..count {
            let attribute = data.attribute(event, place);
            if place > 0 {
                bytes.push(b',');
            }
            starts.push(bytes.len() as u32);
            kinds.push(attribute.kind);
            head(&mut bytes, event * count + place + 1, id, attribute.kind, timestamp, &mut random);
            bytes.extend_from_slice(attribute.value.as_bytes());
            bytes.extend_from_slice(tail.as_bytes());
        }
        starts.push(bytes.len() as u32 + 1);
        Rows { bytes: bytes.as_slice().into(), starts: starts.into(), kinds: kinds.into() }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The type of each row.
    pub fn kinds(&self) -> &[u8] {
        &self.kinds
    }

    /// The bytes of neighbouring rows, without a comma before or behind.
    pub fn slice(&self, rows: Range<usize>) -> &[u8] {
        if rows.is_empty() {
            &[]
        } else {
            &self.bytes[self.starts[rows.start] as usize..self.starts[rows.end] as usize - 1]
        }
    }
}

/// Everything of a row up to its value.
fn head(out: &mut Vec<u8>, id: u32, event_id: u32, kind: u8, timestamp: u64, random: &mut Prng) {
    let (kind, category) = KINDS[usize::from(kind)];
    let uuid = uuid(random);
    let comment = random.pick(&["", "", "seen in the wild", "from the partner's report", "dropped by stage two"]);
    // An attribute is as old as its event or older.
    let timestamp = timestamp - u64::from(random.below(86_400));
    let seen = if random.percent(20) {
        "\"2026-03-01T08:15:30.123456+00:00\",\"last_seen\":\"2026-03-15T15:00:00.000000+00:00\""
    } else {
        "null,\"last_seen\":null"
    };
    let done = write!(
        out,
        "{{\"id\":\"{id}\",\"event_id\":\"{event_id}\",\"object_id\":\"0\",\"object_relation\":null,\
         \"category\":\"{category}\",\"type\":\"{kind}\",\"to_ids\":true,\"uuid\":\"{uuid}\",\"timestamp\":\"{timestamp}\",\
         \"distribution\":\"5\",\"sharing_group_id\":\"0\",\"comment\":\"{comment}\",\"deleted\":false,\
         \"disable_correlation\":false,\"first_seen\":{seen},\"value\":\""
    );
    done.expect("writing to memory cannot fail");
}

/// A random UUID (version 4).
pub fn uuid(random: &mut Prng) -> String {
    let (a, b) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | ((b >> 48) & 0x3fff),
        b & 0xffff_ffff_ffff
    )
}
