//! Any bytes as memcached's answer: the same replies come out however the bytes
//! arrive, and no reply takes more bytes than there are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use misp2memcached::cache::reply::{Reply, parse};

/// What was read: the replies as text, and whether the stream ended as garbage.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    replies: Vec<String>,
    garbage: bool,
    left: usize,
}

/// Reads as a connection does: whatever is whole is taken, then more is waited for.
fn read(bytes: &[u8], piece: impl Fn(usize) -> usize) -> Read {
    let mut read = Read { replies: Vec::new(), garbage: false, left: 0 };
    let (mut start, mut end) = (0, 0);
    loop {
        loop {
            let held = &bytes[start..end];
            match parse(held) {
                Ok(Some((reply, used))) => {
                    assert!((1..=held.len()).contains(&used), "{used} of {} bytes", held.len());
                    if let Reply::Meta { value: Some(value), .. } = &reply {
                        assert!(value.len() + 2 < used, "a value larger than its reply");
                    }
                    read.replies.push(format!("{reply:?}"));
                    start += used;
                }
                Ok(None) => break,
                Err(_) => {
                    read.garbage = true;
                    return read;
                }
            }
        }
        if end == bytes.len() {
            read.left = end - start;
            return read;
        }
        end = bytes.len().min(end + piece(end).max(1));
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = read(bytes, |_| bytes.len());
    for piece in [1, usize::from(size), 64] {
        assert_eq!(read(bytes, |_| piece), whole, "in pieces of {piece}");
    }
    assert_eq!(read(bytes, |at| at * 31 % 17), whole, "in uneven pieces");
});
