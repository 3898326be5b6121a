//! Any bytes as the ledger's: what can be read is written back as the same bytes,
//! and what is no record is said to be none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use misp2memcached::indicator::{MispType, Namespace};
use misp2memcached::ledger::header::Header;
use misp2memcached::ledger::record::{Record, read};

fuzz_target!(|input: (u8, u8, u32, &[u8])| {
    let (namespace, kind, timestamp, bytes) = input;

    let mut rest = bytes;
    let mut again = Vec::new();
    while let Ok(Some((record, more))) = read(rest) {
        assert_eq!(record.encoded_len(), rest.len() - more.len());
        record.write(&mut again);
        rest = more;
    }
    assert_eq!(again, bytes[..bytes.len() - rest.len()]);
    assert!(!matches!(read(rest), Ok(Some(_))));

    // A header may stand anywhere in the bytes.
    for candidate in [bytes, bytes.get(..42).unwrap_or_default()] {
        if let Some(header) = Header::decode(candidate) {
            assert_eq!(header.encode().as_slice(), candidate);
        }
    }

    // The same bytes as a value, as far as they are text.
    let value = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&bytes[..e.valid_up_to()]).expect("checked just now"),
    };
    let context = value.rsplit_once(' ').map_or("", |(_, behind)| behind);
    let namespaces = Namespace::ALL;
    let record = Record {
        namespace: namespaces[usize::from(namespace) % namespaces.len()],
        kind: MispType::from_code(kind % MispType::all().count() as u8).expect("a type"),
        timestamp,
        value,
        context,
    };
    let mut written = bytes[..bytes.len() - rest.len()].to_vec();
    let before = written.len();
    record.write(&mut written);
    assert_eq!(read(&written[before..]), Ok(Some((record, &[][..]))));
    assert_eq!(record.order(&record), std::cmp::Ordering::Equal);
    // A record that is cut anywhere is damage, never another record.
    for cut in before + 1..written.len() {
        assert!(read(&written[before..cut]).is_err(), "cut to {} bytes", cut - before);
    }
});
