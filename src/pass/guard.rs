//! The shrink guard: an empty or much smaller answer never empties the cache. Pure.

use crate::error::{Error, Kind, Result};

/// Lets a pass go on that removes `going` of `held` indicators, if that is not more
/// than `percent` of them.
///
/// # Errors
/// [`Kind::Untrusted`], with the figures and what to do.
pub fn check(held: u64, going: u64, percent: u8) -> Result<()> {
    if u128::from(going) * 100 <= u128::from(held) * u128::from(percent) {
        return Ok(());
    }
    let share = u128::from(going) * 100 / u128::from(held.max(1));
    let text = format!(
        "{going} of {held} indicators ({share} %) would go at once, more than misp.max_shrink_percent ({percent}) allows: nothing was removed; if MISP is right, run `misp2memcached load --allow-shrink` (stop `follow` before, if it runs)"
    );
    Err(Error::new(Kind::Untrusted, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border() {
        assert!(check(0, 0, 20).is_ok());
        assert!(check(100, 20, 20).is_ok());
        let error = check(100, 21, 20).unwrap_err();
        assert_eq!(error.kind(), Kind::Untrusted);
        assert!(error.to_string().contains("21 of 100 indicators (21 %)"), "{error}");
        // Beside `follow`, which holds the lock, that command would be turned away.
        assert!(error.to_string().ends_with("(stop `follow` before, if it runs)"), "{error}");
        assert!(check(100, 100, 100).is_ok());
        assert!(check(1, 1, 0).is_err());
    }
}
