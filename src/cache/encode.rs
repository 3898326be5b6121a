//! The two commands that are sent by the million, written straight into the
//! buffer. Pure.
//!
//! Every other command goes through the encoder of the `memcache` crate; so do
//! these where a key needs base64. A property test holds both to the same bytes.

use super::key::{MAX_WIRE_KEY, needs_base64};
use crate::error::{Error, Kind, Result};
use memcache::exp::{MetaCommand, MetaOp};

/// Appends a quiet `ms` that stores only if the key is new; `number` names it in a reply.
///
/// # Errors
/// [`Kind::Bug`]: the key cannot be sent.
pub fn add(out: &mut Vec<u8>, key: &[u8], value: &[u8], ttl: u64, number: usize) -> Result<()> {
    if is_plain(key) {
        out.extend_from_slice(b"ms ");
        out.extend_from_slice(key);
        out.push(b' ');
        push_number(out, value.len() as u64);
        out.extend_from_slice(b" ME q");
        if ttl != 0 {
            out.extend_from_slice(b" T");
            push_number(out, ttl);
        }
        push_opaque(out, number);
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
        return Ok(());
    }
    let mut command = MetaCommand::new(MetaOp::Set, key).value(value).flag("ME").flag("q");
    if ttl != 0 {
        command = command.flag(format!("T{ttl}"));
    }
    self::command(out, command, number)
}

/// Appends a quiet `mg` that asks for the value; a miss is not answered.
///
/// # Errors
/// [`Kind::Bug`]: the key cannot be sent.
pub fn get(out: &mut Vec<u8>, key: &[u8], number: usize) -> Result<()> {
    if is_plain(key) {
        out.extend_from_slice(b"mg ");
        out.extend_from_slice(key);
        out.extend_from_slice(b" v q");
        push_opaque(out, number);
        return Ok(());
    }
    self::command(out, MetaCommand::new(MetaOp::Get, key).flag("v").flag("q"), number)
}

/// Appends any command, which `number` names in a reply.
///
/// # Errors
/// [`Kind::Bug`]: the key cannot be sent. Keys are checked where they are made.
pub fn command(out: &mut Vec<u8>, command: MetaCommand, number: usize) -> Result<()> {
    let bug = |e: memcache::exp::Error| Error::new(Kind::Bug, format!("a key that cannot be sent: {e}"));
    command.flag(format!("O{number}")).encode_into(out).map_err(bug)
}

/// How many bytes the first commands of `bytes` have that fit `limit` together: one
/// at least, and all of `bytes` where no command ends in it.
pub fn first_commands(bytes: &[u8], limit: usize) -> usize {
    let mut end = 0;
    while end < bytes.len() {
        let next = end + first_command(&bytes[end..]).unwrap_or(bytes.len() - end);
        if end > 0 && next > limit {
            break;
        }
        end = next;
    }
    end
}

/// The length of the first command: its line, and the data that `ms` and `set` announce.
fn first_command(bytes: &[u8]) -> Option<usize> {
    let line = bytes.iter().position(|b| *b == b'\n')? + 1;
    let mut words = bytes[..line].trim_ascii_end().split(|b| *b == b' ');
    let length = match words.next()? {
        b"ms" => words.nth(1),
        b"set" => words.nth(3),
        _ => return Some(line),
    };
    let length: usize = std::str::from_utf8(length?).ok()?.parse().ok()?;
    Some(line + length + 2).filter(|end| *end <= bytes.len())
}

fn is_plain(key: &[u8]) -> bool {
    (1..=MAX_WIRE_KEY).contains(&key.len()) && !needs_base64(key)
}

fn push_opaque(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(b" O");
    push_number(out, number as u64);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number in decimal.
pub fn push_number(out: &mut Vec<u8>, mut n: u64) {
    // u64::MAX has 20 digits.
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_the_crate_writes_them(
            key in proptest::collection::vec(any::<u8>(), 1..180),
            plain in "[!-~]{1,250}",
            value in "[!-~]{0,40}",
            ttl in prop_oneof![Just(0u64), any::<u64>()],
            number in any::<usize>(),
        ) {
            for key in [key.as_slice(), plain.as_bytes()] {
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                add(&mut ours, key, value.as_bytes(), ttl, number).unwrap();
                get(&mut ours, key, number).unwrap();
                let mut command = MetaCommand::new(MetaOp::Set, key).value(value.as_bytes()).flag("ME").flag("q");
                if ttl != 0 {
                    command = command.flag(format!("T{ttl}"));
                }
                command.flag(format!("O{number}")).encode_into(&mut theirs).unwrap();
                let command = MetaCommand::new(MetaOp::Get, key).flag("v").flag("q").flag(format!("O{number}"));
                command.encode_into(&mut theirs).unwrap();
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    proptest! {
        #[test]
        fn commands_are_not_cut(
            items in proptest::collection::vec(("(?s).{1,20}", proptest::collection::vec(any::<u8>(), 0..60), any::<bool>()), 1..20),
            limit in 0usize..300,
        ) {
            let (mut all, mut ends) = (Vec::new(), vec![0]);
            for (key, value, store) in &items {
                if *store { add(&mut all, key.as_bytes(), value, 5, 1).unwrap() } else { get(&mut all, key.as_bytes(), 2).unwrap() }
                ends.push(all.len());
            }
            let mut at = 0;
            while at < all.len() {
                let taken = first_commands(&all[at..], limit);
                let one = ends[ends.binary_search(&at).unwrap() + 1] - at;
                prop_assert!(taken == one || (taken > one && taken <= limit));
                at += taken;
                prop_assert!(ends.binary_search(&at).is_ok());
            }
        }
    }

    #[test]
    fn keys_that_cannot_be_sent() {
        for key in [&b""[..], &[b'x'; 251], &[b' '; 187]] {
            assert_eq!(get(&mut Vec::new(), key, 0).unwrap_err().kind(), Kind::Bug);
        }
    }
}
