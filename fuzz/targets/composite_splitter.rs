//! Any text as the value of any type: what comes out of the splitter is fit to be
//! a key, and the key can be sent.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache::exp::{MetaCommand, MetaOp};
use misp2memcached::cache::key::{Keys, MAX_PREFIX, MAX_WIRE_KEY};
use misp2memcached::indicator::{MispType, split};

/// The longest prefix that the configuration takes: the tightest room for a value.
const LONG: &str = "p123456789p123456789p123456789p123456789p123456789p123456789p123";

// The first byte names the type, the rest is the value.
fuzz_target!(|input: (u8, &str)| {
    let (code, value) = input;
    let Some(kind) = MispType::from_code(code % MispType::all().count() as u8) else { return };
    assert_eq!(LONG.len(), MAX_PREFIX);
    let mut first = Vec::new();
    let outcome = split(kind, value, |namespace, part| {
        assert!(!part.is_empty(), "an empty value");
        assert_eq!(part, part.trim(), "outer blanks");
        assert!(!part.contains(['\r', '\n']), "a line break");
        assert_eq!(namespace.category(), kind.category(), "a switch that was not asked");
        for prefix in ["m", LONG] {
            let keys = Keys::new(prefix);
            let key = keys.indicator(namespace, part);
            let line = MetaCommand::new(MetaOp::Get, key.as_slice()).encode().expect("the key can be sent");
            // "mg KEY...\r\n": the key is what stands between the first two blanks.
            let wire = line.split(|b| *b == b' ' || *b == b'\r').nth(1).expect("a key on the wire");
            assert!(wire.len() <= MAX_WIRE_KEY, "{} bytes", wire.len());
            assert!(!wire.iter().any(|b| *b <= b' ' || *b == 0x7f), "a byte that ends the key");
            assert_eq!(keys.parse(&key).map(|(n, _)| n), Some(namespace), "another namespace");
        }
        first.push((namespace, part.to_owned()));
    });
    assert!(outcome.is_err() || !first.is_empty(), "neither an indicator nor a reason");
    // What is held is what would be held if MISP listed it in this form. A type that
    // takes one half of a composite, or both, does not take a half alone.
    if outcome.is_ok() && !kind.name().contains('|') && kind.name() != "malware-sample" {
        let (_, whole) = &first[0];
        let mut again = Vec::new();
        split(kind, whole, |namespace, part| again.push((namespace, part.to_owned()))).expect("it was good before");
        assert_eq!(again, first);
    }
});
