//! What becomes of a key that is there already, or from which a tag goes. Pure.

use super::changes::Change;
use super::ttl;
use super::value::{self, Tag};

/// What memcached answered for the key.
#[derive(Debug, Clone, Copy)]
pub struct Present<'a> {
    /// The value.
    pub value: &'a [u8],
    /// Seconds left; -1 for ever.
    pub ttl: i64,
}

/// What to do with the key, under the CAS value it had.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// It is right as it is.
    Nothing,
    /// Store this value with this `T`.
    Store {
        /// The merged value.
        value: Vec<u8>,
        /// memcached's `T`.
        ttl: u64,
        /// Tags that did not fit below the item limit.
        left_out: usize,
    },
    /// Nothing is left of it.
    Delete,
}

/// How an expiry is decided where a key has one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The added tag was delivered just now: its expiry counts.
    Delivered,
    /// The tags are put back from the ledger: the later expiry counts.
    Refilled,
}

/// Merges the changes of one key into what is there (`None`: nothing).
/// `limit` is the most bytes a value may have.
pub fn merge(present: Option<Present<'_>>, changes: &[Change<'_>], expiry: Expiry, now: u64, limit: usize) -> Action {
    let before: Vec<Tag> = present.map(|p| value::parse(p.value).collect()).unwrap_or_default();
    let is = |tag: &Tag, c: &Change| tag.event == c.event && tag.kind == c.kind.name();
    // What is added takes the place of the same tag with another context.
    let goes = |c: &Change| c.remove || ttl::wire(c.expires, now).is_some();
    let mut tags: Vec<Tag> = before.iter().copied().filter(|t| !changes.iter().any(|c| is(t, c) && goes(c))).collect();
    let mut wanted_ttl: Option<u64> = None;
    for add in changes.iter().filter(|c| !c.remove) {
        let Some(t) = ttl::wire(add.expires, now) else { continue };
        tags.push(Tag { event: add.event, kind: add.kind.name(), context: add.context });
        wanted_ttl = Some(wanted_ttl.map_or(t, |w| ttl::later(w, t)));
    }
    if tags.is_empty() {
        return if present.is_some() { Action::Delete } else { Action::Nothing };
    }
    let kept = present.map(|p| ttl::keep(p.ttl, now));
    let ttl = match (wanted_ttl, kept) {
        (Some(wanted), Some(kept)) if expiry == Expiry::Refilled => ttl::later(wanted, kept),
        (Some(wanted), _) => wanted,
        (None, kept) => kept.unwrap_or(0),
    };
    let (value, left_out) = value::render(&mut tags, limit);
    match present {
        // A running expiry has to be set anew even if the value stays.
        Some(p) if p.value == value && (ttl == 0) == (p.ttl < 0) && (ttl == 0 || wanted_ttl.is_none()) => {
            Action::Nothing
        }
        _ => Action::Store { value, ttl, left_out },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::MispType;

    const NOW: u64 = 1_795_000_000;
    const LIMIT: usize = 1000;

    fn change(event: u64, kind: &str, remove: bool, expires: Option<u64>) -> Change<'static> {
        Change { key: b"k", event, kind: MispType::from_name(kind).unwrap(), remove, expires, context: "" }
    }

    fn here(value: &[u8], ttl: i64) -> Option<Present<'_>> {
        Some(Present { value, ttl })
    }

    fn store(value: &[u8], ttl: u64) -> Action {
        Action::Store { value: value.to_vec(), ttl, left_out: 0 }
    }

    #[test]
    fn tags_are_added_in_order_and_once() {
        let adds = [change(3, "md5", false, None), change(1, "md5", false, None), change(3, "md5", false, None)];
        assert_eq!(merge(here(b"2#md5", -1), &adds, Expiry::Delivered, NOW, LIMIT), store(b"1#md5,2#md5,3#md5", 0));
        assert_eq!(merge(here(b"1#md5,3#md5", -1), &adds, Expiry::Delivered, NOW, LIMIT), Action::Nothing);
        assert_eq!(merge(None, &adds[..1], Expiry::Delivered, NOW, LIMIT), store(b"3#md5", 0));
    }

    #[test]
    fn the_last_tag_takes_the_key_along() {
        let gone = [change(2, "md5", true, None)];
        assert_eq!(merge(here(b"2#md5", -1), &gone, Expiry::Delivered, NOW, LIMIT), Action::Delete);
        assert_eq!(
            merge(here(b"2#md5,2#filename|md5", 50), &gone, Expiry::Delivered, NOW, LIMIT),
            store(b"2#filename|md5", 50)
        );
        assert_eq!(merge(here(b"9#md5", -1), &gone, Expiry::Delivered, NOW, LIMIT), Action::Nothing);
        assert_eq!(merge(None, &gone, Expiry::Delivered, NOW, LIMIT), Action::Nothing);
    }

    #[test]
    fn added_and_removed_at_once_is_added() {
        let both = [change(2, "md5", true, None), change(2, "md5", false, None)];
        assert_eq!(merge(here(b"2#md5", -1), &both, Expiry::Delivered, NOW, LIMIT), Action::Nothing);
    }

    #[test]
    fn another_context_takes_the_place_of_the_old_one() {
        let add = [Change { context: "b#c", ..change(2, "md5", false, None) }];
        let expect = |before: &[u8], after: &[u8]| {
            assert_eq!(merge(here(before, -1), &add, Expiry::Delivered, NOW, LIMIT), store(after, 0));
        };
        expect(b"1#md5#x,2#md5#z#y", b"1#md5#x,2#md5#b#c");
        expect(b"2#md5", b"2#md5#b#c");
        expect(b"2#md5#a,2#sha1#a", b"2#md5#b#c,2#sha1#a");
        assert_eq!(merge(here(b"2#md5#b#c", -1), &add, Expiry::Refilled, NOW, LIMIT), Action::Nothing);
        // Away again, and gone by event and type whatever stands behind them.
        let bare = [change(2, "md5", false, None)];
        assert_eq!(merge(here(b"2#md5#b#c", -1), &bare, Expiry::Delivered, NOW, LIMIT), store(b"2#md5", 0));
        let gone = [change(2, "md5", true, None)];
        assert_eq!(merge(here(b"1#md5#x,2#md5#b", -1), &gone, Expiry::Delivered, NOW, LIMIT), store(b"1#md5#x", 0));
        // What has expired replaces nothing.
        let old = [change(2, "md5", false, Some(NOW - 1))];
        assert_eq!(merge(here(b"2#md5#b", -1), &old, Expiry::Refilled, NOW, LIMIT), Action::Nothing);
    }

    #[test]
    fn expiries() {
        let add = [change(2, "md5", false, Some(NOW + 60))];
        // Delivered now: the new expiry counts, also where the value stays.
        assert_eq!(merge(here(b"2#md5", 10), &add, Expiry::Delivered, NOW, LIMIT), store(b"2#md5", 60));
        assert_eq!(merge(here(b"2#md5", -1), &add, Expiry::Delivered, NOW, LIMIT), store(b"2#md5", 60));
        // Refilled: the later one.
        assert_eq!(merge(here(b"1#md5", 90), &add, Expiry::Refilled, NOW, LIMIT), store(b"1#md5,2#md5", 90));
        assert_eq!(merge(here(b"1#md5", -1), &add, Expiry::Refilled, NOW, LIMIT), store(b"1#md5,2#md5", 0));
        // An expiry that was switched off.
        let never = [change(2, "md5", false, None)];
        assert_eq!(merge(here(b"2#md5", 10), &never, Expiry::Delivered, NOW, LIMIT), store(b"2#md5", 0));
        // What has expired is not put back.
        let old = [change(2, "md5", false, Some(NOW - 1))];
        assert_eq!(merge(None, &old, Expiry::Refilled, NOW, LIMIT), Action::Nothing);
    }

    #[test]
    fn foreign_text_goes() {
        let add = [change(2, "md5", false, None)];
        assert_eq!(merge(here(b"hello", -1), &add, Expiry::Delivered, NOW, LIMIT), store(b"2#md5", 0));
    }
}
