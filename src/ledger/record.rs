//! One indicator of one event, and lists of them as the ledger stores them. Pure.

use crate::indicator::{MispType, Namespace};
use ipnet::IpNet;
use std::cmp::Ordering;

/// One indicator of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it is kept.
    pub namespace: Namespace,
    /// The attribute type it came from.
    pub kind: MispType,
    /// The attribute's own timestamp, Unix seconds.
    pub timestamp: u32,
    /// The value, at most [`MAX_VALUE`] bytes.
    pub value: &'a str,
    /// What the value in memcached says of it behind the type, with the names of the
    /// fields (`misp::context`); empty unless the configuration asks for it.
    pub context: &'a str,
}

/// MISP keeps at most 65,535 bytes of a value (recordings, "Normalisation").
pub const MAX_VALUE: usize = u16::MAX as usize;

/// Bytes of a record beside its value.
const FIXED: usize = 8;

/// Set in the type's byte where a context follows the value, so that records without
/// one are what they always were; the types stay below it.
const WITH_CONTEXT: u8 = 0x80;

/// Bytes of the context's length.
const LENGTH: usize = 2;

impl Record<'_> {
    /// The order of records within an event; timestamp and context do not count, so
    /// two records that compare equal are the same indicator.
    pub fn order(&self, other: &Record<'_>) -> Ordering {
        self.namespace
            .cmp(&other.namespace)
            .then_with(|| self.value.as_bytes().cmp(other.value.as_bytes()))
            .then_with(|| self.kind.cmp(&other.kind))
    }

    /// The network that it is, if its key is found by prefix lengths.
    pub fn network(&self) -> Option<IpNet> {
        (self.namespace == Namespace::Cidr).then(|| self.value.parse().ok()).flatten()
    }

    /// Bytes that [`Record::write`] appends.
    pub fn encoded_len(&self) -> usize {
        FIXED + self.value.len() + if self.context.is_empty() { 0 } else { LENGTH + self.context.len() }
    }

    /// Appends the record: namespace, type, timestamp, length, value, and the context if there is one.
    pub fn write(&self, out: &mut Vec<u8>) {
        debug_assert!(self.value.len() <= MAX_VALUE && self.context.len() <= MAX_VALUE);
        out.push(self.namespace.code());
        out.push(self.kind.code() | if self.context.is_empty() { 0 } else { WITH_CONTEXT });
        out.extend_from_slice(&self.timestamp.to_le_bytes());
        out.extend_from_slice(&(self.value.len() as u16).to_le_bytes());
        out.extend_from_slice(self.value.as_bytes());
        if !self.context.is_empty() {
            out.extend_from_slice(&(self.context.len() as u16).to_le_bytes());
            out.extend_from_slice(self.context.as_bytes());
        }
    }
}

/// Bytes that are no list of records: the ledger's file is damaged, or newer than we are.
#[derive(Debug, PartialEq, Eq)]
pub struct Damaged;

/// The first record in `bytes` and what follows it; `None` at the end.
///
/// # Errors
/// The bytes are no records.
pub fn read(bytes: &[u8]) -> Result<Option<(Record<'_>, &[u8])>, Damaged> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (fixed, rest) = bytes.split_at_checked(FIXED).ok_or(Damaged)?;
    let length = usize::from(u16::from_le_bytes([fixed[6], fixed[7]]));
    let (value, mut rest) = rest.split_at_checked(length).ok_or(Damaged)?;
    let mut context: &[u8] = &[];
    if fixed[1] & WITH_CONTEXT != 0 {
        let (length, behind) = rest.split_first_chunk::<LENGTH>().ok_or(Damaged)?;
        (context, rest) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or(Damaged)?;
        // Never written so: one record has one form.
        if context.is_empty() {
            return Err(Damaged);
        }
    }
    let record = Record {
        namespace: Namespace::from_code(fixed[0]).ok_or(Damaged)?,
        kind: MispType::from_code(fixed[1] & !WITH_CONTEXT).ok_or(Damaged)?,
        timestamp: u32::from_le_bytes([fixed[2], fixed[3], fixed[4], fixed[5]]),
        value: std::str::from_utf8(value).map_err(|_| Damaged)?,
        context: std::str::from_utf8(context).map_err(|_| Damaged)?,
    };
    Ok(Some((record, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(codes in proptest::collection::vec((0u8..53, 0u8..88, any::<u32>(), "(?s).{0,40}", "[ -~]{0,9}"), 0..20)) {
            let records: Vec<Record> = codes.iter().map(|(n, k, timestamp, value, context)| Record {
                namespace: Namespace::from_code(*n).unwrap(),
                kind: MispType::from_code(*k).unwrap(),
                timestamp: *timestamp,
                value,
                context,
            }).collect();
            let mut bytes = Vec::new();
            let mut length = 0;
            for record in &records {
                record.write(&mut bytes);
                length += record.encoded_len();
            }
            prop_assert_eq!(bytes.len(), length);
            let mut rest = bytes.as_slice();
            let mut back = Vec::new();
            while let Some((record, more)) = read(rest).unwrap() {
                back.push(record);
                rest = more;
            }
            prop_assert_eq!(back, records);
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut rest = bytes.as_slice();
            let mut again = Vec::new();
            while let Ok(Some((record, more))) = read(rest) {
                prop_assert!(more.len() < rest.len());
                record.write(&mut again);
                rest = more;
            }
            prop_assert_eq!(&again[..], &bytes[..bytes.len() - rest.len()]);
        }

        /// A record has one form: a mark of a context and none behind it is damage.
        #[test]
        fn no_context_is_not_written(value in "[a-z]{0,9}") {
            let record = Record { namespace: Namespace::Md5, kind: MispType::from_code(0).unwrap(), timestamp: 1, value: &value, context: "" };
            let mut bytes = Vec::new();
            record.write(&mut bytes);
            bytes[1] |= WITH_CONTEXT;
            bytes.extend_from_slice(&[0, 0]);
            prop_assert_eq!(read(&bytes), Err(Damaged));
        }
    }

    #[test]
    fn cut_records_are_damage() {
        let mut bytes = Vec::new();
        let kind = MispType::from_name("md5").unwrap();
        let record = Record { namespace: Namespace::Md5, kind, timestamp: 7, value: "abc", context: "" };
        record.write(&mut bytes);
        for cut in 1..bytes.len() {
            assert_eq!(read(&bytes[..cut]).err(), Some(Damaged), "{cut}");
        }
        let without = bytes.clone();
        bytes.clear();
        Record { context: "c|x", ..record }.write(&mut bytes);
        assert_eq!(bytes.len(), without.len() + LENGTH + 3);
        for cut in 1..bytes.len() {
            assert_eq!(read(&bytes[..cut]).err(), Some(Damaged), "{cut}");
        }
    }

    #[test]
    fn every_type_leaves_room_for_the_mark() {
        assert!(MispType::all().all(|kind| kind.code() < WITH_CONTEXT));
    }
}
