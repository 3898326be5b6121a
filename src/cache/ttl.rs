//! Expiries as memcached wants them.

/// memcached reads an expiry over 30 days as a Unix time (protocol.txt, "Expiration times").
pub const MAX_RELATIVE: u64 = 30 * 86_400;

/// The last moment that memcached knows, in January 2038: it reads a number beyond it as a
/// negative one, and the item as long over. What stays until then stays for ever.
const LAST: u64 = i32::MAX as u64;

/// When an indicator goes, in Unix seconds; `None`: never.
pub type ExpiresAt = Option<u64>;

/// The number for the `T` flag, or `None` where the moment has passed. 0 is "never".
/// A relative number is used where it can be, since the server's clock may differ from ours.
pub fn wire(expires: ExpiresAt, now: u64) -> Option<u64> {
    match expires {
        None => Some(0),
        Some(at) if at <= now => None,
        Some(at) if at > LAST => Some(0),
        Some(at) if at - now <= MAX_RELATIVE => Some(at - now),
        Some(at) => Some(at),
    }
}

/// The number for the `T` flag that keeps what `mg ... t` answered (-1: never).
pub fn keep(remaining: i64, now: u64) -> u64 {
    match u64::try_from(remaining) {
        Err(_) => 0,
        // Zero would mean "never": an item in its last second gets one more.
        Ok(0) => 1,
        Ok(seconds) => wire(Some(now + seconds), now).unwrap_or(1),
    }
}

/// The later of two `T` numbers, where 0 is "never". Relative and absolute ones
/// compare right, as an absolute time is larger than any relative number.
pub fn later(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 { 0 } else { a.max(b) }
}

/// Seconds by which a time to live may be off: a pass takes its time, and clocks differ.
const SLACK: u64 = 60;

/// Whether what `mg ... t` answered is what the `T` number `wanted` would have made of it.
pub fn agrees(wanted: u64, remaining: i64, now: u64) -> bool {
    match (wanted, u64::try_from(remaining)) {
        (0, Err(_)) => true,
        (0, Ok(_)) | (_, Err(_)) => false,
        (relative @ ..=MAX_RELATIVE, Ok(there)) => relative.abs_diff(there) <= SLACK,
        (at, Ok(there)) => at.abs_diff(now + there) <= SLACK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thirty_day_border() {
        let now = 1_795_000_000;
        assert_eq!(wire(None, now), Some(0));
        assert_eq!(wire(Some(now + 60), now), Some(60));
        assert_eq!(wire(Some(now + MAX_RELATIVE), now), Some(MAX_RELATIVE));
        assert_eq!(wire(Some(now + MAX_RELATIVE + 1), now), Some(now + MAX_RELATIVE + 1));
        assert_eq!(wire(Some(LAST), now), Some(LAST));
        assert_eq!(wire(Some(LAST + 1), now), Some(0));
        assert_eq!(wire(Some(now), now), None);
        assert_eq!(wire(Some(now - 5), now), None);
    }

    #[test]
    fn what_is_left_is_kept() {
        assert_eq!(keep(-1, 1000), 0);
        assert_eq!(keep(0, 1000), 1);
        assert_eq!(keep(90, 1000), 90);
        assert_eq!(keep(MAX_RELATIVE as i64 + 9, 1000), 1000 + MAX_RELATIVE + 9);
    }

    #[test]
    fn what_is_about_right_agrees() {
        let now = 1_795_000_000;
        let day = 86_400;
        for (wanted, there, right) in [
            (0, -1, true),
            (0, 5, false),
            (day, -1, false),
            (day, 86_400, true),
            (day, 86_350, true),
            (day, 86_300, false),
            (now + 40 * day, 40 * 86_400 - 9, true),
            (now + 40 * day, 39 * 86_400, false),
        ] {
            assert_eq!(agrees(wanted, there, now), right, "{wanted} {there}");
        }
    }
}
